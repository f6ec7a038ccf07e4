"""A class as an evaluation in the group it belongs to; and back.

An evaluation is a CODE item: its concept is the row of the catalogue, its value a code of ours or a
vertebra. What a class was derived from is text: its inputs are keys and numbers, some with levels, and no
concept exists for "offset" or "half canal".
"""

from __future__ import annotations

from collections.abc import Iterator

from spine_node.dicom.sr_class_codes import value_code, value_of
from spine_node.dicom.sr_codes import (
    BORDERLINE,
    CERTAINTY,
    CLASS_INPUTS,
    COMMENT,
    END_OF,
    PROVISIONAL,
    code_of,
    key_of,
)
from spine_node.dicom.sr_items import Items
from spine_node.dicom.sr_missing import is_missing
from spine_node.dicom.sr_sites import places, sites
from spine_node.dicom.sr_tree import Node, pair
from spine_node.parameters.definitions import PRIVATE_SCHEME
from spine_node.parameters.model import Classification


def class_item(found: Classification, items: Items) -> bytes:
    """CODE of one class."""
    return items.coded(
        code_of(found.key),
        value_code(found.key, found.value),
        "CONTAINS",
        [
            *sites(found, items),
            *_certainty(found, items),
            *(
                [items.text(CLASS_INPUTS, inputs_in_words(found.inputs), "INFERRED FROM")]
                if found.inputs
                else ()
            ),
            *([items.text(COMMENT, found.remark, "HAS PROPERTIES")] if found.remark else ()),
        ],
    )


def classes_of(group: Node) -> list[Classification]:
    """The classes of a group."""
    return [
        _class(node)
        for node in group.of_kind("CODE")
        if node.name[1] == PRIVATE_SCHEME and node.name not in _ENDS and not is_missing(node)
    ]


def inputs_in_words(inputs: tuple[tuple[str, float], ...]) -> str:
    """What a class was derived from; `inputs_of_words` reads it back.

    Examples
    --------
    >>> inputs_in_words((("COBB T5-T10", 40.5), ("SVA", -12.0)))
    'COBB T5-T10 = 40.5; SVA = -12.0'
    """
    return "; ".join(f"{key} = {number}" for key, number in inputs)


def inputs_of_words(text: str) -> tuple[tuple[str, float], ...]:
    """What `inputs_in_words` has written."""
    pairs = (part.rsplit(" = ", 1) for part in text.split("; ") if part)
    return tuple((key, float(number)) for key, number in pairs)


def _class(node: Node) -> Classification:
    key = key_of(*node.name)
    certainty = [child.code for child in node.of_kind("CODE") if child.name == pair(CERTAINTY)]
    return Classification(
        key=key,
        value=value_of(key, *(node.code or ("", ""))),
        inputs=inputs_of_words(node.text_below(CLASS_INPUTS)),
        borderline=pair(BORDERLINE) in certainty,
        provisional=pair(PROVISIONAL) in certainty,
        remark=node.text_below(COMMENT),
        **places(node),
    )


def _certainty(found: Classification, items: Items) -> Iterator[bytes]:
    for holds, code in ((found.borderline, BORDERLINE), (found.provisional, PROVISIONAL)):
        if holds:
            yield items.coded(CERTAINTY, code, "HAS PROPERTIES")


_ENDS = {pair(code) for code in END_OF.values()}
