"""Headers of a series read while it is still waited for, to be at hand when its quiet time is over."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from pathlib import Path

from pydicom import Dataset
from pydicom.errors import InvalidDicomError

from spine_node.dicom.headers import read_header
from spine_node.errors import SeriesRefused

MOST_HEADERS = 4000
"""Held at once, some 50 kB each; further ones are read when they are judged."""

FileKey = tuple[int, int, int]


class ReadingAhead:
    """Headers by file. A file that was replaced since is read again; one that cannot be read is left to
    who judges the series."""

    def __init__(self) -> None:
        self._held: dict[str, dict[str, tuple[FileKey, Dataset]]] = {}

    def read_some(self, series_uid: str, paths: Sequence[Path], budget_s: float) -> bool:
        """Read headers that are not held yet, for about so many seconds; whether all are held then."""
        end = time.monotonic() + budget_s
        held = self._held.setdefault(series_uid, {})
        for path in paths:
            if path.name in held:
                continue
            if time.monotonic() > end or sum(map(len, self._held.values())) >= MOST_HEADERS:
                return False
            try:
                key = file_key(path)
                held[path.name] = key, read_header(path)
            except (OSError, InvalidDicomError, SeriesRefused):
                return False
        return True

    def held(self, series_uid: str, paths: Sequence[Path]) -> dict[Path, Dataset]:
        """The headers of those of these files that are held as they are now; handed out once, and let go."""
        held = self._held.pop(series_uid, {})
        return {p: held[p.name][1] for p in paths if p.name in held and held[p.name][0] == file_key(p)}

    def forget_all_but(self, series_uids: Collection[str]) -> None:
        """Let go of series that are no longer waited for."""
        for gone in self._held.keys() - set(series_uids):
            del self._held[gone]


def file_key(path: Path) -> FileKey:
    """The same as long as nobody replaces the file or writes into it, wherever its folder is moved."""
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns
