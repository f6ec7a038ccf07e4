"""What could not be had: which of the standard's qualifiers says so, and why it is no NUM; and back.

The standard's form is a NUM with an empty Measured Value Sequence and a Numeric Value Qualifier (PS3.3
C.18.1, CID 42). One such item makes readers in use refuse the whole report: highdicom 0.28.2 (`srread`:
IndexError in NumContentItem); OHIF 3.13.2 where the item has no children (TypeError: it takes the unit of no
value), and so do scripts on dcmjs that map over NUM items. dcmqi 1.5.7's tid1500reader lists it as a
measurement with an empty value; dcmtk 3.6.7 (dsrdump, dsr2html) and dciodvfy take it. As an evaluation, a
CODE with the parameter as its concept and the same qualifier as its value, all of them read it.
"""

from __future__ import annotations

import re

from spine_node.dicom.sr_codes import COMMENT, FAILED, INDETERMINATE, NO_VALUE, NOT_ATTEMPTED, code_of, key_of
from spine_node.dicom.sr_items import Items
from spine_node.dicom.sr_sites import places
from spine_node.dicom.sr_tree import Node, pair
from spine_node.parameters.definitions import Code
from spine_node.parameters.model import NotMeasured

_QUALIFIERS = (
    # Classes of standing people, of others: not for lack of knowledge.
    (re.compile(r"^withheld\b"), NOT_ATTEMPTED),
    # The structure is labelled, and no landmark came of it.
    (
        re.compile(
            r"endplate: |is not round|no femoral head$|off the line of vertebrae|do not face each other"
            r"|is open behind its canal|(wall|pedicle) of \w+ is not|no pedicle of|do not lie over each other"
            r"|they are no neighbours|endplates meet|has no crest|too little for a vertebra"
        ),
        FAILED,
    ),
    # All landmarks are there, and the number would mean nothing.
    (
        re.compile(r"say nothing|the patient's age is not known|lies along the scanner's x axis"),
        INDETERMINATE,
    ),
)


def qualifier_of(reason: str) -> Code:
    """The numeric value qualifier (CID 42) of a reason; "not attempted" unless the words tell more.

    Examples
    --------
    >>> qualifier_of("L1 superior endplate is cut by the field's edge").meaning
    'Measurement not attempted'
    >>> qualifier_of("S1 endplate: too few columns meet a plate").meaning
    'Measurement failure'
    """
    return next((code for words, code in _QUALIFIERS if words.search(reason)), NOT_ATTEMPTED)


def not_measured_item(entry: NotMeasured, items: Items) -> bytes:
    """CODE of a parameter or class that could not be had, with the reason."""
    reason = [items.text(COMMENT, entry.reason, "HAS PROPERTIES")] if entry.reason else []
    return items.coded(code_of(entry.key), qualifier_of(entry.reason), "CONTAINS", reason)


def is_missing(node: Node) -> bool:
    """Whether an evaluation is that of `not_measured_item`."""
    return node.code in _NO_VALUE


def missing_of(group: Node) -> list[NotMeasured]:
    """What a group says could not be had."""
    level = places(group).get("level")
    return [
        NotMeasured(key_of(*node.name), node.text_below(COMMENT), level)
        for node in group.of_kind("CODE")
        if is_missing(node)
    ]


_NO_VALUE = [pair(code) for code in NO_VALUE]
