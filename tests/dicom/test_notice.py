"""A series that gave no results says why, in its own study, where the physician looks for them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from spine_node.dicom.notice import _paragraphs, write_notice
from spine_node.dicom.notice_picture import GROUND, MARGIN, WIDTH, Paragraph, picture_of
from spine_node.errors import SeriesRefused
from tests.dicom.small_pictures import read, stored
from tests.dicom.small_series import grid_of, write_series

REASON = (
    "slice spacing is not uniform in series 2.25.102: 0.300 mm for 410 gaps, 0.600 mm after instance 211 "
    "(allowed \u00b1 0.010 mm). A slice is probably missing."
)


def bare(**elements: object) -> Dataset:
    header = Dataset()
    header.StudyInstanceUID = "2.25.101"
    for keyword, value in elements.items():
        setattr(header, keyword, value)
    return header


def notice(header: Dataset, reason: str = REASON, **options: str) -> Dataset:
    return write_notice(header, reason, **({"software_version": "9.9"} | options))  # type: ignore[arg-type]


def ink(ds: Dataset) -> np.ndarray:
    """Where something is written."""
    return np.any(ds.pixel_array != GROUND, axis=-1)


def test_a_study_uid_is_all_that_is_needed() -> None:
    made = read(notice(bare()))
    assert made.StudyInstanceUID == "2.25.101"
    assert (made.SeriesDescription, made.SeriesNumber) == ("Spine Node: not analysed", 9009)
    assert (made.PatientName, made.PatientID) == ("", "")
    assert ink(made).any()


@pytest.mark.parametrize("header", [Dataset(), bare(StudyInstanceUID="")], ids=["absent", "empty"])
def test_without_a_study_there_is_no_place_for_it(header: Dataset) -> None:
    with pytest.raises(SeriesRefused, match="StudyInstanceUID is missing"):
        notice(header)


def test_an_empty_reason_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a reason"):
        notice(bare(), " \n")


def test_any_header_of_the_series_gives_the_same_notice(tmp_path: Path) -> None:
    """Slices differ in position, number and time of content; their series has failed once."""

    def own_time(ds: Dataset, k: int) -> None:
        ds.ContentTime = ds.AcquisitionTime = f"1011{k:02d}"
        ds.AcquisitionDate = f"202601{k + 1:02d}"
        if k % 2:
            del ds.ImagePositionPatient, ds.ImageOrientationPatient, ds.Rows, ds.PixelSpacing

    paths = write_series(tmp_path, grid_of(), change=own_time)
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in paths]
    assert len({stored(notice(header)) for header in headers}) == 1


def test_another_series_reason_kind_or_version_is_another_notice() -> None:
    made = [
        notice(bare(SeriesInstanceUID="2.25.1")),
        notice(bare(SeriesInstanceUID="2.25.2")),
        notice(bare(SeriesInstanceUID="2.25.1"), "no spine in the image"),
        notice(bare(SeriesInstanceUID="2.25.1"), kind="failed"),
        notice(bare(SeriesInstanceUID="2.25.1"), software_version="10"),
    ]
    assert len({ds.SOPInstanceUID for ds in made}) == 5
    # notices on one series by one version lie together
    assert made[0].SeriesInstanceUID == made[2].SeriesInstanceUID == made[3].SeriesInstanceUID
    assert len({ds.SeriesInstanceUID for ds in made}) == 3
    assert len({ds.pixel_array.tobytes() for ds in made}) == 5


def test_the_picture_shows_no_patient() -> None:
    """Who it is stands in the header alone: the pixels of two patients are the same."""
    one = notice(bare(PatientName="Doe^Jane", PatientID="17", PatientBirthDate="19800229"))
    two = notice(
        bare(PatientName="M\u00fcller^J\u00fcrgen", PatientID="4711", SpecificCharacterSet="ISO_IR 100")
    )
    np.testing.assert_array_equal(one.pixel_array, two.pixel_array)
    assert one.BurnedInAnnotation == "NO"
    assert one.PatientName == "Doe^Jane"


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("SeriesNumber", "third"),
        ("SeriesNumber", "999999999999"),
        ("SeriesNumber", "1\\2"),
        ("SeriesNumber", "-3"),
        ("SeriesDescription", "\u5168\u8eab CBCT"),
        ("SeriesDescription", "x" * 400),
        ("SeriesDate", "yesterday"),
        ("StudyDate", "26-01-02"),
        ("SeriesInstanceUID", "not a uid"),
        ("BodyPartExamined", ""),
        ("BodyPartExamined", "KNEE\\HIP"),
        ("SpecificCharacterSet", "EBCDIC"),
        ("PixelSpacing", "wide"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_odd_headers_get_their_notice(keyword: str, value: str) -> None:
    """As a file without value representations brings them: nothing was checked before."""
    header = bare(SpecificCharacterSet="ISO_IR 192", PatientName="M\u00fcller^J\u00fcrgen")
    header.add_new(keyword, "UT" if keyword != "SpecificCharacterSet" else "CS", value)
    file = io.BytesIO()
    pydicom.dcmwrite(file, header, implicit_vr=True, little_endian=True)
    file.seek(0)
    received = pydicom.dcmread(file, force=True)
    made = read(notice(received))
    assert made.pixel_array.shape[1] == WIDTH
    assert 0 < made.SeriesNumber <= 9009
    assert made.get_item("PatientName").value == received.get_item("PatientName").value


def test_names_of_any_character_set_are_carried_as_bytes(tmp_path: Path) -> None:
    header = bare(SpecificCharacterSet="GB18030", PatientName="Wang^XiaoDong=\u738b^\u5c0f\u4e1c")
    assert "Wang^XiaoDong=\u738b^\u5c0f\u4e1c".encode("gb18030") in stored(notice(header))


def test_every_word_fits_between_the_margins() -> None:
    """Long UIDs and paths are broken, long reasons make the picture higher."""
    long = picture_of([Paragraph("2.25." + "1234567890" * 30), Paragraph("slice missing " * 120)])
    written = np.any(long != GROUND, axis=-1)
    assert not written[:, :MARGIN].any()
    assert not written[:, WIDTH - MARGIN + 2 :].any()
    assert not written[-MARGIN:].any()
    assert long.shape[0] > picture_of([Paragraph("short")]).shape[0]


def test_signs_that_the_font_lacks_are_seen_to_be_missing() -> None:
    np.testing.assert_array_equal(picture_of([Paragraph("\u738b\u5c0f")]), picture_of([Paragraph("??")]))
    plus = picture_of([Paragraph("\u00b1 0.01 \u041b\u044e")])
    assert (plus != picture_of([Paragraph("? 0.01 ??")])).any()


def test_a_description_that_the_font_lacks_is_left_out_and_said_to_be() -> None:
    """Question marks would be read as the scanner's words."""

    def words(**elements: object) -> list[str]:
        return [paragraph.text for paragraph in _paragraphs(bare(**elements), REASON, "9.9", "refused")]

    lacking = words(SeriesNumber=1, SeriesDescription="\u5168\u8eab CBCT")
    assert lacking[1:3] == [
        "Series 1",
        "Not shown, as this picture's font lacks its letters: Series Description.",
    ]
    assert words(SeriesDescription="\u5168\u8eab")[1] == "Series with the UID below"
    assert words(SeriesNumber=1, SeriesDescription="S\u00e4ule")[1:3] == [
        'Series 1 "S\u00e4ule"',
        f"Reason: {REASON}",
    ]
    assert words()[1] == "Series without number and description"


def test_more_words_write_more() -> None:
    """The reason is really in the picture."""
    assert ink(notice(bare(), REASON + " " + REASON)).sum() > ink(notice(bare(), "x")).sum() * 1.3
