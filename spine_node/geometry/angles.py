"""Signed angles between anatomical directions, one at a time or in stacks of shape (..., 3).

`slope_deg` and `coronal_tilt_deg` take a cranial normal in any frame whose axes mean left, posterior,
superior: LPS itself, or the patient frame. Signs are those of the package: a plate that faces forward
has a positive slope, a plate whose normal leans to the patient's left a positive coronal tilt.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from spine_node.geometry.directions import FloatArray, across, unit


def angle_in_plane_deg(first: ArrayLike, second: ArrayLike, normal: ArrayLike) -> FloatArray:
    """Turn from `first` to `second`, as seen in the plane with this `normal`.

    Parameters
    ----------
    first, second : array_like, shape (..., 3)
        Directions; length is ignored.
    normal : array_like, shape (..., 3)
        Plane normal. The right-hand rule about it fixes the sign.

    Returns
    -------
    ndarray, shape (...)
        Degrees in (-180, 180].

    Raises
    ------
    DegenerateGeometry
        If a direction is parallel to `normal` and so leaves no trace in the plane.

    Examples
    --------
    >>> float(angle_in_plane_deg([1, 0, 0], [0, 2, 0], normal=[0, 0, 1]))
    90.0
    """
    n = unit(normal)
    a, b = across(first, n), across(second, n)
    return np.asarray(np.degrees(np.arctan2((n * np.cross(a, b)).sum(axis=-1), (a * b).sum(axis=-1))))


def angle_between_deg(first: ArrayLike, second: ArrayLike) -> FloatArray:
    """Angle in space between two directions, degrees in [0, 180].

    Examples
    --------
    >>> float(angle_between_deg([1, 0, 0], [0, 0, 3]))
    90.0
    """
    a, b = unit(first), unit(second)
    return np.asarray(np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b), axis=-1), (a * b).sum(axis=-1))))


def slope_deg(normal: ArrayLike) -> FloatArray:
    """Sagittal slope of a plate with this cranial normal: positive when it faces forward.

    Examples
    --------
    >>> float(slope_deg([0, -1, 1]))
    45.0
    """
    n = unit(normal)
    return np.asarray(np.degrees(np.arctan2(-n[..., 1], n[..., 2])))


def coronal_tilt_deg(normal: ArrayLike) -> FloatArray:
    """Coronal tilt of a plate with this cranial normal: positive when it leans to the left.

    Examples
    --------
    >>> float(coronal_tilt_deg([1, 0, 1]))
    45.0
    """
    n = unit(normal)
    return np.asarray(np.degrees(np.arctan2(n[..., 0], n[..., 2])))


def wrapped_deg(angle: ArrayLike) -> FloatArray:
    """The same angle in (-180, 180].

    Examples
    --------
    >>> wrapped_deg([190.0, -180.0]).tolist()
    [-170.0, 180.0]
    """
    return np.asarray(180.0 - np.mod(180.0 - np.asarray(angle, dtype=np.float64), 360.0))
