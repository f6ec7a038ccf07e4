"""What the phantom measures, from its own exact landmarks and its own formulas.

This is deliberately no user of `parameters`: when the two agree, it is because both are right.
Definitions and signs follow the clinical reference: the patient frame has z against gravity, x along
the horizontal part of the line from the right to the left femoral head, y posterior.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from spine_node.anatomy.landmarks import Endplate, Spine, Vertebra
from spine_node.parameters.model import Measurements, NotMeasured, Parameter

Vector = NDArray[np.float64]

CURVE_DEG = 10.0
"""Smallest coronal curve that is called one."""

FEWEST = 3
"""Vertebrae of a curve, its ends included: two alone are a tilted disc."""

PLATEAU_DEG = 0.5
"""End vertebrae that change the angle by less are equal: the shorter curve is taken."""


def patient_frame(spine: Spine) -> NDArray[np.float64]:
    """Rows: x (left), y (posterior), z (up) of the patient frame in LPS; needs both femoral heads."""
    z = spine.vertical.direction
    across = spine.heads["left"].centre_mm - spine.heads["right"].centre_mm
    x = across - (across @ z) * z
    x = x / np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z])


def measure(complete: Spine, visible: Spine | None = None) -> Measurements:
    """True parameters of a phantom.

    Parameters
    ----------
    complete : Spine
        Every landmark: gives the frame, also when the heads are outside the image.
    visible : Spine, optional
        What is wholly inside the image; what needs more is NotMeasured.
    """
    frame = patient_frame(complete)
    seen = visible or complete
    ruler = _Ruler(frame, seen)
    values: list[Parameter] = []
    absent: list[NotMeasured] = []
    for key, needs, unit, method, formula in _SINGLE:
        missing = [n for n in needs if not ruler.has(n)]
        if missing:
            absent.append(NotMeasured(key, f"outside the image: {', '.join(missing)}"))
        else:
            value = float(getattr(ruler, formula)())
            values.append(Parameter(key, value, unit, method, side=_side(value) if key in _SIDED else None))
    values += ruler.curves()
    values += ruler.rotations()
    return Measurements("PATIENT", seen.vertical.provenance, tuple(values), tuple(absent))


_SIDED = ("C7_CSVL", "PELVOBL", "FHHD")
"""Offsets whose sign is a side: left is positive."""

_SINGLE: tuple[tuple[str, tuple[str, ...], str, str, str], ...] = (
    ("PI", ("S1", "heads"), "deg", "in the plane across the hip axis", "incidence"),
    ("PT", ("S1", "heads"), "deg", "projected, patient frame", "pelvic_tilt"),
    ("SS", ("S1",), "deg", "projected, patient frame", "sacral_slope"),
    ("LL_L1S1", ("S1", "L1"), "deg", "L1 superior to S1, projected, patient frame", "lordosis"),
    ("LL_L4S1", ("S1", "L4"), "deg", "L4 superior to S1, projected, patient frame", "low_lordosis"),
    ("PI_LL", ("S1", "heads", "L1"), "deg", "PI minus LL_L1S1", "mismatch"),
    ("TK_T4T12", ("T4", "T12"), "deg", "T4 superior to T12 inferior, projected, patient frame", "kyphosis"),
    ("T1S", ("T1",), "deg", "T1 superior, projected, patient frame", "t1_slope"),
    ("SVA", ("S1", "C7"), "mm", "C7 body centre to S1 posterior corner, patient frame", "sagittal_offset"),
    ("C7_CSVL", ("S1", "C7"), "mm", "C7 body centre to S1 centre, patient frame", "coronal_offset"),
    ("T1SPI", ("heads", "T1"), "deg", "T1 body centre from the hip axis, patient frame", "t1_inclination"),
    ("TPA", ("S1", "heads", "T1"), "deg", "T1 body centre, hip axis, S1 centre, patient frame", "t1_pelvic"),
    ("PELVOBL", ("heads",), "deg", "line between the femoral heads, patient frame", "obliquity"),
    ("FHHD", ("heads",), "mm", "left femoral head above the right, along the vertical", "head_height"),
)


def _side(value: float) -> str | None:
    """The side a left-positive number names; none for what is written as 0.0."""
    return None if abs(value) < 0.05 else "left" if value > 0 else "right"


class _Ruler:
    """Reads angles and distances off landmarks, in the rows of `frame`."""

    def __init__(self, frame: NDArray[np.float64], spine: Spine) -> None:
        self.frame, self.spine = frame, spine

    def has(self, name: str) -> bool:
        if name == "S1":
            return self.spine.s1 is not None
        if name == "heads":
            return {"left", "right"} <= set(self.spine.heads)
        return self.spine.vertebra(name) is not None

    def _plate(self, level: str, which: str) -> Endplate:
        vertebra = self.spine.vertebra(level)
        plate = getattr(vertebra, which) if vertebra else None
        assert plate is not None, f"{level} {which} is needed and was checked to be there"
        return plate

    @property
    def _s1(self) -> Endplate:
        assert self.spine.s1 is not None
        return self.spine.s1

    def _slope(self, plate: Endplate) -> float:
        _, y, z = self.frame @ plate.normal
        return float(np.degrees(np.arctan2(-y, z)))

    def _tilt(self, plate: Endplate) -> float:
        x, _, z = self.frame @ plate.normal
        return float(np.degrees(np.arctan2(x, z)))

    def _hips(self) -> tuple[Vector, Vector]:
        left, right = (self.spine.heads[side].centre_mm for side in ("left", "right"))
        return (left + right) / 2, (left - right) / np.linalg.norm(left - right)

    def incidence(self) -> float:
        """Angle at S1, in the plane across the hip axis, between its normal and the line to the hips."""
        middle, axis = self._hips()
        line, normal = self._s1.centre_mm - middle, self._s1.normal
        a, b = (v - (v @ axis) * axis for v in (line, normal))
        return float(np.degrees(np.arctan2(axis @ np.cross(a, b), a @ b)))

    def pelvic_tilt(self) -> float:
        middle, _ = self._hips()
        _, y, z = self.frame @ (self._s1.centre_mm - middle)
        return float(np.degrees(np.arctan2(y, z)))

    def sacral_slope(self) -> float:
        return self._slope(self._s1)

    def lordosis(self) -> float:
        return self._slope(self._s1) - self._slope(self._plate("L1", "superior"))

    def low_lordosis(self) -> float:
        return self._slope(self._s1) - self._slope(self._plate("L4", "superior"))

    def mismatch(self) -> float:
        return self.incidence() - self.lordosis()

    def t1_slope(self) -> float:
        return self._slope(self._plate("T1", "superior"))

    def t1_inclination(self) -> float:
        """Forward lean of the line from the hip axis to T1."""
        t1 = self.spine.vertebra("T1")
        assert t1 is not None
        _, y, z = self.frame @ (t1.body_centre_mm - self._hips()[0])
        return float(np.degrees(np.arctan2(-y, z)))

    def t1_pelvic(self) -> float:
        """Angle at the hip axis between S1 and T1, seen from the side."""
        return self.pelvic_tilt() + self.t1_inclination()

    def obliquity(self) -> float:
        _, axis = self._hips()
        x, _, z = self.frame @ axis
        return float(np.degrees(np.arctan2(z, x)))

    def head_height(self) -> float:
        left, right = (self.spine.heads[side].centre_mm for side in ("left", "right"))
        return float((self.frame @ (left - right))[2])

    def kyphosis(self) -> float:
        return self._slope(self._plate("T4", "superior")) - self._slope(self._plate("T12", "inferior"))

    def _from_c7(self, point: Vector) -> Vector:
        c7 = self.spine.vertebra("C7")
        assert c7 is not None
        return np.asarray(self.frame @ (c7.body_centre_mm - point))

    def sagittal_offset(self) -> float:
        return -float(self._from_c7(self._s1.posterior_mm)[1])

    def coronal_offset(self) -> float:
        return float(self._from_c7(self._s1.centre_mm)[0])

    def rotations(self) -> list[Parameter]:
        """Rotation of each vertebra about its own axis, positive to the left."""
        out = []
        ahead = -self.frame[1]
        for v in self.spine.vertebrae:
            if v.axes is None:
                continue
            left, posterior, _ = v.axes.T
            # P-anterior seen in the vertebra's transverse plane; the vertebra's own anterior is -posterior
            angle = np.degrees(np.arctan2(-(ahead @ left), -(ahead @ posterior)))
            side = _side(float(angle))
            out.append(
                Parameter("AVR", float(angle), "deg", "local transverse plane", level=v.level, side=side)
            )
        return out

    def curves(self) -> list[Parameter]:
        """Coronal curves of at least `CURVE_DEG` between the extremes of endplate tilt, C7 to L5."""
        chain = [v for v in self.spine.vertebrae if v.level[0] != "C" or v.level == "C7"]
        tilts = [self._tilt(p) for v in chain for p in (v.superior, v.inferior) if p is not None]
        out = []
        turns = turning_points(tilts, CURVE_DEG)
        for first, last in itertools.pairwise(turns):
            convex_right = tilts[first] > tilts[last]
            sign = 1 if convex_right else -1
            pairs = [
                (u, w, sign * (tilts[2 * u] - tilts[2 * w + 1]))
                for u in range(first // 2, last // 2 + 1)
                for w in range(u + 1, last // 2 + 1)
            ]
            steepest = max((p[2] for p in pairs), default=0.0)
            even = [p for p in pairs if p[2] >= max(steepest - PLATEAU_DEG, CURVE_DEG)]
            if not even:
                continue
            upper, lower, value = min(even, key=lambda p: (p[1] - p[0], -p[2]))
            if lower - upper < FEWEST - 1:
                continue
            between = range(upper + 1, lower) if lower - upper > 1 else (upper, lower)
            lean = [tilts[2 * k] + tilts[2 * k + 1] for k in range(len(chain))]
            if min(lean[upper], lean[lower]) < 0 < max(lean[upper], lean[lower]):
                apex = min(between, key=lambda k: abs(lean[k]))
            else:  # no vertebra is horizontal: the one furthest from the line between the ends
                apex = max(between, key=lambda k: self._bulge(chain, upper, lower, k))
            out.append(
                Parameter(
                    "COBB",
                    float(value),
                    "deg",
                    "projected, patient frame",
                    upper=chain[upper].level,
                    apex=chain[apex].level,
                    lower=chain[lower].level,
                    side="right" if convex_right else "left",
                )
            )
        return out

    def _bulge(self, chain: list[Vertebra], upper: int, lower: int, k: int) -> float:
        top, bottom, here = (self.frame @ chain[i].body_centre_mm for i in (upper, lower, k))
        share = (here[2] - bottom[2]) / (top[2] - bottom[2])
        return abs(float(here[0] - bottom[0] - share * (top[0] - bottom[0])))


def turning_points(values: list[float], least: float) -> list[int]:
    """Indices where a profile turns by at least `least`, with its first and last extremes."""
    turns: list[int] = []
    low = high = 0
    rising: bool | None = None
    for k, value in enumerate(values):
        if value > values[high]:
            high = k
        if value < values[low]:
            low = k
        if rising is not False and values[high] - value >= least:
            turns.append(high)
            rising, low = False, k
        elif rising is not True and value - values[low] >= least:
            turns.append(low)
            rising, high = True, k
    if rising is not None:
        turns.append(high if rising else low)
    return turns
