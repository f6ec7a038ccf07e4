"""Items of a report as bytes: Explicit VR Little Endian, every length defined (PS3.5 7.1.2 and 7.5).

A report of the whole panel has ten thousand content items of a few forms. pydicom encodes each through some
thirty Python objects, one byte stream within another: 3.5 s. So items are bytes from the start, and what
recurs is encoded once. pydicom reads them when somebody looks, and otherwise passes them on as they are.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_sequence_item
from pydicom.tag import BaseTag, Tag

Value: TypeAlias = str | int | Sequence[bytes] | NDArray[np.float64]
"""Text in ASCII, a number of VR US, the items of a sequence, or numbers of VR FL."""

_LONG_LENGTH = ("SQ", "UT")
"""Of the VRs that occur here, those whose length takes four bytes (PS3.5 Table 7.1-1)."""


def item(**elements: Value) -> bytes:
    """A sequence item that holds these elements, named by keyword.

    Examples
    --------
    >>> item(CodeValue="PI").hex(" ", 2)
    'feff 00e0 0a00 0000 0800 0001 5348 0200 5049'
    """
    body = b"".join(_element(name, elements[name]) for name in sorted(elements, key=_tag))
    return _item(body)


def container_of(dataset: Dataset, content: Iterable[bytes]) -> bytes:
    """A container that a library has made, with this content in the place of its own."""
    # Without the content, which would be copied; nothing in a container comes behind it.
    rest = Dataset({tag: dataset.get_item(tag) for tag in dataset.keys() - {_tag("ContentSequence")}})
    below = b"".join(content)
    body = item_of(rest)[8:] + (_element("ContentSequence", [below]) if below else b"")
    return _item(body)


def item_of(dataset: Dataset) -> bytes:
    """A sequence item that a library has made."""
    stream = DicomBytesIO()
    stream.is_implicit_VR, stream.is_little_endian = False, True
    write_sequence_item(stream, dataset, ["iso8859"])
    return bytes(stream.getvalue())


def put_sequence(parent: Dataset, keyword: str, items: Iterable[bytes]) -> None:
    """Set a sequence of a document to encoded items; pydicom decodes them when they are looked at.

    It writes them as they are in what `identity.finish` has gone through.
    """
    value = b"".join(items)
    tag = _tag(keyword)
    parent[tag] = RawDataElement(tag, "SQ", len(value), value, 0, False, True)


def _item(body: bytes) -> bytes:
    return struct.pack("<HHL", 0xFFFE, 0xE000, len(body)) + body


@cache
def _tag(keyword: str) -> BaseTag:
    return Tag(keyword)


@cache
def _head(keyword: str) -> tuple[bytes, str]:
    vr = dictionary_VR(int(tag_for_keyword(keyword) or 0))
    tag = _tag(keyword)
    return struct.pack("<HH2s", tag.group, tag.element, vr.encode()), vr


def _element(keyword: str, value: Value) -> bytes:
    head, vr = _head(keyword)
    if isinstance(value, str):
        raw = value.encode("ascii")
        if len(raw) % 2:
            raw += b"\0" if vr == "UI" else b" "
    elif isinstance(value, int):
        raw = struct.pack("<H", value)
    elif isinstance(value, np.ndarray):
        raw = value.astype("<f4").tobytes()
    else:
        raw = b"".join(value)
    return head + struct.pack("<2xL" if vr in _LONG_LENGTH else "<H", len(raw)) + raw
