import pytest

from spine_node.evaluation.clinical import agreement, curve_rows, parameter_rows
from spine_node.parameters.model import Measurements, Parameter


def measured(*rows):
    return Measurements("PATIENT", "", tuple(Parameter(k, v, "deg", "", **more) for k, v, more in rows))


def test_parameters_are_compared_level_by_level():
    truth = measured(("PI", 50, {}), ("AVR", 5, {"level": "T8"}), ("COBB", 20, {"apex": "T8"}))
    found = measured(("PI", 47, {}), ("AVR", 9, {"level": "T7"}))
    rows = {row["key"]: (row["true"], row["found"]) for row in parameter_rows(found, truth)}
    assert rows == {"PI": (50, 47), "AVR": (5, None)}


def test_curves_are_met_once_and_only_on_their_side():
    truth = measured(
        ("COBB", 30, {"apex": "T8", "side": "right"}), ("COBB", 15, {"apex": "L3", "side": "left"})
    )
    found = measured(
        ("COBB", 33, {"apex": "T9/T10", "side": "right"}),
        ("COBB", 12, {"apex": "T7", "side": "left"}),
        ("COBB", 28, {"apex": "T10", "side": "right"}),
    )
    assert [(r["true"], r["found"]) for r in curve_rows(found, truth)] == [
        (30, 33), (15, None), (None, 12), (None, 28),
    ]  # fmt: skip


def test_agreement_is_that_of_bland_and_altman():
    rows = [{"true": t, "found": f} for t, f in ((10, 11), (20, 23), (30, 24), (40, None), (None, 7))]
    figures = agreement(rows)
    assert (figures["expected"], figures["measured"]) == (4, 3)
    assert figures["mae"] == pytest.approx(10 / 3)
    assert figures["bias"] == pytest.approx(-2 / 3)
    sd = 4.725816  # of 1, 3, -6
    assert figures["limits"] == pytest.approx([-2 / 3 - 1.96 * sd, -2 / 3 + 1.96 * sd], abs=1e-4)
    assert figures["good"] == 0.5
    assert figures["largest"] == 6


def test_nothing_measured_has_no_error():
    figures = agreement([{"true": 10, "found": None}])
    assert (figures["measured"], figures["mae"], figures["good"]) == (0, None, 0)
