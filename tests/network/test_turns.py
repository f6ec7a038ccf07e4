"""Turns at receiving: one works, others wait; who waits for something lets them; nobody is held up."""

from __future__ import annotations

import threading

import pytest

from spine_node.network import turns


def test_one_works_at_a_time_and_lets_the_others_while_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "LONGEST_WAIT_S", 600.0)
    said: list[str] = []
    begun, answered = threading.Event(), threading.Event()

    def other() -> None:
        begun.set()
        with turns.turn():
            said.append("other")
        answered.set()

    with turns.turn():
        thread = threading.Thread(target=other)
        thread.start()
        assert begun.wait(60)
        said.append("first")
        with turns.waiting():
            assert answered.wait(60), "who waits has let the other work"
        said.append("first again")
    thread.join(60)
    assert said == ["first", "other", "first again"]


def test_a_turn_that_ends_in_an_error_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "LONGEST_WAIT_S", 600.0)
    with pytest.raises(OSError, match="disk"), turns.turn(), turns.waiting():
        raise OSError("disk")
    assert not turns._one.locked()


def test_who_has_waited_long_enough_goes_on_without_a_turn() -> None:
    """A thread that works on and on, as for a peer that sends without a pause, holds nobody up for good."""
    passed = threading.Event()

    def other() -> None:
        with turns.turn(), turns.waiting():
            passed.set()

    with turns.turn():
        threading.Thread(target=other).start()
        assert passed.wait(60)
    with turns.turn():
        pass


def test_waiting_without_a_turn_takes_none() -> None:
    with turns.waiting():
        pass
    assert not turns._one.locked()
