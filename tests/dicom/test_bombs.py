"""Little that claims to be much: found out before memory or time is spent on it."""

from __future__ import annotations

import multiprocessing
import re
import resource
import struct
import time
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import psutil
import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian

from spine_node.dicom.selection import is_complete, select
from spine_node.dicom.series import read_headers, read_series
from spine_node.dicom.voxels import read_volume
from spine_node.errors import SeriesRefused
from spine_node.network.part10 import UnreadableHeadError, read_head
from tests.dicom.bad_series import SHAPE, nested, slices
from tests.dicom.small_series import grid_of, write_multiframe, write_series

MEMORY = 400 << 20
"""What a process may take beyond its modules."""

PATIENCE_S = 120.0
"""Of processor time; twenty times what is needed, a fifth of what no limit would need."""


def deflated(before: bytes, filler: bytes, times: int, after: bytes) -> bytes:
    """Raw deflate of `before`, many times `filler`, and `after`; as quick for gigabytes as for one."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    head = packer.compress(before) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(filler) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + block * times + packer.compress(after) + packer.flush()


def deflate_file(path: Path, insert_at: bytes, element: bytes, filler_mb: int) -> None:
    """Deflate a file with this element and so much behind it, before the bytes `insert_at`."""
    ds = pydicom.dcmread(path)
    meta, content = ds.file_meta, path.read_bytes()
    body = content[132 + 12 + meta.FileMetaInformationGroupLength :]
    at = body.index(insert_at)
    meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    with path.open("wb") as file:
        file.write(b"\0" * 128 + b"DICM")
        pydicom.filewriter.write_file_meta_info(file, meta)
        file.write(deflated(body[:at] + element, bytes(1 << 20), filler_mb, body[at:]))


def inside(pipe: object, work: Callable[[Path], None], folder: Path) -> None:
    used = psutil.Process().memory_info().vms + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (used, used))
    began = time.process_time()
    try:
        work(folder)
        said = "read"
    except (SeriesRefused, UnreadableHeadError) as refusal:
        said = str(refusal)
    pipe.send((said, time.process_time() - began))  # type: ignore[attr-defined]


def limited(work: Callable[[Path], None], folder: Path) -> str:
    """What a process with little memory and time says: the words of a refusal, or "read"."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=inside, args=(theirs, work, folder))
    process.start()
    theirs.close()
    try:
        assert ours.poll(6 * PATIENCE_S), "it hangs"
        said, seconds = ours.recv()
    except EOFError:
        process.join()
        pytest.fail(f"the process ended with {process.exitcode}")
    finally:
        process.kill()
        process.join()
    assert seconds < PATIENCE_S
    return str(said)


def node(folder: Path) -> None:
    """As the node reads, from the received files to grey values."""
    paths = sorted(folder.iterdir())
    headers = read_headers(paths)
    select(headers)
    is_complete(headers)
    read_volume(read_series(paths))


def head(folder: Path) -> None:
    """As the receiver reads while a sender waits."""
    path = folder / "0001.dcm"
    meta, content = pydicom.filereader.read_file_meta_info(path), path.read_bytes()
    body = content[132 + 12 + meta.FileMetaInformationGroupLength :]
    read_head(BytesIO(body), str(meta.TransferSyntaxUID))


PIXELS = b"\xe0\x7f\x10\x00O"
PRIVATE = b"\x01\x52\x30\x10OB\0\0"
EARLY_PRIVATE = b"\x09\x00\x30\x10OB\0\0"


@pytest.mark.parametrize(
    ("at", "element", "work", "words"),
    [
        (
            PIXELS,
            PRIVATE + struct.pack("<I", 3 << 30),
            node,
            "ends beyond|inflates to more than 33554432 bytes",
        ),
        (PIXELS, PRIVATE + struct.pack("<I", 3 << 20), node, "elements|inflates to more"),
        (
            b"\x10\0\x10\0PN",
            EARLY_PRIVATE + struct.pack("<I", 3 << 30),
            head,
            "inflates to more than 16777216",
        ),
    ],
    ids=["a private element of 3 GB", "a header without end", "3 GB before the UIDs"],
)
def test_a_deflated_bomb_is_not_inflated(
    at: bytes, element: bytes, work: Callable[[Path], None], words: str, tmp_path: Path
) -> None:
    """3 GB in 3 MB: neither the receiver nor the reader of headers follows it further than its limit."""
    slices()(tmp_path)
    deflate_file(tmp_path / "0001.dcm", at, element, 3072)
    assert (tmp_path / "0001.dcm").stat().st_size < 8 << 20
    said = limited(work, tmp_path)
    assert re.search(words, said), said


def test_a_deflated_bomb_behind_or_in_the_pixels_is_not_inflated(tmp_path: Path) -> None:
    slices()(tmp_path)
    path = tmp_path / "0001.dcm"
    content = path.read_bytes()
    at = content.index(PIXELS) + 8
    path.write_bytes(content[:at] + struct.pack("<I", 3 << 30) + content[at + 4 :])
    ds_end = content[-100:]
    deflate_file(path, ds_end, b"", 3072)
    assert "cannot be decoded" in limited(node, tmp_path)


@pytest.mark.parametrize("undefined", [True, False])
def test_sequences_nested_ten_thousand_deep(undefined: bool, tmp_path: Path) -> None:
    slices()(tmp_path)
    path = tmp_path / "0001.dcm"
    content = path.read_bytes()
    for place, work in ((PIXELS, node), (b"\x10\0\x10\0PN", head)):
        at = content.index(place)
        bomb = nested(10_000, undefined=undefined, group=0x5201 if work is node else 9)
        path.write_bytes(content[:at] + bomb + content[at:])
        said = limited(work, tmp_path)
        expected = "nested too deep" if undefined else "read"
        assert expected in said, (work, said)


def test_declared_sizes_are_compared_with_what_is_there(tmp_path: Path) -> None:
    write_multiframe(tmp_path, grid_of(shape=SHAPE), change=lambda ds, _k: _grow(ds))
    assert "GiB of grey values, at most 4 GiB are read" in limited(node, tmp_path)


def _grow(ds: pydicom.Dataset) -> None:
    ds.Rows = ds.Columns = 65535


def test_many_slices_are_read_in_bounded_time_and_memory(tmp_path: Path) -> None:
    """Headers of all are held at once, and voxels in one volume."""
    paths = write_series(tmp_path, grid_of(shape=(16, 8, 8)))
    content = paths[0].read_bytes()
    for path in paths:
        path.unlink()
    uid, place = b"2.25.1040000", b"-31.0\\17.0\\205.0"
    assert uid in content
    assert place in content
    for k in range(400):
        new = content.replace(uid, b"2.25.%07d" % (1040000 + k))
        (tmp_path / f"{k:05d}.dcm").write_bytes(new.replace(place, b"-31.0\\17.0\\%05.1f" % (k * 0.2)))
    assert limited(node, tmp_path) == "read"
