"""Where an endplate ends: the bone's wall under it, followed up to the plate's own plane."""

from __future__ import annotations

from typing import Literal

import numpy as np

from spine_node.geometry.directions import FloatArray
from spine_node.imaging.surface import SMOOTHING_VOXELS, Field
from spine_node.imaging.volume import Grid

REACH_MM = 48.0
"""Further from the middle no endplate reaches."""

STEEPEST_WALL_MM = 1.5
"""A wall that runs in by more than this over the probed depth is no straight wall; it is not followed."""

FLARE = 0.25
"""A wall that runs out by more than this part of the depth (14 degrees) is a rounded rim: below it the
wall is where the edge would be."""

_STEP_MM = 0.25


def along_mm(grid: Grid, direction: FloatArray) -> float:
    """How far voxels reach along a direction, mm."""
    return float(np.linalg.norm(grid.affine[:3, :3].T @ direction))


def probe_depth_mm(grid: Grid, normal: FloatArray) -> float:
    """How far under a plate the smoothing no longer rounds its edge."""
    return 2 * SMOOTHING_VOXELS * along_mm(grid, normal) + 0.5


def rim_mm(
    field: Field,
    on_plate: FloatArray,
    inward: FloatArray,
    direction: FloatArray,
    depth_mm: float,
    wall: Literal["first", "last"],
) -> float:
    """Distance from a point of a plate to its edge in one direction.

    The wall is met at two depths and followed straight up to the plate: a waisted body is narrower
    below its rim, and right at the rim the smoothing has rounded it.

    Parameters
    ----------
    field : Field
    on_plate, inward, direction : ndarray, shape (3,)
        A point of the plate, the unit direction into the bone, the unit direction along the plate; LPS.
    depth_mm : float
        From `probe_depth_mm`.
    wall : "first" or "last"
        Which wall counts when the ray meets bone again behind a gap (the sacral canal).
    """
    near, far = (
        _wall_mm(field, on_plate + depth * inward, direction, wall) for depth in (depth_mm, 2 * depth_mm)
    )
    if far - near > FLARE * depth_mm:
        return far
    return 2 * near - far if near - far <= STEEPEST_WALL_MM else near


def _wall_mm(field: Field, start_mm: FloatArray, direction: FloatArray, wall: str) -> float:
    distances = np.arange(0.0, REACH_MM, _STEP_MM)
    values = field.at(start_mm + distances[:, None] * direction)
    inside = values >= 0.5
    leaves = np.flatnonzero(inside[:-1] & ~inside[1:])
    if not len(leaves):
        return REACH_MM if inside.all() else 0.0
    i = int(leaves[0] if wall == "first" else leaves[-1])
    return float(distances[i] + _STEP_MM * (values[i] - 0.5) / (values[i] - values[i + 1]))
