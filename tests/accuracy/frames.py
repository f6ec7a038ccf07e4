"""Directions of the accuracy phantom: plate attitudes, vertebral frames, and the angles between them.

LPS mm (+x left, +y posterior, +z superior), degrees. Written from the definitions alone; nothing here
is shared with the measuring code, so that agreement between the two means something.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

UP = np.array([0.0, 0.0, 1.0])


def unit(vector: ArrayLike) -> Array:
    """The direction of a vector, shape (3,)."""
    v = np.asarray(vector, dtype=float)
    return v / np.linalg.norm(v)


def across(vector: Array, normal: Array) -> Array:
    """The direction of a vector once it is laid into the plane with this unit normal."""
    return unit(vector - normal * (vector @ normal))


def plate_normal(slope: float, tilt: float) -> Array:
    """The cranial normal that faces forward by `slope` and leans to the left by `tilt`, degrees."""
    return unit([np.tan(np.radians(tilt)), -np.tan(np.radians(slope)), 1.0])


def slope(normal: Array) -> float:
    """Degrees by which a cranial direction leans forward, seen from the side."""
    return float(np.degrees(np.arctan2(-normal[1], normal[2])))


def tilt(normal: Array) -> float:
    """Degrees by which a cranial direction leans to the left, seen from the front."""
    return float(np.degrees(np.arctan2(normal[0], normal[2])))


def between(first: Array, second: Array) -> float:
    """The unsigned angle in space, degrees."""
    cross = np.linalg.norm(np.cross(first, second))
    return float(np.degrees(np.arctan2(cross, first @ second)))


def about(axis: int, degrees: float) -> Array:
    """Right-handed rotation about x (0), y (1) or z (2), shape (3, 3)."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    j, k = (axis + 1) % 3, (axis + 2) % 3
    turn = np.eye(3)
    turn[j, j] = turn[k, k] = c
    turn[j, k], turn[k, j] = -s, s
    return turn


def attitude(lateral: float, sagittal: float, axial: float) -> Array:
    """Ry(lateral) Rx(sagittal) Rz(axial), columns X (left), Y (posterior), Z (cranial)."""
    return about(1, lateral) @ about(0, sagittal) @ about(2, axial)


def cardan(turn: Array) -> tuple[float, float, float]:
    """Lateral, sagittal and axial degrees of a rotation, in the order of `attitude`."""
    z = turn[:, 2]
    lateral = float(np.degrees(np.arctan2(z[0], z[2])))
    sagittal = float(np.degrees(np.arctan2(-z[1], np.hypot(z[0], z[2]))))
    rest = about(0, -sagittal) @ about(1, -lateral) @ turn
    return lateral, sagittal, float(np.degrees(np.arctan2(rest[1, 0], rest[0, 0])))


def standing_on(z: Array, axial: float) -> Array:
    """The frame whose cranial axis is `z` and whose axial rotation (left +) is given."""
    lateral, sagittal, _ = cardan(np.column_stack([unit(np.cross([0, 1, 0], z)), np.zeros(3), z]))
    return attitude(lateral, sagittal, axial)


def fold(degrees: float) -> float:
    """An angle difference brought into (-180, 180]."""
    return float(180 - (180 - degrees) % 360)
