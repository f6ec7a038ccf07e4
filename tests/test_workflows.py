"""The durable engine with work that is quick: order, refusals, bugs, lines to drain, kill -9.

Each case runs the engine in processes of its own, as the node does, so that one can be killed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from spine_node.workflows import MAX_KILLS
from tests.conftest import wait_until

ROLE = """
import os, sys, time
from pathlib import Path
import spine_node.workflows as workflows
from spine_node.errors import Refused
from spine_node.ledger import database_url

folder, role, *jobs = Path(sys.argv[1]), sys.argv[2], *sys.argv[3:]

def write(*words):
    with (folder / "diary").open("a") as diary:
        diary.write(" ".join(words) + "\\n")

def hang():
    while not (folder / "let go").exists():
        time.sleep(0.05)

def analyse(job):
    write("analyse", job)
    if job.startswith("slow"):
        hang()
    if job.startswith("unusable"):
        raise Refused("a slice is missing")
    if job.startswith("bug"):
        raise ZeroDivisionError("a bug")
    if job.startswith("killer"):
        os.kill(os.getpid(), 9)
    write("analysed", job)
    return ["pacs"]

def put_out(job, peer):
    write("put-out", job, peer)

def drain(peer, part):
    write("drain", peer, str(part))
    if peer.startswith("slow"):
        hang()
    if peer.startswith("bug"):
        raise ZeroDivisionError("a bug")
    write("drained", peer, str(part))

def notify(job):
    write("notify", job)
    if job.startswith("notice-bug"):
        raise ZeroDivisionError("a bug")
    return ["pacs"]

work = workflows.Work(
    analyse=analyse, refuse=lambda job, reason: write("refused", job, reason),
    fail=lambda job, trace: write("failed", job, trace.splitlines()[-1]),
    put_out=put_out, drain=drain, notify=notify,
)
queue = workflows.ANALYSE if role == "worker" else workflows.DELIVER
engine = workflows.Engine(database_url(folder / "db.sqlite"), f"{os.environ['HOST']}:{role}", work, (queue,))
engine.start()
for job in jobs:
    if job.startswith("drain:"):
        engine.enqueue_drain(*job.removeprefix("drain:").split("/"))
        continue
    (engine.enqueue_notice if job.startswith("notice") else engine.enqueue_analysis)(job)
write("started", role)
end = time.monotonic() + 900
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

    def start(self, role: str, *jobs: str, host: str = "host") -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", ROLE, str(self.folder), role, *jobs]
        process = subprocess.Popen(command, env={**os.environ, "HOST": host})
        self.processes.append(process)
        return process

    def let_go(self) -> None:
        """What is slow may end."""
        (self.folder / "let go").touch()

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
    roles.let_go()
    (tmp_path / "stop").touch()
    for process in roles.processes:
        process.wait(timeout=600)


def test_a_job_is_analysed_then_delivered_once_however_often_it_is_enqueued(roles: Roles) -> None:
    roles.start("node", "a", "a", "b")
    roles.start("worker")
    for line in ("put-out a pacs", "put-out b pacs"):
        roles.await_line(line)
    assert sorted(line for line in roles.diary() if line.startswith("analyse ")) == ["analyse a", "analyse b"]


def test_a_refusal_and_a_bug_end_their_jobs_and_not_the_worker(roles: Roles) -> None:
    roles.start("node", "unusable", "bug", "good")
    roles.start("worker")
    roles.await_line("put-out good pacs")
    assert "refused unusable a slice is missing" in roles.diary()
    assert "failed bug ZeroDivisionError: a bug" in roles.diary()


def test_a_notice_is_made_by_the_worker_and_delivered_once(roles: Roles) -> None:
    roles.start("node", "notice", "notice", "notice-bug", "good")
    roles.start("worker")
    for line in ("put-out notice pacs", "put-out good pacs"):
        roles.await_line(line)
    assert roles.diary().count("notify notice") == 1
    assert not [line for line in roles.diary() if line.startswith("put-out notice-bug")]


def test_a_killed_worker_does_its_job_again_and_delivers_one_result(roles: Roles) -> None:
    roles.start("node", "slow")
    worker = roles.start("worker")
    roles.await_line("analyse slow")
    os.kill(worker.pid, signal.SIGKILL)
    roles.let_go()
    roles.start("worker")
    roles.await_line("put-out slow pacs")
    assert roles.diary().count("analyse slow") == 2
    assert roles.diary().count("put-out slow pacs") == 1


def test_a_line_is_drained_once_at_a_time_and_a_hung_peer_holds_no_other(roles: Roles) -> None:
    roles.start("node", "drain:slow/0", "drain:slow/0", "drain:quick/0", "drain:quick/1")
    for line in ("drained quick 0", "drained quick 1"):
        roles.await_line(line)
    assert "drained slow 0" not in roles.diary()
    roles.let_go()
    roles.await_line("drained slow 0")
    assert roles.diary().count("drain slow 0") == 1


def test_a_drain_that_was_killed_goes_on_and_one_that_fails_can_be_had_again(roles: Roles) -> None:
    node = roles.start("node", "drain:slow/0", "drain:bug/0")
    for line in ("drain slow 0", "drain bug 0"):
        roles.await_line(line)
    os.kill(node.pid, signal.SIGKILL)
    roles.let_go()
    roles.start("node")
    roles.await_line("drained slow 0")
    roles.start("node-2", "drain:bug/0")
    wait_until(lambda: roles.diary().count("drain bug 0") >= 2)


def test_a_node_that_comes_back_under_another_name_goes_on_too(roles: Roles) -> None:
    """As a container does: what was held under the old name would be held for ever, and its line with it."""
    node = roles.start("node", "drain:slow/0", "slow")
    worker = roles.start("worker")
    for line in ("drain slow 0", "analyse slow"):
        roles.await_line(line)
    for process in (node, worker):
        os.kill(process.pid, signal.SIGKILL)
    roles.let_go()
    roles.start("node", host="other")
    roles.start("worker", host="other")
    for line in ("drained slow 0", "put-out slow pacs"):
        roles.await_line(line)
    assert roles.diary().count("analyse slow") == 2


def test_a_job_that_keeps_killing_its_worker_ends_and_the_others_go_on(roles: Roles) -> None:
    """Out of memory on one study must not stop every other study for good."""
    roles.start("node", "killer", "good")
    for _ in range(10):
        worker = roles.start("worker")
        while worker.poll() is None and "put-out good pacs" not in roles.diary():
            time.sleep(0.1)
        if worker.poll() is None:
            break
    roles.await_line("put-out good pacs")
    assert roles.diary().count("analyse killer") == MAX_KILLS + 1
    assert "analysed killer" not in roles.diary()
    wait_until((roles.folder / "lost").exists)
    assert (roles.folder / "lost").read_text() == "killer"
