"""The short form of the outage campaign: hours for its week, dozens for its thousands."""

from __future__ import annotations

from pathlib import Path

from tests.campaigns.outage import crowd, moods, statuses

SAMPLE = (0x0110, 0x0111, 0x0122, 0x0124, 0xA700, 0xA900, 0xB000, 0xC000)


def test_whatever_the_pacs_did_all_is_delivered_afterwards_once_and_in_order(tmp_path: Path) -> None:
    assert [row.missed for row in moods(tmp_path, days=0.005, jobs=2)] == [()] * 8


def test_each_kind_of_status_has_its_fate_and_holds_nobody_else(tmp_path: Path) -> None:
    assert [row.missed for row in statuses(tmp_path, SAMPLE)] == [()] * len(SAMPLE)


def test_what_waits_costs_little_and_comes_in_order(tmp_path: Path) -> None:
    assert [row.missed for row in crowd(tmp_path, days=0.05, waiting=40, rounds=0)] == [()] * 3
