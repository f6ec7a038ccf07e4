"""What the one-page report says, as plain rows and sentences; `report_page` sets them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from spine_node.anatomy.levels import LEVELS
from spine_node.parameters.catalogue import DEFINITIONS, THREE_D
from spine_node.parameters.class_catalogue import CLASS_DEFINITIONS, LOCAL
from spine_node.parameters.model import Measurements, Parameter
from spine_node.parameters.view import PATIENT
from spine_node.pictures.panel import FRAMES
from spine_node.pictures.words import amount, gathered, said, side_of, spread_of

SAGITTAL_ROWS: tuple[tuple[str, str], ...] = (
    ("PI", "Pelvic incidence PI"),
    ("PT", "Pelvic tilt PT"),
    ("SS", "Sacral slope SS"),
    ("LL_L1S1", "Lordosis LL, L1\u2013S1"),
    ("LL_L4S1", "Lordosis L4\u2013S1"),
    ("LDI", "Distribution LDI"),
    ("PI_LL", "PI \u2212 LL"),
    ("TLK_T10L2", "Kyphosis T10\u2013L2"),
    ("TK_T4T12", "Kyphosis TK, T4\u2013T12"),
    ("TK_T5T12", "Kyphosis T5\u2013T12"),
    ("CL_C2C7", "Lordosis C2\u2013C7"),
    ("T1S", "T1 slope"),
    ("SVA", "Sagittal axis SVA"),
    ("CSVA", "Cervical SVA, C2\u2013C7"),
    ("TPA", "T1 pelvic angle TPA"),
    ("GT", "Global tilt GT"),
    ("T1SPI", "Inclination T1SPi"),
    ("ODHA", "Odontoid\u2013hip axis"),
)
"""Keys and short names, in the order in which surgeons read them."""

CORONAL_ROWS: tuple[tuple[str, str], ...] = (
    ("C7_CSVL", "Balance C7\u2013CSVL"),
    ("T1_TILT", "T1 tilt"),
    ("PELVOBL", "Obliquity, heads"),
    ("PELVOBL_CREST", "Obliquity, crests"),
    ("FHHD", "Heads, difference"),
    ("PELVIS_YAW", "Pelvis in scanner"),
)

LEVEL_COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("AVR", "turn", "\u00b0"),
    ("VB_WEDGE_SAG", "wedge", "\u00b0"),
    ("VB_HLOSS", "loss", "%"),
    ("DH_MID", "disc", "mm"),
    ("SLIP_MM", "slip", "mm"),
    ("CANAL_AP", "canal", "mm"),
)
"""Key, heading and unit; those of two neighbours stand in the row of the upper one."""

_TRIVIAL = {"MEYERDING": "0", "HLOSS_GRADE": "0", "STENOSIS": "none"}
"""Grades that say nothing is wrong, left out of a page."""

ABOVE, BELOW = "above", "below"


@dataclass(frozen=True, slots=True)
class Row:
    """A number in a table.

    Attributes
    ----------
    name, value, spread, aside : str
        "\u2013" as the value of what could not be measured; the side, if it has one, as the aside.
    normal : str
        The range of normal values, empty where none is known.
    outside : str
        "above" or "below" that range, or empty.
    imprecise : bool
        Whether the number is too uncertain for the clinic.
    """

    name: str
    value: str
    spread: str = ""
    aside: str = ""
    normal: str = ""
    outside: str = ""
    imprecise: bool = False


def rows(m: Measurements, wanted: tuple[tuple[str, str], ...]) -> list[Row]:
    """Measured numbers, and a dash for those that could not be; nothing for what was not asked of it."""
    missing = {n.key for n in m.not_measured if n.level is None}
    found = []
    for key, name in wanted:
        parameter = m.get(key)
        if parameter is not None:
            found.append(row(parameter, name))
        elif key in missing:
            found.append(Row(name, "\u2013", imprecise=True))
    return found


def row(parameter: Parameter, name: str) -> Row:
    """A number as words, and where it lies against its normal range."""
    norm = DEFINITIONS[parameter.key].norm
    normal = outside = ""
    if norm is not None:
        # an offset whose range is the same to both sides is told without its sign
        low, high = f"{norm.low:g}", f"{norm.high:g}"
        normal = f"{low.replace('-', chr(0x2212))} \u2013 {high.replace('-', chr(0x2212))}"
        outside = ABOVE if parameter.value > norm.high else BELOW if parameter.value < norm.low else ""
    return Row(
        name,
        amount(parameter),
        spread_of(parameter),
        side_of(parameter),
        normal,
        outside,
        parameter.imprecise,
    )


def curves(m: Measurements) -> list[tuple[Row, ...]]:
    """Each curve from the head down: its ends, apex and side, then Cobb angle, rotation and translation."""
    cobbs = [p for p in m.parameters if p.key == "COBB"]
    cobbs.sort(key=lambda p: LEVELS.index(p.apex) if p.apex in LEVELS else 0)
    found = []
    for cobb in cobbs:
        ends = (cobb.upper, cobb.apex, cobb.lower)
        others = {p.key: p for p in m.parameters if (p.upper, p.apex, p.lower) == ends}
        cells = [
            Row(key, "\u2013")
            if key not in others
            else replace(row(others[key], key), aside=side_letter(others[key]) if key in _SIDED else "")
            for key in _OF_CURVE
        ]
        found.append((Row(f"{cobb.upper}\u2013{cobb.lower}", cobb.apex or "", aside=cobb.side or ""), *cells))
    return found


_SIDED = ("AVR_APEX", "AVT")
_OF_CURVE = ("COBB", "COBB_PMC", *_SIDED)


def side_letter(parameter: Parameter) -> str:
    """Its side as " L" or " R"."""
    return {"left": " L", "right": " R"}.get(parameter.side or "", "")


def levels(m: Measurements) -> list[tuple[str, list[Row]]]:
    """Each level from the head down with `LEVEL_COLUMNS`; only those of which something is known."""
    table = []
    for level in LEVELS:
        found = [_of_level(m, key, level) for key, _, _ in LEVEL_COLUMNS]
        if any(p is not None for p in found):
            cells = [Row("", "") if p is None else _cell(p) for p in found]
            table.append((level, cells))
    return table


def _of_level(m: Measurements, key: str, level: str) -> Parameter | None:
    if DEFINITIONS[key].per == "vertebra":
        return m.get(key, level)
    return next((p for p in m.parameters if p.key == key and (p.level or "").split("/")[0] == level), None)


def _cell(parameter: Parameter) -> Row:
    text = amount(parameter, decimals=0 if parameter.unit == "%" else 1)
    letter = side_letter(parameter) if parameter.key == "AVR" else ""
    norm = DEFINITIONS[parameter.key].norm
    outside = "" if norm is None or norm.low <= parameter.value <= norm.high else ABOVE
    bare = text.removesuffix(" mm").removesuffix(" %").removesuffix("\u00b0")
    return Row("", bare + letter, outside=outside, imprecise=parameter.imprecise)


def classes(m: Measurements) -> list[tuple[str, str]]:
    """Name and value of each class; of grades by level, those that say something."""
    kinds: dict[str, list[str]] = {}
    for found in m.classes:
        if found.value != _TRIVIAL.get(found.key):
            kinds.setdefault(found.key, []).append(said(found))
    names = {key: CLASS_DEFINITIONS[key].name for key in kinds}
    kept = [(names[key], "; ".join(values)) for key, values in kinds.items()]
    graded = {c.key for c in m.classes if CLASS_DEFINITIONS[c.key].group == LOCAL}
    quiet = [CLASS_DEFINITIONS[key].name for key in _TRIVIAL if key in graded and key not in kinds]
    return kept + [(name, "none") for name in quiet]


def warnings(m: Measurements) -> list[str]:
    """What a reader must know before any number: doubtful levels, an estimated frame, remarks on quality."""
    said_first = []
    if m.levels is not None and m.levels.uncertain:
        other = f" Next best: {m.levels.next_best}." if m.levels.next_best else ""
        said_first.append(f"LEVELS UNCERTAIN: to be checked against the images.{other}")
    if m.frame != PATIENT:
        said_first.append(FRAMES.get(m.frame, f"Frame: {m.frame}."))
    return [*said_first, *gathered(m.quality)]


def not_measured(m: Measurements) -> list[tuple[str, str]]:
    """What could not be measured, and why; what concerns the whole spine first."""
    reasons: dict[tuple[bool, str], list[str]] = {}
    for entry in m.not_measured:
        if not entry.key.endswith(THREE_D):
            names = reasons.setdefault((entry.level is not None, entry.reason), [])
            if entry.key not in names:
                names.append(entry.key)
    return [(", ".join(names), reason) for (_, reason), names in sorted(reasons.items(), key=_by_place)]


def _by_place(item: tuple[tuple[bool, str], list[str]]) -> bool:
    return item[0][0]
