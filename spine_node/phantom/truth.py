"""What the phantom measures, from its own exact landmarks and its own formulas.

This is deliberately no user of `parameters`: when the two agree, it is because both are right.
Definitions and signs follow the clinical reference: the patient frame has z against gravity, x along
the horizontal part of the line from the right to the left femoral head, y posterior.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from spine_node.anatomy.landmarks import Endplate, Spine
from spine_node.parameters.model import Measurements, NotMeasured, Parameter

Vector = NDArray[np.float64]

CURVE_DEG = 10.0
"""Smallest coronal curve that is called one."""


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
            side = ("left" if value > 0 else "right") if key == "C7_CSVL" else None
            values.append(Parameter(key, value, unit, method, side=side))
    values += ruler.curves()
    values += ruler.rotations()
    return Measurements("PATIENT", seen.vertical.provenance, tuple(values), tuple(absent))


_SINGLE: tuple[tuple[str, tuple[str, ...], str, str, str], ...] = (
    ("PI", ("S1", "heads"), "deg", "in the plane across the hip axis", "incidence"),
    ("PT", ("S1", "heads"), "deg", "projected, patient frame", "pelvic_tilt"),
    ("SS", ("S1",), "deg", "projected, patient frame", "sacral_slope"),
    ("LL_L1S1", ("S1", "L1"), "deg", "L1 superior to S1, projected, patient frame", "lordosis"),
    ("TK_T4T12", ("T4", "T12"), "deg", "T4 superior to T12 inferior, projected, patient frame", "kyphosis"),
    ("SVA", ("S1", "C7"), "mm", "C7 body centre to S1 posterior corner, patient frame", "sagittal_offset"),
    ("C7_CSVL", ("S1", "C7"), "mm", "C7 body centre to S1 centre, patient frame", "coronal_offset"),
)


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
            side = "left" if angle > 0 else "right"
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
            upper = max(range(first // 2, last // 2), key=lambda k: sign * tilts[2 * k], default=first // 2)
            lower = min(
                range(upper + 1, last // 2 + 1), key=lambda k: sign * tilts[2 * k + 1], default=last // 2
            )
            value = sign * (tilts[2 * upper] - tilts[2 * lower + 1])
            if value < CURVE_DEG:
                continue
            between = range(upper + 1, lower) if lower - upper > 1 else range(upper, lower + 1)
            apex = min(between, key=lambda k: abs(tilts[2 * k] + tilts[2 * k + 1]))
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
