"""What an operator is told of the disk before it is too late."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from spine_node.ledger.outbox import Outbox
from spine_node.storage_check import report_of
from tests.small_node import node_at


@pytest.fixture
def node_with(tmp_path: Path) -> Any:
    return partial(node_at, tmp_path)


def said(node: Any) -> str:
    return "\n".join(report_of(node.settings).sentences)


def test_space_and_quotas_are_told(node_with: Any) -> None:
    node = node_with(inbox_quota_gb=5)
    node.delivered(1, size=20_000_000)
    assert "received: 0.02 GB of a quota of 5 GB in " in said(node)
    assert "results: 0.02 GB in " in said(node)
    assert report_of(node.settings).well


@pytest.mark.parametrize("storage", [{"reserve_gb": 1e6}, {"inbox_quota_gb": 1e-3}])
def test_a_node_that_receives_nothing_is_not_well(node_with: Any, storage: dict[str, float]) -> None:
    node = node_with(**storage)
    node.analysed(1, size=2_000_000)
    node.look()
    assert not report_of(node.settings).well
    assert "NOTHING IS RECEIVED" in said(node)


def test_what_has_waited_the_longest_is_named_with_its_reason(node_with: Any) -> None:
    node = node_with()
    node.delivered(1, days_ago=9)
    for number, days in ((2, 3), (3, 1)):
        node.analysed(number)
        node.ledger.set_state(f"job{number}", "undelivered", "pacs: sr-3d refused")
        node.aged(number, days)
        Outbox(node.ledger.database).put(f"job{number}", "pacs")
    assert "study 1.2.2, 3.0 days, its results did not arrive (pacs: sr-3d refused)" in said(node)
    assert "2 analyses wait for pacs" in said(node)


def test_before_the_first_start_nothing_is_made(tmp_path: Path, node_with: Any) -> None:
    """A check is a question."""
    from spine_node.config import Settings

    settings = Settings.model_validate({"storage": {"folder": tmp_path / "nowhere"}})
    assert "0.00 GB in " in report_of(settings).sentences[0]
    assert not (tmp_path / "nowhere").exists()
