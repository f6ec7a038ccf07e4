"""A series goes in, results come out; and other names follow later, from what lies beside the results."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from spine_node import nifti, pipeline
from spine_node.anatomy.levels import POSTERIOR_OFFSET, VERTEBRA_VALUES
from spine_node.dicom.seg_reading import read_seg
from spine_node.dicom.series import ImageSeries, read_series
from spine_node.dicom.sr import read_sr
from spine_node.errors import LabelMapRefused, PinRefused
from spine_node.parameters.model import Measurements
from spine_node.profiles import load_profile
from spine_node.results import read_done, read_headers_of, write_labels, write_results
from spine_node.segmentation.pins import Pin, pin_of
from spine_node.segmentation.renaming import renamed
from tests.dicom.small_series import grid_of, write_series
from tests.segmentation.named_toy import ToySegmenter, named_toy

PLAIN = pipeline.Making("9.9")


@pytest.fixture(scope="module")
def series_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ct")
    write_series(folder, grid_of(spacing=(4.0, 4.0, 4.0), shape=(100, 50, 70), origin=(-138, -98, -198)))
    return folder


@pytest.fixture(scope="module")
def series(series_folder: Path) -> ImageSeries:
    return read_series(series_folder)


@pytest.fixture(scope="module")
def first_results(series: ImageSeries, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("first") / "results"
    making = pipeline.Making("9.9", load_profile("generic").best())
    write_results(pipeline.analyse(series, ToySegmenter(), making), out)
    return out


@pytest.fixture
def results(first_results: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(first_results, tmp_path / "results"))


def spine_node(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "spine_node", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


def measured(folder: Path) -> Measurements:
    return Measurements.from_dict(json.loads((folder / "measurements.json").read_text()))


def test_how_sure_the_levels_are_stands_in_every_result(results: Path) -> None:
    naming = json.loads((results / "naming.json").read_text())["naming"]
    levels = measured(results).levels
    assert levels is not None
    assert (levels.uncertain, levels.margin_nats) == (naming["uncertain"], naming["margin_nats"])
    assert levels.next_best == naming["hypotheses"][1]["words"]
    assert read_sr(pydicom.dcmread(results / "dicom" / "sr-3d.dcm")).levels == levels


def test_results_are_renamed_whole_without_a_net(
    results: Path, series_folder: Path, series: ImageSeries
) -> None:
    before = {
        name: pydicom.dcmread(results / "dicom" / f"{name}.dcm")
        for name in ("seg-binary", "sr-3d", "report-pdf")
    }
    rotation = {p.level: p.value for p in measured(results).parameters if p.key == "AVR"}
    run = spine_node("rename", results, "--pin", "L5=L4", "--series", series_folder, "--json")
    assert run.returncode == 0, run.stderr
    found = measured(results)
    assert json.loads(run.stdout) == found.to_dict()
    assert found.levels is not None
    assert found.levels.pinned == ("L5",)
    assert "numbering anomaly: six lumbar vertebrae" in found.quality
    assert found.get("AVR", "L5").value == pytest.approx(rotation["L4"])  # type: ignore[union-attr]
    labels = nifti.read_label_map(results / "labels.nii.gz")
    stored = read_seg(results / "dicom" / "seg-binary.dcm", series.grid, whole="body").labels
    sixth = VERTEBRA_VALUES["L6"]
    assert np.array_equal(stored == sixth, np.isin(labels.labels, [sixth, sixth + POSTERIOR_OFFSET]))
    for name, old in before.items():
        new = pydicom.dcmread(results / "dicom" / f"{name}.dcm")
        assert new.StudyInstanceUID == old.StudyInstanceUID
        assert new.SOPInstanceUID != old.SOPInstanceUID
        assert new.SeriesInstanceUID != old.SeriesInstanceUID
        assert new.SeriesDescription == f"{old.SeriesDescription}, levels fixed by a person"
    (replaced,) = pydicom.dcmread(results / "dicom" / "sr-3d.dcm").PredecessorDocumentsSequence
    (old_series,) = replaced.ReferencedSeriesSequence
    assert old_series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == before["sr-3d"].SOPInstanceUID
    assert (results / "stl" / "L6.stl").exists()


def test_every_object_of_the_profile_is_there_and_listed(results: Path) -> None:
    done = read_done(results)
    assert done is not None
    listed = {row["file"]: row for rows in done["objects"].values() for row in rows}
    there = sorted(path.relative_to(results).as_posix() for path in (results / "dicom").iterdir())
    assert sorted(listed) == there
    assert set(done["objects"]) == {"seg-binary", "sr-3d", "key-images", "key-object", "report-pdf"}
    for file, row in listed.items():
        header = pydicom.dcmread(results / file, stop_before_pixels=True)
        assert (header.SOPInstanceUID, header.SOPClassUID) == (row["sop_instance_uid"], row["sop_class_uid"])
        assert header.StudyInstanceUID == done["study_uid"]


def test_results_of_an_earlier_version_are_still_known(tmp_path: Path) -> None:
    """An upgrade while deliveries are open: the folder's names are those of version 0.2."""
    row = {"sop_instance_uid": "1.2", "sop_class_uid": "1.3"}
    (tmp_path / "done.json").write_text(json.dumps({"study_uid": "1", "objects": {"seg": row, "sr": row}}))
    done = read_done(tmp_path)
    assert done is not None
    assert done["objects"]["seg-binary"] == [{"file": "dicom/seg.dcm", **row}]
    assert done["objects"]["sr-3d"] == [{"file": "dicom/sr.dcm", **row}]


def test_the_same_series_gives_the_same_bytes(series: ImageSeries, results: Path, tmp_path: Path) -> None:
    """So that a job that is done again after a kill sends what it has sent before."""
    making = pipeline.Making("9.9", load_profile("generic").best())
    write_results(pipeline.analyse(series, ToySegmenter(), making), tmp_path / "again")
    assert contents(tmp_path / "again" / "dicom") == contents(results / "dicom")


def test_pinning_at_once_and_later_is_the_same(series: ImageSeries, results: Path, tmp_path: Path) -> None:
    pins = [pin_of("L5=L4")]
    write_results(pipeline.analyse(series, ToySegmenter(), PLAIN, pins=pins), tmp_path / "at once")
    at_once = measured(tmp_path / "at once").to_dict()
    later = pipeline.rename(series, pipeline_segmentation(results), seg_header(results), PLAIN, pins)
    assert later.findings.measurements.quality == tuple(at_once["quality"])
    assert [p.key for p in later.findings.measurements.parameters] == [
        p["key"] for p in at_once["parameters"]
    ]
    stored = pydicom.dcmread(tmp_path / "at once" / "dicom" / "seg-binary.dcm")
    (seg,) = later.objects["seg-binary"]
    assert seg.SOPInstanceUID == stored.SOPInstanceUID
    assert np.array_equal(seg.pixel_array, stored.pixel_array)


def seg_header(results: Path) -> pydicom.Dataset:
    return read_headers_of(results, "seg")[0]


def pipeline_segmentation(results: Path):  # type: ignore[no-untyped-def]
    from spine_node.segmentation.naming_file import naming_path, read_segmentation

    labels = results / "labels.nii.gz"
    return read_segmentation(naming_path(labels), nifti.read_label_map(labels))


def test_results_of_another_series_and_impossible_pins_are_refused(
    results: Path, series: ImageSeries, tmp_path: Path
) -> None:
    segmentation, seg = pipeline_segmentation(results), seg_header(results)
    write_series(tmp_path / "part", grid_of())
    with pytest.raises(LabelMapRefused, match="20 images, 20 are among the 100 that"):
        pipeline.rename(read_series(tmp_path / "part"), segmentation, seg, PLAIN, [pin_of("L5=L4")])
    _, elsewhere = named_toy(grid_of(spacing=(4.0, 4.0, 4.0), shape=series.grid.shape))
    with pytest.raises(LabelMapRefused, match="is not on the grid of series"):
        pipeline.rename(series, elsewhere, seg, PLAIN, [pin_of("L5=L4")])
    with pytest.raises(PinRefused, match="no spine can be named so"):
        pipeline.rename(series, segmentation, seg, PLAIN, [pin_of("L5=L4"), pin_of("T8=L5")])


def contents(folder: Path) -> dict[Path, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_another_patients_series_on_the_same_grid_never_gets_these_results(
    results: Path, series: ImageSeries, tmp_path: Path
) -> None:
    """One device makes the same grid of everybody."""

    def of_another_patient(ds: pydicom.Dataset, number: int) -> None:
        ds.PatientID, ds.StudyInstanceUID, ds.SeriesInstanceUID = "someone else", "2.25.901", "2.25.902"
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"2.25.904{number:04d}"

    write_series(tmp_path / "other", series.grid, change=of_another_patient)
    before = contents(results)
    run = spine_node("rename", results, "--pin", "L5=L4", "--series", tmp_path / "other")
    assert (run.returncode, run.stdout) == (3, "")
    assert f"were made of series {series.series_uid}, not of series 2.25.902" in run.stderr
    assert contents(results) == before


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda folder: (folder / "dicom" / "seg-binary.dcm").unlink(), "nobody knows of which series"),
        (
            lambda folder: write_labels_alone(folder, [pin_of("L5=L4")]),
            "the label map shows L6, but naming.json",
        ),
    ],
    ids=["its SEG is gone", "a renaming was cut off"],
)
def test_half_a_results_folder_is_not_renamed(
    results: Path, series_folder: Path, edit: Callable[[Path], None], words: str
) -> None:
    edit(results)
    before = contents(results)
    run = spine_node("rename", results, "--pin", "L5=L4", "--series", series_folder)
    assert (run.returncode, run.stdout) == (3, "")
    assert words in run.stderr
    assert contents(results) == before


def write_labels_alone(folder: Path, pins: list[Pin]) -> None:
    naming = (folder / "naming.json").read_bytes()
    write_labels(renamed(pipeline_segmentation(folder), pins), folder / "labels.nii.gz")
    (folder / "naming.json").write_bytes(naming)


def test_what_is_no_spine_has_no_naming_and_is_not_renamed(tmp_path: Path) -> None:
    _, toy = named_toy()
    path = tmp_path / "legs.nii.gz"
    write_labels(toy, path)
    write_labels(replace(toy, naming=None, spine=False), path)
    assert [p.name for p in tmp_path.iterdir()] == ["legs.nii.gz"]
    run = spine_node("rename", path, "--pin", "L5=L4")
    assert (run.returncode, run.stdout) == (3, "")
    assert "other structures than the spine" in run.stderr


def test_a_label_map_is_renamed_in_place_and_says_what_became_of_it(tmp_path: Path) -> None:
    _, segmentation = named_toy()
    path = tmp_path / "patient.nii.gz"
    write_labels(segmentation, path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["patient.naming.json", "patient.nii.gz"]
    run = spine_node("rename", path, "--pin", "L4=L5")
    assert (run.returncode, run.stdout.strip()) == (0, str(path)), run.stderr
    assert "four lumbar vertebrae" in run.stderr
    labels = nifti.read_label_map(path).labels
    assert np.array_equal(labels == 123, segmentation.label_map.labels == 124)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    again = spine_node("rename", path, "--pin", "L4=T1")
    assert (again.returncode, again.stdout) == (3, "")
    assert "no vertebra is called T1; there are T7" in again.stderr
    assert hashlib.sha256(path.read_bytes()).hexdigest() == digest


def test_any_label_map_is_measured_under_shifted_names(tmp_path: Path) -> None:
    _, segmentation = named_toy()
    nifti.write_label_map(segmentation.label_map, tmp_path / "theirs.nii.gz")
    run = spine_node("measure", tmp_path / "theirs.nii.gz", "--pin", "L5=L4", "--json")
    assert run.returncode == 0, run.stderr
    levels = {p["level"] for p in json.loads(run.stdout)["parameters"] if p["key"] == "AVR"}
    assert "L6" in levels
    assert "T8" not in levels
    assert any("shifted along the column" in s for s in json.loads(run.stdout)["quality"])


@pytest.mark.parametrize("arguments", [[], ["--pin", "L5"], ["--pin", "L5=L4"]], ids=" ".join)
def test_a_renaming_that_lacks_something_says_what(results: Path, arguments: list[str]) -> None:
    run = spine_node("rename", results, *arguments)
    assert (run.returncode, run.stdout) == (1, "")
    assert ("--series" if arguments[1:] == ["L5=L4"] else "--pin") in run.stderr
