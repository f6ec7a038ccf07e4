import numpy as np
import pytest

from spine_node.errors import LabelMapRefused
from spine_node.imaging.volume import LabelMap
from spine_node.segmentation.classes import SPINE
from spine_node.training.samples import CaseStore, case_of, load_case, save_case, store_folder
from spine_node.training.streams import PhantomStream
from tests.segmentation.toy_spine import SPACING_MM, toy_case
from tests.training.toy_stream import ToyStream


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


def stored(folder, *streams, workers=0, **options):
    return CaseStore(folder, streams, SPACING_MM, workers=workers, **options)


def files(folder):
    return sorted(p.name for p in folder.glob("*/*"))


def test_workers_make_cases_and_a_seed_without_bone_is_passed_over(tmp_path):
    store = stored(tmp_path, ToyStream(count=3, empty=(1,), spacing_mm=8.0), workers=1)
    try:
        while not store.complete:
            store.refresh()
            store.wait()
        store.refresh()
    finally:
        store.close()
    assert len(store) == 2
    assert store.made == 2
    assert files(tmp_path) == ["toy_0.npz", "toy_2.npz"]


def test_a_labelled_scan_that_shows_nothing_is_said_with_its_name(tmp_path):
    store = stored(tmp_path, ToyStream(count=2, empty=(1,), skips_refused=False))
    with pytest.raises(LabelMapRefused, match="case toy_1 of stream toys: the label map holds none"):
        store.refresh()


def test_a_case_is_made_once(tmp_path):
    stored(tmp_path, ToyStream(count=1)).refresh()
    (path,) = tmp_path.glob("*/*.npz")
    stamp = path.stat().st_mtime_ns
    again = stored(tmp_path, ToyStream(count=1))
    assert again.refresh() == 1
    assert again.made == 0
    assert path.stat().st_mtime_ns == stamp


def test_other_voxels_are_other_cases(tmp_path):
    """A run that goes on with another mixture or spacing does not learn from stale cases."""
    homes = {
        store_folder(tmp_path, stream, spacing, SPINE)
        for stream, spacing in (
            (PhantomStream(), 2.0),
            (PhantomStream(count=9, share=3.0), 2.0),
            (PhantomStream(clean=0.5), 2.0),
            (PhantomStream(), 3.0),
        )
    }
    assert len(homes) == 3


def test_what_is_held_out_is_never_drawn(tmp_path):
    store = stored(tmp_path, ToyStream(count=2, validate=1))
    assert store.refresh() == 2
    (aside,) = store.held_out
    drawn = {id(store.draw(np.random.default_rng(seed))) for seed in range(40)}
    assert len(drawn) == 2
    assert id(aside) not in drawn


def test_streams_are_drawn_by_their_share(tmp_path):
    few, many = ToyStream(count=1, name="few"), ToyStream(count=2, name="many", share=4.0, spacing_mm=8.0)
    store = stored(tmp_path, few, many)
    store.refresh()
    shapes = [store.draw(np.random.default_rng(seed)).labels.shape for seed in range(400)]
    rare = min(shapes.count(shape) for shape in set(shapes))
    assert 50 < rare < 110


def test_cases_for_the_start_come_before_those_held_out(tmp_path):
    store = stored(tmp_path, ToyStream(count=3, validate=1, spacing_mm=8.0), workers=1, first=2)
    try:
        order = [task.name for task in store._todo]
    finally:
        store.close()
    assert order == ["toy_0", "toy_1", "toy_100", "toy_2"]
