"""Results belong to the patient and study of their source, byte for byte, and are named after their input."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pydicom
import pytest
import trimesh
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.tag import Tag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from spine_node.dicom.checks import check_geometry, check_source
from spine_node.dicom.encapsulated_stl import write_encapsulated_stl
from spine_node.dicom.forms import Form
from spine_node.dicom.identity import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION,
    content_moment,
    copy_identity,
    finish,
    result_uid,
    series_number,
    undecoded,
)
from spine_node.dicom.report_pdf import heading_of
from spine_node.dicom.seg import write_seg, write_segs
from spine_node.dicom.series import ImageSeries, age_years_of, read_series
from spine_node.network import part10
from spine_node.segmentation.segmenter import ModelIdentity, Segmentation
from tests.dicom.small_pictures import every_object, rotated, stored
from tests.dicom.small_reports import report
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


BYTES = {
    "declared UTF-8, is Latin-1": ("ISO_IR 192", b"M\xfcller^J\xf6rg"),
    "declared ASCII, is Latin-1": ("", b"M\xfcller^J\xf6rg"),
    "declared by no known name": ("EBCDIC", b"M\xfcller^J\xf6rg"),
    "GB18030": ("GB18030", "Wang^XiaoDong=王^小东".encode("gb18030")),
    "Japanese": (
        "\\ISO 2022 IR 87",
        b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
    ),
    "Korean": ("\\ISO 2022 IR 149", b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7"),
}
"""A character set, and a name that may be none in it."""


def every_form(series: ImageSeries) -> dict[str, Dataset]:
    """One of each kind of object that can leave the node, made in the order of the pipeline and after
    what it reads of the header."""
    heading_of(series.headers[0])
    age_years_of(series)
    segmentation = Segmentation(labels_of(series.grid), MODEL)
    made = {}
    for form in ("seg-binary", "seg-labelmap"):
        made[form] = write_seg(series, segmentation, software_version="9.9", form=form)
    for form in ("sr-3d", "sr-comprehensive", "sr-enhanced"):
        made[form] = report(series, rotated(series), form=form)
    box = trimesh.creation.box((5, 6, 7))
    box.metadata["tolerance_mm"] = 0.1
    for assembled in (True, False):
        (made[f"stl {assembled}"],) = write_encapsulated_stl(
            series, {"L1": box}, segmentation, software_version="9.9", assembled=assembled
        )
    return made | every_object(series)


@pytest.mark.parametrize(
    ("case", "syntax"),
    [
        *((case, ExplicitVRLittleEndian) for case in BYTES),
        ("declared UTF-8, is Latin-1", ImplicitVRLittleEndian),
        ("Japanese", ImplicitVRLittleEndian),
        ("declared UTF-8, is Latin-1", ExplicitVRBigEndian),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_bytes_that_are_no_text_in_the_declared_character_set_are_kept(
    case: str, syntax: str, tmp_path: Path
) -> None:
    """Scanners and gateways declare what they do not write; an archive compares bytes, nested ones too."""
    charset, name = BYTES[case]
    values = {
        "PatientName": ((0x10, 0x10), b"PN", name),
        "PatientID": ((0x10, 0x20), b"LO", b"ID" + name.replace(b"^", b"_")),
        "StudyDescription": ((0x08, 0x1030), b"LO", b"Wirbels\xe4ule"),
    }
    nested = {
        "PatientID": ((0x10, 0x20), b"LO", b"N\xfcmmer 9"),
        "TypeOfPatientID": ((0x10, 0x22), b"CS", b"TEXT"),
    }
    everything = [*values.values(), *nested.values()]
    # ASCII of the same length in their place, for which no file need be encoded by hand.
    places = {value: f"{'ABCDE'[k] * len(value)}" for k, (_, _, value) in enumerate(everything)}

    def plant(ds: Dataset, k: int) -> None:
        ds.file_meta.TransferSyntaxUID = syntax
        ds.SpecificCharacterSet = charset
        ds.OtherPatientIDsSequence = [Dataset()]
        for target, some in ((ds, values), (ds.OtherPatientIDsSequence[0], nested)):
            for keyword, (_, _, value) in some.items():
                setattr(target, keyword, places[value])
        ds["PixelData"].VR = "OW"

    for path in write_series(tmp_path / "ct", grid_of(), change=plant):
        body = path.read_bytes()
        for value, place in places.items():
            assert body.count(place.encode()) == 1
            body = body.replace(place.encode(), value)
        path.write_bytes(body)
    for kind, ds in every_form(read_series(tmp_path / "ct")).items():
        written = stored(ds)
        for what in everything:
            assert written.count(element(*what)) == 1, (kind, what)
        again = pydicom.dcmread(io.BytesIO(written))
        assert again.get_item("PatientName").value.rstrip() == name, kind
        assert again.get("SpecificCharacterSet") == pydicom.dcmread(path).get("SpecificCharacterSet"), kind
        assert again.OtherPatientIDsSequence[0].TypeOfPatientID == "TEXT", kind


def test_looking_at_a_header_leaves_it_as_it_was(tmp_path: Path) -> None:
    """pydicom would replace what is looked at by what it could decode."""
    path = write_series(tmp_path, grid_of())[0]
    path.write_bytes(path.read_bytes().replace(b"Test^Series", b"T\xe9st^S\xe9ries"))
    header = pydicom.dcmread(path)
    before = header.get_item("PatientName")
    assert str(undecoded(header, ["PatientName"]).PatientName) == "Tést^Séries"
    assert "PatientID" not in undecoded(header, ["PatientName"])
    assert header.get_item("PatientName") is before


def test_an_odd_length_of_the_source_is_made_even(tmp_path: Path) -> None:
    """PS3.5 7.1.1: a file of odd lengths is refused by archives, and ours would be."""
    tag = Tag("PatientID")
    source, target = Dataset(), Dataset()
    source[tag] = RawDataElement(tag, None, 3, b"A\xfc1", 0, True, True)
    copy_identity(source, target)
    assert (target.get_item(tag).value, target.get_item(tag).VR) == (b"A\xfc1 ", "LO")


@pytest.mark.parametrize("form", ["seg-binary", "seg-labelmap"])
@pytest.mark.parametrize("charset", list(NAMES))
@pytest.mark.parametrize("multiframe", [False, True])
def test_a_name_in_any_character_set_arrives_as_it_was(
    charset: str, multiframe: bool, form: Form, tmp_path: Path
) -> None:
    """Archives refuse results whose patient differs in one byte, or in the character set."""
    grid = grid_of()
    paths = [write_multiframe(tmp_path / "ct", grid)] if multiframe else write_series(tmp_path / "ct", grid)
    planted = {with_name(path, charset) for path in paths}
    series = read_series(tmp_path / "ct")
    seg = write_seg(series, Segmentation(labels_of(series.grid), MODEL), software_version="9.9", form=form)
    seg.save_as(tmp_path / "seg.dcm", enforce_file_format=True)
    written = (tmp_path / "seg.dcm").read_bytes()
    assert planted.pop() in written
    assert element((8, 5), b"CS", charset.encode()) in written
    assert str(pydicom.dcmread(tmp_path / "seg.dcm").PatientName) == str(
        pydicom.dcmread(paths[0]).PatientName
    )


@pytest.mark.parametrize("form", ["seg-binary", "seg-labelmap"])
@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian]
)
def test_the_encoding_of_the_source_does_not_matter(syntax: str, form: Form, tmp_path: Path) -> None:
    """Also where bytes are in another order: what is copied undecoded must not go out like that."""
    for path in write_series(tmp_path / "ct", grid_of()):
        planted = with_name(path, "GB18030")
        ds = pydicom.dcmread(path)
        ds.file_meta.TransferSyntaxUID = syntax
        ds.OtherPatientIDsSequence = [Dataset()]
        ds.OtherPatientIDsSequence[0].PatientID, ds.OtherPatientIDsSequence[0].TypeOfPatientID = "X-9", "TEXT"
        if syntax == ExplicitVRBigEndian:
            ds.PixelData = np.frombuffer(ds.PixelData, dtype="<i2").astype(">i2").tobytes()
            pydicom.dcmwrite(path, ds, enforce_file_format=True)
        else:
            ds.save_as(path, enforce_file_format=True)
    assert pydicom.dcmread(path).original_encoding[1] == (syntax != ExplicitVRBigEndian)
    series = read_series(tmp_path / "ct")
    seg = write_seg(series, Segmentation(labels_of(series.grid), MODEL), software_version="9.9", form=form)
    seg.save_as(tmp_path / "seg.dcm", enforce_file_format=True)
    assert planted in (tmp_path / "seg.dcm").read_bytes()
    (other,) = pydicom.dcmread(tmp_path / "seg.dcm").OtherPatientIDsSequence
    assert (other.PatientID, other.TypeOfPatientID) == ("X-9", "TEXT")


UID_64 = "2.25." + "1234567890" * 5 + "123456789"
"""As long as a UID may be."""


@pytest.mark.parametrize("form", ["seg-binary", "seg-labelmap"])
def test_odd_and_empty_identities_are_carried_as_they_are(form: Form, tmp_path: Path) -> None:
    """Blanks in a patient ID, a name of separators only, elements that are absent, UIDs of 64 characters."""
    assert len(UID_64) == 64
    issuer = Dataset()
    issuer.UniversalEntityID, issuer.UniversalEntityIDType = "1.2.3", "ISO"

    def odd(ds: Dataset, k: int) -> None:
        ds.PatientID, ds.PatientName, ds.PatientSex = " 00 42", "^^^", ""
        ds.IssuerOfPatientID, ds.AccessionNumber = "HOSP A", ""
        ds.IssuerOfPatientIDQualifiersSequence = [issuer]
        ds.IssuerOfAccessionNumberSequence = [issuer]
        ds.StudyInstanceUID, ds.SeriesInstanceUID = UID_64[:-1] + "7", UID_64[:-1] + "8"
        ds.FrameOfReferenceUID = UID_64
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"{UID_64[:-3]}{k + 100}"
        del ds.StudyID, ds.PatientBirthDate, ds.ReferringPhysicianName

    write_series(tmp_path / "ct", grid_of(), change=odd)
    series = read_series(tmp_path / "ct")
    segs = write_segs(
        series, Segmentation(labels_of(series.grid), MODEL), software_version="9.9", form=form, most_frames=12
    )
    check_geometry(segs, labels_of(series.grid))
    for seg in segs:
        seg.save_as(tmp_path / "seg.dcm", enforce_file_format=True)
        read = pydicom.dcmread(tmp_path / "seg.dcm")
        check_source(read, series)
        assert read.get_item("PatientID").value == b" 00 42"
        assert (str(read.PatientName), read.IssuerOfPatientID, read.AccessionNumber) == ("^^^", "HOSP A", "")
        assert read.IssuerOfPatientIDQualifiersSequence[0].UniversalEntityID == "1.2.3"
        assert read.IssuerOfAccessionNumberSequence[0].UniversalEntityID == "1.2.3"
        assert (read.StudyID, read.PatientBirthDate, read.ReferringPhysicianName) == ("", "", "")
        assert (read.StudyInstanceUID, read.FrameOfReferenceUID) == (UID_64[:-1] + "7", UID_64)


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
        ({"ContentDate": "20260230", "StudyDate": "20260228"}, ("20260228", "000000")),
        ({"StudyDate": "20260230", "AcquisitionDateTime": "20260232"}, ("19000101", "000000")),
        ({"StudyDate": "20260228", "StudyTime": "10:15:00.5"}, ("20260228", "101500.5")),
        ({"StudyDate": "20260228", "StudyTime": "101560.123456"}, ("20260228", "101560.123456")),
        ({"StudyDate": "20260228", "StudyTime": "09"}, ("20260228", "09")),
        ({"StudyDate": "20260228", "StudyTime": "24"}, ("20260228", "000000")),
        ({"StudyDate": "20260228", "StudyTime": "1060"}, ("20260228", "000000")),
        ({"StudyDate": "20260228", "StudyTime": "101500.1234567"}, ("20260228", "000000")),
        ({"StudyDate": "20260228", "StudyTime": "1015.5"}, ("20260228", "000000")),
        ({"StudyDate": "20260228", "StudyTime": "noon"}, ("20260228", "000000")),
        ({"StudyDate": "20260228", "StudyTime": "101500\\101600"}, ("20260228", "000000")),
        ({"AcquisitionDateTime": "202601041213+0100"}, ("20260104", "121300")),
        ({"AcquisitionDateTime": "20260104256099"}, ("20260104", "000000")),
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


@pytest.mark.parametrize("number", [b"abc ", b"1\\2 ", b"1e999 "])
@pytest.mark.filterwarnings("ignore")
def test_a_series_number_that_is_none_ends_nothing(number: bytes, tmp_path: Path) -> None:
    """The segmentation has taken minutes by then."""
    for path in write_series(tmp_path, grid_of()):
        old, new = (element((0x20, 0x11), b"IS", value) for value in (b"3", number))
        body = path.read_bytes()
        assert body.count(old) == 1
        path.write_bytes(body.replace(old, new))
    made = every_form(read_series(tmp_path))
    assert {kind: ds.SeriesNumber // 100 for kind, ds in made.items()} == dict.fromkeys(made, 90)


def test_an_odd_study_time_is_the_studys_and_not_ours(tmp_path: Path) -> None:
    def odd(ds: Dataset, k: int) -> None:
        ds.StudyTime, ds.ContentDate, ds.ContentTime = "10:15:00.5", "20260230", "99"

    write_series(tmp_path, grid_of(), change=odd)
    for kind, ds in every_form(read_series(tmp_path)).items():
        again = pydicom.dcmread(io.BytesIO(stored(ds)))
        assert again.get_item("StudyTime").value == b"10:15:00.5", kind
        assert (again.SeriesDate, again.SeriesTime) == ("20260102", "101500.5"), kind


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
