import json

import numpy as np
import pytest

from spine_node.errors import ConfigRefused, LabelMapRefused
from spine_node.evaluation import cases as module
from spine_node.evaluation.cases import STRESSES, chosen, labelled, stress, synthetic
from spine_node.nifti import write_label_map, write_volume
from spine_node.training.streams import TRAIN_SEED, VALIDATION_SEED
from tests.segmentation.toy_spine import toy_case


@pytest.fixture
def options(monkeypatch):
    """What the generator would be asked for, without making anything."""
    asked = []
    monkeypatch.setattr(module, "_generate", lambda seed, **more: asked.append({"seed": seed} | more))
    monkeypatch.setattr(module, "_scan_of", lambda phantom: phantom)
    return asked


def test_no_seed_of_a_test_is_one_of_training():
    assert TRAIN_SEED < VALIDATION_SEED < module.TEST_SEED < module.STRESS_SEED < module.TEMPLATE_SEED


def test_stress_is_what_it_says(options):
    made = stress(5, 4.0)
    assert [case.name.split("_")[1] for case in made] == list(STRESSES)
    for case in made:
        case.make()
    scoliosis, numbering, implants, truncation, noise = options
    assert max(abs(c.angle_deg) for c in scoliosis["spec"].curves) >= module.STRESS_CURVE_DEG
    assert len(numbering["spec"].segments) != 24
    assert len(implants["metal"].parts) > 1
    assert truncation["scanner"].field_radius_mm < 120
    assert noise["scanner"].noise > 140


def test_stress_is_the_same_each_time(options):
    for _ in range(2):
        stress(3, 4.0)[2].make()
    assert options[0]["seed"] == options[1]["seed"]
    assert options[0]["spec"] == options[1]["spec"]
    assert options[0]["metal"].value == options[1]["metal"].value


def test_a_narrow_field_shows_less(options, monkeypatch):
    stress(4, 4.0)[3].make()
    (asked,) = options
    monkeypatch.undo()
    seed = asked.pop("seed")
    narrow = module._generate(seed, **asked)
    usual = module._generate(seed, spacing_mm=4.0, spec=asked["spec"])
    assert np.count_nonzero(narrow.label_map.labels) < 0.9 * np.count_nonzero(usual.label_map.labels)


def test_names_of_cases_tell_how_they_were_made():
    case = synthetic([2_000_003], spacing_mm=1.5, clean=True, painting="random")[0]
    assert case.name == "seed_2000003_1.5mm_whole_clean_random"


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


def test_sets_are_chosen_by_name_or_by_folder(tmp_path):
    write_scan(tmp_path / "a")
    none = {"real": None, "standing": None, "templates": None}
    assert chosen([], none, count=2, spacing_mm=3).keys() == {"synthetic"}
    assert chosen([], none | {"real": tmp_path}, count=2, spacing_mm=3).keys() == {"real"}
    both = chosen(["stress", "synthetic"], none | {"standing": tmp_path}, count=2, spacing_mm=3)
    assert {name: len(cases) for name, cases in both.items()} == {"stress": 2, "synthetic": 2, "standing": 1}
    with pytest.raises(ConfigRefused, match="there is no set 'rael'"):
        chosen(["rael"], none, count=2, spacing_mm=3)
