"""Random standing persons: how inputs are drawn.

Ranges follow clinic, not only health: PI 30 to 85, kyphosis to 90, up to three curves to 100 degrees,
slips, fractures, six or four lumbar vertebrae, thirteen thoracic ones.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.accuracy.curvature import Profile, coronal_profile, rotation_profile, sagittal_profile
from tests.accuracy.dimensions import CERVICAL, SIZES, THORACIC
from tests.accuracy.frames import slope, tilt
from tests.accuracy.inputs import PelvisInputs, Person, VertebraInputs


def random_person(seed: int, plain: bool | None = None) -> Person:
    """One person; the same seed gives the same one. `plain` forces or forbids the simple shapes."""
    rng = np.random.default_rng([2024, seed])
    if plain is None:
        plain = bool(rng.random() < 0.15)
    levels = _levels(rng)
    pelvis = _pelvis(rng, plain)
    size = rng.uniform(0.88, 1.12)
    ss = slope(pelvis.s1_normal)
    lordosis = float(np.clip(0.6 * pelvis.pi + 29 + rng.normal(0, 9), 8, 95))
    kyphosis = float(rng.uniform(10, 90) if rng.random() < 0.4 else np.clip(rng.normal(40, 12), 10, 90))
    c2_slope = float(rng.normal(11, 5))
    slopes = sagittal_profile(levels, ss, lordosis, kyphosis, c2_slope, rng)
    count = int(rng.choice(4, p=[0.25, 0.3, 0.3, 0.15]))
    base = 0.7 * tilt(pelvis.s1_normal) + float(rng.normal(0, 1.5))
    tilts, curves = coronal_profile(levels, count, float(rng.uniform(10, 100)), base, rng)
    turns = rotation_profile(levels, curves, rng)
    shape = _shape(rng, plain)
    vertebrae = {level: _vertebra(rng, level, size, (slopes, tilts), turns[level], shape) for level in levels}
    vertebrae = _events(rng, vertebrae, levels)
    return Person(
        seed=seed,
        plain=plain,
        power=shape["power"],
        dent=shape["dent"],
        waist=shape["waist"],
        lamina=shape["lamina"],
        roof=shape["roof"],
        levels=levels,
        vertebrae=vertebrae,
        pelvis=pelvis,
        yaw=float(rng.uniform(-15, 15)),
        offset=(float(rng.normal(0, 60)), float(rng.normal(0, 60)), float(rng.normal(0, 400))),
        asked={"LL_L1S1": lordosis, "TK_T4T12": kyphosis, "C2S": c2_slope},
        curves=curves,
    )


def _levels(rng: np.random.Generator) -> tuple[str, ...]:
    thoracic, lumbar = list(THORACIC), [f"L{k}" for k in range(1, 6)]
    kind = rng.random()
    if kind < 0.07:
        lumbar.append("L6")
    elif kind < 0.14:
        thoracic.append("T13")
    elif kind < 0.21:
        lumbar.pop()
    return (*CERVICAL, *thoracic, *lumbar)


def _pelvis(rng: np.random.Generator, plain: bool) -> PelvisInputs:
    while True:
        pi = float(np.clip(rng.normal(53, 12), 30, 85))
        pt = float(np.clip(0.4 * (pi - 50) + rng.normal(13, 8), -5, 40))
        if 10 <= pi - pt <= 62:
            break
    scale = rng.uniform(0.9, 1.1)
    radius = float(rng.uniform(20.5, 27))

    def head() -> tuple[float, float, float]:
        kept = 1.0 if rng.random() < 0.4 else float(rng.uniform(0.35, 0.9))
        neck = float(rng.uniform(2, 12)) if rng.random() < 0.25 else 0.0
        return (radius + float(rng.normal(0, 0.4)), kept, neck)

    def crest() -> tuple[float, float, float]:
        return (float(rng.uniform(66, 76)), float(rng.uniform(58, 66)), float(rng.uniform(-20, 20)))

    oblique = float(rng.uniform(-10, 10)) if rng.random() < 0.3 else float(rng.normal(0, 2))
    return PelvisInputs(
        pi=pi,
        pt=pt,
        obliquity=oblique,
        half_width=float(88 * scale * rng.uniform(0.95, 1.05)),
        thickness=float(108 * scale * rng.uniform(0.95, 1.05)),
        s1_offset=float(rng.normal(0, 1.5)),
        s1_tilt=float(rng.normal(0, 1.5)),
        s1_turn=float(rng.normal(0, 1.5)),
        s1_half=(float(24.5 * scale * rng.uniform(0.92, 1.08)), float(17 * scale * rng.uniform(0.92, 1.08))),
        dome=0.0 if plain or rng.random() < 0.3 else float(rng.uniform(-1.5, 2.0)),
        ala_drop=float(rng.uniform(1, 9)),
        ala_lean=float(rng.uniform(-0.35, 0.1)),
        processes=float(rng.uniform(5, 13)),
        canal_ap=float(rng.uniform(13, 19)),
        tail=float(rng.uniform(0.2, 1)),
        heads=(head(), head()),
        crests=(crest(), crest()),
    )


def _shape(rng: np.random.Generator, plain: bool) -> dict[str, float]:
    kind = rng.integers(3)
    shape = {
        "power": 2.0 if kind == 0 else float(rng.uniform(2.5, 3.5)),
        "dent": float(rng.uniform(0.06, 0.2)) if kind == 2 else 0.0,
        "waist": 0.0 if rng.random() < 0.25 else float(rng.uniform(0.03, 0.12)),
        "dish": 0.0 if rng.random() < 0.25 else float(rng.uniform(0.5, 2.0)),
        "uncus": float(rng.uniform(1.5, 3.0)) if rng.random() < 0.5 else 0.0,
        "lamina": float(rng.uniform(4, 6.5)),
        "roof": float(rng.uniform(0.15, 0.4)),
    }
    if plain:
        shape |= {"power": 2.0, "dent": 0.0, "waist": 0.0, "dish": 0.0, "uncus": 0.0}
    return shape


def _vertebra(
    rng: np.random.Generator,
    level: str,
    size: float,
    profiles: tuple[Profile, Profile],
    axial: float,
    shape: dict[str, float],
) -> VertebraInputs:
    slopes, tilts = profiles
    usual = SIZES[level]
    size = size * float(rng.uniform(0.96, 1.04))
    half_w, half_d = usual.width * size / 2, usual.depth * size / 2
    grow = 1.0 if not shape["waist"] else float(rng.uniform(1.0, 1.06))
    small = 0.35 if level[0] == "C" else 0.6 if level[0] == "T" else 1.0
    dish = shape["dish"] * small * float(rng.uniform(0.7, 1.3))
    return VertebraInputs(
        sup=(slopes[level][0], tilts[level][0]),
        inf=(slopes[level][1], tilts[level][1]),
        axial=axial,
        height=usual.height * size,
        disc=usual.disc * size * float(rng.uniform(0.9, 1.2)),
        top=(half_w, half_d),
        bottom=(half_w * grow, half_d * grow),
        slip=float(rng.normal(0, 0.4)),
        shift=float(rng.normal(0, 0.4)),
        canal_ap=usual.canal_ap * size * float(rng.uniform(0.85, 1.1)),
        canal_w=usual.canal_w * size * float(rng.uniform(0.95, 1.05)),
        dish_sup=0.0 if level == "C2" else dish,
        dish_inf=dish * float(rng.uniform(0.3, 0.9)),
        uncus=shape["uncus"] if level in CERVICAL[1:] else 0.0,
    )


def _events(
    rng: np.random.Generator, vertebrae: dict[str, VertebraInputs], levels: tuple[str, ...]
) -> dict[str, VertebraInputs]:
    """A slip at one level, and a crushed or wedged body, now and then."""
    changed = dict(vertebrae)
    if rng.random() < 0.35:
        level = levels[-1 - int(rng.integers(3))]
        changed[level] = replace(changed[level], slip=float(rng.uniform(2, 10)))
    if rng.random() < 0.15:
        level = levels[-2 - int(rng.integers(3))]
        changed[level] = replace(changed[level], shift=float(rng.uniform(-7, 7)))
    if rng.random() < 0.2:
        level = levels[int(rng.integers(levels.index("T6"), levels.index("L3")))]
        v, loss = changed[level], float(rng.uniform(0.15, 0.4))
        changed[level] = replace(v, height=v.height * (1 - loss), crushed=loss)
    return changed
