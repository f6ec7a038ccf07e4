"""The disk kept: what is past its days or in the way goes, what is owed stays, receiving stops in time."""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from spine_node.housekeeping import DAY_S, Housekeeping, Spool
from spine_node.ledger import STATES
from spine_node.ledger.arrivals import Arrivals
from spine_node.ledger.books import Books
from spine_node.ledger.commitment_requests import KEPT, CommitmentRequests
from spine_node.ledger.schema import deliveries, jobs
from spine_node.retention import Deletion, Keep, expired, pressed
from tests.small_node import Node, node_at

COMMITMENTS = ["", "asked", "committed", "failed"]


@pytest.fixture
def node_of_series(node_with: Any) -> Node:
    """Five analysed series with results."""
    node: Node = node_with()
    for number in range(5):
        node.analysed(number, size=10)
    return node


@pytest.fixture
def node_with(tmp_path: Path) -> Any:
    return partial(node_at, tmp_path)


def test_what_is_past_its_days_goes_and_what_is_not_stays(node_with: Any) -> None:
    node = node_with(results_days=30)
    node.delivered(1, days_ago=15)
    node.delivered(2, days_ago=13)
    node.refused(3, days_ago=61)
    node.refused(4, days_ago=59)
    node.delivered(5, days_ago=31)
    node.look()
    assert node.received == {2, 4}
    assert node.results == {1, 2}


@pytest.mark.parametrize("state", ["analysed", "undelivered"])
def test_what_no_destination_has_stays_at_any_age_and_on_a_full_disk(node_with: Any, state: str) -> None:
    node = node_with(results_days=30, low_water_gb=1e6)
    node.analysed(1)
    node.ledger.set_state("job1", state)
    node.aged(1, 3000)
    node.look()
    assert (node.received, node.results) == ({1}, {1})


def test_results_that_nobody_else_has_stay(node_with: Any) -> None:
    """A node without a destination keeps its results in the results folder, and only there."""
    node = node_with(results_days=30, low_water_gb=1e6)
    node.analysed(1)
    node.ledger.set_state("job1", "delivered", "no destination is configured")
    node.aged(1, 3000)
    node.look()
    assert (node.received, node.results) == (set(), {1})


def test_results_that_the_ledger_does_not_know_stay(node_with: Any) -> None:
    """After a lost database they may be all there is."""
    node = node_with(results_days=30, low_water_gb=1e6)
    node.delivered(1, days_ago=3000)
    study = Books(node.ledger.database).study_of("job1")[0]
    Books(node.ledger.database).strike_out(study, "", "", stone=False)
    node.look()
    assert node.results == {1}


def test_what_a_modality_was_promised_is_kept_as_long_as_it_was_promised(node_with: Any) -> None:
    """On a full disk too; received instances of study 1, results of study 2."""
    node = node_with(low_water_gb=1e6, results_days=30)
    node.delivered(1)
    node.delivered(2)
    requests = CommitmentRequests(node.ledger.database)
    pair = ("1.2.840.10008.5.1.4.1.1.2", "1.2.1.1.1")
    requests.accept("1.5", "CT1", "10.0.0.7", [pair], time.time(), 0.0)
    requests.decide("1.5", {pair[1]: KEPT}, ["1.2.1.1", "job2"], time.time() - 13 * DAY_S)
    node.look()
    assert (node.received, node.results) == ({1}, {2})
    requests.decide("1.5", {pair[1]: KEPT}, ["1.2.1.1", "job2"], time.time() - 15 * DAY_S)
    node.look()
    assert (node.received, node.results) == (set(), {2})
    requests.decide("1.5", {pair[1]: KEPT}, ["1.2.1.1", "job2"], time.time() - 31 * DAY_S)
    node.look()
    assert node.results == set()


def test_over_quota_the_oldest_delivered_goes_first_and_no_more_than_needed(node_with: Any) -> None:
    node = node_with(inbox_quota_gb=2.6e-3)
    node.delivered(1, days_ago=2)
    node.delivered(2, days_ago=3)
    node.delivered(3, days_ago=1)
    node.look()
    assert node.received == {1, 3}
    assert node.results == {1, 2, 3}
    assert node.inbox.stopped() == ""


def test_older_contents_of_instances_count_and_go_with_their_series(node_with: Any) -> None:
    """A PACS that corrects a study sends all of it again: twice the bytes, and both are ours."""
    node = node_with(inbox_quota_gb=2.6e-3)
    node.delivered(2, days_ago=1)
    node.inbox.store("1.2.1.1", "1.2.1.1.1", "CT1", [b"wrong patient" * 100_000])
    node.delivered(1, days_ago=2)
    assert list(node.inbox.superseded()) == ["1.2.1.1"]
    node.look()
    assert node.received == {2}
    assert node.inbox.superseded() == {}
    assert node.inbox.stopped() == ""


def test_the_quota_of_results_takes_results(node_with: Any) -> None:
    node = node_with(results_quota_gb=1.5e-3)
    node.delivered(1, days_ago=2)
    node.delivered(2, days_ago=1)
    node.look()
    assert (node.received, node.results) == ({1, 2}, {2})


@pytest.mark.parametrize("quota", ["inbox_quota_gb", "results_quota_gb"])
def test_over_quota_with_all_owed_receiving_stops_and_goes_on_by_itself(node_with: Any, quota: str) -> None:
    """Another instance could not be analysed, or its results not kept."""
    node = node_with(**{quota: 1.5e-3})
    node.analysed(1)
    node.analysed(2)
    node.look()
    assert "is used up" in node.inbox.stopped()
    with pytest.raises(OSError, match="is used up"):
        node.inbox.store("1.9.1", "1.9.1.1", "CT1", [b"x"])
    for number in (1, 2):  # the PACS is back
        node.ledger.record_delivery(f"job{number}", "pacs", f"1.2.{number}.9", "stored", 0)
        node.ledger.set_state(f"job{number}", "delivered")
    node.look()
    assert node.inbox.stopped() == ""
    assert node.inbox.store("1.9.1", "1.9.1.1", "CT1", [b"x"]).how == "new"


def test_low_water_takes_in_the_written_order(node_with: Any) -> None:
    node = node_with(low_water_gb=1e6)
    node.refused(1)
    node.delivered(2)
    node.series(3)
    series = node.series(4)
    node.ledger.set_state("job4", "failed", "a bug")
    node.inbox.fail(series, "a bug")
    node.look()
    assert node.received == {3, 4}
    assert node.results == set()


def test_a_study_that_changed_since_it_was_chosen_is_not_deleted(node_with: Any) -> None:
    node = node_with()
    node.delivered(1)
    spool = Spool(node.inbox, node.ledger, node.settings)
    chosen = [Deletion(held, "full") for held in spool.everything()]
    node.ledger.set_state("job1", "analysed", "sent again to pacs")
    os.utime(node.inbox.folders("1.2.1.1")["done"])
    assert not any(spool.delete(deletion) for deletion in chosen)
    assert (node.received, node.results) == ({1}, {1})


OUTCOMES = st.sampled_from(["stored", "warning", "refused", "not accepted", "undelivered", "postponed"])
SAID = st.tuples(st.sampled_from(["pacs", "archive"]), OUTCOMES, st.sampled_from(COMMITMENTS))
JOBS = st.tuples(st.sampled_from(STATES), st.lists(SAID, max_size=3), st.integers(0, 4))


@given(st.lists(JOBS, min_size=1, max_size=5), st.booleans())
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_the_ledger_says_nothing_undelivered_or_uncommitted_is_chosen(
    node_of_series: Node, ledger_of: list[Any], everywhere: bool
) -> None:
    """Random ledgers over the same disk, at an age and a want of space without bounds."""
    node = node_of_series
    with node.ledger.database.engine.begin() as connection:
        for table in (jobs, deliveries):
            connection.execute(table.delete())
        for number, (state, said, series) in enumerate(ledger_of):
            row: dict[str, Any] = {"job": f"job{number}", "series_uid": f"1.2.{series}.1", "study_uid": "1.2"}
            row |= {"instances": 1, "state": state, "folder": "", "received_at": 1.0, "changed_at": 2.0}
            connection.execute(jobs.insert().values(row))
            for n, (peer, outcome, commitment) in enumerate(said):
                told = {"job": f"job{number}", "peer": peer, "sop_instance_uid": f"1.9.{n}"}
                told |= {"outcome": outcome, "commitment": commitment, "changed_at": 2.0}
                connection.execute(deliveries.insert().values(told))
    everything = Spool(node.inbox, node.ledger, node.asking(everywhere)).everything()
    chosen = [d.held for d in (*expired(everything, Keep(0, 0, 0), 1e12), *pressed(everything, 10**15, ""))]
    gone = {(held.kind, held.name) for held in chosen}
    for number, (state, said, series) in enumerate(ledger_of):
        has = [(outcome, commitment) for _, outcome, commitment in said if outcome in ("stored", "warning")]
        open_ = any(c in ("asked", "failed") or (everywhere and c != "committed") for _, c in has)
        if state in ("received", "analysing", "analysed", "undelivered") or (state == "delivered" and open_):
            assert ("received", f"1.2.{series}.1") not in gone
            assert ("results", f"job{number}") not in gone
        if state == "delivered" and not has:
            assert ("results", f"job{number}") not in gone


def test_what_interrupted_writing_left_goes_after_days(node_with: Any) -> None:
    node = node_with()
    results = node.settings.storage.results
    for name in ("old.partial", ".old.replaced-by-spine-node", "new.partial"):
        (results / name).mkdir(parents=True)
        (results / name / "labels.nii.gz").write_bytes(b"x")
        if "old" in name:
            for path in (results / name / "labels.nii.gz", results / name):
                os.utime(path, (time.time() - 3 * DAY_S,) * 2)
    node.look()
    assert {p.name for p in results.iterdir()} == {"new.partial"}


def test_the_ledger_forgets_old_studies_but_for_a_line_and_then_that(node_with: Any) -> None:
    node = node_with(ledger_days=700)
    Arrivals(node.ledger.database).record("1.2.1.1", "1.2.1", "A1", "CT1", "10.0.0.7", 1, 0)
    node.delivered(1, days_ago=800)
    node.delivered(2, days_ago=600)
    node.analysed(3)
    node.aged(3, 800)
    node.look()
    books = Books(node.ledger.database)
    (study,) = books.study_of("A1")
    assert study.jobs == ()
    assert study.tombstone is not None
    assert study.tombstone.what == "1 series, 1 instances, delivered; results at pacs"
    assert [job.job for job in node.ledger.jobs()] == ["job3", "job2"]
    books.crumble(time.time() + 1)
    assert books.study_of("A1") == []


def test_the_engine_is_told_to_forget_too(node_with: Any) -> None:
    node = node_with()
    node.look()
    assert node.purged == [30 * DAY_S]


def test_a_clock_set_forward_deletes_nothing_for_a_day(
    node_with: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong time server, and everything is years old at once; a day is time to see the error in the log."""
    node = node_with(results_days=30)
    node.delivered(1)
    keeping = Housekeeping(node.inbox, node.ledger, node.settings, lambda _s: 0)
    keeping.look()
    wall, steady = time.time, time.monotonic
    monkeypatch.setattr(time, "time", lambda: wall() + 400 * DAY_S)
    keeping._clock.wall = time.time
    for hours in (1, 23):
        monkeypatch.setattr(time, "monotonic", lambda passed=hours * 3600.0: steady() + passed)
        keeping._clock.steady = time.monotonic
        with capture_logs() as events:
            keeping.look()
        assert [e["event"] for e in events] == (["clock_set_forward"] if hours == 1 else [])
        assert (node.received, node.results) == ({1}, {1})
    monkeypatch.setattr(time, "monotonic", lambda: steady() + 26 * 3600.0)
    keeping._clock.steady = time.monotonic
    keeping.look()
    assert (node.received, node.results) == (set(), set())
