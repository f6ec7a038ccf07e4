"""What an answer means to who sends."""

from __future__ import annotations

import pytest

from spine_node.network.statuses import in_words, is_transient, is_warning


@pytest.mark.parametrize("status", [0xB000, 0xB006, 0xB007, 0xB123, 0x0001, 0x0111])
def test_a_warning_means_that_the_peer_has_the_instance(status: int) -> None:
    assert is_warning(status)
    assert not is_transient(status)


@pytest.mark.parametrize("status", [0xA700, 0xA701, 0xA7FF, 0x0110, 0x0213])
def test_what_may_pass_is_tried_again(status: int) -> None:
    assert is_transient(status)
    assert not is_warning(status)


@pytest.mark.parametrize("status", [0x0122, 0x0124, 0x0117, 0xA900, 0xA9FF, 0xC000, 0xCFFF, 0x0106])
def test_what_is_wrong_with_the_instance_stays_wrong(status: int) -> None:
    assert not is_warning(status)
    assert not is_transient(status)


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
        (0xC123, "0xC123 cannot understand"),
        (0x4242, "0x4242 (not in the standard)"),
    ],
)
def test_a_status_has_a_name(status: int, words: str) -> None:
    assert in_words(status) == words
