"""Coronal curves: which vertebrae end a curve, found in the profile of endplate tilts.

Knows tilts and positions per level, not landmarks: numbers in, curves out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from spine_node.imaging.volume import FloatArray

SCOLIOSIS_DEG = 10.0
"""Smallest Cobb angle that is called a curve (SRS)."""

PROFILE_SWING_DEG = 7.0
"""Least swing of the smoothed profile over a curve. One endplate that is 2 degrees off moves the
smoothed profile by a quarter of that, so scatter alone does not make a curve; smoothing flattens the
ends of a true short curve of 10 degrees by less than 3."""

PLATEAU_DEG = 0.5
"""End vertebrae whose tilts differ less are equal; the one nearer the apex is taken."""


@dataclass(frozen=True, slots=True)
class Tilts:
    """Coronal tilt of one vertebra's endplates, degrees, left positive; None where not seen."""

    level: str
    superior_deg: float | None
    inferior_deg: float | None
    offset_mm: float
    height_mm: float

    @property
    def mean_deg(self) -> float | None:
        """Tilt of the vertebra as a whole."""
        seen = [t for t in (self.superior_deg, self.inferior_deg) if t is not None]
        return sum(seen) / len(seen) if seen else None


@dataclass(frozen=True, slots=True)
class Curve:
    """One curve, as positions in the list of vertebrae it was found in.

    `signed_deg` is positive for a curve convex to the right: its upper end vertebra leans left.
    `horizontal` is the vertebra whose tilt is nearest to 0, `furthest` the one furthest from the line
    between the end vertebrae; `apex` is the one reported.
    """

    upper: int
    lower: int
    apex: int
    horizontal: int
    furthest: int
    signed_deg: float


def find_curves(profile: Sequence[Tilts]) -> tuple[Curve, ...]:
    """Every curve of 10 degrees or more, cranial to caudal.

    Parameters
    ----------
    profile : sequence of Tilts
        Neighbouring vertebrae, cranial to caudal, each with at least one endplate.

    Notes
    -----
    The turning points of the smoothed vertebra tilts, at least `PROFILE_SWING_DEG` apart, say how many
    curves there are; the end vertebrae are then the neighbours (one level up or down) between whose
    own endplates the angle is largest.
    """
    smooth = _smoothed(np.array([t.mean_deg for t in profile], dtype=np.float64))
    turns = _turning_points(smooth, PROFILE_SWING_DEG)
    curves = []
    for first, last in pairwise(turns):
        found = _sharpest(profile, first, last)
        if found is not None and abs(found[2]) >= SCOLIOSIS_DEG:
            curves.append(_with_apex(profile, *found))
    return tuple(curves)


def _smoothed(tilts: FloatArray) -> FloatArray:
    padded = np.concatenate([tilts[:1], tilts, tilts[-1:]])
    return np.asarray(0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:])


def _turning_points(values: FloatArray, swing: float) -> list[int]:
    """Alternate highs and lows, each at least `swing` from the next, ends of the list included."""
    turns: list[int] = []
    low = high = 0
    rising: bool | None = None
    for i, value in enumerate(values):
        if rising is not False and value > values[high]:
            high = i
        if rising is not True and value < values[low]:
            low = i
        if rising is None:
            if value - values[low] >= swing:
                turns, rising, high = [low], True, i
            elif values[high] - value >= swing:
                turns, rising, low = [high], False, i
        elif rising and values[high] - value >= swing:
            turns, rising, low = [*turns, high], False, i
        elif not rising and value - values[low] >= swing:
            turns, rising, high = [*turns, low], True, i
    if rising is None:
        return []
    return [*turns, high if rising else low]


def _sharpest(profile: Sequence[Tilts], first: int, last: int) -> tuple[int, int, float] | None:
    """The end vertebrae near two turning points with the largest angle between them, and it."""
    sign: float | None = None
    candidates = []
    for upper in range(max(first - 1, 0), first + 2):
        for lower in range(last - 1, min(last + 2, len(profile))):
            above, below = profile[upper].superior_deg, profile[lower].inferior_deg
            if upper >= lower or above is None or below is None:
                continue
            candidates.append((upper, lower, above - below))
            if (upper, lower) == (first, last):
                sign = float(np.sign(above - below))
    if not candidates:
        return None
    if sign is None:
        sign = float(np.sign(max(candidates, key=lambda c: abs(c[2]))[2]))
    largest = max(sign * angle for *_, angle in candidates)
    near = [c for c in candidates if sign * c[2] > largest - PLATEAU_DEG]
    return min(near, key=lambda c: (c[1] - c[0], -sign * c[2]))


def _with_apex(profile: Sequence[Tilts], upper: int, lower: int, signed_deg: float) -> Curve:
    inside = list(range(upper, lower + 1))
    tilts = np.array([profile[i].mean_deg for i in inside], dtype=np.float64)
    offset = np.array([profile[i].offset_mm for i in inside])
    height = np.array([profile[i].height_mm for i in inside])
    chord = np.interp(-height, -height[[0, -1]], offset[[0, -1]])
    horizontal = inside[int(np.argmin(np.abs(tilts)))]
    furthest = inside[int(np.argmax(np.sign(-signed_deg) * (offset - chord)))]
    crosses = tilts.min() < 0 < tilts.max()
    return Curve(upper, lower, horizontal if crosses else furthest, horizontal, furthest, signed_deg)
