"""The whole panel for a skeleton, from its exact landmarks: what a perfect measurement would say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tests.accuracy.frames import UP, Array, between, fold, slope, tilt
from tests.accuracy.landmarks import Marks, PlateMarks

HEADS = ("head left", "head right")
"""What the patient frame needs."""


@dataclass(frozen=True)
class Value:
    """One true value.

    Attributes
    ----------
    where : tuple of str
        () once per spine, (level,) per vertebra, (upper, lower) per segment.
    needs : frozenset of str
        Bones that must be whole in the field of view for it to be measurable.
    expected : bool
        Whether the panel demands it; otherwise it is compared when measured and not missed when not.
    """

    key: str
    value: float | str
    where: tuple[str, ...]
    needs: frozenset[str]
    expected: bool = True


class Panel:
    """True values under construction; `add` gives each projected angle its companion in space."""

    def __init__(self) -> None:
        self.values: list[Value] = []

    def add(
        self,
        key: str,
        value: float | str,
        needs: tuple[str, ...],
        *,
        where: tuple[str, ...] = (),
        in_space: float | None = None,
        expected: bool = True,
    ) -> None:
        """One value and, when `in_space` is given, KEY_3D."""
        self.values.append(Value(key, value, where, frozenset(needs), expected))
        if in_space is not None:
            own = tuple(n for n in needs if n not in HEADS) if _free_of_heads(key) else needs
            self.values.append(Value(f"{key}_3D", in_space, where, frozenset(own), False))


def _free_of_heads(key: str) -> bool:
    return key.startswith(("LL_", "TK_", "TLK_", "CL_", "DISC_", "T1S", "C2S", "SS")) and key != "T1SPI"


def forward(vector: Array) -> float:
    """Degrees by which a line leans forward from the vertical, seen from the side."""
    return float(np.degrees(np.arctan2(-vector[1], vector[2])))


def across_hips_deg(marks: Marks) -> float:
    """PI: from the S1 normal to the line from the hip axis, seen along the 3-D hip axis."""
    axis = marks.heads["left"] - marks.heads["right"]
    axis = axis / np.linalg.norm(axis)
    line, normal = (v - axis * (v @ axis) for v in (marks.s1.centre, marks.s1.normal))
    return float(np.degrees(np.arctan2(axis @ np.cross(line, normal), line @ normal)))


def whole_spine(marks: Marks) -> list[Value]:
    """Everything that is said once per spine."""
    panel, v, s1 = Panel(), marks.vertebrae, marks.s1
    left, right = marks.heads["left"], marks.heads["right"]
    pi, pt, ss = across_hips_deg(marks), -forward(s1.centre), slope(s1.normal)
    panel.add("PI", pi, ("S1", *HEADS), in_space=between(s1.normal, s1.centre))
    panel.add("PT", pt, ("S1", *HEADS), in_space=between(s1.centre, UP))
    panel.add("SS", ss, ("S1", *HEADS), in_space=between(s1.normal, UP))

    def plate(name: str) -> PlateMarks | None:
        if name == "S1":
            return s1
        level, which = name.split()
        return getattr(v[level], which) if level in v else None

    def curve(key: str, first: str, second: str) -> None:
        a, b = plate(first), plate(second)
        if a is None or b is None:
            return
        needs = (first.split()[0], second.split()[0], *HEADS)
        value = slope(a.normal) - slope(b.normal)
        panel.add(key, value, needs, in_space=between(a.normal, b.normal))

    curve("LL_L1S1", "S1", "L1 superior")
    curve("LL_L4S1", "S1", "L4 superior")
    curve("LL_T12S1", "S1", "T12 superior")
    curve("LL_L1L5", "L5 inferior", "L1 superior")
    for top, bottom in (("T1", "T12"), ("T2", "T12"), ("T4", "T12"), ("T5", "T12"), ("T2", "T5")):
        curve(f"TK_{top}{bottom}", f"{top} superior", f"{bottom} inferior")
    curve("TLK_T10L2", "T10 superior", "L2 inferior")
    curve("CL_C2C7", "C7 inferior", "C2 inferior")
    if "L4" in v:
        share = (ss - slope(v["L4"].superior.normal)) / (ss - slope(v["L1"].superior.normal))  # type: ignore[union-attr]
        panel.add("LDI", 100 * share, ("S1", "L4", "L1", *HEADS), expected=False)
    panel.add("PI_LL", pi - ss + slope(v["L1"].superior.normal), ("S1", "L1", *HEADS))  # type: ignore[union-attr]
    for key, name in (("T1S", "T1 superior"), ("C2S", "C2 inferior")):
        found = plate(name)
        if found is not None:
            needs = (name.split()[0], *HEADS)
            panel.add(key, slope(found.normal), needs, in_space=between(found.normal, UP))
    _offsets(panel, marks, pt, ss)
    _coronal(panel, marks)
    yaw = np.degrees(np.arctan2(marks.frame[1, 0], marks.frame[0, 0]))
    panel.add("PELVIS_YAW", float(yaw), HEADS)
    rise = left[2] - right[2]
    panel.add("PELVOBL", float(np.degrees(np.arctan2(rise, np.hypot(*(left - right)[:2])))), HEADS)
    panel.add("FHHD", float(rise), HEADS)
    line = marks.crests["left"] - marks.crests["right"]
    oblique = float(np.degrees(np.arctan2(line[2], np.hypot(*line[:2]))))
    panel.add("PELVOBL_CREST", oblique, (*HEADS, "hip left", "hip right"))
    return panel.values


def _offsets(panel: Panel, marks: Marks, pt: float, ss: float) -> None:
    v, s1 = marks.vertebrae, marks.s1
    c7, t1, t9, c2 = v["C7"], v["T1"], v["T9"], v["C2"]
    panel.add("SVA", float(s1.posterior_edge[1] - c7.centroid[1]), ("S1", "C7", *HEADS))
    edge = c7.superior.posterior_edge  # type: ignore[union-attr]
    panel.add("CSVA", float(edge[1] - c2.centroid[1]), ("C7", "C2", *HEADS))
    for key, point, level in (
        ("T1SPI", t1.centroid, "T1"),
        ("T9SPI", t9.centroid, "T9"),
        ("ODHA", marks.dens_tip, "C2"),
    ):
        panel.add(key, forward(point), (level, *HEADS), in_space=between(point, UP))
    tpa = pt + forward(t1.centroid)
    panel.add("TPA", tpa, ("S1", "T1", *HEADS), in_space=between(s1.centre, t1.centroid))
    trunk = c7.centroid - s1.centre
    gt = pt + forward(trunk)
    panel.add("GT", gt, ("S1", "C7", *HEADS), in_space=between(s1.centre, trunk))
    ssa = 90 + ss - forward(trunk)
    panel.add("SSA", ssa, ("S1", "C7", *HEADS), in_space=between(trunk, -s1.back))


def _coronal(panel: Panel, marks: Marks) -> None:
    v, s1 = marks.vertebrae, marks.s1
    panel.add("C7_CSVL", float(v["C7"].centroid[0] - s1.centre[0]), ("S1", "C7", *HEADS))
    panel.add("PELVOBL_S1", -tilt(s1.normal), ("S1", *HEADS))
    panel.add("S1_TILT", tilt(s1.normal), ("S1", *HEADS), in_space=between(s1.normal, UP))
    for level in ("T1", "L5"):
        if level in v:
            normal = v[level].superior.normal  # type: ignore[union-attr]
            panel.add(f"{level}_TILT", tilt(normal), (level, *HEADS), in_space=between(normal, UP))


def difference(measured: float, true: float, degrees: bool) -> float:
    """Measured minus true; angles the short way round."""
    return fold(measured - true) if degrees else measured - true
