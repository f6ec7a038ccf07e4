"""The view from the left: pelvic incidence and tilt, lordosis and kyphosis, slopes, balance."""

from __future__ import annotations

import numpy as np

from spine_node.imaging.volume import FloatArray
from spine_node.parameters.catalogue import CATALOGUE, PELVIS, SIDE
from spine_node.parameters.class_catalogue import ALIGNMENT, CLASS_DEFINITIONS
from spine_node.parameters.sagittal import REGIONS
from spine_node.parameters.view import S1
from spine_node.pictures.callouts import Callout, Words, write_callouts
from spine_node.pictures.drawing import (
    ANGLE_LINE,
    BALANCE_LINE,
    CURVE_LINES,
    PELVIS_LINE,
    Sheet,
    arc,
    dot,
    image,
    marks,
    ruled,
    sheet,
    stretched,
)
from spine_node.pictures.panel import Panel
from spine_node.pictures.scene import SAGITTAL, Scene, draw_heads, name_levels, warn
from spine_node.pictures.words import PELVIS_FROM_THE_FRONT, headline

REGION_CHOICE: tuple[tuple[str, ...], ...] = (
    ("CL_C2C7",),
    ("TK_T4T12", "TK_T5T12", "TK_T2T12", "TK_T1T12", "TLK_T10L2"),
    ("LL_L1S1", "LL_L4S1", "LL_L1L5"),
)
"""Of each region the first that could be measured is drawn."""

AHEAD_MM, BEHIND_MM = 6.0, 46.0
"""How far the lines of a region go on before and behind its endplates."""

SLOPE_MM = 26.0
"""Length of the horizontal beside a sloping plate, and radius of its arc."""


def sagittal(scene: Scene) -> Sheet:
    """Draw it; the front of the patient is on the left."""
    view = scene.sagittal
    page = sheet(view.extent_mm)
    image(page.plot, view)
    callouts = [
        *_regions(page, scene),
        *_slopes(page, scene),
        *_balance(page, scene),
        *_pelvis(page, scene),
        *_over_the_hips(page, scene),
    ]
    name_levels(page, scene, SAGITTAL, {})
    write_callouts(page, callouts)
    warn(page, scene)
    marks(page, ("A", "P", "H", "F"))
    _numbers(page, scene)
    return page


def _regions(page: Sheet, scene: Scene) -> list[Callout]:
    """Lordosis and kyphosis: both lines of each, joined behind the spine."""
    callouts = []
    for keys, colour in zip(REGION_CHOICE, CURVE_LINES[2::-1], strict=True):
        angle = next((p for key in keys if (p := scene.measurements.get(key)) is not None), None)
        if angle is None:
            continue
        traces = [scene.trace(*place, SAGITTAL) for place in REGIONS[angle.key]]
        lines = [stretched(t, before=AHEAD_MM, after=BEHIND_MM) for t in traces if t is not None]
        if len(lines) < 2:
            continue
        for line in lines:
            ruled(page.plot, line, colour)
        ends = np.stack([line[1] for line in lines])
        ruled(page.plot, ends, colour, width=0.6)
        kind, _, levels = angle.key.partition("_")
        words = headline(kind, angle, colour, size=12)
        below = Words(f"{angle.upper}\u2013{angle.lower}" if angle.upper else levels, 8.5)
        callouts.append(Callout(ends.mean(axis=0), "right", (words, below), colour))
    return callouts


def _slopes(page: Sheet, scene: Scene) -> list[Callout]:
    """Slopes of C2 and T1 against the horizontal."""
    callouts = []
    for key, level, which in (("C2S", "C2", "inferior"), ("T1S", "T1", "superior")):
        slope, line = scene.measurements.get(key), scene.trace(level, which, SAGITTAL)
        if slope is None or line is None:
            continue
        middle = _against_horizontal(page, line, ANGLE_LINE)
        callouts.append(Callout(middle, "left", (headline(f"{level} slope", slope, ANGLE_LINE),), ANGLE_LINE))
    return callouts


def _against_horizontal(page: Sheet, line: FloatArray, colour: str) -> FloatArray:
    """A plate, a horizontal forwards from its posterior end, and the arc between them; its middle."""
    front, back = line
    length = float(np.linalg.norm(front - back)) + SLOPE_MM / 2
    along = (front - back) / max(float(np.linalg.norm(front - back)), 1e-6)
    level = np.array([-1.0, 0.0])
    ruled(page.plot, np.stack([back, back + length * along]), colour, width=1.1)
    ruled(page.plot, np.stack([back, back + length * level]), colour, width=0.9, dashed=True)
    return arc(page.plot, back, level, along, length - 3, colour)


def _balance(page: Sheet, scene: Scene) -> list[Callout]:
    """Plumb lines of C7 and C2, and how far they pass in front of the corners below."""
    callouts = []
    for key in ("SVA", "CSVA"):
        balance = scene.measurements.get(key)
        for line in balance.lines if balance else ():
            points = scene.seen(line.points_mm, SAGITTAL)
            ruled(page.plot, points, BALANCE_LINE, width=1.1, dashed=line.role == "plumb")
            if line.role == "plumb":
                dot(page.plot, points[0], BALANCE_LINE)
                continue
            assert balance is not None
            dot(page.plot, points[-1], BALANCE_LINE, size=3.5, filled=True)
            name = "cSVA" if key == "CSVA" else key
            words = headline(name, balance, BALANCE_LINE)
            callouts.append(Callout(points[0], "left", (words,), BALANCE_LINE))
    return callouts


def _pelvis(page: Sheet, scene: Scene) -> list[Callout]:
    """The construction of incidence, tilt and slope, and the femoral heads."""
    callouts = []
    draw_heads(page, scene, SAGITTAL)
    plate, line = scene.spine.s1, scene.trace(S1, "superior", SAGITTAL)
    if plate is None or line is None:
        return []
    ruled(page.plot, stretched(line, before=4, after=4), PELVIS_LINE, width=1.6)
    slope = scene.measurements.get("SS")
    if slope is not None:
        middle = _against_horizontal(page, line, PELVIS_LINE)
        callouts.append(Callout(middle, "left", (headline("SS", slope, PELVIS_LINE, size=12),), PELVIS_LINE))
    incidence, tilt = scene.measurements.get("PI"), scene.measurements.get("PT")
    if len(scene.spine.heads) < 2 or (incidence is None and tilt is None):
        return callouts
    hips = scene.seen(np.mean([h.centre_mm for h in scene.spine.heads.values()], axis=0), SAGITTAL)
    centre = line.mean(axis=0)
    radius = float(np.linalg.norm(centre - hips))
    ruled(page.plot, np.stack([hips, centre]), PELVIS_LINE)
    dot(page.plot, hips, PELVIS_LINE, size=6)
    if incidence is not None:
        across = np.array([line[0, 1] - line[1, 1], line[1, 0] - line[0, 0]])
        inward = -across / np.linalg.norm(across)  # the normal, away from the disc
        ruled(
            page.plot, np.stack([centre, centre + 0.7 * radius * inward]), PELVIS_LINE, width=1.0, dashed=True
        )
        middle = arc(page.plot, centre, inward, hips - centre, 0.45 * radius, PELVIS_LINE)
        words = (headline("PI", incidence, PELVIS_LINE, size=12),)
        callouts.append(Callout(middle, "right", words, PELVIS_LINE))
    if tilt is not None:
        up = np.array([0.0, 1.0])
        ruled(page.plot, np.stack([hips, hips + radius * up]), PELVIS_LINE, width=1.0, dashed=True)
        middle = arc(page.plot, hips, up, centre - hips, 0.6 * radius, PELVIS_LINE)
        words = (headline("PT", tilt, PELVIS_LINE, size=12),)
        callouts.append(Callout(middle, "left", words, PELVIS_LINE))
    return callouts


def _over_the_hips(page: Sheet, scene: Scene) -> list[Callout]:
    """The line from the hip axis to T1, which two angles share."""
    angles = [(name, scene.measurements.get(key)) for key, name in (("TPA", "TPA"), ("T1SPI", "T1SPi"))]
    seen = [(name, p) for name, p in angles if p is not None]
    t1 = scene.spine.vertebra("T1")
    if not seen or t1 is None or len(scene.spine.heads) < 2:
        return []
    hips = np.mean([h.centre_mm for h in scene.spine.heads.values()], axis=0)
    line = scene.seen(np.stack([hips, t1.body_centre_mm]), SAGITTAL)
    ruled(page.plot, line, BALANCE_LINE, width=0.9)
    dot(page.plot, line[1], BALANCE_LINE, size=3.5, filled=True)
    words = tuple(headline(name, p, BALANCE_LINE) for name, p in seen)
    return [Callout(line[0] + 0.55 * (line[1] - line[0]), "left", words, BALANCE_LINE)]


def _numbers(page: Sheet, scene: Scene) -> None:
    m = scene.measurements
    what = "Slab along the spine" if scene.volume is not None else "Label map, cut along the spine"
    panel = Panel(
        page, "Sagittal", f"{what}, seen from the left: the front of the patient is on the left.", m
    )
    pelvic = [r.key for r in CATALOGUE if r.group == PELVIS and r.key not in PELVIS_FROM_THE_FRONT]
    side = [r.key for r in CATALOGUE if r.group == SIDE]
    panel.group("Pelvis", [p for p in m.parameters if p.key in pelvic])
    panel.group("Spine from the side", [p for p in m.parameters if p.key in side])
    panel.classes(
        "Alignment classes",
        [c for c in m.classes if CLASS_DEFINITIONS[c.key].group == ALIGNMENT and c.key != "SCHWAB_COR"],
    )
    panel.missing([*pelvic, *side])
    panel.remarks(m.quality)
    panel.close()
