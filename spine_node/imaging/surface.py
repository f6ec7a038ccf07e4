"""Sub-voxel surfaces of masks: where a lightly smoothed mask crosses one half.

A binary mask is a staircase. Smoothing by less than a voxel and interpolating the crossing takes the
stairs away without moving a flat surface; a surface of radius R moves inwards by about the square of
the smoothing over R, which is below 0.1 mm here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

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
    _cells: list[NDArray[np.uint8]] = field(default_factory=list, init=False, repr=False)
    _blurred: dict[float, NDArray[np.float32]] = field(default_factory=dict, init=False, repr=False)

    def near(self, reach: tuple[int, ...]) -> NDArray[np.bool_]:
        """Voxels with one that is inside within so many along each axis; in a frame wider by `reach` + 1."""
        if reach not in self._near:
            self._near[reach] = _spread(self.values >= 0.5, reach)
        return self._near[reach]

    @property
    def cells(self) -> NDArray[np.uint8]:
        """What the eight voxels around each cell say: 0 all outside, 2 all inside, 1 some of them.

        The cell between voxels k - 1 and k has index k; beyond the cut-out everything is outside. What is
        interpolated within a cell lies between its voxels: only in cells of 1 need it be looked at.
        """
        if not self._cells:
            some = every = np.pad(self.values >= 0.5, 1)
            for axis in range(3):
                some, every = np.moveaxis(some, axis, 0), np.moveaxis(every, axis, 0)
                some, every = some[:-1] | some[1:], every[:-1] & every[1:]
                some, every = np.moveaxis(some, 0, axis), np.moveaxis(every, 0, axis)
            self._cells.append(np.ascontiguousarray(some.view(np.uint8) + every))
        return self._cells[0]

    def blurred(self, sigma_mm: float) -> NDArray[np.float32]:
        """Smoothed further, by this standard deviation."""
        if sigma_mm not in self._blurred:
            sigma = sigma_mm / self.grid.spacing_mm
            self._blurred[sigma_mm] = ndimage.gaussian_filter(self.values, sigma, truncate=2.5)
        return self._blurred[sigma_mm]

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


def surface_points(blob: Blob, structure: Field | None = None) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Points of a structure's surface, one for each pair of neighbouring voxels it passes between.

    Parameters
    ----------
    blob : Blob
    structure : Field, optional
        Its `field_of`, where that is known.

    Returns
    -------
    points_mm : ndarray, shape (n, 3)
        LPS.
    at_edge : ndarray of bool, shape (n,)
        True where this is only the border of the volume.
    """
    values = (structure or field_of(blob)).values
    every = values >= 0.5
    found = []
    for axis in range(3):
        a, inside = np.moveaxis(values, axis, 0), np.moveaxis(every, axis, 0)
        low, high = a[:-1], a[1:]
        crossing = np.argwhere(inside[:-1] != inside[1:])
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
    return columns.end(upper=False), columns.end(upper=True)


def column_ends(
    structure: Field, base_mm: FloatArray, direction: FloatArray, heights_mm: FloatArray, *, upper: bool
) -> FloatArray:
    """The highest of `column_crossings` alone, or the lowest."""
    return _Columns(structure, base_mm, direction, heights_mm).end(upper=upper)


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
        self._start = grid.to_index(base_mm)
        self._along = grid.to_index(direction) - grid.to_index(np.zeros(3))
        self._last = len(heights_mm) - 1
        self._blocks = -(-len(heights_mm) // _BLOCK)

    def end(self, *, upper: bool) -> FloatArray:
        """Height of each column's last crossing, or its first; NaN where nothing is met."""
        few = len(self._heights) <= _FEW
        inner = self._first_of_all(upper=upper) if few else self._first_inside(upper=upper)
        met = inner >= 0
        inner = np.where(met, inner, 1)
        outer = np.where(met, inner + (1 if upper else -1), 0)
        rows = np.arange(len(inner))
        inside, outside = self._at(rows, inner), self._at(rows, outer)
        with np.errstate(invalid="ignore", divide="ignore"):
            along = (inside - 0.5) / (inside - outside)
        step = float(self._heights[1] - self._heights[0])
        return np.where(met, self._heights[inner] + (outer - inner) * step * along, np.nan)

    def _at(self, rows: NDArray[np.intp], samples: NDArray[np.intp]) -> FloatArray:
        """Values at one sample of each of these columns; a column's first and last are outside."""
        height = self._heights[samples]
        index = [self._start[rows, k] + height * self._along[k] for k in range(3)]
        values = self._interpolated(index)
        values[(samples <= 0) | (samples >= self._last)] = 0.0
        return values

    def _interpolated(self, index: list[FloatArray]) -> FloatArray:
        values = ndimage.map_coordinates(self._structure.values, index, order=1, mode="constant", cval=0.0)
        return np.asarray(values, dtype=np.float64)

    def _inside(self, rows: NDArray[np.intp] | slice, samples: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Whether samples, shape (n, m) or (m,), of n columns are inside; the first and last never are."""
        height = self._heights[np.clip(samples, 0, self._last)]
        index = [self._start[rows, k][:, None] + height * self._along[k] for k in range(3)]
        cells = self._structure.cells
        state = cells.take(_flat([i + 1 for i in index], cells.shape))
        inside = np.asarray(state == 2)
        between = np.flatnonzero(state == 1)
        inside.reshape(-1)[between] = self._interpolated([i.take(between) for i in index]) >= 0.5
        return inside & (samples > 0) & (samples < self._last)

    def _first_of_all(self, *, upper: bool) -> NDArray[np.intp]:
        """`_first_inside` by all samples: where there are few, that is faster."""
        samples = np.arange(len(self._heights))
        samples = samples[::-1] if upper else samples
        inside = self._inside(slice(None), samples)
        return np.where(inside.any(axis=1), samples[inside.argmax(axis=1)], -1)

    def _first_inside(self, *, upper: bool) -> NDArray[np.intp]:
        """The first sample of each column that is inside, or the last; -1 where none is."""
        inner = np.full(len(self._start), -1, dtype=np.intp)
        may = self._blocks_with_something(upper=upper)
        ahead = np.arange(min(2, self._blocks) * _BLOCK)
        rows = np.flatnonzero(may.any(axis=1))
        block = may[rows].argmax(axis=1)
        while len(rows):
            places = block[:, None] * _BLOCK + ahead
            samples = self._last - places if upper else places
            inside = self._inside(rows, samples)
            found = inside.any(axis=1)
            inner[rows[found]] = samples[found, inside[found].argmax(axis=1)]
            rows, block = rows[~found], block[~found] + 2
            left = may[rows] & (np.arange(self._blocks) >= block[:, None])
            rows, block = rows[left.any(axis=1)], left[left.any(axis=1)].argmax(axis=1)
        return inner

    def _blocks_with_something(self, *, upper: bool) -> NDArray[np.bool_]:
        """Which blocks of which column may hold a sample that is inside, counted from below or from above."""
        step = float(self._heights[1] - self._heights[0])
        half = (_BLOCK - 1) / 2
        # An interpolated value reaches one half only if one of its eight neighbours does: they are less than
        # a voxel away from the sample, which is up to half a block from the voxel nearest to its middle.
        grid = self._structure.grid
        across = np.linalg.norm(grid.to_index(np.eye(3)) - grid.to_index(np.zeros(3)), axis=0)
        reach = tuple(int(r) for r in np.ceil(half * step * across + 1.5 + 1e-9) - 1)
        near = self._structure.near(reach)
        middles = np.arange(self._blocks) * _BLOCK + half
        heights = self._heights[0] + step * (self._last - middles if upper else middles)
        shift = [self._along[k] * heights + (reach[k] + 1.5) for k in range(3)]
        place = [self._start[:, k, None] + shift[k] for k in range(3)]
        return np.asarray(near.take(_flat(place, near.shape)))


def _flat(index: list[FloatArray], shape: tuple[int, ...]) -> NDArray[np.intp]:
    """Places in a flattened array; what lies before or behind it is at its first or last plane."""
    flat: NDArray[np.intp] = np.zeros(index[0].shape, np.intp)
    for along, size in zip(index, shape, strict=True):
        whole = along.astype(np.int32)
        flat *= size
        flat += np.minimum(np.maximum(whole, 0, out=whole), size - 1, out=whole)
    return flat


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
