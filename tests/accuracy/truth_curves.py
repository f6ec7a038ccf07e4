"""Curves: where they end, which way they point, and the true values for any pair of ends."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from tests.accuracy.frames import Array, between, cardan, tilt
from tests.accuracy.landmarks import Marks

SMALLEST_DEG = 10.0
"""A swing of the tilts smaller than this is no curve."""
TIE_DEG = 1.0
"""Tilts this close make neighbours equally good end vertebrae."""

CLEARLY_DEG = 3.0
"""End vertebrae that lean to opposite sides by this have an apex between them."""


@dataclass(frozen=True)
class Curve:
    """One curve of the true tilt profile.

    Attributes
    ----------
    uppers, lowers, apices : tuple of str
        The best level first, then every level that ties with it. No apex where the tilts do not pass
        through level between the ends: the flattest vertebra and the one furthest out then differ.
    side : str
        Convexity, "left" or "right".
    compensatory : bool
        It runs out to the end of the visible spine instead of turning back there.
    """

    uppers: tuple[str, ...]
    lowers: tuple[str, ...]
    apices: tuple[str, ...]
    side: str
    cobb: float
    compensatory: bool


def at_levels(marks: Marks, upper: str, apex: str | None, lower: str) -> dict[str, float]:
    """The true value of each key of a curve, were these its levels."""
    top, bottom = marks.vertebrae[upper].superior, marks.vertebrae[lower].inferior
    if top is None:
        return {}
    worst, azimuth = maximal_plane(top.normal, bottom.normal)
    found = {
        "COBB": abs(tilt(top.normal) - tilt(bottom.normal)),
        "COBB_3D": between(top.normal, bottom.normal),
        "COBB_PMC": float(worst),
        "PMC_AZ": azimuth,
    }
    if apex is None or apex not in marks.vertebrae:
        return found
    order = list(marks.vertebrae)
    k = order.index(apex)
    base = marks.s1.centre if apex[0] == "L" or apex in ("T12", "T13") else marks.vertebrae["C7"].centroid
    found["AVT"] = float(marks.vertebrae[apex].centroid[0] - base[0])
    found["AVR_APEX"] = cardan(marks.vertebrae[apex].axes)[2]
    above, below = (
        _twist(marks, order[order.index(upper) : k + 1]),
        _twist(marks, order[k : order.index(lower) + 1]),
    )
    found["TORSION"] = (abs(above) + abs(below)) / 2
    return found


def _twist(marks: Marks, levels: list[str]) -> float:
    total = 0.0
    for upper, lower in pairwise(levels):
        relative = marks.vertebrae[lower].axes.T @ marks.vertebrae[upper].axes
        total += cardan(relative)[2]
    return total


def maximal_plane(upper: Array, lower: Array) -> tuple[float, float]:
    """Largest projected angle over all vertical planes, and that plane's azimuth in degrees.

    0 is the frontal plane; +90 means convex backwards, -90 convex forwards.
    """

    def swing(azimuth: Array) -> Array:
        along = np.stack([np.cos(azimuth), np.sin(azimuth)])
        first, second = (np.arctan2(n[:2] @ along, n[2]) for n in (upper, lower))
        return first - second

    azimuths = np.linspace(0, np.pi, 1801)
    best = azimuths[np.argmax(np.abs(swing(azimuths)))]
    for width in (1e-3, 1e-5, 1e-7):
        near = best + np.linspace(-2, 2, 401) * width
        best = near[np.argmax(np.abs(swing(near)))]
    size = float(swing(np.array([best]))[0])
    convex = -np.sign(size) * np.array([np.cos(best), np.sin(best)])
    return abs(np.degrees(size)), float(np.degrees(np.arctan2(convex[1], abs(convex[0]))))


def curves(marks: Marks, levels: tuple[str, ...], s1_seen: bool) -> list[Curve]:
    """The curves that the tilts of these levels (C7 downwards) show, top to bottom."""
    profile: list[tuple[str, float]] = []
    for n in levels:
        v = marks.vertebrae[n]
        if v.superior is not None:
            profile += [(n, tilt(v.superior.normal)), (n, tilt(v.inferior.normal))]
    if s1_seen:
        profile.append(("S1", tilt(marks.s1.normal)))
    if len(profile) < 4:
        return []
    turns = _turning_points([t for _, t in profile])
    return [_curve(marks, levels, profile, a, b, a == 0 or b == len(profile) - 1) for a, b in pairwise(turns)]


def _turning_points(tilts: list[float]) -> list[int]:
    """Indices of extrema that alternate and differ by at least the smallest curve."""
    turns: list[int] = []
    low = high = 0
    rising: bool | None = None
    for k, value in enumerate(tilts):
        if value > tilts[high]:
            high = k
        if value < tilts[low]:
            low = k
        if rising is not False and value <= tilts[high] - SMALLEST_DEG and k > high:
            turns.append(high)
            rising, low = False, k
            high = k
        elif rising is not True and value >= tilts[low] + SMALLEST_DEG and k > low:
            turns.append(low)
            rising, high = True, k
            low = k
    if turns:
        turns.append(low if rising is False else high)
    return turns


def _curve(
    marks: Marks,
    levels: tuple[str, ...],
    profile: list[tuple[str, float]],
    first: int,
    last: int,
    compensatory: bool,
) -> Curve:
    sign = np.sign(profile[first][1] - profile[last][1])
    top = levels.index(profile[first][0])
    bottom = levels.index(profile[last][0]) if profile[last][0] != "S1" else len(levels) - 1
    inside = levels[max(top - 1, 0) : bottom + 2]
    inside = tuple(n for n in inside if marks.vertebrae[n].superior is not None)
    sup = {n: sign * tilt(marks.vertebrae[n].superior.normal) for n in inside}  # type: ignore[union-attr]
    inf = {n: -sign * tilt(marks.vertebrae[n].inferior.normal) for n in inside}
    uppers, lowers = _best(sup), _best(inf)
    between_ends = levels[levels.index(uppers[0]) : levels.index(lowers[0]) + 1]
    lean = {n: -abs(tilt(marks.vertebrae[n].axes[:, 2])) for n in between_ends}
    aside = {n: -sign * marks.vertebrae[n].centroid[0] for n in between_ends}
    # the level that lies furthest out and the one that lies flattest may differ by one
    crosses = sup[uppers[0]] > CLEARLY_DEG and inf[lowers[0]] > CLEARLY_DEG
    flat = (*_best(lean), max(aside, key=lambda n: aside[n]))
    apices = dict.fromkeys(flat if crosses else ())
    return Curve(
        uppers,
        lowers,
        tuple(apices),
        "right" if sign > 0 else "left",
        float(sup[uppers[0]] + inf[lowers[0]]),
        compensatory,
    )


def _best(scores: dict[str, float]) -> tuple[str, ...]:
    ranked = sorted(scores, key=lambda n: -scores[n])
    return tuple(n for n in ranked if scores[n] >= scores[ranked[0]] - TIE_DEG)
