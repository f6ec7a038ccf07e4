"""A running node: real processes, real sockets, one folder that can be looked at."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pydicom
import pytest

from spine_node.config import Destination
from spine_node.ledger import Job, Ledger
from spine_node.network.peer import Peer
from spine_node.network.scu import Outcome, echo, send
from spine_node.phantom.generate import Phantom, generate
from spine_node.phantom.series import write_phantom
from tests.conftest import free_port

PATIENCE_S = 420
"""For a whole analysis on two busy cores."""


@dataclass
class RunningNode:
    """The node as a hospital would start it, with a hand on its processes."""

    folder: Path
    destinations: list[Destination]
    quiet_s: float = 2.0
    give_up_s: float = 6.0
    more: str = ""
    """Further tables of its config, as TOML."""
    peer: Peer = field(init=False)
    process: subprocess.Popen[bytes] | None = None
    patients: set[str] = field(default_factory=set)
    """Names and ids of the patients that were sent: no log may hold one."""

    def __post_init__(self) -> None:
        self.peer = Peer(name="node", ae_title="SPINENODE", host="127.0.0.1", port=free_port())

    def start(self) -> None:
        config = self.folder / "node.toml"
        destinations = "".join(
            f'[[destinations]]\nname = "{p.name}"\nae_title = "{p.ae_title}"\n'
            f'host = "{p.host}"\nport = {p.port}\nprofile = "{p.profile}"\n'
            f"results = {list(p.results)}\nnotices = {str(p.notices).lower()}\n"
            for p in self.destinations
        )
        config.write_text(
            f'[scp]\nae_title = "{self.peer.ae_title}"\nport = {self.peer.port}\n'
            f'[storage]\nfolder = "{self.folder / "data"}"\n'
            f"[series]\nquiet_s = {self.quiet_s}\ngive_up_s = {self.give_up_s}\n{destinations}{self.more}"
        )
        with (self.folder / "node.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "spine_node", "serve", "--config", str(config)], stdout=log, stderr=log
            )
        self.wait_until(self._answers, "the node answers C-ECHO", 300)

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.process is None:
            return
        children = psutil.Process(self.process.pid).children(recursive=True)
        os.kill(self.process.pid, number)
        self.process.wait(timeout=120)
        # A worker notices within a second that the node is gone.
        _, alive = psutil.wait_procs(children, timeout=120)
        self.process = None
        assert not alive, f"processes outlive the node: {alive}"
        log = (self.folder / "node.log").read_text(errors="replace")
        told = [patient for patient in self.patients if patient in log]
        assert not told, f"the log tells who a patient is: {told}"

    def worker(self) -> psutil.Process | None:
        assert self.process is not None
        children = psutil.Process(self.process.pid).children()
        return next((c for c in children if "worker" in c.cmdline()), None)

    @property
    def ledger(self) -> Ledger:
        return Ledger(f"sqlite:///{self.folder / 'data' / 'node.sqlite'}")

    def send(self, series: Path) -> list[Outcome]:
        header = pydicom.dcmread(next(series.glob("*.dcm")), stop_before_pixels=True)
        self.patients |= {str(header.PatientName), str(header.PatientID)} - {""}
        return list(send(self.peer, sorted(series.glob("*.dcm")), "TESTMODALITY"))

    def wait_for_job(self, study_uid: str, *states: str) -> Job:
        def reached() -> Job | None:
            return next((j for j in self.ledger.jobs(study_uid=study_uid) if j.state in states), None)

        return self.wait_until(reached, f"the study is {' or '.join(states)}", PATIENCE_S)

    def wait_until(self, condition: Callable[[], Any], what: str, patience_s: float) -> Any:
        end = time.monotonic() + patience_s
        while not (found := condition()):
            if time.monotonic() > end:
                jobs = [(j.state, j.stage, j.reason) for j in self.ledger.jobs()]
                log = (self.folder / "node.log").read_text(errors="replace")[-3000:]
                pytest.fail(f"{what}: not within {patience_s} s. Jobs: {jobs}. Log:\n{log}")
            time.sleep(0.1)
        return found

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "node.log").read_text(errors="replace")[-3000:]
        try:
            echo(self.peer, "TESTMODALITY")
        except Exception:  # noqa: BLE001 - not yet up, whatever the reason
            return False
        return True


@dataclass
class Study:
    """A phantom on disk as DICOM, with its exact truth."""

    phantom: Phantom
    folder: Path
    study_uid: str

    @property
    def series(self) -> Path:
        return self.folder / "dicom"


def make_study(seed: int, folder: Path, spacing_mm: float = 2.0) -> Study:
    import pydicom

    phantom = generate(seed, spacing_mm=spacing_mm, clean=True)
    write_phantom(phantom, folder)
    first = next((folder / "dicom").glob("*.dcm"))
    return Study(phantom, folder, str(pydicom.dcmread(first, stop_before_pixels=True).StudyInstanceUID))


@pytest.fixture
def node_in(tmp_path: Path) -> Iterator[Callable[..., RunningNode]]:
    """Makes nodes that end with the test."""
    nodes: list[RunningNode] = []

    def make(*destinations: Destination, **settings: Any) -> RunningNode:
        folder = tmp_path / f"node{len(nodes)}"
        folder.mkdir()
        nodes.append(RunningNode(folder, list(destinations), **settings))
        nodes[-1].start()
        return nodes[-1]

    yield make
    for node in nodes:
        node.stop()
