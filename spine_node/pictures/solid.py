"""The spine in space: from the front with its curves, from the left, and from above."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from spine_node.imaging.volume import LabelMap
from spine_node.parameters.catalogue import CATALOGUE, CURVES, THREE_D
from spine_node.pictures.bones import Bones, bones
from spine_node.pictures.callouts import Callout, Words, write_callouts
from spine_node.pictures.coronal import BEYOND_MM
from spine_node.pictures.drawing import (
    BACKGROUND,
    CURVE_LINES,
    DPI,
    HEIGHT_INCHES,
    TEXT,
    Sheet,
    marks,
    ruled,
    sheet,
    stretched,
    stroke,
    write,
)
from spine_node.pictures.panel import Panel
from spine_node.pictures.projection import Extent
from spine_node.pictures.rays import Look, Sight, Target, look
from spine_node.pictures.scene import CORONAL, NAME_INCHES, SAGITTAL, Scene, beside, name_levels, warn
from spine_node.pictures.words import headline, line_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Plot

LEAST_MM, MARGIN_MM, HEADROOM_MM = 150.0, 14.0, 22.0
"""Shown at least, in height; and beside, above and below the bones."""

NARROWEST, WIDEST = 0.32, 2.0
"""Width of a view at least, and of both large ones together at most, against the height of the page."""

FINEST_MM = 0.2
"""Size of a pixel at least: a single vertebra has no more to show."""

GUTTERS, PANEL = (2.1, 0.0), 4.3
"""Room for labels and for the panel, inches."""

GAP_INCHES = 0.3
"""Between the two large views."""

FROM_ABOVE_INCHES = 2.75
"""Height of the view from above."""

NEAR = ("hip_left", "femoral_head_left")
"""Left out of the view from the left: they stand before the sacrum."""


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """The three views, rendered.

    Attributes
    ----------
    front, side, above : Look
    shift_mm : float
        From the side view's own horizontal axis to its place beside the front view.
    """

    front: Look
    side: Look
    above: Look
    shift_mm: float


@dataclass(frozen=True, slots=True, eq=False)
class Surfaces:
    """The bones, and those that the view from the left shows and leaves out, ready for rays."""

    whole: Bones
    rest: Target
    near: Target

    @classmethod
    def of(cls, whole: Bones) -> Surfaces:
        """Part them."""
        return cls(whole, Target(whole.without(NEAR)), Target(whole.only(NEAR)))


def prepared(label_map: LabelMap) -> Surfaces | None:
    """What can be done before anything is measured; None where nothing is drawn in space."""
    if find_spec("embreex") is None:
        return None
    surfaces = Surfaces.of(bones(label_map))
    for part in (surfaces.rest, surfaces.near):
        if len(part.bones.faces):
            _ = part.scene
    return surfaces


def solid(scene: Scene, surfaces: Surfaces | None = None) -> Sheet:
    """Draw it; seen from the front, the patient's left is on the right."""
    surfaces = surfaces or Surfaces.of(bones(scene.label_map))
    views = views_of(scene, surfaces.whole, surfaces)
    front, side = views.front.extent_mm, views.side.extent_mm
    beside_it: Extent = (side[0] + views.shift_mm, side[1] + views.shift_mm, side[2], side[3])
    page = sheet((front[0], beside_it[1], front[2], front[3]), gutters_inches=GUTTERS, panel_inches=PANEL)
    _paint(page.plot, views.front, front)
    _paint(page.plot, views.side, beside_it)
    callouts = _curves(page, scene)
    apices = {
        c.apex: (c.side or "left", CURVE_LINES[i % len(CURVE_LINES)])
        for i, c in enumerate(scene.curves)
        if c.apex
    }
    name_levels(page, scene, CORONAL, apices)
    for level in scene.places(SAGITTAL):
        x, y = beside(page, scene, level, "anterior", SAGITTAL)
        write(page.plot, x + views.shift_mm, y, level, size=7.5, weight="bold", ha="center", va="center")
    write_callouts(page, callouts)
    warn(page, scene)
    marks(page, ("R", "L", "H", "F"), front)
    marks(page, ("A", "P", "H", "F"), beside_it)
    _numbers(page, scene, views.above)
    return page


def views_of(scene: Scene, surfaces: Bones, parts: Surfaces | None = None) -> Views:
    """Render the three views in the frame that the numbers were measured in."""
    axes = scene.axes
    places = axes.turned(surfaces.vertices_mm.astype(float))
    low, high = places.min(axis=0), places.max(axis=0)
    middle, half = (low + high) / 2, (high - low) / 2
    across = [2 * (float(half[axis]) + MARGIN_MM) for axis in (0, 1)]
    tall = max(float(half[2]) + HEADROOM_MM, LEAST_MM / 2, sum(across) / WIDEST / 2)
    bottom, top = float(middle[2]) - tall, float(middle[2]) + tall
    pixel_mm = max((top - bottom) / (HEIGHT_INCHES * DPI), FINEST_MM)

    def wide(axis: int) -> tuple[float, float]:
        reach = max(across[axis] / 2, NARROWEST * tall)
        return float(middle[axis]) - reach, float(middle[axis]) + reach

    (left, right), (fore, aft) = wide(0), wide(1)
    parts = parts or Surfaces.of(surfaces)
    near, rest = parts.near, parts.rest
    front = look((rest, near), Sight.from_the_front(axes), (left, right, bottom, top), pixel_mm)
    above = look(
        (rest, near),
        Sight.from_above(axes),
        (-right, -left, -aft, -fore),
        max(pixel_mm, (aft - fore) / (FROM_ABOVE_INCHES * DPI), (right - left) / (PANEL * DPI)),
    )
    shown = (rest,) if len(rest.bones.faces) else (near,)
    side = look(shown, Sight.from_the_left(axes), (fore, aft, bottom, top), pixel_mm)
    return Views(
        front,
        side,
        above,
        front.extent_mm[1] - side.extent_mm[0] + GAP_INCHES * (top - bottom) / HEIGHT_INCHES,
    )


def _paint(plot: Plot, look: Look, extent: tuple[float, float, float, float]) -> None:
    """Bones before the page's background; limits of the plot stay."""
    from matplotlib.colors import to_rgb

    behind = np.array(to_rgb(BACKGROUND), np.float32)
    picture = look.colour + (1 - look.cover[..., None]) * behind
    limits = plot.axis()
    shown = np.rint(255 * np.clip(picture, 0, 1)).astype(np.uint8)
    plot.imshow(shown, extent=extent, interpolation="bilinear", zorder=0, aspect="auto")
    plot.axis(limits)


def _curves(page: Sheet, scene: Scene) -> list[Callout]:
    """The plates of each curve as lines before the bones, and its numbers."""
    callouts = []
    places = scene.places(CORONAL)
    for k, curve in enumerate(scene.curves):
        colour = CURVE_LINES[k % len(CURVE_LINES)]
        for level, which in ((curve.upper, "superior"), (curve.lower, "inferior")):
            line = scene.trace(level, which, CORONAL) if level else None
            if line is not None:
                ruled(page.plot, stretched(line, before=BEYOND_MM, after=BEYOND_MM), colour)
        words = [
            headline("Cobb", curve, colour, size=12),
            Words(f"{curve.upper}\u2013{curve.lower}, apex {curve.apex}", 8.5),
        ]
        for key, name in (("COBB_PMC", "in its own plane"), ("AVR_APEX", "rotation")):
            number = scene.of_curve(curve, key)
            if number is not None:
                words.append(line_of(name, number, side=key != "COBB_PMC"))
        apex = curve.apex or ""
        if apex in places:
            far = 2 * NAME_INCHES if curve.side == "right" else 0.0
            anchor = beside(page, scene, apex, "right", CORONAL, far)
            callouts.append(Callout(anchor, "left", tuple(words), colour))
    return callouts


def _numbers(page: Sheet, scene: Scene, above: Look) -> None:
    m = scene.measurements
    panel = Panel(
        page,
        "The spine in space",
        "Surfaces of the segmentation, in its colours. From the front: the patient's left is on the right. "
        "From the left, without the left hip: the front is on the left. Below, from above: the front is up, "
        "the patient's left on the left.",
        m,
    )
    place = panel.space(FROM_ABOVE_INCHES + 0.2)
    if place is not None:
        _from_above(page.panel, above, place)
    of_curve = [r.key for r in CATALOGUE if r.group == CURVES]
    for curve in scene.curves:
        title = f"Curve {curve.upper}\u2013{curve.lower}, apex {curve.apex}, convex {curve.side}"
        panel.group(title, [p for key in of_curve if (p := scene.of_curve(curve, key)) is not None])
    if not scene.curves:
        both = [r.key for r in CATALOGUE if r.per == "spine" and m.get(r.key + THREE_D) is not None]
        panel.group("Projected angles, and in space", [p for p in m.parameters if p.key in both])
    panel.remarks(m.quality)
    panel.close()


def _from_above(panel: Plot, look: Look, place: tuple[float, float, float]) -> None:
    """The view from above in the panel, which is in inches from its upper left corner."""
    left, right, bottom, top = look.extent_mm
    first, last, upper = place
    scale = max((right - left) / (last - first), (top - bottom) / FROM_ABOVE_INCHES)
    wide, tall = (right - left) / scale, (top - bottom) / scale
    first, upper = first + (last - first - wide) / 2, upper + 0.15
    _paint(panel, look, (first, first + wide, upper + tall, upper))
    middle = upper + tall / 2
    for x, y, letter, ha, va in (
        (first, middle, "L", "left", "center"),
        (first + wide, middle, "R", "right", "center"),
        (first + wide / 2, upper, "A", "center", "top"),
        (first + wide / 2, upper + tall, "P", "center", "bottom"),
    ):
        write(panel, x, y, letter, size=12, weight="bold", ha=ha, va=va)
    length = 50.0 / scale
    stroke(panel, [first, first + length], [upper + tall] * 2, color=TEXT, lw=1.2)
    write(panel, first, upper + tall - 0.05, "50 mm", size=7.5, va="bottom")
