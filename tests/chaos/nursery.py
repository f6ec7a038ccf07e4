"""Processes of a node by fork: a start takes a tenth of a second instead of ten on a busy core.

A campaign of hundreds of kills would spend its time on imports. The nursery has imported everything once; the
node's main process is forked from it, and forks a nursery of its own, from which it gets receivers and
workers. They run the commands of `tests.chaos.node` from their first line on, and die as any process does.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_NAME, _DIE_WITH_PARENT = 15, 1  # prctl(2): PR_SET_NAME, PR_SET_PDEATHSIG


def call_itself(name: str) -> None:
    """Set what /proc/PID/comm says."""
    ctypes.CDLL(None).prctl(_NAME, name.encode(), 0, 0, 0)


class Forked:
    """A process that another one forked for us; as much of Popen as is needed."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        try:
            self._end: int | None = os.pidfd_open(pid)
        except ProcessLookupError:
            self._end = None

    def poll(self) -> int | None:
        """None while it lives, else -9: how it ended is not told."""
        if self._end is not None and not select.select([self._end], [], [], 0)[0]:
            return None
        self._close()
        return -9

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end."""
        if self._end is not None and not select.select([self._end], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired("forked", timeout or 0.0)
        self._close()
        return -9

    def terminate(self) -> None:
        """Ask it to end."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if self._end is not None:
            signal.pidfd_send_signal(self._end, number)

    def _close(self) -> None:
        if self._end is not None:
            os.close(self._end)
            self._end = None


class Nursery:
    """Forks processes on demand. Made in a process of one thread that has imported what they need."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            ours.close()
            ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:
                os._exit(0)
            call_itself("nursery")
            _serve(theirs)
            os._exit(0)
        theirs.close()
        self._socket = ours

    def fork(
        self, arguments: Sequence[str], descriptors: Sequence[int] = (), log: Path | None = None
    ) -> Forked:
        """Have the node's command run with these arguments, in a session of its own if it has a log."""
        said = json.dumps({"arguments": list(arguments), "log": str(log or "")}).encode()
        socket.send_fds(self._socket, [said], list(descriptors))
        return Forked(int(self._socket.recv(32)))

    def popen(self, command: Sequence[str], pass_fds: Sequence[int] = ()) -> Forked:
        """In the place of `subprocess.Popen` for `children`: the same command, by fork."""
        arguments = list(command)
        arguments[arguments.index("--parent") + 1] = str(self.pid)
        return self.fork(arguments, pass_fds)

    def close(self) -> None:
        """End it."""
        self._socket.close()
        os.waitpid(self.pid, 0)


def _serve(requests: socket.socket) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries them
    while True:
        said, descriptors, _, _ = socket.recv_fds(requests, 65536, 4)
        if not said:
            return
        wanted: dict[str, Any] = json.loads(said)
        pid = os.fork()
        if pid == 0:
            requests.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _become(wanted, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        requests.send(str(pid).encode())


def _become(wanted: dict[str, Any], descriptors: Sequence[int]) -> None:
    from tests.chaos.node import main

    status = 1
    try:
        arguments = list(wanted["arguments"])
        if descriptors:
            arguments[arguments.index("--listen-fd") + 1] = str(descriptors[0])
            os.set_inheritable(descriptors[0], True)
        if wanted["log"]:
            os.setsid()
            log = os.open(wanted["log"], os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
            os.dup2(log, 1)
            os.dup2(log, 2)
        main(*arguments)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    finally:
        sys.stderr.flush()
        os._exit(status)
