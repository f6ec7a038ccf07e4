"""Content items of a structured report (PS3.3 C.17.3), as bytes.

highdicom checks and hashes each item and copies the tree of a whole document: 12 ms a number. So it makes
the document, and the groups in it are made here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

from spine_node.dicom.code_overrides import NO_OVERRIDES, CodeOverrides
from spine_node.dicom.sr_codes import UNITS, ascii_text
from spine_node.dicom.sr_encoding import Value, item
from spine_node.parameters.definitions import Code
from spine_node.parameters.model import Line

Relation = Literal[
    "CONTAINS", "HAS PROPERTIES", "HAS CONCEPT MOD", "HAS ACQ CONTEXT", "HAS OBS CONTEXT", "INFERRED FROM"
]

_DECIMALS = 3
_LONGEST_DS = 16
"""Characters of a decimal string (PS3.5 6.2)."""


class Items:
    """Makes the content items of one report, each distinct code and childless item once."""

    def __init__(self, overrides: CodeOverrides = NO_OVERRIDES) -> None:
        self._overrides = overrides
        self._made: dict[tuple[object, ...], bytes] = {}

    def coded(self, name: Code, value: Code, relation: Relation, children: Iterable[bytes] = ()) -> bytes:
        """CODE."""

        def make(**more: Value) -> bytes:
            return self._item("CODE", name, relation, ConceptCodeSequence=[self._code(value)], **more)

        below = list(children)
        return make(ContentSequence=below) if below else self._once(make, "CODE", name, value, relation)

    def text(self, name: Code, value: str, relation: Relation) -> bytes:
        """TEXT, in ASCII."""
        return self._once(
            lambda: self._item("TEXT", name, relation, TextValue=ascii_text(value)),
            *("TEXT", name, value, relation),
        )

    def number(
        self, name: Code, value: float, unit: str, relation: Relation, children: Iterable[bytes] = ()
    ) -> bytes:
        """NUM, rounded to 0.001."""
        measured = item(
            MeasurementUnitsCodeSequence=[self._code(UNITS.get(unit) or Code(unit, "UCUM", unit))],
            NumericValue=decimal(value),
        )
        below = list(children)
        more: dict[str, Value] = {"ContentSequence": below} if below else {}
        return self._item("NUM", name, relation, MeasuredValueSequence=[measured], **more)

    def coordinates(self, name: Code, line: Line, frame_of_reference_uid: str) -> bytes:
        """SCOORD3D: a point, or a polyline of more."""
        return self._item(
            "SCOORD3D",
            name,
            "INFERRED FROM",
            GraphicData=line.points_mm.ravel(),
            GraphicType="POLYLINE" if len(line.points_mm) > 1 else "POINT",
            ReferencedFrameOfReferenceUID=frame_of_reference_uid,
        )

    def uid(self, name: Code, value: str, relation: Relation) -> bytes:
        """UIDREF."""
        return self._item("UIDREF", name, relation, UID=value)

    def segment(self, name: Code, sop_class_uid: str, sop_instance_uid: str, number: int) -> bytes:
        """IMAGE: one segment of a Segmentation."""
        segment = item(
            ReferencedSOPClassUID=sop_class_uid,
            ReferencedSOPInstanceUID=sop_instance_uid,
            ReferencedSegmentNumber=number,
        )
        return self._item("IMAGE", name, "CONTAINS", ReferencedSOPSequence=[segment])

    def container(self, name: Code, children: Iterable[bytes], template: str = "") -> bytes:
        """CONTAINER; one that follows a template of PS3.16 is continuous."""
        more: dict[str, Value] = {}
        if template:
            more = {"ContentTemplateSequence": [item(MappingResource="DCMR", TemplateIdentifier=template)]}
        return self._item(
            "CONTAINER",
            name,
            "CONTAINS",
            ContinuityOfContent="CONTINUOUS" if template else "SEPARATE",
            ContentSequence=list(children),
            **more,
        )

    def _item(self, value_type: str, name: Code, relation: Relation, **more: Value) -> bytes:
        return item(
            RelationshipType=relation,
            ValueType=value_type,
            ConceptNameCodeSequence=[self._code(name)],
            **more,
        )

    def _code(self, code: Code) -> bytes:
        def make() -> bytes:
            written = self._overrides.theirs(code)
            return item(
                CodeValue=written.value, CodingSchemeDesignator=written.scheme, CodeMeaning=written.meaning
            )

        return self._once(make, code)

    def _once(self, make: Callable[[], bytes], *what: object) -> bytes:
        if what not in self._made:
            self._made[what] = make()
        return self._made[what]


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
