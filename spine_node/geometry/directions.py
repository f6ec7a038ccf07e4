"""Directions and the frames they span. Nothing here knows about voxels, files or vertebrae.

Everything is in the DICOM patient frame (LPS: +x left, +y posterior, +z superior) unless a frame is
named.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

PROJECTION_FLOOR = 1e-6
"""Shortest projected unit vector that still has a direction (dimensionless)."""


class DegenerateGeometry(ValueError):
    """The directions or points given do not determine what was asked for.

    Never reaches a user: whoever fits anatomy catches it and says what is missing.
    """


def unit(vector: ArrayLike) -> FloatArray:
    """A vector, shape (..., 3), scaled to length 1.

    Raises
    ------
    DegenerateGeometry
        If a vector has no length, and so no direction.
    """
    v = np.asarray(vector, dtype=np.float64)
    length = np.linalg.norm(v, axis=-1, keepdims=True)
    if not np.all(length > 1e-12):
        raise DegenerateGeometry("a vector of length 0 has no direction")
    return np.asarray(v / length)


def across(vector: ArrayLike, axis: ArrayLike) -> FloatArray:
    """Unit direction of the part of `vector`, shape (..., 3), that is perpendicular to `axis`.

    Raises
    ------
    DegenerateGeometry
        If `vector` is parallel to `axis` and so leaves no trace in the plane across it.
    """
    v, n = unit(vector), unit(axis)
    part = v - (v * n).sum(axis=-1, keepdims=True) * n
    if not np.all(np.linalg.norm(part, axis=-1) >= PROJECTION_FLOOR):
        raise DegenerateGeometry(
            "the direction is parallel to the plane normal and leaves no trace in the plane"
        )
    return unit(part)


def axes_from(cranial: ArrayLike, posterior: ArrayLike) -> FloatArray:
    """Right-handed axes whose Z is `cranial` and whose Y is as near as possible to `posterior`.

    Returns
    -------
    ndarray, shape (..., 3, 3)
        Columns left (X), posterior (Y), cranial (Z), each a unit vector.

    Raises
    ------
    DegenerateGeometry
        If the two directions are parallel.

    Examples
    --------
    >>> axes_from([0, 0, 2], [0, 1, 1]).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    z = unit(cranial)
    y = across(posterior, z)
    y, z = np.broadcast_arrays(y, z)
    return np.stack([np.cross(y, z), y, z], axis=-1)
