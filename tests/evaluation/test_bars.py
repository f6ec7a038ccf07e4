"""The table that bars are read from, worked out by hand on two made-up scans."""

import pytest

from spine_node.evaluation.bars import BARS, FIGURES, KINDS, bars
from spine_node.evaluation.sets import WHAT
from spine_node.evaluation.tables import cells


def level(name, gap_mm, nearest=None):
    nearest = nearest or name
    return {
        "level": name,
        "nearest": nearest,
        "distance_mm": gap_mm,
        "right": nearest == name,
        "off_by_one": nearest != name,
    }


def scan(levels, outlines=(), angles=(), curves=(), right=True):
    return {
        "outlines": [{"group": group, "name": name, "dice": dice} for group, name, dice in outlines],
        "nameless": {"matched_body": 0.9, "matched_vertebra": 0.8},
        "identification": {"levels": levels, "false_positives": [], "all_right": right},
        "parameters": [
            {"key": key, "level": None, "unit": "deg", "true": true, "found": found}
            for key, true, found in angles
        ],
        "curves": [{"true": true, "found": found} for true, found in curves],
    }


TWO = [
    scan(
        [level("T12", 3.0), level("L1", 12.0), level("L2", 8.0)],
        [("body", "L1", 0.9), ("body", "L2", 1.0), ("hip_left", "hip_left", 0.9), ("sacrum", "sacrum", 0.95)],
        [("PI", 50.0, 53.0), ("AVR", 1.0, 2.0), ("AVR", 1.0, 4.0)],
        [(30.0, 28.0), (None, 12.0)],
    ),
    scan(
        [level("C3", 2.0), level("T1", None, "T2")], [("body", "T1", 0.0)], [("PI", 50.0, None)], right=False
    ),
]


def by_key(rows):
    return {row["key"]: row for row in rows}


def test_means_are_over_scans_and_of_what_was_counted():
    rows = by_key(bars("real", TWO))
    assert rows["body"]["mean"] == pytest.approx((0.95 + 0.0) / 2)
    assert (rows["body"]["scans"], rows["body"]["count"]) == (2, "3 outlines")
    assert (rows["hips"]["mean"], rows["hips"]["scans"]) == (0.9, 1)  # the other scan shows none
    assert rows["near"]["mean"] == 2 / 4  # T12 and L2; L1 too far, T1 under another name; C3 is not counted
    assert rows["near"]["count"] == "2 of 4 bodies"
    assert rows["identified"]["mean"] == pytest.approx((1 + 0.5) / 2)
    assert rows["all_right"]["count"] == "1 of 2 scans"
    assert rows["anchored_right"]["count"] == "1 of 1 scans"  # only the first shows a sacrum or C2
    assert (rows["PI"]["mean"], rows["PI"]["count"]) == (3, "1 of 2 measured")
    assert rows["AVR"]["mean"] == 2
    assert rows["COBB"]["count"] == "1 of 1 measured, 1 false"
    assert "TK_T4T12" not in rows


def test_a_bar_is_met_from_above_or_for_errors_from_below():
    rows = by_key(bars("synthetic", TWO))
    assert [rows[key]["met"] for key in ("body", "sacrum", "PI", "COBB")] == [False, True, False, True]
    assert cells(rows["sacrum"]) == ("0.950", "-", "at least 0.92", "met")
    assert cells(rows["PI"]) == ("3.0 deg", "-", "at most 2 deg", "missed")
    assert rows["distance"]["met"] is None
    assert cells(rows["distance"])[2:] == ("-", "")


def test_what_was_trained_on_meets_no_bar():
    assert {row["met"] for row in bars("trained", TWO)} == {None}


def test_an_interval_is_told_from_five_scans_on_and_resamples_whole_scans():
    rows = by_key(bars("real", [*TWO] * 4))
    assert 0 <= rows["near"]["low"] < rows["near"]["mean"] < rows["near"]["high"] <= 2 / 3
    assert by_key(bars("real", TWO))["near"]["low"] is None


def test_bars_are_of_figures_and_sets_that_exist():
    assert KINDS.keys() <= WHAT.keys()
    assert set(KINDS.values()) == BARS.keys()
    assert all(asked.keys() <= FIGURES.keys() for asked in BARS.values())
