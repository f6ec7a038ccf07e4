import numpy as np
import pytest

from spine_node.anatomy.levels import VERTEBRA_VALUES
from spine_node.evaluation.metrics import GROUPS, outline, outlines, overlap, scored, without_names
from spine_node.imaging.volume import Grid, LabelMap
from tests.segmentation.toy_spine import toy_case

MM = np.ones(3)


def boxes(*places, shape=(40, 30, 30), values=(20,)):
    labels = np.zeros(shape, np.uint8)
    for (start, stop), value in zip(places, values, strict=True):
        labels[start:stop, 5:25, 5:25] = value
    return labels


def renamed_by_one(labels):
    shifted = labels.copy()
    for level in ("L1", "L2", "L3", "L4", "L5"):
        for offset in (0, 100):
            value = VERTEBRA_VALUES[level] + offset
            shifted[labels == value] = value - 1
    return shifted


def test_a_box_half_a_length_off():
    """10 of 20 slices shared: by hand TP 10, FP 10, FN 10."""
    row = outline(boxes((20, 40)) > 0, boxes((10, 30)) > 0, MM)
    assert (row["dice"], row["iou"], row["recall"], row["volume_similarity"]) == (0.5, 1 / 3, 0.5, 1.0)
    assert row["hd95_mm"] == pytest.approx(10)


def test_twice_the_volume_is_full_recall_and_little_similarity():
    row = outline(boxes((0, 40)) > 0, boxes((10, 30)) > 0, MM)
    assert row["recall"] == 1
    assert row["volume_similarity"] == pytest.approx(1 - 20 / 60)


def test_what_was_not_found_scores_nothing_and_has_no_distance():
    row = outline(boxes((0, 0)) > 0, boxes((10, 30)) > 0, MM)
    assert (row["dice"], row["nsd_2mm"], row["hd95_mm"], row["assd_mm"]) == (0, 0, None, None)


def test_the_truth_itself_scores_full_marks():
    _, truth = toy_case(1)
    rows = outlines(truth.labels, truth.labels, truth.grid.spacing_mm)
    assert {row["group"] for row in rows} <= set(GROUPS)
    assert {(row["dice"], row["nsd_1mm"], row["hd95_mm"]) for row in rows} == {(1, 1, 0)}
    assert without_names(overlap(truth.labels, truth.labels))["panoptic_quality"] == 1


def test_names_one_level_off_cost_the_names_and_not_the_outlines():
    _, truth = toy_case(1)
    shifted = renamed_by_one(truth.labels)
    dice = {(r["group"], r["name"]): r["dice"] for r in outlines(shifted, truth.labels, MM)}
    assert dice["body", "L5"] == 0
    assert dice["body", "T9"] == dice["sacrum", "sacrum"] == 1
    nameless = without_names(overlap(shifted, truth.labels))
    assert nameless["dice_any_body"] == 1
    # T12 and L1 became one; all others are still whole.
    assert nameless["instances_found"] > 0.8
    assert nameless["instances_overlap"] > 0.95


def test_places_that_nobody_annotated_are_not_scored():
    truth, found = boxes((10, 30)), boxes((10, 40))
    truth[30:40] = 255
    grid = Grid(truth.shape, np.eye(4))
    one, other = scored(LabelMap(grid, found), LabelMap(grid, truth))
    assert np.array_equal(one, other)


def test_a_sliver_at_the_edge_is_left_out_on_both_sides():
    truth = boxes((0, 1), (10, 30), values=(19, 20))
    found = boxes((0, 2), (10, 30), values=(19, 20))
    grid = Grid(truth.shape, np.eye(4))
    one, other = scored(LabelMap(grid, found), LabelMap(grid, truth))
    assert set(np.unique(one)) == set(np.unique(other)) == {0, 20}


def test_what_was_found_of_a_sliver_is_left_out_whatever_its_name():
    truth = boxes((0, 1), (10, 30), values=(19, 20))
    found = boxes((0, 2), (10, 30), values=(18, 19))
    grid = Grid(truth.shape, np.eye(4))
    one, _ = scored(LabelMap(grid, found), LabelMap(grid, truth))
    assert set(np.unique(one)) == {0, 19}


def test_an_invented_vertebra_is_not_forgiven_for_touching_a_sliver():
    truth = boxes((0, 1), (24, 38), values=(19, 20))
    found = boxes((0, 20), (24, 38), values=(18, 20))
    grid = Grid(truth.shape, np.eye(4))
    one, _ = scored(LabelMap(grid, found), LabelMap(grid, truth))
    assert set(np.unique(one)) == {0, 18, 20}


def test_other_grids_are_not_compared():
    truth = boxes((10, 30))
    here, there = Grid(truth.shape, np.eye(4)), Grid(truth.shape, np.diag([2.0, 1, 1, 1]))
    with pytest.raises(ValueError, match="not on one grid"):
        scored(LabelMap(here, truth), LabelMap(there, truth))
