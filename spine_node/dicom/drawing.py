"""The page a picture is drawn on: image, outlines, marks, text and the list of numbers beside it.

`pictures` says what is drawn where. matplotlib is imported when a page is made.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from spine_node.dicom.codes import STRUCTURES
from spine_node.dicom.projection import STRUCTURE_NUMBERS, Projection
from spine_node.imaging.volume import FloatArray
from spine_node.parameters.catalogue import DEFINITIONS
from spine_node.parameters.model import Measurements, Parameter

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Plot
    from matplotlib.figure import Figure

HEIGHT_INCHES, DPI = 11.0, 150
_PANEL_INCHES = 3.6
BACKGROUND, TEXT, DIM = "#0d0f12", "#f2f4f7", "#8f98a3"
ANGLE_LINE, BALANCE_LINE, PELVIS_LINE = "#ffd54a", "#5ad1ff", "#ff8fd0"
_STATEMENT = "Computed. Research use, not for diagnosis."


def page(view: Projection) -> tuple[Figure, Plot, Plot]:
    """A figure with room for the view in its true proportions, and for the list beside it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    left, right, bottom, top = view.extent_mm
    width = HEIGHT_INCHES * (right - left) / (top - bottom)
    figure = Figure(figsize=(width + _PANEL_INCHES, HEIGHT_INCHES))
    FigureCanvasAgg(figure)
    share = width / (width + _PANEL_INCHES)
    plot = figure.add_axes((0, 0, share, 1))
    panel = figure.add_axes((share, 0, 1 - share, 1))
    for part in (plot, panel):
        part.set_axis_off()
    panel.set_xlim(0, _PANEL_INCHES)
    panel.set_ylim(HEIGHT_INCHES, 0)
    return figure, plot, panel


def image(plot: Plot, view: Projection) -> None:
    """The grey image, and each structure tinted and outlined in its colour."""
    finite = view.grey[np.isfinite(view.grey)]
    bone = view.grey[(view.structures > 0) & np.isfinite(view.grey)]
    low = float(np.percentile(finite, 30))
    high = float(np.percentile(bone if bone.size else finite, 99.5))
    plot.imshow(
        np.nan_to_num(view.grey, nan=low),
        cmap="gray",
        vmin=low,
        vmax=max(high, low + 1),
        extent=view.extent_mm,
        interpolation="bilinear",
    )
    colours = np.zeros((len(STRUCTURE_NUMBERS) + 1, 4))
    for name, number in STRUCTURE_NUMBERS.items():
        colours[number] = (*STRUCTURES[name].rgb, 0.22)
    plot.imshow(colours[view.structures], extent=view.extent_mm, interpolation="nearest")
    left, right, bottom, top = view.extent_mm
    rows, columns = view.structures.shape
    across = np.linspace(left, right, 2 * columns + 1)[1::2]
    heights = np.linspace(top, bottom, 2 * rows + 1)[1::2]
    for name, number in STRUCTURE_NUMBERS.items():
        mask = view.structures == number
        if mask.any():
            box = tuple(
                slice(max(s.start - 1, 0), s.stop + 1) for s in ndimage.find_objects(mask.astype(np.uint8))[0]
            )
            edge = (across[box[1]], heights[box[0]], mask[box])
            plot.contour(*edge, levels=[0.5], colors=[STRUCTURES[name].rgb], linewidths=0.9)
    plot.set_xlim(left, right)
    plot.set_ylim(bottom, top)


def marks(plot: Plot, view: Projection, horizontal: int) -> None:
    """Letters at the four sides, and a scale."""
    left, right, bottom, top = view.extent_mm
    one, other = ("R", "L") if horizontal == 0 else ("A", "P")
    middle = (top + bottom) / 2
    for x, y, text, ha, va in (
        (left + 4, middle, one, "left", "center"),
        (right - 4, middle, other, "right", "center"),
        ((left + right) / 2, top - 3, "H", "center", "top"),
        ((left + right) / 2, bottom + 3, "F", "center", "bottom"),
    ):
        write(plot, x, y, text, size=14, weight="bold", ha=ha, va=va)
    plot.plot([left + 6, left + 56], [bottom + 8, bottom + 8], color=TEXT, lw=2)
    write(plot, left + 6, bottom + 11, "50 mm", size=8)


def numbers_panel(
    panel: Plot, title: str, viewpoint: str, keys: Sequence[str], measurements: Measurements
) -> None:
    """The numbers of these parameters beside the image, what could not be measured, and the small print."""
    y = 0.45
    panel.text(0.15, y, title, color=TEXT, size=15, weight="bold")
    y += 0.3
    for p in (p for key in keys for p in measurements.parameters if p.key == key):
        spread = f" ± {p.uncertainty:.1f}" if p.uncertainty is not None else ""
        panel.text(0.15, y, DEFINITIONS[p.key].name + _where(p), color=DIM, size=8.5)
        # A coded side replaces the sign; a bare sign on a lateral offset misleads.
        value = abs(p.value) if p.side else p.value
        panel.text(0.15, y + 0.2, f"{value:.1f}{_unit(p.unit)}", color=TEXT, size=13, weight="bold")
        panel.text(1.15, y + 0.2, spread, color=DIM, size=9)
        y += 0.47
    missing = [n for n in measurements.not_measured if n.key in keys]
    if missing:
        y += 0.1
        panel.text(0.15, y, "Not measured", color=DIM, size=10, weight="bold")
        y += 0.2
        for entry in missing:
            for text in textwrap.wrap(f"{entry.key}: {entry.reason}", 52):
                panel.text(0.15, y, text, color=DIM, size=7.5)
                y += 0.15
    frame = "Patient" if measurements.frame == "PATIENT" else "Scanner"
    foot = [
        f"{frame} frame; vertical: {measurements.vertical}.",
        f"Slab along the spine; {viewpoint}.",
        _STATEMENT,
    ]
    lines = [text for sentence in foot for text in textwrap.wrap(sentence, 52)]
    for i, text in enumerate(lines):
        panel.text(0.15, HEIGHT_INCHES - 0.17 * (len(lines) - i), text, color=DIM, size=7.5)


def ruled(plot: Plot, x: FloatArray, y: FloatArray, colour: str = ANGLE_LINE) -> None:
    """A line of an angle, with a dark edge that keeps it visible on bone."""
    from matplotlib.patheffects import Stroke, withStroke

    plot.plot(
        x, y, color=colour, lw=1.4, path_effects=[Stroke(linewidth=2.6, foreground="#000000a0"), withStroke()]
    )


def write(
    plot: Plot, x: float, y: float, text: str, *, size: float, colour: str = TEXT, **style: str
) -> None:
    """Text with a dark edge, at a place in mm."""
    from matplotlib.patheffects import withStroke

    effects = [withStroke(linewidth=2.2, foreground="#000000c0")]
    plot.text(x, y, text, color=colour, size=size, path_effects=effects, **style)


def stretched(points: FloatArray, *, before: float, after: float) -> FloatArray:
    """A line of two points as rows x and y, lengthened at both ends by so many mm."""
    first, last = points[0], points[-1]
    along = (last - first) / max(float(np.linalg.norm(last - first)), 1e-6)
    return np.stack([first - before * along, last + after * along]).T


def _where(parameter: Parameter) -> str:
    if not parameter.apex:
        return f", {parameter.side}" if parameter.side else ""
    return f" {parameter.upper}-{parameter.lower}, apex {parameter.apex}, convex {parameter.side}"


def _unit(unit: str) -> str:
    return "°" if unit == "deg" else f" {unit}"
