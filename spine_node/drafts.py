"""Instances on their way into an inbox: files that are nobody's yet, in a folder of each living process.

    incoming/<writer>/      temporary files of one process; its lock says that the process lives
    stopped.txt             why nothing is stored for the time being

Knows when there is no room for more, and nothing of series, states or DICOM.
"""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Generic, TypeVar

from spine_node.disk import free_bytes

LOOK_EVERY_BYTES = 16 << 20
"""How much is written between two looks at the free space."""

_INCOMING, _STOPPED = "incoming", "stopped.txt"

Placed = TypeVar("Placed")


@contextmanager
def exclusively(root: Path) -> Iterator[None]:
    """Hold the lock of the inbox at `root` against other threads and processes."""
    descriptor = os.open(root / "lock", os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


class Drafts(Generic[Placed]):
    """The temporary files below `root`/incoming.

    Parameters
    ----------
    root : Path
        The inbox's folder, which is there.
    reserve_bytes : int
        Free space that is left alone.
    place : callable
        Moves a whole, synced file to its place, for good: from its path, series UID, SOP instance UID and
        the sender's AE title.
    """

    def __init__(self, root: Path, reserve_bytes: int, place: Callable[[str, str, str, str], Placed]) -> None:
        self.place = place
        self._root, self._stopped = root, str(root / _STOPPED)
        self.reserve_bytes = reserve_bytes
        self._writer: tuple[Path, int] | None = None
        self._numbers = itertools.count()
        self._opening = threading.Lock()
        (root / _INCOMING).mkdir(exist_ok=True)

    def begin(self) -> Draft[Placed]:
        """Room for an instance; OSError (ENOSPC) if there is none."""
        self.require_space(LOOK_EVERY_BYTES)
        return Draft(self, f"{self.folder()}/{next(self._numbers)}.part")

    def require_space(self, size: int) -> None:
        """Raise OSError (ENOSPC) unless this many bytes fit without touching the reserve, and none after
        `stop`."""
        if os.access(self._stopped, os.F_OK) and (stopped := self.stopped()):
            raise OSError(errno.ENOSPC, stopped)
        free = free_bytes(self._root)
        if free < size + self.reserve_bytes:
            raise OSError(errno.ENOSPC, f"{free} bytes are free, {self.reserve_bytes} are reserved")

    def folder(self) -> Path:
        """A folder of this process on the inbox's filesystem; emptied when the process has ended."""
        with self._opening:
            if self._writer is None or self._writer[1] != os.getpid():
                folder = self._root / _INCOMING / uuid.uuid4().hex
                with exclusively(self._root):
                    folder.mkdir()
                    # Held open for the life of the process: the lock is how others know that it lives.
                    fcntl.flock(os.open(folder / "lock", os.O_CREAT | os.O_RDWR), fcntl.LOCK_EX)
                self._writer = (folder, os.getpid())
            return self._writer[0]

    def clear_interrupted(self) -> None:
        """Remove the files of processes that no longer live; the inbox's lock is held."""
        for folder in (self._root / _INCOMING).iterdir():
            descriptor = os.open(folder / "lock", os.O_CREAT | os.O_RDWR)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
            except BlockingIOError:
                continue
            finally:
                os.close(descriptor)

    def stop(self, reason: str) -> None:
        """Begin and write nothing more, in any process, until `go_on`."""
        if self.stopped() != reason:
            temporary = self.folder() / f"{uuid.uuid4().hex}.part"
            temporary.write_text(reason + "\n", encoding="utf-8")
            temporary.replace(self._stopped)

    def go_on(self) -> None:
        """Take back `stop`."""
        Path(self._stopped).unlink(missing_ok=True)

    def stopped(self) -> str:
        """Why nothing is stored, or empty."""
        try:
            return Path(self._stopped).read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return ""


class Draft(Generic[Placed]):
    """An instance on its way in: a temporary file that is nobody's until it is kept.

    Not for several threads at once. What is neither kept nor discarded goes when its process has ended.
    """

    def __init__(self, drafts: Drafts[Placed], path: str) -> None:
        self._drafts, self._path = drafts, path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        self._size, self._looked_at = 0, LOOK_EVERY_BYTES
        self._kept = False

    def write(self, *pieces: bytes | memoryview) -> None:
        """Add the next bytes.

        Raises
        ------
        OSError
            If the disk is full (ENOSPC, also when only the reserve is left) or fails.
        """
        size = sum(map(len, pieces))
        self._size += size
        if self._size > self._looked_at:
            self._drafts.require_space(size + LOOK_EVERY_BYTES)
            self._looked_at = self._size + LOOK_EVERY_BYTES
        written = os.writev(self._file, pieces)
        if written < size:
            left = memoryview(b"".join(pieces))[written:]
            while left:
                left = left[os.write(self._file, left) :]

    def reader(self) -> BinaryIO:
        """What was written so far, to be read from its start."""
        return open(self._path, "rb")

    def keep(self, series_uid: str, sop_uid: str, calling_ae: str) -> Placed:
        """Make it an instance of a series, for good: when this returns, a power cut does not lose it.

        Raises
        ------
        ValueError
            If a UID is not one (and so could not safely name a file).
        OSError
            If the disk is full or fails.
        """
        os.fsync(self._file)
        stored = self._drafts.place(self._path, series_uid, sop_uid, calling_ae)
        self._kept = True
        self.discard()
        return stored

    def discard(self) -> None:
        """Leave nothing of it, unless it was kept."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        if not self._kept:
            with suppress(FileNotFoundError):
                os.unlink(self._path)
