"""Reading no more of a data set than its UIDs, whatever comes before and after them."""

from __future__ import annotations

import zlib
from io import BytesIO

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset, write_file_meta_info

from spine_node.network import part10
from spine_node.network.contexts import DEFLATED_LITTLE, EXPLICIT_LITTLE, IMPLICIT_LITTLE
from spine_node.network.part10 import Head, UnreadableHeadError, file_header, read_head

HEAD = Head("1.2.840.10008.5.1.4.1.1.2", "1.2.3.4", "1.2.3", "1.2.3.5")


def a_data_set(**more: object) -> Dataset:
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = HEAD.sop_class_uid, HEAD.sop_uid
    ds.StudyInstanceUID, ds.SeriesInstanceUID = HEAD.study_uid, HEAD.series_uid
    ds.PatientName, ds.Rows = "A^B", 2
    for keyword, value in more.items():
        setattr(ds, keyword, value)
    return ds


def encode(ds: Dataset, transfer_syntax: str) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = transfer_syntax == IMPLICIT_LITTLE, True
    write_dataset(buffer, ds)
    if transfer_syntax != DEFLATED_LITTLE:
        return buffer.getvalue()
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflater.compress(buffer.getvalue()) + deflater.flush()


SYNTAXES = [IMPLICIT_LITTLE, EXPLICIT_LITTLE, DEFLATED_LITTLE]


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_the_uids_are_found(syntax: str) -> None:
    assert read_head(BytesIO(encode(a_data_set(), syntax)), syntax) == HEAD


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("undefined_length", [True, False])
def test_sequences_before_the_uids_are_stepped_over(syntax: str, undefined_length: bool) -> None:
    """Also when they hold UIDs of other instances under the same tags."""
    other = Dataset()
    other.SOPInstanceUID, other.SeriesInstanceUID = "9.9", "9.8"
    inner = Dataset()
    inner.SOPInstanceUID, inner.ReferencedSeriesSequence = "9.7", [other]
    ds = a_data_set(ReferencedImageSequence=[inner, inner])
    ds.add_new(0x00090010, "LO", "A MAKER")
    ds.add_new(0x00091001, "SQ", [inner])
    for tag in (0x00081140, 0x00091001):
        ds[tag].is_undefined_length = undefined_length
        for item in ds[tag].value:
            item.is_undefined_length_sequence_item = undefined_length
    assert read_head(BytesIO(encode(ds, syntax)), syntax) == HEAD


@pytest.mark.parametrize("syntax", [IMPLICIT_LITTLE, EXPLICIT_LITTLE])
def test_nothing_after_the_uids_is_read(syntax: str) -> None:
    """Pixels may be gigabytes: what follows the head may even be missing."""
    ds = a_data_set()
    ds.add_new(0x7FE00010, "OW", b"\1\2" * 500_000)
    whole = encode(ds, syntax)
    assert read_head(BytesIO(whole[:-999_990]), syntax) == HEAD
    reader = BytesIO(whole)
    assert read_head(reader, syntax) == HEAD
    assert reader.tell() <= 1 << 16


def test_a_deflated_head_far_into_the_data_set_is_found() -> None:
    ds = a_data_set()
    ds.add_new(0x00090010, "LO", "A MAKER")
    ds.add_new(0x00091001, "OB", bytes(3 << 20))
    assert read_head(BytesIO(encode(ds, DEFLATED_LITTLE)), DEFLATED_LITTLE) == HEAD


def test_a_deflated_data_set_that_grows_without_end_is_not_followed_to_it() -> None:
    ds = Dataset()
    ds.add_new(0x00090010, "LO", "A MAKER")
    ds.add_new(0x00091001, "OB", bytes(40 << 20))
    ds.SeriesInstanceUID = "1.2"
    with pytest.raises(UnreadableHeadError, match="it inflates to more than 16777216 bytes"):
        read_head(BytesIO(encode(ds, DEFLATED_LITTLE)), DEFLATED_LITTLE)


@pytest.mark.parametrize("syntax", [IMPLICIT_LITTLE, EXPLICIT_LITTLE])
def test_the_quick_reading_of_plain_heads_agrees_with_pydicom(syntax: str) -> None:
    """Cut anywhere, and with any byte changed, it says what pydicom says, or leaves it to pydicom."""
    whole = encode(
        a_data_set(AccessionNumber="A-17", StudyDate="20260102", ReferencedImageSequence=[]), syntax
    )
    implicit, agreed = syntax == IMPLICIT_LITTLE, 0
    random = np.random.default_rng(0)
    for n in range(2000):
        changed = bytearray(whole if n % 2 else whole[: random.integers(len(whole))])
        if changed and n > 500:
            changed[random.integers(len(changed))] = random.integers(256)
        quick = part10._plain(bytes(changed), implicit=implicit)
        if quick is not None:
            agreed += 1
            assert quick == part10._parse(BytesIO(changed), implicit=implicit), bytes(changed)
    assert agreed > 500
    assert part10._plain(whole, implicit=implicit).accession_number == "A-17"


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("sop_uid", ["1.2.3", "1.2.34", "2.25." + "1" * 59])
def test_the_file_header_is_what_pydicom_writes(syntax: str, sop_uid: str) -> None:
    """A re-sent instance must give the same file, whichever version of us wrote the first."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = HEAD.sop_class_uid, sop_uid
    meta.TransferSyntaxUID, meta.ImplementationClassUID = syntax, part10.IMPLEMENTATION_CLASS_UID
    meta.ImplementationVersionName = part10.IMPLEMENTATION_VERSION
    buffer = DicomBytesIO()
    write_file_meta_info(buffer, meta)
    assert file_header(HEAD.sop_class_uid, sop_uid, syntax) == bytes(128) + b"DICM" + buffer.getvalue()


def test_what_is_absent_is_empty() -> None:
    ds = a_data_set()
    del ds.SeriesInstanceUID, ds.SOPInstanceUID
    head = read_head(BytesIO(encode(ds, EXPLICIT_LITTLE)), EXPLICIT_LITTLE)
    assert head == Head(HEAD.sop_class_uid, "", HEAD.study_uid, "")
    assert read_head(BytesIO(b""), EXPLICIT_LITTLE) == Head("", "", "", "")


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize(
    "garbage", [b"\x08\x00\x16\x00ZZ", b"\xff" * 300, bytes(range(256)) * 4, b"hello, world"]
)
def test_what_is_no_data_set_is_refused_or_has_no_uids(syntax: str, garbage: bytes) -> None:
    """Never another exception: this runs while a sender waits for an answer."""
    try:
        head = read_head(BytesIO(garbage), syntax)
    except UnreadableHeadError:
        return
    assert not head.series_uid


def test_bytes_that_are_not_deflated_are_refused_with_the_reason() -> None:
    with pytest.raises(UnreadableHeadError, match="not deflated as its transfer syntax says"):
        read_head(BytesIO(encode(a_data_set(), EXPLICIT_LITTLE)), DEFLATED_LITTLE)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_header_and_data_set_are_a_dicom_file(syntax: str) -> None:
    raw = file_header(HEAD.sop_class_uid, HEAD.sop_uid, syntax) + encode(a_data_set(), syntax)
    ds = dcmread(BytesIO(raw))
    assert ds.file_meta.TransferSyntaxUID == syntax
    assert (ds.SOPInstanceUID, ds.file_meta.MediaStorageSOPInstanceUID) == (HEAD.sop_uid, HEAD.sop_uid)
    assert (ds.PatientName, ds.Rows) == ("A^B", 2)


def test_the_header_depends_on_nothing_but_the_instance() -> None:
    """Else an instance that is sent again, after an upgrade or by another sender, looks changed."""
    raw = file_header(HEAD.sop_class_uid, HEAD.sop_uid, EXPLICIT_LITTLE)
    keywords = {element.keyword for element in dcmread(BytesIO(raw), force=True).file_meta}
    assert keywords == {
        "FileMetaInformationGroupLength",
        "FileMetaInformationVersion",
        "MediaStorageSOPClassUID",
        "MediaStorageSOPInstanceUID",
        "TransferSyntaxUID",
        "ImplementationClassUID",
        "ImplementationVersionName",
    }
