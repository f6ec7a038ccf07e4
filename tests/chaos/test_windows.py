"""Between two durable steps: the process ends exactly there, and the next one comes to the right end.

Each case has a name for the two steps. The end is `Killed`, raised where the kill would be: nothing of the
dead process is used afterwards, a new inbox, ledger and intake are opened on the same folder.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydicom
import pytest

from spine_node import node as node_module
from spine_node import results
from spine_node.analyses import Analyses
from spine_node.config import Settings
from spine_node.inbox import Inbox
from spine_node.intake import Intake, job_id
from spine_node.ledger import Job, Ledger, database_url
from tests.dicom.small_series import grid_of, write_series

LONG_AGO = float("-inf")
SLICES = 12


class Killed(BaseException):
    """kill -9: no handler of the code under test may see it as an error."""


@contextmanager
def killed_at(owner: Any, name: str, *, after: bool = False, call: int = 1) -> Iterator[None]:
    """The process ends before, or right after, the given call of a function."""
    real, calls = getattr(owner, name), []

    def dying(*arguments: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) == call and not after:
            raise Killed
        result = real(*arguments, **named)
        if len(calls) == call:
            raise Killed
        return result

    setattr(owner, name, dying)
    try:
        with pytest.raises(Killed):
            yield
    finally:
        setattr(owner, name, real)


@dataclass
class Node:
    """The intake and the worker on one folder, without processes: a queue in memory stands for the engine.

    The engine's promise is kept: what was enqueued is done again until a step has ended.
    """

    folder: Path
    queue: list[str] = field(default_factory=list)
    analysed: list[tuple[str, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.settings = Settings.model_validate(
            {
                "storage": {"folder": str(self.folder)},
                "series": {"quiet_s": 1.0, "give_up_s": 100.0},
                "rules": [{"name": "any", "min_slices": 4}],
            }
        )
        self.start()

    def start(self) -> None:
        """A new process."""
        self.inbox = Inbox(self.settings.storage.inbox)
        self.ledger = Ledger(database_url(self.folder / "node.sqlite"))

        def name_job(_series_uid: str, uids: Sequence[str], content: str) -> str:
            return job_id(uids, content, "ab" * 32, "1.0")

        self.intake = Intake(self.inbox, self.ledger, self.settings, name_job, self.enqueue, LONG_AGO)
        self.worker = Analyses.__new__(Analyses)
        self.worker._settings, self.worker._ledger, self.worker._inbox = (
            self.settings,
            self.ledger,
            self.inbox,
        )
        self.worker._run = self._measure  # type: ignore[method-assign]

    def enqueue(self, job: str) -> None:
        if job not in self.queue:
            self.queue.append(job)

    def receive(self, paths: Sequence[Path]) -> str:
        for path in paths:
            header = pydicom.dcmread(path, stop_before_pixels=True)
            self.inbox.store(
                str(header.SeriesInstanceUID), str(header.SOPInstanceUID), "CT", [path.read_bytes()]
            )
        return str(header.SeriesInstanceUID)

    def look(self, silent_s: float = 2.0) -> None:
        """Senders were silent that long; the intake looks."""
        for series in self.inbox.open_series():
            os.utime(self.inbox.root / "receiving" / series.series_uid, (time.time() - silent_s,) * 2)
        self.intake.look()

    def work(self) -> None:
        """Do what is queued; the step ends only then."""
        for job in list(self.queue):
            self.worker.analyse(job)
            self.queue.remove(job)

    def come_to_rest(self) -> None:
        """A new process goes on until nothing is left."""
        self.start()
        self.intake.resume()
        for _ in range(4):
            self.look()
            self.work()

    def jobs(self) -> list[Job]:
        return self.ledger.jobs()

    def _measure(self, job: str, folder: Path, out: Path) -> None:
        files = list(folder.glob("*.dcm"))
        assert files, f"{folder} holds nothing to analyse"
        self.analysed.append((job, len(files)))
        (out / "dicom").mkdir(parents=True)
        (out / results.DONE).write_text('{"study_uid": "1.2", "objects": {}}')


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path / "spool")


@pytest.fixture
def slices(tmp_path: Path) -> list[Path]:
    return write_series(tmp_path / "ct", grid_of(shape=(SLICES, 8, 8)))


def corrected(paths: Sequence[Path], into: Path) -> list[Path]:
    """The same instances after the PACS has corrected the patient."""
    into.mkdir()
    for path in paths:
        ds = pydicom.dcmread(path)
        ds.PatientID = "CORRECTED"
        ds.save_as(into / path.name)
    return sorted(into.iterdir())


INTAKE_STEPS: dict[str, Callable[[Node], tuple[Any, str, bool]]] = {
    "the claim | who holds it": lambda node: (node.inbox, "assign", False),
    "who holds it | the ledger": lambda node: (node.ledger, "open_job", False),
    "the ledger | the queue": lambda node: (node.ledger, "open_job", True),
}


@pytest.mark.parametrize("step", INTAKE_STEPS)
def test_a_kill_while_a_series_is_claimed_ends_in_one_analysis(
    node: Node, slices: list[Path], step: str
) -> None:
    node.receive(slices)
    owner, name, after = INTAKE_STEPS[step](node)
    with killed_at(owner, name, after=after):
        node.look()
    node.come_to_rest()
    (job,) = node.jobs()
    assert node.analysed == [(job.job, SLICES)]
    assert (job.state, list(node.inbox.folders(job.series_uid))) == ("delivered", ["done"])


WORKER_STEPS: dict[str, Callable[[Node], tuple[Any, str, bool, int]]] = {
    "results | analysed": lambda node: (node.worker, "_run", True, 1),
    "analysed | the claim's end": lambda node: (node.inbox, "finish", False, 1),
    "the claim's end | its place in the ledger": lambda node: (node.inbox, "finish", True, 1),
}


@pytest.mark.parametrize("step", WORKER_STEPS)
@pytest.mark.parametrize("then", ["nothing", "late slices", "a corrected patient"])
def test_a_kill_while_a_series_is_analysed_loses_neither_it_nor_what_comes_meanwhile(
    node: Node, slices: list[Path], tmp_path: Path, step: str, then: str
) -> None:
    """Analysed once a set of instances and content, whatever is judged before the worker is there again."""
    first = slices[:8] if then == "late slices" else slices
    uid = node.receive(first)
    node.look()
    owner, name, after, call = WORKER_STEPS[step](node)
    with killed_at(owner, name, after=after, call=call):
        node.work()
    node.start()
    node.intake.resume()
    if then == "late slices":
        node.receive(slices[8:])
    elif then == "a corrected patient":
        node.receive(corrected(slices, tmp_path / "corrected"))
    node.look()  # the node is quicker than its worker
    node.come_to_rest()
    jobs = sorted(node.jobs(), key=lambda job: job.received_at)
    assert [count for _, count in node.analysed] == {
        "nothing": [SLICES], "late slices": [8, SLICES], "a corrected patient": [SLICES, SLICES],
    }[then]  # fmt: skip
    assert [job.job for job in jobs] == [job for job, _ in node.analysed]
    assert {job.state for job in jobs} == {"delivered"}
    assert list(node.inbox.folders(uid)) == ["done"]
    assert node.queue == []


def test_two_kills_between_an_end_and_a_new_claim_do_not_leave_a_series_claimed_for_ever(
    node: Node, slices: list[Path]
) -> None:
    """The ledger still names the claimed folder for the first job: the second claim is not taken for it."""
    uid = node.receive(slices[:8])
    node.look()
    with killed_at(node.inbox, "finish", after=True):
        node.work()
    node.start()
    node.receive(slices[8:])
    with killed_at(node.inbox, "assign"):
        node.look()
    node.come_to_rest()
    assert [count for _, count in node.analysed] == [8, SLICES]
    assert list(node.inbox.folders(uid)) == ["done"]


@pytest.mark.parametrize("kind", ["ignored", "refused"])
def test_what_arrives_while_a_series_is_refused_or_ignored_is_judged(
    node: Node, slices: list[Path], kind: str
) -> None:
    """The rest of the series comes between the look at its headers and the end of it."""
    first = slices[:3] if kind == "ignored" else slices[:6] + slices[7:]
    uid = node.receive(first)
    node.look(200.0)  # a gap is noticed here, and waits
    claim = node.inbox.claim

    def late(series_uid: str) -> Path:
        node.inbox.claim = claim  # type: ignore[method-assign]
        node.receive(slices)
        return claim(series_uid)

    if kind == "ignored":
        assert list(node.inbox.folders(uid)) == ["ignored"]
        node.inbox.reopen(uid)
        node.look(0.0)
    node.inbox.claim = late  # type: ignore[method-assign]
    node.look(2.0) if kind == "ignored" else node.intake.look()
    assert list(node.inbox.folders(uid)) == ["receiving"]
    node.come_to_rest()
    assert [count for _, count in node.analysed] == [SLICES]
    assert list(node.inbox.folders(uid)) == ["done"]


@pytest.mark.parametrize(
    "step", ["the claim | the ledger", "the ledger | its place", "its place | the ledger"]
)
def test_a_kill_while_a_series_is_ignored_ends_in_the_same_word(
    node: Node, slices: list[Path], step: str
) -> None:
    uid = node.receive(slices[:3])
    owner, name, after = {
        "the claim | the ledger": (node.ledger, "open_job", False),
        "the ledger | its place": (node.inbox, "ignore", False),
        "its place | the ledger": (node.inbox, "ignore", True),
    }[step]
    with killed_at(owner, name, after=after):
        node.look()
    node.come_to_rest()
    (job,) = node.jobs()
    assert (job.state, list(node.inbox.folders(uid)), node.analysed) == ("ignored", ["ignored"], [])
    assert job.reason


def test_a_refused_series_that_is_sent_again_whole_is_analysed_and_unchanged_is_not(
    node: Node, slices: list[Path]
) -> None:
    gap = slices[:6] + slices[7:]
    uid = node.receive(gap)
    node.look(200.0)
    node.intake.look()
    assert list(node.inbox.folders(uid)) == ["refused"]
    node.receive(gap)
    node.look(200.0)
    assert list(node.inbox.folders(uid)) == ["refused"]
    node.receive(slices)
    node.come_to_rest()
    assert [count for _, count in node.analysed] == [SLICES]


@pytest.mark.parametrize("jump_s", [-86400.0, 86400.0])
def test_a_clock_that_is_set_neither_ends_an_arriving_series_nor_holds_it_up(
    node: Node, slices: list[Path], monkeypatch: pytest.MonkeyPatch, jump_s: float
) -> None:
    """The hour that a machine finds out about after its start, or at a change of its battery."""
    uid = node.receive(slices[:8])
    node.intake.look()
    real, monotonic = time.time, time.monotonic
    monkeypatch.setattr(time, "time", lambda: real() + jump_s)
    node.intake.look()
    assert list(node.inbox.folders(uid)) == ["receiving"], "it is still arriving"
    monkeypatch.setattr(time, "monotonic", lambda: monotonic() + 2.0)
    node.intake.look()
    assert list(node.inbox.folders(uid)) == ["claimed"]


def test_a_series_that_was_arriving_when_the_node_stopped_has_time_to_go_on(
    node: Node, slices: list[Path]
) -> None:
    """The node was away for long: its sender could not be heard, and is not taken to be silent."""
    uid = node.receive(slices[:8])
    folder = node.inbox.folders(uid)["receiving"]
    os.utime(folder, (time.time() - 3600,) * 2)
    node.intake.began = time.monotonic()
    node.intake.look()
    assert list(node.inbox.folders(uid)) == ["receiving"]


def test_the_newest_job_of_a_series_is_the_newest_although_the_clock_was_set_back(node: Node) -> None:
    node.ledger.open_job("first", "1.2", "1", 8, Path("/claimed"))
    real = time.time
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: real() - 3600)
        node.ledger.open_job("second", "1.2", "1", 9, Path("/claimed"))
    assert [job.job for job in node.jobs()] == ["first", "second"]
    assert node.ledger.supersede("second") == ["first"]
    assert node.ledger.supersede("first") == []


def test_a_new_worker_waits_until_the_one_of_a_killed_node_is_gone(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both would have the same name for the engine, take the same job, and write into one folder."""
    begun: list[float] = []
    monkeypatch.setattr(node_module, "stop_signals", threading.Event)

    class Begun(Exception):
        """It went on."""

    def begin(*_arguments: object) -> None:
        begun.append(time.monotonic())
        raise Begun

    monkeypatch.setattr(node_module, "Ledger", begin)
    with (node.folder / "worker.lock").open("ab") as old:
        fcntl.flock(old, fcntl.LOCK_EX)

        def start() -> None:
            with pytest.raises(Begun):
                node_module.work(node.settings)

        new = threading.Thread(target=start, daemon=True)
        new.start()
        new.join(0.5)
        assert begun == []
    new.join(60)
    assert len(begun) == 1
