from itertools import permutations, product

import numpy as np
import pytest

from spine_node.anatomy import levels
from spine_node.errors import SeriesRefused
from spine_node.imaging.volume import Grid, LabelMap, Volume
from spine_node.segmentation import context, inference
from spine_node.segmentation.classes import HIP, LEVEL_CLASSES
from spine_node.segmentation.inference import BundleSegmenter
from spine_node.segmentation.windows import LOG_FLOOR
from tests.segmentation.perfect_net import perfect_heads
from tests.segmentation.toy_spine import SPACING_MM, toy_case, toy_grid


@pytest.fixture
def segmenter(tiny_bundle):
    return BundleSegmenter(tiny_bundle, device="cpu")


def with_perfect_net(monkeypatch, truth):
    """The net's answer is taken from the truth: what is under test is all the rest."""
    monkeypatch.setattr(inference, "infer", lambda *_: perfect_heads(truth, SPACING_MM))


def turned(volume, truth, order, flips):
    """The same patient and frame, the array stored along other axes."""
    affine = truth.grid.affine.copy()
    values, labels = volume.values, truth.labels
    for axis in flips:
        affine[:3, 3] += affine[:3, axis] * (truth.grid.shape[axis] - 1)
        affine[:3, axis] *= -1
        values, labels = np.flip(values, axis), np.flip(labels, axis)
    affine = affine[:, [*order, 3]]
    grid = Grid(tuple(truth.grid.shape[a] for a in order), affine)
    return Volume(grid, values.transpose(order)), LabelMap(grid, labels.transpose(order).copy())


def dice(found, truth, value):
    a, b = found == value, truth == value
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_with_a_perfect_net_every_structure_comes_back(segmenter, monkeypatch):
    volume, truth = toy_case(4)
    with_perfect_net(monkeypatch, truth)
    result = segmenter.segment(volume)
    assert result.label_map.grid is volume.grid
    for value in np.unique(truth.labels):
        # Arches meet in this toy: there the trunk's half-size votes may give a voxel to the neighbour.
        least = 0.9 if value > levels.POSTERIOR_OFFSET else 0.97
        assert dice(result.label_map.labels, truth.labels, value) > least, levels.CHANNELS[int(value)]


ORIENTATIONS = [
    (order, flips)
    for order in permutations(range(3))
    for flips in ([a for a in range(3) if bits[a]] for bits in product((0, 1), repeat=3))
]


@pytest.mark.parametrize(("order", "flips"), ORIENTATIONS[::5])
def test_the_storage_order_of_a_series_changes_nothing_in_the_patient(segmenter, monkeypatch, order, flips):
    """Each structure's centre in LPS stays; a left head stays left."""
    volume, truth = turned(*toy_case(4), order, flips)
    with_perfect_net(monkeypatch, truth)
    found = segmenter.segment(volume).label_map
    for value in np.unique(truth.labels)[1:]:
        here = volume.grid.to_mm(np.argwhere(found.labels == value).mean(axis=0))
        there = volume.grid.to_mm(np.argwhere(truth.labels == value).mean(axis=0))
        assert here == pytest.approx(there, abs=1.5), levels.CHANNELS[int(value)]
    heads = [np.argwhere(found.labels == v).mean(axis=0) for v in (31, 32)]
    left, right = volume.grid.to_mm(heads)
    assert left[0] > right[0] + 100


def test_a_finer_series_gets_a_smooth_outline(segmenter, monkeypatch):
    """Not the net's cubes: the volume of a head is that of its sphere, within a few per cent."""
    _, truth = toy_case(4, 2.0)
    fine = toy_grid(1.0)
    with_perfect_net(monkeypatch, truth)
    values = np.random.default_rng(0).normal(0, 1, fine.shape)
    values[:4] = -50
    labels = segmenter.segment(Volume(fine, values.astype(np.float32))).label_map.labels
    sphere = 4 / 3 * np.pi * 22**3
    assert (labels == levels.FEMORAL_HEAD_LEFT).sum() == pytest.approx(sphere, rel=0.06)


def test_a_volume_without_a_spine_is_refused(segmenter, monkeypatch):
    volume, truth = toy_case(4)
    nothing = LabelMap(truth.grid, np.where(truth.labels == 29, truth.labels, 0).astype(np.uint8))
    with_perfect_net(monkeypatch, nothing)
    with pytest.raises(SeriesRefused, match="no spine found: 0 vertebral bodies"):
        segmenter.segment(volume)


def test_one_lonely_body_is_refused(segmenter, monkeypatch):
    volume, truth = toy_case(4)
    with_perfect_net(monkeypatch, LabelMap(truth.grid, np.where(truth.labels == 22, 22, 0).astype(np.uint8)))
    with pytest.raises(SeriesRefused, match="no spine found: 1 vertebral bodies"):
        segmenter.segment(volume)


def test_a_small_odd_field_is_segmented(segmenter, monkeypatch):
    """Two vertebrae and a bit, an odd number of voxels, no pelvis: named with a warning."""
    volume, truth = toy_case(4)
    box = (slice(45, 68), slice(9, 42), slice(20, 51))
    affine = truth.grid.affine.copy()
    affine[:3, 3] = truth.grid.to_mm([45, 9, 20])
    grid = Grid((23, 33, 31), affine)
    part = LabelMap(grid, truth.labels[box].copy())
    with_perfect_net(monkeypatch, part)
    result = segmenter.segment(Volume(grid, volume.values[box]))
    assert any("sacrum is not in the field" in said for said in result.quality)
    assert set(np.unique(result.label_map.labels)) <= set(np.unique(part.labels))


def test_progress_rises_to_one(segmenter, monkeypatch):
    volume, truth = toy_case(4)
    with_perfect_net(monkeypatch, truth)
    steps: list[float] = []
    segmenter.segment(volume, lambda fraction, _words: steps.append(fraction))
    assert steps == sorted(steps)
    assert steps[-1] == 1.0


@pytest.fixture
def pair(tiny_pair):
    return BundleSegmenter(tiny_pair, device="cpu")


def with_perfect_pair(monkeypatch, truth, fine, seen=None):
    """The context net knows the truth (or `seen`); the fine net says `fine`, where it is asked."""
    asked = []

    def fine_infer(*arguments):
        wanted = arguments[-1]
        asked.append(wanted)
        semantic = fine.semantic.clone()
        semantic[0, ~wanted], semantic[1:, ~wanted] = 0.0, LOG_FLOOR
        return fine._replace(semantic=semantic)

    monkeypatch.setattr(inference, "infer", fine_infer)
    monkeypatch.setattr(context, "infer", lambda *_: perfect_heads(seen or truth, 1.5 * SPACING_MM))
    return asked


def test_with_two_perfect_nets_every_structure_comes_back(pair, monkeypatch):
    volume, truth = toy_case(4)
    (asked,) = [with_perfect_pair(monkeypatch, truth, perfect_heads(truth, SPACING_MM))]
    labels = pair.segment(volume).label_map.labels
    for value in np.unique(truth.labels):
        least = 0.9 if value > levels.POSTERIOR_OFFSET else 0.97
        assert dice(labels, truth.labels, value) > least, levels.CHANNELS[int(value)]
    assert asked[0].mean() < 0.6


def test_what_the_fine_net_invents_far_from_any_bone_is_gone(pair, monkeypatch):
    volume, truth = toy_case(4)
    heads = perfect_heads(truth, SPACING_MM)
    far = (slice(85, 95), slice(2, 12), slice(2, 12))
    assert not truth.labels[70:, :, :20].any()
    heads.semantic[(slice(None), *far)] = LOG_FLOOR
    heads.semantic[(HIP, *far)] = 0.0
    with_perfect_pair(monkeypatch, truth, heads)
    assert not pair.segment(volume).label_map.labels[far].any()


def test_the_context_net_is_believed_about_levels(pair, monkeypatch):
    """The fine net takes every vertebra for the next one; the evidence that names rest on is right."""
    volume, truth = toy_case(4)
    heads = perfect_heads(truth, SPACING_MM)
    heads.level.numpy()[:] = np.roll(heads.level.numpy(), 1, axis=0)
    with_perfect_pair(monkeypatch, truth, heads)
    weighed = []
    name = inference.name_levels
    monkeypatch.setattr(inference, "name_levels", lambda given: weighed.append(given) or name(given))
    pair.segment(volume)
    said = [LEVEL_CLASSES[row.argmax()] for row in weighed[0].log_chance]
    assert said == ["T8", "T9", "T10", "T11", "T12", "L1", "L2", "L3", "L4", "L5"]


def test_a_volume_where_the_context_net_sees_no_spine_is_refused_at_once(pair, monkeypatch):
    volume, truth = toy_case(4)
    hips = LabelMap(truth.grid, np.where(truth.labels == 29, truth.labels, 0).astype(np.uint8))
    asked = with_perfect_pair(monkeypatch, truth, perfect_heads(truth, SPACING_MM), seen=hips)
    with pytest.raises(
        SeriesRefused, match=r"no spine found: nothing in 40. x .* looks like a vertebral body"
    ):
        pair.segment(volume)
    assert asked == []
