"""Slope, tilt and turn of every plate, as absolute angles that add up to what was asked.

A profile gives each level its angle at the superior and at the inferior plate, degrees.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from tests.accuracy.dimensions import SIZES

Profile = dict[str, tuple[float, float]]


def sagittal_profile(
    levels: tuple[str, ...],
    ss: float,
    lordosis: float,
    kyphosis: float,
    c2_slope: float,
    rng: np.random.Generator,
) -> Profile:
    """Slopes from the sacrum up: LL L1-S1, TK T4-T12 and the slope of C2 come out as asked.

    Between these the turns are shared out as the usual wedges and discs of each level are, with some
    noise on each share.
    """
    upward = levels[::-1]
    steps = []  # disc below and body, from the sacrum up
    for level in upward:
        steps += [(level, "disc"), (level, "body")]
    usual = np.array(
        [SIZES[n].disc_angle if part == "disc" else SIZES[n].wedge for n, part in steps], dtype=float
    )
    index = {step: k for k, step in enumerate(steps)}
    noisy = usual + rng.normal(0, 1.0, len(steps))
    slope = {}
    # the plates after each step, with the angles that are fixed
    fixed = {-1: ss, index["L1", "body"]: ss - lordosis}
    t12 = index["T12", "body"]
    below_t12 = ss - lordosis + float(noisy[index["L1", "body"] + 1 : t12].sum())
    fixed[t12 - 1] = below_t12
    fixed[index["T4", "body"]] = below_t12 + kyphosis
    fixed[index["C2", "disc"]] = c2_slope
    fixed[index["C2", "body"]] = c2_slope
    anchors = sorted(fixed)
    for low, high in pairwise(anchors):
        part = noisy[low + 1 : high + 1]
        rest = fixed[high] - fixed[low] - part.sum()
        share = np.abs(usual[low + 1 : high + 1]) + 1.5
        angles = fixed[low] + np.cumsum(part + rest * share / share.sum())
        slope.update({k: float(a) for k, a in zip(range(low + 1, high + 1), angles, strict=True)})
    return {n: (slope[index[n, "body"]], slope[index[n, "disc"]]) for n in levels}


def coronal_profile(
    levels: tuple[str, ...], count: int, largest: float, base: float, rng: np.random.Generator
) -> tuple[Profile, tuple[tuple[str, str, float], ...]]:
    """Tilts with `count` curves, and the curves as (upper, lower, signed Cobb; right convex +).

    The two plates of an end vertebra share one tilt; between end vertebrae the tilt runs smoothly and
    never turns back. `base` is the tilt that the lowest disc is drawn to.
    """
    noise = rng.normal(0, 0.25, (len(levels), 2))
    first, last = levels.index("C7"), len(levels) - 1
    if count == 0:
        lean = rng.normal(0, 1.0)
        return {n: (lean + noise[k, 0], lean + noise[k, 1]) for k, n in enumerate(levels)}, ()
    spans = {1: (5, 8), 2: (4, 7), 3: (4, 6)}[count]
    while True:
        gaps = [int(g) for g in rng.integers(spans[0], spans[1] + 1, count)]
        top = int(rng.integers(first + 1, last))
        if top + sum(gaps) <= last - 1:
            break
    ends = [top + sum(gaps[:k]) for k in range(count + 1)]
    side = rng.choice([-1.0, 1.0])
    cobbs = [largest * (1.0 if k == 0 else rng.uniform(0.45, 1.0)) for k in range(count)]
    limit = [12.0 * gap for gap in gaps]
    cobbs = [min(c, m) for c, m in zip(cobbs, limit, strict=True)]
    rng.shuffle(cobbs)
    knots = [side * cobbs[0] * rng.uniform(0.4, 0.6)]
    for k, cobb in enumerate(cobbs):
        knots.append(knots[-1] - side * (-1) ** k * cobb)
    shift = (max(knots) + min(knots)) / 2 * rng.uniform(0.3, 1.0)
    knots = [t - shift for t in knots]
    places = [-2.0, float(max(first - 1, 0)) - 0.3]
    angles = [0.0, 0.0]
    for end, angle in zip(ends, knots, strict=True):
        places += [end - 0.3, end + 0.3]
        angles += [angle, angle]
    if ends[-1] < last:
        places.append(last + 0.7)
        angles.append(base)
    smooth = float(rng.uniform(0.3, 0.8))

    def at(place: float) -> float:
        k = min(int(np.searchsorted(places, place, side="right")) - 1, len(places) - 2)
        t = min((place - places[k]) / (places[k + 1] - places[k]), 1.0)
        eased = smooth * (1 - np.cos(np.pi * t)) / 2 + (1 - smooth) * t
        return float(angles[k] + (angles[k + 1] - angles[k]) * eased)

    profile = {n: (at(k - 0.3) + noise[k, 0], at(k + 0.3) + noise[k, 1]) for k, n in enumerate(levels)}
    curves = [(levels[ends[k]], levels[ends[k + 1]], knots[k] - knots[k + 1]) for k in range(count)]
    return profile, tuple(curves)


def rotation_profile(
    levels: tuple[str, ...], curves: tuple[tuple[str, str, float], ...], rng: np.random.Generator
) -> dict[str, float]:
    """Axial turns: largest at the apices, towards the convexity, nothing at the end vertebrae."""
    turns = rng.normal(0, 1.2, len(levels)) + rng.normal(0, 1.5)
    for upper, lower, cobb in curves:
        u, low = levels.index(upper), levels.index(lower)
        peak = -np.sign(cobb) * min(abs(cobb) * rng.uniform(0.2, 0.7), 50.0, 6.0 * (low - u))
        for k in range(u, low + 1):
            turns[k] += peak * np.sin(np.pi * (k - u) / (low - u)) ** 1.5
    return {n: float(np.clip(t, -50, 50)) for n, t in zip(levels, turns, strict=True)}
