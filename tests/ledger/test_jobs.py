"""The ledger's promises: a job once, a state from the list, one word per instance and peer."""

from __future__ import annotations

from pathlib import Path

import pytest

from spine_node.ledger import Ledger, database_url


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    ledger = Ledger(database_url(tmp_path / "node.sqlite"))
    ledger.open_job("job-1", "1.2.3", "1.2", 400, tmp_path)
    return ledger


def test_the_same_job_is_entered_once(ledger: Ledger, tmp_path: Path) -> None:
    """A study that is sent again must not become a second result."""
    assert not ledger.open_job("job-1", "1.2.3", "1.2", 400, tmp_path)
    assert len(ledger.jobs()) == 1


def test_state_reason_and_folder_are_what_was_last_said(ledger: Ledger, tmp_path: Path) -> None:
    ledger.set_state("job-1", "refused", "a slice is missing", tmp_path / "refused")
    job = ledger.job("job-1")
    assert job is not None
    assert (job.state, job.reason, job.folder) == ("refused", "a slice is missing", str(tmp_path / "refused"))


def test_an_unknown_state_is_a_bug(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="no state of a job"):
        ledger.set_state("job-1", "nearly done")


def test_a_later_word_of_a_peer_replaces_the_earlier_and_is_counted(ledger: Ledger) -> None:
    ledger.record_delivery("job-1", "pacs", "1.2.9", "refused", 0xA700)
    ledger.record_delivery("job-1", "pacs", "1.2.9", "stored", 0x0000)
    (delivery,) = ledger.deliveries("job-1")
    assert (delivery.outcome, delivery.status, delivery.attempts) == ("stored", 0x0000, 2)


def test_peers_are_kept_apart(ledger: Ledger) -> None:
    ledger.record_delivery("job-1", "pacs", "1.2.9", "stored", 0)
    ledger.record_delivery("job-1", "archive", "1.2.9", "not accepted", None)
    assert {d.peer: d.outcome for d in ledger.deliveries("job-1")} == {
        "pacs": "stored",
        "archive": "not accepted",
    }


def test_jobs_are_found_by_study_and_state(ledger: Ledger, tmp_path: Path) -> None:
    ledger.open_job("job-2", "4.5.6", "4.5", 10, tmp_path)
    ledger.set_state("job-2", "analysing")
    assert [j.job for j in ledger.jobs(study_uid="1.2")] == ["job-1"]
    assert [j.job for j in ledger.jobs(states=("analysing",))] == ["job-2"]


def test_the_database_writes_ahead(tmp_path: Path) -> None:
    """Two processes write this file; without WAL one of them would wait for the other's readers."""
    database_url(tmp_path / "node.sqlite")
    assert (tmp_path / "node.sqlite").read_bytes()[18:20] == b"\x02\x02"


def test_the_newest_results_of_a_series_replace_all_earlier_ones(ledger: Ledger, tmp_path: Path) -> None:
    """Late slices, a corrected patient, another model: one set of results is live, whoever asks again."""
    ledger.open_job("job-2", "1.2.3", "1.2", 401, tmp_path)
    ledger.open_job("other-series", "1.2.4", "1.2", 10, tmp_path)
    assert ledger.supersede("job-2") == ledger.supersede("job-2") == ["job-1"]
    ledger.open_job("job-3", "1.2.3", "1.2", 402, tmp_path)
    assert ledger.supersede("job-3") == ["job-2"]
    assert {job.job: job.superseded_by for job in ledger.jobs()} == {
        "job-1": "job-2", "job-2": "job-3", "other-series": "", "job-3": "",
    }  # fmt: skip
    assert ledger.supersede("job-2") == ["job-1"], "an older job that ends again replaces nothing newer"


def test_a_series_that_waits_to_be_judged_again_is_judged_as_the_job_it_becomes(
    ledger: Ledger, tmp_path: Path
) -> None:
    """With another release the same instances are another job; the old one must not wait for ever."""
    ledger.set_state("job-1", "received", "to be judged again")
    ledger.open_job("other", "9.9", "1.2", 4, tmp_path)
    ledger.open_job("job-2", "1.2.3", "1.2", 400, tmp_path)
    ledger.take_over("job-2")
    assert {job.job: job.superseded_by for job in ledger.jobs()} == {
        "job-1": "job-2", "job-2": "", "other": "",
    }  # fmt: skip
