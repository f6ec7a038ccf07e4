"""Segments with a bundle of any label list: classes from the net, sides from where a bone lies.

The spine has a segmenter of its own (`inference`), which also tells vertebrae apart and names them.
"""

from __future__ import annotations

from pathlib import Path

import cc3d
import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from spine_node.errors import BundleRefused
from spine_node.imaging.volume import LabelMap, Volume
from spine_node.segmentation.bundle import Bundle, load_bundle
from spine_node.segmentation.canonical import Canonical, canonical
from spine_node.segmentation.classes import Scheme
from spine_node.segmentation.device import device_of
from spine_node.segmentation.inference import BundleSegmenter
from spine_node.segmentation.labelling import drawn
from spine_node.segmentation.segmenter import ModelIdentity, Progress, Segmentation, Segmenter
from spine_node.segmentation.windows import infer

ISLAND = 0.05
"""A piece smaller than this share of the largest of its class is dropped."""

APART_MM = 40.0
"""Left and right bones of a pair are further apart than this, middle to middle across the body."""

WIDE_MM = 180.0
"""No single bone of a pair reaches so far across the body: such a piece is two that touch."""

ASTRIDE = 0.1
"""A piece with at least this share of its voxels on either side of the midline is two that touch."""


def segmenter_of(folder: Path, device: str = "auto") -> Segmenter:
    """The segmenter that the bundle in this folder needs.

    Raises
    ------
    BundleRefused
        If the bundle cannot be trusted or used.
    """
    if load_bundle(folder).is_spine:
        return BundleSegmenter(folder, device)
    return StructureSegmenter(folder, device)


class StructureSegmenter:
    """Segments with the bundle in a folder; loads it once and stays warm.

    Parameters
    ----------
    folder : Path
        The bundle.
    device : str
        "auto" (a GPU if there is one), "cpu" or "cuda:N".

    Raises
    ------
    BundleRefused
        If the bundle cannot be trusted or used, or is one of the spine.
    """

    def __init__(self, folder: Path, device: str = "auto") -> None:
        self.bundle: Bundle = load_bundle(folder)
        if self.bundle.is_spine:
            raise BundleRefused(
                f"the bundle in {folder} is one of the spine: it needs the spine's segmenter."
            )
        self.device = device_of(device)
        self._network = self.bundle.fine.network().to(self.device, memory_format=torch.channels_last_3d)

    @property
    def identity(self) -> ModelIdentity:
        """Which model this is."""
        return self.bundle.identity

    def segment(self, volume: Volume, progress: Progress | None = None) -> Segmentation:
        """Label every voxel of `volume` with the values of the bundle's own list.

        Raises
        ------
        SeriesRefused
            If the volume is too small or constant.
        """
        say = progress or (lambda _fraction, _words: None)
        say(0.0, "resampling")
        net, scheme = self.bundle.fine, self.bundle.scheme
        view = canonical(volume, net.spacing_mm)
        heads = infer(
            self._network,
            view.values,
            net.patch,
            net.overlap,
            self.device,
            lambda done: say(0.05 + 0.75 * done, "looking for structures"),
        )
        semantic = heads.semantic.numpy()
        kinds = semantic.argmax(axis=0).astype(np.uint8)
        kinds[~view.inside] = 0
        say(0.85, "drawing outlines")
        kept = _without_islands(kinds, len(scheme.classes))
        marks, quality = told_apart(kept, view, scheme)
        labels = drawn(volume.grid, view, semantic, kept, marks)
        say(1.0, "segmented")
        return Segmentation(LabelMap(volume.grid, labels), self.identity, quality, spine=False)


def _without_islands(kinds: NDArray[np.uint8], classes: int) -> NDArray[np.uint8]:
    result = np.zeros_like(kinds)
    for kind in range(1, classes):
        pieces, count = cc3d.connected_components(kinds == kind, connectivity=6, return_N=True)
        if count:
            sizes = np.bincount(pieces.ravel(), minlength=count + 1)
            sizes[0] = 0
            result[(sizes >= ISLAND * sizes.max())[pieces] & (pieces > 0)] = kind
    return result


def told_apart(
    kinds: NDArray[np.uint8], view: Canonical, scheme: Scheme
) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Label values from classes: the pieces of a pair are left or right of the body's midline.

    The midline is midway between the outermost pieces of pairs, or between the ends of one that holds
    both. With a single side in view there is nothing between them: then it is the middle of the image,
    and that is said.

    Parameters
    ----------
    kinds : ndarray, shape (z, y, x)
        Class of every voxel.
    view : Canonical
        The grid of `kinds`: its last axis runs to the patient's left.

    Returns
    -------
    ndarray of uint8, shape (z, y, x)
        Values of `scheme.channels`.
    tuple of str
        What a reader must know.
    """
    marks = np.zeros_like(kinds)
    paired: list[tuple[NDArray[np.uint32], int, int, int]] = []
    across: list[float] = []
    for kind, structure in enumerate(scheme.structures, start=1):
        if structure.value is not None:
            marks[kinds == kind] = structure.value
            continue
        assert structure.left is not None
        assert structure.right is not None
        pieces, count = cc3d.connected_components(kinds == kind, connectivity=6, return_N=True)
        if count:
            paired.append((pieces, int(count), structure.left, structure.right))
            for found in ndimage.find_objects(pieces):
                first, last = found[2].start, found[2].stop - 1
                wide = (last - first) * view.grid.spacing_mm[2] > WIDE_MM
                across += [first, last] if wide else [(first + last) / 2]
    if not paired:
        return marks, ()
    middle, quality = (min(across) + max(across)) / 2, ()
    if (max(across) - min(across)) * view.grid.spacing_mm[2] < APART_MM:
        middle = (kinds.shape[2] - 1) / 2
        quality = ("only one side is in view: left and right were told from its place in the image",)
    lefts = np.broadcast_to(np.arange(kinds.shape[2]) > middle, kinds.shape)
    for pieces, count, left, right in paired:
        size = np.bincount(pieces.ravel(), minlength=count + 1)
        share = np.bincount(pieces[lefts].ravel(), minlength=count + 1) / np.maximum(size, 1)
        astride = (share >= ASTRIDE) & (share <= 1 - ASTRIDE)
        if quality:
            astride[:] = False  # no midline to stand astride of
        is_left = np.where(astride[pieces], lefts, (share > 0.5)[pieces])
        marks[(pieces > 0) & is_left] = left
        marks[(pieces > 0) & ~is_left] = right
    return marks, quality
