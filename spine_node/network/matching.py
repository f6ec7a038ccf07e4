"""Attribute matching of Query/Retrieve (PS3.4 C.2.2.2): does an entity have what a key asks for?

Single value, list of UID, universal, wild card and range matching; of a sequence, each key of its item.
Several values of another key than a UID are alternatives, too. What the standard leaves to us:

- a person's name is compared without regard to case, and to trailing delimiters that say nothing; a key of
  one component group may match any group (alphabetic, ideographic, phonetic), one of several each its own;
- a date or time less precise than what is held matches all that it covers: "1015" is that minute;
- integers and decimals are compared as numbers: "007" is 7.

Values are text, already decoded; nothing here knows character sets, files or levels.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation

Criterion = Callable[[Sequence[str]], bool]
"""Takes the values that an entity holds (none when the attribute is absent or empty)."""

WILD = ("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT")
"""Value representations in which * and ? are wild cards; in others they are nothing but wrong."""

_DATE = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})")  # PS3.5 6.2: dots were written before 1993
_TIME = re.compile(r"(\d{2})(?::?(\d{2})(?::?(\d{2})(?:\.(\d{1,6}))?)?)?")


def criterion(vr: str, asked: Sequence[str]) -> Criterion | None:
    """What a key demands; None when everything matches.

    Parameters
    ----------
    vr : str
        The key's value representation; not SQ.
    asked : sequence of str
        Its values as they came.

    Raises
    ------
    ValueError
        If a value is none of its VR: no date, no time, no number. The message does not repeat it, as a key
        may say who a patient is.

    Examples
    --------
    >>> criterion("CS", ["S*"])(["SEG"]), criterion("DA", ["20260101-"])(["20251231"])
    (True, False)
    >>> criterion("UI", ["1.2", "1.3"])(["1.3"]), criterion("PN", ["doe^j?n"])(["DOE^JAN^^"])
    (True, True)
    >>> criterion("LO", ["*"]) is None
    True
    """
    values = [value.strip(" \0") for value in asked]
    values = [value for value in values if value]
    if not values or (vr in WILD and any(set(value) == {"*"} for value in values)):
        return None
    if vr == "UI":
        wanted = frozenset(values)  # a list of UIDs may be long
        return lambda held: not wanted.isdisjoint(held)
    tests = [_test(vr, value) for value in values]
    return lambda held: any(test(value.strip(" \0")) for value in held for test in tests)


def is_exact(vr: str, asked: Sequence[str]) -> bool:
    """Whether a key names whole values, so that an index may be asked for them."""
    if any(not value.strip(" \0") for value in asked):
        return False
    return vr == "UI" or not any(c in value for value in asked for c in "*?")


def span(vr: str, asked: str) -> tuple[str, str]:
    """First and last date or time that a key takes, in digits that order as text does.

    Examples
    --------
    >>> span("DA", "20260102-"), span("TM", "10:15")
    (('20260102', '99999999'), ('101500000000', '101599999999'))

    Raises
    ------
    ValueError
        If it is no date, no time, or no range of them.
    """
    digits = _date if vr == "DA" else _time
    first, dash, last = asked.partition("-")
    if not dash:
        return digits(asked, "0"), digits(asked, "9")
    if not first.strip() and not last.strip():
        raise ValueError("a range needs a beginning or an end")
    most = "9" * (8 if vr == "DA" else 12)
    return (
        digits(first, "0") if first.strip() else "0" * len(most),
        digits(last, "9") if last.strip() else most,
    )


def _test(vr: str, asked: str) -> Callable[[str], bool]:
    if vr == "PN":
        return _name(asked)
    if vr in ("DA", "TM"):
        return _range(vr, asked)
    if vr in ("IS", "DS"):
        wanted = _number(asked)
        return lambda held: _number(held, default=None) == wanted
    if vr in WILD and re.search(r"[*?]", asked):
        return _Pattern(asked).fits
    return lambda held: held == asked


def _name(asked: str) -> Callable[[str], bool]:
    groups = [_Pattern(group) if group else None for group in _groups(asked)]

    def one(held: str) -> bool:
        (pattern,) = groups
        return pattern is not None and any(pattern.fits(group) for group in _groups(held))

    def each(held: str) -> bool:
        theirs = _groups(held)
        theirs += [""] * (len(groups) - len(theirs))
        return all(p is None or p.fits(group) for p, group in zip(groups, theirs, strict=False))

    return one if len(groups) == 1 else each


def _groups(name: str) -> list[str]:
    """Component groups of a name as they are compared."""
    plain = unicodedata.normalize("NFC", name).casefold()
    return ["^".join(part.strip() for part in group.split("^")).rstrip("^") for group in plain.split("=")]


class _Pattern:
    """Wild cards, in time that grows with the lengths only: a regular expression with many * does not end."""

    def __init__(self, asked: str) -> None:
        # between two * there are only letters and ?, and the first place where they fit is as good as any
        parts = ["".join("." if c == "?" else re.escape(c) for c in part) for part in asked.split("*")]
        self._parts = [re.compile(part, re.DOTALL) for part in parts]
        self._last_length = len(asked.rpartition("*")[2])

    def fits(self, text: str) -> bool:
        first, *middle = self._parts
        if not middle:
            return first.fullmatch(text) is not None
        begin = first.match(text)
        if begin is None:
            return False
        at, end = begin.end(), len(text) - self._last_length
        for part in middle[:-1]:
            found = part.search(text, at)
            if found is None:
                return False
            at = found.end()
        return at <= end and middle[-1].fullmatch(text, end) is not None


def _range(vr: str, asked: str) -> Callable[[str], bool]:
    first, last = span(vr, asked)
    digits = _date if vr == "DA" else _time

    def within(held: str) -> bool:
        try:
            return first <= digits(held, "0") <= last
        except ValueError:  # what a modality wrote is no date: it is in no range
            return False

    return within


def _date(text: str, _pad: str) -> str:
    found = _DATE.fullmatch(text.strip())
    if found is None:
        raise ValueError("a date is written YYYYMMDD")
    return "".join(found.groups())


def _time(text: str, pad: str) -> str:
    found = _TIME.fullmatch(text.strip())
    if found is None:
        raise ValueError("a time is written HHMMSS.FFFFFF, or less of it from the left")
    return "".join(part or "" for part in found.groups()).ljust(12, pad)


def _number(text: str, default: object = ValueError) -> object:
    try:
        return Decimal(text)
    except InvalidOperation:
        if default is ValueError:
            raise ValueError("a number is expected") from None
        return default
