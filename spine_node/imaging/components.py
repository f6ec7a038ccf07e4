"""Connected pieces of a label map, each cut out of the volume with the place it came from.

Everything works in the bounding box of one value: no array here is as large as the volume, unless a
structure is.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spine_node.imaging.volume import Box, Grid, LabelMap

MARGIN = 3
"""Background voxels kept around a cut-out, so that smoothing meets no wall."""

COARSE_BOX_VOXELS = 3_000_000
"""Boxes larger than this are first reduced to the blocks around their main piece."""

_BLOCK = 8
_NEIGHBOURS = np.ones((3, 3, 3), dtype=bool)


@dataclass(frozen=True, slots=True, eq=False)
class Blob:
    """One structure, cut out.

    Attributes
    ----------
    grid : Grid
        Of the cut-out; its array may reach beyond the volume by the margin.
    mask : ndarray of bool
        The kept piece or pieces.
    dropped : float
        Fraction of the structure's voxels that lay apart and were left out.
    volume_low, volume_high : ndarray, shape (3,)
        First and last index of the whole volume, as indices of this cut-out.
    """

    grid: Grid
    mask: NDArray[np.bool_]
    dropped: float
    volume_low: NDArray[np.int64]
    volume_high: NDArray[np.int64]
    _points: list[NDArray[np.float64]] = field(default_factory=list, init=False, repr=False)

    @property
    def volume_mm3(self) -> float:
        """Voxel sum, mm3."""
        return float(self.mask.sum()) * self.grid.voxel_mm3

    @property
    def points_mm(self) -> NDArray[np.float64]:
        """Centres of the structure's voxels, LPS mm, shape (n, 3); kept, at 24 bytes a voxel."""
        if not self._points:
            self._points.append(self.grid.to_mm(np.argwhere(self.mask)))
        return self._points[0]

    @property
    def centre_mm(self) -> NDArray[np.float64]:
        """Centroid, LPS, shape (3,)."""
        return np.asarray(self.grid.to_mm(np.argwhere(self.mask)).mean(axis=0))

    @property
    def outer_mm(self) -> NDArray[np.float64]:
        """Ends of all rows of voxels along the last axis, LPS: none lies further out in any direction."""
        rows = np.argwhere(self.mask.any(axis=2))
        along = self.mask[tuple(rows.T)]
        first, last = along.argmax(axis=1), along.shape[1] - 1 - along[:, ::-1].argmax(axis=1)
        ends = [np.column_stack([rows, end]) for end in (first, last)]
        return self.grid.to_mm(np.concatenate(ends))

    def at_edge(self, index: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether surface points, as fractional indices (n, 3), lie on the volume's own border.

        A surface inside the volume lies between two of its voxels; one beyond its outermost voxel
        centres is only the end of the data.
        """
        outside = (index < self.volume_low) | (index > self.volume_high)
        return np.asarray(outside.any(axis=1))

    @property
    def edge_area_mm2(self) -> float:
        """Area in which the structure touches the border of the volume, mm2."""
        area = 0.0
        for axis in range(3):
            face = self.grid.voxel_mm3 / float(self.grid.spacing_mm[axis])
            for index in (self.volume_low[axis], self.volume_high[axis]):
                area += (
                    face * float(np.take(self.mask, index, axis=axis).sum())
                    if (0 <= index < self.mask.shape[axis])
                    else 0.0
                )
        return area


def boxes(label_map: LabelMap) -> dict[int, Box]:
    """Bounding box of every value above 0 that occurs, in array order."""
    return dict(label_map.boxes)


def cut_out(label_map: LabelMap, value: int, box: Box, *, keep_fraction: float = 1.0) -> Blob:
    """The largest piece of one value, and every other piece of at least `keep_fraction` of it.

    Parameters
    ----------
    label_map : LabelMap
    value : int
    box : tuple of slice
        Its bounding box, from `boxes`.
    keep_fraction : float
        1 keeps the largest piece only.
    """
    total = 0
    if np.prod([s.stop - s.start for s in box]) > COARSE_BOX_VOXELS:
        box, total = _main_blocks(label_map, value, box)
    mask = label_map.labels[box] == value
    total = total or int(mask.sum())
    pieces, count = ndimage.label(mask, structure=_NEIGHBOURS)
    if count > 1:
        sizes = np.bincount(pieces.ravel())
        sizes[0] = 0
        wanted = sizes >= keep_fraction * sizes.max()
        mask = wanted[pieces]
    start = np.array([s.start for s in box])
    plane = mask.any(axis=0)
    sides = [np.flatnonzero(side) for side in (mask.any(axis=(1, 2)), plane.any(axis=1), plane.any(axis=0))]
    low = np.array([side[0] for side in sides])
    mask = mask[tuple(slice(int(side[0]), int(side[-1]) + 1) for side in sides)]
    start = start + low - MARGIN
    padded = np.pad(mask, MARGIN)
    return Blob(
        grid=_shifted(label_map.grid, start, padded.shape),
        mask=padded,
        dropped=1 - float(padded.sum()) / total,
        volume_low=-start,
        volume_high=np.array(label_map.grid.shape) - 1 - start,
    )


def _shifted(grid: Grid, start: NDArray[np.int64], shape: tuple[int, ...]) -> Grid:
    affine = np.array(grid.affine)
    affine[:3, 3] = grid.to_mm(start)
    return Grid((shape[0], shape[1], shape[2]), affine)


def _main_blocks(label_map: LabelMap, value: int, box: Box) -> tuple[Box, int]:
    """The part of a large box around its most populated connected blocks, and all voxels' number.

    Far islands make a box as large as the volume; labelling it voxel by voxel would cost seconds and
    gigabytes for each structure.
    """
    start = np.array([s.start for s in box])
    shape = np.array([s.stop - s.start for s in box])
    counts = np.zeros(tuple(-(-shape // _BLOCK)), dtype=np.int64)
    for slab in range(counts.shape[0]):
        first = int(start[0]) + slab * _BLOCK
        last = min(first + _BLOCK, box[0].stop)
        index = np.argwhere(label_map.labels[first:last, box[1], box[2]] == value) // (1, _BLOCK, _BLOCK)
        np.add.at(counts[slab], (index[:, 1], index[:, 2]), 1)
    pieces, count = ndimage.label(counts > 0, structure=_NEIGHBOURS)
    weight = ndimage.sum_labels(counts, pieces, index=range(1, count + 1))
    main = ndimage.find_objects(pieces)[int(np.argmax(weight))]
    part = tuple(
        slice(int(a) + s.start * _BLOCK, min(int(a) + s.stop * _BLOCK, b.stop))
        for a, s, b in zip(start, main, box, strict=True)
    )
    return (part[0], part[1], part[2]), int(counts.sum())
