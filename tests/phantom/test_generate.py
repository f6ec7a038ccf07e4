"""Whole phantoms: labels where the landmarks are, left on the left, the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spine_node.anatomy import levels
from spine_node.phantom import scene
from spine_node.phantom.generate import Phantom, generate
from spine_node.phantom.lattice import Lattice
from spine_node.phantom.pose import standing_spec
from spine_node.phantom.profiles import Curve
from spine_node.phantom.scene import SEMANTIC
from spine_node.phantom.skeleton import build

SPACING_MM = 3.0


@pytest.fixture(scope="module")
def clean() -> Phantom:
    return generate(11, spacing_mm=SPACING_MM, clean=True)


def centroid_mm(phantom: Phantom, label: int) -> np.ndarray:
    where = np.argwhere(phantom.label_map.labels == label)
    assert len(where), f"label {label} is not in the map"
    return phantom.label_map.grid.to_mm(where.mean(axis=0))


def test_each_body_lies_where_its_landmark_says(clean: Phantom):
    """Within half a voxel: the label map and the landmarks are one geometry."""
    for v in clean.landmarks.vertebrae:
        if v.level != "C2":  # its label has the dens, its landmark (clinically) has not
            found = centroid_mm(clean, levels.VERTEBRA_VALUES[v.level])
            assert np.linalg.norm(found - v.body_centre_mm) < SPACING_MM / 2, v.level


def test_posterior_elements_lie_behind_their_bodies(clean: Phantom):
    for v in clean.landmarks.vertebrae:
        assert v.axes is not None
        behind = (
            centroid_mm(clean, levels.VERTEBRA_VALUES[v.level] + levels.POSTERIOR_OFFSET) - v.body_centre_mm
        )
        assert behind @ v.axes[:, 1] > 12, v.level
        assert abs(behind @ v.axes[:, 0]) < 2, v.level


def test_bodies_follow_each_other_down_to_the_sacrum(clean: Phantom):
    height = [float(v.body_centre_mm[2]) for v in clean.landmarks.vertebrae]
    assert height == sorted(height, reverse=True)
    assert [levels.order(v.level) for v in clean.landmarks.vertebrae] == sorted(
        levels.order(v.level) for v in clean.landmarks.vertebrae
    )
    assert centroid_mm(clean, levels.SACRUM)[2] < height[-1]


def test_left_is_at_larger_x(clean: Phantom):
    """31 is the left femoral head and 29 the left hip bone; DICOM x grows to the left."""
    assert (
        centroid_mm(clean, levels.FEMORAL_HEAD_LEFT)[0]
        > centroid_mm(clean, levels.FEMORAL_HEAD_RIGHT)[0] + 100
    )
    assert centroid_mm(clean, levels.HIP_LEFT)[0] > centroid_mm(clean, levels.HIP_RIGHT)[0] + 100


def test_a_femoral_head_is_its_sphere(clean: Phantom):
    for side, label in (("left", levels.FEMORAL_HEAD_LEFT), ("right", levels.FEMORAL_HEAD_RIGHT)):
        head = clean.landmarks.heads[side]
        assert centroid_mm(clean, label) == pytest.approx(head.centre_mm, abs=0.3)
        volume = (clean.label_map.labels == label).sum() * clean.label_map.grid.voxel_mm3
        assert volume == pytest.approx(4 / 3 * np.pi * head.radius_mm**3, rel=0.03)


def test_every_label_has_a_name_and_bones_are_brighter_than_muscle(clean: Phantom):
    assert set(np.unique(clean.label_map.labels)) <= set(levels.CHANNELS)
    bone = clean.volume.values[clean.label_map.labels > 0]
    disc = clean.volume.values[clean.semantic == SEMANTIC["disc"]]
    assert np.median(bone) > np.median(disc) + 50


def test_the_semantic_map_says_the_same_as_the_labels(clean: Phantom):
    labels, semantic = clean.label_map.labels, clean.semantic
    body = (labels > 0) & (labels <= 25) | (labels == levels.VERTEBRA_VALUES["T13"])
    for mask, name in (
        (body, "body"),
        (labels > levels.POSTERIOR_OFFSET, "arch"),
        (labels == levels.SACRUM, "sacrum"),
        ((labels == levels.HIP_LEFT) | (labels == levels.HIP_RIGHT), "hip"),
    ):
        assert np.array_equal(mask, semantic == SEMANTIC[name]), name


def test_the_canal_is_open_from_the_neck_to_the_sacrum(clean: Phantom):
    """At each level there is canal on the line behind the body, before any bone."""
    for v in clean.landmarks.vertebrae:
        if v.level == "C2" or v.axes is None or v.superior is None:
            continue
        depth = np.arange(0, 60, 0.5)
        line = v.superior.centre_mm - 4 * v.axes[:, 2] + depth[:, None] * v.axes[:, 1]
        index = np.round(clean.label_map.grid.to_index(line)).astype(int)
        inside = ((index >= 0) & (index < clean.semantic.shape)).all(axis=1)
        seen = clean.semantic[tuple(index[inside].T)]
        assert (seen == SEMANTIC["canal"]).sum() * 0.5 > 6, v.level


def test_discs_keep_bodies_apart():
    """No two vertebral bodies touch at 1 mm, so instances can be told apart by their gaps."""
    person = build(standing_spec(curves=(Curve(2, 3, -35, 0.4),)))
    low = person.s1.superior_mm - np.array([60, 60, 20])
    high = low + np.array([120, 120, 220])
    affine = np.array([[0, 0, 1, low[0]], [0, 1, 0, low[1]], [1, 0, 0, low[2]], [0, 0, 0, 1.0]])
    shape = tuple(int(n) for n in (high - low)[::-1])
    body = scene.draw(person, Lattice(shape, affine)).labels.numpy()  # type: ignore[arg-type]
    body = np.where(body < levels.SACRUM, body, 0).astype(int)
    for axis in range(3):
        a, b = (np.take(body, range(s, body.shape[axis] - 1 + s), axis=axis) for s in (0, 1))
        assert not ((a > 0) & (b > 0) & (a != b)).any()


def test_the_same_seed_gives_the_same_voxels_and_another_seed_does_not():
    one, same, other = (generate(s, spacing_mm=6) for s in (3, 3, 4))
    assert np.array_equal(one.volume.values, same.volume.values)
    assert np.array_equal(one.label_map.labels, same.label_map.labels)
    assert one.truth.to_json() == same.truth.to_json()
    assert one.volume.values.shape != other.volume.values.shape or not np.array_equal(
        one.volume.values, other.volume.values
    )


def test_cutting_the_work_into_slabs_changes_nothing(monkeypatch: pytest.MonkeyPatch):
    whole = generate(8, spacing_mm=6)
    monkeypatch.setattr("spine_node.phantom.rendering.SLAB_VOXELS", {"cpu": 30_000})
    parts = generate(8, spacing_mm=6)
    assert np.array_equal(whole.label_map.labels, parts.label_map.labels)
    assert np.allclose(whole.volume.values, parts.volume.values, atol=0.5)


def test_voxel_size_moves_no_landmark_and_no_true_value():
    coarse, fine = generate(21, spacing_mm=6, clean=True), generate(21, spacing_mm=4, clean=True)
    assert coarse.truth.to_json() == fine.truth.to_json()


def test_slices_run_both_ways():
    up = {
        bool(generate(s, spacing_mm=9, field_of_view="cervicothoracic").volume.grid.affine[2, 0] > 0)
        for s in range(8)
    }
    assert up == {True, False}


@pytest.mark.parametrize(
    ("field_of_view", "there", "absent"),
    [
        ("whole", {"S1", "heads", "L5", "C7"}, set()),
        ("thoracolumbar", {"T11"}, {"heads", "S1"}),
        ("lumbopelvic", {"S1", "heads", "L5"}, {"C7", "T1"}),
        ("cervicothoracic", {"T2"}, {"S1", "heads", "L5"}),
    ],
)
def test_a_field_of_view_shows_its_part_and_reports_nothing_outside(
    field_of_view: str, there: set[str], absent: set[str]
):
    phantom = generate(2, spacing_mm=5, field_of_view=field_of_view, clean=True)  # type: ignore[arg-type]
    spine = phantom.landmarks
    seen = {v.level for v in spine.vertebrae} | ({"S1"} if spine.s1 else set())
    seen |= {"heads"} if len(spine.heads) == 2 else set()
    assert there <= seen
    assert not absent & seen
    keys = {p.key for p in phantom.truth.parameters}
    assert ("PI" in keys) == ({"S1", "heads"} <= seen)
    assert ("SVA" in keys) == ({"S1", "C7"} <= seen)


def test_random_contrast_keeps_the_labels_and_changes_the_greys():
    cbct, random = (generate(5, spacing_mm=6, painting=p) for p in ("cbct", "random"))  # type: ignore[arg-type]
    shared = cbct.label_map.labels.shape == random.label_map.labels.shape
    assert shared
    assert not np.allclose(cbct.volume.values, random.volume.values, atol=50)


def test_nothing_is_labelled_outside_the_reconstructed_cylinder():
    """A mask where there is no image would teach a network to invent bone."""
    for seed in range(40):
        phantom = generate(seed, spacing_mm=8)
        corner = phantom.volume.values[:, 0, 0]
        if np.ptp(corner) == 0:
            cut = phantom.volume.values == corner[0]
            assert cut.mean() > 0.05
            assert not phantom.label_map.labels[cut].any()
            return
    pytest.fail("no seed of 40 was truncated: the draw no longer cuts cylinders")


def test_the_number_of_threads_does_not_change_the_labels():
    threads = torch.get_num_threads()
    try:
        found = []
        for n in (1, 2):
            torch.set_num_threads(n)
            found.append(generate(6, spacing_mm=5))
    finally:
        torch.set_num_threads(threads)
    assert np.array_equal(found[0].label_map.labels, found[1].label_map.labels)
    assert found[0].volume.values == pytest.approx(found[1].volume.values, abs=0.01)
