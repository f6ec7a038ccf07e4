import json

import numpy as np
import pytest

from spine_node.errors import LabelMapRefused
from spine_node.evaluation.cases import STRESS_SEED, TEMPLATE_SEED, TEST_SEED, labelled
from spine_node.nifti import write_label_map, write_volume
from spine_node.training.streams import TRAIN_SEED, VALIDATION_SEED
from tests.segmentation.toy_spine import toy_case


def test_no_seed_of_a_test_is_one_of_training():
    assert TRAIN_SEED < VALIDATION_SEED < TEST_SEED < STRESS_SEED < TEMPLATE_SEED


def write_scan(folder, labels=True, marks=None):
    folder.mkdir()
    volume, truth = toy_case(1)
    write_volume(volume, folder / "ct.nii.gz")
    if labels:
        write_label_map(truth, folder / "labels_semi.nii.gz")
    if marks is not None:
        (folder / "landmarks.json").write_text(json.dumps({"landmarks": marks}))
    return truth


def test_labelled_scans_and_marked_ones_are_found_in_a_folder(tmp_path):
    truth = write_scan(tmp_path / "a")
    write_scan(tmp_path / "b", labels=False, marks={"L1": {"lps": [1.0, 2.0, 3.0]}, "S1": {"lps": [0, 0, 0]}})
    (tmp_path / "c").mkdir()
    first, second = labelled(tmp_path, "real")
    assert (first.name, second.name) == ("a", "b")
    scan = first.make()
    assert np.array_equal(scan.truth.labels, truth.labels)
    marked = second.make()
    assert marked.truth is None
    assert {level: c.tolist() for level, c in marked.centres.items()} == {"L1": [1, 2, 3]}
    assert [case.name for case in labelled(tmp_path / "a", "standing")] == ["a"]


def test_changed_labels_change_the_stamp(tmp_path):
    truth = write_scan(tmp_path / "a")
    before = labelled(tmp_path, "real")[0].stamp
    truth.labels[0, 0, :5] = 7
    write_label_map(truth, tmp_path / "a" / "labels_semi.nii.gz")
    assert labelled(tmp_path, "real")[0].stamp != before


def test_a_folder_without_scans_is_refused(tmp_path):
    with pytest.raises(LabelMapRefused, match="no scan to evaluate on"):
        labelled(tmp_path, "real")


@pytest.mark.parametrize("marks", [{}, {"L1": [1, 2]}, {"S1": {"lps": [0, 0, 0]}}])
def test_marks_that_say_nothing_are_refused(tmp_path, marks):
    write_scan(tmp_path / "b", labels=False, marks=marks)
    with pytest.raises(LabelMapRefused, match=r"landmarks\.json"):
        labelled(tmp_path, "real")[0].make()
