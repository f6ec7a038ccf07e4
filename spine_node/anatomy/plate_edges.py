"""Where a plate ends in one direction: the bone's corner, found on the section along that direction.

A corner is where a reader puts the cursor: the outermost point between "along the plate" and "up". On a
sharp corner it is the corner, on a rounded one a point of the rounding, and a bevel belongs to the plate.
What lies behind a fall of the surface (a wing, the roof of the canal) is something else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spine_node.anatomy.rims import along_mm
from spine_node.imaging.surface import SMOOTHING_VOXELS, Field, column_ends
from spine_node.imaging.volume import FloatArray

REACH_MM = 48.0
"""Further from the middle no endplate reaches."""

UPWARD = 0.7
"""How much height counts against distance: less than 1, or a bevel of 45 degrees, frequent on sacra, would
end at either of its ends by chance."""

FALL_MM = 2.0
"""The corner is passed where the surface has fallen by this much more than it went outwards."""

RISE_MM = 3.0
"""Surface this far above the plate's plane, and steep, is no plate but a wall behind it."""

STEEP_MM = 3.0
"""Such surface is steep if it rises by this much in 2 mm."""

HIGHEST_MM = 16.0
"""A plane that leans too much by 25 degrees passes this far below the plate's other end."""

DEEPEST_MM = 10.0
"""No plate is bevelled or domed more than this below its plane."""

_STEP_MM = 0.25
_ASIDE_MM = (-2.0, 0.0, 2.0)
_ROUNDING = 0.55
"""How far, in standard deviations of the smoothing, a sharp corner's rounding lies inside of it."""


@dataclass(frozen=True, slots=True)
class Edge:
    """Distance of the corner along the plate, and how far it lies below the plate's plane (mm)."""

    reach_mm: float
    below_mm: float


def edge_mm(field: Field, centre_mm: FloatArray, normal: FloatArray, direction: FloatArray) -> Edge | None:
    """The corner in one direction from a plate's centre; None when the surface does not end.

    Parameters
    ----------
    field : Field
    centre_mm, normal, direction : ndarray, shape (3,)
        A point of the plate's plane, the unit normal out of the bone, a unit direction in the plane; LPS.
    """
    aside = np.cross(normal, direction)
    along = np.arange(0.0, REACH_MM, _STEP_MM)
    heights = np.arange(-DEEPEST_MM - 1.0, HIGHEST_MM, 0.5)
    found = []
    for shift in _ASIDE_MM:
        base = centre_mm + shift * aside + along[:, None] * direction
        highest = column_ends(field, base, normal, heights, upper=True)
        edge = _corner(along, highest)
        if edge is not None:
            found.append(edge)
    if len(found) < 2:
        return None
    reach = float(np.median([e.reach_mm for e in found]))
    below = float(np.median([e.below_mm for e in found]))
    return Edge(_unrounded(field, centre_mm, normal, direction, reach, below), below)


def _corner(along: FloatArray, heights: FloatArray) -> Edge | None:
    """The first outermost point of a profile that falls away behind it."""
    best: tuple[float, Edge] | None = None
    back = round(2.0 / _STEP_MM)
    for k, (distance, height) in enumerate(zip(along, heights, strict=True)):
        fallen = not np.isfinite(height) or height < -DEEPEST_MM
        outward = -np.inf if fallen else distance + UPWARD * min(float(height), 0.0)
        if not fallen and height > RISE_MM and height - heights[max(k - back, 0)] > STEEP_MM:
            return None if best is None else best[1]
        if best is not None and outward < best[0] - FALL_MM:
            return best[1]
        if best is None or outward > best[0]:
            if fallen:
                continue
            best = (outward, Edge(float(distance), -float(height)))
    return None


def _unrounded(
    field: Field,
    centre_mm: FloatArray,
    normal: FloatArray,
    direction: FloatArray,
    reach: float,
    below: float,
) -> float:
    """The reach freed from the rounding that smoothing gives a sharp corner.

    The wall is met where it is no longer rounded, and followed up to the corner where it runs in on the
    way down.
    """
    sigma = SMOOTHING_VOXELS * along_mm(field.grid, direction)
    deep = 2 * SMOOTHING_VOXELS * along_mm(field.grid, normal)
    out = np.arange(-1.0, 2.0 * sigma + 0.1, 0.1)
    walls = []
    for depth in (below + deep, below + 2 * deep):
        values = field.at(centre_mm + (reach + out)[:, None] * direction - depth * normal)
        outside = np.flatnonzero(values < 0.5)
        walls.append(float(out[outside[0]]) if len(outside) else float(out[-1]))
    further = walls[0] + max(walls[0] - walls[1], 0.0)
    return reach + float(np.clip(further, 0.0, _ROUNDING * sigma + _STEP_MM))
