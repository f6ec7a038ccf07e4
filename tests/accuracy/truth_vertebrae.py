"""The panel of each vertebra: attitude, rotation, heights, ratios, wedges, plates, canal, volumes."""

from __future__ import annotations

import numpy as np

from tests.accuracy.frames import Array, about, cardan, slope, tilt
from tests.accuracy.landmarks import Marks, VertebraMarks
from tests.accuracy.skeleton import Skeleton
from tests.accuracy.solids import Bone
from tests.accuracy.truth import HEADS, Panel, Value


def heights_mm(vertebra: VertebraMarks) -> dict[str, float]:
    """Distances of the two surfaces along Z, in V: ANT, MID, POST, LEFT, RIGHT."""
    body, axes, sup, inf = vertebra.body, vertebra.axes, vertebra.superior, vertebra.inferior
    assert sup is not None

    def mean(one: Array, two: Array, axis: int) -> float:
        return float(((one + two) / 2 - vertebra.origin) @ axes[:, axis])

    front = mean(sup.anterior_edge, inf.anterior_edge, 1)
    back = mean(sup.posterior_edge, inf.posterior_edge, 1)
    left, right = mean(sup.left_edge, inf.left_edge, 0), mean(sup.right_edge, inf.right_edge, 0)
    width = left - right

    def at(x: Array, y: Array) -> float:
        return float((body.superior.surface(x, y) - body.inferior.surface(x, y)).mean())

    band = (left + right) / 2 + np.linspace(-0.2, 0.2, 41) * width
    found = {}
    for name, share in (("ANT", 0.1), ("MID", 0.5), ("POST", 0.9)):
        found[name] = at(band, np.full(41, front + share * (back - front)))
    middle = np.array([(front + back) / 2])
    found["LEFT"] = at(np.array([left - 0.1 * width]), middle)
    found["RIGHT"] = at(np.array([right + 0.1 * width]), middle)
    return found


def vertebrae(marks: Marks, skeleton: Skeleton, volumes: bool = True) -> list[Value]:
    """Every key of every vertebra; whole-vertebra volumes cost a few seconds and may be left out."""
    panel = Panel()
    heights = {n: heights_mm(v) for n, v in marks.vertebrae.items() if v.superior is not None}
    order = list(marks.vertebrae)
    for level, v in marks.vertebrae.items():
        made = skeleton.person.vertebrae[level]
        _attitude(panel, v)
        _plates(panel, v)
        labelled = v.body.volume_mm3 + v.body.knob_mm3
        panel.add("VB_VOL", labelled / 1000, (level,), where=(level,), expected=level != "C2")
        panel.add("CANAL_AP", made.canal_ap, (level,), where=(level,), expected=level != "C2")
        panel.add("CANAL_W", made.canal_w, (level,), where=(level,), expected=level != "C2")
        if volumes:
            whole = (labelled + arch_mm3(skeleton, level)) / 1000
            panel.add("V_VOL", whole, (level,), where=(level,), expected=level != "C2")
        if v.superior is None:
            continue
        h = heights[level]
        for name, value in h.items():
            panel.add(f"VBH_{name}", value, (level,), where=(level,))
        panel.add("VBR_AP", h["ANT"] / h["POST"], (level,), where=(level,))
        panel.add("VBR_MP", h["MID"] / h["POST"], (level,), where=(level,))
        k = order.index(level)
        near = [n for n in order[max(k - 1, 0) : k + 2] if n != level and n in heights]
        mean = float(np.mean([heights[n]["POST"] for n in near]))
        both = len(near) == 2
        panel.add("VBR_PP", h["POST"] / mean, (level, *near), where=(level,), expected=both)
    s1 = marks.s1
    panel.add("EPW_SUP", s1.width, ("S1", *HEADS), where=("S1",), expected=False)
    panel.add("EPD_SUP", s1.depth, ("S1", *HEADS), where=("S1",), expected=False)
    panel.add("SLOPE_SUP", slope(s1.normal), ("S1", *HEADS), where=("S1",), expected=False)
    panel.add("TILT_SUP", tilt(s1.normal), ("S1", *HEADS), where=("S1",), expected=False)
    return panel.values


def _attitude(panel: Panel, v: VertebraMarks) -> None:
    needs, where = (v.level, *HEADS), (v.level,)
    told = v.superior is not None
    front, left = -v.axes[:, 1], v.axes[:, 0]
    panel.add("AVR", cardan(v.axes)[2], needs, where=where, expected=told)
    turned = float(np.degrees(np.arctan2(front[0], -front[1])))
    panel.add("AVR_PROJAP", turned, needs, where=where, expected=told)
    turned = float(np.degrees(np.arctan2(left[1], left[0])))
    panel.add("AVR_PROJLR", turned, needs, where=where, expected=told)
    for name, plate in (("SUP", v.superior), ("INF", v.inferior)):
        if plate is not None:
            panel.add(f"TILT_{name}", tilt(plate.normal), needs, where=where)
            panel.add(f"SLOPE_{name}", slope(plate.normal), needs, where=where)


def _plates(panel: Panel, v: VertebraMarks) -> None:
    for name, plate in (("SUP", v.superior), ("INF", v.inferior)):
        if plate is not None:
            panel.add(f"EPW_{name}", plate.width, (v.level,), where=(v.level,))
            panel.add(f"EPD_{name}", plate.depth, (v.level,), where=(v.level,))
    if v.superior is not None:
        sup, inf = v.axes.T @ v.superior.normal, v.axes.T @ v.inferior.normal
        panel.add("VB_WEDGE_SAG", slope(sup) - slope(inf), (v.level,), where=(v.level,))
        panel.add("VB_WEDGE_COR", tilt(sup) - tilt(inf), (v.level,), where=(v.level,))


OBLIQUE = about(0, 19.0) @ about(1, 27.0) @ about(2, 33.0)
"""Turns the lattice of `arch_mm3` away from every face of the bones."""


def arch_mm3(skeleton: Skeleton, level: str, step: float = 0.7) -> float:
    """Volume that carries the label of a level's posterior elements, mm3.

    The union of overlapping solids has no closed form: it is integrated on an oblique lattice in the
    bone's own frame, unrelated to any scan's grid. Claims of other bones count as in the label map.
    """
    placed = skeleton.arches[level]
    bone = placed.shape
    assert isinstance(bone, Bone)
    kept = []
    for part, (low, high) in bone.pieces():
        corners = np.array(np.meshgrid(*np.column_stack([low, high]))).reshape(3, -1).T @ OBLIQUE
        # whole steps, so that the lattices of all parts are one
        start, stop = np.floor(corners.min(axis=0) / step), np.ceil(corners.max(axis=0) / step)
        axes = [np.arange(a, b + 1) for a, b in zip(start, stop, strict=True)]
        index = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
        at = index * step @ OBLIQUE.T
        near = ((at >= low) & (at <= high)).all(axis=1)
        near[near] = part.contains(*at[near].T)
        kept.append(index[near].astype(np.int32))
    at = np.unique(np.concatenate(kept), axis=0) * step @ OBLIQUE.T
    points = placed.out(at)
    taken = _in(skeleton.bodies[level], points)
    order = skeleton.levels
    k = order.index(level)
    others = [skeleton.bodies[n] for n in order[max(k - 1, 0) : k + 2] if n != level]
    others += [skeleton.arches[n] for n in order[k + 1 : k + 3]]
    if k >= len(order) - 2:
        others.append(skeleton.sacrum)
    for other in others:
        taken |= _in(other, points)
    return float((~taken).sum() * step**3)


def _in(placed: object, points: Array) -> Array:
    local = placed.into(points)  # type: ignore[attr-defined]
    return placed.shape.contains(*local.T)  # type: ignore[attr-defined]
