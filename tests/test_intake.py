"""The intake's judgement, with a real inbox and ledger, and a clock that is turned by file times."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import pydicom
import pytest

from spine_node.config import Settings
from spine_node.dicom.selection import Completeness
from spine_node.dicom.series import read_headers
from spine_node.inbox import Inbox
from spine_node.intake import AHEAD_AFTER_S, Intake, job_id
from spine_node.ledger import Ledger, database_url
from spine_node.phantom.generate import generate
from spine_node.phantom.series import write_phantom

QUIET_S, GIVE_UP_S = 10.0, 100.0
LONG_AGO = float("-inf")
"""When the node began to listen: file times tell how long a sender was silent."""


@pytest.fixture(scope="module")
def instances(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("phantom")
    write_phantom(generate(5, spacing_mm=3.4, clean=True), folder)
    return sorted((folder / "dicom").glob("*.dcm"))


@dataclass
class Desk:
    """An intake and everything it touches."""

    folder: Path
    enqueued: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.inbox = Inbox(self.folder / "inbox")
        self.ledger = Ledger(database_url(self.folder / "node.sqlite"))
        self.start()

    def start(self, pins: dict[str, list[str]] | None = None) -> None:
        """A process begins, with these levels fixed."""
        settings = Settings.model_validate(
            {"series": {"quiet_s": QUIET_S, "give_up_s": GIVE_UP_S}, "levels": {"pins": pins or {}}}
        )

        def name_job(series_uid: str, uids: Sequence[str], content: str) -> str:
            return job_id(uids, content, "ab" * 32, "1.0", settings.levels.pins.get(series_uid, ()))

        self.intake = Intake(self.inbox, self.ledger, settings, name_job, self.enqueued.append, LONG_AGO)

    def receive(self, paths: Sequence[Path]) -> str:
        for path in paths:
            header = pydicom.dcmread(path, stop_before_pixels=True)
            uid = str(header.SeriesInstanceUID)
            self.inbox.store(uid, str(header.SOPInstanceUID), "SCANNER", [path.read_bytes()])
        return uid

    def wait(self, series_uid: str, seconds: float) -> None:
        """Turn the clock by setting back when the last instance came."""
        folder = self.inbox.folders(series_uid)["receiving"]
        os.utime(folder, (time.time() - seconds,) * 2)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_a_series_is_left_alone_until_it_is_quiet(desk: Desk, instances: list[Path]) -> None:
    desk.receive(instances)
    desk.intake.look()
    assert desk.enqueued == []


def test_a_quiet_and_whole_series_becomes_one_job(desk: Desk, instances: list[Path]) -> None:
    uid = desk.receive(instances)
    desk.wait(uid, QUIET_S + 1)
    desk.intake.look()
    desk.intake.look()
    (job,) = desk.ledger.jobs()
    assert desk.enqueued == [job.job]
    assert (job.series_uid, job.instances, job.state) == (uid, len(instances), "received")
    assert list(desk.inbox.folders(uid)) == ["claimed"]


def test_a_gap_waits_then_is_refused_with_its_place_and_stays_on_disk(
    desk: Desk, instances: list[Path]
) -> None:
    sent = instances[:40] + instances[41:]
    uid = desk.receive(sent)
    desk.wait(uid, QUIET_S + 1)
    desk.intake.look()
    assert list(desk.inbox.folders(uid)) == ["receiving"]
    desk.wait(uid, GIVE_UP_S + 1)
    desk.intake.look()
    desk.intake.look()
    (job,) = desk.ledger.jobs()
    assert job.state == "refused"
    assert f"{len(sent)} of {len(instances)}" in job.reason
    assert len(list(Path(job.folder).glob("*.dcm"))) == len(sent)
    assert desk.enqueued == []


def test_the_late_slice_completes_the_series(desk: Desk, instances: list[Path]) -> None:
    uid = desk.receive(instances[:40] + instances[41:])
    desk.wait(uid, QUIET_S + 1)
    desk.intake.look()
    desk.receive(instances[40:41])
    desk.wait(uid, QUIET_S + 1)
    desk.intake.look()
    assert [job.instances for job in desk.ledger.jobs()] == [len(instances)]


def test_a_series_that_a_killed_process_had_claimed_is_taken_up_again(
    desk: Desk, instances: list[Path]
) -> None:
    """Between the claim and the ledger, and between the ledger and the queue: both kills are the same."""
    uid = desk.receive(instances)
    desk.inbox.claim(uid)
    desk.intake.resume()
    desk.wait(uid, QUIET_S + 1)
    desk.intake.look()
    desk.intake.resume()
    (job,) = desk.ledger.jobs()
    assert desk.enqueued == [job.job, job.job]
    assert list(desk.inbox.folders(uid)) == ["claimed"]


def test_a_claim_that_was_to_end_in_a_refusal_is_not_analysed_after_a_kill(desk: Desk) -> None:
    """Killed between the claim and the refusal: the next process starts, and comes to the same end."""
    desk.inbox.store("1.2.3", "1.2.3.1", "SCANNER", [b"this is not DICOM"])
    desk.inbox.claim("1.2.3")
    desk.intake.resume()
    desk.wait("1.2.3", QUIET_S + 1)
    desk.intake.look()
    (job,) = desk.ledger.jobs()
    assert job.state == "refused"
    assert Path(job.folder) == desk.inbox.folders("1.2.3")["refused"]
    assert desk.enqueued == []


def test_an_ignored_series_is_analysed_when_the_rules_have_changed(desk: Desk, instances: list[Path]) -> None:
    uid = desk.receive(instances)
    taking = desk.intake.settings
    ignoring = [rule.model_copy(update={"min_slices": 5000}) for rule in taking.rules]
    desk.intake.settings = taking.model_copy(update={"rules": tuple(ignoring)})
    desk.wait(uid, QUIET_S + 1)
    desk.intake.look()
    assert [job.state for job in desk.ledger.jobs()] == ["ignored"]
    desk.intake.settings = taking
    desk.inbox.reopen(uid)
    desk.wait(uid, QUIET_S + 1)
    desk.intake.look()
    (job,) = desk.ledger.jobs()
    assert (job.state, desk.enqueued) == ("received", [job.job])


def test_a_bug_met_on_one_series_does_not_keep_the_others_from_being_judged(
    desk: Desk, instances: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    good = desk.receive(instances)
    desk.inbox.store("1.2.3", "1.2.3.1", "SCANNER", [b"trips the judge"])

    def trip(paths: Sequence[Path], ahead: Mapping[Path, pydicom.Dataset]) -> list[pydicom.Dataset]:
        if paths[0].stem == "1.2.3.1":
            raise ZeroDivisionError("a bug")
        return read_headers(paths, ahead)

    monkeypatch.setattr("spine_node.intake.read_headers", trip)
    for uid in ("1.2.3", good):
        desk.wait(uid, QUIET_S + 1)
    desk.intake.look()
    assert {job.series_uid: job.state for job in desk.ledger.jobs()} == {"1.2.3": "failed", good: "received"}
    assert "ZeroDivisionError: a bug" in desk.inbox.reason("1.2.3")


def test_a_series_analysed_before_is_recognised_and_not_done_again(desk: Desk, instances: list[Path]) -> None:
    """Re-sent with other bytes of the same instances, as a PACS does that re-encodes."""
    uid = desk.receive(instances)
    desk.wait(uid, QUIET_S + 1)
    desk.intake.look()
    desk.inbox.finish(uid)
    desk.ledger.set_state(desk.enqueued[0], "delivered")
    for path in instances:
        header = pydicom.dcmread(path, stop_before_pixels=True)
        chunks = [path.read_bytes(), b"\0\0"]
        desk.inbox.store(uid, str(header.SOPInstanceUID), "SCANNER", chunks)
    desk.wait(uid, QUIET_S + 1)
    desk.intake.look()
    assert len(desk.enqueued) == 1
    assert list(desk.inbox.folders(uid)) == ["done"]


def test_what_is_no_image_is_set_aside_with_words(desk: Desk) -> None:
    for n in range(20):
        desk.inbox.store("1.2.3", f"1.2.3.{n}", "SCANNER", [b"this is not DICOM"])
    desk.wait("1.2.3", QUIET_S + 1)
    desk.intake.look()
    (job,) = desk.ledger.jobs()
    assert job.state in ("refused", "ignored")
    assert job.reason


def test_a_series_is_analysed_again_at_the_next_start_once_a_level_is_fixed(
    desk: Desk, instances: list[Path]
) -> None:
    uid = desk.receive(instances)
    desk.wait(uid, QUIET_S + 1)
    desk.intake.look()
    desk.ledger.set_state(desk.enqueued[0], "delivered")
    desk.inbox.finish(uid)
    desk.start({uid: ["L5=1,2,3"], "1.2.3": ["L5=1,2,3"]})
    desk.intake.resume()
    desk.wait(uid, QUIET_S + 1)
    desk.intake.look()
    desk.inbox.finish(uid)
    desk.intake.resume()
    assert list(desk.inbox.folders(uid)) == ["done"]
    first, second = desk.enqueued
    assert first != second
    assert {job.job: job.state for job in desk.ledger.jobs()} == {first: "delivered", second: "received"}


def test_a_series_refused_for_a_mistyped_pin_is_analysed_once_the_pin_is_corrected(
    desk: Desk, instances: list[Path]
) -> None:
    uid = desk.receive(instances)
    desk.start({uid: ["L5=1,2,3000"]})
    desk.wait(uid, QUIET_S + 1)
    desk.intake.look()
    desk.ledger.set_state(desk.enqueued[0], "refused", "the nearest body is 2 m away")
    desk.inbox.refuse(uid, "the nearest body is 2 m away")
    desk.intake.resume()
    assert list(desk.inbox.folders(uid)) == ["refused"], "the same pin would be refused again"
    desk.start({uid: ["L5=1,2,300"]})
    desk.intake.resume()
    desk.wait(uid, QUIET_S + 1)
    desk.intake.look()
    assert list(desk.inbox.folders(uid)) == ["claimed"]
    wrong, right = desk.enqueued
    assert {job.job: job.state for job in desk.ledger.jobs()} == {wrong: "refused", right: "received"}


def test_a_pin_does_not_make_an_incomplete_series_be_judged_at_every_start(
    desk: Desk, instances: list[Path]
) -> None:
    uid = desk.receive(instances[:5] + instances[6:])
    for pins in ({}, {uid: ["L5=1,2,3"]}):
        desk.start(pins)
        desk.intake.resume()
        desk.wait(uid, GIVE_UP_S + 1)
        desk.intake.look()
        desk.intake.look()
        assert list(desk.inbox.folders(uid)) == ["refused"]
    desk.intake.resume()
    assert list(desk.inbox.folders(uid)) == ["refused"]


def test_the_job_is_named_by_instances_content_model_and_software() -> None:
    """In whatever order they came; a new model or version is a new job."""
    name = job_id(["1.2.1", "1.2.2"], "cc", "aa", "1.0")
    assert name == job_id(["1.2.2", "1.2.1"], "cc", "aa", "1.0")
    others = {job_id(["1.2.1"], "cc", "aa", "1.0"), job_id(["1.2.1", "1.2.2"], "cc", "bb", "1.0")}
    others.add(job_id(["1.2.1", "1.2.2"], "dd", "aa", "1.0"))
    others.add(job_id(["1.2.1", "1.2.2"], "cc", "aa", "1.1"))
    others.add(job_id(["1.2.1", "1.2.2"], "cc", "aa", "1.0", ["L5=1,2,3"]))
    assert len(others | {name}) == 6


def test_a_series_with_a_corrected_patient_is_analysed_anew(desk: Desk, instances: list[Path]) -> None:
    """The same SOP Instance UIDs under another patient: results under the wrong one must not be the last."""
    uid = desk.receive(instances)
    desk.wait(uid, QUIET_S + 1)
    desk.intake.look()
    desk.inbox.finish(uid)
    desk.ledger.set_state(desk.enqueued[0], "delivered")
    for path in instances:
        corrected = pydicom.dcmread(path)
        corrected.PatientID = "SOMEBODY-ELSE"
        written = BytesIO()
        corrected.save_as(written)
        desk.inbox.store(uid, str(corrected.SOPInstanceUID), "PACS", [written.getvalue()])
    desk.wait(uid, QUIET_S + 1)
    desk.intake.look()
    assert len(set(desk.enqueued)) == 2
    assert {job.job: job.calling_ae for job in desk.ledger.jobs()} == dict(
        zip(desk.enqueued, ("SCANNER", "PACS"), strict=True)
    )


def test_what_comes_between_the_look_and_the_claim_is_judged_with_the_rest(
    desk: Desk, instances: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    uid = desk.receive(instances[:-1])
    desk.wait(uid, QUIET_S + 1)
    claim = desk.inbox.claim

    def late(series_uid: str) -> Path:
        desk.receive(instances[-1:])
        return claim(series_uid)

    monkeypatch.setattr(desk.inbox, "claim", late)
    monkeypatch.setattr("spine_node.intake.is_complete", lambda headers: Completeness(True, "", len(headers)))
    desk.intake.look()
    assert desk.enqueued == []
    monkeypatch.undo()
    desk.wait(uid, QUIET_S + 1)
    desk.intake.look()
    assert [job.instances for job in desk.ledger.jobs()] == [len(instances)]


def test_each_sender_has_its_own_quiet_time(desk: Desk, instances: list[Path]) -> None:
    """A scanner that reconstructs while it sends pauses longer than a PACS does."""
    series = desk.intake.settings.series.model_copy(update={"quiet_s_by_sender": {"SCANNER": 60.0}})
    desk.intake.settings = desk.intake.settings.model_copy(update={"series": series})
    uid = desk.receive(instances)
    desk.wait(uid, QUIET_S + 1)
    desk.intake.look()
    assert desk.enqueued == []
    desk.wait(uid, 61)
    desk.intake.look()
    assert len(desk.enqueued) == 1


def test_headers_are_read_before_the_quiet_time_is_over_and_again_when_a_file_is_replaced(
    desk: Desk, instances: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then nothing has to be read when it is; but never what is no longer there."""
    monkeypatch.setattr("spine_node.intake.AHEAD_S", 60.0)
    uid = desk.receive(instances)
    desk.wait(uid, AHEAD_AFTER_S + 1)
    desk.intake.look()
    corrected = pydicom.dcmread(instances[3])
    corrected.PatientID = "SOMEBODY-ELSE"
    written = BytesIO()
    corrected.save_as(written)
    desk.inbox.store(uid, str(corrected.SOPInstanceUID), "SCANNER", [written.getvalue()])
    desk.wait(uid, QUIET_S + 1)
    desk.intake.look()
    ahead = desk.enqueued[0]
    fresh = Desk(desk.folder / "fresh")
    for path in sorted(desk.inbox.claim(uid).glob("*.dcm")):
        fresh.inbox.store(uid, path.stem, "SCANNER", [path.read_bytes()])
    fresh.wait(uid, QUIET_S + 1)
    fresh.intake.look()
    assert fresh.enqueued == [ahead]


def test_what_was_read_ahead_is_not_read_again(
    desk: Desk, instances: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spine_node.intake.AHEAD_S", 60.0)
    uid = desk.receive(instances)
    desk.wait(uid, AHEAD_AFTER_S + 1)
    desk.intake.look()
    monkeypatch.setattr("spine_node.dicom.series.read_header", lambda _path: pytest.fail("read again"))
    desk.wait(uid, QUIET_S + 1)
    desk.intake.look()
    assert len(desk.enqueued) == 1


def test_a_file_that_the_system_does_not_let_us_read_is_no_fault_of_the_series(
    desk: Desk, instances: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too many open files, a disk that fails: the series waits, and is judged when it can be read."""
    uid = desk.receive(instances)

    def too_many(_path: Path) -> pydicom.Dataset:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as without_files:
        without_files.setattr("spine_node.dicom.series.read_header", too_many)
        without_files.setattr("spine_node.intake.AGAIN_S", 0.0)
        desk.wait(uid, QUIET_S + 1)
        desk.intake.look()
    assert desk.ledger.jobs() == []
    assert list(desk.inbox.folders(uid)) == ["receiving"]
    desk.intake.look()
    assert len(desk.enqueued) == 1
