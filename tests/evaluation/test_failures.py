"""What went wrong, in words that somebody at the pictures would use."""

import numpy as np
import pytest

from spine_node.evaluation.failures import score, what_went_wrong
from spine_node.evaluation.identification import identification

DOWN = ("C7", "T1", "T2", "T3", "T4")
TRUE = {level: (0.0, 0.0, -25.0 * n) for n, level in enumerate(DOWN)}


def case(found, outlines=(), complete=True, refused=None):
    rows = [{"group": group, "name": name, "dice": dice} for group, name, dice in outlines]
    arrays = [{level: np.array(at) for level, at in side.items()} for side in (found, TRUE)]
    return {
        "refused": refused,
        "outlines": rows or None,
        "identification": identification(*arrays, complete=complete),
    }


def called(*names):
    return dict(zip(names, TRUE.values(), strict=False))


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (called("T1", "T2", "T3", "T4", "T5"), "C7 to T4 called one level too low"),
        (called("C6", "C7", "T2", "T3", "T4"), "C7 to T1 called one level too high"),
        (called("C7", "T1", "T2"), "T3 to T4 missed"),
        ({k: v for k, v in TRUE.items() if k != "T1"} | {"L5": (0.0, 300.0, 0.0)}, "T1 missed; L5 invented"),
        (called(*DOWN), "nothing: every name right"),
    ],
)
def test_names_that_went_wrong_are_told_as_runs(found, words):
    assert what_went_wrong(case(found)) == words


def test_poor_outlines_are_told_worst_first_and_only_under_right_names():
    outlines = [
        ("vertebra", "T1", 0.5), ("body", "T1", 0.7), ("posterior", "T2", 0.7), ("posterior", "T3", 0.3),
        ("body", "C7", 0.0), ("sacrum", "sacrum", 0.75),
    ]  # fmt: skip
    found = {level: at for level, at in TRUE.items() if level != "C7"}
    said = what_went_wrong(case(found, outlines))
    assert said == "C7 missed; arch of T3 (0.30), T1 (0.70), sacrum (0.75) poorly drawn"


def test_a_refusal_is_the_whole_story():
    assert what_went_wrong(case({}, refused="no spine found")) == "refused: no spine found"


def test_the_score_is_the_outline_where_there_is_one_and_the_names_else():
    outlines = [("vertebra", "T1", 0.5), ("vertebra", "T2", 0.7), ("body", "T1", 1.0)]
    assert score(case(called(*DOWN), outlines)) == pytest.approx(0.6)
    assert score(case(called(*DOWN), [("body", "T1", 0.9)])) == 0.9
    marked = case(called("C7", "T1", "T2"), complete=False)
    assert score(marked) == 0.5  # of T1 to T4; C7 is not counted
