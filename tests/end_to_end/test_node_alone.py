"""The node without a PACS: what it refuses and ignores, and that it never loses what it acknowledged."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest

from spine_node.config import Destination
from spine_node.network.pacs import FolderPacs
from spine_node.phantom.generate import generate
from spine_node.phantom.series import write_phantom
from tests.end_to_end.conftest import RunningNode


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Quick to send: what is tested here is decided before any voxel is looked at."""
    folder = tmp_path_factory.mktemp("series")
    write_phantom(generate(3, spacing_mm=3.4, clean=True), folder)
    return folder / "dicom"


def study_uid(series: Path) -> str:
    return str(pydicom.dcmread(next(series.glob("*.dcm")), stop_before_pixels=True).StudyInstanceUID)


def without(series: Path, number: int, into: Path) -> Path:
    """A copy of a series that lacks one slice in the middle."""
    into.mkdir()
    for n, path in enumerate(sorted(series.glob("*.dcm"))):
        if n != number:
            (into / path.name).write_bytes(path.read_bytes())
    return into


def test_a_series_that_never_completes_is_refused_with_its_reason_and_stays_on_disk(
    node_in: Callable[..., RunningNode], series: Path, tmp_path: Path
) -> None:
    node = node_in(quiet_s=0.5, give_up_s=3.0)
    incomplete = without(series, 60, tmp_path / "incomplete")
    node.send(incomplete)
    job = node.wait_for_job(study_uid(series), "refused")
    assert f"{len(list(incomplete.glob('*.dcm')))} of" in job.reason
    # The reason is written first, then the series is moved, then its new place is written.
    node.wait_until(lambda: "/refused/" in node.ledger.jobs()[0].folder, "the series is set aside", 300)
    (job,) = node.ledger.jobs()
    assert len(list(Path(job.folder).glob("*.dcm"))) == len(list(incomplete.glob("*.dcm")))
    assert "refused" in (Path(job.folder) / "reason.txt").parent.parent.name


def test_a_destination_that_wants_notices_gets_the_reason_as_a_picture_in_the_study_once(
    node_in: Callable[..., RunningNode], series: Path, tmp_path: Path
) -> None:
    told, silent = (FolderPacs(name, "127.0.0.1", 0, tmp_path / name) for name in ("TOLD", "SILENT"))
    peers = [
        Destination("told", "TOLD", "127.0.0.1", told.start(), notices=True),
        Destination("silent", "SILENT", "127.0.0.1", silent.start()),
    ]
    try:
        node = node_in(*peers, quiet_s=0.5, give_up_s=3.0)
        incomplete = without(series, 60, tmp_path / "incomplete")
        node.send(incomplete)
        job = node.wait_for_job(study_uid(series), "refused")
        (path,) = node.wait_until(told.paths, "the notice arrives", 300)
        notice, source = pydicom.dcmread(path), pydicom.dcmread(next(series.glob("*.dcm")))
        assert notice.StudyInstanceUID == source.StudyInstanceUID
        assert notice.PatientID == source.PatientID
        assert notice.Modality != source.Modality
        assert notice.pixel_array.shape[2] == 3
        # a restart finds the refusal again, and tells it no second time
        node.stop()
        node.start()
        node.send(incomplete)
        node.wait_until(lambda: node.ledger.deliveries(job.job), "the delivery is in the ledger", 300)
        assert node.ledger.job(job.job).state == "refused"
        assert told.paths() == [path]
        assert silent.paths() == []
    finally:
        told.stop()
        silent.stop()


def test_the_missing_slice_may_come_late(
    node_in: Callable[..., RunningNode], series: Path, tmp_path: Path
) -> None:
    """The series waits as long as it is told to, and is then one job, not two."""
    node = node_in(quiet_s=0.5, give_up_s=120.0)
    node.send(without(series, 60, tmp_path / "incomplete"))
    node.wait_until(
        lambda: "series_incomplete" in (node.folder / "node.log").read_text(), "the gap is noticed", 300
    )
    assert node.ledger.jobs() == []
    node.send(series)
    job = node.wait_for_job(study_uid(series), "received", "analysing", "analysed", "delivered")
    assert job.instances == len(list(series.glob("*.dcm")))


def test_a_node_killed_at_once_after_the_last_acknowledgement_still_does_the_job(
    node_in: Callable[..., RunningNode], series: Path
) -> None:
    node = node_in(quiet_s=0.5)
    assert all(outcome.stored for outcome in node.send(series))
    node.stop(signal.SIGKILL)
    node.start()
    job = node.wait_for_job(study_uid(series), "received", "analysing", "analysed", "delivered")
    assert job.instances == len(list(series.glob("*.dcm")))


def test_a_series_that_no_rule_takes_is_ignored_and_says_why(
    node_in: Callable[..., RunningNode], series: Path, tmp_path: Path
) -> None:
    few = tmp_path / "few"
    few.mkdir()
    for path in sorted(series.glob("*.dcm"))[:5]:
        (few / path.name).write_bytes(path.read_bytes())
    node = node_in(quiet_s=0.5)
    node.send(few)
    job = node.wait_for_job(study_uid(series), "ignored", "refused")
    assert "5" in job.reason
