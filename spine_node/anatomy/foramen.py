"""The vertebral foramen of one vertebra, seen along the spine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spine_node.imaging.volume import FloatArray

DIRECTIONS, REACH_MM = 24, 26.0
"""How one looks around from a place in the canal: in so many directions, so far."""

SURROUNDED = (1.0, 0.85, 0.7)
"""In the canal there is bone in this share of directions; less where laminae are open, cut or lost."""

LEAST_AREA_MM2 = 25.0
"""Smaller places are foramina of transverse processes, or gaps of a poor outline."""

DEPTH_MM = (-4.0, 45.0)
"""How far behind the thick places of a vertebra the middle of its canal may lie."""

ASIDE_MM = 14.0
"""How far beside the thick places the canal may lie."""

_RING = 0.3
"""Lower than one half: a thin lamina is to close the ring."""


def find_foramen(x: FloatArray, y: FloatArray, values: FloatArray) -> tuple[FloatArray, FloatArray] | None:
    """The box of the canal: the place that bone surrounds.

    Parameters
    ----------
    x, y : ndarray, shape (nx,) and (ny,)
        Equally spaced places to the left and to the back, mm from the body.
    values : ndarray, shape (nx, ny, nz)
        How much bone is there, 0 to 1; the last axis runs along the spine.

    Returns
    -------
    low, high : ndarray, shape (2,)
        Corners (x, y) in mm; None where nothing is surrounded (no arch).
    """
    step = float(x[1] - x[0])
    shadow = np.asarray((values > _RING).any(axis=2))
    around = _surrounded(shadow, step)
    for share in SURROUNDED:
        places, count = ndimage.label((around >= share) & ~shadow)
        best: FloatArray | None = None
        for k in range(1, count + 1):
            index = np.argwhere(places == k)
            at = np.column_stack([x[index[:, 0]], y[index[:, 1]]])
            middle = at.mean(axis=0)
            if (
                abs(middle[0]) < ASIDE_MM
                and DEPTH_MM[0] < middle[1] < DEPTH_MM[1]
                and len(at) * step**2 >= LEAST_AREA_MM2
                and (best is None or len(at) > len(best))
            ):
                best = at
        if best is not None:
            return _to_its_walls(x, y, shadow, best.min(axis=0), best.max(axis=0))
    return None


def _surrounded(mask: NDArray[np.bool_], step_mm: float) -> FloatArray:
    """Share of directions in which there is bone within reach, shape of the mask (nx, ny)."""
    reach = round(REACH_MM / step_mm)
    padded = np.pad(mask, reach)
    seen = np.zeros(mask.shape)
    for angle in np.arange(DIRECTIONS) * 2 * np.pi / DIRECTIONS:
        hit = np.zeros(mask.shape, bool)
        for distance in range(1, reach + 1):
            i, j = (reach + round(distance * f) for f in (np.cos(angle), np.sin(angle)))
            hit |= padded[i : i + mask.shape[0], j : j + mask.shape[1]]
        seen += hit
    return seen / DIRECTIONS


def _to_its_walls(
    x: FloatArray, y: FloatArray, shadow: NDArray[np.bool_], low: FloatArray, high: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """The box of a place in the canal, widened or narrowed to the bone on its four sides."""
    step = float(x[1] - x[0])
    low, high = low.copy(), high.copy()
    for axis, along in ((0, x), (1, y)):
        middle = (low + high) / 2
        i, j = (int(np.argmin(np.abs(a - m))) for a, m in zip((x, y), middle, strict=True))
        bone = along[shadow[:, j] if axis == 0 else shadow[i]]
        before, behind = bone[bone < middle[axis]], bone[bone > middle[axis]]
        if len(before) and middle[axis] - before[-1] < REACH_MM:
            low[axis] = before[-1] + step
        if len(behind) and behind[0] - middle[axis] < REACH_MM:
            high[axis] = behind[0] - step
    return low, high
