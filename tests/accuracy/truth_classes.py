"""Classes that follow from the true values, with every class that lies within a bar of a cut.

Cuts as published: SRS-Schwab (Schwab 2012), GAP (Yilgor 2017), Lenke's sagittal modifier, Roussouly by
sacral slope, Meyerding by per cent of slip (from 3 mm on), bony stenosis (Verbiest, 12 and 10 mm).
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from tests.accuracy.bars import bar
from tests.accuracy.truth import Value
from tests.accuracy.truth_curves import Curve

SCALES: dict[str, tuple[tuple[float, ...], tuple[str, ...]]] = {
    "SCHWAB_PI_LL": ((10, 20), ("0", "+", "++")),
    "SCHWAB_SVA": ((40, 95), ("0", "+", "++")),
    "SCHWAB_PT": ((20, 30), ("0", "+", "++")),
    "GAP_RPV": ((-15, -7, 5), ("3", "2", "0", "1")),
    "GAP_RLL": ((-25, -14, 11), ("3", "2", "0", "3")),
    "GAP_LDI": ((40, 50, 80), ("2", "1", "0", "3")),
    "GAP_RSA": ((-7, 10, 18), ("1", "0", "1", "3")),
    "LENKE_SAGITTAL": ((10, 40), ("-", "N", "+")),
    "ROUSSOULY": ((35, 45), ("1 or 2", "3", "4")),
    "STENOSIS": ((10, 12), ("absolute", "relative", "none")),
}
"""Ascending cuts, and the class below, between and above them."""

CURVE_DEG = 30.0
"""SRS-Schwab counts coronal curves from here on."""


def _scaled(key: str, value: float, slack: float) -> set[str]:
    cuts, names = SCALES[key]
    first, last = (int(np.searchsorted(cuts, value + s)) for s in (-slack, slack))
    return set(names[first : last + 1])


def acceptable(
    values: tuple[Value, ...],
) -> dict[tuple[str, tuple[str, ...]], tuple[set[str], frozenset[str]]]:
    """By class and place: the classes a measurement inside its bars may give, and the bones it needs."""
    known = {(v.key, v.where): v for v in values if isinstance(v.value, float)}
    found: dict[tuple[str, tuple[str, ...]], tuple[set[str], frozenset[str]]] = {}

    def sum_of(key: str, terms: dict[str, float], constant: float) -> None:
        parts = [known.get((name, ())) for name in terms]
        if any(p is None for p in parts):
            return
        needs = frozenset().union(*(p.needs for p in parts if p is not None))
        value = constant + sum(w * p.value for w, p in zip(terms.values(), parts, strict=True))  # type: ignore[union-attr,operator]
        slack = sum(abs(w) * bar(name) for name, w in terms.items())
        found[key, ()] = (_scaled(key, value, slack), needs)

    sum_of("SCHWAB_PI_LL", {"PI_LL": 1}, 0)
    sum_of("SCHWAB_SVA", {"SVA": 1}, 0)
    sum_of("SCHWAB_PT", {"PT": 1}, 0)
    sum_of("GAP_RPV", {"SS": 1, "PI": -0.59}, -9)
    sum_of("GAP_RLL", {"LL_L1S1": 1, "PI": -0.62}, -29)
    sum_of("GAP_LDI", {"LDI": 1}, 0)
    sum_of("GAP_RSA", {"GT": 1, "PI": -0.48}, 15)
    sum_of("LENKE_SAGITTAL", {"TK_T5T12": 1}, 0)
    sum_of("ROUSSOULY", {"SS": 1}, 0)
    for (key, where), v in known.items():
        assert isinstance(v.value, float)
        if key == "CANAL_AP" and where != ("C2",):
            found["STENOSIS", where] = (_scaled("STENOSIS", v.value, bar(key)), v.needs)
        elif key == "SLIP_MM":
            share = known["SLIP_PCT", where].value
            assert isinstance(share, float)
            found["MEYERDING", where] = (_meyerding(v.value, share), v.needs)
    return found


def _meyerding(slip: float, share: float) -> set[str]:
    grades = set()
    for mm, percent in product((-1, 1), (-1, 1)):
        by_share = abs(share) + percent * bar("SLIP_PCT")
        grade = ("I", "II", "III", "IV", "V")[min(int(np.searchsorted((25, 50, 75, 100), by_share)), 4)]
        grades.add("0" if abs(slip) + mm * bar("SLIP_MM") < 3 else grade)
    return grades


def schwab_coronal(curves: list[Curve]) -> set[str]:
    """T, L, D or N: thoracic or lumbar curves of 30 degrees or more, whatever the ties leave open."""
    options = []
    for curve in curves:
        low, high = (curve.cobb + s * bar("COBB") >= CURVE_DEG for s in (-1, 1))
        # without an apex of its own (not level anywhere), either region may be said
        apices = curve.apices or ("T5", "L3")
        regions = {"T" if a[0] in "TC" and a not in ("T12", "T13") else "L" for a in apices}
        if high:
            options.append(regions if low else regions | {""})
    found = set()
    for choice in product(*options):
        kinds = set(choice) - {""}
        found.add("D" if len(kinds) == 2 else "N" if not kinds else kinds.pop())
    return found


def wrong_classes(
    measured: Any, values: tuple[Value, ...], curves: list[Curve], seen: frozenset[str]
) -> list[list[Any]]:
    """Every class that was compared: key, place, what was said, what may be said, borderline flag."""
    known = acceptable(values)
    rows = []
    for c in measured:
        where = tuple(c.level.split("/")) if c.level else ()
        if c.key == "SCHWAB_COR":
            allowed, needs = schwab_coronal(curves), frozenset({"C7", "S1", "head left", "head right"})
        elif (c.key, where) in known:
            allowed, needs = known[c.key, where]
        else:
            continue
        said = str(c.value)
        right = said in allowed or any(said and said in a.split(" or ") for a in allowed)
        right |= c.key == "ROUSSOULY" and said.startswith("3") and "3" in allowed
        if needs <= seen:
            rows.append([c.key, "/".join(where), said, sorted(allowed), right, bool(c.borderline)])
    return rows
