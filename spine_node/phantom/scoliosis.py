"""Which coronal curves a person has: none, or one to three as scoliosis shows them.

Patterns are those of Lenke (J Bone Joint Surg Am 2001;83:1169), about as often as in surgical series;
sizes 45 % below 10 degrees, 30 % to 25, 20 % to 60, 5 % to 100. At the apex the vertebra turns to the
convex side by 0.3 to 0.7 of the angle, at most `MOST_ROTATION_DEG`.
"""

from __future__ import annotations

import numpy as np

from spine_node.phantom.profiles import Curve
from spine_node.phantom.variants import LEVELS_DOWN

SIZES_DEG = ((0.45, 0.0, 10.0), (0.30, 10.0, 25.0), (0.20, 25.0, 60.0), (0.05, 60.0, 100.0))
"""Share of people, and between which angles their largest curve lies."""

LENKE = (0.45, 0.18, 0.11, 0.03, 0.14, 0.09)
"""Share of types 1 to 6: main thoracic, double thoracic, double major, triple, (thoraco)lumbar, both."""

RIGHT_THORACIC = 0.85
"""Share of main thoracic curves that are convex to the right; lumbar ones are then convex to the left."""

MOST_ROTATION_DEG = 45.0


def draw_angle(rng: np.random.Generator, *, least_deg: float = 0.0, most_deg: float = 100.0) -> float:
    """Size of a person's largest curve; the limits are among those of `SIZES_DEG`."""
    sizes = [(share, low, high) for share, low, high in SIZES_DEG if least_deg <= low and high <= most_deg]
    share = np.array([s[0] for s in sizes])
    _, low, high = sizes[int(rng.choice(len(sizes), p=share / share.sum()))]
    return float(rng.uniform(low, high))


def draw_curves(rng: np.random.Generator, lumbar: int, angle_deg: float) -> tuple[Curve, ...]:
    """Curves whose largest has this angle, caudal to cranial.

    `lumbar` is the number of lumbar vertebrae, so T12 is at position `lumbar` counted upwards from 0.
    """
    kind = 1 + int(rng.choice(6, p=LENKE))
    right = 1.0 if rng.random() < RIGHT_THORACIC else -1.0
    severe = np.clip((angle_deg - 40) / 60, 0, 1)  # a severe curve takes more vertebrae
    minor = float(rng.uniform(0.55, 0.95))

    def curve(apex: float, half_length: float, signed_deg: float) -> Curve:
        ratio = min(float(rng.uniform(0.3, 0.7)), MOST_ROTATION_DEG / max(abs(signed_deg), 1.0))
        return Curve(float(apex), float(half_length), float(signed_deg), ratio)

    high = kind in (2, 4)  # an upper thoracic curve needs its room below T1

    def thoracolumbar(signed_deg: float) -> Curve:
        half = 2.5 if high else rng.uniform(2.6, 3.3) + 0.7 * severe
        return curve(max(rng.uniform(lumbar - 2.6, lumbar - 0.2 - 2 * high), half + 0.2), half, signed_deg)

    if kind == 5:
        return (thoracolumbar(-right * angle_deg),)
    half = rng.uniform(2.8, 3.3) if high else rng.uniform(3.2, 4.0) + 0.8 * severe
    if kind in (1, 2):
        apex = rng.uniform(lumbar + 2.4, lumbar + 3.2) if high else rng.uniform(lumbar + 3.0, lumbar + 5.0)
        main = curve(apex, half, right * angle_deg)
        below: tuple[Curve, ...] = ()
    else:
        main_deg, lumbar_deg = (minor, 1.0) if kind == 6 else (1.0, minor)
        below = (thoracolumbar(-right * angle_deg * lumbar_deg),)
        apex = below[0].apex + below[0].half_length + half + rng.uniform(-0.4, 0.4)
        main = curve(min(apex, lumbar + 6.5), half, right * angle_deg * main_deg)
    if not high:
        return (*below, main)
    upper_half = rng.uniform(2.2, 2.6)
    apex = min(main.apex + main.half_length + upper_half - rng.uniform(0, 0.5), lumbar + 8.8)
    return (*below, main, curve(apex, upper_half, -right * angle_deg * float(rng.uniform(0.4, 0.7))))


def curve_at(apex: str, angle_deg: float, side: str) -> tuple[Curve, ...]:
    """One curve of this angle, convex to this side, about this vertebra of the usual 24.

    Raises
    ------
    ValueError
        If no curve can have its apex there: it needs vertebrae above and below.
    """
    up = LEVELS_DOWN[::-1]
    if apex not in up[2:16]:
        raise ValueError(f"a curve about {apex} has no vertebrae on one side; expected T3 to L3")
    signed = angle_deg if side == "right" else -angle_deg
    severe = float(np.clip((angle_deg - 40) / 60, 0, 1))
    half = min((2.8 if apex[0] == "L" else 3.6) + 0.8 * severe, up.index(apex) - 0.2, 16.5 - up.index(apex))
    return (Curve(float(up.index(apex)), half, signed, min(0.5, MOST_ROTATION_DEG / max(angle_deg, 1.0))),)
