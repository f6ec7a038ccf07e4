"""Who stands there: the parameters a phantom is made from, and how they are drawn at random.

Slopes, tilts and rotations are given per endplate and vertebra as absolute attitudes in the patient
frame (x left, y posterior, z up): body-fixed increments composed joint by joint do not commute, and an
intended apical rotation of -20 degrees would come out as -10.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from spine_node.phantom import dimensions as dims
from spine_node.phantom import profiles
from spine_node.phantom.body import Outline
from spine_node.phantom.person import Osteophyte, Segment, SpineSpec
from spine_node.phantom.population import Population, Sagittal, draw_sagittal
from spine_node.phantom.profiles import Curve
from spine_node.phantom.scoliosis import draw_angle, draw_curves
from spine_node.phantom.variants import LEVELS_DOWN, Fracture, draw_fractures, draw_levels

LEAN_DEG = 1.0
"""Spread of the forward and of the sideward lean of whoever is not a clean adult."""


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
    fractures: Mapping[str, Fracture] | None = None,
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
    fractures : mapping of level to Fracture, optional
        The rest of the region makes up for their wedging, so that the angles asked for stay.
    spurs : float
        Chance (0..1) that a body carries osteophytes.
    variation : float
        0 for the average vertebrae, 1 for each its own.
    """
    rng = rng or np.random.default_rng(0)
    fractures = fractures or {}
    up = list(reversed(levels))
    # the twelve spines of Panjabi were small ones
    stretch = np.exp(variation * rng.normal((0.03, 0.05, 0.01), (0.06, 0.07, 0.035)))
    # a long neck on short loins: distant levels are less alike than neighbours (`prior.SPACING_LAG`)
    along = variation * rng.normal(0, 0.08) * np.linspace(-1, 1, len(up))
    sizes = [
        profiles.own_size(dims.SIZES[level], scale, stretch * np.exp([0, 0, more]), variation, rng)
        for level, more in zip(up, along, strict=True)
    ]
    whole = dict(zip(up, sizes, strict=True))
    collapse = {level: f.wedge_deg(whole[level]) for level, f in fractures.items()}
    dish = {level: f.dish_mm(whole[level]) for level, f in fractures.items()}
    sizes = [
        replace(s, height_mm=s.height_mm - fractures[level].height_lost_mm(s)) if level in fractures else s
        for level, s in whole.items()
    ]
    slope = profiles.slopes(up, sizes, SS_deg, LL_deg, TK_deg, C2_slope_deg, collapse, variation, rng)
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
                concavity_superior_mm=dish.get(level, 0.0)
                + float(np.clip(0.8 + variation * rng.normal(0.2, 0.5), 0.1, 2.5)),
                concavity_inferior_mm=dish.get(level, 0.0)
                + float(np.clip(1.2 + variation * rng.normal(0.2, 0.6), 0.1, 3.0)),
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
        fractures=tuple(fractures.items()),
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


def random_spec(
    rng: np.random.Generator,
    *,
    adult_clean: bool = False,
    population: Population = "standing",
    PI_deg: float | None = None,
    curves: tuple[Curve, ...] | None = None,
) -> SpineSpec:
    """Draw a person.

    The side view is that of asymptomatic adults in every `population`; lordosis is the one that keeps T1
    over the hips. Coronal curves are 0..100 degrees. `adult_clean` draws a usual adult: 24 vertebrae,
    moderate curve. `PI_deg` and `curves` (for the usual 24 vertebrae) are drawn unless they are given.
    """
    side = draw_sagittal(rng, spread=0.8 if adult_clean else 1.0, PI_deg=PI_deg)
    usual = adult_clean or population == "asymptomatic" or curves is not None
    levels = LEVELS_DOWN if usual else draw_levels(rng)
    angle = {
        "standing": lambda: draw_angle(rng),
        "asymptomatic": lambda: draw_angle(rng, most_deg=10.0),
        "scoliosis": lambda: draw_angle(rng, least_deg=10.0),
    }[population]()
    if adult_clean:
        angle = float(rng.uniform(0, 22))
    drawn = draw_curves(rng, sum(level[0] == "L" for level in levels), angle)
    curves = drawn if curves is None else curves
    choice = {
        "PI_deg": side.PI_deg,
        "SS_deg": side.sacral_slope_deg,
        "TK_deg": side.TK_deg,
        "C2_slope_deg": side.C2_slope_deg,
        "curves": curves,
        "balance_mm": float(rng.normal(0, 6 if adult_clean else 11)),
        "s1_tilt_deg": float(rng.normal(0, 1.5)),
        "obliquity_deg": float(rng.normal(0, 1.0 if adult_clean else 1.8)),
        "scale": float(np.clip(rng.normal(1, 0.04 if adult_clean else 0.045), 0.8, 1.2)),
        "levels": levels,
        "fractures": {} if usual else draw_fractures(rng, levels, side.age_years),
        "spurs": 0.0 if adult_clean else float(rng.choice([0.0, 0.05, 0.25, 0.6], p=[0.4, 0.3, 0.2, 0.1])),
        "variation": float(0.7 if adult_clean else rng.uniform(0.5, 1.2)),
    }
    scale = choice["scale"]
    person = {
        "age_years": side.age_years,
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
    if not adult_clean:
        # A generator of its own: who leans is else the same person.
        lean = np.random.default_rng([int(str(person["quirk"])), 5]).normal(0, LEAN_DEG, 2)
        person["lean_deg"] = tuple(float(v) for v in np.clip(lean, -3 * LEAN_DEG, 3 * LEAN_DEG))
    seed = int(rng.integers(2**31))

    def person_with(LL_deg: float) -> SpineSpec:
        return standing_spec(
            LL_deg=LL_deg,
            rng=np.random.default_rng(seed),
            **choice,  # type: ignore[arg-type]
            **person,
        )

    return _balanced(person_with, side)


def _balanced(person_with: Callable[[float], SpineSpec], side: Sagittal) -> SpineSpec:
    """The person whose lordosis keeps T1 over the hips where it should be, as one who stands finds it."""

    def off(LL_deg: float) -> tuple[float, SpineSpec]:
        spec = person_with(LL_deg)
        return _inclination_deg(spec) - side.T1SPI_deg, spec

    a, b = side.PI_deg - 5, side.PI_deg + 15
    off_a, (off_b, spec) = off(a)[0], off(b)
    for _ in range(6):
        if abs(off_b) < 0.02 or off_b == off_a:
            break
        LL = float(np.clip(b - off_b * (b - a) / (off_b - off_a), 5.0, 115.0))
        a, off_a, b = b, off_b, LL
        off_b, spec = off(LL)
    return spec


def _inclination_deg(spec: SpineSpec) -> float:
    """Forward lean of T1 from the hip axis, from the chain of segments as `skeleton.build` stacks it."""
    up = [s for s in spec.segments[::-1] if s.level[0] != "C"]
    slope = np.array([[spec.SS_deg, *[v for s in up for v in (s.slope_inferior_deg, s.slope_superior_deg)]]])
    tilt = np.array(
        [[spec.s1_tilt_deg, *[v for s in up for v in (s.tilt_inferior_deg, s.tilt_superior_deg)]]]
    )
    normal = np.vstack([np.tan(np.radians(tilt)), -np.tan(np.radians(slope)), np.ones(slope.shape)])
    normal /= np.linalg.norm(normal, axis=0)
    step = normal[:, :-1] + normal[:, 1:]
    length = np.array([v for s in up for v in (s.size.disc_mm, s.size.height_mm)])
    length[-1] /= 2  # to the middle of T1
    _, y, z = (step / np.linalg.norm(step, axis=0)) @ length
    PT = np.radians(spec.PI_deg - spec.SS_deg)
    y += spec.pelvic_thickness_mm * np.sin(PT)
    z += spec.pelvic_thickness_mm * np.cos(PT)
    return float(np.degrees(np.arctan2(-y, z)))
