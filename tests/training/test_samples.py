import numpy as np
import pytest

from spine_node.errors import LabelMapRefused
from spine_node.evaluation.cases import TEST_SEED
from spine_node.imaging.volume import LabelMap
from spine_node.nifti import write_label_map, write_volume
from spine_node.training import samples
from spine_node.training.samples import CaseStore, case_of, load_case, make_case, real_cases, save_case
from tests.segmentation.toy_spine import SPACING_MM, toy_case


def test_a_case_comes_back_from_disk_as_it_was(tmp_path):
    case = case_of(*toy_case(2), SPACING_MM)
    save_case(case, tmp_path / "case.npz")
    again = load_case(tmp_path / "case.npz")
    assert np.array_equal(again.grey, case.grey)
    assert np.array_equal(again.labels, case.labels)
    assert np.array_equal(again.centres, case.centres, equal_nan=True)
    assert [p.name for p in tmp_path.iterdir()] == ["case.npz"]


def test_a_case_keeps_every_structure_and_drops_far_air():
    volume, truth = toy_case(2)
    case = case_of(volume, truth, SPACING_MM)
    values, counts = np.unique(truth.labels[truth.labels > 0], return_counts=True)
    kept, kept_counts = np.unique(case.labels[case.labels > 0], return_counts=True)
    assert np.array_equal(values, kept)
    assert np.array_equal(counts, kept_counts)
    assert case.labels.size < truth.labels.size


def test_labels_of_another_grid_are_refused():
    volume, _ = toy_case(2)
    _, other = toy_case(2, 8.0)
    with pytest.raises(LabelMapRefused, match="not on the grid"):
        case_of(volume, other, SPACING_MM)


def test_an_empty_label_map_is_refused():
    volume, truth = toy_case(2)
    with pytest.raises(LabelMapRefused, match="nothing to learn from"):
        case_of(volume, LabelMap(truth.grid, np.zeros_like(truth.labels)), SPACING_MM)


def test_the_ranges_of_seeds_do_not_meet():
    assert samples.TRAIN_SEED < samples.VALIDATION_SEED < TEST_SEED
    assert samples.VALIDATION_SEED - samples.TRAIN_SEED >= 10**6


def test_workers_make_cases_and_a_seed_without_bone_is_passed_over(tmp_path):
    store = CaseStore(tmp_path, SPACING_MM, generate=sometimes_empty, workers=1, wanted=3)
    try:
        for _ in range(8):
            store.refresh()
            store.wait()
        assert store.refresh() == 2
    finally:
        store.close()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["seed_0000000.npz", "seed_0000002.npz"]


def sometimes_empty(seed, spacing_mm):
    volume, truth = toy_case(seed, 8.0)
    if seed == 1:
        return volume, LabelMap(truth.grid, np.zeros_like(truth.labels))
    return volume, truth


def test_a_case_is_made_once(tmp_path):
    made = make_case(5, tmp_path, SPACING_MM, toy_case)
    stamp = made.stat().st_mtime_ns
    assert make_case(5, tmp_path, SPACING_MM, toy_case) == made
    assert made.stat().st_mtime_ns == stamp


def test_labelled_scans_are_read_in_pairs_and_others_passed_over(tmp_path):
    volume, truth = toy_case(6)
    scan = tmp_path / "scans" / "one"
    scan.mkdir(parents=True)
    write_volume(volume, scan / "ct.nii.gz")
    write_label_map(truth, scan / "labels.nii.gz")
    (tmp_path / "scans" / "unlabelled").mkdir()
    paths = real_cases(tmp_path / "scans", tmp_path / "store", SPACING_MM)
    assert [p.name for p in paths] == ["real_one.npz"]
    expected = case_of(volume, truth, SPACING_MM)
    assert np.array_equal(load_case(paths[0]).labels, expected.labels)


def test_a_folder_without_labelled_scans_is_refused(tmp_path):
    (tmp_path / "one").mkdir()
    with pytest.raises(LabelMapRefused, match="holds no labelled scan"):
        real_cases(tmp_path, tmp_path / "store", SPACING_MM)
