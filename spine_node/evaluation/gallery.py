"""The worst cases of an evaluation on one page: what is true, what was found, what went wrong."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spine_node.anatomy.levels import IGNORED, LEVEL_OF_VALUE, POSTERIOR_OFFSET, STRUCTURE_VALUES, order
from spine_node.evaluation.failures import SCORE, score, what_went_wrong
from spine_node.evaluation.pictures import BACKGROUND, outline_of
from spine_node.evaluation.record import Record
from spine_node.evaluation.views import NAMES, Views

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = dict[str, Any]

SHOWN, COLUMNS = 10, 5

MARGIN = 18
"""Pixels kept around what is drawn."""

COLOURS = ("#ff595e", "#ffca3a", "#8ac926", "#36a9e1", "#b388eb", "#ff924c")
"""Of vertebrae, in turn: neighbours differ, and a name one level off has another colour."""

_BESIDE_THE_SPINE = [value for name, value in STRUCTURE_VALUES.items() if name != "sacrum"]

OTHER = "#9aa5b1"
"""Colour of everything else that was found."""


_CAPTION = (
    "The {shown} worst of {all} cases by {score}. Coronal and sagittal sections along the spine. White "
    "outlines, and names on the left: true or reference (+: marked centre). Colours by level, and names on "
    "the right: found. Purple: not scored."
)


def write_gallery(figures: Row, record: Record, path: Path) -> Path | None:
    """Draw the `SHOWN` cases with the lowest `failures.score`, of all sets together, worst first.

    Parameters
    ----------
    figures : dict
        Content of evaluation.json.
    record : Record
        Holds what the scans look like.
    path : Path
        PNG to write; None is returned, and nothing written, where nothing was kept to draw.
    """
    from matplotlib.figure import Figure

    ranked = sorted((case for case in figures["cases"] if case["row"] == "model"), key=score)
    drawn = [(case, record.views(case["set"], case["case"])) for case in ranked[:SHOWN]]
    shown = [(case, views) for case, views in drawn if views is not None]
    if not shown:
        return None
    columns = min(COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    caption = textwrap.wrap(_CAPTION.format(shown=len(shown), all=len(ranked), score=SCORE), 60 * columns)
    heights = (5.8 * rows, 0.13 * len(caption) + 0.1)
    figure = Figure(figsize=(4.6 * columns, sum(heights)), dpi=110, facecolor=BACKGROUND)
    page, foot = figure.subfigures(2, 1, height_ratios=heights, hspace=0)
    parts = page.subfigures(rows, columns, squeeze=False, hspace=0.02)
    for part in (page, foot, *parts.flat):
        part.set_facecolor(BACKGROUND)
    foot.text(0.5, 0.5, "\n".join(caption), color="white", fontsize=7, ha="center", va="center")
    for (case, views), part in zip(shown, parts.flat, strict=False):
        boxes = [_box(views, view) for view in (0, 1)]
        axes = part.subplots(1, 2, width_ratios=[box[1].stop - box[1].start for box in boxes])
        for view, (plot, box) in enumerate(zip(axes, boxes, strict=True)):
            _section(plot, views, view, box)
        part.suptitle(_title(case), color="white", fontsize=7, y=0.995, va="top")
        part.subplots_adjust(left=0.01, right=0.99, bottom=0.01, top=0.9, wspace=0.02)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, facecolor=BACKGROUND)
    return path


def _title(case: Row) -> str:
    head = f"{case['set']} {case['case']}: {score(case):.2f}"
    wrong = textwrap.wrap(what_went_wrong(case), 62, max_lines=3, placeholder=" ...")
    return "\n".join([head, *wrong])


def _box(views: Views, view: int) -> tuple[slice, slice]:
    """The part of a view in which something is known or found."""
    true, found, marks = views.true[view], views.found[view], views.marks[view]
    aside = [0, IGNORED, *(_BESIDE_THE_SPINE if NAMES[view] == "sagittal" else ())]
    there = ~(np.isin(true, aside) & np.isin(found, aside))
    places = np.vstack([np.argwhere(there), marks[:, ::-1]]) if there.any() or len(marks) else None
    if places is None:
        places = np.array([[0, 0], np.array(there.shape) - 1])
    low = np.maximum(places.min(axis=0) - MARGIN, 0).astype(int)
    high = np.minimum(places.max(axis=0) + MARGIN + 1, there.shape).astype(int)
    return slice(low[0], high[0]), slice(low[1], high[1])


def _section(plot: Axes, views: Views, view: int, box: tuple[slice, slice]) -> None:
    from matplotlib.colors import to_rgb

    grey, true, found = (labels[view][box] for labels in (views.grey, views.true, views.found))
    picture = np.repeat(grey[..., None] / 255.0, 3, axis=2)
    for mask, colour, strength in (
        (true == IGNORED, "#7b4fc9", 0.25),
        *((found == value, _colour(int(value)), 0.45) for value in np.unique(found[found > 0])),
    ):
        picture[mask] = (1 - strength) * picture[mask] + strength * np.array(to_rgb(colour))
    plot.imshow(picture)
    for value in np.unique(true[(true > 0) & (true != IGNORED)]):
        for line in outline_of(true == value):
            plot.plot(line[:, 1], line[:, 0], color="white", linewidth=0.7)
    _names(plot, true, "white", 0.01, "left")
    _names(plot, found, None, 0.99, "right")
    marks = views.marks[view] - (box[1].start, box[0].start)
    plot.plot(marks[:, 0], marks[:, 1], "+", color="white", markersize=7)
    plot.set_xlim(-0.5, grey.shape[1] - 0.5)
    plot.set_ylim(grey.shape[0] - 0.5, -0.5)
    plot.axis("off")


def _names(plot: Axes, labels: NDArray[np.uint8], colour: str | None, across: float, side: str) -> None:
    from matplotlib.patheffects import withStroke

    for value in np.unique(labels):
        if value in LEVEL_OF_VALUE:
            row = np.argwhere(labels == value)[:, 0].mean()
            plot.text(
                across, row, LEVEL_OF_VALUE[int(value)], color=colour or _colour(int(value)), fontsize=6,
                ha=side, va="center", transform=plot.get_yaxis_transform(),
                path_effects=[withStroke(linewidth=1.2, foreground="black")],
            )  # fmt: skip


def _colour(value: int) -> str:
    level = LEVEL_OF_VALUE.get(value % POSTERIOR_OFFSET)
    return OTHER if level is None else COLOURS[order(level) % len(COLOURS)]
