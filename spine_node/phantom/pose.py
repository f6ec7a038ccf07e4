"""Who stands there: the parameters a phantom is made from, and how they are drawn at random.

Slopes, tilts and rotations are given per endplate and vertebra as absolute attitudes in the patient
frame (x left, y posterior, z up): body-fixed increments composed joint by joint do not commute, and an
intended apical rotation of -20 degrees would come out as -10.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from spine_node.phantom import dimensions as dims

LEVELS_DOWN: tuple[str, ...] = (
    *(f"C{n}" for n in range(1, 8)),
    *(f"T{n}" for n in range(1, 13)),
    *(f"L{n}" for n in range(1, 6)),
)
"""The usual 24 vertebrae, cranial to caudal."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One vertebra and the disc below it, as numbers.

    Slopes are positive when an endplate faces forward, tilts when its normal leans to the left,
    rotation when the body turns to the left; all degrees, patient frame.
    """

    level: str
    size: dims.LevelSize
    slope_superior_deg: float
    slope_inferior_deg: float
    tilt_superior_deg: float
    tilt_inferior_deg: float
    rotation_deg: float
    waist: float = 0.09
    concavity_superior_mm: float = 0.8
    concavity_inferior_mm: float = 1.2


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


@dataclass(frozen=True, slots=True)
class SpineSpec:
    """One standing person: the input that the truth of a phantom follows from.

    Attributes
    ----------
    PI_deg, SS_deg : float
        Pelvic incidence (in the plane across the hip axis) and sacral slope; PT = PI - SS.
    LL_deg, TK_deg : float
        Lordosis L1-S1 and kyphosis T4-T12, both positive.
    segments : tuple of Segment
        Cranial to caudal.
    s1_tilt_deg, obliquity_deg : float
        Coronal tilt of the S1 endplate (normal to the left +); hip axis (left side higher +).
    curves : tuple of Curve
        What the coronal shape was asked to be; the segments hold what it became.
    scale : float
        Size of the whole person; 1 is the average adult.
    yaw_deg, shift_mm
        How the person stands in the scanner: turn about the vertical (to the left +), hip axis (x, y).
    """

    PI_deg: float
    SS_deg: float
    LL_deg: float
    TK_deg: float
    segments: tuple[Segment, ...]
    s1_tilt_deg: float = 0.0
    obliquity_deg: float = 0.0
    curves: tuple[Curve, ...] = ()
    scale: float = 1.0
    hip_half_width_mm: float = dims.HIP_HALF_WIDTH_MM
    head_radius_mm: tuple[float, float] = (dims.FEMORAL_HEAD_RADIUS_MM, dims.FEMORAL_HEAD_RADIUS_MM)
    pelvic_thickness_mm: float = dims.PELVIC_THICKNESS_MM
    yaw_deg: float = 0.0
    shift_mm: tuple[float, float] = (0.0, 0.0)

    @property
    def PT_deg(self) -> float:
        """Pelvic tilt, exact while the hip axis is level."""
        return self.PI_deg - self.SS_deg


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
    variation: float = 0.0,
    rng: np.random.Generator | None = None,
    **person: object,
) -> SpineSpec:
    """A person with these angles; `variation` (0..1) makes each vertebra its own.

    `balance_mm` is where C7 should stand left of the sacrum when there are curves; the fractional
    curves above and below are solved for it.
    """
    rng = rng or np.random.default_rng(0)
    up = list(reversed(levels))
    sizes = [_own_size(dims.SIZES[level], scale, variation, rng) for level in up]
    slopes = _slopes(up, sizes, SS_deg, LL_deg, TK_deg, C2_slope_deg, variation, rng)
    tilts = _tilts(up, sizes, curves, s1_tilt_deg, balance_mm, variation, rng)
    rotations = _rotations(len(up), curves, variation, rng)
    segments = [
        Segment(
            level,
            _open_disc(size, slope, below_slope, tilt, below_tilt),
            float(slope[1]),
            float(slope[0]),
            float(tilt[1]),
            float(tilt[0]),
            float(rotation),
            waist=float(np.clip(0.09 + variation * rng.normal(0, 0.02), 0.05, 0.14)),
            concavity_superior_mm=float(np.clip(0.8 + variation * rng.normal(0.2, 0.5), 0.1, 2.5)),
            concavity_inferior_mm=float(np.clip(1.2 + variation * rng.normal(0.2, 0.6), 0.1, 3.0)),
        )
        for level, size, slope, below_slope, tilt, below_tilt, rotation in zip(
            up,
            sizes,
            slopes,
            [SS_deg, *slopes[:-1, 1]],
            tilts,
            [s1_tilt_deg, *tilts[:-1, 1]],
            rotations,
            strict=True,
        )
    ]
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


def _own_size(
    size: dims.LevelSize, scale: float, variation: float, rng: np.random.Generator
) -> dims.LevelSize:
    angles = {"wedge_deg", "disc_deg", "spinous_drop_deg"}
    factor = {
        name: scale
        * float(np.exp(variation * rng.normal(0, 0.15 if name in {"disc_mm", "spinous_mm"} else 0.05)))
        for name in size.__dataclass_fields__
        if name not in angles
    }
    changes = {name: getattr(size, name) * by for name, by in factor.items()}
    changes["spinous_drop_deg"] = size.spinous_drop_deg + variation * float(rng.normal(0, 5))
    return replace(size, **changes)


def _open_disc(
    size: dims.LevelSize, slope: np.ndarray, below_slope: float, tilt: np.ndarray, below_tilt: float
) -> dims.LevelSize:
    """Heights that keep both edges of body and disc apart, however strongly they are wedged."""

    def least(d_slope: float, d_tilt: float, gap_mm: float) -> float:
        sagittal = size.depth_mm / 2 * np.tan(np.radians(abs(d_slope)))
        coronal = size.width_mm / 2 * np.tan(np.radians(abs(d_tilt)))
        return float(gap_mm + np.hypot(sagittal, coronal))

    disc = max(size.disc_mm, least(slope[0] - below_slope, tilt[0] - below_tilt, 1.5))
    body = max(size.height_mm, least(slope[1] - slope[0], tilt[1] - tilt[0], 0.45 * size.height_mm))
    return replace(size, disc_mm=disc, height_mm=body)


def _slopes(
    up: list[str],
    sizes: list[dims.LevelSize],
    SS: float,
    LL: float,
    TK: float,
    C2_slope: float,
    variation: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Slopes (inferior, superior) per vertebra, from the sacrum up, shape (n, 2), degrees."""
    # columns: disc below, body
    change = np.array([[s.disc_deg, s.wedge_deg] for s in sizes], dtype=np.float64)
    change += variation * rng.normal(0, 1.0, change.shape)
    weight = np.abs(change) * np.array([1.0, 0.5]) + np.array([0.8, 0.3])
    weight *= np.exp(variation * rng.normal(0, 0.25, weight.shape))
    lumbar = np.array([[level[0] == "L"] * 2 for level in up])
    t12 = [level in ("T12", "T13", "T11") and k and up[k - 1][0] == "L" for k, level in enumerate(up)]
    thoracic = np.array([[level[0] == "T" and int(level[1:]) >= 4] * 2 for level in up])
    thoracic[:, 0] &= ~np.array(t12, dtype=bool)  # TK starts at the inferior endplate of T12
    cervical = np.array([[level[0] == "C"] * 2 for level in up])

    def aim(where: np.ndarray, total: float) -> None:
        change[where] += (total - change[where].sum()) * weight[where] / weight[where].sum()

    aim(lumbar, -LL)
    aim(thoracic, TK)
    t1_slope = SS + change[~cervical].sum()
    if cervical.any():
        aim(cervical, C2_slope - t1_slope)
    after = SS + np.cumsum(change.ravel()).reshape(change.shape)
    return after


def _bump(where: np.ndarray, apex: float, half_length: float) -> np.ndarray:
    """Integral of a raised-cosine window of unit area from -infinity to `where` (levels)."""
    u = np.clip((where - apex) / half_length, -1, 1)
    return (u + 1) / 2 + np.sin(np.pi * u) / (2 * np.pi)


def _tilts(
    up: list[str],
    sizes: list[dims.LevelSize],
    curves: tuple[Curve, ...],
    s1_tilt: float,
    balance_mm: float,
    variation: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Coronal tilts (inferior, superior) per vertebra, from the sacrum up, shape (n, 2), degrees."""
    n = len(up)
    # a disc takes the 0.6 of a level's share below its vertebra, the body 0.4
    edges = np.stack([np.arange(n) - 0.5 + 0.6, np.arange(n) + 0.5], axis=1)

    def profile(apex: float, half_length: float) -> np.ndarray:
        return _bump(edges, apex, half_length) - _bump(np.array(-0.5), apex, half_length)

    tilt = s1_tilt + sum((c.angle_deg * profile(c.apex, c.half_length) for c in curves), np.zeros((n, 2)))
    tilt = tilt + variation * rng.normal(0, 0.4, (n, 2))
    top = next((k for k, level in enumerate(up) if level == "C7"), n - 1)
    reach = np.array([s.height_mm + s.disc_mm for s in sizes])[: top + 1]

    def offset(t: np.ndarray) -> float:
        return float(np.sum(np.sin(np.radians(t[: top + 1].mean(axis=1))) * reach))

    if curves:
        lowest = min(curves, key=lambda c: c.apex)
        highest = max(curves, key=lambda c: c.apex)
        caudal = profile(max(lowest.apex - lowest.half_length, 0.2), max(2.2, lowest.half_length * 0.8))
        cranial = profile(highest.apex + highest.half_length, max(2.5, highest.half_length * 0.8))
        small = 0.01
        for _ in range(4):
            now = np.array([tilt[top, 1], offset(tilt)])
            jacobian = np.array(
                [
                    [(tilt + small * p)[top, 1] - now[0], offset(tilt + small * p) - now[1]]
                    for p in (caudal, cranial)
                ]
            ).T
            amount = np.linalg.solve(jacobian, np.array([0.0, balance_mm]) - now) * small
            tilt = tilt + amount[0] * caudal + amount[1] * cranial
    return tilt


def _rotations(n: int, curves: tuple[Curve, ...], variation: float, rng: np.random.Generator) -> np.ndarray:
    """Axial rotation per vertebra, from the sacrum up; a right convexity turns the body right (-)."""
    where = np.arange(n)
    rotation = variation * rng.normal(0, 0.8, n)
    for c in curves:
        u = np.clip((where - c.apex) / (1.3 * c.half_length), -1, 1)
        rotation += -c.angle_deg * c.rotation_ratio * np.cos(np.pi / 2 * u) ** 2
    return rotation


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
