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

FEWEST = 3
"""Vertebrae of a curve: two ends and an apex. Less is the wedge of one disc or vertebra."""

PLATEAU_DEG = 0.5
"""End vertebrae whose tilts differ less are equal; the one nearer to the apex is taken. Above and below
a curve the spine is often straight, and which of its vertebrae leans most is then chance."""

APEX_LEVELS = 2
"""The most horizontal vertebra is the apex unless it is further than this from the one that stands
furthest to the side: then the whole curve leans, and the latter is."""


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
    curves there are. The end vertebrae are then those between the turns, one level beyond included,
    whose own outer endplates lean most.
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
    """End vertebrae of the curve between two turning points, and its signed angle."""
    tilts = np.array([t.mean_deg for t in profile], dtype=np.float64)
    sign = float(np.sign(tilts[first] - tilts[last]))
    seen = range(max(first - 1, 0), min(last + 2, len(profile)))
    above = {i: sign * t for i in seen if i < last and (t := profile[i].superior_deg) is not None}
    below = {i: -sign * t for i in seen if i > first and (t := profile[i].inferior_deg) is not None}
    if not above or not below:
        return None
    upper = max(i for i, t in above.items() if t > max(above.values()) - PLATEAU_DEG)
    lower = min(i for i, t in below.items() if t > max(below.values()) - PLATEAU_DEG)
    if lower - upper < FEWEST - 1:
        return None
    return upper, lower, sign * (above[upper] + below[lower])


def _with_apex(profile: Sequence[Tilts], upper: int, lower: int, signed_deg: float) -> Curve:
    """The curve with its apex, an end vertebra only where there is nothing between."""
    curve = profile[upper : lower + 1]
    offset = np.array([t.offset_mm for t in curve])
    height = np.array([t.height_mm for t in curve])
    chord = np.interp(-height, -height[[0, -1]], offset[[0, -1]])
    tilts = np.array([t.mean_deg for t in curve], dtype=np.float64)
    bulge = np.sign(-signed_deg) * (offset - chord)
    between = slice(1, -1) if len(curve) > 2 else slice(None)
    skipped = upper + (between.start or 0)
    horizontal = skipped + int(np.argmin(np.abs(tilts[between])))
    furthest = skipped + int(np.argmax(bulge[between]))
    apex = horizontal if abs(horizontal - furthest) <= APEX_LEVELS else furthest
    return Curve(upper, lower, apex, horizontal, furthest, signed_deg)
