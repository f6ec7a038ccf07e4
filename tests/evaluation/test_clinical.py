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
    pairs = ((10, 11), (20, 23), (30, 24), (50, 50), (60, 62), (40, None), (None, 7))
    figures = agreement({"true": t, "found": f} for t, f in pairs)
    assert (figures["expected"], figures["measured"]) == (6, 5)
    assert figures["mae"] == pytest.approx(12 / 5)
    assert figures["bias"] == 0
    sd = 50**0.5 / 2  # of 1, 3, -6, 0, 2
    assert figures["limits"] == pytest.approx([-1.96 * sd, 1.96 * sd])
    assert figures["good"] == pytest.approx(4 / 6)
    assert figures["largest"] == 6


def test_a_few_values_have_no_limits_of_agreement():
    assert agreement([{"true": 10, "found": 11}] * 4)["limits"] is None


def test_nothing_measured_has_no_error():
    figures = agreement([{"true": 10, "found": None}])
    assert (figures["measured"], figures["mae"], figures["good"]) == (0, None, 0)
