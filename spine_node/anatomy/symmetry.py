"""Left and right of a bone: the plane in which it is its own mirror image.

Vertebrae are mirrored with their posterior elements: a body alone is nearly round and shows no
rotation (Vrtovec, Phys Med Biol 2007, uses the same symmetry).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage, optimize

from spine_node.geometry.directions import axes_from
from spine_node.imaging.surface import Field
from spine_node.imaging.volume import FloatArray

STEP_MM = 1.5
"""Sampling of the projected bone."""

SEARCH_DEG = 24.0
"""How far the mirror plane may lie from the first guess."""

SEARCH_MM = 6.0
"""How far the mirror plane may lie beside the centre."""


def mirrored_axes(
    fields: Sequence[Field], corners_mm: FloatArray, centre_mm: FloatArray, axes: FloatArray
) -> tuple[FloatArray, float]:
    """Turn axes about their own Z until left and right are mirror images.

    Parameters
    ----------
    fields : sequence of Field
        The parts of the bone.
    corners_mm : ndarray, shape (n, 3)
        Points of the bone that say how far it reaches, LPS.
    centre_mm : ndarray, shape (3,)
        Where the mirror plane is looked for, LPS.
    axes : ndarray, shape (3, 3)
        First guess; columns left, posterior, cranial, LPS.

    Returns
    -------
    axes : ndarray, shape (3, 3)
    likeness : float
        Correlation of the left with the mirrored right half, up to 1.
    """
    image, origin = _seen_from_above(fields, corners_mm, centre_mm, axes)
    reach = float(np.abs((corners_mm - centre_mm) @ axes[:, :2]).max()) + 2
    across = np.arange(STEP_MM / 2, reach, STEP_MM)
    along = np.arange(-reach, reach, STEP_MM)
    s, t = (g.ravel() for g in np.meshgrid(across, along, indexing="ij"))

    def unlikeness(turn_and_shift: FloatArray) -> float:
        turn, shift = np.radians(turn_and_shift[0]), turn_and_shift[1]
        x = np.array([np.cos(turn), np.sin(turn)])
        y = np.array([-np.sin(turn), np.cos(turn)])
        left = _sample(image, origin, np.outer(s + shift, x) + np.outer(t, y))
        right = _sample(image, origin, np.outer(shift - s, x) + np.outer(t, y))
        return -float(left @ right / np.sqrt((left @ left) * (right @ right) + 1e-12))

    turns = np.arange(-SEARCH_DEG, SEARCH_DEG + 1, 4.0)
    starts = [np.array([a, b]) for a in turns for b in (-SEARCH_MM / 2, 0.0, SEARCH_MM / 2)]
    start = min(starts, key=unlikeness)
    best = optimize.minimize(
        unlikeness,
        start,
        method="Nelder-Mead",
        options={
            "initial_simplex": start + np.array([[0, 0], [2.0, 0], [0, 1.0]]),
            "xatol": 0.02,
            "fatol": 1e-7,
            "maxfev": 120,
        },
    )
    turn = np.radians(best.x[0])
    posterior = axes @ np.array([-np.sin(turn), np.cos(turn), 0.0])
    return axes_from(axes[:, 2], posterior), -float(best.fun)


def _seen_from_above(
    fields: Sequence[Field], corners_mm: FloatArray, centre_mm: FloatArray, axes: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Thickness of the bone along Z, shape (nx, ny), and the (x, y) of its first pixel."""
    local = (corners_mm - centre_mm) @ axes
    low, high = local.min(axis=0) - 3, local.max(axis=0) + 3
    ticks = [np.arange(low[k], high[k] + STEP_MM, STEP_MM) for k in range(3)]
    grid = np.stack(np.meshgrid(*ticks, indexing="ij"), axis=-1)
    points = centre_mm + grid @ axes.T
    thickness = np.sum([f.at(points).sum(axis=2) for f in fields], axis=0)
    return np.asarray(ndimage.gaussian_filter(thickness, 0.7)), low[:2]


def _sample(image: FloatArray, origin: FloatArray, xy: FloatArray) -> FloatArray:
    index = ((xy - origin) / STEP_MM).T
    return np.asarray(ndimage.map_coordinates(image, index, order=1, mode="constant"))
