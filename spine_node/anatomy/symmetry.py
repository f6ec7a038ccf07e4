"""Left and right of a bone: the plane in which it is its own mirror image.

Vertebrae are mirrored with their posterior elements: a body alone is nearly round and shows no
rotation (Vrtovec, Phys Med Biol 2007, uses the same symmetry). What one side lacks, a process broken
off or cut away, has no mirror image: such places are left out of the comparison, little by little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from spine_node.geometry.directions import axes_from
from spine_node.imaging.surface import Field
from spine_node.imaging.volume import FloatArray

STEP_MM = 1.5
"""Pixels of the bone as it is seen along its own axis."""

DEPTH_STEP_MM = 2.0
"""Sampling along that axis, over which the bone is summed."""

OPAQUE_MM = 10.0
"""Bone this thick is half as dark as bone can be: the thick body is not to drown its processes."""

SEARCH_DEG = 28.0
"""How far the mirror plane may lie from the first guess."""

SEARCH_MM = 9.0
"""How far the mirror plane may lie beside the centre."""

VERY_UNLIKE, UNLIKE = 0.3, 0.14
"""Differences of darkness (0 to 1) from which a place hardly counts: at the beginning, and in the end."""

ALIKE_MM2 = 225.0
"""Area in which differences of the two sides are not independent: a process is thicker as a whole."""

LEAST_DEG = 0.1
"""The plane is never known better: what voxels alone cost on exact phantoms."""

_COARSE_MM, _COARSE_TURN = 3.0, np.radians(4.0)
_STARTS, _STILL_LIKELY = 3, 1.3
_ROUNDS, _SETTLED = 12, np.radians(0.01)
_LARGEST_STEP = np.array([0.1, 2.0])


@dataclass(frozen=True, slots=True, eq=False)
class Mirror:
    """Axes whose X is across the mirror plane of a bone.

    Attributes
    ----------
    axes : ndarray, shape (3, 3)
        Columns left, posterior, cranial, LPS.
    spread_deg : float
        Standard deviation of the turn about Z, from how unlike the two sides are; that of Z is not in it.
    likeness : float
        Correlation of the left with the mirrored right half, up to 1.
    """

    axes: FloatArray
    spread_deg: float
    likeness: float


def find_mirror(fields: Sequence[Field], centre_mm: FloatArray, axes: FloatArray) -> Mirror:
    """Turn axes about their own Z until left and right are mirror images.

    Parameters
    ----------
    fields : sequence of Field
        The parts of the bone.
    centre_mm : ndarray, shape (3,)
        Where the mirror plane is looked for, LPS.
    axes : ndarray, shape (3, 3)
        First guess; columns left, posterior, cranial, LPS.
    """
    seen = _from_above(fields, centre_mm, axes)
    best = min((_settled(seen, *start) for start in _starts(seen)), key=lambda found: found.cost)
    posterior = axes @ np.array([-np.sin(best.turn), np.cos(best.turn), 0.0])
    spread_deg = float(np.hypot(np.degrees(best.spread), LEAST_DEG))
    return Mirror(axes_from(axes[:, 2], posterior), spread_deg, best.likeness)


@dataclass(frozen=True, slots=True)
class _Found:
    """Where a search ended; turn and its standard deviation in radians."""

    cost: float
    turn: float
    spread: float
    likeness: float


class _Seen:
    """How dark the bone is along its axis, 0 to 1, at places (x, y) in mm from the centre."""

    def __init__(self, image: FloatArray, low: FloatArray) -> None:
        self.image, self.low = image, low
        high = low + STEP_MM * np.array(image.shape)
        self.reach_mm = float(np.hypot(*np.maximum(-low, high)))
        padded = np.pad(image, 1)
        self._size = padded.shape
        slopes = (g / STEP_MM for g in np.gradient(padded))
        self._layers = np.stack([padded, *slopes], axis=-1).reshape(-1, 3)

    def at(self, xy: FloatArray) -> FloatArray:
        """Darkness and its slopes along x and y, shape (n, 2) to (n, 3)."""
        index = (xy - self.low) / STEP_MM + 1
        first = np.clip(index.astype(np.intp), 0, np.array(self._size) - 2)
        right, up = np.split(np.clip(index - first, 0, 1), 2, axis=1)
        flat = first[:, 0] * self._size[1] + first[:, 1]
        a, b, c, d = (self._layers[flat + k] for k in (0, self._size[1], 1, self._size[1] + 1))
        return np.asarray((a * (1 - right) + b * right) * (1 - up) + (c * (1 - right) + d * right) * up)


def _from_above(fields: Sequence[Field], centre_mm: FloatArray, axes: FloatArray) -> _Seen:
    inside = [(_some_inside(f) - centre_mm) @ axes for f in fields]
    lows, highs = (np.array([corner(p, axis=0) for p in inside]) for corner in (np.min, np.max))
    lows, highs = lows - 4, highs + 4  # some are 3 mm apart
    steps = (STEP_MM, STEP_MM, DEPTH_STEP_MM)
    ticks = [np.arange(a - s, b + 2 * s, s) for a, b, s in zip(lows.min(0), highs.max(0), steps, strict=True)]
    thick = np.zeros((len(ticks[0]), len(ticks[1])))
    for field, low, high in zip(fields, lows, highs, strict=True):
        part = [slice(*np.searchsorted(t, ends)) for t, *ends in zip(ticks, low, high, strict=True)]
        cut = (t[p] for t, p in zip(ticks, part, strict=True))
        places = np.stack(np.meshgrid(*cut, indexing="ij"), axis=-1)
        thick[part[0], part[1]] += DEPTH_STEP_MM * field.at(centre_mm + places @ axes.T).sum(axis=2)
    dark = ndimage.gaussian_filter(thick / (thick + OPAQUE_MM), 0.7)
    return _Seen(dark, np.array([ticks[0][0], ticks[1][0]]))


def _some_inside(field: Field) -> FloatArray:
    """Voxels of the bone some 3 mm apart, LPS, shape (n, 3)."""
    every = np.maximum(1, 3 // field.grid.spacing_mm).astype(int)
    a, b, c = every
    return field.grid.to_mm(np.argwhere(field.values[::a, ::b, ::c] >= 0.5) * every)


def _starts(seen: _Seen) -> list[tuple[float, float]]:
    """Turns (radians) and shifts (mm) at which the sides are alike, more than at those around; best first."""
    half = int(np.ceil(seen.reach_mm / _COARSE_MM))
    u = np.arange(-half, half + 1) * _COARSE_MM
    steps = round(np.radians(SEARCH_DEG) / _COARSE_TURN)
    turns = np.arange(-steps, steps + 1) * _COARSE_TURN
    gu, gv = np.meshgrid(u, u, indexing="ij")
    c, s = np.cos(turns)[:, None, None], np.sin(turns)[:, None, None]
    index = np.stack([c * gu - s * gv - seen.low[0], s * gu + c * gv - seen.low[1]]) / STEP_MM
    views = ndimage.map_coordinates(ndimage.gaussian_filter(seen.image, 1.0), index, order=1)
    furthest = int(2 * SEARCH_MM / _COARSE_MM)
    cost = np.empty((2 * furthest + 1, len(turns)))
    for k in range(-furthest, furthest + 1):
        # mirrored in the plane half k steps aside, column i becomes 2 half + k - i
        columns = views[:, max(0, k) : len(u) + min(0, k)]
        cost[k + furthest] = _unlikeness(columns - columns[:, ::-1], VERY_UNLIKE).sum(axis=(1, 2))
    shift = (cost.argmin(axis=0) - furthest) * _COARSE_MM / 2
    least = cost.min(axis=0)
    around = np.pad(least, 1, constant_values=np.inf)
    hollows = np.flatnonzero((least <= around[:-2]) & (least <= around[2:]))
    hollows = hollows[np.argsort(least[hollows], kind="stable")][:_STARTS]
    return [(float(turns[i]), float(shift[i])) for i in hollows if least[i] <= _STILL_LIKELY * least.min()]


def _unlikeness(difference: FloatArray, band: float) -> FloatArray:
    """Geman and McClure's cost: a square that levels off at 1 beyond the band."""
    square = difference**2
    return np.asarray(square / (square + band**2))


def _settled(seen: _Seen, turn: float, shift: float) -> _Found:
    """Where Gauss-Newton steps from this turn (radians) and shift (mm) end."""
    s, t = (
        g.ravel()
        for g in np.meshgrid(
            np.arange(STEP_MM / 2, seen.reach_mm, STEP_MM),
            np.arange(-seen.reach_mm, seen.reach_mm, STEP_MM),
            indexing="ij",
        )
    )
    band = VERY_UNLIKE
    for k in range(_ROUNDS):
        x, y = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        left, right = ((shift + side * s)[:, None] * x + t[:, None] * y for side in (1, -1))
        if k == 0:  # the rest of the square is empty on both sides
            near = _near_bone(seen, left) | _near_bone(seen, right)
            s, t, left, right = s[near], t[near], left[near], right[near]
        a, b = seen.at(left), seen.at(right)
        unlike = a[:, 0] - b[:, 0]
        by_turn = a[:, 2] * left[:, 0] - a[:, 1] * left[:, 1] - b[:, 2] * right[:, 0] + b[:, 1] * right[:, 1]
        change = np.stack([by_turn, (a[:, 1:] - b[:, 1:]) @ x])
        weights = 1 / (1 + (unlike / band) ** 2) ** 2
        normal = (change * weights) @ change.T + 1e-9 * np.eye(2)
        step = np.clip(-np.linalg.solve(normal, change @ (weights * unlike)), -_LARGEST_STEP, _LARGEST_STEP)
        turn, shift = turn + float(step[0]), shift + float(step[1])
        if band == UNLIKE and abs(step[0]) < _SETTLED:
            break
        band = max(UNLIKE, 0.7 * band)
    scatter = float((weights * unlike**2).sum() / weights.sum()) * ALIKE_MM2 / STEP_MM**2
    spread = float(np.sqrt(scatter * np.linalg.inv(normal)[0, 0]))
    p, q = a[:, 0], b[:, 0]
    likeness = float(p @ q / np.sqrt((p @ p) * (q @ q) + 1e-12))
    return _Found(float(_unlikeness(unlike, UNLIKE).sum()), turn, spread, likeness)


def _near_bone(seen: _Seen, xy: FloatArray) -> np.ndarray:
    margin = 3 * STEP_MM
    high = seen.low + STEP_MM * np.array(seen.image.shape)
    return np.asarray(((xy > seen.low - margin) & (xy < high + margin)).all(axis=1))
