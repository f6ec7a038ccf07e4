"""Encoded data sets as they travel: their File Meta header, and the UIDs at their head.

Decodes a few elements of the head only, so that the receiving thread never touches pixels.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO

from pydicom.dataset import FileMetaDataset
from pydicom.errors import BytesLengthException
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_file_meta_info
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID

from spine_node.network.contexts import DEFLATED_LITTLE, IMPLICIT_LITTLE

IMPLEMENTATION_CLASS_UID = "2.25.86709032417595826808043638794250351919"
"""(0002,0012) of every file and association of this node; from a random UUID (PS3.5 B.2)."""

IMPLEMENTATION_VERSION = "SPINE_NODE"
"""(0002,0013). The same in every release: a re-sent instance must give the same file after an upgrade."""

_HEAD_BYTES = (1 << 16, 1 << 20, 1 << 24)
"""How much of a deflated data set is inflated in search of its UIDs, in turn."""

_SOP_CLASS, _SOP_INSTANCE = Tag("SOPClassUID"), Tag("SOPInstanceUID")
_STUDY, _SERIES = Tag("StudyInstanceUID"), Tag("SeriesInstanceUID")


class UnreadableHeadError(ValueError):
    """The encoded data set cannot be followed as far as its Series Instance UID."""


@dataclass(frozen=True, slots=True)
class Head:
    """The four UIDs that say what an instance is and where it belongs; "" where absent."""

    sop_class_uid: str
    sop_uid: str
    study_uid: str
    series_uid: str


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
    if transfer_syntax != DEFLATED_LITTLE:
        encoded.seek(0)
        return _parse(encoded, implicit=transfer_syntax == IMPLICIT_LITTLE)
    for size in _HEAD_BYTES:
        head = _parse(BytesIO(_inflated(encoded, size)), implicit=False)
        if head.series_uid:
            break
    return head


def file_header(sop_class_uid: str, sop_uid: str, transfer_syntax: str) -> bytes:
    """Preamble and File Meta Information of a DICOM file (PS3.10 7.1).

    Depends on its arguments only: neither time nor sender is in it.
    """
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(sop_class_uid)
    meta.MediaStorageSOPInstanceUID = UID(sop_uid)
    meta.TransferSyntaxUID = UID(transfer_syntax)
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION
    buffer = DicomBytesIO()
    buffer.write(b"\0" * 128 + b"DICM")
    write_file_meta_info(buffer, meta)
    return bytes(buffer.getvalue())


def _parse(encoded: BinaryIO, *, implicit: bool) -> Head:
    def past_series(tag: BaseTag, _vr: str | None, _length: int) -> bool:
        return int(tag) > int(_SERIES)

    wanted: list[BaseTag | int] = [_SOP_CLASS, _SOP_INSTANCE, _STUDY, _SERIES]
    try:
        found = read_dataset(encoded, implicit, True, stop_when=past_series, specific_tags=wanted)
        values = [_uid(found.get_item(tag)) for tag in wanted]
    except (EOFError, OSError, ValueError, KeyError, NotImplementedError, BytesLengthException) as problem:
        raise UnreadableHeadError(
            f"the data set cannot be read up to its Series Instance UID: {problem}"
        ) from problem
    return Head(*values)


def _uid(element: object) -> str:
    value = getattr(element, "value", None) or b""
    return value.decode("ascii").strip("\0 ") if isinstance(value, bytes) else str(value)


def _inflated(encoded: BinaryIO, size: int) -> bytes:
    encoded.seek(0)
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    out = bytearray()
    try:
        while len(out) < size and (block := encoded.read(1 << 16)):
            out += inflater.decompress(block, size - len(out))
    except zlib.error as problem:
        raise UnreadableHeadError(f"the data set is not deflated as it should be: {problem}") from problem
    return bytes(out)
