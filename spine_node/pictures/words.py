"""Measured numbers as words on a picture: value, uncertainty, side; the sign is told by the side."""

from __future__ import annotations

import re
from collections.abc import Sequence

from spine_node.parameters.catalogue import DEFINITIONS, THREE_D
from spine_node.parameters.class_catalogue import CLASS_DEFINITIONS
from spine_node.parameters.model import Classification, Measurements, Parameter
from spine_node.pictures.callouts import Words
from spine_node.pictures.drawing import DIM, TEXT

SIDES: dict[str, str] = {
    "PELVOBL": "{} higher",
    "PELVOBL_CREST": "{} higher",
    "PELVOBL_S1": "{} higher",
    "FHHD": "{} higher",
    "PELVIS_YAW": "turned {}",
    "C7_CSVL": "C7 to the {}",
    "AVT": "to the {}",
    "AVR": "turned {}",
    "AVR_PROJAP": "turned {}",
    "AVR_PROJLR": "turned {}",
    "AVR_APEX": "turned {}",
    "T1_TILT": "leans {}",
    "L5_TILT": "leans {}",
    "S1_TILT": "leans {}",
    "TILT_SUP": "leans {}",
    "TILT_INF": "leans {}",
    "IVR": "turned {}",
    "SLIP_LAT": "to the {}",
    "COBB": "convex {}",
}
"""What the side of a number means, where the side stands for its sign."""

SHORT: dict[str, str] = {
    "C7_CSVL": "Coronal balance, C7 to CSVL",
    "COBB_PMC": "Cobb, plane of maximum curvature",
    "PMC_AZ": "Azimuth of that plane",
    "PELVOBL": "Pelvic obliquity, femoral heads",
    "PELVOBL_CREST": "Pelvic obliquity, iliac crests",
    "PELVOBL_S1": "Pelvic obliquity, S1 endplate",
    "PI_LL": "Incidence minus lordosis (PI-LL)",
    "CSVA": "Cervical SVA, C2 to C7",
    "SVA": "Sagittal vertical axis (SVA)",
    "AVR_PROJAP": "Rotation, anterior axis from above",
    "AVR_PROJLR": "Rotation, left-right axis from above",
}
"""Names that are shorter than the catalogue's."""

PELVIS_FROM_THE_FRONT = ("PELVOBL", "PELVOBL_CREST", "PELVOBL_S1", "FHHD", "PELVIS_YAW")
"""Rows of the pelvis that belong to the view from the front, or above."""

DECIMALS = {"1": 2, "cm3": 1}
_UNITS = {"deg": "°", "1": "", "%": " %", "cm3": " cm³", "[hnsf'U]": ""}


def short_name(key: str) -> str:
    """What a parameter is called on a picture."""
    return SHORT.get(key, DEFINITIONS[key].name)


def amount(parameter: Parameter, *, decimals: int | None = None) -> str:
    """The number with its unit, "~" before one that is too uncertain for the clinic.

    The size alone where a side stands for the sign.
    """
    places = DECIMALS.get(parameter.unit, 1) if decimals is None else decimals
    value = abs(parameter.value) if parameter.side and parameter.key in SIDES else parameter.value
    text = f"{value:.{places}f}"
    below = text.startswith("-") and float(text) != 0  # "-0.0" is no number for people
    text = text.lstrip("-")
    if below:
        text = f"\u2212{text}"
    mark = "" if not parameter.imprecise else "~\u2009" if below else "~"
    return mark + text + _UNITS.get(parameter.unit, f" {parameter.unit}")


def spread_of(parameter: Parameter) -> str:
    """The 95 % interval, empty for exact numbers."""
    if parameter.uncertainty is None:
        return ""
    text = f"{parameter.uncertainty:.{DECIMALS.get(parameter.unit, 1)}f}"
    return f"\u00b1 {text}" if float(text) > 0 else "\u00b1 <0.1"


def side_of(parameter: Parameter) -> str:
    """What its side means, empty without one."""
    if not parameter.side or parameter.key not in SIDES:
        return ""
    return SIDES[parameter.key].format(parameter.side)


def colour_of(parameter: Parameter, colour: str = TEXT) -> str:
    """Grey for what is too uncertain for the clinic."""
    return DIM if parameter.imprecise else colour


def headline(name: str, parameter: Parameter, colour: str, *, size: float = 10.5) -> Words:
    """Name, number and uncertainty as the line of a callout."""
    text = " ".join(part for part in (name, amount(parameter), spread_of(parameter)) if part)
    return Words(text, size, colour_of(parameter, colour), bold=True)


def line_of(name: str, parameter: Parameter, *, side: bool = True) -> Words:
    """The same as one of the smaller lines, with its side."""
    where = parameter.side if side else None
    parts = (name, amount(parameter), spread_of(parameter), where or "")
    return Words(" ".join(part for part in parts if part), 8.5, colour_of(parameter))


def in_space(measurements: Measurements, parameter: Parameter) -> Parameter | None:
    """The angle in space that stands beside a projected one."""
    return measurements.get(parameter.key + THREE_D) if parameter.level is None else None


def said(row: Classification) -> str:
    """A class with its place, its meaning and what makes it doubtful."""
    where = row.level or (f"{row.upper}-{row.lower}" if row.upper else "")
    meaning = CLASS_DEFINITIONS[row.key].meaning(row.value)
    doubts = [
        word for word, true in (("borderline", row.borderline), ("provisional", row.provisional)) if true
    ]
    notes = [*([] if meaning == row.value else [meaning]), *doubts]
    return f"{where} {row.value}".strip() + (f" ({', '.join(notes)})" if notes else "")


def gathered(sentences: Sequence[str]) -> list[str]:
    """Sentences that say the same of several structures, as one; in the order of the first of each.

    Examples
    --------
    >>> gathered(["T8: 5 % is metal.", "Posture unverified.", "T9: 7 % is metal."])
    ['T8, T9: 5 to 7 % is metal.', 'Posture unverified.']
    """
    kinds: dict[str, list[tuple[str, str]]] = {}
    for sentence in sentences:
        subject, colon, rest = sentence.partition(": ")
        if not colon or not _SUBJECT.fullmatch(subject):
            subject, rest = "", sentence
        kinds.setdefault(_NUMBER.sub("#", rest) if subject else rest, []).append((subject, rest))
    return [_together(said_of) for said_of in kinds.values()]


_SUBJECT = re.compile(r"[A-Za-z]\w*")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


def _together(said_of: list[tuple[str, str]]) -> str:
    """One sentence of several that differ in their subject and their numbers."""
    subjects = list(dict.fromkeys(subject.replace("_", " ") for subject, _ in said_of if subject))
    columns = iter(zip(*(_NUMBER.findall(rest) for _, rest in said_of), strict=True))

    def spanned(_: re.Match[str]) -> str:
        numbers = sorted(set(next(columns)), key=float)
        return numbers[0] if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"

    text = _NUMBER.sub(spanned, said_of[0][1])
    return f"{', '.join(subjects)}: {text}" if subjects else text
