"""Sub-voxel surfaces of masks: where a lightly smoothed mask crosses one half.

A binary mask is a staircase. Smoothing by less than a voxel and interpolating the crossing takes the
stairs away without moving a flat surface; a surface of radius R moves inwards by about the square of
the smoothing over R, which is below 0.1 mm here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from spine_node.imaging.components import Blob
from spine_node.imaging.volume import FloatArray, Grid

SMOOTHING_VOXELS = 0.7
"""Standard deviation of the smoothing, in voxels along each axis."""


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """How much of a structure is at a place: 1 inside, 0 outside, one half on its surface."""

    grid: Grid
    values: NDArray[np.float32]

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
    field: Field, base_mm: FloatArray, direction: FloatArray, heights_mm: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """First and last height at which parallel columns are inside a structure.

    Parameters
    ----------
    field : Field
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
    values = field.at(base_mm[:, None, :] + heights_mm[None, :, None] * direction)
    values[:, 0] = values[:, -1] = 0.0
    inside = values >= 0.5
    met = inside.any(axis=1)
    first = inside.argmax(axis=1)
    last = inside.shape[1] - 1 - inside[:, ::-1].argmax(axis=1)
    rows = np.arange(len(values))
    step = float(heights_mm[1] - heights_mm[0])

    def between(inner: NDArray[np.intp], outer: NDArray[np.intp]) -> FloatArray:
        a, b = values[rows, inner], values[rows, outer]
        with np.errstate(invalid="ignore", divide="ignore"):
            along = (a - 0.5) / (a - b)
        return np.asarray(heights_mm[inner] + (outer - inner) * step * along)

    first, last = np.where(met, first, 1), np.where(met, last, 1)
    lowest, highest = between(first, first - 1), between(last, last + 1)
    return np.where(met, lowest, np.nan), np.where(met, highest, np.nan)
