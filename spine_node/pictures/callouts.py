"""Labels beside an image, each at the height of what it tells, none over another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.optimize import isotonic_regression

from spine_node.imaging.volume import FloatArray
from spine_node.pictures.drawing import TEXT, Sheet, stroke, write

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Plot

Side = Literal["left", "right"]
"""Of the picture."""

LEADING = 1.28
"""Height of a line of text against its size."""

POINTS_PER_INCH = 72.0
INSET_INCHES = 0.1
"""Between the image and a label."""


@dataclass(frozen=True, slots=True)
class Words:
    """One line of a label."""

    text: str
    size: float = 8.0
    colour: str = TEXT
    bold: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Callout:
    """A label and the place it belongs to.

    Attributes
    ----------
    anchor : ndarray, shape (2,)
        In the view, mm.
    side : "left" or "right"
        Of the picture.
    words : tuple of Words
        Lines from top to bottom.
    colour : str
        Of the line that leads to the anchor.
    """

    anchor: FloatArray
    side: Side
    words: tuple[Words, ...]
    colour: str = TEXT


def spread(wanted: Sequence[float], sizes: Sequence[float], low: float, high: float) -> FloatArray:
    """Middles of intervals that lie near the wanted ones and do not overlap.

    Least squares: the sum of squared shifts is the smallest possible.

    Parameters
    ----------
    wanted : sequence of float
        Middles, in any order.
    sizes : sequence of float
        Lengths of the intervals.
    low, high : float
        Bounds; where all lengths together exceed them, all are shortened alike.

    Returns
    -------
    ndarray, shape (n,)
        In the order of `wanted`.

    Examples
    --------
    >>> spread([5.0, 5.0], [2.0, 2.0], 0.0, 10.0).tolist()
    [4.0, 6.0]
    """
    if not len(wanted):
        return np.zeros(0)
    lengths = np.asarray(sizes, dtype=float)
    lengths = lengths * min(1.0, (high - low) / lengths.sum())
    order = np.argsort(wanted, kind="stable")
    before = np.cumsum(lengths[order]) - lengths[order] / 2
    # with the lengths taken out, "does not overlap" is "does not descend"
    free = isotonic_regression(np.asarray(wanted, dtype=float)[order] - before).x
    placed = np.empty(len(order))
    placed[order] = np.clip(free, low, high - lengths.sum()) + before
    return placed


def write_callouts(sheet: Sheet, callouts: Sequence[Callout]) -> None:
    """Write labels into the gutters on both sides of the image, with lines to their anchors."""
    left, right, bottom, top = sheet.extent_mm
    mm = sheet.mm_per_inch
    for side, edge, sign in (("left", left, -1.0), ("right", right, 1.0)):
        here = [c for c in callouts if c.side == side]
        sizes = [_height_mm(c, mm) for c in here]
        middles = spread([float(c.anchor[1]) for c in here], sizes, bottom + 0.3 * mm, top - 0.3 * mm)
        for callout, size, middle in zip(here, sizes, middles, strict=True):
            x = edge + sign * INSET_INCHES * mm
            _lead(sheet.plot, callout, x - sign * 0.03 * mm, float(middle))
            y = middle + size / 2 - _GAP_INCHES / 2 * mm
            for words in callout.words:
                line = words.size / POINTS_PER_INCH * LEADING * mm
                write(
                    sheet.plot,
                    x,
                    float(y - line / 2),
                    words.text,
                    size=words.size,
                    colour=words.colour,
                    edged=False,
                    weight="bold" if words.bold else "normal",
                    ha="right" if side == "left" else "left",
                    va="center_baseline",
                )
                y -= line


_GAP_INCHES = 0.12


def _height_mm(callout: Callout, mm_per_inch: float) -> float:
    lines = sum(w.size for w in callout.words) / POINTS_PER_INCH * LEADING
    return (lines + _GAP_INCHES) * mm_per_inch


def _lead(plot: Plot, callout: Callout, x: float, y: float) -> None:
    across, upwards = callout.anchor
    stroke(plot, [x, across], [y, upwards], color=callout.colour, lw=0.7, alpha=0.75, zorder=2.5)
