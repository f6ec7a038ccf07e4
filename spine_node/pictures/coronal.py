"""The view from the front: the curves with their end plates and apices, balance, pelvic obliquity."""

from __future__ import annotations

from spine_node.parameters.catalogue import CATALOGUE, CURVES, FRONT
from spine_node.parameters.class_catalogue import CLASS_DEFINITIONS, SCOLIOSIS
from spine_node.parameters.model import Parameter
from spine_node.pictures.callouts import Callout, Words, spread, write_callouts
from spine_node.pictures.drawing import (
    BALANCE_LINE,
    CURVE_LINES,
    DIM,
    GUTTERS_INCHES,
    PELVIS_LINE,
    TEXT,
    Sheet,
    dot,
    image,
    marks,
    ruled,
    sheet,
    stretched,
    write,
)
from spine_node.pictures.panel import Panel
from spine_node.pictures.scene import CORONAL, NAME_INCHES, Scene, beside, draw_heads, name_levels, warn
from spine_node.pictures.words import PELVIS_FROM_THE_FRONT, amount, headline, line_of, side_of

BEYOND_MM = 20.0
"""How far the lines of a curve go on beyond its endplates."""

TURNED_DEG = 5.0
"""Smaller rotations are written in grey."""

ROTATION_INCHES = 0.95
"""Width of the column of rotations."""


def coronal(scene: Scene) -> Sheet:
    """Draw it; the patient's left is on the right."""
    view = scene.project(CORONAL)
    page = sheet(view.extent_mm, gutters_inches=(GUTTERS_INCHES[0], ROTATION_INCHES))
    image(page.plot, view)
    curves = scene.curves
    # on the convex side, where no line runs from the apex to the plumb line
    apices = {
        c.apex: (c.side or "left", CURVE_LINES[i % len(CURVE_LINES)]) for i, c in enumerate(curves) if c.apex
    }
    callouts = [*_curves(page, scene, curves), *_balance(page, scene), *_pelvis(page, scene)]
    name_levels(page, scene, CORONAL, apices)
    _rotations(page, scene)
    write_callouts(page, callouts)
    warn(page, scene)
    marks(page, ("R", "L", "H", "F"))
    _numbers(page, scene, curves)
    return page


def _curves(page: Sheet, scene: Scene, curves: tuple[Parameter, ...]) -> list[Callout]:
    callouts = []
    places = scene.places(CORONAL)
    for k, curve in enumerate(curves):
        colour = CURVE_LINES[k % len(CURVE_LINES)]
        for level, which in ((curve.upper, "superior"), (curve.lower, "inferior")):
            line = scene.trace(level, which, CORONAL) if level else None
            if line is not None:
                ruled(page.plot, stretched(line, before=BEYOND_MM, after=BEYOND_MM), colour)
        words = [
            headline("Cobb", curve, colour, size=12),
            Words(f"{curve.upper}\u2013{curve.lower}, apex {curve.apex}", 8.5),
        ]
        shift, turn = (scene.of_curve(curve, key) for key in ("AVT", "AVR_APEX"))
        if shift is not None:
            _offset(page, scene, shift, colour)
            words.append(line_of("AVT", shift))
        if turn is not None:
            words.append(line_of("rotation", turn))
        apex = curve.apex or ""
        if apex in places:
            beyond = 2 * NAME_INCHES if curve.side == "right" else 0.0
            anchor = beside(page, scene, apex, "right", CORONAL, beyond)
            callouts.append(Callout(anchor, "left", tuple(words), colour))
    return callouts


def _offset(page: Sheet, scene: Scene, shift: Parameter, colour: str) -> None:
    """The plumb line an apex is measured from, and the way from there."""
    for line in shift.lines:
        points = scene.seen(line.points_mm, CORONAL)
        if line.role == "plumb":
            ruled(page.plot, points, BALANCE_LINE, width=0.8, dashed=True)
        else:
            ruled(page.plot, points, colour, width=1.2)
            dot(page.plot, points[-1], colour, size=3.5, filled=True)


def _balance(page: Sheet, scene: Scene) -> list[Callout]:
    callouts = []
    balance = scene.measurements.get("C7_CSVL")
    for line in balance.lines if balance else ():
        points = scene.seen(line.points_mm, CORONAL)
        if line.role == "plumb":
            ruled(page.plot, stretched(points, before=0, after=12), BALANCE_LINE, width=1.1, dashed=True)
            continue
        ruled(page.plot, points, BALANCE_LINE, width=1.2)
        dot(page.plot, points[-1], BALANCE_LINE)
        assert balance is not None
        words = (
            Words("Coronal balance", 8.5),
            headline("", balance, BALANCE_LINE),
            Words(side_of(balance), 8.5),
        )
        callouts.append(Callout(points[-1], "left", words, BALANCE_LINE))
    return callouts


def _pelvis(page: Sheet, scene: Scene) -> list[Callout]:
    callouts = []
    for key, name in (("PELVOBL", "Femoral heads"), ("PELVOBL_CREST", "Iliac crests")):
        slant = scene.measurements.get(key)
        if slant is None or not slant.lines:
            continue
        points = scene.seen(slant.lines[0].points_mm, CORONAL)
        ruled(page.plot, points, PELVIS_LINE, width=1.2)
        for point in points:
            dot(page.plot, point, PELVIS_LINE, size=3, filled=True)
        words = [headline("", slant, PELVIS_LINE), Words(f"{name}, {side_of(slant) or 'level'}", 8.5)]
        difference = scene.measurements.get("FHHD")
        if key == "PELVOBL" and difference is not None:
            words.append(line_of("difference", difference, side=False))
        callouts.append(Callout(points[0], "left", tuple(words), PELVIS_LINE))
    draw_heads(page, scene, CORONAL)
    return callouts


def _rotations(page: Sheet, scene: Scene) -> None:
    """Rotation of each vertebra beside the image, at its height."""
    places = scene.places(CORONAL)
    turned = [p for p in scene.measurements.parameters if p.key == "AVR" and p.level in places]
    if not turned:
        return
    _, right, bottom, top = page.extent_mm
    inch = page.mm_per_inch
    x = right + (ROTATION_INCHES - 0.08) * inch
    heights = [float(places[p.level or ""][1]) for p in turned]
    rows = spread(heights, [0.14 * inch] * len(turned), bottom, top - 0.35 * inch)
    for parameter, y in zip(turned, rows, strict=True):
        letter = {"left": "L", "right": "R", None: "\u2002"}[parameter.side]
        strong = abs(parameter.value) >= TURNED_DEG and not parameter.imprecise
        text = f"{parameter.level} {amount(parameter, decimals=0)} {letter}"
        shade = TEXT if strong else DIM
        write(page.plot, x, y, text, size=7.5, colour=shade, edged=False, ha="right", va="center")
    y = float(rows.max()) + 0.17 * inch
    write(page.plot, x, y, "rotation", size=7.5, colour=DIM, edged=False, ha="right", va="center")


def _numbers(page: Sheet, scene: Scene, curves: tuple[Parameter, ...]) -> None:
    m = scene.measurements
    panel = Panel(page, "Coronal", _seen(scene), m)
    of_curve = [r.key for r in CATALOGUE if r.group == CURVES]
    for curve in curves:
        title = f"Curve {curve.upper}\u2013{curve.lower}, apex {curve.apex}, convex {curve.side}"
        panel.group(title, [p for key in of_curve if (p := scene.of_curve(curve, key)) is not None])
    keys = [r.key for r in CATALOGUE if r.group == FRONT]
    panel.group("Balance and tilt", [p for p in m.parameters if p.key in keys])
    panel.group("Pelvis from the front", [p for p in m.parameters if p.key in PELVIS_FROM_THE_FRONT])
    panel.classes(
        "Curve classes",
        [c for c in m.classes if CLASS_DEFINITIONS[c.key].group == SCOLIOSIS or c.key == "SCHWAB_COR"],
    )
    panel.missing([*keys, *PELVIS_FROM_THE_FRONT, *of_curve])
    panel.remarks(m.quality)
    panel.close()


def _seen(scene: Scene) -> str:
    what = "Slab along the spine" if scene.volume is not None else "Label map"
    return f"{what}, seen from the front: the patient's left is on the right."
