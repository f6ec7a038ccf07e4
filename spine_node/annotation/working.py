"""The upright, isotropic grid that a draft is made on: from the image, and back to its own voxels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spine_node.imaging.volume import FloatArray, Grid, Volume

FINEST_MM, COARSEST_MM = 1.0, 1.5
"""Spacing of the grid worked on: finer voxels are averaged, coarser ones interpolated."""

MARGIN_MM = 75.0
"""Kept around the vertebral centres: transverse processes, heads of ribs, spinous processes."""

Window = tuple[slice, slice, slice]


def working_volume(volume: Volume, centres: Mapping[str, FloatArray]) -> Volume:
    """The part around the centres, upright and isotropic, array order (z, y, x)."""
    spacing = float(np.clip(volume.grid.spacing_mm.min(), FINEST_MM, COARSEST_MM))
    points = np.array(list(centres.values()))
    size = np.array(volume.grid.shape)
    corners = volume.grid.to_mm(np.array(np.meshgrid(*[(0, n - 1) for n in size])).reshape(3, -1).T)
    low = np.maximum(points.min(axis=0) - MARGIN_MM, corners.min(axis=0))
    high = np.minimum(points.max(axis=0) + MARGIN_MM, corners.max(axis=0))
    shape = np.maximum(np.floor((high - low) / spacing + 1e-6).astype(int) + 1, 1)[::-1]
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[:, ::-1] * spacing
    affine[:3, 3] = low
    grid = Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine)
    values = volume.values.astype(np.float32)
    blur = 0.35 * spacing / volume.grid.spacing_mm
    if (blur > 0.5).any():
        values = ndimage.gaussian_filter(values, np.where(blur > 0.5, blur, 0))
    return Volume(grid, _sampled(values, volume.grid, grid))


def on_grid(labels: NDArray[np.uint8], source: Grid, target: Grid) -> NDArray[np.uint8]:
    """Labels of the nearest voxel; 0 beyond the working grid."""
    out = np.zeros(target.shape, np.uint8)
    corners = source.to_mm(np.array(np.meshgrid(*[(0, n - 1) for n in source.shape])).reshape(3, -1).T)
    reach = target.to_index(corners)
    low = np.clip(np.floor(reach.min(axis=0)), 0, target.shape).astype(int)
    high = np.clip(np.ceil(reach.max(axis=0)) + 1, 0, target.shape).astype(int)
    for first in range(low[0], high[0], 16):
        last = (min(first + 16, high[0]), high[1], high[2])
        box = (slice(first, last[0]), slice(low[1], last[1]), slice(low[2], last[2]))
        at = np.moveaxis(source.to_index(points_of(target, (first, low[1], low[2]), last)), -1, 0)
        out[box] = ndimage.map_coordinates(labels, at, order=0, mode="constant", cval=0)
    return out


def _sampled(values: NDArray[np.float32], source: Grid, target: Grid) -> NDArray[np.float32]:
    out = np.empty(target.shape, np.float32)
    lowest = float(values.min())
    for first in range(0, target.shape[0], 16):
        last = min(first + 16, target.shape[0])
        at = np.moveaxis(source.to_index(points_of(target, (first, 0, 0), (last, *target.shape[1:]))), -1, 0)
        out[first:last] = ndimage.map_coordinates(values, at, order=1, mode="constant", cval=lowest)
    return out


def points_of(grid: Grid, first: Sequence[int], last: Sequence[int]) -> FloatArray:
    """LPS mm of a box of voxels, shape (i, j, k, 3)."""
    ranges = [np.arange(a, b) for a, b in zip(first, last, strict=True)]
    return grid.to_mm(np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1))


def window_of(grid: Grid, low_mm: FloatArray, high_mm: FloatArray) -> tuple[Window, FloatArray]:
    """Index ranges of an LPS box and the LPS mm of its voxels, shape (..., 3)."""
    index = np.stack([grid.to_index(low_mm), grid.to_index(high_mm)])
    first = np.clip(np.floor(index.min(axis=0)), 0, np.array(grid.shape) - 1).astype(int)
    last = np.clip(np.ceil(index.max(axis=0)) + 1, first + 1, grid.shape).astype(int)
    window = tuple(slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
    return (window[0], window[1], window[2]), points_of(grid, first.tolist(), last.tolist())
