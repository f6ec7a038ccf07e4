"""DIMSE statuses by name, and what each means to who sends an instance (PS3.4 B.2.3, PS3.7 9.1.1.1.9 and C).

The rule behind the table: a status that speaks of the instance (its class, attributes, encoding) says the
same tomorrow, and ends the delivery of that form. One that speaks of the peer's state, of its settings for
us, of this one message, or that no standard knows, says nothing about the instance, which is sent again.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal


class Status(IntEnum):
    """Statuses this node answers with, or knows by more than their range."""

    SUCCESS = 0x0000
    OPTIONAL_ATTRIBUTES_NOT_SUPPORTED = 0x0001
    PENDING = 0xFF00
    CANCEL = 0xFE00
    NO_SUCH_ATTRIBUTE = 0x0105
    INVALID_ATTRIBUTE_VALUE = 0x0106
    ATTRIBUTE_LIST_ERROR = 0x0107
    PROCESSING_FAILURE = 0x0110
    DUPLICATE_SOP_INSTANCE = 0x0111
    NO_SUCH_OBJECT_INSTANCE = 0x0112
    NO_SUCH_EVENT_TYPE = 0x0113
    NO_SUCH_ARGUMENT = 0x0114
    INVALID_ARGUMENT_VALUE = 0x0115
    ATTRIBUTE_VALUE_OUT_OF_RANGE = 0x0116
    INVALID_SOP_INSTANCE = 0x0117
    NO_SUCH_SOP_CLASS = 0x0118
    CLASS_INSTANCE_CONFLICT = 0x0119
    MISSING_ATTRIBUTE = 0x0120
    MISSING_ATTRIBUTE_VALUE = 0x0121
    SOP_CLASS_NOT_SUPPORTED = 0x0122
    NO_SUCH_ACTION_TYPE = 0x0123
    NOT_AUTHORISED = 0x0124
    DUPLICATE_TRANSACTION_UID = 0x0131
    DUPLICATE_INVOCATION = 0x0210
    UNRECOGNISED_OPERATION = 0x0211
    MISTYPED_ARGUMENT = 0x0212
    RESOURCE_LIMITATION = 0x0213
    OUT_OF_RESOURCES = 0xA700
    DATA_SET_DOES_NOT_MATCH_SOP_CLASS = 0xA900
    COERCION_OF_DATA_ELEMENTS = 0xB000
    ELEMENTS_DISCARDED = 0xB006
    DATA_SET_DOES_NOT_MATCH_SOP_CLASS_WARNING = 0xB007
    CANNOT_UNDERSTAND = 0xC000
    TOO_LONG = 0xC001
    """Ours: an instance past the configured length. Not A7xx, as no later attempt will fare better."""


Fate = Literal["stored", "warning", "transient", "permanent"]
"""What becomes of an instance: the peer has it; has it and says something; is asked again; refuses it."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a C-STORE status means to the sender, and why we take it so."""

    fate: Fate
    why: str


C_STORE: dict[int, Meaning] = {
    0x0000: Meaning("stored", "stored"),
    0x0001: Meaning("warning", "stored; optional attributes are not supported"),
    0x0107: Meaning("warning", "stored; some attributes were not recognised"),
    0x0116: Meaning("warning", "stored; an attribute's value is out of the peer's range"),
    0x0111: Meaning("warning", "the peer has an instance of this UID, and ours never change under one UID"),
    0x0105: Meaning("permanent", "an attribute of the instance is not known"),
    0x0106: Meaning("permanent", "a value of the instance is not valid to the peer"),
    0x0110: Meaning("transient", "a failure with no reason given, such as a database that is down"),
    0x0112: Meaning("permanent", "not of C-STORE: the instance's UID means nothing to the peer"),
    0x0113: Meaning("permanent", "not of C-STORE"),
    0x0114: Meaning("permanent", "the peer does not know an argument of the request"),
    0x0115: Meaning("permanent", "the peer does not take an argument of the request"),
    0x0117: Meaning("permanent", "the UID breaks a rule of the peer"),
    0x0118: Meaning("permanent", "the peer does not know the SOP class"),
    0x0119: Meaning("permanent", "the peer has this UID under another SOP class"),
    0x0120: Meaning("permanent", "the instance lacks an attribute that the peer asks for"),
    0x0121: Meaning("permanent", "the instance lacks a value that the peer asks for"),
    0x0122: Meaning("permanent", "the peer does not store this SOP class"),
    0x0123: Meaning("permanent", "not of C-STORE"),
    0x0124: Meaning("transient", "a right that somebody at the peer can give; nothing about the instance"),
    0x0210: Meaning("transient", "the Message ID was in use: of this request, not of the instance"),
    0x0211: Meaning("permanent", "the peer stores nothing in this context"),
    0x0212: Meaning("permanent", "the peer cannot read an argument of the request"),
    0x0213: Meaning("transient", "the peer is short of something"),
    0xFE00: Meaning("transient", "cancelled, though nobody asked: the peer is shutting down"),
}
"""Single statuses (PS3.7 C); ranges come after them."""

C_STORE_RANGES: dict[tuple[int, int], Meaning] = {
    (0xFF00, 0xA700): Meaning("transient", "out of resources: a full disk is emptied"),
    (0xFF00, 0xA900): Meaning("permanent", "the data set does not match its SOP class"),
    (0xF000, 0xB000): Meaning("warning", "stored, perhaps with elements coerced or discarded"),
    (0xF000, 0xC000): Meaning("permanent", "the peer cannot understand the data set"),
}
"""Ranges (PS3.4 B.2.3) as mask and value."""

_UNKNOWN = Meaning("transient", "no standard knows this status, so it says nothing about the instance")


def meaning(status: int) -> Meaning:
    """What the answer to a C-STORE means to who sent it.

    Examples
    --------
    >>> [meaning(status).fate for status in (0x0000, 0xB007, 0xA7FE, 0xA912, 0x0122, 0x4242)]
    ['stored', 'warning', 'transient', 'permanent', 'permanent', 'transient']
    """
    ranged = (m for (mask, value), m in C_STORE_RANGES.items() if status & mask == value)
    return C_STORE.get(status) or next(ranged, _UNKNOWN)


def is_warning(status: int) -> bool:
    """The peer has the instance, and something to say about it."""
    return meaning(status).fate == "warning"


def in_words(status: int) -> str:
    """The status with its name, as an operator would look it up.

    Examples
    --------
    >>> in_words(0xA701), in_words(0x0122), in_words(0x1234)
    ('0xA701 out of resources', '0x0122 SOP class not supported', '0x1234 (not in the standard)')
    """
    try:
        name = Status(status).name
    except ValueError:
        name = _RANGES.get(status & 0xFF00) or _RANGES.get(status & 0xF000, "(not in the standard)")
    words = name.lower().replace("_", " ").replace("sop", "SOP").replace(" uid", " UID")
    return f"0x{status:04X} {words}"


_RANGES = {
    0xA700: "out_of_resources",
    0xA900: "data_set_does_not_match_SOP_class",
    0xB000: "warning",
    0xC000: "cannot_understand",
}
