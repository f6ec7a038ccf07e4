"""Processes that are kept alive."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from spine_node import children
from spine_node.children import ChildProcess, Children
from tests.conftest import wait_until


@pytest.fixture
def quick_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In the place of `python -m spine_node`: writes its process id, and sleeps or ends as told."""
    script = tmp_path / "program"
    script.write_text(f"#!/bin/sh\necho $$ >> {tmp_path}/pids\n[ $1 = ends ] || exec sleep 600\n")
    script.chmod(0o755)
    monkeypatch.setattr(children, "PROGRAM", (str(script),))
    return tmp_path / "pids"


def pids(file: Path) -> list[int]:
    return [int(line) for line in file.read_text().split()] if file.exists() else []


def test_a_child_that_dies_is_replaced_at_once(quick_python: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the pause that others are made to wait for."""
    monkeypatch.setattr(children, "_PAUSES_S", (3600.0, 3600.0))
    kept = Children([ChildProcess("receiver", ["stays"])])
    kept.start()
    try:
        wait_until(lambda: len(pids(quick_python)) == 1)
        os.kill(pids(quick_python)[0], signal.SIGKILL)
        wait_until(lambda: len(pids(quick_python)) == 2)
    finally:
        kept.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pids(quick_python)[1], 0)


def test_a_child_that_keeps_dying_is_started_less_and_less_often(quick_python: Path) -> None:
    """At once, after half a second, after one more: the fourth start is not before 1.5 s."""
    kept = Children([ChildProcess("receiver", ["ends"])])
    began = time.monotonic()
    kept.start()
    try:
        wait_until(lambda: len(pids(quick_python)) == 4)
        assert time.monotonic() - began > 1.4
    finally:
        kept.stop()
