"""Profiles along a spine: how slopes, tilts and rotations are shared out between bodies and discs.

Arrays run from the sacrum up, as a standing spine is stacked; columns are (inferior, superior) endplate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from spine_node.phantom.dimensions import LevelSize

Profile = NDArray[np.float64]

MOST_TILT_DEG = 112.0
"""Largest coronal angle between any two endplates of a spine."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A scoliotic curve as it is asked for.

    Attributes
    ----------
    apex : float
        Position counted in levels upward from the lowest vertebra (0).
    half_length : float
        Levels from apex to an end vertebra.
    angle_deg : float
        Change of tilt over the curve; positive is convex to the right.
    rotation_ratio : float
        Apical rotation towards the convexity over the angle.
    """

    apex: float
    half_length: float
    angle_deg: float
    rotation_ratio: float


def own_size(
    size: LevelSize, scale: float, stretch: Profile, variation: float, rng: np.random.Generator
) -> LevelSize:
    """The average level at this person's size, each length varied by some per cent.

    `stretch` holds factors for width, depth and height of this person's bodies, shape (3,).
    """
    angles = {"wedge_deg", "disc_deg", "spinous_drop_deg"}
    factor = {
        name: scale
        * float(np.exp(variation * rng.normal(0, 0.15 if name in {"disc_mm", "spinous_mm"} else 0.05)))
        for name in size.__dataclass_fields__
        if name not in angles
    }
    for name, by in zip(("width_mm", "depth_mm", "height_mm"), stretch, strict=True):
        factor[name] *= float(by)
    changes = {name: getattr(size, name) * by for name, by in factor.items()}
    changes["spinous_drop_deg"] = size.spinous_drop_deg + variation * float(rng.normal(0, 5))
    return replace(size, **changes)


def kept_apart(
    size: LevelSize, slope: Profile, below_slope: float, tilt: Profile, below_tilt: float
) -> LevelSize:
    """Heights that keep both edges of body and disc apart, however strongly they are wedged."""

    def least(d_slope: float, d_tilt: float, gap_mm: float) -> float:
        sagittal = size.depth_mm / 2 * np.tan(np.radians(abs(d_slope)))
        coronal = size.width_mm / 2 * np.tan(np.radians(abs(d_tilt)))
        return float(gap_mm + np.hypot(sagittal, coronal))

    disc = max(size.disc_mm, least(slope[0] - below_slope, tilt[0] - below_tilt, 1.5))
    body = max(size.height_mm, least(slope[1] - slope[0], tilt[1] - tilt[0], 0.45 * size.height_mm))
    return replace(size, disc_mm=disc, height_mm=body)


def slopes(
    up: Sequence[str],
    sizes: Sequence[LevelSize],
    SS: float,
    LL: float,
    TK: float,
    C2_slope: float,
    fractures: Mapping[str, float],
    variation: float,
    rng: np.random.Generator,
) -> Profile:
    """Slopes (inferior, superior) per vertebra, from the sacrum up, shape (n, 2), degrees.

    `fractures` gives degrees of kyphotic wedging per level; the rest of the region makes up for it.
    """
    # columns: disc below, body
    change = np.array([[s.disc_deg, s.wedge_deg] for s in sizes], dtype=np.float64)
    change += variation * rng.normal(0, 1.0, change.shape)
    weight = np.abs(change) * np.array([1.0, 0.5]) + np.array([0.8, 0.3])
    weight *= np.exp(variation * rng.normal(0, 0.25, weight.shape))
    lumbar = np.array([[level[0] == "L"] * 2 for level in up])
    thoracic = np.array([[level[0] == "T" and 4 <= int(level[1:]) <= 12] * 2 for level in up])
    thoracic[int(np.argmax(thoracic[:, 1])), 0] = False  # TK starts at the lowest inferior endplate
    for level, extra in fractures.items():
        row = up.index(level)
        change[row, 1] += extra
        weight[row, 1] = 0
    cervical = np.array([[level[0] == "C"] * 2 for level in up])

    def aim(where: Profile, total: float) -> None:
        change[where] += (total - change[where].sum()) * weight[where] / weight[where].sum()

    aim(lumbar, -LL)
    aim(thoracic, TK)
    t1_slope = SS + change[~cervical].sum()
    if cervical.any():
        aim(cervical, C2_slope - t1_slope)
    return np.asarray(SS + np.cumsum(change.ravel()).reshape(change.shape))


def _bump(where: Profile, apex: float, half_length: float) -> Profile:
    """Integral of a raised-cosine window of unit area from -infinity to `where` (levels)."""
    u = np.clip((where - apex) / half_length, -1, 1)
    return (u + 1) / 2 + np.sin(np.pi * u) / (2 * np.pi)


def tilts(
    up: Sequence[str],
    sizes: Sequence[LevelSize],
    curves: Sequence[Curve],
    s1_tilt: float,
    balance_mm: float,
    variation: float,
    rng: np.random.Generator,
) -> Profile:
    """Coronal tilts (inferior, superior) per vertebra, from the sacrum up, shape (n, 2), degrees.

    Fractional curves above and below bring C7 to `balance_mm` and level; the curves asked for are made
    so much steeper that they have their angle in spite of them.
    """
    n = len(up)
    # a disc takes the 0.6 of a level's share below its vertebra, the body 0.4
    edges = np.stack([np.arange(n) - 0.5 + 0.6, np.arange(n) + 0.5], axis=1)
    scatter = variation * rng.normal(0, 0.4, (n, 2))
    if not curves:
        return np.asarray(s1_tilt + scatter)
    top = next((k for k, level in enumerate(up) if level == "C7"), n - 1)
    reach = np.array([s.height_mm + s.disc_mm for s in sizes])[: top + 1]

    def profile(apex: float, half_length: float) -> Profile:
        return _bump(edges, apex, half_length) - _bump(np.array(-0.5), apex, half_length)

    def offset(t: Profile) -> float:
        return float(np.sum(np.sin(np.radians(t[: top + 1].mean(axis=1))) * reach))

    lowest = min(curves, key=lambda c: c.apex)
    highest = max(curves, key=lambda c: c.apex)
    caudal = profile(max(lowest.apex - lowest.half_length, 0.2), max(2.2, lowest.half_length * 0.8))
    cranial = profile(highest.apex + highest.half_length, max(2.5, highest.half_length * 0.8))
    ends = np.stack([caudal, cranial])
    own = np.stack([profile(c.apex, c.half_length) for c in curves])
    asked = np.array([c.angle_deg for c in curves])
    # a body prefers to lean a little over a violent counter-curve
    wish = np.array([2.0, 8.0, *[0.5 * max(np.abs(asked).max(), 1.0)] * 2])
    angle, amount = asked, np.array([-0.5 * lowest.angle_deg, -0.5 * highest.angle_deg])
    for _ in range(4):
        bent = s1_tilt + scatter + np.tensordot(angle, own, axes=1)

        def strain(amount: Profile, bent: Profile = bent) -> Profile:
            t = bent + np.tensordot(amount, ends, axes=1)
            return np.array([t[top, 1], offset(t) - balance_mm, *amount]) / wish

        amount = _least_squares(strain, amount)
        tilt = bent + np.tensordot(amount, ends, axes=1)
        found = np.array([_cobb(tilt, c) for c in curves])
        if np.all(np.abs(found - np.abs(asked)) < 0.3):
            break
        angle = angle * np.clip(np.abs(asked) / np.maximum(found, 1.0), 0.5, 1.6)
    swing = float(np.ptp(tilt))
    return np.asarray(s1_tilt + (tilt - s1_tilt) * min(1.0, MOST_TILT_DEG / max(swing, 1e-9)))


def _cobb(tilt: Profile, curve: Curve) -> float:
    """The largest angle over the curve's apex towards its side, within half a length beyond its ends."""
    where = np.arange(len(tilt))
    near = np.abs(where - curve.apex) <= 1.5 * curve.half_length
    side = np.sign(curve.angle_deg)
    above, below = near & (where > curve.apex), near & (where < curve.apex)
    if not above.any() or not below.any():
        return abs(curve.angle_deg)
    return float((side * tilt[above, 1]).max() - (side * tilt[below, 0]).min())


def _least_squares(strain: Callable[[Profile], Profile], start: Profile, small: float = 0.01) -> Profile:
    """Gauss-Newton with halved steps: the strains are smooth and their minimum is near."""
    x, now = start, strain(start)
    for _ in range(8):
        slope = np.stack([(strain(x + small * e) - now) / small for e in np.eye(len(x))], axis=1)
        step = np.linalg.lstsq(slope, -now, rcond=None)[0]
        for _ in range(5):
            there = strain(x + step)
            if there @ there < now @ now:
                break
            step = step / 2
        else:
            return x
        x, now = x + step, there
        if np.abs(step).max() < 0.01:
            break
    return x


def rotations(n: int, curves: Sequence[Curve], variation: float, rng: np.random.Generator) -> Profile:
    """Axial rotation per vertebra, from the sacrum up; a right convexity turns the body right (-)."""
    where = np.arange(n)
    rotation = variation * rng.normal(0, 0.8, n)
    for c in curves:
        u = np.clip((where - c.apex) / (1.3 * c.half_length), -1, 1)
        rotation += -c.angle_deg * c.rotation_ratio * np.cos(np.pi / 2 * u) ** 2
    return rotation
