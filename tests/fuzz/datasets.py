"""Damaged data sets and pixel streams, through the functions the node itself uses.

    python -m tests.fuzz.datasets [--cases N] [--seed S] [--kind dataset|pixels]

Each case damages one instance of a small sound series, in one of the transfer syntaxes that are accepted,
and reads the series as the node does: the head as the receiver reads it, headers, selection, completeness,
grid, posture and age, preflight, voxels. The laws: the outcome is a volume or a refusal in words without
the patient; no other exception, no crash, no hang, no growth. Exit status 1 when one is broken.
"""

from __future__ import annotations

import argparse
import copy
import functools
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
from pydicom.encaps import generate_fragments, parse_basic_offsets

from spine_node.dicom.checks import preflight
from spine_node.dicom.posture import posture_of
from spine_node.dicom.selection import is_complete, select
from spine_node.dicom.series import age_years_of, read_headers, read_series, vertical_of
from spine_node.dicom.voxels import read_volume
from spine_node.errors import SeriesRefused
from spine_node.imaging.volume import Volume
from spine_node.network.part10 import UnreadableHeadError, read_head
from tests.dicom.small_series import grid_of, write_multiframe, write_series
from tests.fuzz.limits import Tally, run
from tests.fuzz.mutation import IDENTITY, IMPLICIT, File, apart, damage, flipped
from tests.fuzz.table import report

SHAPE = (16, 33, 37)
"""The fewest slices that are a volume, as small as JPEG 2000 takes."""

NATIVE = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99")
RLE, JPEG_LS, JPEG_2000 = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90"
JPEG_14, JPEG_14_1 = "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"
ALIKE = {
    JPEG_LS: (JPEG_LS, "1.2.840.10008.1.2.4.81"),
    JPEG_2000: (JPEG_2000, *(f"1.2.840.10008.1.2.4.{n}" for n in (91, 201, 202, 203))),
    JPEG_14_1: (JPEG_14_1, JPEG_14),
    JPEG_14: (JPEG_14, JPEG_14_1),
    RLE: (RLE,),
}
"""Under which other names a codestream may also pass."""

MARKERS = bytes.fromhex("c0 c1 c3 c4 d8 d9 da db dd e0 f7 f8 4f 51 52 5c 90 93")
"""Second bytes of markers of JPEG, JPEG-LS and JPEG 2000."""


def as_the_node(paths: list[Path]) -> Volume:
    """What the node makes of received files, from the intake's look to the voxels."""
    headers = read_headers(paths)
    select(headers)
    is_complete(headers)
    series = read_series(paths)
    preflight(series.headers)
    age_years_of(series)
    vertical_of(series)
    posture_of(series.headers[0])
    return read_volume(series)


def judged(paths: list[Path]) -> str:
    """Read files as the node does: "read", or "refused: " and the beginning of the words."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            volume = as_the_node(paths)
        except SeriesRefused as refusal:
            words = str(refusal)
            if len(words) < 30 or len(words) > 1500 or "\n" in words:
                raise AssertionError(f"no words to help anybody: {words[:300]!r}") from refusal
            if IDENTITY in words:
                raise AssertionError(f"the patient is in the words: {words[:300]!r}") from refusal
            return "refused"
    if not np.isfinite(volume.values).all() or volume.values.shape != volume.grid.shape:
        raise AssertionError("a volume with values that are no numbers")
    return "read"


def head_of(encoded: bytes, syntax: str) -> None:
    """The receiver's part of the law: four UIDs, or one exception."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            read_head(BytesIO(encoded), syntax)
        except UnreadableHeadError as refusal:
            if IDENTITY in str(refusal) or len(str(refusal)) > 1500:
                raise AssertionError(f"bad words: {str(refusal)[:300]!r}") from refusal


@functools.cache
def _folder() -> Path:
    made = Path(tempfile.mkdtemp(prefix="fuzz-"))
    import atexit

    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


def _named(ds: pydicom.Dataset, _k: int) -> None:
    ds.PatientName = ds.PatientID = IDENTITY


@functools.cache
def _sound(syntax: str, multiframe: bool) -> tuple[tuple[Path, ...], tuple[pydicom.Dataset, ...]]:
    """A sound series in this syntax: its files and their data sets. Empty where nobody here encodes it."""
    folder = _folder() / f"{syntax}-{multiframe}"
    grid = grid_of(shape=SHAPE)
    if multiframe:
        paths = [write_multiframe(folder, grid, change=_named)]
    else:
        paths = write_series(folder, grid, change=_named)
    sets = []
    for path in paths:
        if syntax in (JPEG_14, JPEG_14_1):
            if shutil.which("dcmcjpeg") is None:
                return (), ()
            subprocess.run(["dcmcjpeg", "+el" if syntax == JPEG_14 else "+e1", path, path], check=True)
            ds = pydicom.dcmread(path)
        else:
            ds = pydicom.dcmread(path)
            if syntax in (RLE, JPEG_LS, JPEG_2000):
                ds.compress(syntax, generate_instance_uid=False)
            else:
                ds.file_meta.TransferSyntaxUID = syntax
            ds.save_as(path, enforce_file_format=True)
        sets.append(ds)
    return tuple(paths), tuple(sets)


@functools.cache
def _taken_apart(syntax: str, multiframe: bool, index: int) -> File:
    ds = _sound(syntax, multiframe)[1][index]
    meta = apart(ds.file_meta)
    return File(meta, apart(ds), syntax if syntax in NATIVE else NATIVE[0])


def dataset(seed: int, number: int) -> str:
    """One damaged data set."""
    rng = random.Random(f"{seed}/dataset/{number}")
    multiframe = rng.random() < 0.6
    syntax = rng.choice((*NATIVE, *NATIVE, RLE, JPEG_LS))
    paths, _ = _sound(syntax, multiframe)
    index = rng.randrange(len(paths))
    file = copy.deepcopy(_taken_apart(syntax, multiframe, index))
    if syntax not in NATIVE:
        _encapsulate(file, *_fragments(syntax, multiframe, index))
    damage(file, rng)
    head_of(file.encoded(), rng.choice((file.syntax, file.syntax, NATIVE[0], IMPLICIT, NATIVE[2])))
    return _with(paths, index, file.written())


def pixels(seed: int, number: int) -> str:
    """One damaged pixel stream."""
    rng = random.Random(f"{seed}/pixels/{number}")
    multiframe = rng.random() < 0.6
    known = [s for s in (RLE, JPEG_LS, JPEG_2000, JPEG_14, JPEG_14_1) if _sound(s, multiframe)[0]]
    syntax = rng.choice((*known, *known, *NATIVE[:1], NATIVE[2]))
    paths, _ = _sound(syntax, multiframe)
    index = rng.randrange(len(paths))
    file = copy.deepcopy(_taken_apart(syntax, multiframe, index))
    if syntax in NATIVE:
        _damage_native(file, rng)
    else:
        name = rng.choice(ALIKE[syntax])
        for element in file.meta:
            if element.tag == 0x00020010:
                element.value = name.encode() + b"\0" * (len(name) % 2)
        offsets, fragments = _fragments(syntax, multiframe, index)
        fragments = list(fragments)
        for _ in range(rng.choice((1, 1, 2, 3))):
            _damage_fragments(fragments, offsets := list(offsets), rng)
        _encapsulate(file, offsets, fragments)
        if rng.random() < 0.2:
            _damage_frame(file, rng)
    return _with(paths, index, file.written())


def _with(paths: tuple[Path, ...], index: int, raw: bytes) -> str:
    """The outcome with this file in the place of the sound one."""
    strange = paths[index].with_name("strange.bin")
    strange.write_bytes(raw)
    others = [*paths[:index], *paths[index + 1 :]]
    place = 0 if index % 2 else len(others)  # what the first header says counts for more
    return judged([*others[:place], strange, *others[place:]])


@functools.cache
def _fragments(syntax: str, multiframe: bool, index: int) -> tuple[tuple[int, ...], tuple[bytes, ...]]:
    raw = BytesIO(_sound(syntax, multiframe)[1][index].PixelData)
    return tuple(parse_basic_offsets(raw)), tuple(generate_fragments(raw))


def _encapsulate(file: File, offsets: Sequence[int], fragments: Sequence[bytes]) -> None:
    table = struct.pack(f"<{len(offsets)}I", *(o & 0xFFFFFFFF for o in offsets))
    raw = b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(f)) + f for f in (table, *fragments))
    for element in file.elements:
        if element.tag == 0x7FE00010:
            element.vr, element.length = "OB", 0xFFFFFFFF
            element.value = raw + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


def _damage_native(file: File, rng: random.Random) -> None:
    for element in file.elements:
        if element.tag == 0x7FE00010 and isinstance(element.value, bytes):
            value = element.value
            at = rng.randrange(len(value))
            others = (b"", value[:at], value * 2, value + b"\0" * 2, bytes(len(value)), value[:1])
            element.value = rng.choice((*others, flipped(value, rng)))
            element.vr = rng.choice(("OW", "OW", "OB", "UN", "US"))
    _damage_frame(file, rng)


def _damage_frame(file: File, rng: random.Random) -> None:
    """The header says something else of the pixels."""
    changes = {
        0x00280010: (0, 1, 32, 34, 66, 65535),
        0x00280011: (0, 1, 36, 38, 74, 65535),
        0x00280100: (1, 8, 12, 16, 32, 64),
        0x00280101: (0, 1, 8, 12, 15, 16, 17),
        0x00280102: (0, 7, 11, 14, 15, 16),
        0x00280103: (0, 1, 2),
        0x00280002: (1, 3, 4),
    }
    tag = rng.choice(list(changes))
    for element in file.elements:
        if element.tag == tag:
            element.value = struct.pack("<H", rng.choice(changes[tag]))


def _damage_fragments(fragments: list[bytes], offsets: list[int], rng: random.Random) -> None:
    kind = rng.randrange(14)
    if not fragments:
        return
    at = rng.randrange(len(fragments))
    if kind == 0:
        del fragments[at]
    elif kind == 1:
        fragments.insert(at, rng.choice((b"", b"\0\0", fragments[at])))
    elif kind == 2:
        middle = rng.randrange(len(fragments[at]) + 1)
        fragments[at : at + 1] = [fragments[at][:middle], fragments[at][middle:]]
    elif kind == 3 and len(fragments) > 1:
        fragments[:2] = [fragments[0] + fragments[1]]
    elif kind == 4:
        fragments[at] = fragments[at][: rng.randrange(len(fragments[at]) + 1)]
    elif kind == 5:
        fragments[at] = rng.randbytes(rng.choice((1, 2, 63, 64, 500)))
    elif kind == 6:
        offsets[:] = [rng.getrandbits(32) for _ in range(rng.choice((1, len(fragments), 300)))]
    elif kind == 7:
        offsets[:] = []
    elif kind == 8 and len(fragments[at]) > 20:
        place = rng.randrange(2, len(fragments[at]) - 2)
        marker = bytes((0xFF, rng.choice(MARKERS))) + rng.randbytes(rng.choice((0, 2, 6)))
        behind = place + len(marker) * rng.randrange(2)
        fragments[at] = fragments[at][:place] + marker + fragments[at][behind:]
    elif kind == 9:
        fragments[at] = _resized(fragments[at], rng)
    else:
        head = min(len(fragments[at]), rng.choice((70, 200, 100000)))
        fragments[at] = flipped(fragments[at][:head], rng) + fragments[at][head:]


def _resized(codestream: bytes, rng: random.Random) -> bytes:
    """A codestream that declares other sizes: in a JPEG or JPEG-LS frame header, in SIZ, in an RLE header."""
    out = bytearray(codestream)
    for marker, first in ((b"\xff\xc3", 4), (b"\xff\xf7", 4), (b"\xff\x51", 4)):
        at = codestream.find(marker)
        if at >= 0:
            place = at + first + rng.randrange(0, 40 if marker == b"\xff\x51" else 12)
            size = rng.choice((1, 2, 4))
            out[place : place + size] = rng.choice((b"\xff" * size, b"\0" * size, rng.randbytes(size)))
            return bytes(out)
    place = 4 * rng.randrange(16)
    out[place : place + 4] = struct.pack("<I", rng.choice((0, 1, 3, 64, 0xFFFFFFFF, rng.getrandbits(16))))
    return bytes(out)


KINDS = {"dataset": dataset, "pixels": pixels}


def main() -> None:
    """Run the campaign."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=8000, help="of each kind (default 8000)")
    parser.add_argument("--seed", type=int, default=1, help="default 1; a case is named by seed and number")
    parser.add_argument("--kind", choices=KINDS, help="one kind only")
    parser.add_argument("--case", type=int, help="run this one case here, and raise what it raises")
    asked = parser.parse_args()
    kinds = {asked.kind: KINDS[asked.kind]} if asked.kind else KINDS
    if asked.case is not None:
        print({kind: target(asked.seed, asked.case) for kind, target in kinds.items()})
        return
    tallies: dict[str, Tally] = {}
    for kind, target in kinds.items():
        tallies[kind] = run(kind, target, asked.seed, asked.cases)
    sys.exit(report(tallies))


if __name__ == "__main__":
    main()
