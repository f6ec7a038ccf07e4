"""A report holds what was measured, refers to the SEG, and says what a device may say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from spine_node.dicom.seg import write_seg
from spine_node.dicom.series import ImageSeries, read_series
from spine_node.dicom.sr import read_sr, write_sr
from spine_node.parameters.catalogue import CATALOGUE, DEFINITIONS
from spine_node.parameters.model import (
    LevelIdentification,
    Line,
    Measurements,
    NotMeasured,
    Parameter,
)
from spine_node.segmentation.segmenter import ModelIdentity, Segmentation
from tests.dicom.small_series import SPACE, grid_of, labels_of, write_multiframe, write_series

MODEL = ModelIdentity("toy-net", "1.2", "ab" * 32)


def measured(key: str, value: float, **where: object) -> Parameter:
    row = DEFINITIONS[key]
    return Parameter(key, value, row.unit, row.method, **where)  # type: ignore[arg-type]


MEASUREMENTS = Measurements(
    frame="PATIENT",
    vertical="image z axis, posture declared erect",
    parameters=(
        measured("PI", 52.0161, uncertainty=1.14159, lines=(Line("axis", [[-80, 0, 0], [80, 1, 2]]),)),
        measured("PT", -3.5),
        measured("TK_T4T12", 38.4, upper="T4", lower="T12"),
        measured("T1S", 18.25, level="T1"),
        measured("SVA", 123.456, uncertainty=0.75, lines=(Line("centre", [[1.5, -2.25, 300.125]]),)),
        measured(
            "COBB",
            40.5,
            upper="T5",
            apex="T8",
            lower="T10",
            side="right",
            uncertainty=4.0,
            lines=(Line("arm", [[-20, 3, 310], [20, 3, 320]]), Line("arm", [[-21, 4, 210], [22, 4, 205]])),
        ),
        measured("COBB", 22.25, upper="T11", apex="L2", lower="L4", side="left"),
        measured("C7_CSVL", -16.5, side="right", lines=(Line("plumb", [[0, 0, 0], [0, 0, 500]]),)),
        measured("AVR", -7.5, level="T12", side="right"),
        measured("AVR", 2.125, level="L1", side="left", uncertainty=3.0),
        measured("AVR", 0.5, level="L6", side="left"),
    ),
    not_measured=(
        NotMeasured("LL_L1S1", "L1: its superior endplate touches the border of the image"),
        NotMeasured("AVR", "no posterior elements in the label map", "T3"),
        NotMeasured("AVR", "its plates disagree", "L2"),
    ),
    quality=("Posture unverified.", "T13 was counted from the sacrum."),
)


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> ImageSeries:
    folder = tmp_path_factory.mktemp("ct")
    write_series(folder, grid_of())
    return read_series(folder)


@cache
def segmented(series: ImageSeries) -> tuple[Segmentation, Dataset]:
    segmentation = Segmentation(labels_of(series.grid), MODEL)
    return segmentation, write_seg(series, segmentation, software_version="9.9")


def report(series: ImageSeries, measurements: Measurements = MEASUREMENTS, version: str = "9.9") -> Dataset:
    segmentation, seg = segmented(series)
    return write_sr(series, measurements, seg, segmentation, software_version=version)


def from_disk(document: Dataset, folder: Path) -> Dataset:
    document.save_as(folder / "sr.dcm", enforce_file_format=True)
    return pydicom.dcmread(folder / "sr.dcm")


def items(item: Dataset) -> Iterator[Dataset]:
    for child in item.get("ContentSequence") or ():
        yield child
        yield from items(child)


def concept(item: Dataset) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeValue)


def groups(document: Dataset) -> list[Dataset]:
    return [i for i in items(document) if i.ValueType == "CONTAINER" and concept(i) == "125007"]


def test_what_is_read_back_is_what_was_measured(series: ImageSeries, tmp_path: Path) -> None:
    assert read_sr(from_disk(report(series), tmp_path)).to_dict() == MEASUREMENTS.to_dict()


def test_lines_outside_vertebra_groups_come_back_too(series: ImageSeries, tmp_path: Path) -> None:
    back = read_sr(from_disk(report(series), tmp_path))
    for before, after in zip(MEASUREMENTS.parameters, back.parameters, strict=True):
        assert [i.role for i in before.lines] == [i.role for i in after.lines]
        for one, other in zip(before.lines, after.lines, strict=True):
            np.testing.assert_allclose(one.points_mm, other.points_mm, atol=1e-4)


@pytest.mark.parametrize("key", [row.key for row in CATALOGUE])
def test_every_row_of_the_catalogue_survives(key: str, series: ImageSeries, tmp_path: Path) -> None:
    where = {
        "curve": {"upper": "T2", "apex": "T13", "lower": "L1", "side": "left"},
        "vertebra": {"level": "C3"},
    }
    only = Measurements("SCANNER", "given", (measured(key, 7.25, **where.get(DEFINITIONS[key].per, {})),))
    assert read_sr(from_disk(report(series, only), tmp_path)).to_dict() == only.to_dict()
    missing = Measurements("SCANNER", "given", (), (NotMeasured(key, "it is not in the image"),))
    assert read_sr(from_disk(report(series, missing), tmp_path)).to_dict() == missing.to_dict()


@pytest.mark.parametrize(
    ("levels", "code"),
    [
        (LevelIdentification(12.5, "six lumbar vertebrae (every body one level lower)"), "LEVELS_CERTAIN"),
        (LevelIdentification(1.3, "six lumbar vertebrae", uncertain=True), "LEVELS_UNCERTAIN"),
        (LevelIdentification(8.0, "", ("T12", "L5")), "LEVELS_FIXED"),
        (LevelIdentification(None, "", ("L5",)), "LEVELS_FIXED"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_how_sure_the_levels_are_is_a_code_and_comes_back(
    series: ImageSeries, tmp_path: Path, levels: LevelIdentification, code: str
) -> None:
    told = replace(MEASUREMENTS, levels=levels)
    document = from_disk(report(series, told), tmp_path)
    assert read_sr(document).to_dict() == told.to_dict()
    assert code in document.to_json()


def test_a_vertebra_is_measured_on_its_segment(series: ImageSeries) -> None:
    """Group and segment share number and tracking UID: a viewer can go from one to the other."""
    segmentation, seg = segmented(series)
    document = write_sr(series, MEASUREMENTS, seg, segmentation, software_version="9.9")
    segments = {item.TrackingUID: item for item in seg.SegmentSequence}
    found = {}
    for group in groups(document):
        children = {concept(i): i for i in group.ContentSequence}
        if "121191" in children:
            reference = children["121191"].ReferencedSOPSequence[0]
            assert reference.ReferencedSOPInstanceUID == seg.SOPInstanceUID
            item = segments[children["112040"].UID]
            assert item.SegmentNumber == reference.ReferencedSegmentNumber
            found[item.TrackingID] = [concept(i) for i in group.ContentSequence if i.ValueType == "NUM"]
    assert found == {"L1": ["AVR"], "L2": []}


def test_a_curve_shows_its_end_vertebrae_and_its_arms(series: ImageSeries) -> None:
    curve = next(
        g for g in groups(report(series)) if any(i.get("TextValue") == "curve T5-T10" for i in items(g))
    )
    codes = {
        concept(i): i.ConceptCodeSequence[0].CodeMeaning
        for i in curve.ContentSequence
        if i.ValueType == "CODE"
    }
    assert (codes["END_UPPER"], codes["APEX_VERTEBRA"], codes["END_LOWER"]) == (
        "T5 vertebra", "T8 vertebra", "T10 vertebra",
    )  # fmt: skip
    arms = [i for i in items(curve) if i.ValueType == "SCOORD3D"]
    assert [concept(i) for i in arms] == ["121223", "121223"]
    assert {i.ReferencedFrameOfReferenceUID for i in arms} == {SPACE}
    np.testing.assert_allclose(arms[0].GraphicData, [-20, 3, 310, 20, 3, 320])


def test_uncertainties_have_the_unit_of_their_value(series: ImageSeries) -> None:
    document = report(series)
    for item in items(document):
        if item.ValueType != "NUM" or concept(item) in ("371886008", "371885007"):
            continue
        unit = item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue
        spread = [i for i in item.ContentSequence if i.ValueType == "NUM"]
        assert unit == DEFINITIONS.get(concept(item), DEFINITIONS["COBB"]).unit
        assert {i.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue for i in spread} <= {
            unit
        }


def test_the_method_of_each_number_is_coded(series: ImageSeries) -> None:
    """Definitions of axial rotation differ by more than 10 degrees on the same vertebra."""
    methods = {
        concept(item): child.ConceptCodeSequence[0].CodeValue
        for item in items(report(series))
        if item.ValueType == "NUM"
        for child in item.get("ContentSequence") or ()
        if concept(child) == "370129005"
    }  # fmt: skip
    assert methods["AVR"] == "M_LOCAL"
    assert methods["PI"] == "M_HIPAXIS"
    assert methods["285285000"] == "M_PFRAME"


def test_a_device_result_is_preliminary_and_unverified(series: ImageSeries) -> None:
    document = report(series)
    assert (document.CompletionFlag, document.VerificationFlag, document.PreliminaryFlag) == (
        "COMPLETE", "UNVERIFIED", "PRELIMINARY",
    )  # fmt: skip
    assert [i.ConceptCodeSequence[0].CodeValue for i in items(document) if concept(i) == "121005"] == [
        "121007"
    ]


def test_everything_referred_to_is_listed_as_evidence(series: ImageSeries) -> None:
    _, seg = segmented(series)
    document = report(series)
    listed = {
        str(i.ReferencedSOPInstanceUID)
        for keyword in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence")
        for study in document.get(keyword) or ()
        for one in study.ReferencedSeriesSequence
        for i in one.ReferencedSOPSequence
    }
    assert listed == {*series.sop_instance_uids, str(seg.SOPInstanceUID)}


def test_our_codes_are_declared_as_ours(series: ImageSeries) -> None:
    schemes = {
        code.CodingSchemeDesignator
        for item in items(report(series))
        for keyword in ("ConceptNameCodeSequence", "ConceptCodeSequence")
        for code in item.get(keyword) or ()
    }
    assert schemes <= {"99SPINE3D", "DCM", "SCT", "UCUM", "NCIt", "UMLS", "LN", "RFC5646"}
    declared = report(series).CodingSchemeIdentificationSequence[0]
    assert declared.CodingSchemeDesignator == "99SPINE3D"
    assert declared.CodingSchemeUID.startswith("2.25.")


def erect(ds: Dataset, k: int) -> None:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "C86043", "NCIt", "erect"
    ds.PatientOrientationCodeSequence = [item]


@pytest.mark.parametrize(("change", "standing"), [(erect, True), (None, False)])
def test_standing_is_stated_only_when_it_was_declared(change: object, standing: bool, tmp_path: Path) -> None:
    write_series(tmp_path, grid_of(), change=change)  # type: ignore[arg-type]
    names = {concept(i) for i in items(report(read_series(tmp_path))) if i.ValueType == "CODE"}
    assert ({"113743", "113744", "130324"} <= names) is standing


@pytest.mark.parametrize("multiframe", [False, True])
def test_the_same_input_gives_the_same_bytes(multiframe: bool, tmp_path: Path) -> None:
    write = write_multiframe if multiframe else write_series
    write(tmp_path / "ct", grid_of())
    series = read_series(tmp_path / "ct")
    for name in ("one", "two"):
        report(series).save_as(tmp_path / name, enforce_file_format=True)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_another_version_gives_another_report(series: ImageSeries) -> None:
    assert report(series).SOPInstanceUID != report(series, version="10.0").SOPInstanceUID


def test_text_outside_ascii_does_not_touch_the_patients_character_set(
    series: ImageSeries, tmp_path: Path
) -> None:
    """A degree sign in our words must not decide how the patient's name is encoded."""
    odd = replace(MEASUREMENTS, quality=("PI differs by 3° ± 1°, größer als üblich",))
    document = from_disk(report(series, odd), tmp_path)
    assert document.SpecificCharacterSet == "ISO_IR 100"
    assert read_sr(document).quality == ("PI differs by 3 deg +/- 1 deg, gro?er als ublich",)


def test_a_reader_of_templates_finds_every_group(series: ImageSeries, tmp_path: Path) -> None:
    report(series).save_as(tmp_path / "sr.dcm", enforce_file_format=True)
    content = hd.sr.srread(tmp_path / "sr.dcm").content
    volumes = content.get_volumetric_roi_measurement_groups()
    assert [g.tracking_identifier for g in volumes] == ["L1", "L2"]
    assert [m.value for m in volumes[0].get_measurements()] == [2.125]
    others = content.get_image_measurement_groups()
    assert [g.tracking_identifier for g in others] == [
        "spine",
        "curve T5-T10",
        "curve T11-L4",
        "T3",
        "T12",
        "L6",
    ]
