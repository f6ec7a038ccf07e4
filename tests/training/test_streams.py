from dataclasses import replace

import numpy as np
import pytest

from spine_node.anatomy import levels
from spine_node.dicom.ct import write_ct_series
from spine_node.dicom.seg import write_seg
from spine_node.dicom.series import read_series
from spine_node.errors import ConfigRefused, LabelMapRefused
from spine_node.nifti import write_label_map, write_volume
from spine_node.phantom.generate import generate
from spine_node.phantom.library import TemplateLibrary
from spine_node.segmentation.segmenter import ModelIdentity, Segmentation
from spine_node.training.streams import FolderStream, PhantomStream
from tests.dicom.small_series import grid_of, labels_of, write_series
from tests.phantom.real_shapes import OTHER, block_template
from tests.segmentation.toy_spine import toy_case


@pytest.fixture
def folder(tmp_path):
    """Two labelled scans, and a sub-folder without labels."""
    for seed, name in enumerate(("one", "two")):
        volume, truth = toy_case(seed, 8.0)
        (tmp_path / name).mkdir()
        write_volume(volume, tmp_path / name / "ct.nii.gz")
        write_label_map(truth, tmp_path / name / "labels.nii.gz")
    (tmp_path / "unlabelled").mkdir()
    return tmp_path


def test_a_phantom_follows_from_its_seed_alone():
    stream = PhantomStream(fields={"lumbopelvic": 1})
    one, other = (stream.make("seed_0000004", 8.0) for _ in range(2))
    assert np.array_equal(one[0].values, other[0].values)
    assert np.array_equal(one[1].labels, other[1].labels)


def test_seeds_to_train_on_and_to_validate_on_do_not_meet():
    stream = PhantomStream(count=1000, validate=1000)
    assert not set(stream.training()) & set(stream.validation())
    assert stream.training()[3] == "seed_0000003"
    assert stream.validation()[0] == "seed_1000000"


def test_pairs_are_read_and_others_passed_over(folder):
    stream = FolderStream(folder)
    assert stream.training() == ["one", "two"]
    volume, label_map = stream.make("two", 3.0)
    expected, truth = toy_case(1, 8.0)
    assert np.array_equal(label_map.labels.sum(), truth.labels.sum())
    assert volume.grid.matches(label_map.grid)
    assert volume.values.mean() == pytest.approx(expected.values.mean(), rel=1e-4)


def test_corrected_labels_are_other_cases(folder):
    """Whoever corrects a label map and trains again in the same run learns what was corrected."""
    stream = FolderStream(folder)
    before = stream.content()
    assert stream.content() == before
    truth = toy_case(0, 8.0)[1]
    truth.labels[truth.labels == truth.labels.max()] = 0
    write_label_map(truth, folder / "one" / "labels.nii.gz")
    assert stream.content() != before


def test_a_scan_with_two_label_maps_is_refused_not_passed_over(folder):
    (folder / "one" / "labels_old.nii.gz").write_bytes((folder / "one" / "labels.nii.gz").read_bytes())
    with pytest.raises(LabelMapRefused, match="labels_old"):
        FolderStream(folder).training()


def test_phantoms_to_validate_on_stay_out_of_the_tests_seeds():
    with pytest.raises(ValueError, match="seeds of tests"):
        PhantomStream(first_seed=999_850, count=150, validate=200)


def test_what_nobody_trusts_is_not_learned(folder):
    """Both the values that a config names and the spine beyond the labelled part."""
    _, truth = toy_case(0, 8.0)
    drawn = [v for v in np.unique(truth.labels) if v in levels.LEVEL_OF_VALUE]
    stream = FolderStream(folder, ignore={"one": (int(drawn[0]),)}, partial_ends=True)
    known = stream.make("one", 3.0)[1].labels
    assert (known[truth.labels == drawn[0]] == levels.IGNORED).all()
    assert (known[truth.labels == drawn[1]] == drawn[1]).all()
    assert ((known == levels.IGNORED) & (truth.labels == 0)).any()
    untouched = FolderStream(folder).make("one", 3.0)[1].labels
    assert np.array_equal(untouched, truth.labels)
    assert stream.content() != FolderStream(folder).content()
    with pytest.raises(LabelMapRefused, match="no labelled scan three, which ignore names"):
        FolderStream(folder, ignore={"three": (7,)}).training()


def test_what_is_held_out_is_not_trained_on(folder):
    stream = FolderStream(folder, validate=("one",), repaint=0.5, repaint_count=2)
    assert stream.training() == ["two", "two~0", "two~1"]
    assert stream.validation() == ["one"]


def test_a_scan_to_validate_on_that_is_not_there_is_said(folder):
    with pytest.raises(LabelMapRefused, match="no labelled scan three to validate on; there are one, two"):
        FolderStream(folder, validate=("three",)).validation()


def test_holding_out_everything_is_refused(folder):
    with pytest.raises(LabelMapRefused, match="none is left to train on"):
        FolderStream(folder, validate=("one", "two")).training()


def test_a_folder_without_labelled_scans_is_refused(tmp_path):
    (tmp_path / "one").mkdir()
    with pytest.raises(LabelMapRefused, match="holds no labelled scan"):
        FolderStream(tmp_path).training()
    with pytest.raises(LabelMapRefused, match="is not a folder"):
        FolderStream(tmp_path / "none").training()


def test_repainted_scans_are_drawn_as_often_as_asked(folder):
    stream = FolderStream(folder, repaint=0.25)
    drawn = [stream.draw(stream.training(), np.random.default_rng(seed)) for seed in range(1000)]
    assert 200 < sum("~" in case for case in drawn) < 300


def test_the_card_names_whose_data_it_was(folder):
    said = FolderStream(folder, attribution="Scans of the Example Study", licence="CC BY 4.0").words()
    assert said == "Scans of the Example Study. Licence: CC BY 4.0."
    assert "no attribution given" in FolderStream(folder).words()


def test_a_dicom_series_with_its_seg_is_a_case(tmp_path):
    """As annotation leaves them: a folder of images, and the SEG beside it."""
    scan = tmp_path / "scans" / "standing"
    scan.mkdir(parents=True)
    write_series(scan / "ct", grid_of((1, 0, 0), (0, 1, 0)))
    series = read_series(scan / "ct")
    truth = labels_of(series.grid)
    model = ModelIdentity("by hand", "1", "ab" * 32)
    seg = write_seg(series, Segmentation(truth, model), software_version="9", parts=True, by_net=False)
    seg.save_as(scan / "seg.dcm", enforce_file_format=True)
    stream = FolderStream(tmp_path / "scans")
    assert stream.training() == ["standing"]
    volume, label_map = stream.make("standing", 2.0)
    assert volume.grid.matches(series.grid)
    assert np.array_equal(label_map.labels, truth.labels)


def test_a_seg_of_whole_vertebrae_is_parted_into_bodies_and_posterior_elements(tmp_path):
    """As the node itself returns them to the PACS."""
    phantom = generate(3, spacing_mm=3.0, field_of_view="lumbopelvic", clean=True)
    scan = tmp_path / "scans" / "standing"
    scan.mkdir(parents=True)
    write_ct_series(phantom.volume, scan / "ct")
    series = read_series(scan / "ct")
    model = ModelIdentity("by hand", "1", "ab" * 32)
    seg = write_seg(series, Segmentation(phantom.label_map, model), software_version="9")
    seg.save_as(scan / "seg.dcm", enforce_file_format=True)
    _, label_map = FolderStream(tmp_path / "scans").make("standing", 3.0)
    for value in (levels.VERTEBRA_VALUES["L3"], levels.VERTEBRA_VALUES["L3"] + levels.POSTERIOR_OFFSET):
        found, true = label_map.labels == value, phantom.label_map.labels == value
        assert 2 * (found & true).sum() / (found.sum() + true.sum()) > 0.9


def test_templates_of_test_persons_are_never_trained_on(tmp_path):
    ours, theirs = block_template("L2"), block_template("L3", OTHER)
    TemplateLibrary((ours, theirs), {}).save(tmp_path / "shapes.npz")
    lumbar = PhantomStream(fields={"lumbopelvic": 1})
    stream = replace(lumbar, templates=tmp_path / "shapes.npz", template_share=1.0)
    assert "one (L2): CC0. Nobody 2020." in stream.words()
    assert "Somebody" not in stream.words()
    plain = lumbar.make("seed_0000004", 8.0)
    dressed = stream.make("seed_0000004", 8.0)
    assert not np.array_equal(dressed[1].labels, plain[1].labels)
    TemplateLibrary((theirs,), {}).save(tmp_path / "theirs.npz")
    with pytest.raises(ConfigRefused, match="no template that its sources give to training"):
        PhantomStream(templates=tmp_path / "theirs.npz").words()


def test_repainted_scans_have_other_greys_and_the_same_bones(folder):
    stream = FolderStream(folder, repaint=0.5, repaint_count=2)
    plain, again, other = (stream.make(case, 3.0) for case in ("one", "one~0", "one~1"))
    assert np.array_equal(stream.make("one~0", 3.0)[0].values, again[0].values)
    assert again[0].values.std() != pytest.approx(other[0].values.std(), rel=1e-3)
    assert set(np.unique(again[1].labels)) == set(np.unique(plain[1].labels))
