"""What is owed: nothing is over before every destination has it, and has committed where it commits."""

from __future__ import annotations

import pytest

from spine_node.ledger import STATES, Delivery, Job
from spine_node.owed import has_arrived, owed_of


def job(state: str, superseded_by: str = "") -> Job:
    return Job("j1", "1.2.3", "1.2", 4, state, "why", "", 0.0, "", 1.0, 2.0, "A1", "CT1", superseded_by)


def delivery(outcome: str, commitment: str = "", peer: str = "pacs") -> Delivery:
    return Delivery("j1", peer, "1.9", outcome, 0, "", 1, 2.0, 2.0, commitment, "", None)


@pytest.mark.parametrize("state", STATES)
def test_a_job_is_owed_until_it_is_delivered_or_cannot_be(state: str) -> None:
    over = state in ("delivered", "refused", "ignored", "failed")
    assert (owed_of(job(state), [delivery("stored")], ()) == "") is over


@pytest.mark.parametrize(
    ("commitment", "committing", "is_owed"),
    [
        ("", (), False),
        ("", ("pacs",), True),
        ("", ("archive",), False),
        ("asked", (), True),
        ("failed", (), True),
        ("failed", ("pacs",), True),
        ("committed", ("pacs",), False),
    ],
)
def test_stored_is_not_enough_where_commitment_is_asked_for(
    commitment: str, committing: tuple[str, ...], is_owed: bool
) -> None:
    """A question that was put and not answered counts also after the setting was turned off."""
    owed = owed_of(job("delivered"), [delivery("stored", commitment)], committing)
    assert owed == ("pacs has not committed to keep its results" if is_owed else "")


def test_what_a_destination_does_not_take_is_not_asked_for() -> None:
    said = [delivery("stored", "committed"), delivery("not accepted")]
    assert owed_of(job("delivered"), said, ("pacs",)) == ""


def test_a_report_that_a_newer_one_replaces_is_owed_no_longer_than_that_one() -> None:
    old = job("undelivered", superseded_by="j2")
    assert owed_of(old, [], (), {"j2": ""}) == ""
    assert "did not arrive (why)" in owed_of(old, [], (), {"j2": "it is being analysed"})
    assert owed_of(old, [], (), {}) != ""


def test_only_what_somebody_stored_has_arrived() -> None:
    assert not has_arrived([])
    assert not has_arrived([delivery("not accepted"), delivery("refused")])
    assert has_arrived([delivery("refused"), delivery("warning")])
