import numpy as np
import pytest

from spine_node.evaluation.summary import interval, summary


def scan(*dice, case="a", false=()):
    rows = [
        dict.fromkeys(("iou", "nsd_1mm", "nsd_2mm", "volume_similarity", "recall"), d)
        | {"group": "body", "name": f"L{i}", "dice": d, "hd95_mm": d or None, "assd_mm": d or None}
        for i, d in enumerate(dice, start=1)
    ]
    levels = [
        {"level": r["name"], "nearest": None, "distance_mm": 2.0, "right": r["dice"] > 0, "off_by_one": False}
        for r in rows
    ]
    names = {"levels": levels, "false_positives": list(false), "all_right": all(d > 0 for d in dice)}
    return {
        "case": case, "refused": None, "outlines": rows, "nameless": {"panoptic_quality": 0.5},
        "identification": names, "parameters": [], "curves": [], "seconds": 1.0, "peak_mib": None,
    }  # fmt: skip


def test_levels_are_averaged_in_a_scan_before_scans_are():
    """One scan of three levels and one of a single level weigh the same."""
    figures = summary([scan(0.9, 0.9, 0.9), scan(0.5)])
    assert figures["outlines"]["body"]["dice"]["mean"] == pytest.approx(0.7)
    assert figures["outlines"]["body"]["dice"]["scans"] == 2
    assert figures["levels"]["expected"] == 4


def test_what_was_not_found_is_counted_and_has_no_distance():
    figures = summary([scan(0.8, 0.0), scan(0.6)])["outlines"]["body"]
    assert (figures["missing"], figures["expected"]) == (1, 3)
    assert figures["hd95_mm"]["mean"] == pytest.approx(0.7)
    assert figures["dice"]["mean"] == pytest.approx(0.5)


def test_scans_fully_right_and_invented_vertebrae_are_counted():
    levels = summary([scan(0.8, 0.0), scan(0.6, false=["T1"])])["levels"]
    assert (levels["scans_all_right"], levels["scans"], levels["false_positives"]) == (1, 2, 1)
    assert levels["identification_rate"]["mean"] == pytest.approx(0.75)


def test_the_interval_holds_the_mean_95_times_in_100():
    draws = np.random.default_rng(1).normal(3.0, 1.0, (200, 40))
    found = [interval(d) for d in draws]
    held = np.mean([f["low"] <= 3.0 <= f["high"] for f in found])
    assert 0.88 <= held <= 0.99


def test_a_few_scans_have_no_interval_and_none_has_no_mean():
    few = interval([0.5, 0.7])
    assert (few["low"], few["high"], few["least"], few["most"], few["scans"]) == (None, None, 0.5, 0.7, 2)
    assert interval([None]) is None


def test_errors_of_a_parameter_that_is_measured_at_every_level_are_averaged_in_a_scan():
    one, other = scan(1.0), scan(1.0)
    one["parameters"] = [
        {"key": "AVR", "level": f"L{n}", "unit": "deg", "true": 0.0, "found": 4.0} for n in range(3)
    ]
    other["parameters"] = [{"key": "AVR", "level": "L1", "unit": "deg", "true": 0.0, "found": 0.0}]
    figures = summary([one, other])["parameters"]["AVR"]
    assert figures["mae"] == pytest.approx(3.0)
    assert figures["mae_interval"]["mean"] == pytest.approx(2.0)
    assert figures["good"] == 1
