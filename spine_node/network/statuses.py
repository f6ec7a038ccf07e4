"""DIMSE statuses by name, and what each means to who sends (PS3.4 B.2.3, PS3.7 C)."""

from __future__ import annotations

from enum import IntEnum


class Status(IntEnum):
    """Statuses this node answers with, or knows by more than their range."""

    SUCCESS = 0x0000
    PENDING = 0xFF00
    CANCEL = 0xFE00
    PROCESSING_FAILURE = 0x0110
    DUPLICATE_SOP_INSTANCE = 0x0111
    INVALID_SOP_INSTANCE = 0x0117
    SOP_CLASS_NOT_SUPPORTED = 0x0122
    NOT_AUTHORISED = 0x0124
    RESOURCE_LIMITATION = 0x0213
    OUT_OF_RESOURCES = 0xA700
    DATA_SET_DOES_NOT_MATCH_SOP_CLASS = 0xA900
    COERCION_OF_DATA_ELEMENTS = 0xB000
    ELEMENTS_DISCARDED = 0xB006
    DATA_SET_DOES_NOT_MATCH_SOP_CLASS_WARNING = 0xB007
    CANNOT_UNDERSTAND = 0xC000


def is_warning(status: int) -> bool:
    """The peer has the instance, and something to say about it.

    A peer that answers "duplicate SOP instance" has it too: a re-sent result is no failure.
    """
    return status & 0xF000 == 0xB000 or status in (0x0001, Status.DUPLICATE_SOP_INSTANCE)


def is_transient(status: int) -> bool:
    """The same instance may be taken later: out of resources, or a failure with no reason given."""
    return status & 0xFF00 == Status.OUT_OF_RESOURCES or status in (
        Status.PROCESSING_FAILURE,
        Status.RESOURCE_LIMITATION,
    )


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
    return f"0x{status:04X} {name.lower().replace('_', ' ').replace('sop', 'SOP')}"


_RANGES = {
    0xA700: "out_of_resources",
    0xA900: "data_set_does_not_match_SOP_class",
    0xB000: "warning",
    0xC000: "cannot_understand",
}
