"""What a voxel mask does to a smooth surface, so that it can be taken away again.

A plate that lies nearly along the slices becomes a few flat stairs, and a plane through stairs is off by
one to three degrees on a small vertebra: where the plate ends within a stair is chance. The stairs of a
known surface on a known grid are not chance, though: they can be made again and subtracted.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from spine_node.anatomy.rims import along_mm
from spine_node.geometry.fitting import (
    HeightPlane,
    bowl_terms,
    robust_height_bowl,
    robust_height_plane,
    robust_surface,
)
from spine_node.imaging.surface import SMOOTHING_VOXELS, Field, column_ends
from spine_node.imaging.volume import FloatArray, Grid

STAIR = 0.35
"""Least scatter, in voxels: a plate nearly along the slices is mostly one flat stair, and the others
must not be taken for outliers."""

PASSES = 3

OPEN_PART, OPEN_POWER = 0.25, 1.5
"""What a single layer leaves open, in voxels, and how that falls with the number of layers crossed."""

_OUTLIER_MM = 2.5
"""What is further off counts no more than this: a spur is no scatter."""

_REACH_VOXELS = 4
"""Beyond it a step no longer touches the smoothed crossing."""


def plane_without_stairs(
    grid: Grid,
    centre_mm: FloatArray,
    axes: FloatArray,
    base: FloatArray,
    heights: FloatArray,
    *,
    bone_below: bool,
) -> HeightPlane:
    """The plane through the ends of columns over a voxel mask, freed from the mask's stairs.

    A second-order surface is fitted, voxelised on the same grid and met by the same columns; what that
    adds to it is subtracted from the measured heights, a few times over.

    Parameters
    ----------
    grid : Grid
        Of the mask.
    centre_mm : ndarray, shape (3,)
        Where the columns' plane has its origin, LPS.
    axes : ndarray, shape (3, 3)
        Columns: the two directions of that plane and the direction of height, LPS.
    base : ndarray, shape (n, 2)
        Columns, mm in their plane.
    heights : ndarray, shape (n,)
        Where they meet the mask's surface, mm.
    bone_below : bool
        Whether the bone lies below the surface or above it.

    Raises
    ------
    DegenerateGeometry
        If the columns do not determine a surface.
    """
    freed = heights_without_stairs(grid, centre_mm, axes, base, heights, bone_below=bone_below)
    return robust_height_plane(base, freed, scale_floor_mm=STAIR * along_mm(grid, axes[:, 2]))


def heights_without_stairs(
    grid: Grid,
    centre_mm: FloatArray,
    axes: FloatArray,
    base: FloatArray,
    heights: FloatArray,
    *,
    bone_below: bool,
) -> FloatArray:
    """The same heights freed from the mask's stairs, shape (n,), mm; arguments of `plane_without_stairs`.

    Raises
    ------
    DegenerateGeometry
        If the columns do not determine a surface.
    """
    voxel = along_mm(grid, axes[:, 2])
    freed = heights
    for _ in range(PASSES):
        bowl = robust_height_bowl(base, freed, scale_floor_mm=STAIR * voxel)
        freed = heights - _stairs_mm(grid, centre_mm, axes, base, bowl, voxel, bone_below=bone_below)
    return freed


def scatter_about_a_dish_mm(base: FloatArray, heights: FloatArray, floor_mm: float) -> float:
    """RMS distance of heights to the smooth surface through them: a bowl whose rim may be flat or steep.

    Parameters
    ----------
    base : ndarray, shape (n, 2)
        Columns, mm in their plane.
    heights : ndarray, shape (n,)
        Freed from stairs, mm.
    floor_mm : float
        Scatter within which no height is taken for an outlier.
    """
    away = base - base.mean(axis=0)
    r2 = np.einsum("ni,ij,nj->n", away, np.linalg.inv(np.cov(base.T)), away) / 4
    _, rough = robust_surface(np.column_stack([bowl_terms(away), r2**2]), heights, scale_floor_mm=floor_mm)
    return float(np.sqrt(np.mean(np.minimum(np.abs(rough), _OUTLIER_MM) ** 2)))


def unresolved_mm(grid: Grid, surface_mm: FloatArray, normal: FloatArray) -> float:
    """Rise over a surface that its voxels leave open, one standard deviation, mm.

    Where a surface spans less than a layer of voxels there is one stair or none, and any rise up to a
    layer or so would have made the same; the more layers it crosses, the less is open.

    Parameters
    ----------
    grid : Grid
    surface_mm : ndarray, shape (n, 3)
        Points of the surface, LPS.
    normal : ndarray, shape (3,)
        Its unit normal, LPS.
    """
    directions = grid.affine[:3, :3] / grid.spacing_mm
    layer = int(np.argmax(np.abs(normal @ directions)))
    low, high = np.percentile(grid.to_index(surface_mm)[:, layer], (2, 98))
    return float(OPEN_PART * grid.spacing_mm[layer] / max(float(high - low), 1.0) ** OPEN_POWER)


def _stairs_mm(
    grid: Grid,
    centre_mm: FloatArray,
    axes: FloatArray,
    base: FloatArray,
    bowl: FloatArray,
    voxel_mm: float,
    *,
    bone_below: bool,
) -> FloatArray:
    """How far above a smooth surface its voxel mask is met by columns, shape (n,), mm."""
    points = centre_mm + np.column_stack([base, bowl_terms(base) @ bowl]) @ axes.T
    index = grid.to_index(points)
    low = np.floor(index.min(axis=0)).astype(int) - _REACH_VOXELS
    shape = np.ceil(index.max(axis=0)).astype(int) + _REACH_VOXELS + 1 - low
    affine = np.array(grid.affine)
    affine[:3, 3] = grid.to_mm(low)
    part = Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine)
    above = _above(part, centre_mm, axes, bowl)
    mask = (above < 0) if bone_below else (above > 0)
    field = Field(part, ndimage.gaussian_filter(mask.astype(np.float32), SMOOTHING_VOXELS, truncate=3.0))
    steps = np.linspace(-2.0 * voxel_mm, 2.0 * voxel_mm, 33)
    return np.nan_to_num(column_ends(field, points, axes[:, 2], steps, upper=bone_below))


def _above(grid: Grid, centre_mm: FloatArray, axes: FloatArray, bowl: FloatArray) -> FloatArray:
    """How far above a bowl each voxel lies, mm, shape of the grid.

    Along each row of voxels that is a second-order polynomial: its coefficients are made once a row.
    """
    first, second, (p, q, r) = (axes.T @ grid.affine[:3, :3]).T
    i, j = (np.arange(n)[..., None] for n in grid.shape[:2])
    foot = (grid.affine[:3, 3] - centre_mm) @ axes + (i * first)[:, None] + j * second
    u, v, height = np.moveaxis(foot, -1, 0)
    _, cu, cv, cuu, cuv, cvv = bowl
    slope = r - (cu + 2 * cuu * u + cuv * v) * p - (cv + cuv * u + 2 * cvv * v) * q
    bend = -(cuu * p * p + cuv * p * q + cvv * q * q)
    k = np.arange(grid.shape[2])
    return np.asarray(
        (bend * k + slope[..., None]) * k + (height - bowl_terms(foot[..., :2]) @ bowl)[..., None]
    )
