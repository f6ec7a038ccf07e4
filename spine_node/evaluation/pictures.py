"""What an evaluation looks like: scans with both outlines, from the worst to the best of each set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from skimage.measure import find_contours

from spine_node.anatomy.levels import IGNORED, LEVEL_OF_VALUE
from spine_node.evaluation import charts
from spine_node.evaluation.failures import score
from spine_node.evaluation.record import Record
from spine_node.evaluation.summary import mean_of
from spine_node.evaluation.views import NAMES, Views

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = dict[str, Any]

SCANS = ("real", "crop", "standing", "trained")
"""Sets whose labels are a reference, not the truth."""

TRUE, FOUND, BACKGROUND = "#3ddc84", "#ff9f1c", "#111111"
"""Colours of what is true and what was found."""


def write_pictures(figures: Row, record: Record, out: Path) -> list[Path]:
    """Write a picture of every scan and the charts of every set into `out`.

    Parameters
    ----------
    figures : dict
        Content of evaluation.json.
    record : Record
        Holds what the scans look like.
    out : Path
        Created if absent: SET/01_CASE.png (1 is the worst), SET/dice_by_level.png,
        SET/agreement.png, SET/identification.png.
    """
    paths = []
    for name in figures["sets"]:
        folder = out / name
        folder.mkdir(parents=True, exist_ok=True)
        own = [case for case in figures["cases"] if case["set"] == name]
        ranked = sorted((case for case in own if case["row"] == "model"), key=score)
        for place, case in enumerate(ranked, start=1):
            drawn = record.views(name, case["case"])
            if drawn is not None:
                path = folder / f"{place:02d}_{case['case']}.png"
                _overlay(case, f"{place} of {len(ranked)}, 1 is the worst", drawn, path)
                paths.append(path)
        for chart in (charts.dice_by_level, charts.agreement, charts.identification):
            path = folder / f"{chart.__name__}.png"
            if chart(own, name, path):
                paths.append(path)
    return paths


def _overlay(case: Row, rank: str, drawn: Views, path: Path) -> None:
    from matplotlib.figure import Figure

    height = drawn.grey[0].shape[0]
    widths = [g.shape[1] for g in drawn.grey]
    figure = Figure(figsize=(sum(widths) / 55 + 0.5, height / 55 + 0.9), dpi=110, facecolor=BACKGROUND)
    axes = figure.subplots(1, 2, width_ratios=widths)
    for view, plot in enumerate(axes):
        _section(plot, drawn, view)
        plot.set_title(NAMES[view], color="white", fontsize=8)
    figure.suptitle(f"{case['set']} {case['case']} ({rank})\n{_words(case)}", color="white", fontsize=8)
    known = "true" if case["set"] not in SCANS else "+ marked centre" if len(drawn.marks[0]) else "reference"
    colours = f"green: {known}; orange: found"
    figure.text(0.5, 0.005, colours, color="white", fontsize=7, ha="center")
    top = 1 - 0.75 / figure.get_figheight()
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.03, top=top, wspace=0.02)
    figure.savefig(path, facecolor=BACKGROUND)


def _section(plot: Axes, drawn: Views, view: int) -> None:
    grey = drawn.grey[view]
    plot.imshow(grey, cmap="gray", vmin=0, vmax=255)
    for labels, colour, width in ((drawn.true[view], TRUE, 1.1), (drawn.found[view], FOUND, 0.8)):
        for value in np.unique(labels[(labels > 0) & (labels != IGNORED)]):
            for line in outline_of(labels == value):
                plot.plot(line[:, 1], line[:, 0], color=colour, linewidth=width)
            if colour == FOUND and value in LEVEL_OF_VALUE:
                row, column = np.argwhere(labels == value).mean(axis=0)
                name = LEVEL_OF_VALUE[value]
                plot.text(column, row, name, color="white", fontsize=5, ha="center", va="center")
    marks = drawn.marks[view]
    plot.plot(marks[:, 0], marks[:, 1], "+", color=TRUE, markersize=7)
    plot.set_xlim(-0.5, grey.shape[1] - 0.5)
    plot.set_ylim(grey.shape[0] - 0.5, -0.5)
    plot.axis("off")


def outline_of(mask: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Border of a mask as closed lines of (row, column), shape (n, 2) each."""
    return [line - 1 for line in find_contours(np.pad(mask, 1).astype(np.float32), 0.5)]


def _words(case: Row) -> str:
    if case["refused"]:
        return f"refused: {case['refused'][:110]}"
    levels = case["identification"]["levels"]
    said = [f"{sum(level['right'] for level in levels)} of {len(levels)} levels right"]
    rows = [r for r in case["outlines"] or [] if r["group"] == "vertebra"]
    if rows:
        worst = min(rows, key=lambda r: r["dice"])
        said.insert(0, f"Dice {mean_of(rows, 'dice'):.3f} (worst: {worst['name']} {worst['dice']:.2f})")
    return ", ".join(said)
