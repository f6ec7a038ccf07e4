"""How many associations are open at once, counted over all receiving processes of a node.

Each open association holds a lock on one record of a file; the kernel lets go of it when the process
ends, however it ends. The record says who sits there, so that no caller takes every seat.
"""

from __future__ import annotations

import fcntl
import os
import struct
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ECHO_SEATS = 8
"""Further seats, for who proposes nothing but verification: C-ECHO is answered in a full house too."""

_RECORD = 16  # bytes: an AE title
_MUTEX = 1 << 20
_LOCK = "hhqqi"  # struct flock: type, whence, start, length, process (0 for open file description locks)


class NoSeatError(Exception):
    """A limit is reached; the message says which."""


class Seats:
    """Seats of one node.

    Parameters
    ----------
    path : Path, optional
        The file that the processes share; without one, the seats are this object's alone.
    places : int
        How many associations may be open at once.
    per_caller : int
        How many of them one calling AE title may have.
    """

    def __init__(self, path: Path | None, places: int, per_caller: int) -> None:
        self._places, self._per_caller = places, per_caller
        self._mine: set[int] = set()
        self._thread = threading.Lock()
        # Kept open for life: closing it would give every seat back. (Not "a+b": appending ignores offsets.)
        self._held = (
            tempfile.TemporaryFile()  # noqa: SIM115
            if path is None
            else os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
        )
        self._file = self._held.fileno()

    def take(self, calling_ae: str, *, echo_only: bool = False) -> int:
        """A seat for an association of this caller.

        Raises
        ------
        NoSeatError
            If all seats, or all that this caller may have, are taken.
        """
        caller = (
            calling_ae.encode("latin-1", "replace")[:_RECORD].ljust(_RECORD) if calling_ae else b"?" * _RECORD
        )
        with self._exclusively():
            free, had = None, 0
            first, last = (self._places, self._places + ECHO_SEATS) if echo_only else (0, self._places)
            table = os.pread(self._file, (last - first) * _RECORD, first * _RECORD)
            for seat in range(first, last):
                record = table[(seat - first) * _RECORD : (seat - first + 1) * _RECORD]
                if self._is_taken(seat, record):
                    had += record == caller
                elif free is None:
                    free = seat
            if had >= self._per_caller:
                raise NoSeatError(
                    f"{calling_ae} has {had} associations open, the most that one caller may have"
                )
            if free is None:
                raise NoSeatError(f"{last - first} associations are open, the most that this node takes")
            self._lock(fcntl.F_WRLCK, free)
            self._mine.add(free)
            os.pwrite(self._file, caller, free * _RECORD)
            return free

    def leave(self, seat: int) -> None:
        """Give a seat back."""
        with self._exclusively():
            os.pwrite(self._file, bytes(_RECORD), seat * _RECORD)
            self._mine.discard(seat)
            self._lock(fcntl.F_UNLCK, seat)

    def _is_taken(self, seat: int, record: bytes) -> bool:
        if seat in self._mine:
            return True
        if not record.strip(b"\0"):
            return False
        if not self._lock(fcntl.F_WRLCK, seat):
            return True
        self._lock(fcntl.F_UNLCK, seat)  # who sat there is dead
        return False

    def _lock(self, kind: int, seat: int) -> bool:
        try:
            fcntl.fcntl(
                self._file, fcntl.F_OFD_SETLK, struct.pack(_LOCK, kind, os.SEEK_SET, seat * _RECORD, 1, 0)
            )
        except (BlockingIOError, PermissionError):
            return False
        return True

    @contextmanager
    def _exclusively(self) -> Iterator[None]:
        with self._thread:
            mutex = struct.pack(_LOCK, fcntl.F_WRLCK, os.SEEK_SET, _MUTEX, 1, 0)
            fcntl.fcntl(self._file, fcntl.F_OFD_SETLKW, mutex)
            try:
                yield
            finally:
                fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, struct.pack(_LOCK, fcntl.F_UNLCK, 0, _MUTEX, 1, 0))
