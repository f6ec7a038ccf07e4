"""Whose fault an error is: a full disk is the world's, whoever met it first."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa

from spine_node.disk import free_bytes, require_room, used_bytes, worlds_fault
from spine_node.errors import Unavailable


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
def test_a_disk_that_would_not_is_the_worlds_fault(number: int) -> None:
    assert worlds_fault(OSError(number, "words"))


def test_an_error_that_another_library_wrapped_is_looked_into() -> None:
    wrapped = RuntimeError("could not write the image")
    wrapped.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert worlds_fault(wrapped) == "No space left on device"


def test_a_full_database_is_the_worlds_fault(tmp_path: Path) -> None:
    """SQLite's own words, as SQLAlchemy passes them on."""
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'small.sqlite'}")
    with engine.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE words (text VARCHAR)")
        connection.exec_driver_sql("PRAGMA max_page_count = 4")
        with pytest.raises(sa.exc.OperationalError) as full:
            connection.exec_driver_sql("INSERT INTO words VALUES (?)", ("x" * 100_000,))
    assert worlds_fault(full.value) == "SQLite: database or disk is full"


def test_a_locked_database_is_the_worlds_fault(tmp_path: Path) -> None:
    holder = sqlite3.connect(tmp_path / "a.sqlite", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with (
        sa.create_engine(f"sqlite:///{tmp_path / 'a.sqlite'}?timeout=0").connect() as connection,
        pytest.raises(sa.exc.OperationalError) as locked,
    ):
        connection.exec_driver_sql("CREATE TABLE words (text VARCHAR)")
    assert "is locked" in worlds_fault(locked.value)
    holder.close()


@pytest.mark.parametrize(
    "bug",
    [
        ValueError("no space left on device"),
        FileNotFoundError(errno.ENOENT, "no such file"),
        sqlite3.OperationalError("no such table: ledger_jobs"),
    ],
)
def test_a_bug_stays_a_bug(bug: Exception) -> None:
    """Waiting for the world to change would hide it."""
    assert worlds_fault(bug) == ""


def test_too_little_room_is_said_with_numbers_before_work_begins(tmp_path: Path) -> None:
    require_room(tmp_path / "not there yet", 1)
    with pytest.raises(Unavailable, match=r"are free for .*, about .* GB are needed"):
        require_room(tmp_path, free_bytes(tmp_path) * 2)


def test_used_is_what_the_disk_gave(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "file").write_bytes(b"x" * 100_000)
    assert 100_000 <= used_bytes(tmp_path) < 120_000
    assert used_bytes(tmp_path / "absent") == 0
