"""The files of the audit trail: whole messages, one a line, from several processes, durable in a moment.

    audit-20260102-000001.log    the day, and a number that grows when a file is full; the newest is open
    lock                         held while a process appends

`write` never waits and never raises. A thread appends what has gathered, under the lock, with one fsync for
all of it; while the disk is full, what fits the queue is kept and tried again, and what does not is counted
and said in the trail itself. `network.syslog` sends the files on to an audit record repository.
"""

from __future__ import annotations

import fcntl
import os
import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from spine_node.audit.messages import Source, messages_lost
from spine_node.durable import sync_folder
from spine_node.logs import logger

MOST_WAITING = 10_000
"""Messages in memory; some 15 MB."""

_TRY_AGAIN_S = 1.0

log = logger("audit")


class AuditTrail:
    """Where a process writes its audit messages.

    Parameters
    ----------
    folder : Path or None
        Created if absent, for this user only. None: nothing is kept (the config turned the trail off).
    source : Source
        Who reports.
    max_file_bytes : int
        A file that is longer is followed by the next.
    """

    def __init__(self, folder: Path | None, source: Source, max_file_bytes: int = 50_000_000) -> None:
        self.source = source
        self._folder, self._max_file_bytes = folder, max_file_bytes
        self._waiting: queue.Queue[str] = queue.Queue(MOST_WAITING)
        self._lost = 0
        self._begin = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()

    def write(self, message: str) -> None:
        """Have a message kept. Returns at once, whatever the disk does."""
        if self._folder is None:
            return
        try:
            self._waiting.put_nowait(message)
        except queue.Full:
            self._lost += 1
        with self._begin:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
                self._thread.start()

    def close(self, wait_s: float = 5.0) -> None:
        """Write down what is still in memory."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join(wait_s)

    def _run(self) -> None:
        assert self._folder is not None
        batch: list[str] = []
        failing = False
        while not (self._closing.is_set() and self._waiting.empty() and not batch):
            batch = batch or self._gathered()
            if not batch:
                continue
            try:
                append(self._folder, batch, self._max_file_bytes)
            except OSError as problem:
                if not failing:
                    log.error("audit_not_written", reason=problem.strerror, waiting=len(batch))
                failing = True
                if self._closing.wait(_TRY_AGAIN_S):
                    return
                continue
            failing, batch = False, []
            if self._lost:
                lost, self._lost = self._lost, 0
                log.error("audit_messages_lost", number=lost)
                batch = [messages_lost(self.source, lost)]

    def _gathered(self) -> list[str]:
        found = []
        try:
            found.append(self._waiting.get(timeout=0.2))
            while len(found) < 1000:
                found.append(self._waiting.get_nowait())
        except queue.Empty:
            pass
        return found


def append(folder: Path, messages: list[str], max_file_bytes: int) -> None:
    """Append whole messages to the newest file, durably; OSError leaves the file as it was."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    text = "".join(f"{message}\n" for message in messages).encode()
    with _locked(folder):
        path = _current(folder, max_file_bytes)
        new = not path.exists()
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            before = os.fstat(file).st_size
            try:
                written = os.write(file, text)
                if written < len(text):  # the disk filled up on the way
                    raise OSError(28, "No space left on device")
                os.fsync(file)
            except OSError:
                os.ftruncate(file, before)
                raise
        finally:
            os.close(file)
        if new:
            sync_folder(folder)


def files_of(folder: Path) -> list[Path]:
    """The files of a trail, the oldest first."""
    return sorted(folder.glob("audit-*.log"))


def expire(folder: Path, keep_days: float, sent: str | None) -> list[str]:
    """Delete files whose last message is older than this; gives their names.

    Parameters
    ----------
    sent : str, optional
        Name of the file that is being sent to a repository: it and later ones stay. None: none is awaited.
    """
    gone = []
    for path in files_of(folder)[:-1]:
        if sent is not None and path.name >= sent:
            break
        if time.time() - path.stat().st_mtime > keep_days * 86400.0:
            path.unlink()
            gone.append(path.name)
    return gone


def _current(folder: Path, max_file_bytes: int) -> Path:
    day = datetime.now(UTC).strftime("%Y%m%d")
    files = files_of(folder)
    newest = files[-1] if files else None
    if newest is not None and newest.name[6:14] >= day:  # a clock set back does not begin an older file
        if newest.stat().st_size < max_file_bytes:
            return newest
        return folder / f"{newest.name[:15]}{int(newest.stem[15:]) + 1:06d}.log"
    return folder / f"audit-{day}-000001.log"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    file = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)
