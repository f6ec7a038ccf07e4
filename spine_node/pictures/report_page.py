"""The report on one page: pictures, alignment, curves, classes and levels, with what is doubtful first."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from spine_node.imaging.picture import Picture
from spine_node.parameters.model import Measurements
from spine_node.parameters.view import PATIENT
from spine_node.pictures import report_rows
from spine_node.pictures.panel import FRAMES, PURPOSE, STATEMENT
from spine_node.pictures.paper import HEIGHT_MM, POINT_MM, WIDTH_MM, Paper
from spine_node.pictures.report_rows import ABOVE, CORONAL_ROWS, LEVEL_COLUMNS, SAGITTAL_ROWS, Row

TITLE = "Spine measurements"
FOOT = ("Model", "Software")
"""Labels of the heading that belong to the small print."""

MARGIN, GAP = 10.0, 3.0
INK, MUTED, RULE = "#17212b", "#5c6874", "#c5ccd4"
BAND, ACCENT, ALERT, ALERT_PAPER, OUTSIDE = "#0d0f12", "#0b5c8a", "#8a4b00", "#fff3df", "#b3001b"
SIZE, SMALL, TINY, LINE = 7.0, 6.0, 5.2, 3.5
"""Points of tables, of small print and of headings of columns; mm from row to row."""

PICTURES_MM = 94.0
"""Height of the row of pictures, at most."""

MOST_CURVES, MOST_WARNINGS, MOST_HEADING = 6, 5, 12
"""Rows at most; the others are counted."""

T = TypeVar("T")
_WIDTH = WIDTH_MM - 2 * MARGIN
_COLUMN = (_WIDTH - 2 * GAP) / 3
_FOOT_TOP = HEIGHT_MM - 19.5


def report_pdf(
    pictures: Sequence[Picture],
    measurements: Measurements,
    heading: Mapping[str, str],
    *,
    standing: bool | None,
) -> bytes:
    """The report as a PDF of one page, whatever was measured; the same input, the same bytes.

    Parameters
    ----------
    pictures : sequence of Picture
        Of `draw_pictures`; coronal, sagittal, spine-3d and the axial of the largest curve are used.
    measurements : Measurements
    heading : mapping of str to str
        Label to text, in order ("Patient ID": "123"). "Study date" as YYYYMMDD or YYYY-MM-DD also dates the
        document; "Model" and "Software" stand in the small print. An entry whose letters the font lacks is
        left out, and the page says so.
    standing : bool or None
        Whether the patient is declared to have stood: normal ranges are those of standing people, and are
        shown beside no other's numbers, nor beside estimates.

    Returns
    -------
    bytes
        PDF/A-2u, text searchable, fonts embedded.
    """
    paper = Paper(TITLE, _dated(heading.get("Study date", "")))
    y = _head(paper, heading)
    y = _warnings(paper, report_rows.warnings(measurements), y)
    y = _pictures(paper, _chosen(pictures, measurements), y)
    left, middle, right = (MARGIN + k * (_COLUMN + GAP) for k in range(3))
    compared = bool(standing) and measurements.frame == PATIENT
    sagittal = _rows(report_rows.rows(measurements, SAGITTAL_ROWS), compared)
    coronal = _rows(report_rows.rows(measurements, CORONAL_ROWS), compared)
    end = _table(paper, left, y, "Sagittal alignment", sagittal)
    _table(paper, left, end, "Coronal balance, pelvis", coronal)
    end = _curves(paper, middle, y, measurements)
    _sentences(paper, middle, end, "Classes", report_rows.classes(measurements))
    levels = [(level, _rows(cells, compared)) for level, cells in report_rows.levels(measurements)]
    end = _levels(paper, right, y, levels)
    _sentences(paper, right, end, "Not measured", report_rows.not_measured(measurements))
    _foot(paper, measurements, heading, compared=compared)
    return paper.to_bytes()


def _rows(rows: Sequence[Row], compared: bool) -> list[Row]:
    """As they are, or held against no normal range."""
    return [row if compared else replace(row, normal="", outside="") for row in rows]


def _dated(text: str) -> datetime | None:
    digits = re.fullmatch(r"(\d{4})-?(\d\d)-?(\d\d)", text.strip())
    try:
        return datetime(*map(int, digits.groups()), tzinfo=UTC) if digits else None  # type: ignore[misc, arg-type]
    except ValueError:
        return None


def _head(paper: Paper, heading: Mapping[str, str]) -> float:
    """Title and heading; returns where the next part begins."""
    paper.box(0, 0, WIDTH_MM, 13.5, BAND)
    paper.write(MARGIN, 8.7, TITLE, 13, "#ffffff", bold=True)
    flag = "PRELIMINARY \u2013 NOT VERIFIED"
    wide = paper.width(flag, 8, bold=True) + 5
    paper.box(WIDTH_MM - MARGIN - wide, 4.0, wide, 6.2, "#ffb347")
    paper.write(WIDTH_MM - MARGIN - wide / 2, 8.1, flag, 8, BAND, bold=True, align="center")
    entries = [(label, text) for label, text in heading.items() if label not in FOOT and text.strip()]
    legible = [(label, text) for label, text in entries if paper.writes(label + text)]
    shown = legible[:MOST_HEADING]
    left_out = [label for label, text in entries if not paper.writes(text) and paper.writes(label)]
    crowded = [label for label, _ in legible[MOST_HEADING:]]
    across = 4
    cell = _WIDTH / across
    y = 18.0
    for k, (label, text) in enumerate(shown):
        x, line = MARGIN + (k % across) * cell, y + (k // across) * 8.0
        paper.write(x, line, label, SMALL, MUTED)
        size = next((s for s in (8.2, 7.4, 6.6) if paper.width(text, s, bold=True) < cell - 2), 6.0)
        paper.write(x, line + 3.6, text, size, INK, bold=True, within=cell - 2)
    y += 8.0 * -(-len(shown) // across)
    for why, labels in (
        ("as this page's font lacks their letters", left_out),
        ("for want of room", crowded),
    ):
        if labels:
            paper.write(MARGIN, y, f"Not shown, {why}: {', '.join(labels)}.", SMALL, ALERT, within=_WIDTH)
            y += 3.0
    return y - 1.0


def _warnings(paper: Paper, sentences: Sequence[str], y: float) -> float:
    """What must be read first, in a box."""
    if not sentences:
        return y
    lines = [line for sentence in sentences for line in paper.wrapped(sentence, _WIDTH - 5, SIZE)]
    kept = _capped(
        lines, MOST_WARNINGS, lambda n: f"and {n} more line{'s' if n > 1 else ''}: see the structured report"
    )
    tall = LINE * len(kept) + 2.0
    paper.box(MARGIN, y, _WIDTH, tall, ALERT_PAPER)
    paper.box(MARGIN, y, 1.0, tall, "#ffb347")
    for k, line in enumerate(kept):
        strong = line.startswith(("LEVELS UNCERTAIN", "ESTIMATED"))
        paper.write(MARGIN + 3, y + 3.1 + k * LINE, line, SIZE, ALERT, bold=strong, within=_WIDTH - 5)
    return y + tall + 2.0


def _chosen(pictures: Sequence[Picture], m: Measurements) -> list[list[NDArray[np.uint8]]]:
    """Stacks of pictures from left to right, without their columns of words."""
    by_name = {p.name: p.rgb[:, : p.image_columns] for p in pictures}
    cobbs = sorted((p for p in m.parameters if p.key == "COBB" and p.apex), key=lambda p: -abs(p.value))
    axials = [f"axial-{p.apex}" for p in cobbs] + [name for name in by_name if name.startswith("axial-")]
    axial = next((name for name in axials if name in by_name), None)
    stacks = (("coronal",), ("sagittal",), ("spine-3d", *([axial] if axial else [])))
    chosen = [[by_name[name] for name in stack if name in by_name] for stack in stacks]
    return [stack for stack in chosen if stack]


def _pictures(paper: Paper, stacks: Sequence[Sequence[NDArray[np.uint8]]], y: float) -> float:
    """All stacks of one height, as large as there is room for."""
    if not stacks:
        return y
    between = 1.0
    # the height of a stack is that of its pictures together, each as wide as the stack
    slopes = [sum(p.shape[0] / p.shape[1] for p in stack) for stack in stacks]
    room = _WIDTH - between * (len(stacks) - 1)
    gaps = [between * (len(stack) - 1) for stack in stacks]
    fixed = sum(gap / slope for gap, slope in zip(gaps, slopes, strict=True))
    tall = min(PICTURES_MM, (room + fixed) / sum(1 / slope for slope in slopes))
    widths = [(tall - gap) / slope for gap, slope in zip(gaps, slopes, strict=True)]
    x = MARGIN + (room - sum(widths)) / 2
    for stack, wide in zip(stacks, widths, strict=True):
        top = y
        for picture in stack:
            high = wide * picture.shape[0] / picture.shape[1]
            paper.picture(picture, x, top, wide, high)
            top += high + between
        x += wide + between
    return y + tall + 1.5


def _title(paper: Paper, x: float, y: float, text: str, aside: str = "") -> float:
    paper.write(x, y + 3.6, text, 7.6, ACCENT, bold=True)
    if aside:
        paper.write(x + _COLUMN, y + 3.6, aside, SMALL, MUTED, align="right")
    paper.rule(x, y + 4.7, _COLUMN, ACCENT, 0.3)
    return y + 4.9


def _table(paper: Paper, x: float, y: float, title: str, rows: Sequence[Row]) -> float:
    """Name, value, interval, side or normal range."""
    if not rows:
        return y
    sided = any(row.aside for row in rows)
    y = _title(paper, x, y, title, "normal" if any(row.normal for row in rows) and not sided else "")
    for row in rows:
        y += LINE
        colour = OUTSIDE if row.outside else MUTED if row.imprecise else INK
        paper.write(x, y, row.name, SIZE, INK, within=26)
        mark = {"": "", ABOVE: "\u25b2", "below": "\u25bc"}[row.outside]
        paper.write(x + 27.5, y, mark, 5, OUTSIDE, align="center")
        paper.write(x + 39.5, y, row.value, SIZE, colour, bold=True, align="right")
        paper.write(x + 40.1, y, row.spread, SMALL, MUTED)
        paper.write(x + _COLUMN, y, row.aside or row.normal, SMALL, MUTED, align="right", within=14.5)
        paper.rule(x, y + 0.85, _COLUMN, RULE, 0.08)
    return y + 1.2


def _curves(paper: Paper, x: float, y: float, m: Measurements) -> float:
    found = report_rows.curves(m)
    y = _title(paper, x, y, "Curves", "in plane: of maximum curvature")
    if not found:
        paper.write(x, y + LINE, "None was measured.", SIZE, INK)
        return y + LINE + 1.2
    apex, stops = 11.5, (34.5, 42.5, 52.0, _COLUMN)
    y += 2.6
    paper.write(x + apex, y, "apex", TINY, MUTED)
    for stop, name in zip(stops, ("Cobb", "in plane", "rotation", "shift, mm"), strict=True):
        paper.write(x + stop, y, name, TINY, MUTED, align="right")
    for ends, *cells in _largest(found):
        y += LINE
        paper.write(x, y, ends.name, SIZE, INK, bold=True)
        paper.write(x + apex, y, f"{ends.value} {ends.aside[:1].upper()}", SIZE, INK)
        cobb = cells[0]
        spread = paper.write(x + stops[0], y, f" {cobb.spread}", SMALL, MUTED, align="right")
        for stop, cell in zip(stops, cells, strict=True):
            shift = spread if cell is cobb else 0.0
            text = cell.value.removesuffix(" mm") + cell.aside
            colour = MUTED if cell.imprecise else INK
            size = SIZE if cell is cobb else 6.4
            paper.write(x + stop - shift, y, text, size, colour, bold=cell is cobb, align="right")
        paper.rule(x, y + 0.85, _COLUMN, RULE, 0.08)
    if len(found) > MOST_CURVES:
        y += LINE
        paper.write(
            x, y, f"and {len(found) - MOST_CURVES} smaller ones: see the structured report", SMALL, MUTED
        )
    return y + 1.2


def _largest(curves: Sequence[tuple[Row, ...]]) -> list[tuple[Row, ...]]:
    """Those of the largest Cobb angles, still from the head down."""
    sizes = [float(cobb.value.strip("~\u2009\u2212\u00b0")) for _, cobb, *_ in curves]
    kept = sorted(sorted(range(len(curves)), key=lambda k: -sizes[k])[:MOST_CURVES])
    return [curves[k] for k in kept]


def _levels(paper: Paper, x: float, y: float, table: Sequence[tuple[str, list[Row]]]) -> float:
    """One line a vertebra; disc and slip are those below it."""
    if not table:
        return y
    y = _title(paper, x, y, "Levels", "disc and slip: below the vertebra")
    stops = (16.5, 28.0, 35.0, 43.5, 52.5, _COLUMN)
    for stop, (_, name, unit) in zip(stops, LEVEL_COLUMNS, strict=True):
        paper.write(x + stop, y + 2.4, name, TINY, MUTED, align="right")
        paper.write(x + stop, y + 4.5, unit, TINY, MUTED, align="right")
    y += 4.6
    # all that can be named fit
    step = min(LINE, (_FOOT_TOP - 14.0 - y) / len(table))
    for level, cells in table:
        y += step
        paper.write(x, y, level, SIZE, INK, bold=True)
        for stop, cell in zip(stops, cells, strict=True):
            colour = OUTSIDE if cell.outside else MUTED if cell.imprecise else INK
            paper.write(x + stop, y, cell.value, SIZE, colour, align="right")
        paper.rule(x, y + 0.75, _COLUMN, RULE, 0.08)
    return y + 1.2


def _sentences(paper: Paper, x: float, y: float, title: str, pairs: Sequence[tuple[str, str]]) -> None:
    """Running text under a heading, each with the words it begins with; as much as there is room for."""
    step = SMALL * POINT_MM * 1.28
    room = int((_FOOT_TOP - y - 5.5) / step)
    if not pairs or room < 1:
        return
    y = _title(paper, x, y, title) + 0.6
    lines = [
        (first if k == 0 else "", line if k == 0 else f"  {line}")
        for first, rest in pairs
        for k, line in enumerate(paper.wrapped(f"{first}: {rest}", _COLUMN - 1.5, SMALL))
    ]
    for first, line in _capped(lines, room, lambda n: ("", f"and {n} more line{'s' if n > 1 else ''}")):
        y += step
        begun = line.startswith(f"{first}:") and bool(first)
        done = paper.write(x, y, f"{first}: ", SMALL, MUTED) if begun else 0.0
        paper.write(x + done, y, line[len(first) + 2 :] if begun else line, SMALL, INK, within=_COLUMN - done)


def _foot(paper: Paper, m: Measurements, heading: Mapping[str, str], *, compared: bool) -> None:
    paper.rule(MARGIN, _FOOT_TOP + 1.5, _WIDTH, INK, 0.25)
    made = ", ".join(heading[label] for label in FOOT if paper.writes(heading.get(label, "\n")))
    said = [
        f"{FRAMES.get(m.frame, m.frame)} Vertical: {m.vertical}.",
        "\u00b1 95 % interval. ~ and grey: wider than the clinic can bear. "
        + (
            "\u25b2 \u25bc outside the normal range of standing adults (sources in the structured report)."
            if compared
            else "Not held against normal ranges, which are those of standing adults in a known frame."
        ),
        made,
    ]
    y = _FOOT_TOP + 2.0
    for text in said:
        if text:
            y += 2.7
            paper.write(MARGIN, y, text, SMALL, MUTED, within=_WIDTH)
    paper.write(MARGIN, y + 3.8, f"{STATEMENT} {PURPOSE}", 7.4, INK, bold=True)


def _capped(lines: list[T], most: int, more: Callable[[int], T]) -> list[T]:
    """The first lines, and how many were left out."""
    if len(lines) <= most:
        return lines
    kept = max(most - 1, 0)
    return [*lines[:kept], more(len(lines) - kept)] if most > 0 else []
