"""Encoded data sets as they travel: their File Meta header, and the UIDs at their head.

Decodes a few elements of the head only, so that the receiving thread never touches pixels.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from functools import lru_cache
from typing import BinaryIO, cast

from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag, Tag

from spine_node.bounded import Bounded, Inflating, TooMuchError, in_words
from spine_node.network.contexts import DEFLATED_LITTLE, IMPLICIT_LITTLE

IMPLEMENTATION_CLASS_UID = "2.25.86709032417595826808043638794250351919"
"""(0002,0012) of every file and association of this node; from a random UUID (PS3.5 B.2)."""

IMPLEMENTATION_VERSION = "SPINE_NODE"
"""(0002,0013). The same in every release: a re-sent instance must give the same file after an upgrade."""

_HEAD_BYTES = 1 << 24
"""How much of a data set is read, and of a deflated one inflated, in search of its UIDs."""

_HEAD_READS = 200_000
"""Reads that the search may cost, some 0.3 s: sequences may precede the UIDs, and are followed."""

_LONGEST = 1024
"""Of a UID that is quoted in words; what may name an instance is the inbox's to say."""

_SOP_CLASS, _SOP_INSTANCE = Tag("SOPClassUID"), Tag("SOPInstanceUID")
_PATIENT = Tag("PatientID")
_ACCESSION, _STUDY, _SERIES = Tag("AccessionNumber"), Tag("StudyInstanceUID"), Tag("SeriesInstanceUID")


_WANTED = tuple(map(int, (_SOP_CLASS, _SOP_INSTANCE, _STUDY, _SERIES, _ACCESSION, _PATIENT)))
_LAST_WANTED = int(_SERIES)

_PLAIN_BYTES = 64 << 10
_LONG = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_SHORT = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
"""Value representations by the width of their length in explicit encodings (PS3.5 7.1.2)."""
_EXPLICIT = _LONG | _SHORT
_ELEMENT = struct.Struct("<HH2sH")


class UnreadableHeadError(ValueError):
    """The encoded data set cannot be followed as far as its Series Instance UID."""


@dataclass(frozen=True, slots=True)
class Head:
    """What says what an instance is and where it belongs; "" where absent."""

    sop_class_uid: str
    sop_uid: str
    study_uid: str
    series_uid: str
    accession_number: str = ""
    patient_id: str = field(default="", repr=False)  # for the audit trail; no log line may hold it


def read_head(encoded: BinaryIO, transfer_syntax: str) -> Head:
    """The UIDs of an encoded data set, read without decoding what comes after them.

    Parameters
    ----------
    encoded : binary file
        The data set without File Meta; read from its start.
    transfer_syntax : str
        How it is encoded.

    Raises
    ------
    UnreadableHeadError
        If the bytes are not a data set in this transfer syntax.
    """
    encoded.seek(0)
    if transfer_syntax == DEFLATED_LITTLE:
        return _parse(Inflating(encoded, _HEAD_BYTES, _HEAD_READS), implicit=False)
    implicit = transfer_syntax == IMPLICIT_LITTLE
    plain = _plain(encoded.read(_PLAIN_BYTES), implicit=implicit)
    if plain is not None:
        return plain
    encoded.seek(0)
    return _parse(Bounded(encoded, _HEAD_BYTES, _HEAD_READS), implicit=implicit)


def file_header(sop_class_uid: str, sop_uid: str, transfer_syntax: str) -> bytes:
    """Preamble and File Meta Information of a DICOM file (PS3.10 7.1).

    Depends on its arguments only: neither time nor sender is in it.
    """
    before, after = _around(sop_class_uid, transfer_syntax)
    elements = before + _text(0x0003, b"UI", sop_uid) + after
    return b"\0" * 128 + b"DICM" + struct.pack("<HH2sHL", 0x0002, 0x0000, b"UL", 4, len(elements)) + elements


@lru_cache(maxsize=256)
def _around(sop_class_uid: str, transfer_syntax: str) -> tuple[bytes, bytes]:
    """The elements before and after the SOP instance UID; the same for every instance of a series."""
    before = struct.pack("<HH2sHLH", 0x0002, 0x0001, b"OB", 0, 2, 0x0100)  # version 00\\01
    after = _text(0x0010, b"UI", transfer_syntax) + _text(0x0012, b"UI", IMPLEMENTATION_CLASS_UID)
    return before + _text(0x0002, b"UI", sop_class_uid), after + _text(0x0013, b"SH", IMPLEMENTATION_VERSION)


def _text(element: int, vr: bytes, text: str) -> bytes:
    value = text.encode("ascii")
    value += (b"\0" if vr == b"UI" else b" ") * (len(value) % 2)
    return struct.pack("<HH2sH", 0x0002, element, vr, len(value)) + value


def _plain(start: bytes, *, implicit: bool) -> Head | None:
    """The head, where it is what nearly every head is: elements of plain lengths, in order, close together.

    One comes with every instance, and pydicom takes a fifth of the time that all else takes. None where
    anything is out of the ordinary: that is pydicom's to judge.
    """
    found: dict[int, str] = {}
    at, end = 0, len(start)
    if implicit and start[4:6] in _EXPLICIT:
        return None
    while end - at >= 8:
        group, element, vr, length = _ELEMENT.unpack_from(start, at)
        tag = group << 16 | element
        if tag > _LAST_WANTED:
            return Head(*(found.get(wanted, "") for wanted in _WANTED))
        at += 8
        if implicit:
            (length,) = struct.unpack_from("<L", start, at - 4)
        elif vr in _LONG and end - at >= 4:
            (length,) = struct.unpack_from("<L", start, at)
            at += 4
        elif vr not in _SHORT:
            return None
        if length > end - at:  # undefined, or past what we have
            return None
        if tag in _WANTED:
            found[tag] = start[at : at + length].decode("ascii", "replace").strip("\0 ")
        at += length
    return None


def _parse(encoded: Bounded, *, implicit: bool) -> Head:
    def past_series(tag: BaseTag, _vr: str | None, _length: int) -> bool:
        return int(tag) > int(_SERIES)

    wanted: list[BaseTag | int] = list(_WANTED)
    try:
        source = cast(BinaryIO, encoded)
        found = read_dataset(source, implicit, True, stop_when=past_series, specific_tags=wanted)
        values = [_value(found.get_item(tag)) for tag in wanted]
    except Exception as problem:  # a parser of damaged bytes raises whatever they lead it to
        raise UnreadableHeadError(
            f"the data set cannot be read up to its Series Instance UID: {in_words(problem)}"
        ) from problem
    return Head(*values)


def _value(element: object) -> str:
    """UIDs are ASCII; an accession number (SH) may be in the data set's own characters, and is but shown."""
    value = getattr(element, "value", None) or b""
    text = value.decode("ascii", "replace").strip("\0 ") if isinstance(value, bytes) else str(value)
    if len(text) > _LONGEST:
        raise TooMuchError(f"a value of {len(text)} characters")
    return text
