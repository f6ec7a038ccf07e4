"""A PACS hides what a rejection note lists: that, all of that, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from spine_node.dicom.rejection_note import write_rejection_note
from spine_node.dicom.seg import write_seg
from spine_node.dicom.series import ImageSeries, read_series
from spine_node.dicom.sr import write_sr
from spine_node.parameters.model import Measurements
from spine_node.segmentation.segmenter import ModelIdentity, Segmentation
from tests.dicom.small_pictures import read
from tests.dicom.small_reports import measured
from tests.dicom.small_series import grid_of, labels_of, write_series
from tests.validation.validators import above_noise, dcentvfy, dciodvfy, dsrdump

MODEL = ModelIdentity("toy-net", "1.2", "ab" * 32)
PI = Measurements("PATIENT", "image z axis", (measured("PI", 52.0),))


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> ImageSeries:
    folder = tmp_path_factory.mktemp("ct")
    write_series(folder, grid_of())
    return read_series(folder)


@pytest.fixture(scope="module")
def superseded(series: ImageSeries) -> list[Dataset]:
    segmentation = Segmentation(labels_of(series.grid), MODEL)
    seg = write_seg(series, segmentation, software_version="9.9")
    return [seg, write_sr(series, PI, [seg], segmentation, software_version="9.9")]


def _note(rejected: list[Dataset]) -> Dataset:
    return read(write_rejection_note(rejected, "Superseded.", software_version="9.9"))


def test_it_lists_every_instance_once_in_content_and_evidence(superseded: list[Dataset]) -> None:
    note = _note(superseded)
    wanted = {(s.SOPClassUID, s.SOPInstanceUID) for s in superseded}
    listed = [
        (
            i.ReferencedSOPSequence[0].ReferencedSOPClassUID,
            i.ReferencedSOPSequence[0].ReferencedSOPInstanceUID,
        )
        for i in note.ContentSequence
        if i.ValueType in ("IMAGE", "COMPOSITE")
    ]
    assert len(listed) == len(superseded)
    assert set(listed) == wanted
    (study,) = note.CurrentRequestedProcedureEvidenceSequence
    evidence = {
        (study.StudyInstanceUID, series.SeriesInstanceUID, sop.ReferencedSOPInstanceUID)
        for series in study.ReferencedSeriesSequence
        for sop in series.ReferencedSOPSequence
    }
    assert evidence == {(s.StudyInstanceUID, s.SeriesInstanceUID, s.SOPInstanceUID) for s in superseded}


def test_it_is_titled_as_the_profile_asks_and_belongs_to_the_patient(superseded: list[Dataset]) -> None:
    note = _note(superseded)
    title = note.ConceptNameCodeSequence[0]
    assert (title.CodeValue, title.CodingSchemeDesignator) == ("113001", "DCM")
    for keyword in ("PatientID", "StudyInstanceUID", "AccessionNumber"):
        assert note[keyword].value == superseded[0][keyword].value


def test_validators_of_others_find_nothing(superseded: list[Dataset], tmp_path: Path) -> None:
    paths = []
    for number, dataset in enumerate(
        [*superseded, write_rejection_note(superseded, "x", software_version="9")]
    ):
        paths.append(tmp_path / f"{number}.dcm")
        dataset.save_as(paths[-1], enforce_file_format=True)
    assert above_noise("dciodvfy", dciodvfy(paths[-1])) == []
    absent = "Missing SOPInstanceUID that was referenced"  # the source images, which are not among the files
    assert [line for line in above_noise("dcentvfy", dcentvfy(paths)) if absent not in line] == []
    assert above_noise("dsrdump", dsrdump(paths[-1])) == []


def test_the_same_instances_give_the_same_note_and_others_another(superseded: list[Dataset]) -> None:
    assert _note(superseded).SOPInstanceUID == _note(superseded).SOPInstanceUID
    assert _note(superseded).SOPInstanceUID != _note(superseded[:1]).SOPInstanceUID


def test_nothing_and_two_studies_are_no_note(superseded: list[Dataset]) -> None:
    with pytest.raises(ValueError, match="there are none"):
        write_rejection_note([], "x", software_version="9")
    other = Dataset()
    other.update(superseded[0])
    other.StudyInstanceUID = "1.2.3.4"
    with pytest.raises(ValueError, match="one study"):
        write_rejection_note([*superseded, other], "x", software_version="9")
