"""Disks: what is free, what is used, and whether an error is theirs.

A full disk, or a database that is locked or out of reach, is the world's fault: the same call may succeed
once somebody has made room. Told by the error itself, wherever it was met.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from spine_node.errors import Unavailable

_OF_THE_DISK = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.ESTALE, errno.ENODEV, errno.ENXIO}
)
_OF_SQLITE = ("disk is full", "is locked", "disk I/O error", "unable to open database", "readonly database")


def free_bytes(folder: Path) -> int:
    """What a process without privileges may still write where this folder is, or will be."""
    while True:
        try:
            disk = os.statvfs(folder)
        except (FileNotFoundError, NotADirectoryError):
            if folder == folder.parent:
                raise
            folder = folder.parent
        else:
            return disk.f_bavail * disk.f_frsize


def used_bytes(folder: Path) -> int:
    """What the files below take, in whole blocks as the disk counts them; files that vanish count nothing."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_blocks * 512
            except OSError:
                continue
    return total


def require_room(folder: Path, size: int) -> None:
    """Raise Unavailable if less than this is free there: before hours of work, not after.

    Raises
    ------
    Unavailable
    """
    free = free_bytes(folder)
    if free < size:
        raise Unavailable(
            f"{free / 1e9:.2f} GB are free for {folder}, about {size / 1e9:.2f} GB are needed. Nothing was "
            "lost; it is tried again until there is room."
        )


def worlds_fault(error: BaseException) -> str:
    """Why the disk or the database would not, in words; empty when the error is none of theirs.

    Examples
    --------
    >>> worlds_fault(OSError(errno.ENOSPC, "No space left on device"))
    'No space left on device'
    >>> worlds_fault(ValueError("a bug"))
    ''
    """
    for cause in _causes(error):
        if isinstance(cause, OSError) and cause.errno in _OF_THE_DISK:
            return str(cause.strerror or cause)
        if isinstance(cause, sqlite3.OperationalError) and any(words in str(cause) for words in _OF_SQLITE):
            return f"SQLite: {cause}"
        if getattr(cause, "connection_invalidated", False):  # SQLAlchemy's word for a server that went away
            return f"database: {cause}"
    return ""


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or getattr(error, "orig", None)
