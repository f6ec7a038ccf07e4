"""What a compressed frame says of its own size, read before a decoder believes it.

A decoder allocates what the codestream declares, and returns what it decodes: neither need be what the
header of the image says. Reads the one marker that tells; decodes nothing.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

_JPEG_FAMILY = frozenset(
    f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 53, 55, 57, 70, 80, 81)
)  # JPEG and JPEG-LS
_JPEG_2000 = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (90, 91, 201, 202, 203))
_END = b"\xff\xd9"
"""EOI of JPEG and JPEG-LS, EOC of JPEG 2000."""

_RLE = "1.2.840.10008.1.2.5"

_SIZES = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
"""Markers of a frame header (ITU-T T.81 B.1.1.3; T.87 C.1.1): SOF0 to SOF15, SOF55."""


@dataclass(frozen=True, slots=True)
class Declared:
    """Rows, columns, samples a pixel and bits a sample of one codestream."""

    rows: int
    columns: int
    samples: int
    bits: int


class CodestreamError(ValueError):
    """These bytes are no codestream of the transfer syntax."""


def check(frame: bytes, transfer_syntax: str, rows: int, columns: int, bits_allocated: int) -> None:
    """See that a compressed frame holds what its header says.

    Raises
    ------
    CodestreamError
        If it declares other sizes, or no size can be found in it. Says what was seen and expected.
    """
    if transfer_syntax == _RLE:
        _check_rle(frame, bits_allocated)
        return
    if transfer_syntax in _JPEG_FAMILY:
        declared = _of_jpeg(frame)
    elif transfer_syntax in _JPEG_2000:
        declared = _of_jpeg_2000(frame)
    else:
        return
    # Padding may follow: zeros (PS3.5 A.4), or FF of some writers. What a codestream lacks, a decoder fills
    # up without a word.
    if not frame.rstrip(b"\0\xff").endswith(_END):
        raise CodestreamError("the codestream does not end as it should: it is cut off")
    if (declared.rows, declared.columns) != (rows, columns):
        raise CodestreamError(
            f"the codestream has {declared.rows} rows of {declared.columns}, the header {rows} of {columns}"
        )
    if declared.samples != 1:
        raise CodestreamError(f"the codestream has {declared.samples} samples a pixel, one was expected")
    if declared.bits > bits_allocated:
        raise CodestreamError(
            f"the codestream has {declared.bits} bits a sample, the header allocates {bits_allocated}"
        )


def _of_jpeg(frame: bytes) -> Declared:
    if frame[:2] != b"\xff\xd8":
        raise CodestreamError("it does not begin as a JPEG or JPEG-LS codestream does")
    at = 2
    while at + 4 <= len(frame):
        if frame[at] != 0xFF:
            break
        marker = frame[at + 1]
        if marker == 0xFF:  # fill bytes (T.81 B.1.1.2)
            at += 1
            continue
        (length,) = struct.unpack_from(">H", frame, at + 2)
        if marker in _SIZES and length >= 8 and at + 10 <= len(frame):
            bits, rows, columns, samples = struct.unpack_from(">BHHB", frame, at + 4)
            return Declared(rows, columns, samples, bits)
        at += 2 + length
    raise CodestreamError("it has no JPEG frame header: it is cut off, or no JPEG")


def _of_jpeg_2000(frame: bytes) -> Declared:
    """From SIZ (ITU-T T.800 A.5.1), which follows SOC; a JP2 file around it is passed over."""
    start = 0
    if frame[4:8] == b"jP  ":
        start = frame.find(b"\xff\x4f\xff\x51")
    if start < 0 or frame[start : start + 4] != b"\xff\x4f\xff\x51" or len(frame) < start + 43:
        raise CodestreamError("it does not begin as a JPEG 2000 codestream does")
    x, y, x0, y0 = struct.unpack_from(">4I", frame, start + 8)
    (samples, bits) = struct.unpack_from(">HB", frame, start + 40)
    return Declared(y - y0, x - x0, samples, (bits & 0x7F) + 1)


def _check_rle(frame: bytes, bits_allocated: int) -> None:
    """The header of 64 bytes (PS3.5 G.5): one segment a byte of a sample, in ascending places."""
    if len(frame) < 64:
        raise CodestreamError(f"it has {len(frame)} bytes, an RLE header alone has 64")
    number, *offsets = struct.unpack_from("<16I", frame)
    if number != bits_allocated // 8:
        raise CodestreamError(f"it has {number} RLE segments, {bits_allocated // 8} were expected")
    places = offsets[:number]
    if places != sorted(set(places)) or places[0] < 64 or places[-1] >= len(frame):
        raise CodestreamError("its RLE segments lie outside it")
