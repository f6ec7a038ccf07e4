"""Command sets of C-STORE, read and written directly (PS3.7 6.3, 9.3.1, E.1).

One comes with every instance, and is a dozen short elements of one group in Implicit VR Little Endian. All
other messages are rare, and are pynetdicom's to decode.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

C_STORE_RQ, _C_STORE_RSP = 0x0001, 0x8001

_NO_DATA_SET = 0x0101
_CLASS, _FIELD, _MESSAGE_ID, _ANSWERS, _DATA_SET_TYPE = 0x0002, 0x0100, 0x0110, 0x0120, 0x0800
_STATUS, _COMMENT, _INSTANCE = 0x0900, 0x0902, 0x1000
_COMMENT_BYTES = 64  # VR LO


class CommandError(ValueError):
    """The bytes are not a command set."""


@dataclass(frozen=True, slots=True)
class StoreRequest:
    """A C-STORE-RQ.

    Attributes
    ----------
    message_id : int
    sop_class_uid, sop_instance_uid : str
        As announced; not yet known to be UIDs.
    context_id : int
        Of the presentation context it came in.
    """

    message_id: int
    sop_class_uid: str
    sop_instance_uid: str
    context_id: int


def elements(encoded: bytes | bytearray) -> dict[int, bytes]:
    """The values of a command set by element number.

    Raises
    ------
    CommandError
        If lengths do not add up, or an element is of another group.
    """
    found: dict[int, bytes] = {}
    at, end = 0, len(encoded)
    while at < end:
        if end - at < 8:
            raise CommandError(f"{end - at} bytes are left over")
        group, element, length = struct.unpack_from("<HHL", encoded, at)
        at += 8
        if group != 0 or length > end - at:
            raise CommandError(f"element ({group:04X},{element:04X}) of {length} bytes")
        found[element] = bytes(encoded[at : at + length])
        at += length
    return found


def number(command: dict[int, bytes], element: int) -> int:
    """A value of VR US.

    Raises
    ------
    CommandError
        If it is absent or not one number.
    """
    value = command.get(element, b"")
    if len(value) != 2:
        raise CommandError(f"element (0000,{element:04X}) has {len(value)} bytes, not 2")
    return int.from_bytes(value, "little")


def command_field(command: dict[int, bytes]) -> int:
    """Which request or response it is."""
    return number(command, _FIELD)


def has_data_set(command: dict[int, bytes]) -> bool:
    """Whether a data set follows."""
    return number(command, _DATA_SET_TYPE) != _NO_DATA_SET


def store_request(command: dict[int, bytes], context_id: int) -> StoreRequest:
    """A C-STORE-RQ as facts."""
    return StoreRequest(
        number(command, _MESSAGE_ID), _uid(command, _CLASS), _uid(command, _INSTANCE), context_id
    )


def store_response(request: StoreRequest, status: int, comment: str = "") -> bytes:
    """The C-STORE-RSP to a request, with a comment of up to 64 characters."""
    values = {
        _CLASS: _padded(request.sop_class_uid, b"\0"),
        _FIELD: struct.pack("<H", _C_STORE_RSP),
        _ANSWERS: struct.pack("<H", request.message_id),
        _DATA_SET_TYPE: struct.pack("<H", _NO_DATA_SET),
        _STATUS: struct.pack("<H", status),
    }
    if comment:
        values[_COMMENT] = _padded(comment[:_COMMENT_BYTES].replace("\\", "/"), b" ")
    values[_INSTANCE] = _padded(request.sop_instance_uid, b"\0")
    body = b"".join(struct.pack("<HHL", 0, e, len(value)) + value for e, value in values.items())
    return struct.pack("<HHLL", 0, 0, 4, len(body)) + body


def _uid(command: dict[int, bytes], element: int) -> str:
    return command.get(element, b"").decode("ascii", "replace").strip("\0 ")


def _padded(text: str, pad: bytes) -> bytes:
    value = text.encode("ascii", "replace")[:64]
    return value + pad * (len(value) % 2)
