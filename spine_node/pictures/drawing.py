"""The page a picture is drawn on: image, outlines, lines, orientation marks and text.

matplotlib is imported when a page is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage

from spine_node.dicom.codes import STRUCTURES
from spine_node.imaging.volume import FloatArray
from spine_node.pictures.projection import STRUCTURE_NUMBERS, Extent, Projection

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Plot
    from matplotlib.figure import Figure

HEIGHT_INCHES, DPI = 11.0, 120
GUTTERS_INCHES, PANEL_INCHES = (2.1, 2.1), 4.5
BACKGROUND, TEXT, DIM, WARNING = "#0d0f12", "#f2f4f7", "#98a1ac", "#ffb347"
ANGLE_LINE, BALANCE_LINE, PELVIS_LINE = "#ffd54a", "#5ad1ff", "#ff8fd0"
CURVE_LINES = (ANGLE_LINE, "#8df08a", "#ff9a6b", "#c9a6ff")
"""Colours of curves, from the head down."""

TINT = 0.16
"""Opacity of a structure's colour over the image."""

GAMMA = 0.85
"""Below 1: soft tissue is lifted out of the dark."""

DASHED, DASH_WIDTH = (0, (6, 4)), 1.3
"""Pattern of dashed lines, and their width against that of others."""


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """A page: the image between its gutters, and the panel of numbers to the right.

    Attributes
    ----------
    figure : Figure
    plot : Axes
        In mm of the view; the gutters are part of it.
    panel : Axes
        In inches from its upper left corner.
    extent_mm : tuple of float
        Of the image, without the gutters.
    mm_per_inch : float
    """

    figure: Figure
    plot: Plot
    panel: Plot
    extent_mm: Extent
    mm_per_inch: float

    @property
    def panel_inches(self) -> float:
        """Width of the panel."""
        return float(self.panel.get_xlim()[1])

    @property
    def height_inches(self) -> float:
        """Height of the page."""
        return float(self.panel.get_ylim()[0])


def sheet(
    extent_mm: Extent,
    *,
    gutters_inches: tuple[float, float] = GUTTERS_INCHES,
    panel_inches: float = PANEL_INCHES,
    height_inches: float = HEIGHT_INCHES,
) -> Sheet:
    """An empty page with room for the view in its true proportions.

    Parameters
    ----------
    extent_mm : tuple of float
        Of the image, which is as high as the page.
    gutters_inches : (float, float)
        Room for labels to the left and to the right of the image.
    panel_inches, height_inches : float
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    left, right, bottom, top = extent_mm
    scale = (top - bottom) / height_inches
    width = (right - left) / scale + sum(gutters_inches)
    # whole pixels, or the image would be drawn a fraction off its lines
    whole = (round((width + panel_inches) * DPI) + 1e-6) / DPI
    figure = Figure(figsize=(whole, height_inches), facecolor=BACKGROUND, dpi=DPI)
    FigureCanvasAgg(figure)
    plot = figure.add_axes((0, 0, width / whole, 1))
    panel = figure.add_axes((width / whole, 0, 1 - width / whole, 1))
    for part in (plot, panel):
        part.set_axis_off()
    plot.set_xlim(left - gutters_inches[0] * scale, right + gutters_inches[1] * scale)
    plot.set_ylim(bottom, top)
    panel.set_xlim(0, whole - width)
    panel.set_ylim(height_inches, 0)
    return Sheet(figure, plot, panel, extent_mm, scale)


def image(plot: Plot, view: Projection) -> None:
    """The grey image with each structure tinted and outlined; without an image, the structures alone."""
    colours = np.zeros((len(STRUCTURE_NUMBERS) + 1, 3))
    for name, number in STRUCTURE_NUMBERS.items():
        colours[number] = STRUCTURES[name].rgb
    if view.grey is not None:
        share = _windowed(view)
        picture = np.repeat(np.rint(255 * share).astype(np.uint8)[..., None], 3, axis=-1)
        inside = np.nonzero(view.structures)
        tinted = (1 - TINT) * share[inside][:, None] + TINT * colours[view.structures[inside]]
        picture[inside] = np.rint(255 * tinted)
    else:
        assert view.shade is not None
        picture = np.rint(255 * (colours[view.structures] * view.shade[..., None])).astype(np.uint8)
    limits = plot.axis()
    plot.imshow(picture, extent=view.extent_mm, interpolation="bilinear", zorder=0, aspect="auto")
    _outlines(plot, view, colours)
    plot.axis(limits)


def marks(page: Sheet, sides: tuple[str, str, str, str], extent_mm: Extent | None = None) -> None:
    """Letters at the left, right, upper and lower side, and a scale in centimetres.

    Of the whole image, or of a part of it.
    """
    left, right, bottom, top = page.extent_mm if extent_mm is None else extent_mm
    inch = page.mm_per_inch
    one, other, above, below = sides
    length = 50.0 if inch > 25 else 20.0
    middle = (left + right) / 2
    beside_scale = max(middle, left + length + 0.3 * inch)
    for x, y, text, ha, va in (
        (left + 0.12 * inch, top - 0.12 * inch, one, "left", "top"),
        (right - 0.12 * inch, top - 0.12 * inch, other, "right", "top"),
        (middle, top - 0.12 * inch, above, "center", "top"),
        (beside_scale, bottom + 0.12 * inch, below, "center", "bottom"),
    ):
        write(page.plot, x, y, text, size=14, weight="bold", ha=ha, va=va)
    x, y = left + 0.12 * inch, bottom + 0.14 * inch
    for tick in np.arange(0, length + 1, 10):
        rise = 0.08 if tick in (0, length) else 0.04
        stroke(page.plot, [x + tick] * 2, [y, y + rise * inch], color=TEXT, lw=1.2)
    stroke(page.plot, [x, x + length], [y, y], color=TEXT, lw=1.2)
    write(page.plot, x, y + 0.1 * inch, f"{length:.0f} mm", size=8, va="bottom")


def stroke(plot: Plot, x: ArrayLike, y: ArrayLike, **style: Any) -> None:
    """A line; unlike `Axes.plot`, it moves no limit and asks no cycle of styles, which takes longer."""
    from matplotlib.lines import Line2D

    plot.add_artist(Line2D(np.asarray(x), np.asarray(y), **style))


def ruled(
    plot: Plot, points: FloatArray, colour: str = ANGLE_LINE, *, width: float = 1.4, dashed: bool = False
) -> None:
    """A line through points, shape (n, 2), with a dark edge that keeps it visible on bone."""
    from matplotlib.patheffects import Stroke, withStroke

    # a thin dash would be lost between pixels
    width = width * DASH_WIDTH if dashed else width
    edge = [] if dashed else [Stroke(linewidth=width + 1.2, foreground="#000000a0"), withStroke()]
    stroke(plot, *points.T, color=colour, lw=width, ls=DASHED if dashed else "-", path_effects=edge, zorder=3)


def dot(plot: Plot, point: FloatArray, colour: str, *, size: float = 5.0, filled: bool = False) -> None:
    """A small ring or disc at a point."""
    fill = colour if filled else "none"
    x, y = point
    stroke(plot, [x], [y], marker="o", color=colour, ms=size, mfc=fill, mew=1.4, zorder=3.2)


def arc(
    plot: Plot, centre: FloatArray, first: FloatArray, second: FloatArray, radius: float, colour: str
) -> FloatArray:
    """An arc from one direction to another, the short way; returns its middle."""
    start = np.arctan2(first[1], first[0])
    turn = np.angle(np.exp(1j * (np.arctan2(second[1], second[0]) - start)))
    angles = start + np.linspace(0, turn, 40)
    points = centre + radius * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    ruled(plot, points, colour, width=1.0)
    return np.asarray(points[20])


def write(
    plot: Plot,
    x: float,
    y: float,
    text: str,
    *,
    size: float,
    colour: str = TEXT,
    edged: bool = True,
    **style: Any,
) -> None:
    """Text at a place in mm; on an image with a dark edge, which takes time to draw."""
    from matplotlib.patheffects import withStroke

    effects = [withStroke(linewidth=2.0, foreground="#000000d0")] if edged else []
    plot.text(x, y, text, color=colour, size=size, path_effects=effects, zorder=4, **style)


def stretched(points: FloatArray, *, before: float, after: float) -> FloatArray:
    """A line of two points, shape (2, 2), lengthened at both ends by so many mm."""
    first, last = points[0], points[-1]
    along = (last - first) / max(float(np.linalg.norm(last - first)), 1e-6)
    return np.stack([first - before * along, last + after * along])


def _windowed(view: Projection) -> FloatArray:
    """Grey values as 0..1: from soft tissue to the hardest bone; metal is white and darkens nothing."""
    assert view.grey is not None
    finite = np.isfinite(view.grey)
    values = view.grey[finite]
    bone = view.grey[(view.structures > 0) & finite]
    if not values.size:
        return np.zeros(view.grey.shape)
    low = float(np.percentile(values, 30))
    quarter, most, hardest = np.percentile(bone if bone.size else values, (25, 75, 99.5))
    high = float(min(hardest, most + 2.5 * (most - quarter)))
    share = np.clip((np.nan_to_num(view.grey, nan=low) - low) / max(high - low, 1e-6), 0, 1)
    return np.asarray(share**GAMMA, float)


def _outlines(plot: Plot, view: Projection, colours: FloatArray) -> None:
    from contourpy import contour_generator
    from matplotlib.collections import LineCollection

    left, right, bottom, top = view.extent_mm
    rows, columns = view.structures.shape
    across = left + (np.arange(columns) + 0.5) * (right - left) / columns
    heights = top - (np.arange(rows) + 0.5) * (top - bottom) / rows
    for number, box in enumerate(ndimage.find_objects(view.structures), start=1):
        if box is None:
            continue
        # beyond the picture's edge too, so that what is cut there is outlined
        around = tuple(slice(max(s.start - 3, 0), s.stop + 3) for s in box)
        mask = ndimage.gaussian_filter((view.structures[around] == number).astype(np.float32), 0.9)
        lines: Any = contour_generator(across[around[1]], heights[around[0]], mask).lines(0.5)
        plot.add_collection(LineCollection(lines, colors=[colours[number]], linewidths=0.8, zorder=1))
