"""Who stands there: the parameters a phantom is made from, and how they are drawn at random.

Slopes, tilts and rotations are given per endplate and vertebra as absolute attitudes in the patient
frame (x left, y posterior, z up): body-fixed increments composed joint by joint do not commute, and an
intended apical rotation of -20 degrees would come out as -10.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from spine_node.phantom import dimensions as dims
from spine_node.phantom import profiles
from spine_node.phantom.body import Outline
from spine_node.phantom.person import Osteophyte, Segment, SpineSpec
from spine_node.phantom.profiles import Curve

LEVELS_DOWN: tuple[str, ...] = (
    *(f"C{n}" for n in range(1, 8)),
    *(f"T{n}" for n in range(1, 13)),
    *(f"L{n}" for n in range(1, 6)),
)
"""The usual 24 vertebrae, cranial to caudal."""


def standing_spec(
    *,
    PI_deg: float = 52,
    SS_deg: float = 40,
    LL_deg: float = 60,
    TK_deg: float = 37,
    C2_slope_deg: float = 10,
    curves: tuple[Curve, ...] = (),
    balance_mm: float = 0.0,
    s1_tilt_deg: float = 0.0,
    obliquity_deg: float = 0.0,
    scale: float = 1.0,
    levels: tuple[str, ...] = LEVELS_DOWN,
    fractures: Mapping[str, float] | None = None,
    spurs: float = 0.0,
    variation: float = 0.0,
    rng: np.random.Generator | None = None,
    **person: object,
) -> SpineSpec:
    """A person with these angles.

    Parameters
    ----------
    balance_mm : float
        Where C7 should stand left of the sacrum when there are curves: the fractional curves above and
        below are solved for it.
    fractures : mapping of level to degrees, optional
        Kyphotic wedging by collapse of the front.
    spurs : float
        Chance (0..1) that a body carries osteophytes.
    variation : float
        0 for the average vertebrae, 1 for each its own.
    """
    rng = rng or np.random.default_rng(0)
    fractures = fractures or {}
    up = list(reversed(levels))
    # the twelve spines of Panjabi were small ones
    stretch = np.exp(variation * rng.normal((0.03, 0.05, 0.01), (0.06, 0.07, 0.05)))
    sizes = [profiles.own_size(dims.SIZES[level], scale, stretch, variation, rng) for level in up]
    sizes = [profiles.crushed(s, fractures.get(level, 0.0)) for s, level in zip(sizes, up, strict=True)]
    slope = profiles.slopes(up, sizes, SS_deg, LL_deg, TK_deg, C2_slope_deg, fractures, variation, rng)
    tilt = profiles.tilts(up, sizes, curves, s1_tilt_deg, balance_mm, variation, rng)
    turn = profiles.rotations(len(up), curves, variation, rng)
    segments = []
    for k, level in enumerate(up):
        below = (slope[k - 1, 1], tilt[k - 1, 1]) if k else (SS_deg, s1_tilt_deg)
        segments.append(
            Segment(
                level,
                profiles.kept_apart(sizes[k], slope[k], below[0], tilt[k], below[1]),
                float(slope[k, 1]),
                float(slope[k, 0]),
                float(tilt[k, 1]),
                float(tilt[k, 0]),
                float(turn[k]),
                waist=float(np.clip(0.09 + variation * rng.normal(0, 0.02), 0.05, 0.14)),
                concavity_superior_mm=float(np.clip(0.8 + variation * rng.normal(0.2, 0.5), 0.1, 2.5)),
                concavity_inferior_mm=float(np.clip(1.2 + variation * rng.normal(0.2, 0.6), 0.1, 3.0)),
                outline=_outline(level, variation, rng),
                quirk=int(rng.integers(1, 2**31)) if variation else 0,
                osteophytes=_osteophytes(rng, spurs) if level not in ("C1", "C2") else (),
            )
        )
    return SpineSpec(
        PI_deg=PI_deg,
        SS_deg=SS_deg,
        LL_deg=LL_deg,
        TK_deg=TK_deg,
        segments=tuple(reversed(segments)),
        s1_tilt_deg=s1_tilt_deg,
        obliquity_deg=obliquity_deg,
        curves=curves,
        scale=scale,
        **person,  # type: ignore[arg-type]
    )


def _outline(level: str, variation: float, rng: np.random.Generator) -> Outline:
    """Kidney-shaped lumbar, heart-shaped mid-thoracic, oval cervical endplates."""
    notch = {"C": 0.04, "T": 0.13, "L": 0.08}[level[0]] if level not in ("L5", "L6") else 0.02
    point = 0.28 if level[0] == "T" and 4 <= int(level[1:]) <= 10 else 0.1 if level[0] == "T" else 0.0
    return Outline(
        notch=float(np.clip(notch + variation * rng.normal(0, 0.03), 0, 0.25)),
        point=float(np.clip(point + variation * rng.normal(0, 0.09), 0, 0.6)),
    )


def _osteophytes(rng: np.random.Generator, chance: float) -> tuple[Osteophyte, ...]:
    if rng.random() >= chance:
        return ()
    return tuple(
        Osteophyte(bool(rng.random() < 0.5), float(rng.uniform(-125, 125)), float(rng.uniform(2.5, 7.5)))
        for _ in range(int(rng.integers(1, 5)))
    )


def random_spec(rng: np.random.Generator, *, adult_clean: bool = False) -> SpineSpec:
    """Draw a person.

    PI ~ N(52, 10) within 30..85, SS = 0.6 PI + 8 +- 6, LL = PI +- 9 moved so that C7 stands near the
    sacrum, TK ~ N(42, 12), coronal curves 0..80 degrees. `adult_clean` draws a usual adult: 24
    vertebrae, moderate curve.
    """
    PI = float(np.clip(rng.normal(52, 8 if adult_clean else 10), 32, 85))
    SS = float(np.clip(0.6 * PI + 8 + rng.normal(0, 4 if adult_clean else 6), 15, 65))
    TK = float(np.clip(rng.normal(42, 8 if adult_clean else 12), 12, 75))
    LL = float(PI + rng.normal(2, 9))
    levels = LEVELS_DOWN if adult_clean else _random_levels(rng)
    curves = _random_curves(rng, len(levels), adult_clean)
    choice = {
        "TK_deg": TK,
        "C2_slope_deg": float(np.clip(rng.normal(10, 6), -5, 28)),
        "curves": curves,
        "balance_mm": float(rng.normal(0, 6 if adult_clean else 11)),
        "s1_tilt_deg": float(rng.normal(0, 1.5)),
        "obliquity_deg": float(rng.normal(0, 1.0 if adult_clean else 1.8)),
        "scale": float(np.clip(rng.normal(1, 0.05 if adult_clean else 0.08), 0.8, 1.2)),
        "levels": levels,
        "fractures": {} if adult_clean else _random_fractures(rng, levels),
        "spurs": 0.0 if adult_clean else float(rng.choice([0.0, 0.05, 0.25, 0.6], p=[0.4, 0.3, 0.2, 0.1])),
        "variation": float(0.7 if adult_clean else rng.uniform(0.5, 1.2)),
    }
    scale = choice["scale"]
    person = {
        "hip_half_width_mm": float(dims.HIP_HALF_WIDTH_MM * scale * np.exp(rng.normal(0, 0.04))),
        "head_radius_mm": tuple(
            float(np.clip(r * np.exp(rng.normal(0, 0.01)), 19.5, 28))
            for r in [dims.FEMORAL_HEAD_RADIUS_MM * scale * np.exp(rng.normal(0, 0.05))] * 2
        ),
        "pelvic_thickness_mm": float(dims.PELVIC_THICKNESS_MM * scale * np.exp(rng.normal(0, 0.05))),
        "yaw_deg": float(np.clip(rng.normal(0, 4 if adult_clean else 7), -20, 20)),
        "quirk": int(rng.integers(1, 2**31)),
        "shift_mm": (float(rng.normal(0, 8)), float(rng.normal(0, 8))),
    }
    seed = int(rng.integers(2**31))
    aim_mm = float(np.clip(rng.normal(5, 18 if adult_clean else 28), -60, 110))

    def person_with(LL_deg: float) -> SpineSpec:
        return standing_spec(
            PI_deg=PI,
            SS_deg=SS,
            LL_deg=LL_deg,
            rng=np.random.default_rng(seed),
            **choice,  # type: ignore[arg-type]
            **person,
        )

    # lordosis that keeps the head over the pelvis, as a standing person finds it
    low, high = max(10.0, LL - 28), LL + 28
    for _ in range(7):
        middle = (low + high) / 2
        low, high = (middle, high) if _sva_mm(person_with(middle)) > aim_mm else (low, middle)
    return person_with((low + high) / 2)


def _sva_mm(spec: SpineSpec) -> float:
    """How far C7 stands in front of the sacrum's back corner, from the chain of segments alone."""
    up = spec.segments[::-1]
    y, below = 0.0, spec.SS_deg
    for s in up:
        disc_slope = (below + s.slope_inferior_deg) / 2
        body_slope = (s.slope_inferior_deg + s.slope_superior_deg) / 2
        part = 0.5 if s.level == "C7" else 1.0
        y += s.size.disc_mm * np.sin(np.radians(disc_slope))
        y += part * s.size.height_mm * np.sin(np.radians(body_slope))
        if s.level == "C7":
            break
        below = s.slope_superior_deg
    return float(y + dims.S1_DEPTH_MM / 2 * spec.scale * np.cos(np.radians(spec.SS_deg)))


def _random_levels(rng: np.random.Generator) -> tuple[str, ...]:
    """Which vertebrae there are: 89 % the usual 24."""
    levels = list(LEVELS_DOWN)
    draw = rng.random()
    if draw < 0.04:
        levels.append("L6")
    elif draw < 0.07:
        levels.remove("L5")
    elif draw < 0.09:
        levels.insert(levels.index("T12") + 1, "T13")
    elif draw < 0.11:
        levels.remove("T12")
    return tuple(levels)


def _random_fractures(rng: np.random.Generator, levels: tuple[str, ...]) -> dict[str, float]:
    """One person in nine has one or two wedged vertebrae, mostly about the thoracolumbar junction."""
    if rng.random() > 0.11:
        return {}
    often = {"T7": 2, "T8": 2, "T11": 2, "T12": 4, "L1": 4, "L2": 2}
    low = [level for level in levels if level[0] in "TL" and level not in ("T1", "T2", "L6")]
    chance = np.array([often.get(level, 0.5) for level in low])
    count = 2 if rng.random() < 0.3 else 1
    hit = rng.choice(low, size=count, replace=False, p=chance / chance.sum())
    return {str(level): float(rng.uniform(6, 16)) for level in hit}


def _random_curves(rng: np.random.Generator, n: int, adult_clean: bool) -> tuple[Curve, ...]:
    """One or two curves: thoracic (right three times in four), lumbar, or both."""
    draw = 0.5 * rng.random() if adult_clean else rng.random()
    if draw < 0.45:
        angle = rng.uniform(0, 10)
    elif draw < 0.75:
        angle = rng.uniform(10, 25)
    elif draw < 0.95:
        angle = rng.uniform(25, 60)
    else:
        angle = rng.uniform(60, 80)
    right = 1.0 if rng.random() < 0.75 else -1.0
    lumbar = n - 19  # vertebrae below T12

    def curve(apex: float, half_length: float, signed: float) -> Curve:
        return Curve(apex, half_length, float(signed), float(rng.uniform(0.3, 0.7)))

    thoracic_apex = lumbar + rng.uniform(2.5, 5.5)
    lumbar_apex = rng.uniform(lumbar - 4.2, lumbar - 0.2)
    kind = rng.random()
    if kind < 0.45:
        return (curve(thoracic_apex, rng.uniform(3.2, 4.5), right * angle),)
    if kind < 0.7:
        return (curve(lumbar_apex, rng.uniform(2.6, 3.6), -right * angle),)
    ratio = rng.uniform(0.5, 1.0)
    return (
        curve(lumbar_apex, rng.uniform(2.4, 3.2), -right * angle * ratio),
        curve(lumbar_apex + rng.uniform(5.0, 6.5), rng.uniform(2.8, 3.8), right * angle),
    )
