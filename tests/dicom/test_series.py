"""What becomes a volume, in which order and place, and what is refused with which words."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from scipy.spatial.transform import Rotation

from spine_node.dicom.series import age_years_of, read_headers, read_series, vertical_of
from spine_node.dicom.voxels import read_volume
from spine_node.errors import SeriesRefused
from tests.dicom.small_series import SERIES, Change, grid_of, values_of, write_multiframe, write_series

OBLIQUE = Rotation.from_euler("xyz", (11, -23, 37), degrees=True).as_matrix()


def change_slice(wanted: int, **elements: object) -> Change:
    """Set elements of one slice; None deletes."""

    def change(ds: Dataset, k: int) -> None:
        if k == wanted:
            change_all(**elements)(ds, k)

    return change


def change_all(**elements: object) -> Change:
    """Set elements of every slice; None deletes."""

    def change(ds: Dataset, k: int) -> None:
        for keyword, value in elements.items():
            if value is None:
                delattr(ds, keyword)
            else:
                setattr(ds, keyword, value)

    return change


@pytest.mark.parametrize(
    ("rows", "columns"), [((1, 0, 0), (0, 1, 0)), ((0, 1, 0), (0, 0, -1)), (OBLIQUE[:, 0], OBLIQUE[:, 1])]
)
def test_each_value_is_at_the_place_its_header_says(
    rows: list[float], columns: list[float], tmp_path: Path
) -> None:
    grid = grid_of(rows, columns)
    write_series(tmp_path, grid)
    series = read_series(tmp_path)
    assert series.grid.matches(grid)
    np.testing.assert_array_equal(read_volume(series).values, values_of(grid))


@pytest.mark.parametrize(
    ("elements", "years"),
    [
        ({"PatientAge": "063Y"}, 63),
        ({"PatientAge": "030M"}, 2.5),
        ({"PatientAge": "", "PatientBirthDate": "19600301", "StudyDate": "20260301"}, 66),
        ({"PatientAge": "63", "PatientBirthDate": "19600231", "StudyDate": "20260301"}, None),
        ({"PatientBirthDate": "20270101", "StudyDate": "20260301"}, None),
        ({}, None),
    ],
)
def test_the_age_is_stated_or_follows_from_dates_or_is_unknown(
    elements: dict[str, str], years: float | None, tmp_path: Path
) -> None:
    stated = {"PatientAge": "", "PatientBirthDate": ""} | elements
    write_series(tmp_path, grid_of(), change=change_all(**stated))
    age = age_years_of(read_series(tmp_path))
    assert age is None if years is None else age == pytest.approx(years, abs=0.01)


def test_file_order_does_not_matter(tmp_path: Path) -> None:
    """Slices are sorted along the normal, whatever they are called and numbered."""
    order = list(range(20))
    random.Random(3).shuffle(order)
    grid = grid_of()
    write_series(tmp_path, grid, order=order)
    series = read_series(tmp_path)
    assert series.grid.matches(grid)
    np.testing.assert_array_equal(read_volume(series).values, values_of(grid))
    assert [str(h.SOPInstanceUID) for h in series.headers] == [f"2.25.104{k:04d}" for k in range(20)]


def test_frames_of_one_file_are_sorted_too(tmp_path: Path) -> None:
    grid = grid_of((0, 1, 0), (0, 0, -1))
    write_multiframe(tmp_path, grid, order=[*range(1, 20), 0])
    series = read_series(tmp_path)
    assert series.multiframe
    assert series.grid.matches(grid)
    np.testing.assert_array_equal(read_volume(series).values, values_of(grid))


@pytest.fixture(scope="module")
def whole_series(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_series(tmp_path_factory.mktemp("whole"), grid_of())


@pytest.mark.parametrize("dropped", range(1, 19))
def test_a_missing_slice_is_refused_wherever_it_was(dropped: int, whole_series: list[Path]) -> None:
    with pytest.raises(
        SeriesRefused,
        match=rf"series {SERIES}: 2\.000 mm for 17 gaps, 4\.000 mm after instance {dropped} .*missing",
    ):
        read_series([path for i, path in enumerate(whole_series) if i != dropped])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            change_slice(7, ImagePositionPatient=[-31.0, 17.0, 217.0]),
            "instance 7 and instance 8 at .*several",
        ),
        (change_slice(7, ImagePositionPatient=[-31.0, 17.0, 219.8]), "not uniform.*unevenly"),
        (change_slice(7, ImageOrientationPatient=[0, 1, 0, 1, 0, 0]), "different orientation"),
        (change_slice(7, ImageOrientationPatient=[1, 0, 0, 0, 1, 0.01]), "different orientation"),
        (change_slice(7, PixelSpacing=[1.0, 0.8]), r"different pixel spacing: 1\\0\.7 mm"),
        (change_slice(7, Rows=22), r"different matrix: \(23, 29\) in instance 1, \(22, 29\) in instance 8"),
        (change_slice(7, FrameOfReferenceUID="2.25.9"), "2 values of frame of reference: 2.25.103, 2.25.9"),
        (change_slice(7, PatientID="someone else"), "mixes 2 values of patient\\."),
        (change_slice(7, SeriesInstanceUID="2.25.9"), r"2 series were found.*2\.25\.102 \(19 images\)"),
        (change_slice(7, StudyInstanceUID="2.25.9"), "2 studies were found"),
        (
            change_slice(7, PixelSpacing=None),
            "PixelSpacing is missing from the header of instance 2.25.1040007",
        ),
        (change_slice(7, ImagePositionPatient=None), "ImagePositionPatient is missing.*must keep"),
        (change_slice(7, ImageOrientationPatient=None), "ImageOrientationPatient is missing"),
        (change_all(FrameOfReferenceUID=None), "FrameOfReferenceUID is missing"),
        (change_all(SeriesInstanceUID=None), "SeriesInstanceUID is missing"),
        (change_all(SOPClassUID=""), "SOPClassUID is missing from 0001.dcm"),
        (change_all(ImageOrientationPatient=[1, 0, 0, 0.5, 0.5, 0]), "two perpendicular unit vectors"),
        (change_all(PixelSpacing=[0.0, 1.0]), "two positive numbers"),
        (
            change_all(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]),
            "no CT-like image.*20 localizers",
        ),
        (change_all(SOPClassUID="1.2.840.10008.5.1.4.1.1.7"), "no CT-like image.*Secondary Capture"),
    ],
)
def test_what_is_no_single_volume_is_refused_in_words(change: Change, words: str, tmp_path: Path) -> None:
    write_series(tmp_path, grid_of(), change=change)
    with pytest.raises(SeriesRefused, match=words):
        read_series(tmp_path)


def test_a_position_that_is_no_number_is_refused(tmp_path: Path) -> None:
    paths = write_series(tmp_path, grid_of())
    raw = paths[4].read_bytes()
    assert b"-31.0\\17.0" in raw
    paths[4].write_bytes(raw.replace(b"-31.0\\17.0", b"nan  \\17.0"))
    with pytest.raises(SeriesRefused, match=r"ImagePositionPatient of instance 2.25.1040004 is .*finite"):
        read_series(tmp_path)


def test_gantry_tilt_is_refused_with_its_angle(tmp_path: Path) -> None:
    def shear(ds: Dataset, k: int) -> None:
        ds.ImagePositionPatient = [-31.0, 17.0 + 2 * k * np.tan(np.radians(18)), 205.0 + 2 * k]

    write_series(tmp_path, grid_of(), change=shear)
    with pytest.raises(SeriesRefused, match=r"18\.0 degrees off the normal.*gantry tilt"):
        read_series(tmp_path)


def test_a_slice_beside_the_stack_is_refused(tmp_path: Path) -> None:
    write_series(tmp_path, grid_of(), change=change_slice(7, ImagePositionPatient=[-28.0, 17.0, 219.0]))
    with pytest.raises(SeriesRefused, match=r"not stacked along a line: instance 8 lies 3\.000 mm"):
        read_series(tmp_path)


def test_too_few_slices_are_refused(tmp_path: Path) -> None:
    write_series(tmp_path, grid_of(shape=(15, 8, 8)))
    with pytest.raises(SeriesRefused, match="has 15 slices; a volume needs at least 16"):
        read_series(tmp_path)


def test_positions_rounded_by_the_device_are_accepted(tmp_path: Path) -> None:
    """Two decimals, as many devices write; the grid stays within the rounding."""
    grid = grid_of(spacing=(0.333, 1.0, 0.7))

    def round_off(ds: Dataset, k: int) -> None:
        ds.ImagePositionPatient = [round(float(v), 2) for v in ds.ImagePositionPatient]

    write_series(tmp_path, grid, change=round_off)
    assert read_series(tmp_path).grid.matches(grid, tolerance_mm=0.01)


def test_other_objects_in_the_folder_are_left_out_with_a_note(tmp_path: Path) -> None:
    """An image count in a sidecar, a DICOMDIR, a report: none of them is a missing slice."""
    write_series(tmp_path, grid_of())
    (tmp_path / "0001.dcm.json").write_text("{}")
    write_series(
        tmp_path / "other",
        grid_of(shape=(16, 8, 8)),
        change=change_all(SOPClassUID="1.2.840.10008.5.1.4.1.1.88.22"),
    )
    write_series(
        tmp_path / "scout",
        grid_of(shape=(2, 8, 8)),
        change=change_all(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]),
    )
    series = read_series(tmp_path)
    assert len(series.headers) == 20
    assert series.notes == (
        "Left out: 1 file outside DICOM (0001.dcm.json).",
        "Left out: 16 Enhanced SR Storage objects.",
        "Left out: 2 localizers.",
    )


def test_a_file_without_dicom_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(SeriesRefused, match="no CT-like image among 1 files"):
        read_series(tmp_path)
    with pytest.raises(SeriesRefused, match="none of 1 files is a DICOM file"):
        read_headers([tmp_path / "notes.txt"])


def test_two_multiframe_files_are_not_one_volume(tmp_path: Path) -> None:
    grid = grid_of()
    write_multiframe(tmp_path / "a", grid)
    write_multiframe(tmp_path / "b", grid, change=change_all(SOPInstanceUID="2.25.106"))
    with pytest.raises(SeriesRefused, match="2 instances of which some are multi-frame"):
        read_series(tmp_path)


def test_frames_that_are_announced_but_not_described_are_refused(tmp_path: Path) -> None:
    write_multiframe(tmp_path, grid_of(), change=change_all(NumberOfFrames=24))
    with pytest.raises(SeriesRefused, match="announces 24 frames and describes 20"):
        read_series(tmp_path)


def codes(value: str, scheme: str) -> list[Dataset]:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, "whatever"
    return [item]


def oriented(value: str, scheme: str, modifier: tuple[str, str] | None = None) -> list[Dataset]:
    item = codes(value, scheme)
    if modifier:
        item[0].PatientOrientationModifierCodeSequence = codes(*modifier)
    return item


def weight_bearing() -> list[Dataset]:
    item = Dataset()
    item.ConceptNameCodeSequence = codes("130324", "DCM")
    item.ConceptCodeSequence = codes("87731000", "SCT")
    return [item]


@pytest.mark.parametrize(
    ("elements", "standing", "words"),
    [
        ({}, None, "image z axis, posture not declared"),
        ({"PatientPosition": "HFS"}, None, "image z axis, posture not declared"),
        ({"PatientOrientationCodeSequence": oriented("C86043", "NCIt")}, True, "declared erect"),
        (
            {"PatientOrientationCodeSequence": oriented("C86043", "NCIt", ("10904000", "SCT"))},
            True,
            "declared erect standing",
        ),
        (
            {"PatientOrientationCodeSequence": oriented("C86043", "NCIt", ("33586001", "SCT"))},
            False,
            "declared sitting",
        ),
        (
            {"PatientOrientationCodeSequence": oriented("102538003", "SCT", ("40199007", "SCT"))},
            False,
            "declared recumbent supine",
        ),
        (
            {"PatientOrientationCodeSequence": oriented("10904000", "SCT", ("40199007", "SCT"))},
            None,
            "declared both standing and supine",
        ),
        ({"AcquisitionContextSequence": weight_bearing()}, True, "declared weight bearing"),
    ],
)
def test_only_what_is_declared_counts_as_posture(
    elements: dict[str, object], standing: bool | None, words: str, tmp_path: Path
) -> None:
    """Patient Position has no upright value, and upright devices send HFS: it says nothing."""
    write_series(tmp_path, grid_of(), change=change_all(**elements))
    vertical = vertical_of(read_series(tmp_path))
    assert vertical.standing is standing
    assert vertical.provenance.endswith(words)
    np.testing.assert_array_equal(vertical.direction, (0, 0, 1))


def test_a_series_shows_no_patient_when_it_is_printed(tmp_path: Path) -> None:
    """Tracebacks of failed jobs are kept."""
    write_series(tmp_path, grid_of())
    assert "Test^Series" not in repr(read_series(tmp_path))
