"""What senders brought: counted by several processes at once, and never told less than it was."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from spine_node.ledger import Database, database_url
from spine_node.ledger.arrivals import LONGEST_WORDS, Arrival, Arrivals

SERIES, STUDY = "1.2.3", "1.2"


@pytest.fixture
def arrivals(tmp_path: Path) -> Arrivals:
    return Arrivals(Database(database_url(tmp_path / "node.sqlite")))


def only(arrivals: Arrivals) -> Arrival:
    (found,) = arrivals.of_series([SERIES])
    return found


def test_counts_add_up_and_times_span_them(arrivals: Arrivals) -> None:
    before = time.time()
    arrivals.record(SERIES, STUDY, "A1", "CT1", "10.0.0.7", 40, 0)
    arrivals.record(SERIES, STUDY, "A1", "CT1", "10.0.0.7", 2, 3, "0xA700 out of resources")
    found = only(arrivals)
    assert (found.stored, found.refused, found.last_reason) == (42, 3, "0xA700 out of resources")
    assert before <= found.first_at < found.last_at <= time.time()


def test_senders_of_one_series_are_told_apart(arrivals: Arrivals) -> None:
    for sender in ("CT1", "PACS", "CT1"):
        arrivals.record(SERIES, STUDY, "A1", sender, "10.0.0.7", 1, 0)
    assert {a.calling_ae: a.stored for a in arrivals.of_series([SERIES, "9.9"])} == {"CT1": 2, "PACS": 1}


def test_what_a_refused_data_set_does_not_tell_leaves_what_is_known(arrivals: Arrivals) -> None:
    arrivals.record(SERIES, STUDY, "A1", "CT1", "10.0.0.7", 1, 0)
    arrivals.record(SERIES, "", "", "CT1", "10.0.0.8", 0, 1, "no SOP Instance UID")
    found = only(arrivals)
    assert (found.study_uid, found.accession_number, found.address) == (STUDY, "A1", "10.0.0.8")


def test_a_reason_is_kept_until_there_is_a_newer_one(arrivals: Arrivals) -> None:
    arrivals.record(SERIES, STUDY, "", "CT1", "10.0.0.7", 0, 1, "disk full")
    arrivals.record(SERIES, STUDY, "", "CT1", "10.0.0.7", 9, 0)
    assert only(arrivals).last_reason == "disk full"


def test_what_a_sender_writes_is_cut(arrivals: Arrivals) -> None:
    """A hostile data set must not fill the ledger."""
    arrivals.record(SERIES, STUDY, "A" * 10_000, "CT1", "10.0.0.7", 0, 1, "x" * 10_000)
    found = only(arrivals)
    assert len(found.last_reason) == LONGEST_WORDS
    assert len(found.accession_number) == 64


def test_processes_that_count_at_once_lose_nothing(tmp_path: Path, arrivals: Arrivals) -> None:
    """As many as there are receivers, on one series."""
    code = f"""
from spine_node.ledger import Database
from spine_node.ledger.arrivals import Arrivals
arrivals = Arrivals(Database("sqlite:///{tmp_path / "node.sqlite"}"))
for _ in range(20):
    arrivals.record("{SERIES}", "{STUDY}", "A1", "CT1", "10.0.0.7", 2, 1, "why")
"""
    started = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [process.wait(timeout=600) for process in started] == [0, 0, 0]
    assert (only(arrivals).stored, only(arrivals).refused) == (120, 60)
