"""What a model is asked to reach, and what it reached: one short table for each set.

Means are over scans (of the levels within a scan first), so that a long spine does not outvote a short one;
only `near` counts bodies, as its bar does. A structure that was not found has a Dice of 0; an angle that was
not measured has no error, and `count` says how many were measured.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from spine_node.evaluation.clinical import agreement
from spine_node.evaluation.identification import near
from spine_node.evaluation.summary import interval, mean_of, shares

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table.

    Attributes
    ----------
    what : str
        In words.
    read : callable
        From the cases of a set to an `summary.interval` with "count" (in words), or None.
    unit : str
        "" for shares of 1, "mm" or "deg", of which less is better.
    """

    what: str
    read: Callable[[Sequence[Row]], Row | None]
    unit: str = ""


BARS: dict[str, dict[str, float]] = {
    "phantoms": {
        "body": 0.93,
        "posterior": 0.85,
        "sacrum": 0.92,
        "hips": 0.92,
        "heads": 0.94,
        "identified": 0.98,
        "anchored_right": 0.90,
        "COBB": 2.0,
        "LL_L1S1": 2.0,
        "TK_T4T12": 2.0,
        "PI": 2.0,
        "AVR": 2.5,
    },
    "scans": {"body": 0.88, "vertebra": 0.82, "near": 0.95},
    "crops": {"body": 0.88, "vertebra": 0.85},
}
"""What is asked for, by kind of set and key of `FIGURES`: at least that share, at most that many degrees."""

KINDS = {
    "synthetic": "phantoms",
    "templates": "phantoms",
    "real": "scans",
    "standing": "scans",
    "crop": "crops",
}
"""Kind of a set; the others (stress, and scans that were trained on) are reported without bars."""


def bars(group: str, cases: Sequence[Row]) -> list[Row]:
    """The table of one set.

    Parameters
    ----------
    group : str
        Name of the set.
    cases : sequence of dict
        What `run.judged` says of the model on each scan.

    Returns
    -------
    list of dict
        "key", "what", "unit"; "mean", "low", "high" (95 % interval over scans, from five on), "scans",
        "count" (what was counted, in words); "bar" and "met", None without a bar. Only what the set shows.
    """
    asked = BARS.get(KINDS.get(group, ""), {})
    rows = []
    for key, figure in FIGURES.items():
        value = figure.read(cases)
        if value is None:
            continue
        bar = asked.get(key)
        met = None if bar is None else value["mean"] <= bar if figure.unit else value["mean"] >= bar
        kept = {name: value[name] for name in ("mean", "low", "high", "scans", "count")}
        rows.append({"key": key, "what": figure.what, "unit": figure.unit, **kept, "bar": bar, "met": met})
    return rows


def _dice(*groups: str) -> Callable[[Sequence[Row]], Row | None]:
    def read(cases: Sequence[Row]) -> Row | None:
        scans = [[r for r in case["outlines"] or [] if r["group"] in groups] for case in cases]
        value = interval(mean_of(rows, "dice") for rows in scans if rows)
        return value and value | {"count": f"{sum(map(len, scans))} outlines"}

    return read


def _nameless(key: str) -> Callable[[Sequence[Row]], Row | None]:
    def read(cases: Sequence[Row]) -> Row | None:
        value = interval((case["nameless"] or {}).get(key) for case in cases)
        return value and value | {"count": ""}

    return read


def _near(cases: Sequence[Row]) -> Row | None:
    counts = [near(case["identification"]["levels"]) for case in cases]
    value = shares(counts)
    return value and value | {"count": f"{sum(k for k, _ in counts)} of {sum(n for _, n in counts)} bodies"}


def _levels(key: str) -> Callable[[Sequence[Row]], Row | None]:
    def read(cases: Sequence[Row]) -> Row | None:
        scans = [case["identification"]["levels"] for case in cases if case["identification"]["levels"]]
        value = interval(mean_of(rows, key) for rows in scans)
        return value and value | {"count": f"{sum(map(len, scans))} vertebrae"}

    return read


def _all_right(anchored: bool) -> Callable[[Sequence[Row]], Row | None]:
    def read(cases: Sequence[Row]) -> Row | None:
        counted = [case for case in cases if not anchored or is_anchored(case)]
        right = [bool(case["identification"]["all_right"]) for case in counted]
        value = interval(map(float, right))
        return value and value | {"count": f"{sum(right)} of {len(right)} scans"}

    return read


def is_anchored(case: Row) -> bool:
    """Whether the truth shows C2 or the sacrum, from which levels can be counted."""
    return any(row["level"] == "C2" for row in case["identification"]["levels"]) or any(
        row["group"] == "sacrum" for row in case["outlines"] or []
    )


def _error(key: str) -> Callable[[Sequence[Row]], Row | None]:
    def read(cases: Sequence[Row]) -> Row | None:
        scans = [
            case["curves"] if key == "COBB" else [r for r in case["parameters"] if r["key"] == key]
            for case in cases
        ]
        every = agreement(row for rows in scans for row in rows)
        value = interval(agreement(rows)["mae"] for rows in scans)
        false = sum(row["true"] is None for rows in scans for row in rows)
        more = f", {false} false" if false else ""
        return value and value | {"count": f"{every['measured']} of {every['expected']} measured{more}"}

    return read


FIGURES: dict[str, Figure] = {
    "body": Figure("Dice of bodies", _dice("body")),
    "posterior": Figure("Dice of posterior elements", _dice("posterior")),
    "vertebra": Figure("Dice of whole vertebrae", _dice("vertebra")),
    "matched_body": Figure("Dice of bodies, names forgotten", _nameless("matched_body")),
    "matched_vertebra": Figure("Dice of whole vertebrae, names forgotten", _nameless("matched_vertebra")),
    "sacrum": Figure("Dice of the sacrum", _dice("sacrum")),
    "hips": Figure("Dice of hip bones", _dice("hip_left", "hip_right")),
    "heads": Figure("Dice of femoral heads", _dice("femoral_head_left", "femoral_head_right")),
    "near": Figure("bodies T1-L5 of the right name within 10 mm", _near),
    "identified": Figure("vertebrae identified (VerSe, 20 mm)", _levels("right")),
    "off_by_one": Figure("vertebrae one level off", _levels("off_by_one")),
    "distance": Figure("distance to the body of that name", _levels("distance_mm"), "mm"),
    "all_right": Figure("scans with every level right", _all_right(False)),
    "anchored_right": Figure("of those with sacrum or C2 in view", _all_right(True)),
    "COBB": Figure("error of Cobb angles", _error("COBB"), "deg"),
    "LL_L1S1": Figure("error of lumbar lordosis", _error("LL_L1S1"), "deg"),
    "TK_T4T12": Figure("error of thoracic kyphosis", _error("TK_T4T12"), "deg"),
    "PI": Figure("error of pelvic incidence", _error("PI"), "deg"),
    "AVR": Figure("error of axial rotation", _error("AVR"), "deg"),
}
"""What is told of each set, in this order."""
