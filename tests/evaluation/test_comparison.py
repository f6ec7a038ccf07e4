"""Two runs over the same scans, side by side."""

import copy

import pytest

from spine_node.errors import ConfigRefused
from spine_node.evaluation.comparison import as_markdown, comparison
from tests.evaluation.test_bars import TWO


def run(cases):
    named = [case | {"set": "real", "case": f"scan{n}", "row": "model"} for n, case in enumerate(cases)]
    return {"cases": named}


def worse(cases, by):
    """Every body outline worse by the same."""
    changed = [copy.deepcopy(case) for case in cases]
    for case in changed:
        for row in case["outlines"]:
            row["dice"] -= by if row["group"] == "body" else 0
    return changed


def test_a_change_is_the_mean_difference_within_scans():
    cases = TWO * 4
    compared = comparison({"full": run(cases), "less": run(worse(cases, 0.1))})
    full, less = compared["real"]
    assert less["body"]["mean"] == pytest.approx(full["body"]["mean"] - 0.1)
    assert [less["body"][key] for key in ("change", "low", "high")] == pytest.approx([-0.1] * 3)
    assert less["near"]["change"] == 0
    assert "TK_T4T12" not in less


def test_only_cases_that_all_runs_have_are_compared():
    compared = comparison({"full": run(TWO), "one": run(TWO[:1])})
    assert [row["scans"] for row in compared["real"]] == [1, 1]
    with pytest.raises(ConfigRefused, match="no case in common"):
        comparison({"full": run(TWO), "none": run([])})


def test_the_table_marks_changes_that_are_no_chance():
    cases = TWO * 4
    head, *_, full, less = as_markdown(
        comparison({"full": run(cases), "less": run(worse(cases, 0.1))})
    ).splitlines()
    assert head == "real, 8 scans"
    assert full.startswith("| full | 0.475 | ")
    assert less.startswith("| less | 0.375 (-0.100*) | ")
    assert "(+0.000)" in less
