"""To whom results may be moved, and where the answer to a question goes."""

from __future__ import annotations

from typing import Any

import pytest

from spine_node.config import Settings
from spine_node.reach import move_destination, report_address

CALLERS = [
    {"ae_title": "READER", "host": "192.0.2.7", "port": 104},
    {"ae_title": "CBCT"},
    {"ae_title": "PACS", "host": "192.0.2.9", "port": 105},
]
PACS = {"name": "pacs", "ae_title": "PACS", "host": "192.0.2.8", "port": 11112}
ROUTER = {"name": "router", "ae_title": "ROUTER", "host": "192.0.2.8", "port": 11113}


def settings(**more: Any) -> Settings:
    return Settings.model_validate({"callers": CALLERS, "destinations": [PACS, ROUTER]} | more)


@pytest.mark.parametrize(
    ("ae_title", "where"),
    [
        ("READER", ("192.0.2.7", 104)),
        ("ROUTER", ("192.0.2.8", 11113)),
        ("PACS", ("192.0.2.9", 105)),
        ("CBCT", None),
        ("STRANGER", None),
    ],
)
def test_results_are_moved_to_whom_the_config_names(ae_title: str, where: tuple[str, int] | None) -> None:
    """A caller's own entry before a destination of the same title."""
    peer = move_destination(settings(), ae_title)
    assert (peer and (peer.host, peer.port)) == where


def test_who_asked_is_told_where_it_called_from_only_if_a_port_is_given() -> None:
    assert report_address(settings(), "CBCT", "192.0.2.20") is None
    told = report_address(settings(commitment={"report_port": 104}), "CBCT", "192.0.2.20")
    assert told is not None
    assert (told.ae_title, told.host, told.port) == ("CBCT", "192.0.2.20", 104)
    known = report_address(settings(commitment={"report_port": 104}), "READER", "192.0.2.20")
    assert known is not None
    assert (known.host, known.port) == ("192.0.2.7", 104)
