"""Small series with one thing wrong, as files: what pydicom writes, and what it would not."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.encaps import generate_fragments

from tests.dicom.small_series import Change, grid_of, write_multiframe, write_series

SHAPE = (16, 33, 37)
"""The fewest slices that are a volume, as small as JPEG 2000 takes."""

PATIENT = "Nemo^Captain"

Maker = Callable[[Path], None]


def slices(change: Change | None = None) -> Maker:
    """A series of single slices, each changed before it is written."""

    def named(ds: Dataset, k: int) -> None:
        ds.PatientName = PATIENT
        if change is not None:
            change(ds, k)

    return lambda folder: write_series(folder, grid_of(shape=SHAPE), change=named) and None


def frames(change: Callable[[Dataset], None] | None = None) -> Maker:
    """The same volume in one multi-frame file."""

    def named(ds: Dataset, _k: int) -> None:
        ds.PatientName = PATIENT
        if change is not None:
            change(ds)

    return lambda folder: write_multiframe(folder, grid_of(shape=SHAPE), change=named) and None


def every(**elements: object) -> Maker:
    """Elements of every slice; None deletes."""
    return slices(lambda ds, _k: put(ds, elements))


def one(k: int = 7, **elements: object) -> Maker:
    """Elements of one slice; None deletes."""
    return slices(lambda ds, at: put(ds, elements) if at == k else None)


def put(ds: Dataset, elements: dict[str, object]) -> None:
    for keyword, value in elements.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)


def raw(old: bytes, new: bytes, file: str = "0008.dcm", maker: Maker | None = None) -> Maker:
    """Bytes of a file replaced once: what pydicom would not write."""

    def make(folder: Path) -> None:
        (maker or slices())(folder)
        content = (folder / file).read_bytes()
        assert old in content
        (folder / file).write_bytes(content.replace(old, new, 1))

    return make


def element(keyword: str, vr: bytes, value: bytes, length: int | None = None) -> Maker:
    """One slice whose element has this VR, value and length, whatever they mean."""
    tag = pydicom.tag.Tag(keyword)
    head = struct.pack("<HH", tag.group, tag.elem)

    def make(folder: Path) -> None:
        slices()(folder)
        path = folder / "0008.dcm"
        content = path.read_bytes()
        at = content.index(head + pydicom.datadict.dictionary_VR(tag).encode())
        (size,) = struct.unpack_from("<H", content, at + 6)
        new = head + vr + struct.pack("<H", len(value) if length is None else length) + value
        path.write_bytes(content[:at] + new + content[at + 8 + size :])

    return make


def before_pixels(inserted: bytes, file: str = "0008.dcm") -> Maker:
    """Bytes put in front of the pixels of one file."""

    def make(folder: Path) -> None:
        slices()(folder)
        content = (folder / file).read_bytes()
        at = content.index(b"\xe0\x7f\x10\x00O")
        (folder / file).write_bytes(content[:at] + inserted + content[at:])

    return make


def edited(edit: Callable[[bytes], bytes]) -> Maker:
    """One file as another one."""

    def make(folder: Path) -> None:
        slices()(folder)
        (folder / "0008.dcm").write_bytes(edit((folder / "0008.dcm").read_bytes()))

    return make


def beside(name: str, content: bytes) -> Maker:
    """A sound series, and a file that is none of it."""

    def make(folder: Path) -> None:
        slices()(folder)
        (folder / name).write_bytes(content)

    return make


def without(numbers: range) -> Maker:
    """Some of the slices did not come."""

    def make(folder: Path) -> None:
        slices()(folder)
        for number in numbers:
            (folder / f"{number + 1:04d}.dcm").unlink()

    return make


def resyntaxed(syntax: str | None, maker: Maker | None = None) -> Maker:
    """One file says that it is in this transfer syntax, or does not say; its data set stays as it is."""

    def make(folder: Path) -> None:
        (maker or slices())(folder)
        path = folder / "0008.dcm"
        meta, content = pydicom.filereader.read_file_meta_info(path), path.read_bytes()
        body = content[132 + 12 + meta.FileMetaInformationGroupLength :]
        del meta.FileMetaInformationGroupLength, meta.TransferSyntaxUID
        if syntax is not None:
            meta.TransferSyntaxUID = syntax
        with path.open("wb") as file:
            file.write(b"\0" * 128 + b"DICM")
            pydicom.filewriter.write_file_meta_info(file, meta, enforce_standard=False)
            file.write(body)

    return make


def nested(depth: int, *, undefined: bool, group: int = 0x5201) -> bytes:
    """Sequences inside sequences, in private elements."""
    tag = struct.pack("<HH", group, 0x1030)
    if undefined:
        opened = tag + b"SQ\0\0" + b"\xff" * 4 + b"\xfe\xff\x00\xe0" + b"\xff" * 4
        return opened * depth + (b"\xfe\xff\x0d\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0") * depth
    inside = b""
    for _ in range(depth):
        item = b"\xfe\xff\x00\xe0" + struct.pack("<I", len(inside)) + inside
        inside = tag + b"SQ\0\0" + struct.pack("<I", len(item)) + item
    return inside


def compressed(syntax: str, change: Callable[[list[bytes]], object], multiframe: bool = False) -> Maker:
    """One file in a compressed syntax, its fragments changed."""

    def make(folder: Path) -> None:
        (frames() if multiframe else slices())(folder)
        path = folder / ("multiframe.dcm" if multiframe else "0008.dcm")
        ds = pydicom.dcmread(path)
        ds.compress(syntax, generate_instance_uid=False)
        fragments = list(generate_fragments(ds.PixelData))[1:]
        change(fragments)
        items = [struct.pack("<HHI", 0xFFFE, 0xE000, len(f)) + f for f in (b"", *fragments)]
        ds.PixelData = b"".join(items) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
        ds["PixelData"].is_undefined_length = True
        ds.save_as(path)

    return make


def swap(old: bytes, new: bytes) -> Callable[[list[bytes]], object]:
    """Bytes of the first fragment replaced."""

    def change(fragments: list[bytes]) -> None:
        assert old in fragments[0]
        fragments[0] = fragments[0].replace(old, new, 1)

    return change


def garbage(fragments: list[bytes]) -> None:
    fragments[0] = np.random.default_rng(1).bytes(len(fragments[0]) // 2 * 2)


def half(fragments: list[bytes]) -> None:
    fragments[0] = fragments[0][: len(fragments[0]) // 4 * 2]


def two_series(folder: Path) -> None:
    slices()(folder / "a")
    slices(lambda ds, k: put(ds, {"SeriesInstanceUID": "2.25.7", "SOPInstanceUID": f"2.25.9{k}"}))(
        folder / "b"
    )


def copies(change: Change | None) -> Maker:
    """Some instances twice, under other file names; the second perhaps changed."""

    def make(folder: Path) -> None:
        slices()(folder / "a")
        slices(change)(folder / "b")
        for path in sorted((folder / "b").iterdir())[3:]:
            path.unlink()

    return make


def renamed_copies(folder: Path) -> None:
    slices()(folder / "a")
    slices(lambda ds, k: put(ds, {"SOPInstanceUID": f"2.25.9{k}"}))(folder / "b")


def group(ds: Dataset, number: int = 3) -> Dataset:
    return ds.PerFrameFunctionalGroupsSequence[number]


def big_endian(folder: Path) -> None:
    """Retired in 2006, never accepted over the network, still on old discs."""
    slices()(folder)
    for path in folder.iterdir():
        ds = pydicom.dcmread(path)
        ds.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRBigEndian
        ds.PixelData = np.frombuffer(ds.PixelData, "<i2").astype(">i2").tobytes()
        pydicom.dcmwrite(path, ds, implicit_vr=False, little_endian=False, force_encoding=True)


def overlay_bits(ds: Dataset, _k: int) -> None:
    ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 10, 9, 0
