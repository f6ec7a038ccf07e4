"""One worker process, kept alive by the node."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from spine_node.logs import logger

log = logger("node")


class WorkerProcess:
    """Keeps one worker process alive, with a growing pause when it keeps dying."""

    def __init__(self, config_path: Path | None) -> None:
        self._command = [sys.executable, "-m", "spine_node", "worker", "--parent", str(os.getpid())]
        if config_path is not None:
            self._command += ["--config", str(config_path)]
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._died = 0.0
        self._pause_s = 0.5

    def keep_alive(self) -> None:
        """Start the worker if it does not run."""
        now = time.monotonic()
        if self._process is not None:
            status = self._process.poll()
            if status is None:
                return
            log.error("worker_died", status=status, pid=self._process.pid)
            self._pause_s = 0.5 if now - self._started > 60 else min(self._pause_s * 2, 30.0)
            self._process, self._died = None, now
        if now - self._died >= self._pause_s:
            self._process, self._started = subprocess.Popen(self._command), now

    def stop(self) -> None:
        """End the worker; the job it holds is done again by the next one."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
