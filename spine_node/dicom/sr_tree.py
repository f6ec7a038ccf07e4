"""The content of a report as plain values, read once: what the readers of its parts look into."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from spine_node.dicom.code_overrides import NO_OVERRIDES, CodeOverrides
from spine_node.imaging.volume import FloatArray
from spine_node.parameters.definitions import Code

Pair: TypeAlias = tuple[str, str]
"""Value and scheme of a code: what identifies it; its meaning does not."""


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One content item; of the values, the one that its value type has.

    Attributes
    ----------
    kind : str
        Value Type: "CONTAINER", "NUM", "CODE", "TEXT", "SCOORD3D", ...
    name : pair of str
        Concept, in our codes.
    children : tuple of Node
    code : pair of str, optional
        In our codes.
    text : str
    number : float, optional
        In `unit`.
    unit : str
        UCUM.
    points_mm : ndarray, shape (n, 3), optional
        LPS.
    """

    kind: str
    name: Pair
    children: tuple[Node, ...] = ()
    code: Pair | None = None
    text: str = ""
    number: float | None = None
    unit: str = ""
    points_mm: FloatArray | None = None

    def of_kind(self, kind: str) -> list[Node]:
        """Children of one value type."""
        return [child for child in self.children if child.kind == kind]

    def text_below(self, name: Code) -> str:
        """The text of the child with this concept name; empty where there is none."""
        return next((i.text for i in self.children if i.kind == "TEXT" and i.name == pair(name)), "")


def pair(code: Code) -> Pair:
    """What identifies a code."""
    return code.value, code.scheme


def tree_of(document: Dataset, overrides: CodeOverrides = NO_OVERRIDES) -> Node:
    """The document as its root item with all below it; codes of the overrides become ours again."""
    return _Reader(overrides).node(document)


class _Reader:
    """Reads the items of one document: a code that recurs is decoded once."""

    def __init__(self, overrides: CodeOverrides) -> None:
        self._overrides = overrides
        self._pairs: dict[bytes, Pair] = {}

    def node(self, item: Dataset) -> Node:
        kind = str(item.ValueType)
        number, unit = self._measured(item) if kind == "NUM" else (None, "")
        return Node(
            kind=kind,
            name=self._pair(item, "ConceptNameCodeSequence") or ("", ""),
            children=tuple(self.node(child) for child in item.get("ContentSequence") or ()),
            code=self._pair(item, "ConceptCodeSequence") if kind == "CODE" else None,
            text=str(item.TextValue) if kind == "TEXT" else "",
            number=number,
            unit=unit,
            points_mm=np.array(item.GraphicData, dtype=np.float64).reshape(-1, 3)
            if kind == "SCOORD3D"
            else None,
        )

    def _measured(self, item: Dataset) -> tuple[float | None, str]:
        measured = item.get("MeasuredValueSequence")
        if not measured:
            return None, ""
        unit = self._pair(measured[0], "MeasurementUnitsCodeSequence")
        return float(measured[0].NumericValue), unit[0] if unit else ""

    def _pair(self, item: Dataset, keyword: str) -> Pair | None:
        encoded = item.get_item(keyword)
        if isinstance(encoded, RawDataElement) and encoded.value in self._pairs:
            return self._pairs[encoded.value]
        codes = item.get(keyword)
        if not codes:
            return None
        found = self._overrides.ours(
            str(codes[0].get("CodeValue") or ""), str(codes[0].get("CodingSchemeDesignator") or "")
        )
        if isinstance(encoded, RawDataElement) and encoded.value is not None:
            self._pairs[encoded.value] = found
        return found
