"""Reports among whatever lies in a folder: ours are found, the rest is counted, the newest counts."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedSRStorage

from spine_node.errors import ReportRefused
from spine_node.network.archive import Query
from spine_node.network.contexts import REPORT_CLASSES
from spine_node.parameters.model import LevelIdentification
from spine_node.reports.find import find_in_files
from tests.conftest import make_ct
from tests.reports.conftest import Done
from tests.reports.kept import PI_ALONE, keep, others, ours
from tests.steps import steps_of

DOSE_REPORT = "1.2.840.10008.5.1.4.1.1.88.67"
FIXED = replace(PI_ALONE, levels=LevelIdentification(9.0, "", ("L5",)))


def uids(path: Path, query: Query = Query(), *, every: bool = False) -> list[str]:  # noqa: B008 - frozen
    return [found.sop_instance_uid for found in find_in_files(path, query, every=every).reports]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """An export as a PACS writes it: images, reports of three kinds, rubbish."""
    make_ct(tmp_path / "a" / "ct", slices=5)
    keep(ours(sop="2.25.1"), tmp_path / "a" / "IM0001")
    keep(others("2.25.2"), tmp_path / "a" / "IM0002")
    keep(others("2.25.3", DOSE_REPORT), tmp_path / "b" / "deep" / "dose.dcm")
    keep(ours(sop="2.25.4", StudyInstanceUID="2.25.44", StudyDate="20260203", PatientID="T2",
              AccessionNumber="A2"), tmp_path / "b" / "deep" / "sr.dcm")  # fmt: skip
    (tmp_path / "b" / "notes.txt").write_text("not DICOM")
    (tmp_path / "b" / "empty").touch()
    return tmp_path


def test_ours_are_found_and_the_rest_is_counted(archive: Path) -> None:
    found = find_in_files(archive, Query())
    assert [r.sop_instance_uid for r in found.reports] == ["2.25.1", "2.25.4"]
    assert dict(found.passed_over) == {
        "other DICOM objects": 5,
        "structured reports that are not ours": 2,
        "files that are no DICOM": 2,
    }


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (Query(study_uid="2.25.44"), ["2.25.4"]),
        (Query(accession="A1"), ["2.25.1"]),
        (Query(patient_id="T2"), ["2.25.4"]),
        (Query(first_date="20260102", last_date="20260202"), ["2.25.1"]),
        (Query(first_date="20260203"), ["2.25.4"]),
        (Query(last_date="20260203"), ["2.25.1", "2.25.4"]),
        (Query(patient_id="T2", accession="A1"), []),
        (Query(study_uid="2.25.4"), []),
    ],
    ids=str,
)
def test_a_query_chooses_among_them(archive: Path, query: Query, expected: list[str]) -> None:
    assert uids(archive, query) == expected


def test_the_last_of_a_chain_counts_whatever_the_order_of_files(tmp_path: Path) -> None:
    keep(ours(sop="2.25.3"), tmp_path / "1")
    keep(ours(sop="2.25.2", predecessor="2.25.3"), tmp_path / "3")
    keep(ours(sop="2.25.1", predecessor="2.25.2"), tmp_path / "2")
    found = find_in_files(tmp_path, Query())
    assert [r.sop_instance_uid for r in found.reports] == ["2.25.1"]
    assert found.passed_over["superseded reports (--all shows them)"] == 2
    assert sorted(uids(tmp_path, every=True)) == ["2.25.1", "2.25.2", "2.25.3"]


def test_without_a_chain_the_later_software_counts(tmp_path: Path) -> None:
    keep(ours(sop="2.25.1", SoftwareVersions="0.10.0"), tmp_path / "1")
    keep(ours(sop="2.25.2", SoftwareVersions="0.9.1"), tmp_path / "2")
    assert uids(tmp_path) == ["2.25.1"]


def test_of_two_forms_of_one_report_the_one_with_coordinates_counts(tmp_path: Path) -> None:
    for number, sop_class in enumerate(REPORT_CLASSES):
        document = ours(sop=f"2.25.{number}", SOPClassUID=sop_class)
        document.file_meta.MediaStorageSOPClassUID = sop_class
        keep(document, tmp_path / str(number))
    assert uids(tmp_path) == ["2.25.0"]


def enhanced(**how: str) -> Dataset:
    document = ours(SOPClassUID=EnhancedSRStorage, **how)
    document.file_meta.MediaStorageSOPClassUID = EnhancedSRStorage
    return document


@pytest.mark.parametrize(("first", "second"), [("2.25.1", "2.25.2"), ("2.25.2", "2.25.1")])
def test_of_enhanced_reports_the_one_that_knew_of_more_counts(
    first: str, second: str, tmp_path: Path
) -> None:
    """What they supersede, the 3D reports, is in another archive."""
    keep(enhanced(sop="2.25.3"), tmp_path / "1")
    keep(enhanced(sop=first, predecessor="2.25.77"), tmp_path / "2")
    later = enhanced(sop=second, predecessor="2.25.77")
    superseded = later.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence
    superseded.append(copy.deepcopy(superseded[0]))
    superseded[1].ReferencedSOPInstanceUID = "2.25.78"
    keep(later, tmp_path / "3")
    assert uids(tmp_path) == [second]


@pytest.mark.parametrize(("first", "second"), [("2.25.1", "2.25.2"), ("2.25.2", "2.25.1")])
def test_of_enhanced_reports_the_one_of_more_images_counts(first: str, second: str, tmp_path: Path) -> None:
    """Some came late."""
    early = enhanced(sop=first)
    for series in early.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence:
        if len(series.ReferencedSOPSequence) > 1:
            del series.ReferencedSOPSequence[-1]
    keep(early, tmp_path / "1")
    keep(enhanced(sop=second), tmp_path / "2")
    assert uids(tmp_path) == [second]


def test_levels_that_a_person_has_fixed_are_not_superseded_by_a_net(tmp_path: Path) -> None:
    keep(ours(FIXED, sop="2.25.1", SoftwareVersions="0.9"), tmp_path / "1")
    keep(ours(sop="2.25.2", SoftwareVersions="0.10"), tmp_path / "2")
    assert uids(tmp_path) == ["2.25.1"]


def test_two_scans_of_a_study_have_a_report_each_and_a_copy_is_none(tmp_path: Path) -> None:
    keep(ours(sop="2.25.1"), tmp_path / "1")
    keep(ours(sop="2.25.1"), tmp_path / "copy of 1")
    keep(ours(sop="2.25.2", source="2.25.999"), tmp_path / "2")
    found = find_in_files(tmp_path, Query())
    assert sorted(r.sop_instance_uid for r in found.reports) == ["2.25.1", "2.25.2"]
    assert dict(found.passed_over) == {"copies": 1}


@pytest.mark.parametrize("sop_class", sorted(REPORT_CLASSES), ids=REPORT_CLASSES.get)
def test_a_report_is_ours_in_each_of_its_classes(tmp_path: Path, sop_class: str) -> None:
    document = ours(sop="2.25.1", SOPClassUID=sop_class)
    document.file_meta.MediaStorageSOPClassUID = sop_class
    (found,) = find_in_files(keep(document, tmp_path / "sr.dcm"), Query()).reports
    assert (found.sop_class_uid, found.measurements.to_dict()) == (sop_class, PI_ALONE.to_dict())


def test_a_report_cut_short_is_named_and_does_not_hide_another(tmp_path: Path) -> None:
    whole = keep(ours(sop="2.25.1"), tmp_path / "whole.dcm").read_bytes()
    (tmp_path / "cut.dcm").write_bytes(whole[: len(whole) * 2 // 3])
    (tmp_path / "head.dcm").write_bytes(whole[:140])
    found = find_in_files(tmp_path, Query())
    assert [r.sop_instance_uid for r in found.reports] == ["2.25.1"]
    assert len(found.unreadable) + sum(found.passed_over.values()) == 2
    with pytest.raises(ReportRefused, match=r"cut\.dcm"):
        find_in_files(tmp_path / "cut.dcm", Query())


@pytest.mark.parametrize("part", [0.3, 0.6, 0.9, 0.97, 0.999])
def test_a_report_cut_anywhere_never_passes_for_a_shorter_one(tmp_path: Path, part: float) -> None:
    whole = keep(ours(sop="2.25.1"), tmp_path / "whole.dcm").read_bytes()
    (tmp_path / "cut.dcm").write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(ReportRefused, match=r"cut\.dcm"):
        find_in_files(tmp_path / "cut.dcm", Query())


def test_a_file_that_is_none_of_ours_is_refused_with_what_it_is(archive: Path) -> None:
    for path, words in (
        (next((archive / "a" / "ct").iterdir()), "other DICOM objects: 1"),
        (archive / "a" / "IM0002", "structured reports that are not ours: 1"),
        (archive / "b" / "notes.txt", "files that are no DICOM: 1"),
    ):
        with pytest.raises(ReportRefused, match=words):
            find_in_files(path, Query())


def test_what_cannot_be_opened_is_counted(tmp_path: Path) -> None:
    keep(ours(sop="2.25.1"), tmp_path / "1")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    assert uids(tmp_path) == ["2.25.1"]


def test_images_are_passed_over_by_their_first_bytes(tmp_path: Path) -> None:
    """There may be thousands for each report: what lies behind the File Meta Information costs nothing."""

    def pass_over() -> None:
        assert find_in_files(tmp_path, Query()).passed_over == {"other DICOM objects": 10}

    images = make_ct(tmp_path / "ct", slices=10)
    short = steps_of(pass_over)
    for path in images:
        image = dcmread(path)
        for number in range(500):
            image.add_new((0x0009, 0x1000 + number), "LO", "x")
        image.save_as(path)
    assert steps_of(pass_over) - short < 500


def test_the_exit_status_tells_found_from_nothing_from_wrong(
    archive: Path, tmp_path: Path, report_command: Callable[..., Done]
) -> None:
    done = report_command(archive, "--json")
    assert done.status == 0, done.err
    assert len(json.loads(done.out)) == 2
    assert "Reports: 2, studies: 2" in done.err
    assert "other DICOM objects: 5" in done.err
    nothing = report_command(archive, "--patient", "nobody")
    assert (nothing.status, nothing.out) == (3, "")
    assert "reports of other studies than those sought: 2" in nothing.err
    for wrong in (
        (tmp_path / "no-such-folder",),
        (archive, "--json", "--csv"),
        (archive, "--patient", "T*"),
        (archive, "--from", "yesterday"),
        ("dicom://PACS@127.0.0.1:104",),
        ("dicom://127.0.0.1:104", "--study", "1.2"),
        ("ftp://127.0.0.1", "--study", "1.2"),
        ("https://user:secret@127.0.0.1/dicom-web", "--study", "1.2"),
        ("--peer", "nowhere", "--config", tmp_path, "--study", "1.2"),
        (),
    ):
        run = report_command(*wrong)
        assert (run.status, run.out) == (1, ""), (wrong, run)
        assert "Traceback" not in run.err
        assert "secret" not in run.err
