"""Attribute matching held to a naive reading of PS3.4 C.2.2.2, and to what hospitals really ask."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spine_node.network.matching import WILD, criterion, is_exact


def matches(vr: str, asked: str, *held: str) -> bool:
    test = criterion(vr, asked.split("\\"))
    return test is None or test(held)


def naive(pattern: str, text: str) -> bool:
    """Wild card matching, letter by letter."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(naive(pattern[1:], text[n:]) for n in range(len(text) + 1))
    return bool(text) and pattern[0] in ("?", text[0]) and naive(pattern[1:], text[1:])


few = st.text("ab[.*?", max_size=6)


@given(few, st.text("ab[.", max_size=6), st.sampled_from([vr for vr in WILD if vr != "PN"]))
def test_wild_cards_are_those_of_the_standard_and_no_others(pattern: str, text: str, vr: str) -> None:
    """A bracket or a dot is a letter, an empty key asks for nothing."""
    assert matches(vr, pattern, text) == (not pattern or naive(pattern, text) or set(pattern) == {"*"})


@given(st.text("aB^ü?*", max_size=7).filter(lambda t: t.strip("^*")), st.text("Ab^Ü", max_size=7))
def test_a_name_is_matched_whatever_its_case(pattern: str, name: str) -> None:
    asked = "^".join(pattern.lower().split("^")).rstrip("^")
    assert matches("PN", pattern, name) == naive(asked, name.lower().rstrip("^"))


dates = st.dates(datetime.date(1900, 1, 1), datetime.date(2100, 1, 1))


@given(st.none() | dates, st.none() | dates, dates)
def test_a_range_of_dates_takes_both_ends(
    first: datetime.date | None, last: datetime.date | None, held: datetime.date
) -> None:
    if first is None and last is None:
        return
    asked = f"{first:%Y%m%d}" if first else ""
    asked += f"-{last:%Y%m%d}" if last else "-"
    inside = (first is None or first <= held) and (last is None or held <= last)
    assert matches("DA", asked, f"{held:%Y%m%d}") == inside


def written(moment: datetime.time, parts: int) -> str:
    return f"{moment:%H%M%S.%f}"[: (2, 4, 6, 13)[parts]]


def covered(moment: datetime.time, parts: int) -> tuple[int, int]:
    """Microseconds of the day that a time covers when so many of its parts are written."""
    units = (3_600_000_000, 60_000_000, 1_000_000, 1)
    whole = ((moment.hour * 60 + moment.minute) * 60 + moment.second) * 1_000_000 + moment.microsecond
    first = whole - whole % units[parts]
    return first, first + units[parts] - 1


parts = st.integers(0, 3)


@given(st.times(), parts, st.times(), parts, st.times(), parts)
def test_times_match_by_what_they_cover(
    first: datetime.time, a: int, last: datetime.time, b: int, held: datetime.time, c: int
) -> None:
    """Whatever precision is written: 10 is that hour, and a time held without seconds is its beginning."""
    at = covered(held, c)[0]
    assert matches("TM", f"{written(first, a)}-{written(last, b)}", written(held, c)) == (
        covered(first, a)[0] <= at <= covered(last, b)[1]
    )
    assert matches("TM", written(first, a), written(held, c)) == (
        covered(first, a)[0] <= at <= covered(first, a)[1]
    )


@given(st.lists(st.sampled_from(["1.2", "1.2.3", "1.20"]), min_size=1, max_size=3))
def test_a_list_of_uids_takes_each_and_no_prefix(uids: list[str]) -> None:
    for held in ("1.2", "1.2.3", "1.20", "1"):
        assert matches("UI", "\\".join(uids), held) == (held in uids)


@pytest.mark.parametrize(
    ("vr", "asked", "held", "match"),
    [
        ("PN", "Doe^John", "DOE^JOHN^^^", True),
        ("PN", "Doe^John^^", "Doe^John", True),
        ("PN", "Doe", "Doe^John", False),
        ("PN", "Doe*", "Doe^John", True),
        ("PN", "müller^*", "MÜLLER^Jörg", True),
        ("PN", "山田^太郎", "Yamada^Tarou=山田^太郎=やまだ^たろう", True),
        ("PN", "=山田*", "Yamada^Tarou=山田^太郎=やまだ^たろう", True),
        ("PN", "Yamada^Tarou=鈴木*", "Yamada^Tarou=山田^太郎", False),
        ("PN", "Yamada*==やまだ*", "Yamada^Tarou=山田^太郎=やまだ^たろう", True),
        ("LO", "A?C", "ABC", True),
        ("LO", "abc", "ABC", False),
        ("SH", "A1 ", "A1", True),
        ("UI", "1.2.*", "1.2.3", False),
        ("CS", "SEG\\SR", "SR", True),
        ("IS", "007", "7", True),
        ("IS", "7", "", False),
        ("DA", "2026.01.02", "20260102", True),
        ("DA", "20260101-20260131", "unknown", False),
        ("TM", "10:15", "101530", True),
        ("LO", "", "anything", True),
        ("LO", "**", "anything", True),
        ("US", "512", "512", True),
    ],
)
def test_what_hospitals_ask(vr: str, asked: str, held: str, match: bool) -> None:
    assert matches(vr, asked, held) is match


def test_what_is_not_held_matches_only_who_asks_for_nothing() -> None:
    assert matches("LO", "*")
    assert not matches("LO", "?")
    assert not matches("DA", "-20260102")


@pytest.mark.parametrize(
    ("vr", "asked", "words"),
    [("DA", "yesterday", "YYYYMMDD"), ("DA", "-", "a beginning or an end"), ("TM", "1", "HHMMSS"),
     ("IS", "x", "a number"), ("DA", "20260101-x", "YYYYMMDD")],
)  # fmt: skip
def test_what_is_no_value_of_its_kind_is_refused(vr: str, asked: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        criterion(vr, [asked])


def test_whole_values_are_told_from_patterns() -> None:
    assert is_exact("LO", ["A"])
    assert is_exact("UI", ["1.2", "1.3"])
    assert not is_exact("LO", ["A*"])
    assert not is_exact("LO", ["A", " "])


@pytest.mark.timeout(120)
def test_a_pattern_made_to_be_slow_is_not() -> None:
    """A key is at most a few hundred letters; none of them may hold a receiver, as 2 ** 32 tries would."""
    assert not matches("LO", "*a" * 32 + "b", "a" * 64)
    assert not matches("LT", "*" * 5000 + "b", "a" * 5000)
