import numpy as np
import pytest

from spine_node.evaluation.identification import body_centres, identification, steps_apart
from tests.segmentation.toy_spine import toy_case

DOWN = ("T11", "T12", "L1", "L2", "L3")
TRUE = {level: np.array([0.0, 0.0, -32.0 * n]) for n, level in enumerate(DOWN)}


def names(result):
    return [row["nearest"] for row in result["levels"]]


def test_every_level_at_its_place_is_right():
    moved = {level: np.add(centre, (3, 0, 4)) for level, centre in TRUE.items()}
    result = identification(moved, TRUE)
    assert result["all_right"]
    assert [row["distance_mm"] for row in result["levels"]] == pytest.approx([5] * 5)


def test_names_one_level_off_are_told_as_such():
    shifted = dict(zip(("T12", "L1", "L2", "L3", "L4"), TRUE.values(), strict=True))
    result = identification(shifted, TRUE)
    assert names(result) == ["T12", "L1", "L2", "L3", "L4"]
    assert all(row["off_by_one"] and not row["right"] for row in result["levels"])
    assert result["levels"][1]["distance_mm"] == 32
    assert result["false_positives"] == []


def test_twenty_millimetres_is_too_far():
    far = {level: np.add(centre, (0, 20.0, 0)) for level, centre in TRUE.items()}
    result = identification(far, TRUE)
    assert names(result) == [None] * 5
    assert len(result["false_positives"]) == 5


def test_a_closer_vertebra_of_another_name_takes_the_place():
    crowd = dict(TRUE) | {"L1": TRUE["L1"] + [0, 0, 10], "L4": TRUE["L1"] + [0, 0, 1]}
    assert not identification(crowd, TRUE)["levels"][2]["right"]


def test_an_invented_vertebra_spoils_the_scan_unless_only_some_were_marked():
    more = dict(TRUE) | {"L4": TRUE["L3"] - [0, 0, 32]}
    assert identification(more, TRUE)["false_positives"] == ["L4"]
    assert not identification(more, TRUE)["all_right"]
    marked = identification(more, TRUE, complete=False)
    assert (marked["false_positives"], marked["all_right"]) == (None, True)


def test_nothing_found_is_nothing_right():
    result = identification({}, TRUE)
    assert not any(row["right"] for row in result["levels"])


@pytest.mark.parametrize(
    ("one", "other", "steps"),
    [("T12", "L1", 1), ("T12", "T13", 1), ("T13", "L1", 1), ("L5", "L6", 1), ("T11", "L1", 2)],
)
def test_rare_levels_count_only_where_they_are(one, other, steps):
    assert steps_apart(one, other) == steps_apart(other, one) == steps


def test_a_centre_is_measured_in_millimetres():
    _, truth = toy_case(1)
    moved = body_centres(np.roll(truth.labels, 1, axis=2), truth.grid)["L2"]
    gap = np.linalg.norm(moved - body_centres(truth.labels, truth.grid)["L2"])
    assert gap == pytest.approx(truth.grid.spacing_mm[2])
