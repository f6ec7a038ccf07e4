"""Stored values of one file, frame by frame, once what its header declares of them has been found to hold.

Sizes are compared with the bytes that are there, and with a limit, before anything is allocated; a
compressed frame is asked for its own size before a decoder sees it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames, parse_basic_offsets
from pydicom.pixels import iter_pixels, pixel_array
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from spine_node.bounded import Bounded
from spine_node.dicom.codestreams import check
from spine_node.dicom.frames import Frame, frame_count, is_multiframe
from spine_node.dicom.headers import read_with_pixels
from spine_node.errors import SeriesRefused

MAX_VOLUME_BYTES = 4 << 30
"""Of grey values of one series: 2000 slices of 1024 x 1024 as int16. No upright device makes more than a
quarter of it; twice it is the memory that a worker should have."""

_DEFLATE_RATIO = 1032
"""Deflate makes no more of a byte (zlib's technical details: 258 bytes of two bits)."""

_FRAME_BYTES = 10
"""The shortest compressed frame: an item's tag and length, and two bytes."""

_PIXEL_DATA = Tag("PixelData")
_PIXEL_DATA_BYTES = b"\xe0\x7f\x10\x00"
_PLAIN = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)


def check_declared(headers: Sequence[Dataset], paths: Sequence[Path], frames: Sequence[Frame]) -> None:
    """See that the pixels which headers declare make sense, fit a limit, and can be in their files.

    Raises
    ------
    SeriesRefused
        Says what is declared, what was expected, and of which instance.
    """
    rows, columns = frames[0].shape
    needed = len(frames) * rows * columns * np.dtype(np.int16).itemsize
    if needed > MAX_VOLUME_BYTES:
        raise SeriesRefused(
            f"series {headers[0].get('SeriesInstanceUID')} declares {len(frames)} slices of {rows} x "
            f"{columns}: {needed / 2**30:.1f} GiB of grey values, at most {MAX_VOLUME_BYTES / 2**30:g} GiB "
            "are read. It is no volume of a spine, or must be reconstructed coarser."
        )
    for header, path in zip(headers, paths, strict=True):
        syntax = transfer_syntax(header)
        if not syntax.is_transfer_syntax or syntax.is_private:
            raise SeriesRefused(
                f"Transfer Syntax UID of instance {header.get('SOPInstanceUID')} is "
                f"{str(syntax)[:64] or 'missing'}: how its pixels are encoded cannot be told; one of "
                "PS3.5 was expected."
            )
        _check_format(header)
        _check_room(header, path, rows * columns)


def stored_frames(header: Dataset, path: Path, shape: tuple[int, int]) -> Iterator[NDArray[np.generic]]:
    """Stored values of every frame of a file, in file order, each of this shape.

    Raises
    ------
    Exception
        Whatever a decoder raises on damaged pixels: `voxels` says it in words.
    """
    number, bits = frame_count(header), int(header.BitsAllocated)
    frame_bytes = shape[0] * shape[1] * bits // 8
    syntax = transfer_syntax(header)
    with path.open("rb") as file:
        if _plain_words_follow(file, header, number * frame_bytes):
            dtype = np.dtype(f"<{'i' if header.PixelRepresentation else 'u'}{bits // 8}")
            for _ in range(number):
                yield _values(np.fromfile(file, dtype, shape[0] * shape[1]).reshape(shape), header)
            return
    piecewise = is_multiframe(header) and syntax != DeflatedExplicitVRLittleEndian
    whole = read_with_pixels(path, number * frame_bytes, piecewise=piecewise)
    if _PIXEL_DATA not in whole:
        raise EOFError("it has no pixel data, or ends before they do")
    raw = whole.get_item(_PIXEL_DATA)
    if not syntax.is_compressed or syntax == DeflatedExplicitVRLittleEndian:
        size = raw.length if getattr(raw, "value", None) is None else len(cast(bytes, raw.value))
        if not number * frame_bytes <= size <= number * frame_bytes + 1:
            raise ValueError(
                f"they have {size} bytes, {number} frame(s) of {shape[0]} x {shape[1]} with {bits} bits "
                f"have {number * frame_bytes}"
            )
        frames = iter_pixels(path if piecewise else whole, raw=True, correct_unused_bits=False)
    else:
        frames = _decoded(whole, path, shape)
    for frame in frames:
        if frame.shape != shape:
            raise ValueError(f"{frame.shape} pixels decoded, {shape} expected")
        yield _values(frame, header)


def _plain_words_follow(file: BinaryIO, header: Dataset, size: int) -> bool:
    """Whether the file, gone on with where its header ended, has just the words of so many bytes.

    Most files have, and reading them so takes a tenth of the time. Of all others pydicom tells what they are.
    """
    if transfer_syntax(header) not in _PLAIN or getattr(header, "stopped_at", None) is None:
        return False
    file.seek(header.stopped_at)
    implicit, _ = header.original_encoding
    head = file.read(8 if implicit else 12)
    announced = int.from_bytes(head[-4:], "little")
    left = os.fstat(file.fileno()).st_size - file.tell()
    return head[:4] == _PIXEL_DATA_BYTES and announced in (size, size + 1) and announced <= left


def transfer_syntax(header: Dataset) -> UID:
    """Transfer Syntax UID of a file; empty where it names none."""
    meta = getattr(header, "file_meta", None)
    return UID(str((meta or {}).get("TransferSyntaxUID") or ""))


def _decoded(whole: Dataset, path: Path, shape: tuple[int, int]) -> Iterator[NDArray[np.generic]]:
    raw, syntax, number = whole.get_item(_PIXEL_DATA), transfer_syntax(whole), frame_count(whole)
    bits = int(whole.BitsAllocated)
    single = Dataset()
    single.file_meta = whole.file_meta
    for element in whole.group_dataset(0x0028):
        single[element.tag] = element
    single.NumberOfFrames = 1
    with path.open("rb") as file:
        if raw.value is None:
            file.seek(raw.value_tell)
            source = cast(BinaryIO, Bounded(file, path.stat().st_size))
            offsets = len(parse_basic_offsets(source))
            source.seek(0)
        else:
            source, offsets = raw.value, len(parse_basic_offsets(raw.value))
        if offsets not in (0, number):
            raise ValueError(f"the offset table has {offsets} entries for {number} frame(s)")
        for found, frame in enumerate(generate_frames(source, number_of_frames=number), start=1):
            if found > number:
                raise ValueError(f"more than the {number} frame(s) that are announced are there")
            check(frame, str(syntax), *shape, bits)
            single.PixelData = encapsulate([frame])
            yield pixel_array(single, raw=True, correct_unused_bits=False)


def _check_format(header: Dataset) -> None:
    uid = header.get("SOPInstanceUID")
    if header.get("SamplesPerPixel", 1) != 1 or header.get("PhotometricInterpretation") != "MONOCHROME2":
        raise SeriesRefused(
            f"instance {uid} is {header.get('PhotometricInterpretation')} with "
            f"{header.get('SamplesPerPixel')} samples a pixel; MONOCHROME2 with one was expected."
        )
    allocated, stored, high, sign = (
        header.get(k) for k in ("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation")
    )
    if allocated not in (8, 16, 32):
        raise SeriesRefused(f"BitsAllocated of instance {uid} is {allocated}; 8, 16 or 32 was expected.")
    if not isinstance(stored, int) or not 1 <= stored <= allocated or high not in (stored - 1, None):
        raise SeriesRefused(
            f"instance {uid} stores {stored} bits as far as bit {high} in {allocated}: which bits are the "
            "grey value cannot be told; High Bit one below Bits Stored, and that within Bits Allocated, were "
            "expected. The header is wrong."
        )
    if sign not in (0, 1):
        raise SeriesRefused(
            f"PixelRepresentation of instance {uid} is {sign}; 0 (unsigned) or 1 (signed) was expected."
        )


def _check_room(header: Dataset, path: Path, pixels: int) -> None:
    number, syntax, size = frame_count(header), transfer_syntax(header), path.stat().st_size
    most = size
    needed = number * pixels * int(header.BitsAllocated) // 8
    if syntax == DeflatedExplicitVRLittleEndian:
        most = size * _DEFLATE_RATIO
    elif syntax.is_compressed:
        needed = number * _FRAME_BYTES
    if needed > most:
        raise SeriesRefused(
            f"instance {header.get('SOPInstanceUID')} declares {number} frame(s) of {pixels} pixels, "
            f"{needed} bytes at least, and its file can hold {most}: its pixels are missing or cut off, or "
            "Rows, Columns, Bits Allocated or Number of Frames are wrong."
        )


def _values(frame: NDArray[np.generic], header: Dataset) -> NDArray[np.generic]:
    """Grey values of stored words: bits above Bits Stored are no part of them (PS3.5 8.1.1).

    They may repeat the sign, or hold an overlay (retired) that the header names. Anything else there means
    that Bits Stored is wrong, and cutting them off would make dark of bright.
    """
    bits, size = int(header.BitsStored), frame.dtype.itemsize
    if frame.dtype.kind not in "iu" or bits >= 8 * size:
        return frame
    signed = bool(header.PixelRepresentation)
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    least, most = int(frame.min()), int(frame.max())
    if low <= least and most <= high:
        return frame
    if (signed and least >= 0 and most < 1 << bits) or _has_overlay_bits(header):
        above = 8 * size - bits
        words = frame.astype(f"i{size}" if signed else f"u{size}")
        return np.asarray(np.right_shift(np.left_shift(words, above), above))
    raise ValueError(
        f"values from {least} to {most} do not fit the {bits} {'signed' if signed else 'unsigned'} bits that "
        "Bits Stored declares"
    )


def _has_overlay_bits(header: Dataset) -> bool:
    places = (header.get_item(Tag(group, 0x0102)) for group in range(0x6000, 0x6020, 2))
    return any(place is not None and place.value not in (None, 0, b"\0\0") for place in places)
