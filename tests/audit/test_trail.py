"""The trail's files: nothing half, nothing lost without a word, nobody else reads them, nobody waits."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from spine_node.audit import trail
from spine_node.audit.messages import Source, application_activity
from spine_node.audit.trail import AuditTrail, append, expire, files_of
from tests.audit.schema import problems
from tests.conftest import wait_until

US = Source("SPINENODE", "node1", 42)


def lines(folder: Path) -> list[str]:
    return [line for path in files_of(folder) for line in path.read_text(encoding="utf-8").splitlines()]


def test_messages_are_kept_in_order_for_this_user_only(tmp_path: Path) -> None:
    kept = AuditTrail(tmp_path / "audit", US)
    messages = [application_activity(US, started=n % 2 == 0) for n in range(50)]
    for message in messages:
        kept.write(message)
    kept.close()
    assert lines(tmp_path / "audit") == messages
    for path in (tmp_path / "audit", *files_of(tmp_path / "audit")):
        assert not path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO), f"{path} is open to others"


WRITER = """
import sys
from pathlib import Path
from spine_node.audit.messages import Source, application_activity
from spine_node.audit.trail import AuditTrail
source = Source("NODE" + sys.argv[2], "host", 1, "x" * 300)
for spell in range(4):  # what is written at once goes into one file, however much it is
    trail = AuditTrail(Path(sys.argv[1]), source, max_file_bytes=20_000)
    for n in range(50):
        trail.write(application_activity(source, started=True))
    trail.close(30)
"""


def test_several_processes_write_whole_messages_into_one_trail(tmp_path: Path) -> None:
    """And while they do, files fill up and are followed by others."""
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "audit"), str(n)]) for n in range(3)
    ]
    assert [writer.wait(600) for writer in writers] == [0, 0, 0]
    found = lines(tmp_path / "audit")
    assert len(found) == 600
    assert len(files_of(tmp_path / "audit")) > 3
    assert not [p for line in found for p in problems(line)]


def test_a_full_disk_keeps_nobody_waiting_and_what_was_lost_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trail, "MOST_WAITING", 20)
    monkeypatch.setattr(trail, "_TRY_AGAIN_S", 0.05)
    asked, answers, full = threading.Event(), threading.Event(), [True]

    def fill(file: int, data: bytes) -> int:
        asked.set()
        if full[0]:
            answers.wait(600)
            raise OSError(28, "No space left on device")
        return real(file, data)

    real = os.write
    monkeypatch.setattr(trail.os, "write", fill)
    kept = AuditTrail(tmp_path / "audit", US)
    with capture_logs() as events:
        kept.write(application_activity(US, started=True))
        assert asked.wait(120)
        for _ in range(99):
            kept.write(application_activity(US, started=True))
        assert events == [], "nobody waited until the disk had said that it is full"
        answers.set()
        wait_until(lambda: events)
        full[0] = False
        kept.write(application_activity(US, started=False))
        wait_until(lambda: [e for e in events if e["event"] == "audit_messages_lost"])
        kept.close(120)
    said = [line for line in lines(tmp_path / "audit") if "audit messages were lost" in line]
    assert len(said) == 1
    kept_of_100 = len(lines(tmp_path / "audit")) - 1
    assert f"{101 - kept_of_100} audit messages were lost" in said[0]
    assert problems(said[0]) == []


def test_a_write_that_fails_on_the_way_leaves_no_half_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(tmp_path, ["<one/>"], 1000)
    real = os.write
    monkeypatch.setattr(trail.os, "write", lambda file, data: real(file, data[:3]))
    with pytest.raises(OSError, match="No space left"):
        append(tmp_path, ["<two/>"], 1000)
    assert lines(tmp_path) == ["<one/>"]


def test_a_trail_that_is_turned_off_writes_nothing(tmp_path: Path) -> None:
    kept = AuditTrail(None, US)
    kept.write("<x/>")
    kept.close()
    assert not list(tmp_path.iterdir())


def test_old_files_go_unless_they_are_yet_to_be_sent(tmp_path: Path) -> None:
    names = ["audit-20200101-000001.log", "audit-20200102-000001.log", "audit-20200103-000001.log"]
    for name in names:
        (tmp_path / name).write_text("<x/>\n")
        os.utime(tmp_path / name, (0, 0))
    assert expire(tmp_path, 100, sent=names[0]) == []
    assert expire(tmp_path, 100, sent=names[1]) == names[:1]
    assert expire(tmp_path, 100, sent=None) == names[1:2], "the newest is being written to"
