"""The column beside an image: numbers by group, classes, what is missing and why, and the small print."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from spine_node.parameters.catalogue import THREE_D
from spine_node.parameters.class_catalogue import CLASS_DEFINITIONS
from spine_node.parameters.model import Classification, Measurements, Parameter
from spine_node.pictures.drawing import DIM, DPI, TEXT, WARNING, Sheet, stroke
from spine_node.pictures.raster import width_inches
from spine_node.pictures.words import (
    amount,
    colour_of,
    gathered,
    in_space,
    said,
    short_name,
    side_of,
    spread_of,
)

STATEMENT, PURPOSE = "Computed by Spine Node - preliminary, not verified.", "For research, not for diagnosis."
"""On every picture and every page."""

FRAMES = {
    "PATIENT": "Patient frame: vertical and both femoral heads.",
    "SACRUM": "ESTIMATED frame: vertical and the sacrum's own symmetry, as a femoral head is missing.",
    "SCANNER": "ESTIMATED frame: the scanner's axes, as a femoral head is missing.",
}

_LEFT = 0.18
_ROW, _SMALL_ROW = 0.172, 0.135
SIZE = 7.5
"""Of running text, points."""


class Panel:
    """Writes from the top down; what no longer fits is counted, not squeezed in."""

    def __init__(self, page: Sheet, title: str, subtitle: str, measurements: Measurements) -> None:
        self._panel = page.panel
        self._width = page.panel_inches
        self._wrap = _Wrap(self._width - 2 * _LEFT)
        self._measurements = measurements
        self._left_out = 0
        self._height = page.height_inches
        self._floor = self._height - self._small_print()
        self._y = 0.42
        self._write(_LEFT, title, 15, TEXT, bold=True)
        self._y += 0.07
        for line in self._wrap(subtitle):
            self._y += _SMALL_ROW
            self._write(_LEFT, line, 7.5, DIM)
        self._y += 0.1

    def space(self, inches: float) -> tuple[float, float, float] | None:
        """Left, right and upper edge of an empty place, inches; None where there is no more room."""
        if not self._room(inches):
            return None
        upper, self._y = self._y, self._y + inches
        return _LEFT, self._width - _LEFT, upper

    def group(self, title: str, parameters: Iterable[Parameter]) -> None:
        """Rows of numbers under a heading; nothing when there are none."""
        rows = [p for p in parameters if not p.key.endswith(THREE_D) or p.key == "COBB_3D"]
        if rows and self._heading(title):
            for parameter in rows:
                self._number(parameter)

    def classes(self, title: str, classes: Iterable[Classification]) -> None:
        """Classes with their meaning and doubts, those of one kind in one line."""
        kinds: dict[str, list[str]] = {}
        for row in classes:
            kinds.setdefault(row.key, []).append(said(row))
        if kinds and self._heading(title):
            for key, values in kinds.items():
                self._paragraph(f"{CLASS_DEFINITIONS[key].name}: {'; '.join(values)}", TEXT)

    def missing(self, keys: Sequence[str], level: str | None = None) -> None:
        """What of these could not be measured; one line for each reason."""
        reasons: dict[str, list[str]] = {}
        for entry in self._measurements.not_measured:
            if entry.key in keys and entry.level == level and not entry.key.endswith(THREE_D):
                names = reasons.setdefault(entry.reason, [])
                if entry.key not in names:
                    names.append(entry.key)
        if reasons and self._heading("Not measured"):
            for reason, names in reasons.items():
                self._paragraph(f"{', '.join(names)}: {reason}", DIM)

    def remarks(self, sentences: Sequence[str]) -> None:
        """Sentences that a reader must know."""
        if sentences and self._heading("Remarks"):
            for sentence in gathered(sentences):
                self._paragraph(sentence, WARNING)

    def close(self) -> None:
        """Say how much was left out."""
        if self._left_out:
            self._panel.text(
                _LEFT,
                self._floor - 0.02,
                f"{self._left_out} more lines in measurements.json",
                color=DIM,
                size=7,
                style="italic",
            )

    def _heading(self, title: str) -> bool:
        if self._y + 0.2 + 2 * _ROW > self._floor:
            self._left_out += 1
            return False
        self._y += 0.22
        self._write(_LEFT, title, 8.5, TEXT, bold=True)
        self._y += 0.06
        stroke(self._panel, [_LEFT, self._width - _LEFT], [self._y] * 2, color=DIM, lw=0.5, alpha=0.6)
        return True

    def _number(self, parameter: Parameter) -> None:
        if not self._room(_ROW):
            return
        self._y += _ROW
        shade = colour_of(parameter)
        self._write(_LEFT, short_name(parameter.key), 7.5, DIM)
        self._write(self._width - 1.72, amount(parameter), 9, shade, bold=True, ha="right")
        self._write(self._width - 1.66, spread_of(parameter), 7.5, DIM)
        solid = in_space(self._measurements, parameter)
        aside = side_of(parameter) or (f"in space {amount(solid)}" if solid else "")
        self._write(self._width - 1.12, aside, 7.5, DIM)

    def _paragraph(self, text: str, colour: str) -> None:
        lines = self._wrap(text, indent="   ")
        if not self._room(len(lines) * _SMALL_ROW):
            return
        self._y += 0.03
        for line in lines:
            self._y += _SMALL_ROW
            self._write(_LEFT, line, 7.5, colour)

    def _room(self, inches: float) -> bool:
        if self._y + inches > self._floor - 0.16:
            self._left_out += 1
            return False
        return True

    def _small_print(self) -> float:
        """Frame, vertical and statement at the foot; returns its height."""
        m = self._measurements
        estimated = m.frame != "PATIENT"
        foot = [
            (FRAMES.get(m.frame, f"Frame: {m.frame}."), WARNING if estimated else DIM),
            (f"Vertical: {m.vertical}.", DIM),
            ("\u00b1 is the 95 % interval; ~ and grey: it is wider than the clinic can bear.", DIM),
            (STATEMENT, TEXT),
            (PURPOSE, TEXT),
        ]
        lines = [(t, c) for text, c in foot for t in self._wrap(text)]
        for i, (text, colour) in enumerate(lines):
            y = self._height - 0.12 - 0.155 * (len(lines) - 1 - i)
            self._panel.text(_LEFT, y, text, color=colour, size=7.5)
        return 0.155 * len(lines) + 0.22

    def _write(
        self, x: float, text: str, size: float, colour: str, *, bold: bool = False, ha: str = "left"
    ) -> None:
        if text:
            weight = "bold" if bold else "normal"
            self._panel.text(x, self._y, text, color=colour, size=size, weight=weight, ha=ha)


class _Wrap:
    """Breaks running text by the measured widths of its words."""

    def __init__(self, inches: float) -> None:
        self._inches = inches
        self._widths: dict[str, float] = {}

    def __call__(self, text: str, indent: str = "") -> list[str]:
        lines, used = [""], 0.0
        for word in text.split():
            width = self._width(word) + self._width(" ")
            if lines[-1] and used + width > self._inches:
                lines.append(indent)
                used = self._width(" ") * len(indent)
            lines[-1] += word + " "
            used += width
        return [line.rstrip() for line in lines]

    def _width(self, word: str) -> float:
        if word not in self._widths:
            self._widths[word] = width_inches(word, SIZE, DPI)
        return self._widths[word]
