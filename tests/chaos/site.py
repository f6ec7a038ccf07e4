"""A node as systemd would keep it, with the PACS it sends to, and eyes and hands on its processes."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from spine_node.network.peer import Peer
from spine_node.network.scu import echo
from tests.chaos.node import PROGRAM
from tests.chaos.nursery import Forked, Nursery
from tests.chaos.studies import Study
from tests.conftest import free_port

ROLES = ("receiver", "worker")
"""What the node's children are called."""

_CONFIG = """
[scp]
ae_title = "CHAOS"
port = {port}
max_associations = 32
processes = {receivers}
[storage]
folder = "{data}"
reserve_gb = 0.2
[series]
quiet_s = {quiet_s}
give_up_s = {give_up_s}
[[rules]]
name = "small spines"
min_slices = 8
[[destinations]]
name = "pacs"
ae_title = "DOUBLE"
host = "127.0.0.1"
port = {pacs_port}
profile = "{profile}"
commitment = true
commitment_wait_s = 0.5
commitment_retry_s = 6.0
"""

_PROFILE = """
name = "chaos"
why = "quick to make and to send"
vertebrae = "whole"
[[results]]
forms = ["seg-binary"]
[[results]]
forms = ["sr-3d"]
"""


@dataclass
class Site:
    """The processes of one node and of one PACS, in one folder.

    The node is started again at once when it has ended, as systemd does.
    """

    folder: Path
    labels: Path
    quiet_s: float = 1.0
    give_up_s: float = 5.0
    pacs_delay_s: float = 0.1
    processes_receiving: int = 2
    nursery: Nursery | None = None
    starts: int = 0
    _main: Forked | subprocess.Popen[bytes] | None = None
    _wanted: bool = False
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.data, self.journal = self.folder / "data", self.folder / "pacs.journal"
        self.inbox, self.results = self.data / "inbox", self.data / "results"
        self.log = self.folder / "node.log"
        self.peer = Peer("node", "CHAOS", "127.0.0.1", free_port(), 3.0, 20.0)
        self._config = self.folder / "node.toml"
        pacs_port = free_port()
        profile = self.folder / "profile.toml"
        profile.write_text(_PROFILE)
        self._config.write_text(
            _CONFIG.format(
                port=self.peer.port, data=self.data, pacs_port=pacs_port, quiet_s=self.quiet_s,
                give_up_s=self.give_up_s, profile=profile,
                receivers=self.processes_receiving,
            )
        )  # fmt: skip
        self._environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self._pacs = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.pacs", "DOUBLE", str(pacs_port), str(self.journal),
             str(self.pacs_delay_s), str(self.peer.port)],
            env=self._environment,
        )  # fmt: skip
        self._keeper = threading.Thread(target=self._keep, daemon=True)

    def start(self) -> None:
        """Start the node, and keep it."""
        self._wanted = True
        self._keeper.start()

    def answers(self) -> bool:
        """Whether the node answers C-ECHO."""
        try:
            echo(self.peer, "ROUTER")
        except Exception:  # noqa: BLE001 - not yet, whatever the reason
            return False
        return True

    def stop(self) -> None:
        """End everything."""
        self._wanted = False
        if self._keeper.is_alive():
            self._keeper.join()
        main = self._main
        if main is not None and main.poll() is None:
            os.killpg(main.pid, signal.SIGTERM)
            try:
                main.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(main.pid, signal.SIGKILL)
                main.wait()
        self._pacs.terminate()
        self._pacs.wait(120)

    def processes(self) -> dict[str, list[psutil.Process]]:
        """What lives now: "main", and its children by their role."""
        with self._guard:
            main = self._main
        if main is None or main.poll() is not None:
            return {}
        found: dict[str, list[psutil.Process]] = {}
        try:
            process = psutil.Process(main.pid)
            found["main"] = [process]
            for child in process.children(recursive=True):
                role = Path(f"/proc/{child.pid}/comm").read_text().strip()
                if role in ROLES:
                    found.setdefault(role, []).append(child)
        except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
            pass
        return found

    def kill_group(self) -> None:
        """The whole node at once, as the end of a machine would."""
        with self._guard:
            if self._main is not None and self._main.poll() is None:
                os.killpg(self._main.pid, signal.SIGKILL)

    def ended(self, studies: Sequence[Study]) -> int:
        """How many of them have come to an end with all that was to be sent of them, and is committed."""
        rows = self.ask(
            "SELECT series_uid, max(instances) FROM ledger_jobs j "
            "WHERE state IN ('delivered', 'refused', 'ignored', 'failed', 'undelivered') AND NOT EXISTS "
            "(SELECT 1 FROM ledger_deliveries d WHERE d.job = j.job "
            "AND d.outcome IN ('stored', 'warning') AND d.commitment != 'committed') "
            "GROUP BY series_uid"
        )
        ended = dict(rows)
        return sum(ended.get(study.series_uid) == len(study.paths) for study in studies)

    def ask(self, sql: str, values: Sequence[str] = ()) -> list[tuple[object, ...]]:
        """Read the node's database; nothing while there is none."""
        path = self.data / "node.sqlite"
        if not path.exists():
            return []
        try:
            with closing(sqlite3.connect(path, timeout=30)) as database:
                return database.execute(sql, values).fetchall()
        except sqlite3.OperationalError:  # no table yet
            return []

    def _keep(self) -> None:
        while self._wanted:
            if self._main is None or self._main.poll() is not None:
                with self._guard:
                    self._main = self._begin()
                    self.starts += 1
            time.sleep(0.02)

    def _begin(self) -> Forked | subprocess.Popen[bytes]:
        command = ["serve", "--config", str(self._config)]
        if self.nursery is not None:
            return self.nursery.fork([str(self.labels), "fork", *command], log=self.log)
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [*PROGRAM, str(self.labels), "exec", *command],
                stdout=log, stderr=log, env=self._environment, start_new_session=True,
            )  # fmt: skip
