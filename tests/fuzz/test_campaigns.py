"""A few cases of every campaign of this folder, and inputs that once broke a law."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest

from spine_node.bounded import Bounded, TooMuchError, UnboundedReadError, in_words
from spine_node.dicom.headers import read_header
from spine_node.errors import SeriesRefused
from tests.dicom.small_series import grid_of, write_series
from tests.fuzz import coverage, datasets, limits, network
from tests.fuzz.mutation import IDENTITY


@pytest.mark.parametrize("kind", datasets.KINDS)
def test_a_damaged_series_is_read_or_refused_in_words(kind: str) -> None:
    """15 of them; `python -m tests.fuzz.datasets` tries thousands."""
    for number in range(15):
        assert datasets.KINDS[kind](7, number) in ("read", "refused")


def test_a_receiver_outlives_what_strangers_send_and_keeps_what_it_acknowledged() -> None:
    """40 of 12 000 of `python -m tests.fuzz.network`, over sockets against a receiver process."""
    tallies = network.campaign(7, 10, network.KINDS, echo_s=5.0)
    assert [line for tally in tallies.values() for line in tally.broken] == []
    assert tallies["between"].outcomes["acknowledged and kept"] > 0


@pytest.mark.parametrize("name", coverage.TARGETS)
def test_the_targets_of_the_coverage_guided_fuzzer_take_their_own_corpus(name: str) -> None:
    """Without atheris, which is not on every machine: its corpus, each input whole and with bits turned."""
    target, corpus = coverage.TARGETS[name]()
    chance = random.Random(5)
    for content in corpus:
        target(content)
        for _ in range(3):
            target(datasets.flipped(content, chance))
            target(content[: chance.randrange(len(content))])


def test_a_parser_that_quotes_the_bytes_is_not_quoted(tmp_path: Path) -> None:
    """Found by the coverage-guided fuzzer: a length that swallows what follows, under a VR of numbers."""
    path = write_series(tmp_path, grid_of(shape=(1, 8, 8)), change=datasets._named)[0]
    content = path.read_bytes()
    at = content.index(b"\x08\x00\x05\x00CS")  # the character set is decoded as it is read
    behind = content.index(IDENTITY.encode()) + 41 - at
    lie = content[: at + 4] + b"US" + struct.pack("<H", behind | 1) + content[at + 8 :]
    path.write_bytes(lie)
    with pytest.raises(SeriesRefused) as refusal:
        read_header(path)
    assert IDENTITY not in str(refusal.value)


def test_words_tell_an_end_of_patience_and_nothing_of_the_bytes() -> None:
    assert in_words(TooMuchError("it is too long")) == "it is too long"
    assert in_words(RecursionError()) == "its sequences are nested too deep"
    assert "Nemo" not in in_words(ValueError("cannot read b'Nemo'"))


def test_a_bounded_file_gives_no_more_than_there_is(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(100)))
    with path.open("rb") as file:
        bounded = Bounded(file, limit=60)
        assert bounded.read(50) == bytes(range(50))
        with pytest.raises(TooMuchError, match="announces 4294967294 bytes where 50 are left"):
            bounded.read(0xFFFFFFFE)
        with pytest.raises(UnboundedReadError):
            bounded.read()
        with pytest.raises(TooMuchError, match="more than 60 bytes"):
            bounded.read(50)


def crash(_seed: int, number: int) -> str:
    """A case that ends its process, one that hangs, one that breaks a law, one that takes all memory."""
    import os
    import time

    if number == 1:
        os.abort()
    if number == 2:
        time.sleep(60)
    if number == 3:
        raise ValueError("a law")
    if number == 4:
        return f"took {len(bytearray(1 << 31))}"
    return "well"


def test_a_campaign_sees_crashes_hangs_escapes_and_greed() -> None:
    """A campaign that cannot fail proves nothing."""
    tally = limits.run("crash", crash, 1, 6, memory_bytes=1 << 30, case_s=5.0, progress=False)
    assert tally.outcomes == {
        "well": 2, "CRASH": 1, "HANG": 1, "ESCAPED ValueError": 1, "ESCAPED MemoryError": 1,
    }  # fmt: skip
    assert len(tally.broken) == 4
