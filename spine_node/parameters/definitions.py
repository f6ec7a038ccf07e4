"""What a row of the catalogue says: the number, its definition, sign, unit, norm, tolerance and code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PRIVATE_SCHEME = "99SPINE3D"
"""Coding scheme designator of our own codes (PS3.3 8.2: private designators begin with 99)."""

P_FRAME = "patient frame: vertical, and the horizontal direction from the right to the left femoral head"
LOCAL_FRAME = "the vertebra's own axes against the patient frame"
OWN_FRAME = "the vertebra's own axes"
DISC_FRAME = "the disc's own axes: mean of the two endplates that face each other"
HIP_FRAME = "plane across the axis through both femoral head centres"
SPACE = "in space, not projected"
SCANNER_FRAME = "patient frame against the scanner's axes"

Per = Literal["spine", "curve", "vertebra", "segment"]


@dataclass(frozen=True, slots=True)
class Code:
    """A coded concept as DICOM stores it (value up to 16 characters, meaning up to 64)."""

    value: str
    scheme: str
    meaning: str

    def __post_init__(self) -> None:
        if not 0 < len(self.value) <= 16 or not 0 < len(self.meaning) <= 64:
            raise ValueError(f"code {self.value!r} ({self.meaning!r}) is longer than 16 / 64 characters")


@dataclass(frozen=True, slots=True)
class Norm:
    """A range of normal values, in the parameter's unit and sign, of standing adults."""

    low: float
    high: float
    statistic: str
    source: str


@dataclass(frozen=True, slots=True)
class Definition:
    """One row.

    Attributes
    ----------
    key : str
        What `Parameter.key` holds.
    name : str
        As a surgeon says it.
    group : str
        The table it stands in.
    unit : str
        UCUM: "deg", "mm", "cm3", "%" or "1".
    sign : str
        What a positive number means.
    frame : str
        Where the number lives; a projected angle without its frame means nothing.
    definition : str
        Which of the competing definitions this is.
    source : str
        Who defined it so.
    code : Code
    per : str
        "spine" (once), "curve", "vertebra" or "segment" (two neighbours and their disc).
    regions : str
        Of rows per vertebra: first letters of the levels that it is told for.
    tolerance : float, optional
        Error that still serves the clinic, in `unit`: a number whose 95 % interval is wider is marked.
    norm : Norm, optional
        Only where the source itself was read.
    """

    key: str
    name: str
    group: str
    unit: str
    sign: str
    frame: str
    definition: str
    source: str
    code: Code
    per: Per = "spine"
    regions: str = "CTL"
    tolerance: float | None = None
    norm: Norm | None = None

    @property
    def method(self) -> str:
        """The definition and its frame in one sentence, for reports."""
        return f"{self.definition}; {self.frame}"


@dataclass(frozen=True, slots=True)
class ClassDefinition:
    """A class that is derived from parameters.

    Attributes
    ----------
    key, name, group, source : str
    values : tuple of (str, str)
        Every value it may have and its meaning in words; of classes that name a level, the word "level".
    definition : str
        The rule.
    code : Code
    per, regions : str
        As of a `Definition`.
    posture : bool
        Whether it holds for standing people only and is withheld from others.
    provisional : bool
        Whether more than a standing examination is needed to settle it.
    """

    key: str
    name: str
    group: str
    values: tuple[tuple[str, str], ...]
    definition: str
    source: str
    code: Code
    per: Per = "spine"
    regions: str = "CTL"
    posture: bool = True
    provisional: bool = False

    def meaning(self, value: str) -> str:
        """A value in words."""
        return dict(self.values).get(value, value)
