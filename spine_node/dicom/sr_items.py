"""Content items of a structured report as plain datasets (PS3.3 C.17.3), and how to look into them.

A report of the whole panel has tens of thousands. highdicom checks and hashes each, and copies the tree
of a whole document: 12 ms a number. So it makes the document and the head of each group, and what fills
the groups is made here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

from pydicom.dataset import Dataset

from spine_node.dicom.codes import code_item
from spine_node.dicom.sr_codes import UNITS, ascii_text
from spine_node.parameters.definitions import Code
from spine_node.parameters.model import Line

Relation = Literal["CONTAINS", "HAS PROPERTIES", "HAS CONCEPT MOD", "INFERRED FROM"]

CONTENT_SEQUENCE = 0x0040A730

_DECIMALS = 3
_LONGEST_DS = 16
"""Characters of a decimal string (PS3.5 6.2)."""


class Items:
    """Makes the content items of one report.

    Items without children that say the same in many places are one dataset: do not change one
    afterwards.
    """

    def __init__(self) -> None:
        self._made: dict[tuple[object, ...], Dataset] = {}

    def coded(self, name: Code, value: Code, relation: Relation, children: Iterable[Dataset] = ()) -> Dataset:
        """CODE."""

        def make() -> Dataset:
            item = self._item("CODE", name, relation)
            item.ConceptCodeSequence = [self._code(value)]
            return item

        below = list(children)
        if not below:
            return self._once(make, "CODE", name, value, relation)
        item = make()
        item.ContentSequence = below
        return item

    def text(self, name: Code, value: str, relation: Relation) -> Dataset:
        """TEXT, in ASCII."""

        def make() -> Dataset:
            item = self._item("TEXT", name, relation)
            item.TextValue = ascii_text(value)
            return item

        return self._once(make, "TEXT", name, value, relation)

    def number(
        self, name: Code, value: float, unit: str, relation: Relation, children: Iterable[Dataset] = ()
    ) -> Dataset:
        """NUM, rounded to 0.001."""
        item = self._item("NUM", name, relation)
        measured = Dataset()
        measured.MeasurementUnitsCodeSequence = [self._code(UNITS.get(unit) or Code(unit, "UCUM", unit))]
        measured.NumericValue = decimal(value)
        item.MeasuredValueSequence = [measured]
        below = list(children)
        if below:
            item.ContentSequence = below
        return item

    def coordinates(self, name: Code, line: Line, frame_of_reference_uid: str) -> Dataset:
        """SCOORD3D: a point, or a polyline of more."""
        item = self._item("SCOORD3D", name, "INFERRED FROM")
        item.ReferencedFrameOfReferenceUID = frame_of_reference_uid
        item.GraphicData = [float(x) for x in line.points_mm.ravel()]
        item.GraphicType = "POLYLINE" if len(line.points_mm) > 1 else "POINT"
        return item

    def container(self, name: Code, children: Iterable[Dataset]) -> Dataset:
        """CONTAINER."""
        item = self._item("CONTAINER", name, "CONTAINS")
        item.ContinuityOfContent = "SEPARATE"
        item.ContentSequence = list(children)
        return item

    def _item(self, value_type: str, name: Code, relation: Relation) -> Dataset:
        item = Dataset()
        item.RelationshipType = relation
        item.ValueType = value_type
        item.ConceptNameCodeSequence = [self._code(name)]
        return item

    def _code(self, code: Code) -> Dataset:
        return self._once(lambda: code_item(code), code)

    def _once(self, make: Callable[[], Dataset], *what: object) -> Dataset:
        if what not in self._made:
            self._made[what] = make()
        return self._made[what]


def fill(parent: Dataset, children: Iterable[Dataset]) -> None:
    """Put items behind those that a container has."""
    # add_new, because on an assignment to ContentSequence highdicom looks at every item again
    parent.add_new(CONTENT_SEQUENCE, "SQ", [*parent.ContentSequence, *children])


def decimal(value: float) -> str:
    """A number as a decimal string: to 0.001, in 16 characters at most.

    Examples
    --------
    >>> decimal(-12.50049), decimal(3.0), decimal(-0.0001)
    ('-12.5', '3', '0')
    """
    rounded = round(float(value), _DECIMALS) + 0.0
    plain = f"{rounded:.{_DECIMALS}f}".rstrip("0").rstrip(".")
    return plain if len(plain) <= _LONGEST_DS else f"{rounded:.9g}"


def children_of(item: Dataset, value_type: str) -> list[Dataset]:
    """The items of one value type directly below."""
    return [child for child in item.get("ContentSequence") or () if child.ValueType == value_type]


def name_of(item: Dataset) -> tuple[str, str]:
    """Value and scheme of an item's concept name."""
    return _pair_of(item.ConceptNameCodeSequence[0])


def value_of(item: Dataset) -> tuple[str, str]:
    """Value and scheme of a CODE item's value."""
    return _pair_of(item.ConceptCodeSequence[0])


def text_of(item: Dataset, code: Code) -> str:
    """The text below an item under this concept name; empty where there is none."""
    found = (str(child.TextValue) for child in children_of(item, "TEXT") if name_of(child) == pair(code))
    return next(found, "")


def pair(code: Code) -> tuple[str, str]:
    """What identifies a code: its meaning does not."""
    return code.value, code.scheme


def _pair_of(concept: Dataset) -> tuple[str, str]:
    return str(concept.CodeValue), str(concept.CodingSchemeDesignator)
