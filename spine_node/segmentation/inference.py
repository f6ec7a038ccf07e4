"""The default segmenter: a bundle's net in sliding windows, then vertebrae, names and sides.

Memory is bounded by the net's own grid: at the grid of the series there is only the label map, made
slab by slab from interpolated log probabilities: outlines are smooth, not made of the net's voxels.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from spine_node.anatomy import levels
from spine_node.errors import SeriesRefused
from spine_node.imaging.volume import FloatArray, LabelMap, Volume
from spine_node.segmentation.bundle import Bundle, load_bundle
from spine_node.segmentation.canonical import Canonical, canonical, indices_by_slab, interpolated
from spine_node.segmentation.classes import BODY, HEAD, HIP, LEVEL_CLASSES, POSTERIOR, SACRUM
from spine_node.segmentation.instances import (
    Instances,
    corner_of_sacrum,
    find_vertebrae,
    pelvic_midline,
    without_islands,
)
from spine_node.segmentation.levels import Naming, name_levels
from spine_node.segmentation.outline import settled_by_grey
from spine_node.segmentation.segmenter import ModelIdentity, Progress, Segmentation
from spine_node.segmentation.windows import infer

LEAST_VERTEBRAE = 2
"""One body alone is as likely a mistake, and nothing can be measured on it."""


class BundleSegmenter:
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
        If the bundle cannot be trusted or used.
    """

    def __init__(self, folder: Path, device: str = "auto") -> None:
        self.bundle: Bundle = load_bundle(folder)
        name = device if device != "auto" else ("cuda:0" if torch.cuda.is_available() else "cpu")
        self.device = torch.device(name)
        self._network = self.bundle.network().to(self.device, memory_format=torch.channels_last_3d)

    @property
    def identity(self) -> ModelIdentity:
        """Which model this is."""
        return self.bundle.identity

    def segment(self, volume: Volume, progress: Progress | None = None) -> Segmentation:
        """Label every voxel of `volume`.

        Raises
        ------
        SeriesRefused
            If no spine is found, or the volume is too small or constant.
        """
        say = progress or (lambda _fraction, _words: None)
        say(0.0, "resampling")
        view = canonical(volume, self.bundle.spacing_mm)
        heads = infer(
            self._network,
            view.values,
            self.bundle.patch,
            self.bundle.overlap,
            self.device,
            lambda done: say(0.05 + 0.75 * done, "looking for bones"),
        )
        semantic = heads.semantic.numpy()
        say(0.8, "naming vertebrae")
        tissue = without_islands(_decided(semantic, view), self.bundle.spacing_mm)
        vertebrae = find_vertebrae(tissue, heads.offset.numpy(), self.bundle.spacing_mm)
        if len(vertebrae.centres) < LEAST_VERTEBRAE:
            raise SeriesRefused(
                f"no spine found: {len(vertebrae.centres)} vertebral bodies in {_extent(view)} mm, at least "
                f"{LEAST_VERTEBRAE} neighbouring ones were expected. Is this a series of the spine? "
                "Nothing was measured."
            )
        naming = self._named(view, tissue, vertebrae, heads.level.numpy())
        if sum(name is not None for name in naming.levels) < LEAST_VERTEBRAE:
            raise SeriesRefused("no spine found: what looks like bodies is not lined up as a spine.")
        say(0.85, "drawing outlines")
        corner = corner_of_sacrum(tissue, vertebrae.parts)
        tissue[corner] = SACRUM
        said = semantic[:, corner]
        semantic[BODY][corner], semantic[SACRUM][corner] = said[SACRUM], said[BODY]
        settled_by_grey(semantic, view.values, vertebrae.parts, tissue)
        labels = self._labels(volume, view, semantic, tissue, vertebrae, naming)
        say(1.0, "segmented")
        return Segmentation(LabelMap(volume.grid, labels), self.identity, naming.quality)

    def _named(
        self,
        view: Canonical,
        tissue: NDArray[np.uint8],
        vertebrae: Instances,
        level: NDArray[np.float32],
    ) -> Naming:
        count = len(vertebrae.centres)
        bodies = np.where(tissue == BODY, vertebrae.parts, 0)[::2, ::2, ::2]
        chance = np.full((count, len(LEVEL_CLASSES)), -np.log(len(LEVEL_CLASSES)))
        for index in range(count):
            inside = bodies == index + 1
            if inside.any():
                chance[index] = level[:, inside].mean(axis=1)
        centres = view.grid.to_mm(vertebrae.centres)
        top, gap = _sacrum_top(tissue, vertebrae.centres[-1], self.bundle.spacing_mm)
        return name_levels(
            centres,
            chance,
            sacrum_mm=None if top is None else view.grid.to_mm(top),
            sacrum_gap_mm=gap,
        )

    def _labels(
        self,
        volume: Volume,
        view: Canonical,
        semantic: NDArray[np.float32],
        tissue: NDArray[np.uint8],
        vertebrae: Instances,
        naming: Naming,
    ) -> NDArray[np.uint8]:
        marks = _marks(tissue, vertebrae, naming, self.bundle.spacing_mm)
        labels = np.zeros(volume.grid.shape, np.uint8)
        kept = np.where(marks > 0, tissue, 0)
        box = _source_box(kept > 0, view, volume)
        nearest = _spread(marks, kept, self.bundle.spacing_mm)
        image = torch.from_numpy(semantic)[None]
        size = np.array(view.grid.shape)
        for rows, index in indices_by_slab(volume.grid, view.grid, box):
            picked = interpolated(image, index).argmax(axis=0).astype(np.uint8)
            near = np.clip(np.rint(index), 0, size - 1).astype(np.int32)
            at = (near[..., 0], near[..., 1], near[..., 2])
            out = np.zeros(picked.shape, np.uint8)
            for kind, values in nearest.items():
                here = picked == kind
                out[here] = values[at[0][here], at[1][here], at[2][here]]
            labels[rows] = out
        return labels


def _decided(semantic: NDArray[np.float32], view: Canonical) -> NDArray[np.uint8]:
    tissue = semantic.argmax(axis=0).astype(np.uint8)
    tissue[~view.inside] = 0
    return tissue


def _extent(view: Canonical) -> str:
    return " x ".join(f"{n * s:.0f}" for n, s in zip(view.grid.shape, view.grid.spacing_mm, strict=True))


def _sacrum_top(
    tissue: NDArray[np.uint8], lowest: FloatArray, spacing_mm: float
) -> tuple[FloatArray | None, float | None]:
    """The piece of sacrum nearest to the lowest body's centre, and how far it is in mm."""
    sacrum = np.argwhere(tissue == SACRUM)
    if len(sacrum) == 0:
        return None, None
    gaps = np.linalg.norm(sacrum - lowest, axis=1) * spacing_mm
    near = gaps <= gaps.min() + 10.0
    return sacrum[near].mean(axis=0), float(gaps.min())


def _marks(
    tissue: NDArray[np.uint8], vertebrae: Instances, naming: Naming, spacing_mm: float
) -> NDArray[np.uint8]:
    """Final values on the canonical grid; 0 where a tissue belongs to nothing that was kept."""
    body = np.zeros(256, np.uint8)
    for index, name in enumerate(naming.levels):
        if name is not None:
            body[index + 1] = levels.VERTEBRA_VALUES[name]
    value = body[vertebrae.parts]
    marks = np.where(tissue == BODY, value, 0).astype(np.uint8)
    behind = (tissue == POSTERIOR) & (value > 0)
    marks[behind] = value[behind] + levels.POSTERIOR_OFFSET
    marks[tissue == SACRUM] = levels.SACRUM
    midline = pelvic_midline(tissue, vertebrae.centres[-1], spacing_mm)
    assert midline is not None  # a lowest body is there
    sides = {
        HIP: (levels.HIP_LEFT, levels.HIP_RIGHT),
        HEAD: (levels.FEMORAL_HEAD_LEFT, levels.FEMORAL_HEAD_RIGHT),
    }
    for kind, (left, right) in sides.items():
        where = np.argwhere(tissue == kind)
        side = np.where(midline.left_of(where) > 0, left, right)
        marks[tuple(where.T)] = side
    return marks


def _spread(
    marks: NDArray[np.uint8], kept: NDArray[np.uint8], spacing_mm: float
) -> dict[int, NDArray[np.uint8]]:
    """For each tissue, the value that a voxel of it gets anywhere within two voxels of what was kept.

    Interpolated outlines may end up to a voxel outside the net's own; further away is an island
    that was dropped, and stays dropped.
    """
    result = {}
    for kind in (BODY, POSTERIOR, SACRUM, HIP, HEAD):
        seeds = kept == kind
        values = np.zeros(marks.shape, np.uint8)
        if seeds.any():
            box = tuple(slice(max(0, int(a.min()) - 3), int(a.max()) + 4) for a in np.nonzero(seeds))
            away, index = ndimage.distance_transform_edt(~seeds[box], return_indices=True)
            values[box] = np.where(away <= 2.0, marks[box][tuple(index)], 0)
        result[kind] = values
    return result


def _source_box(kept: NDArray[np.bool_], view: Canonical, volume: Volume) -> tuple[slice, slice, slice]:
    """The part of the series that can hold anything: index ranges along its axes."""
    spans = [np.flatnonzero(kept.any(axis=tuple(b for b in range(3) if b != a))) for a in range(3)]
    corners = np.array(np.meshgrid(*[(s[0] - 2, s[-1] + 2) for s in spans])).reshape(3, -1).T
    index = volume.grid.to_index(view.grid.to_mm(corners))
    low = np.clip(np.floor(index.min(axis=0)), 0, volume.grid.shape).astype(int)
    high = np.clip(np.ceil(index.max(axis=0)) + 1, 0, volume.grid.shape).astype(int)
    return slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2])
