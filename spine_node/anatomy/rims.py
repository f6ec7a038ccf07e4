"""Where an endplate ends: the bone's wall under it, followed up to the plate's own plane."""

from __future__ import annotations

import numpy as np

from spine_node.geometry.directions import DegenerateGeometry, FloatArray
from spine_node.geometry.fitting import robust_surface
from spine_node.imaging.surface import SMOOTHING_VOXELS, Field
from spine_node.imaging.volume import Grid

REACH_MM = 48.0
"""Further from the middle no endplate reaches."""

STEEPEST_WALL = 0.7
"""A wall that runs in by more than this part of the depth is no straight wall; it is not followed."""

FLARE = 0.25
"""A wall that runs out by more than this part of the depth (14 degrees) is a rounded rim: below it the
wall is where the edge would be."""

ASIDE_MM, ASIDE_PART = (2.0, 4.0), 0.3
"""Half width of the patch of wall that is followed, as a part of its distance: one ray meets a staircase."""

LEAST_DOWN_MM, MOST_DOWN_MM = 3.0, 12.0
"""Height of that patch."""

BENT_MM = 4.0
"""From this height on the patch shows how the wall is bent."""

NEAR_MM = 5.0
"""The patch lies this near to where the middle ray met the wall."""

_STEP_MM = 0.25
_ROWS = np.linspace(0.0, 1.0, 9) ** 1.7  # rims flare: rows lie closer near the plate


def along_mm(grid: Grid, direction: FloatArray) -> float:
    """How far voxels reach along a direction, mm."""
    return float(np.linalg.norm(grid.affine[:3, :3].T @ direction))


def probe_depth_mm(grid: Grid, normal: FloatArray) -> float:
    """How far under a plate the smoothing no longer rounds its edge."""
    return 2 * SMOOTHING_VOXELS * along_mm(grid, normal) + 0.3


def rim_mm(
    field: Field,
    on_plate: FloatArray,
    inward: FloatArray,
    direction: FloatArray,
    depth_mm: float,
    middle_mm: float,
) -> float:
    """Distance from a point of a plate to its edge in one direction.

    A patch of the wall between the edge and the body's middle is followed up to the plate: a waisted body
    is narrower below its rim, and right at the rim the smoothing has rounded it.

    Parameters
    ----------
    field : Field
    on_plate, inward, direction : ndarray, shape (3,)
        A point of the plate, the unit direction into the bone, the unit direction along the plate; LPS.
    depth_mm : float
        From `probe_depth_mm`.
    middle_mm : float
        How far under the plate the middle of the body lies.
    """
    met = _wall_mm(field, on_plate + depth_mm * inward, direction)
    high = float(np.clip(0.9 * middle_mm - depth_mm, LEAST_DOWN_MM, MOST_DOWN_MM))
    aside, down, walls = _patch(field, on_plate, inward, direction, depth_mm + high * _ROWS, met)
    known = np.isfinite(walls)
    terms = [np.ones_like(aside), down, aside, aside**2, *([down**2] if high >= BENT_MM else [])]
    try:
        fit, _ = robust_surface(np.column_stack(terms)[known], walls[known], scale_floor_mm=0.1)
    except DegenerateGeometry:
        return met
    bend = float(fit[4]) if high >= BENT_MM else 0.0
    # smoothing has moved a wall of radius R inwards by its variance over 2 R
    variance = (SMOOTHING_VOXELS * along_mm(field.grid, direction)) ** 2
    edge = float(fit[0]) - variance * (float(fit[3]) + bend)
    here = edge + float(fit[1]) * depth_mm + bend * depth_mm**2
    if here - edge > FLARE * depth_mm:
        return edge + float(fit[1]) * 2 * depth_mm + bend * (2 * depth_mm) ** 2
    return edge if edge - here <= STEEPEST_WALL * depth_mm else here


def _patch(
    field: Field,
    on_plate: FloatArray,
    inward: FloatArray,
    direction: FloatArray,
    depths_mm: FloatArray,
    middle_mm: float,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Places aside and down, and how far away the wall is there, each of shape (n,); NaN where it is not."""
    beside = np.cross(inward, direction)
    half = float(np.clip(ASIDE_PART * middle_mm, *ASIDE_MM))
    aside, down = (grid.ravel() for grid in np.meshgrid(np.linspace(-half, half, 9), depths_mm))
    away = np.arange(max(middle_mm - NEAR_MM, 0.0), middle_mm + NEAR_MM, _STEP_MM)
    feet = on_plate + aside[:, None] * beside + down[:, None] * inward
    values = field.at(feet[:, None, :] + away[:, None] * direction)
    leaves = (values[:, :-1] >= 0.5) & (values[:, 1:] < 0.5)
    # of several ways out the one nearest to the middle ray's
    price = np.where(leaves, np.abs(away[:-1] - middle_mm), np.inf)
    first = price.argmin(axis=1)
    rows = np.arange(len(feet))
    a, b = values[rows, first], values[rows, first + 1]
    with np.errstate(invalid="ignore", divide="ignore"):
        walls = away[first] + _STEP_MM * (a - 0.5) / (a - b)
    return aside, down, np.where(leaves.any(axis=1), walls, np.nan)


def _wall_mm(field: Field, start_mm: FloatArray, direction: FloatArray) -> float:
    """Where a ray last leaves the bone."""
    distances = np.arange(0.0, REACH_MM, _STEP_MM)
    values = field.at(start_mm + distances[:, None] * direction)
    inside = values >= 0.5
    leaves = np.flatnonzero(inside[:-1] & ~inside[1:])
    if not len(leaves):
        return REACH_MM if inside.all() else 0.0
    i = int(leaves[-1])
    return float(distances[i] + _STEP_MM * (values[i] - 0.5) / (values[i] - values[i + 1]))
