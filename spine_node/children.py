"""The processes that the node starts and keeps alive: receivers and the worker."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from spine_node.logs import logger

LOOK_EVERY_S = 0.1
"""How often dead children are looked for; a dead one is replaced within this time."""

PROGRAM: Sequence[str] = (sys.executable, "-m", "spine_node")
"""How a process of ours is started: the same program as this one."""

_LONG_LIFE_S = 60.0
_PAUSES_S = (0.5, 30.0)

log = logger("node")


@dataclass(slots=True)
class ChildProcess:
    """One command of ours, kept running.

    The first that dies is replaced at once, as is one that lived a minute; the next ones after a pause
    that grows from half a second to half a minute, as something is wrong that a new start does not mend.

    Attributes
    ----------
    name : str
        What logs call it.
    arguments : sequence of str
        What follows `spine-node`.
    descriptors : sequence of int
        Open files that it inherits under the same numbers.
    """

    name: str
    arguments: Sequence[str]
    descriptors: Sequence[int] = ()
    _process: subprocess.Popen[bytes] | None = None
    _started: float = 0.0
    _next: float = 0.0
    _pause_s: float = 0.0

    def keep_alive(self) -> None:
        """Start it if it does not run."""
        now = time.monotonic()
        if self._process is not None:
            status = self._process.poll()
            if status is None:
                return
            log.error(f"{self.name}_died", status=status, pid=self._process.pid)
            if now - self._started > _LONG_LIFE_S:
                self._pause_s = 0.0
            self._process, self._next = None, now + self._pause_s
            self._pause_s = min(max(self._pause_s * 2, _PAUSES_S[0]), _PAUSES_S[1])
        if now >= self._next:
            command = [*PROGRAM, *self.arguments]
            self._process, self._started = subprocess.Popen(command, pass_fds=self.descriptors), now

    def end(self) -> None:
        """Ask it to end, without waiting."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def wait(self, patience_s: float) -> None:
        """Wait for its end; one that does not end in time is killed."""
        if self._process is None:
            return
        try:
            self._process.wait(timeout=max(patience_s, 0.0))
        except subprocess.TimeoutExpired:
            log.error(f"{self.name}_killed", pid=self._process.pid, waited_s=patience_s)
            self._process.kill()
            self._process.wait()
        self._process = None


@dataclass(slots=True)
class Children:
    """Keeps child processes alive from a thread of its own, so that no long round of the node delays it."""

    children: Sequence[ChildProcess]
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Start every child, and look after them from now on."""
        self._thread = threading.Thread(target=self._look_after, name="children", daemon=True)
        self._thread.start()

    def replace_no_more(self) -> None:
        """A child that ends from now on was meant to; what the children inherit may be closed."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def stop(self, patience_s: float = 15.0) -> None:
        """End the children together and wait; those that do not end in time are killed."""
        self.replace_no_more()
        for child in self.children:
            child.end()
        deadline = time.monotonic() + patience_s
        for child in self.children:
            child.wait(deadline - time.monotonic())

    def _look_after(self) -> None:
        while not self._stopping.is_set():
            for child in self.children:
                try:
                    child.keep_alive()
                except OSError as problem:  # no memory or no process to be had now: try again
                    log.error("child_not_started", child=child.name, reason=str(problem))
            self._stopping.wait(LOOK_EVERY_S)
