"""Floor and ceiling: what needs no learning, and what no net at this spacing can exceed.

Both look like segmenters and are told the truth, each for one thing: the floor what its pieces are
called, the ceiling everything.
"""

from __future__ import annotations

import hashlib

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import watershed

from spine_node.errors import SeriesRefused
from spine_node.imaging.volume import Grid, LabelMap, Volume
from spine_node.segmentation.canonical import canonical, canonical_grid, indices_by_slab, nearest
from spine_node.segmentation.classes import IGNORED
from spine_node.segmentation.segmenter import ModelIdentity, Progress, Segmentation

FLOOR_MM = 1.5
"""Grid of the floor, or coarser where the image is."""

BONE = 0.25
"""Scaled grey value (`segmentation.canonical`: soft tissue 0, dense bone 1) from which a voxel is bone: the
best single one for bodies on two phantoms and two CTs, where Otsu's lay between 0.08 and 0.26."""

LEAST_RADIUS_MM = 3.0
"""Thinner parts of bone get no marker of their own."""

APART_MM = 12.0
"""Closest that two markers may be: half a thoracic vertebra."""

LEAST_PIECE_MM3 = 500.0
"""Smaller islands of bright voxels are noise."""


class Floor:
    """Threshold and watershed: bone by grey value, cut at its narrowest places.

    Pieces are called what they overlap most in the truth (nothing, where that is background): the best
    that any naming could make of them. So its outlines are a floor, and its names are not its merit.
    """

    def __init__(self, truth: LabelMap) -> None:
        self.truth = truth
        self.identity = floor_identity()

    def segment(self, volume: Volume, progress: Progress | None = None) -> Segmentation:
        """Label every voxel of `volume`.

        Raises
        ------
        SeriesRefused
            If the volume is constant, or nothing in it is bright.
        """
        spacing = max(FLOOR_MM, float(volume.grid.spacing_mm.min()))
        view = canonical(volume, spacing)
        bone = ndimage.gaussian_filter(view.values, 0.6) > BONE
        bone &= view.inside
        bone = cc3d.dust(bone, threshold=int(LEAST_PIECE_MM3 / spacing**3), connectivity=6) > 0
        if not bone.any():
            raise SeriesRefused("nothing in this volume is as bright as bone: there is nothing to label.")
        pieces = _pieces(ndimage.binary_closing(bone) & view.inside, spacing)
        truth = nearest(self.truth.labels, self.truth.grid, view.grid)
        named = _best_names(pieces, truth)
        labels = nearest(named, view.grid, volume.grid)
        return Segmentation(LabelMap(volume.grid, labels), self.identity)


def _pieces(bone: NDArray[np.bool_], spacing_mm: float) -> NDArray[np.int32]:
    depth = ndimage.distance_transform_edt(bone).astype(np.float32) * np.float32(spacing_mm)
    depth = ndimage.gaussian_filter(depth, 1.5 / spacing_mm)
    size = 2 * round(APART_MM / spacing_mm / 2) + 1
    peaks = (depth == ndimage.maximum_filter(depth, size)) & (depth >= LEAST_RADIUS_MM)
    markers, _ = ndimage.label(peaks)
    return np.asarray(watershed(-depth, markers, mask=bone), dtype=np.int32)


def _best_names(pieces: NDArray[np.int32], truth: NDArray[np.uint8]) -> NDArray[np.uint8]:
    count = int(pieces.max()) + 1
    joint = np.bincount(pieces.ravel() * 256 + truth.ravel(), minlength=256 * count).reshape(count, 256)
    name = joint.argmax(axis=1).astype(np.uint8)
    name[0] = 0
    name[name == IGNORED] = 0
    return np.asarray(name[pieces])


class Ceiling:
    """The truth, taken to the net's grid and back: what a net without any error would draw.

    Nearest voxel on the way there (as labels are trained on), the greatest of interpolated shares on the
    way back (as a net's probabilities are).
    """

    def __init__(self, truth: LabelMap, spacing_mm: float) -> None:
        self.truth, self.spacing_mm = truth, spacing_mm
        self.identity = ceiling_identity(spacing_mm)

    def segment(self, volume: Volume, progress: Progress | None = None) -> Segmentation:
        """Label every voxel of `volume`, which lies on the grid of the truth."""
        coarse = canonical_grid(volume.grid, self.spacing_mm)
        labels = nearest(self.truth.labels, self.truth.grid, coarse)
        best = np.zeros(volume.grid.shape, np.uint8)
        share = np.zeros(volume.grid.shape, np.float32)
        total = np.zeros(volume.grid.shape, np.float32)
        for value, box in enumerate(ndimage.find_objects(labels, 255), start=1):
            if box is None:
                continue
            fine = _fine_box(box, coarse, volume)
            mask = (labels == value).astype(np.float32)
            for rows, index in indices_by_slab(volume.grid, coarse, fine):
                part = ndimage.map_coordinates(mask, np.moveaxis(index, -1, 0), order=1, mode="nearest")
                more = part > share[rows]
                best[rows][more] = value
                share[rows][more] = part[more]
                total[rows] += part
        best[(1 - total > share) | (best == IGNORED)] = 0
        return Segmentation(LabelMap(volume.grid, best), self.identity)


def _fine_box(box: tuple[slice, ...], coarse: Grid, volume: Volume) -> tuple[slice, slice, slice]:
    """Where a box of the coarse grid, one voxel wider, lies in the volume."""
    ends = [(s.start - 1.0, float(s.stop)) for s in box]
    corners = np.array(np.meshgrid(*ends)).reshape(3, -1).T
    index = volume.grid.to_index(coarse.to_mm(corners))
    low = np.clip(np.floor(index.min(axis=0)), 0, None).astype(int)
    high = np.minimum(np.ceil(index.max(axis=0)) + 1, volume.grid.shape).astype(int)
    i, j, k = (slice(int(a), max(int(a), int(b))) for a, b in zip(low, high, strict=True))
    return i, j, k


def floor_identity() -> ModelIdentity:
    """The floor; its checksum is that of its constants."""
    return _identity("floor", f"{FLOOR_MM:g} mm, above {BONE:g}, {LEAST_RADIUS_MM:g}, {APART_MM:g}")


def ceiling_identity(spacing_mm: float) -> ModelIdentity:
    """The ceiling at this spacing."""
    return _identity("ceiling", f"{spacing_mm:g} mm")


def _identity(name: str, version: str) -> ModelIdentity:
    return ModelIdentity(name, version, hashlib.sha256(f"{name} {version}".encode()).hexdigest())
