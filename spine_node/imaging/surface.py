"""Sub-voxel surfaces of masks: where a lightly smoothed mask crosses one half.

A binary mask is a staircase. Smoothing by less than a voxel and interpolating the crossing takes the
stairs away without moving a flat surface; a surface of radius R moves inwards by about the square of
the smoothing over R, which is below 0.1 mm here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from spine_node.imaging.components import Blob
from spine_node.imaging.volume import FloatArray, Grid

SMOOTHING_VOXELS = 0.7
"""Standard deviation of the smoothing, in voxels along each axis."""

_BLOCK, _FEW = 5, 40
"""Samples of a column that are passed over at once where nothing is; in columns of more than so many."""


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """How much of a structure is at a place: 1 inside, 0 outside, one half on its surface."""

    grid: Grid
    values: NDArray[np.float32]
    _near: dict[tuple[int, ...], NDArray[np.bool_]] = field(default_factory=dict, init=False, repr=False)

    def near(self, reach: tuple[int, ...]) -> NDArray[np.bool_]:
        """Voxels with one that is inside within so many along each axis; in a frame wider by `reach` + 1."""
        if reach not in self._near:
            self._near[reach] = _spread(self.values >= 0.5, reach)
        return self._near[reach]

    def at(self, points_mm: ArrayLike) -> FloatArray:
        """Values at LPS points, shape (..., 3) to (...); 0 beyond the cut-out."""
        index = self.grid.to_index(points_mm)
        flat = index.reshape(-1, 3).T
        values = ndimage.map_coordinates(self.values, flat, order=1, mode="constant", cval=0.0)
        return np.asarray(values.reshape(index.shape[:-1]), dtype=np.float64)


def field_of(blob: Blob, smoothing_voxels: float = SMOOTHING_VOXELS) -> Field:
    """The smoothed mask of a cut-out structure."""
    values = ndimage.gaussian_filter(blob.mask.astype(np.float32), smoothing_voxels, truncate=3.0)
    return Field(blob.grid, values)


def surface_points(blob: Blob) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Points of a structure's surface, one for each pair of neighbouring voxels it passes between.

    Returns
    -------
    points_mm : ndarray, shape (n, 3)
        LPS.
    at_edge : ndarray of bool, shape (n,)
        True where this is only the border of the volume.
    """
    values = field_of(blob).values
    found = []
    for axis in range(3):
        a = np.moveaxis(values, axis, 0)
        low, high = a[:-1], a[1:]
        crossing = np.argwhere((low >= 0.5) != (high >= 0.5))
        first, second = low[tuple(crossing.T)], high[tuple(crossing.T)]
        index = crossing.astype(np.float64)
        index[:, 0] += (0.5 - first) / (second - first)
        order = [1, 2, 0] if axis == 2 else [1, 0, 2] if axis == 1 else [0, 1, 2]
        found.append(index[:, order])
    index = np.vstack(found)
    return blob.grid.to_mm(index), blob.at_edge(index)


def column_crossings(
    structure: Field, base_mm: FloatArray, direction: FloatArray, heights_mm: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """First and last height at which parallel columns are inside a structure.

    Parameters
    ----------
    structure : Field
    base_mm : ndarray, shape (n, 3)
        A point of each column, at height 0, LPS.
    direction : ndarray, shape (3,)
        Unit direction of increasing height, LPS.
    heights_mm : ndarray, shape (m,)
        Where each column is sampled, ascending and evenly spaced.

    Returns
    -------
    lowest, highest : ndarray, shape (n,)
        Heights of the surface, interpolated between samples; NaN where a column meets nothing.
    """
    columns = _Columns(structure, base_mm, direction, heights_mm)
    rows = np.arange(len(columns.start))
    if len(heights_mm) <= _FEW:
        return columns.all_crossings()
    ends = []
    for upwards in (True, False):
        inner, outer = columns.first_inside(upwards=upwards)
        met = inner >= 0
        inner, outer = np.where(met, inner, 1), np.where(met, outer, 0)
        ends.append(columns.between(inner, outer, columns.at(rows, inner), columns.at(rows, outer), met))
    return ends[0], ends[1]


class _Columns:
    """Samples of a field along parallel columns, each looked at only where the surface can be.

    Columns are ten times as long as what has to be known of them. So they are looked at block by block in
    a coarse map of where anything is, and sample by sample from the first block that may hold something.
    """

    def __init__(
        self, structure: Field, base_mm: FloatArray, direction: FloatArray, heights_mm: FloatArray
    ) -> None:
        grid = structure.grid
        self._structure, self._heights = structure, heights_mm
        self.start = grid.to_index(base_mm)
        self._along = grid.to_index(direction) - grid.to_index(np.zeros(3))
        self._last = len(heights_mm) - 1
        self._blocks = -(-len(heights_mm) // _BLOCK)

    @cached_property
    def _may(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        return self._blocks_with_something()

    def between(
        self,
        inner: NDArray[np.intp],
        outer: NDArray[np.intp],
        inside: FloatArray,
        outside: FloatArray,
        met: NDArray[np.bool_],
    ) -> FloatArray:
        """Heights of the surface between neighbouring samples with these values; NaN where none is met."""
        with np.errstate(invalid="ignore", divide="ignore"):
            along = (inside - 0.5) / (inside - outside)
        step = float(self._heights[1] - self._heights[0])
        return np.where(met, self._heights[inner] + (outer - inner) * step * along, np.nan)

    def all_crossings(self) -> tuple[FloatArray, FloatArray]:
        """Lowest and highest, from all samples: where there are few, that is faster."""
        every = np.broadcast_to(np.arange(len(self._heights)), (len(self.start), len(self._heights)))
        rows = np.arange(len(self.start))
        values = self.at(np.broadcast_to(rows[:, None], every.shape), every)
        inside = values >= 0.5
        met = np.asarray(inside.any(axis=1))
        first = np.where(met, inside.argmax(axis=1), 1)
        last = np.where(met, self._last - inside[:, ::-1].argmax(axis=1), 1)
        lowest, highest = (
            self.between(inner, outer, values[rows, inner], values[rows, outer], np.asarray(met))
            for inner, outer in ((first, first - 1), (last, last + 1))
        )
        return lowest, highest

    def at(self, rows: NDArray[np.intp], samples: NDArray[np.intp]) -> FloatArray:
        """Values at samples of columns, of the same shape; a column's first and last are outside."""
        height = self._heights[np.clip(samples, 0, self._last)]
        index = np.stack([self.start[rows, k] + height * self._along[k] for k in range(3)])
        flat = index.reshape(3, -1)
        values = ndimage.map_coordinates(self._structure.values, flat, order=1, mode="constant", cval=0.0)
        values = values.reshape(samples.shape).astype(np.float64)
        values[(samples <= 0) | (samples >= self._last)] = 0.0
        return np.asarray(values)

    def first_inside(self, *, upwards: bool) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The first sample of each column that is inside, and the one before it; -1 where none is."""
        inner = np.full(len(self.start), -1, dtype=np.intp)
        ahead = np.arange(min(2, self._blocks) * _BLOCK)
        block = self._next(np.arange(len(inner)), np.zeros(len(inner), dtype=np.intp), upwards=upwards)
        rows = np.flatnonzero(block < self._blocks)
        block = block[rows]
        while len(rows):
            places = block[:, None] * _BLOCK + ahead
            samples = places if upwards else self._last - places
            inside = self.at(np.broadcast_to(rows[:, None], samples.shape), samples) >= 0.5
            found = inside.any(axis=1)
            inner[rows[found]] = samples[found, inside[found].argmax(axis=1)]
            rows, block = rows[~found], block[~found] + 2
            block = self._next(rows, block, upwards=upwards)
            rows, block = rows[block < self._blocks], block[block < self._blocks]
        return inner, np.where(inner < 0, -1, inner - 1 if upwards else inner + 1)

    def _next(self, rows: NDArray[np.intp], block: NDArray[np.intp], *, upwards: bool) -> NDArray[np.intp]:
        """From these blocks on, the first that may hold something; their number where there is none."""
        may = self._may[0 if upwards else 1][rows]
        may = may & (np.arange(self._blocks) >= block[:, None])
        return np.where(may.any(axis=1), may.argmax(axis=1), self._blocks)

    def _blocks_with_something(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which blocks of which column may hold a sample that is inside, from below and from above."""
        step = float(self._heights[1] - self._heights[0])
        half = (_BLOCK - 1) / 2
        # An interpolated value reaches one half only if one of its eight neighbours does: they are less than
        # a voxel away from the sample, which is up to half a block from the voxel nearest to its middle.
        grid = self._structure.grid
        across = np.linalg.norm(grid.to_index(np.eye(3)) - grid.to_index(np.zeros(3)), axis=0)
        reach = tuple(int(r) for r in np.ceil(half * step * across + 1.5 + 1e-9) - 1)
        near = self._structure.near(reach)
        found = []
        for upwards in (True, False):
            middles = np.arange(self._blocks) * _BLOCK + half
            heights = self._heights[0] + step * (middles if upwards else self._last - middles)
            index = []
            for k, size in enumerate(near.shape):
                place = self.start[:, k, None] + (heights * self._along[k] + reach[k] + 1)
                index.append(np.clip(np.rint(place).astype(np.intp), 0, size - 1))
            found.append(near[tuple(index)])
        return found[0], found[1]


def _spread(mask: NDArray[np.bool_], reach: tuple[int, ...]) -> NDArray[np.bool_]:
    """A mask grown by so many voxels to both sides of each axis, in a frame of one more that is empty."""
    grown = np.pad(mask, [(r + 1, r + 1) for r in reach])
    for axis, r in enumerate(reach):
        for sign in (1, -1):
            done = 0
            while done < r:  # each step doubles what is covered
                by = min(r - done, done + 1)
                moved = np.moveaxis(grown, axis, 0)
                if sign > 0:
                    moved[by:] |= moved[:-by].copy()
                else:
                    moved[:-by] |= moved[by:].copy()
                done += by
    return grown
