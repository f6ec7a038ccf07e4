"""What an answer means to who sends: every status that PS3.4 B.2.3 and PS3.7 C document."""

from __future__ import annotations

import pytest

from spine_node.network.statuses import C_STORE, C_STORE_RANGES, Status, in_words, meaning

STORED = [0x0000]
WARNINGS = [0x0001, 0x0107, 0x0111, 0x0116, 0xB000, 0xB006, 0xB007, 0xB123, 0xBFFF]
TRANSIENT = [0x0110, 0x0124, 0x0210, 0x0213, 0xA700, 0xA701, 0xA7FF, 0xFE00]
PERMANENT = [
    0x0105, 0x0106, 0x0112, 0x0113, 0x0114, 0x0115, 0x0117, 0x0118, 0x0119, 0x0120, 0x0121, 0x0122, 0x0123,
    0x0211, 0x0212, 0xA900, 0xA9FF, 0xC000, 0xC001, 0xC211, 0xCFFF,
]  # fmt: skip
UNKNOWN = [0x0002, 0x4242, 0xA600, 0xA800, 0xD000, 0xFFFF]


@pytest.mark.parametrize(
    ("fate", "statuses"),
    [("stored", STORED), ("warning", WARNINGS), ("transient", TRANSIENT), ("permanent", PERMANENT)],
)
def test_the_peer_has_it_or_is_asked_again_or_refuses_for_good(fate: str, statuses: list[int]) -> None:
    assert {status: meaning(status).fate for status in statuses} == dict.fromkeys(statuses, fate)


def test_no_status_of_the_standard_is_left_out() -> None:
    """Those above are all: each single one, and a member of each range."""
    listed = {*STORED, *WARNINGS, *TRANSIENT, *PERMANENT}
    assert set(C_STORE) <= listed
    assert all(any(s & mask == value for s in listed) for mask, value in C_STORE_RANGES)
    assert {s for s in Status if s not in (Status.PENDING, Status.DUPLICATE_TRANSACTION_UID)} - {
        Status.TOO_LONG
    } <= listed


@pytest.mark.parametrize("status", UNKNOWN)
def test_a_status_that_no_standard_knows_loses_nothing(status: int) -> None:
    assert meaning(status).fate == "transient"


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0x0000, "0x0000 success"),
        (0xA700, "0xA700 out of resources"),
        (0xA7AB, "0xA7AB out of resources"),
        (0xA901, "0xA901 data set does not match SOP class"),
        (0xB007, "0xB007 data set does not match SOP class warning"),
        (0xB00F, "0xB00F warning"),
        (0x0111, "0x0111 duplicate SOP instance"),
        (0x0131, "0x0131 duplicate transaction UID"),
        (0xC123, "0xC123 cannot understand"),
        (0x4242, "0x4242 (not in the standard)"),
    ],
)
def test_a_status_has_a_name(status: int, words: str) -> None:
    assert in_words(status) == words
