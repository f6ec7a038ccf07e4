"""Results belong to the patient and study of their source, byte for byte, and are named after their input."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from spine_node.dicom.identity import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION,
    content_moment,
    copy_identity,
    finish,
    result_uid,
    series_number,
)
from spine_node.dicom.seg import write_seg
from spine_node.dicom.series import read_series
from spine_node.network import part10
from spine_node.segmentation.segmenter import ModelIdentity, Segmentation
from tests.dicom.small_series import grid_of, labels_of, write_multiframe, write_series

MODEL = ModelIdentity("toy-net", "1.2", "ab" * 32)

NAMES = {
    "ISO_IR 100": ("Müller^Jürgen", "latin_1"),
    "ISO_IR 192": ("Wang^XiaoDong=王^小东", "utf_8"),
    "GB18030": ("Wang^XiaoDong=王^小东", "gb18030"),
    "ISO_IR 144": ("Люкceмбypг", "iso8859_5"),
    "\\ISO 2022 IR 87": ("Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", "ascii"),
}
"""A name in each character set, and how its bytes are made (PS3.5 H and J)."""


def element(tag: tuple[int, int], vr: bytes, value: bytes) -> bytes:
    """A short element as explicit VR little endian writes it."""
    value += b" " * (len(value) % 2)
    head = tag[0].to_bytes(2, "little") + tag[1].to_bytes(2, "little") + vr
    return head + len(value).to_bytes(2, "little") + value


def with_name(path: Path, charset: str) -> bytes:
    """Put a name into a file as another system would have written it; gives the encoded element."""
    name, codec = NAMES[charset]
    planted = element((0x10, 0x10), b"PN", name.encode(codec))
    body = path.read_bytes()
    for old, new in (
        (element((8, 5), b"CS", b"ISO_IR 100"), element((8, 5), b"CS", charset.encode())),
        (element((0x10, 0x10), b"PN", b"Test^Series"), planted),
    ):
        assert body.count(old) == 1
        body = body.replace(old, new)
    path.write_bytes(body)
    return planted


@pytest.mark.parametrize("charset", list(NAMES))
@pytest.mark.parametrize("multiframe", [False, True])
def test_a_name_in_any_character_set_arrives_as_it_was(
    charset: str, multiframe: bool, tmp_path: Path
) -> None:
    """Archives refuse results whose patient differs in one byte, or in the character set."""
    grid = grid_of()
    paths = [write_multiframe(tmp_path / "ct", grid)] if multiframe else write_series(tmp_path / "ct", grid)
    planted = {with_name(path, charset) for path in paths}
    series = read_series(tmp_path / "ct")
    seg = write_seg(series, Segmentation(labels_of(series.grid), MODEL), software_version="9.9")
    seg.save_as(tmp_path / "seg.dcm", enforce_file_format=True)
    written = (tmp_path / "seg.dcm").read_bytes()
    assert planted.pop() in written
    assert element((8, 5), b"CS", charset.encode()) in written
    assert str(pydicom.dcmread(tmp_path / "seg.dcm").PatientName) == str(
        pydicom.dcmread(paths[0]).PatientName
    )


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_the_encoding_of_the_source_does_not_matter(syntax: str, tmp_path: Path) -> None:
    for path in write_series(tmp_path / "ct", grid_of()):
        planted = with_name(path, "GB18030")
        ds = pydicom.dcmread(path)
        ds.file_meta.TransferSyntaxUID = syntax
        ds.save_as(path, enforce_file_format=True)
    series = read_series(tmp_path / "ct")
    seg = write_seg(series, Segmentation(labels_of(series.grid), MODEL), software_version="9.9")
    seg.save_as(tmp_path / "seg.dcm", enforce_file_format=True)
    assert planted in (tmp_path / "seg.dcm").read_bytes()


def test_identifiers_and_their_issuers_are_copied() -> None:
    source, issuer, other = Dataset(), Dataset(), Dataset()
    issuer.UniversalEntityID, issuer.UniversalEntityIDType = "1.2.3", "ISO"
    other.PatientID, other.TypeOfPatientID = "X-9", "TEXT"
    source.PatientID, source.IssuerOfPatientID = " 0042", "HOSP A"
    source.IssuerOfPatientIDQualifiersSequence = [issuer]
    source.OtherPatientIDsSequence = [other]
    source.AccessionNumber, source.IssuerOfAccessionNumberSequence = "A 7", [issuer]
    source.StudyID, source.StudyInstanceUID = "S1", "2.25.1"
    source.StudyDate, source.PatientAge, source.PatientWeight = "20200101", "017Y", "61.50"
    target = Dataset()
    target.PatientID, target.PatientName = "wrong", "Wrong^One"
    copy_identity(source, target)
    for each in source:
        assert target[each.tag] == each, each.keyword
    assert target.PatientName == ""
    assert target.PatientSex == ""


def test_what_the_source_does_not_tell_is_empty_not_invented() -> None:
    target = Dataset()
    copy_identity(Dataset(), target)
    assert {e.keyword for e in target} == {
        "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate", "StudyTime",
        "AccessionNumber", "ReferringPhysicianName",
    }  # fmt: skip
    assert all(not e.value for e in target)


def test_copying_leaves_the_source_alone() -> None:
    source, item = Dataset(), Dataset()
    item.PatientID = "X"
    source.OtherPatientIDsSequence = [item]
    target = Dataset()
    copy_identity(source, target)
    target.OtherPatientIDsSequence[0].PatientID = "changed"
    assert source.OtherPatientIDsSequence[0].PatientID == "X"


def test_a_result_is_named_after_everything_that_made_it() -> None:
    base = ("seg", ["1.2", "1.3"], "ab", "1.0", "L1")
    name = result_uid(*base)
    assert name == result_uid("seg", ["1.3", "1.2"], "ab", "1.0", "L1")
    others = {
        result_uid("sr", ["1.2", "1.3"], "ab", "1.0", "L1"),
        result_uid("seg", ["1.2"], "ab", "1.0", "L1"),
        result_uid("seg", ["1.2", "1.3"], "cd", "1.0", "L1"),
        result_uid("seg", ["1.2", "1.3"], "ab", "1.1", "L1"),
        result_uid("seg", ["1.2", "1.3"], "ab", "1.0", "L2"),
        result_uid("seg", ["1.2", "1.3"], "ab", "1.0"),
    }
    assert len(others | {name}) == 7
    assert name.startswith("2.25.")
    assert len(name) <= 64
    assert pydicom.uid.UID(name).is_valid


@pytest.mark.parametrize(
    ("elements", "moment"),
    [
        (
            {"ContentDate": "20260102", "ContentTime": "101112", "StudyDate": "20250101"},
            ("20260102", "101112"),
        ),
        ({"AcquisitionDate": "20260103", "StudyDate": "20250101"}, ("20260103", "000000")),
        ({"StudyDate": "20250101", "StudyTime": "0900"}, ("20250101", "0900")),
        ({"AcquisitionDateTime": "20260104121314.5+0100"}, ("20260104", "121314")),
        ({"ContentDate": ""}, ("19000101", "000000")),
    ],
)
def test_a_result_carries_the_time_of_its_source(elements: dict[str, str], moment: tuple[str, str]) -> None:
    """Never the clock: two runs must give the same bytes."""
    source = Dataset()
    for keyword, value in elements.items():
        setattr(source, keyword, value)
    assert content_moment(source) == moment


@pytest.mark.parametrize(("number", "expected"), [(3, 302), (None, 9002), (0, 9002), (5_000_000, 9002)])
def test_series_numbers_follow_the_source(number: int | None, expected: int) -> None:
    source = Dataset()
    source.SeriesNumber = number
    assert series_number(source, 2) == expected


def test_files_and_associations_name_the_same_implementation() -> None:
    assert part10.IMPLEMENTATION_CLASS_UID == IMPLEMENTATION_CLASS_UID
    assert part10.IMPLEMENTATION_VERSION == IMPLEMENTATION_VERSION


def test_no_name_reaches_a_warning_or_a_log(
    tmp_path: Path, recwarn: pytest.WarningsRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    """Odd names make libraries talk; what they are given has no name in it."""

    def odd(ds: Dataset, k: int) -> None:
        ds.PatientName = "SECRETNAME" * 9
        ds.PatientID, ds.PatientSex = "SECRETID" * 9, "SECRETSEX"

    write_series(tmp_path, grid_of(), change=odd)
    recwarn.clear()
    series = read_series(tmp_path)
    seg = write_seg(series, Segmentation(labels_of(series.grid), MODEL), software_version="9.9")
    assert "SECRETNAME" in str(seg.PatientName)
    said = caplog.text + " ".join(str(w.message) for w in recwarn)
    assert "SECRET" not in said


def test_a_file_meta_header_is_ours() -> None:
    target, source = Dataset(), Dataset()
    target.file_meta = FileMetaDataset()
    target.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    finish(target, source)
    assert target.file_meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
