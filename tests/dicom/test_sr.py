"""A report holds what was measured, refers to the SEG, and says what a device may say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from pydicom.dataset import Dataset

from spine_node.dicom.series import ImageSeries, read_series
from spine_node.dicom.sr import read_sr
from spine_node.parameters.catalogue import DEFINITIONS
from spine_node.parameters.model import (
    Classification,
    LevelIdentification,
    Line,
    Measurements,
    NotMeasured,
)
from tests.dicom.small_reports import (
    below,
    concept,
    groups,
    items,
    measured,
    report,
    segmented,
    stored,
    unit,
    value,
)
from tests.dicom.small_series import SPACE, grid_of, write_multiframe, write_series

MEASUREMENTS = Measurements(
    frame="PATIENT",
    vertical="image z axis, posture declared erect",
    parameters=(
        measured("PI", 52.0161, uncertainty=1.14159, lines=(Line("axis", [[-80, 0, 0], [80, 1, 2]]),)),
        measured("PT", -3.5),
        measured("TK_T4T12", 38.4, upper="T4", lower="T12"),
        measured("T1S", 18.25, level="T1"),
        measured("SVA", 123.456, uncertainty=0.75, lines=(Line("centre", [[1.5, -2.25, 300.125]]),)),
        measured("C7_CSVL", -16.5, side="right", lines=(Line("plumb", [[0, 0, 0], [0, 0, 500]]),)),
        measured("S1_TILT", 2.5, level="S1", side="left"),
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
        measured("AVR", -7.5, level="T12", side="right"),
        measured("AVR", 2.125, level="L1", side="left", uncertainty=3.0),
        measured("AVR", 0.5, level="L6", side="left"),
        measured("DH_MID", 9.25, level="L4/L5", uncertainty=1.5, imprecise=True),
        measured("SLIP_MM", -1.5, level="L4/L5", lines=(Line("centre", [[1, 2, 3], [4, 5, 6]]),)),
    ),
    not_measured=(
        NotMeasured("LL_L1S1", "L1: its superior endplate touches the border of the image"),
        NotMeasured("AVR", "no posterior elements in the label map", "T3"),
        NotMeasured("AVR", "its plates disagree", "L2"),
        NotMeasured("DH_MID", "S1: not seen", "L5/S1"),
        NotMeasured("ROUSSOULY", "withheld: the posture is not known"),
    ),
    classes=(
        Classification("SCHWAB_PI_LL", "+", (("PI_LL", 12.345),), borderline=True),
        Classification("NEUTRAL_LEVEL", "L1", (("AVR L1", -0.5),), upper="T5", apex="T8", lower="T10"),
    ),
    quality=("Posture unverified.", "T13 was counted from the sacrum."),
)


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> ImageSeries:
    folder = tmp_path_factory.mktemp("ct")
    write_series(folder, grid_of())
    return read_series(folder)


def test_what_is_read_back_is_what_was_measured(series: ImageSeries) -> None:
    assert read_sr(stored(report(series, MEASUREMENTS))).to_dict() == MEASUREMENTS.to_dict()


def test_lines_outside_vertebra_groups_come_back_too(series: ImageSeries) -> None:
    back = read_sr(stored(report(series, MEASUREMENTS)))
    for before, after in zip(MEASUREMENTS.parameters, back.parameters, strict=True):
        assert [i.role for i in before.lines] == [i.role for i in after.lines]
        for one, other in zip(before.lines, after.lines, strict=True):
            np.testing.assert_allclose(one.points_mm, other.points_mm, atol=1e-4)


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
    series: ImageSeries, levels: LevelIdentification, code: str
) -> None:
    told = replace(MEASUREMENTS, levels=levels)
    document = stored(report(series, told))
    assert read_sr(document).to_dict() == told.to_dict()
    assert code in document.to_json()


def test_a_vertebra_is_measured_on_its_segment(series: ImageSeries) -> None:
    """Group and segment share number and tracking UID: a viewer can go from one to the other."""
    _, seg = segmented(series)
    segments = {item.TrackingUID: item for item in seg.SegmentSequence}
    found = {}
    for name, group in groups(report(series, MEASUREMENTS)).items():
        for image in below(group, "121191"):
            reference = image.ReferencedSOPSequence[0]
            assert reference.ReferencedSOPInstanceUID == seg.SOPInstanceUID
            item = segments[below(group, "112040")[0].UID]
            assert item.SegmentNumber == reference.ReferencedSegmentNumber
            assert item.TrackingID == name
            found[name] = [concept(i) for i in group.ContentSequence if i.ValueType == "NUM"]
    assert found == {"L1": ["AVR"], "L2": []}


def test_a_curve_shows_its_end_vertebrae_and_its_arms(series: ImageSeries) -> None:
    """A Cobb angle whose arms are four points can be drawn by viewers that know no more of us."""
    curve = groups(report(series, MEASUREMENTS))["curve T5-T10"]
    codes = {
        concept(i): i.ConceptCodeSequence[0].CodeMeaning
        for i in curve.ContentSequence
        if i.ValueType == "CODE"
    }
    assert (codes["END_UPPER"], codes["APEX_VERTEBRA"], codes["END_LOWER"]) == (
        "T5 vertebra", "T8 vertebra", "T10 vertebra",
    )  # fmt: skip
    (cobb,) = below(curve, "285285000")
    modified = {value(below(site, "106233006")[0]): site for site in below(cobb, "363698007")}
    assert {end: [value(i) for i in below(site, "272741003")] for end, site in modified.items()} == {
        "264217000": [], "APEX": ["24028007"], "261089000": [],
    }, "the side is that of the apex"  # fmt: skip
    arms = [i for i in items(curve) if i.ValueType == "SCOORD3D"]
    assert [(concept(i), i.GraphicType) for i in arms] == [("121223", "POLYLINE")] * 2
    assert {i.ReferencedFrameOfReferenceUID for i in arms} == {SPACE}
    np.testing.assert_allclose(
        [i.GraphicData for i in arms], [[-20, 3, 310, 20, 3, 320], [-21, 4, 210, 22, 4, 205]]
    )


def test_a_segment_is_its_disc(series: ImageSeries) -> None:
    """Its numbers have coordinates: there is no segment in the SEG to refer to."""
    found = groups(report(series, MEASUREMENTS))
    group = found["L4/L5"]
    assert [value(i) for i in below(group, "121071")] == ["360499006"]
    assert [value(i) for i in below(group, "363698007")] == ["84020006"]
    assert [i.GraphicType for i in items(group) if i.ValueType == "SCOORD3D"] == ["POLYLINE"]
    assert [value(i) for i in below(found["L5/S1"], "363698007")] == ["715056000"]


def test_uncertainties_have_the_unit_of_their_value(series: ImageSeries) -> None:
    for item in items(report(series, MEASUREMENTS)):
        if item.ValueType != "NUM" or concept(item) in ("371886008", "371885007"):
            continue
        spread = [i for i in item.ContentSequence if i.ValueType == "NUM"]
        assert unit(item) == DEFINITIONS.get(concept(item), DEFINITIONS["COBB"]).unit
        assert {unit(i) for i in spread} <= {unit(item)}


def test_a_number_says_when_its_interval_is_too_wide(series: ImageSeries) -> None:
    told = {
        concept(item): [value(i) for i in below(item, "QC_PRECISION")]
        for item in items(report(series, MEASUREMENTS))
        if item.ValueType == "NUM"
    }
    assert told["DH_MID"] == ["PRECISION_LOW"]
    assert told["AVR"] == []


def test_a_device_result_is_preliminary_and_unverified(series: ImageSeries) -> None:
    document = report(series, MEASUREMENTS)
    assert (document.CompletionFlag, document.VerificationFlag, document.PreliminaryFlag) == (
        "COMPLETE", "UNVERIFIED", "PRELIMINARY",
    )  # fmt: skip
    assert [i.ConceptCodeSequence[0].CodeValue for i in items(document) if concept(i) == "121005"] == [
        "121007"
    ]


def test_everything_referred_to_is_listed_as_evidence(series: ImageSeries) -> None:
    _, seg = segmented(series)
    document = report(series, MEASUREMENTS)
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
        for item in items(report(series, MEASUREMENTS))
        for keyword in ("ConceptNameCodeSequence", "ConceptCodeSequence")
        for code in item.get(keyword) or ()
    }
    assert schemes <= {"99SPINE3D", "DCM", "SCT", "UCUM", "NCIt", "UMLS", "LN", "RFC5646"}
    declared = report(series, MEASUREMENTS).CodingSchemeIdentificationSequence[0]
    assert declared.CodingSchemeDesignator == "99SPINE3D"
    assert declared.CodingSchemeUID.startswith("2.25.")


def erect(ds: Dataset, k: int) -> None:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "C86043", "NCIt", "erect"
    ds.PatientOrientationCodeSequence = [item]


@pytest.mark.parametrize(("change", "stated"), [(erect, True), (None, False)])
def test_erect_is_stated_only_when_it_was_declared(change: object, stated: bool, tmp_path: Path) -> None:
    write_series(tmp_path, grid_of(), change=change)  # type: ignore[arg-type]
    names = {concept(i) for i in items(report(read_series(tmp_path), MEASUREMENTS)) if i.ValueType == "CODE"}
    assert names & {"113743", "113744", "130324"} == ({"113743"} if stated else set())


@pytest.mark.parametrize("multiframe", [False, True])
def test_the_same_input_gives_the_same_bytes(multiframe: bool, tmp_path: Path) -> None:
    write = write_multiframe if multiframe else write_series
    write(tmp_path / "ct", grid_of())
    series = read_series(tmp_path / "ct")
    for name in ("one", "two"):
        report(series, MEASUREMENTS).save_as(tmp_path / name, enforce_file_format=True)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_another_version_gives_another_report(series: ImageSeries) -> None:
    assert report(series, MEASUREMENTS).SOPInstanceUID != report(series, MEASUREMENTS, "10.0").SOPInstanceUID


def test_text_outside_ascii_does_not_touch_the_patients_character_set(
    series: ImageSeries, tmp_path: Path
) -> None:
    """A degree sign in our words must not decide how the patient's name is encoded."""
    odd = replace(MEASUREMENTS, quality=("PI differs by 3° ± 1°, größer als üblich",))
    document = stored(report(series, odd))
    assert document.SpecificCharacterSet == "ISO_IR 100"
    assert read_sr(document).quality == ("PI differs by 3 deg +/- 1 deg, gro?er als ublich",)


def test_a_reader_of_templates_finds_every_group(series: ImageSeries, tmp_path: Path) -> None:
    report(series, MEASUREMENTS).save_as(tmp_path / "sr.dcm", enforce_file_format=True)
    content = hd.sr.srread(tmp_path / "sr.dcm").content
    volumes = content.get_volumetric_roi_measurement_groups()
    assert [g.tracking_identifier for g in volumes] == ["L1", "L2"]
    assert [m.value for m in volumes[0].get_measurements()] == [2.125]
    others = {g.tracking_identifier: g for g in content.get_image_measurement_groups()}
    assert list(others) == ["spine", "curve T5-T10", "curve T11-L4", "T3", "T12", "L6", "L4/L5", "L5/S1"]
    assert [m.value for m in others["L4/L5"].get_measurements()] == [9.25, -1.5]
    told = {e.name.value: e.value.value for e in others["spine"].get_qualitative_evaluations()}
    assert told["SCHWAB_PI_LL"] == "SRS_PILL_P"
    assert told["LL_L1S1"] == "114007"
