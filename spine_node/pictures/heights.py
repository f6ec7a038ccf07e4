"""Every vertebra and every disc beside the sagittal view, with heights drawn where they were read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spine_node.pictures.callouts import spread
from spine_node.pictures.drawing import (
    ANGLE_LINE,
    BALANCE_LINE,
    DIM,
    HEIGHT_INCHES,
    TEXT,
    WARNING,
    Sheet,
    image,
    marks,
    ruled,
    sheet,
)
from spine_node.pictures.panel import FRAMES, PURPOSE, STATEMENT
from spine_node.pictures.projection import Extent
from spine_node.pictures.scene import SAGITTAL, Scene, name_levels, warn
from spine_node.pictures.words import SIDES, amount, colour_of

BODY_HEIGHTS = ("VBH_ANT", "VBH_MID", "VBH_POST")
DISC_HEIGHTS = ("DH_ANT", "DH_MID", "DH_POST")

COLUMNS: tuple[tuple[str, str, str, str], ...] = (
    ("anterior", "mm", "VBH_ANT", "DH_ANT"),
    ("middle", "mm", "VBH_MID", "DH_MID"),
    ("posterior", "mm", "VBH_POST", "DH_POST"),
    ("loss", "%", "VB_HLOSS", ""),
    ("angle", "\u00b0", "VB_WEDGE_SAG", "DISC_ANG_S"),
    ("slip", "mm", "", "SLIP_MM"),
    ("rotation", "\u00b0", "AVR", "IVR"),
    ("canal AP", "mm", "CANAL_AP", ""),
    ("width", "mm", "CANAL_W", ""),
)
"""Heading, unit, key of a vertebra, key of a disc."""

SIZE = 8.0
"""Of letters, points."""

_CHARACTERS, _CHARACTER_INCHES = 10, 0.602 * SIZE / 72
"""Width of a column, and of a letter of DejaVu Sans Mono."""

_LEFT, _LEVEL_INCHES = 0.25, 0.6
_HEAD_INCHES, _FOOT_INCHES = 0.85, 0.8
AROUND_MM = 30.0
"""Shown before and behind the bodies."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: a vertebra ("L4") or a disc ("L4/L5"), and its height in the view."""

    level: str
    place: tuple[float, float]

    @property
    def disc(self) -> bool:
        """Whether it is a disc."""
        return "/" in self.level


def heights(scene: Scene) -> Sheet:
    """Draw it."""
    view = scene.sagittal
    table = _LEFT + _LEVEL_INCHES + len(COLUMNS) * _CHARACTERS * _CHARACTER_INCHES + 0.2
    page = sheet(_narrowed(scene, view.extent_mm), panel_inches=table, gutters_inches=(0.0, 0.0))
    image(page.plot, view)
    for key, colour in (
        (k, c) for ks, c in ((BODY_HEIGHTS, ANGLE_LINE), (DISC_HEIGHTS, BALANCE_LINE)) for k in ks
    ):
        for parameter in scene.measurements.parameters:
            if parameter.key == key:
                for line in parameter.lines:
                    ruled(page.plot, scene.seen(line.points_mm, SAGITTAL), colour, width=1.2)
    name_levels(page, scene, SAGITTAL, {})
    warn(page, scene)
    marks(page, ("A", "P", "H", "F"))
    _table(page, scene)
    _small_print(page, scene)
    return page


def rows_of(scene: Scene) -> list[Row]:
    """Vertebrae and discs from the head down."""
    bodies = {v.level: scene.seen(v.body_centre_mm, SAGITTAL) for v in scene.spine.vertebrae}
    plates = {level: place for level, place in bodies.items()}
    if scene.spine.s1 is not None:
        plates["S1"] = scene.seen(scene.spine.s1.centre_mm, SAGITTAL)
    named = {p.level for p in scene.measurements.parameters if p.level and "/" in p.level}
    rows = [Row(level, (float(p[0]), float(p[1]))) for level, p in bodies.items()]
    for name in named:
        upper, lower = (name or "").split("/")
        if upper in plates and lower in plates:
            middle = (plates[upper] + plates[lower]) / 2
            rows.append(Row(name or "", (float(middle[0]), float(middle[1]))))
    return sorted(rows, key=lambda row: -row.place[1])


def _narrowed(scene: Scene, extent: Extent) -> Extent:
    """The part of the view that holds the bodies."""
    across = np.array([scene.seen(v.body_centre_mm, SAGITTAL)[0] for v in scene.spine.vertebrae])
    low, high = float(across.min()) - AROUND_MM, float(across.max()) + AROUND_MM
    return max(low, extent[0]), min(high, extent[1]), extent[2], extent[3]


def _table(page: Sheet, scene: Scene) -> None:
    rows = rows_of(scene)
    panel, top = page.panel, page.extent_mm[3]
    wanted = [(top - row.place[1]) / page.mm_per_inch for row in rows]
    room = HEIGHT_INCHES - _HEAD_INCHES - _FOOT_INCHES
    step = min(room / max(len(rows), 1), 0.205)
    placed = spread(wanted, [step] * len(rows), _HEAD_INCHES, HEIGHT_INCHES - _FOOT_INCHES)
    panel.text(_LEFT, 0.36, "Heights and segments", color=TEXT, size=12, weight="bold")
    for k in (0, 1):
        _line(page, 0.58 + 0.14 * k, [column[k] for column in COLUMNS], DIM)
    for row, y in zip(rows, placed, strict=True):
        colour, weight = (BALANCE_LINE, "normal") if row.disc else (TEXT, "bold")
        panel.text(_LEFT, y, row.level, color=colour, size=SIZE, weight=weight, va="center_baseline")
        cells = [_cell(scene, row, of_disc if row.disc else of_body) for _, _, of_body, of_disc in COLUMNS]
        _line(page, float(y), [text if shade == TEXT else "" for text, shade in cells], TEXT)
        for k, (text, shade) in enumerate(cells):
            if shade != TEXT and text:
                _line(page, float(y), [text], shade, column=k)


def _line(page: Sheet, y: float, cells: list[str], colour: str, column: int = 0) -> None:
    """Cells from this column on, in letters of one width: a text for each number would take seconds."""
    text = "".join(cell.rjust(_CHARACTERS) for cell in cells).rstrip()
    written = text.lstrip()
    if written:
        before = column * _CHARACTERS + len(text) - len(written)
        x = _LEFT + _LEVEL_INCHES + before * _CHARACTER_INCHES
        page.panel.text(x, y, written, color=colour, size=SIZE, family="monospace", va="center_baseline")


def _cell(scene: Scene, row: Row, key: str) -> tuple[str, str]:
    """A number without its unit, and its colour."""
    parameter = scene.measurements.get(key, row.level) if key else None
    if parameter is None:
        return ("\u2013" if key else ""), DIM
    places = 0 if parameter.unit == "%" else 1
    text = amount(parameter, decimals=places).removesuffix(" mm").removesuffix(" %").removesuffix("\u00b0")
    side = {"left": " L", "right": " R"}.get(
        parameter.side or "", "  " if "turned" in SIDES.get(key, "") else ""
    )
    return text.replace("\u2009", " ") + side, colour_of(parameter)  # no thin space in letters of one width


def _small_print(page: Sheet, scene: Scene) -> None:
    m = scene.measurements
    lines = (
        "Heights between the bones' surfaces at 10, 50 and 90 % of the depth: bodies yellow, discs blue.",
        "Angle: wedge of a body, kyphotic positive; of a disc, lordotic positive. Slip: forward positive.",
        f"{FRAMES.get(m.frame, m.frame)} ~ and grey: the 95 % interval is wider than the clinic can bear.",
        f"{STATEMENT} {PURPOSE}",
    )
    for i, text in enumerate(lines):
        y = HEIGHT_INCHES - 0.12 - 0.15 * (len(lines) - 1 - i)
        colour = TEXT if text.startswith(STATEMENT) else WARNING if "ESTIMATED" in text else DIM
        page.panel.text(_LEFT, y, text, color=colour, size=7)
