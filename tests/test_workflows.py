"""The durable engine with work that is quick: order, refusals, bugs, absent peers, kill -9.

Each case runs the engine in processes of its own, as the node does, so that one can be killed.
"""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from spine_node.workflows import MAX_KILLS, retry_wait_s

ROLE = """
import os, sys, time
from pathlib import Path
import spine_node.workflows as workflows
from spine_node.errors import PeerUnavailable, Refused
from spine_node.ledger import database_url

folder, role, *jobs = Path(sys.argv[1]), sys.argv[2], *sys.argv[3:]
workflows.FIRST_RETRY_S = 0.5

def write(*words):
    with (folder / "diary").open("a") as diary:
        diary.write(" ".join(words) + "\\n")

def analyse(job):
    write("analyse", job)
    if job.startswith("slow"):
        time.sleep(4)
    if job.startswith("unusable"):
        raise Refused("a slice is missing")
    if job.startswith("bug"):
        raise ZeroDivisionError("a bug")
    if job.startswith("killer"):
        os.kill(os.getpid(), 9)
    write("analysed", job)
    return ["pacs"]

def deliver(job, peer):
    write("deliver", job, peer)
    if job.startswith("away") and (folder / "diary").read_text().count(f"deliver {job} ") < 3:
        raise PeerUnavailable("no answer")
    if job.startswith("gone"):
        raise PeerUnavailable("no answer for long")
    write("delivered", job, peer)

def notify(job):
    write("notify", job)
    if job.startswith("notice-bug"):
        raise ZeroDivisionError("a bug")
    return ["pacs"]

work = workflows.Work(
    analyse=analyse, refuse=lambda job, reason: write("refused", job, reason),
    fail=lambda job, trace: write("failed", job, trace.splitlines()[-1]),
    deliver=deliver, give_up=lambda job, peer, reason: write("gave-up", job, peer, reason),
    notify=notify,
)
queue = workflows.ANALYSE if role == "worker" else workflows.DELIVER
engine = workflows.Engine(database_url(folder / "db.sqlite"), f"host:{role}", work, (queue,), 3.0)
engine.start()
for job in jobs:
    (engine.enqueue_notice if job.startswith("notice") else engine.enqueue_analysis)(job)
write("started", role)
end = time.monotonic() + 300
while time.monotonic() < end and not (folder / "stop").exists():
    time.sleep(0.1)
    if engine.lost_jobs():
        (folder / f"lost.{role}").write_text(" ".join(sorted(engine.lost_jobs())))
        (folder / f"lost.{role}").rename(folder / "lost")
engine.stop(0)
"""


class Roles:
    """The node's two processes, with a diary of what they did."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, role: str, *jobs: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", ROLE, str(self.folder), role, *jobs]
        process = subprocess.Popen(command)
        self.processes.append(process)
        return process

    def diary(self) -> list[str]:
        path = self.folder / "diary"
        return path.read_text().splitlines() if path.exists() else []

    def await_line(self, line: str) -> None:
        end = time.monotonic() + 200
        while line not in self.diary():
            assert time.monotonic() < end, f"{line!r} did not come; the diary: {self.diary()}"
            time.sleep(0.05)


@pytest.fixture
def roles(tmp_path: Path) -> Iterator[Roles]:
    roles = Roles(tmp_path)
    yield roles
    (tmp_path / "stop").touch()
    for process in roles.processes:
        process.wait(timeout=30)


def test_a_job_is_analysed_then_delivered_once_however_often_it_is_enqueued(roles: Roles) -> None:
    roles.start("node", "a", "a", "b")
    roles.start("worker")
    for line in ("delivered a pacs", "delivered b pacs"):
        roles.await_line(line)
    assert sorted(line for line in roles.diary() if line.startswith("analyse ")) == ["analyse a", "analyse b"]


def test_a_refusal_and_a_bug_end_their_jobs_and_not_the_worker(roles: Roles) -> None:
    roles.start("node", "unusable", "bug", "good")
    roles.start("worker")
    roles.await_line("delivered good pacs")
    assert "refused unusable a slice is missing" in roles.diary()
    assert "failed bug ZeroDivisionError: a bug" in roles.diary()


def test_a_notice_is_made_by_the_worker_and_delivered_once(roles: Roles) -> None:
    roles.start("node", "notice", "notice", "notice-bug", "good")
    roles.start("worker")
    for line in ("delivered notice pacs", "delivered good pacs"):
        roles.await_line(line)
    assert roles.diary().count("notify notice") == 1
    assert not [line for line in roles.diary() if line.startswith("deliver notice-bug")]


def test_a_killed_worker_does_its_job_again_and_delivers_one_result(roles: Roles) -> None:
    roles.start("node", "slow")
    worker = roles.start("worker")
    roles.await_line("analyse slow")
    os.kill(worker.pid, signal.SIGKILL)
    roles.start("worker")
    roles.await_line("delivered slow pacs")
    assert roles.diary().count("analyse slow") == 2
    assert roles.diary().count("delivered slow pacs") == 1


def test_a_peer_that_was_away_gets_its_results_and_one_that_stays_away_is_given_up(roles: Roles) -> None:
    roles.start("node", "away", "gone")
    roles.start("worker")
    roles.await_line("delivered away pacs")
    roles.await_line("gave-up gone pacs no answer for long")


def test_a_job_that_keeps_killing_its_worker_ends_and_the_others_go_on(roles: Roles) -> None:
    """Out of memory on one study must not stop every other study for good."""
    roles.start("node", "killer", "good")
    for _ in range(10):
        worker = roles.start("worker")
        while worker.poll() is None and "delivered good pacs" not in roles.diary():
            time.sleep(0.1)
        if worker.poll() is None:
            break
    roles.await_line("delivered good pacs")
    assert roles.diary().count("analyse killer") == MAX_KILLS + 1
    assert "analysed killer" not in roles.diary()
    assert (roles.folder / "lost").read_text() == "killer"


def test_the_waits_between_attempts_double_up_to_half_an_hour() -> None:
    waits = [retry_wait_s(n) for n in range(12)]
    assert all(later == min(2 * earlier, 1800) for earlier, later in itertools.pairwise(waits))
