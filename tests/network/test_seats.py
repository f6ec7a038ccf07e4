"""Associations are counted over all processes, and a dead process's seats are free at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from spine_node.network.seats import ECHO_SEATS, NoSeatError, Seats


def test_the_next_one_after_the_last_seat_is_told_so(tmp_path: Path) -> None:
    seats = Seats(tmp_path / "seats", places=3, per_caller=3)
    taken = [seats.take(f"CT{n}") for n in range(3)]
    with pytest.raises(NoSeatError, match="3 associations are open, the most that this node takes"):
        seats.take("CT4")
    seats.leave(taken[1])
    assert seats.take("CT4") == taken[1]


def test_no_caller_takes_every_seat(tmp_path: Path) -> None:
    seats = Seats(tmp_path / "seats", places=4, per_caller=2)
    seats.take("GREEDY"), seats.take("GREEDY")
    with pytest.raises(NoSeatError, match="GREEDY has 2 associations open"):
        seats.take("GREEDY")
    seats.take("CT1")


def test_who_only_verifies_finds_a_seat_in_a_full_house(tmp_path: Path) -> None:
    seats = Seats(tmp_path / "seats", places=1, per_caller=1)
    seats.take("CT1")
    assert seats.take("CT1", echo_only=True) == 1
    for n in range(ECHO_SEATS - 1):
        seats.take(f"PACS{n}", echo_only=True)
    with pytest.raises(NoSeatError, match=f"{ECHO_SEATS} associations"):
        seats.take("PACS", echo_only=True)


def test_two_counters_of_one_file_count_together(tmp_path: Path) -> None:
    """As two processes do: each knows of the other's seats by the locks alone."""
    one, two = (Seats(tmp_path / "seats", places=3, per_caller=2) for _ in range(2))
    first = one.take("CT1")
    two.take("CT1")
    for seats in (one, two):
        with pytest.raises(NoSeatError, match="CT1 has 2"):
            seats.take("CT1")
    two.take("CT2")
    with pytest.raises(NoSeatError, match="3 associations"):
        one.take("CT3")
    one.leave(first)
    assert two.take("CT3") == first


TAKE = """
import sys
from pathlib import Path
from spine_node.network.seats import Seats
seats = Seats(Path(sys.argv[1]), 2, 2)
print(seats.take("CT1"), seats.take("CT1"), flush=True)
sys.stdin.read()
"""


def test_a_killed_process_gives_its_seats_back(tmp_path: Path) -> None:
    seats = Seats(tmp_path / "seats", places=2, per_caller=2)
    command = [sys.executable, "-c", TAKE, str(tmp_path / "seats")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline().split() == ["0", "1"]
        with pytest.raises(NoSeatError):
            seats.take("CT1")
        other.kill()
        other.wait()
        assert (seats.take("CT1"), seats.take("CT1")) == (0, 1)
