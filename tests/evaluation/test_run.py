import json

import numpy as np
import pytest

from spine_node.anatomy.levels import VERTEBRA_VALUES
from spine_node.errors import SeriesRefused
from spine_node.evaluation import run as module
from spine_node.evaluation.run import (
    centre_errors,
    dice_by_structure,
    evaluate,
    parameter_errors,
    summary,
    tables,
)
from spine_node.imaging.volume import LabelMap
from spine_node.parameters.model import Measurements, Parameter
from spine_node.segmentation.segmenter import ModelIdentity, Segmentation
from tests.segmentation.toy_spine import toy_case


class Oracle:
    """Says what the phantom is: the ceiling of every figure."""

    identity = ModelIdentity("oracle", "1", "0" * 64)

    def __init__(self, monkeypatch, change=lambda labels: labels):
        from spine_node.phantom import generate as phantom

        made = phantom.generate

        def remembered(*args, **options):
            self.phantom = made(*args, **options)
            return self.phantom

        monkeypatch.setattr(phantom, "generate", remembered)
        self.change = change

    def segment(self, volume, progress=None):
        labels = self.change(self.phantom.label_map.labels.copy())
        return Segmentation(LabelMap(volume.grid, labels), self.identity)


def test_the_truth_itself_scores_full_marks(monkeypatch, tmp_path):
    figures = evaluate(
        Oracle(monkeypatch), seeds=[module.TEST_SEED], spacing_mm=3.0, clean=True, out=tmp_path / "f.json"
    )
    assert {row["lowest"] for row in figures["dice"].values()} == {1.0}
    assert figures["levels"]["rate"] == 1.0
    assert figures["levels"]["all_right"] == 1
    assert figures["parameters"]["PI"]["measured"] == 1
    assert json.loads((tmp_path / "f.json").read_text())["seeds"] == [module.TEST_SEED]
    assert len(tables(figures)) == 3


def test_a_refused_phantom_counts_as_nothing_found(monkeypatch):
    class Refusing(Oracle):
        def segment(self, volume, progress=None):
            raise SeriesRefused("no spine found")

    figures = evaluate(Refusing(monkeypatch), seeds=[module.TEST_SEED], spacing_mm=4.0, clean=True)
    assert figures["levels"]["rate"] == 0
    assert figures["refused"] == [module.TEST_SEED]


def test_names_one_level_off_cost_the_names_and_not_the_outlines():
    _, truth = toy_case(1)
    shifted = truth.labels.copy()
    for level in ("L1", "L2", "L3", "L4", "L5"):
        shifted[truth.labels == VERTEBRA_VALUES[level]] = VERTEBRA_VALUES[level] - 1
    dice = dice_by_structure(shifted, truth.labels)
    assert dice["any body"] == 1.0
    assert dice["vertebral bodies"] < 0.6
    assert dice["sacrum"] == 1.0
    errors = centre_errors(LabelMap(truth.grid, shifted), truth)
    assert errors["L3"] is None
    assert errors["T9"] == 0


def test_a_centre_is_measured_in_millimetres():
    _, truth = toy_case(1)
    moved = LabelMap(truth.grid, np.roll(truth.labels, 1, axis=2))
    assert centre_errors(moved, truth)["L2"] == pytest.approx(truth.grid.spacing_mm[2])


def measured(*rows):
    return Measurements(
        "PATIENT", "", tuple(Parameter(k, v, "deg", "", level=lv, apex=ap) for k, v, lv, ap in rows)
    )


def test_parameters_are_compared_level_by_level_and_curves_by_their_apex():
    truth = measured(("PI", 50, None, None), ("AVR", 5, "T8", None), ("COBB", 30, None, "T8"))
    found = measured(
        ("PI", 47, None, None), ("AVR", 9, "T7", None), ("COBB", 12, None, "L3"), ("COBB", 33, None, "T9")
    )
    errors = {row["key"]: row["error"] for row in parameter_errors(found, truth)}
    assert errors == {"PI": -3, "AVR": None, "COBB": 3}


def test_the_summary_says_how_many_were_measured():
    rows = [{"key": "PI", "level": None, "unit": "deg", "error": e} for e in (1.0, -3.0, None)]
    cases = [
        {"seed": i, "levels_true": [], "centres": {}, "dice": {}, "parameters": [r]}
        for i, r in enumerate(rows)
    ]
    assert summary(cases)["parameters"]["PI"] == {
        "expected": 3,
        "measured": 2,
        "mean": 2.0,
        "largest": 3.0,
        "unit": "deg",
    }
