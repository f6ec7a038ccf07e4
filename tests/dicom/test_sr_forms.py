"""Peers that refuse the 3D class get the same numbers; a report names what it refers to and supersedes."""

from __future__ import annotations

import copy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import highdicom as hd
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EnhancedSRStorage,
    ImplicitVRLittleEndian,
)

from spine_node.dicom.seg import segment_references
from spine_node.dicom.series import ImageSeries, read_series
from spine_node.dicom.sr import ReportForm, read_sr, write_sr
from spine_node.dicom.sr_codes import code_of
from spine_node.parameters.model import Measurements
from spine_node.reports.report import report_of
from tests.dicom.small_reports import (
    below,
    concept,
    groups,
    items,
    measured,
    report,
    segmented,
    stored,
    value,
)
from tests.dicom.small_series import STUDY, grid_of, write_series
from tests.dicom.test_sr import MEASUREMENTS, erect
from tests.dicom.test_sr_panel import every_row

FORMS: tuple[ReportForm, ...] = get_args(ReportForm)
CLASSES = {
    "sr-3d": Comprehensive3DSRStorage,
    "sr-comprehensive": ComprehensiveSRStorage,
    "sr-enhanced": EnhancedSRStorage,
}


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> ImageSeries:
    folder = tmp_path_factory.mktemp("erect")
    write_series(folder, grid_of(), change=erect)
    return read_series(folder)


@pytest.fixture(scope="module")
def panels(series: ImageSeries, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A small panel with every kind of item, in each form."""
    folder = tmp_path_factory.mktemp("panels")
    for form in FORMS:
        report(series, MEASUREMENTS, form=form).save_as(folder / form, enforce_file_format=True)
    return {form: folder / form for form in FORMS}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_reads_back_exactly(form: str, panels: dict[str, Path]) -> None:
    document = pydicom.dcmread(panels[form])
    assert document.SOPClassUID == CLASSES[form]
    assert read_sr(document).to_dict() == MEASUREMENTS.to_dict()


def test_every_row_of_both_catalogues_survives_without_lines(series: ImageSeries) -> None:
    document = stored(report(series, every_row(), form="sr-enhanced"))
    assert read_sr(document).to_dict() == every_row().to_dict()


@pytest.mark.parametrize("form", FORMS)
def test_validators_accept_every_form(form: str, panels: dict[str, Path]) -> None:
    """dciodvfy knows which value types and relationships the SOP class allows; so does dcmtk."""
    dciodvfy = Path(sys.executable).with_name("dciodvfy")
    told = _told(dciodvfy, "-new", panels[form])
    assert CLASSES[form].keyword.replace("Storage", "") in told
    assert [line for line in told.splitlines() if line.startswith("Error")] == []


@pytest.mark.dcmtk
@pytest.mark.parametrize("form", FORMS)
def test_dcmtk_reads_every_form_without_a_word(form: str, panels: dict[str, Path]) -> None:
    assert _told(Path(shutil.which("dsrdump") or "dsrdump"), panels[form]) == ""


def _told(program: Path, *arguments: str | Path) -> str:
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    return done.stderr


@pytest.mark.parametrize("form", FORMS)
def test_a_reader_of_templates_finds_the_groups_of_every_form(form: str, panels: dict[str, Path]) -> None:
    content = hd.sr.srread(panels[form]).content
    assert [g.tracking_identifier for g in content.get_volumetric_roi_measurement_groups()] == ["L1", "L2"]
    assert len(content.get_image_measurement_groups()) == 8


def test_only_the_3d_class_holds_coordinates_and_the_others_say_so(panels: dict[str, Path]) -> None:
    """PS3.3 A.35.2.3 and A.35.3.3: no SCOORD3D."""
    for form, path in panels.items():
        document = pydicom.dcmread(path)
        kinds = {item.ValueType for item in items(document)}
        said = [item.TextValue for item in items(document) if concept(item) == "QC_LINES"]
        assert ("SCOORD3D" in kinds) == (form == "sr-3d") == (not said), form


def test_but_for_coordinates_the_forms_hold_the_same(panels: dict[str, Path]) -> None:
    def without_coordinates(item: Dataset) -> list[Any]:
        return [
            (child.ValueType, concept(child), child.get("TextValue"), without_coordinates(child))
            for child in item.get("ContentSequence") or ()
            if child.ValueType != "SCOORD3D" and concept(child) != "QC_LINES"
        ]

    first, *others = (without_coordinates(pydicom.dcmread(path)) for path in panels.values())
    assert others == [first, first]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_preliminary_and_unverified(form: str, panels: dict[str, Path]) -> None:
    document = pydicom.dcmread(panels[form])
    assert (document.PreliminaryFlag, document.VerificationFlag) == ("PRELIMINARY", "UNVERIFIED")


def test_forms_parts_and_predecessors_never_share_a_uid(series: ImageSeries) -> None:
    """Another content under the same UID would be lost in an archive, or refused."""
    segmentation, seg = segmented(series)
    other = copy.deepcopy(seg)
    other.SOPInstanceUID = "2.25.999"
    ways: list[tuple[ReportForm, list[Dataset], list[Dataset]]] = [
        *((form, [seg], []) for form in FORMS),
        ("sr-3d", [other], []),
        ("sr-3d", [seg, other], []),
        ("sr-3d", [seg], [other]),
    ]
    none = Measurements("PATIENT", "given", ())
    made = [
        write_sr(series, none, segs, segmentation, software_version="9.9", form=form, predecessors=old)
        for form, segs, old in ways
    ]
    assert len({document.SOPInstanceUID for document in made}) == len(made)
    assert len({document.SeriesInstanceUID for document in made}) == len(FORMS)


def test_a_vertebra_refers_to_the_instance_that_holds_its_segment(series: ImageSeries) -> None:
    """Where a viewer takes few frames, the segments are spread over several SEGs."""
    segmentation, whole = segmented(series)
    first, second = (copy.deepcopy(whole) for _ in range(2))
    second.SOPInstanceUID = "2.25.999"
    names = [item.TrackingID for item in whole.SegmentSequence]
    first.SegmentSequence = [i for i in whole.SegmentSequence if i.TrackingID != "L2"]
    second.SegmentSequence = [i for i in whole.SegmentSequence if i.TrackingID == "L2"]
    background = Dataset()
    background.SegmentNumber = 0
    first.SegmentSequence.insert(0, background)
    second.SegmentSequence[0].SegmentNumber = 1
    found = segment_references([first, second])
    assert sorted(found) == sorted(names)
    assert found["L2"].sop_instance_uid == "2.25.999"
    document = write_sr(series, MEASUREMENTS, [first, second], segmentation, software_version="9.9")
    referred = {
        name: (
            below(group, "121191")[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID,
            below(group, "121191")[0].ReferencedSOPSequence[0].ReferencedSegmentNumber,
            below(group, "112040")[0].UID,
        )
        for name, group in groups(document).items()
        if below(group, "121191")
    }
    tracked = {item.TrackingID: item.TrackingUID for item in whole.SegmentSequence}
    assert referred == {
        "L1": (whole.SOPInstanceUID, 1, tracked["L1"]),
        "L2": ("2.25.999", 1, tracked["L2"]),
    }
    assert _evidence(document) >= {str(whole.SOPInstanceUID), "2.25.999"}


def test_a_report_without_a_segmentation_is_refused(series: ImageSeries) -> None:
    with pytest.raises(ValueError, match="at least one SEG"):
        write_sr(series, MEASUREMENTS, [], segmented(series)[0], software_version="9.9")


@pytest.mark.parametrize("form", FORMS)
def test_a_report_names_those_it_supersedes(form: str, series: ImageSeries) -> None:
    """PS3.3 C.17.2.3: by study, series and instance; whichever way round they were found."""
    older = [stored(report(series, MEASUREMENTS, version)) for version in ("9.7", "9.8")]
    one, other = (
        stored(report(series, MEASUREMENTS, form=form, predecessors=p)) for p in (older, older[::-1])
    )
    assert _bytes(one) == _bytes(other)
    (study,) = one.PredecessorDocumentsSequence
    assert study.StudyInstanceUID == STUDY
    listed = {
        (i.SeriesInstanceUID, r.ReferencedSOPClassUID, r.ReferencedSOPInstanceUID)
        for i in study.ReferencedSeriesSequence
        for r in i.ReferencedSOPSequence
    }
    assert listed == {(d.SeriesInstanceUID, d.SOPClassUID, d.SOPInstanceUID) for d in older}
    assert "PredecessorDocumentsSequence" not in report(series, MEASUREMENTS, form=form)
    assert not _evidence(one) & {str(d.SOPInstanceUID) for d in older}, "superseded, not evidence"


def _evidence(document: Dataset) -> set[str]:
    """PS3.3 C.17.2: what the report was made from; all of it is of the same study."""
    assert "PertinentOtherEvidenceSequence" not in document
    return {
        str(i.ReferencedSOPInstanceUID)
        for study in document.CurrentRequestedProcedureEvidenceSequence
        for one in study.ReferencedSeriesSequence
        for i in one.ReferencedSOPSequence
    }


@pytest.mark.parametrize(
    ("orientation", "modifier", "bearing", "stood"),
    [
        (("C86043", "NCIt"), None, False, True),
        (("C86043", "NCIt"), ("10904000", "SCT"), False, True),
        (None, None, True, True),
        (("C86043", "NCIt"), ("10904000", "SCT"), True, True),
        (("102538003", "SCT"), ("40199007", "SCT"), False, False),
        (("C86043", "NCIt"), ("33586001", "SCT"), True, False),
        (None, None, False, False),
    ],
    ids=["erect", "standing", "bearing", "all", "supine", "sitting", "nothing"],
)
@pytest.mark.parametrize("form", ["sr-3d", "sr-enhanced"])
def test_of_the_posture_a_report_says_what_the_source_declares_and_no_more(
    orientation: tuple[str, str] | None,
    modifier: tuple[str, str] | None,
    bearing: bool,
    stood: bool,
    form: str,
    tmp_path: Path,
) -> None:
    """As acquisition context and as an evaluation, from which a reader knows whether the patient stood."""
    posture = {"113743": orientation, "113744": modifier, "130324": ("87731000", "SCT") if bearing else None}
    expected = {name: code[0] for name, code in posture.items() if code}

    def declare(ds: Dataset, k: int) -> None:
        if orientation:
            item = coded(*orientation)
            item.PatientOrientationModifierCodeSequence = [coded(*modifier)] if modifier else []
            ds.PatientOrientationCodeSequence = [item]
        if bearing:
            context = Dataset()
            context.ValueType = "CODE"
            context.ConceptNameCodeSequence = [coded("130324", "DCM")]
            context.ConceptCodeSequence = [coded("87731000", "SCT")]
            ds.AcquisitionContextSequence = [context]

    write_series(tmp_path / "ct", grid_of(), change=declare)
    path = tmp_path / "sr.dcm"
    document = report(read_series(tmp_path / "ct"), MEASUREMENTS, form=form)
    document.save_as(path, enforce_file_format=True)
    library = next(i for i in items(document) if concept(i) == "126200")
    remarks = next(i for i in document.ContentSequence if concept(i) == "C0034375")
    for container, relation in ((library, "HAS ACQ CONTEXT"), (remarks, "CONTAINS")):
        said = [i for i in container.ContentSequence if concept(i) in posture]
        assert {i.RelationshipType for i in said} <= {relation}
        assert [(concept(i), value(i)) for i in said] == list(expected.items())
    assert report_of(stored(document)).standing is stood
    told = _told(Path(sys.executable).with_name("dciodvfy"), "-new", path)
    assert [line for line in told.splitlines() if line.startswith("Error")] == []


def coded(value: str, scheme: str, meaning: str = "as declared") -> Dataset:
    """An item of a code sequence."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ([("RPID145", "RADLEX", "DVT WS stehend")], ("RPID145", "RADLEX", "DVT WS stehend")),
        (
            [("4711", "99KH", "Ganzwirbels\u00e4ule"), ("1", "99KH", "second")],
            ("4711", "99KH", "Ganzwirbelsaule"),
        ),
        ([("4711", "99KH", "x" * 70)], ("4711", "99KH", "x" * 64)),
        ([("4" * 17, "99KH", "too long")], ("25045-6", "LN", "CT unspecified body region")),
        ([("4711", "", "without a scheme")], ("25045-6", "LN", "CT unspecified body region")),
        ([], ("25045-6", "LN", "CT unspecified body region")),
    ],
    ids=["coded", "two, one outside ASCII", "long words", "long code", "incomplete", "none"],
)
def test_the_procedure_reported_is_what_the_source_says_was_done(
    declared: list[tuple[str, str, str]], expected: tuple[str, str, str], tmp_path: Path
) -> None:
    def declare(ds: Dataset, k: int) -> None:
        ds.ProcedureCodeSequence = [coded(*code) for code in declared]

    write_series(tmp_path, grid_of(), change=declare)
    document = stored(report(read_series(tmp_path), MEASUREMENTS))
    (said,) = [i.ConceptCodeSequence[0] for i in items(document) if concept(i) == "121058"]
    assert (said.CodeValue, said.CodingSchemeDesignator, said.CodeMeaning) == expected


@pytest.mark.parametrize("form", FORMS)
def test_every_group_names_the_model_that_its_numbers_come_from(form: str, panels: dict[str, Path]) -> None:
    for name, group in groups(pydicom.dcmread(panels[form])).items():
        assert [i.TextValue for i in below(group, "111001")] == ["Spine Node"], name
        assert [i.TextValue for i in below(group, "111002")] == [
            "model toy-net 1.2",
            f"weights_sha256={'ab' * 32}",
        ], name


@pytest.mark.parametrize("side", [None, "left", "right"])
def test_which_side_of_the_pelvis_is_higher_is_told_of_the_pelvis(
    side: str | None, series: ImageSeries
) -> None:
    keys = ("PELVOBL", "PELVOBL_CREST", "PELVOBL_S1", "FHHD", "C7_CSVL")
    found = Measurements("PATIENT", "given", tuple(measured(key, 2.5, side=side) for key in keys))
    document = stored(report(series, found))
    assert read_sr(document).to_dict() == found.to_dict()
    told = {
        concept(item): [
            (value(site), [value(i) for i in below(site, "272741003")]) for site in below(item, "363698007")
        ]
        for group in groups(document).values()
        for item in group.ContentSequence
        if item.ValueType == "NUM"
    }
    laterality = [{"left": "7771000", "right": "24028007"}[side]] if side else []
    assert told.pop(code_of("C7_CSVL").value) == ([("421060004", laterality)] if side else [])
    assert told == {code_of(key).value: [("118645006", laterality)] for key in keys[:-1]}


def test_what_is_encoded_here_is_what_pydicom_would_encode(panels: dict[str, Path]) -> None:
    """Items go out as bytes of our own: reading every one and writing it anew changes no byte."""
    for path in panels.values():
        document = pydicom.dcmread(path)
        for item in items(document):
            item.set_original_encoding(None, None)
        document.set_original_encoding(None, None)
        assert _bytes(document) == path.read_bytes()


def test_a_report_can_go_out_in_implicit_vr(series: ImageSeries) -> None:
    """What a peer may insist on."""
    document = report(series, MEASUREMENTS)
    document.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    encoded = _bytes(document)
    assert b"\x40\x00\x30\xa7SQ" not in encoded
    assert (
        read_sr(pydicom.dcmread(pydicom.filebase.DicomBytesIO(encoded))).to_dict() == MEASUREMENTS.to_dict()
    )


def _bytes(document: Dataset) -> bytes:
    file = pydicom.filebase.DicomBytesIO()
    document.save_as(file, enforce_file_format=True)
    return bytes(file.getvalue())
