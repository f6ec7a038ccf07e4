"""Data sets taken apart into elements, damaged with intent, and encoded again with their lies.

pydicom writes nothing malformed; this encoder writes whatever it is told. All chance comes from the
`random.Random` that is passed.
"""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

from pydicom.dataset import Dataset
from pydicom.tag import Tag

LONG = {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}
"""VRs with a length of four bytes in explicit encodings (PS3.5 7.1.2)."""

VRS = (
    *sorted(LONG),
    *("AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO", "LT", "PN", "SH", "SL", "SS", "ST"),
    *("TM", "UI", "UL", "US", "ZZ", "\0\0", "??"),
)

EXPLICIT, IMPLICIT, DEFLATED = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99"
SYNTAXES = (
    EXPLICIT, IMPLICIT, DEFLATED, "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.4.50",
    *(f"1.2.840.10008.1.2.4.{n}" for n in (51, 57, 70, 80, 81, 90, 91, 201, 202, 203)),
    "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.1.98", "1.2.3", "",
)  # fmt: skip

IDENTITY = "Nemo^Fuzzed"
"""The patient of every series here: no error text may hold it."""

LENGTHS = (0, 1, 2, 3, 7, 0x7FFE, 0xFFFE, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)

TEXTS = (
    b"", b" ", b"\0", b"nan", b"inf", b"-inf", b"1e999", b"-1e999", b"1e-999", b"0", b"-0", b"-1", b"1.5",
    b"1e9", b"1000000000", b"99999999999999999999", b"1\\2", b"1\\2\\3", b"1\\nan\\3", b"\\", b"\\\\\\\\\\",
    b"abc", b"0x10", b"1,5", b"1 2", b"1_0", "٣".encode(), b"\xff\xfe", b"\xc3\x28", b"\x1b$B\x1b(B",
    b"../../etc/passwd", b"1.2." * 17, b"1..2", b".1", b"1.", b"01.002", b"00000000", b"99999999",
    b"20261399", b"M" * 70000, b"ISO_IR 999", b"\\ISO 2022 IR 87", b"ISO 2022 IR 149\\ISO_IR 192",
    b"GB18030", b"%n%s%x", b"{0.__class__}", b"\r\nlog: forged", b"1" * 400,
)  # fmt: skip
"""Values that have broken readers: no numbers, too many, none, texts of no character set, paths."""

Rng = random.Random


@dataclass
class Element:
    """One element as it is to be written; `length` overrides the true one."""

    tag: int
    vr: str
    value: bytes | list[list[Element]]
    length: int | None = None
    undefined: bool = False
    delimited: bool = True


Elements = list[Element]


@dataclass
class File:
    """One instance: File Meta Information, data set, and how they are encoded."""

    meta: Elements
    elements: Elements
    syntax: str
    after: list[Callable[[bytes], bytes]] = field(default_factory=list)

    def encoded(self) -> bytes:
        """The data set as it travels."""
        raw = encode(self.elements, implicit=self.syntax == IMPLICIT)
        if self.syntax == DEFLATED:
            raw = deflate(raw)
        for damage in self.after:
            raw = damage(raw)
        return raw

    def written(self) -> bytes:
        """The file."""
        return b"\0" * 128 + b"DICM" + encode(self.meta, implicit=False) + self.encoded()


def deflate(raw: bytes) -> bytes:
    """Raw deflate, as PS3.5 A.5 has it."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(raw) + packer.flush()


def apart(ds: Dataset) -> Elements:
    """The elements of a data set of pydicom, sequences with their items."""
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_data_element

    elements = []
    for element in ds:
        if element.VR == "SQ":
            elements.append(Element(int(element.tag), "SQ", [apart(item) for item in element.value]))
            continue
        buffer = DicomBytesIO()
        buffer.is_little_endian, buffer.is_implicit_VR = True, True
        element.is_undefined_length = False
        write_data_element(buffer, element, "iso8859")
        elements.append(Element(int(element.tag), str(element.VR), bytes(buffer.getvalue()[8:])))
    return elements


def encode(elements: Elements, *, implicit: bool) -> bytes:
    """Little endian bytes of these elements, true or not."""
    return b"".join(_encoded(element, implicit) for element in elements)


def _encoded(element: Element, implicit: bool) -> bytes:
    undefined = element.undefined
    if isinstance(element.value, bytes):
        value = element.value
    else:
        value = b"".join(_item(encode(item, implicit=implicit), undefined) for item in element.value)
        if undefined and element.delimited:
            value += struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    length = 0xFFFFFFFF if undefined else len(value)
    if element.length is not None:
        length = element.length
    head = struct.pack("<HH", element.tag >> 16, element.tag & 0xFFFF)
    if implicit or element.tag >> 16 == 0xFFFE:
        return head + struct.pack("<I", length & 0xFFFFFFFF) + value
    vr = element.vr.encode("latin-1")
    if element.vr in LONG:
        return head + vr + b"\0\0" + struct.pack("<I", length & 0xFFFFFFFF) + value
    return head + vr + struct.pack("<H", min(length, 0xFFFF)) + value


def _item(content: bytes, undefined: bool) -> bytes:
    if undefined:
        end = struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
        return struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) + content + end
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(content)) + content


def damage(file: File, rng: Rng, times: int | None = None) -> list[str]:
    """Damage a file in place, in from one to four ways; gives their names."""
    names = []
    for _ in range(times or rng.choice((1, 1, 1, 2, 3, 4))):
        way = rng.choice(WAYS)
        way(file, rng)
        names.append(way.__name__)
    return names


def _some(file: File, rng: Rng) -> tuple[Elements, int]:
    """A list of elements, at the top or inside sequences, and an index into it."""
    elements = file.elements
    while True:
        inner = [e for e in elements if isinstance(e.value, list) and any(e.value)]
        if not inner or rng.random() < 0.6:
            return elements, rng.randrange(max(len(elements), 1))
        elements = rng.choice([item for item in rng.choice(inner).value if item])  # type: ignore[arg-type]


def drop(file: File, rng: Rng) -> None:
    """Leave one element out."""
    elements, i = _some(file, rng)
    if elements:
        del elements[i]


def repeat(file: File, rng: Rng) -> None:
    """One element twice, the second perhaps empty."""
    elements, i = _some(file, rng)
    if elements:
        copy = elements[i]
        elements.insert(i, copy if rng.random() < 0.5 else Element(copy.tag, copy.vr, b""))


def disorder(file: File, rng: Rng) -> None:
    """Elements out of the order of their tags."""
    elements, i = _some(file, rng)
    if elements:
        elements.insert(rng.randrange(len(elements)), elements.pop(i))


def retag(file: File, rng: Rng) -> None:
    """One element under another tag."""
    elements, i = _some(file, rng)
    if elements:
        other = rng.choice(file.elements or elements).tag
        delimiters = (0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD)
        elements[i].tag = rng.choice((rng.getrandbits(32), other, *delimiters, 0x7FE00010, 0))


def another_vr(file: File, rng: Rng) -> None:
    """A VR that is not the element's, or none at all."""
    elements, i = _some(file, rng)
    if elements:
        elements[i].vr = rng.choice(VRS)


def another_length(file: File, rng: Rng) -> None:
    """A length that the value has not."""
    elements, i = _some(file, rng)
    if elements:
        true = len(elements[i].value)
        elements[i].length = rng.choice((*LENGTHS, true + 1, max(true - 1, 0), true * 2, rng.getrandbits(32)))


def another_value(file: File, rng: Rng) -> None:
    """A text that no reader expects, random bytes, or the value with bits turned."""
    elements, i = _some(file, rng)
    if not elements:
        return
    element = elements[i]
    kind = rng.random()
    if kind < 0.6 or isinstance(element.value, list):
        element.value = rng.choice(TEXTS)
    elif kind < 0.8:
        element.value = rng.randbytes(rng.choice((1, 2, 3, 4, 8, 16, 64)))
    else:
        element.value = flipped(element.value, rng)


def numbers(file: File, rng: Rng) -> None:
    """One of the numbers that decide about voxels, at an extreme."""
    wanted = {int(Tag(k)) for k in NUMBERS}
    here = [e for e in _all(file.elements) if e.tag in wanted]
    if here:
        element = rng.choice(here)
        if element.vr == "US":
            element.value = struct.pack("<H", rng.choice((0, 1, 7, 8, 12, 15, 17, 32, 64, 255, 32768, 65535)))
        else:
            number = rng.choice((b"nan", b"inf", b"0", b"-1", b"1e30", b"1e-30", b"1e308", b"", b"1e9"))
            parts = element.value.split(b"\\") if isinstance(element.value, bytes) else [b""]
            parts[rng.randrange(len(parts))] = number
            element.value = b"\\".join(parts)


NUMBERS = (
    "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel",
    "NumberOfFrames", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope",
    "RescaleIntercept", "SpacingBetweenSlices", "SliceThickness", "InstanceNumber", "AcquisitionNumber",
)  # fmt: skip


def insert(file: File, rng: Rng) -> None:
    """An element nobody asked for: private, of an unknown tag, large, or one that readers look at."""
    looked_at = ("SpecificCharacterSet", "NumberOfFrames", "ImagesInAcquisition", "SpacingBetweenSlices",
                 "PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence", "PatientAge",
                 "AcquisitionContextSequence", "PatientOrientationCodeSequence", "ProcedureCodeSequence",
                 "ExtendedOffsetTable", "ExtendedOffsetTableLengths", "FloatPixelData", "ConcatenationUID",
                 "PixelPaddingValue", "WindowCenter", "TimezoneOffsetFromUTC")  # fmt: skip
    tag = rng.choice((rng.getrandbits(32), 0x00091001, 0x00090010, int(Tag(rng.choice(looked_at)))))
    value = rng.choice((rng.randbytes(rng.choice((0, 1, 10, 4000, 70000))), rng.choice(TEXTS)))
    elements, i = _some(file, rng)
    elements.insert(i, Element(tag, rng.choice(VRS), value))
    if rng.random() < 0.7:
        elements.sort(key=lambda element: element.tag)


def nest(file: File, rng: Rng) -> None:
    """An element inside many sequences."""
    elements, i = _some(file, rng)
    inner: Element = elements[i] if elements else Element(0x00080060, "CS", b"CT")
    undefined, depth = rng.random() < 0.5, rng.choice((1, 5, 17, 60, 300))
    raw = encode([inner], implicit=file.syntax == IMPLICIT)
    for _ in range(depth):
        wrapped = Element(inner.tag & 0xFFFF0000 | 0x1111, "SQ", raw)
        item = _item(raw, undefined)
        wrapped.value = item + (struct.pack("<HHI", 0xFFFE, 0xE0DD, 0) if undefined else b"")
        wrapped.length = 0xFFFFFFFF if undefined else None
        raw = encode([wrapped], implicit=file.syntax == IMPLICIT)
    made = Element(rng.choice((inner.tag, 0x00400555, 0x52009230)), "SQ", _item(raw, undefined))
    elements.insert(i, made)


def undefine(file: File, rng: Rng) -> None:
    """Undefined length, of a sequence with or without its delimiter, or of what must have a length."""
    elements, i = _some(file, rng)
    if elements:
        elements[i].undefined, elements[i].delimited = True, rng.random() < 0.6


def another_syntax(file: File, rng: Rng) -> None:
    """The file says that it is encoded otherwise, or is."""
    for element in file.meta:
        if element.tag == 0x00020010:
            element.value = rng.choice(SYNTAXES).encode()
    if rng.random() < 0.2:
        file.syntax = rng.choice((EXPLICIT, IMPLICIT, DEFLATED))


def another_meta(file: File, rng: Rng) -> None:
    """Damage to the File Meta Information."""
    if not file.meta:
        return
    i = rng.randrange(len(file.meta))
    kind = rng.randrange(4)
    if kind == 0:
        del file.meta[i]
    elif kind == 1:
        file.meta[i].value = rng.choice(TEXTS)
    elif kind == 2:
        file.meta[i].length = rng.choice(LENGTHS)
    else:
        file.meta.clear()


def cut(file: File, rng: Rng) -> None:
    """The end is missing."""
    at = rng.random()
    file.after.append(lambda raw: raw[: int(at * len(raw))])


def turn_bits(file: File, rng: Rng) -> None:
    """Bits turned anywhere."""
    seed = rng.getrandbits(32)
    file.after.append(lambda raw: flipped(raw, random.Random(seed)))


def splice(file: File, rng: Rng) -> None:
    """A piece repeated, removed or written over elsewhere."""
    seed = rng.getrandbits(32)

    def spliced(raw: bytes) -> bytes:
        chance = random.Random(seed)
        if len(raw) < 4:
            return raw
        a, b = sorted(chance.sample(range(len(raw)), 2))
        at = chance.randrange(len(raw))
        return chance.choice((raw[:at] + raw[a:b] + raw[at:], raw[:a] + raw[b:], raw[:at] + raw[a:b]))

    file.after.append(spliced)


def flipped(raw: bytes, rng: Rng) -> bytes:
    """These bytes with a few bits turned or bytes replaced."""
    if not raw:
        return raw
    out = bytearray(raw)
    for _ in range(rng.choice((1, 1, 2, 8, 32))):
        at = rng.randrange(len(out))
        out[at] = rng.choice((out[at] ^ 1 << rng.randrange(8), 0, 0xFF, rng.randrange(256)))
    return bytes(out)


WAYS = (
    drop, repeat, disorder, retag, another_vr, another_length, another_value, another_value, numbers, numbers,
    insert, insert, nest, undefine, another_syntax, another_meta, cut, turn_bits, splice,
)  # fmt: skip


def _all(elements: Elements) -> Elements:
    found = []
    for element in elements:
        found.append(element)
        if isinstance(element.value, list):
            for item in element.value:
                found += _all(item)
    return found
