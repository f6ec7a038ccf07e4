"""A header that contradicts the anatomy is found out; sides follow the header's geometry."""

import numpy as np
import pytest
from scipy import ndimage

from spine_node.imaging.volume import Grid, LabelMap, Volume
from spine_node.segmentation import inference
from spine_node.segmentation.bearings import doubts
from spine_node.segmentation.canonical import indices_by_slab
from spine_node.segmentation.classes import HEAD, HIP, SACRUM, TISSUE_OF_VALUE
from spine_node.segmentation.inference import BundleSegmenter
from spine_node.segmentation.instances import Instances, find_vertebrae, pelvic_midline
from tests.segmentation.perfect_net import perfect_heads
from tests.segmentation.toy_spine import SPACING_MM, toy_case


@pytest.fixture(scope="module")
def spine():
    _, truth = toy_case(6)
    tissue = TISSUE_OF_VALUE[truth.labels]
    offset = perfect_heads(truth, SPACING_MM).offset.numpy()
    return tissue, find_vertebrae(tissue, offset, SPACING_MM)


def flipped(tissue, vertebrae, axis):
    """The same content in a header that is wrong along one axis, bodies again from the top down."""
    parts, centres = np.flip(vertebrae.parts, axis), vertebrae.centres.copy()
    centres[:, axis] = tissue.shape[axis] - 1 - centres[:, axis]
    if axis == 0:
        count = len(centres)
        parts = np.where(parts > 0, count + 1 - parts, 0)
        centres = centres[::-1]
    return np.flip(tissue, axis), Instances(parts.astype(np.uint8), centres)


def test_a_patient_who_stands_as_the_header_says_raises_no_doubt(spine):
    assert doubts(*spine, SPACING_MM) == ()


def test_arches_in_front_of_the_bodies_are_said(spine):
    (said,) = doubts(*flipped(*spine, 1), SPACING_MM)
    assert "in front of the bodies" in said
    assert "left and right cannot be trusted" in said


def test_a_pelvis_above_the_spine_is_said(spine):
    said = doubts(*flipped(*spine, 0), SPACING_MM)
    assert any("pelvis lies above the spine" in sentence for sentence in said)


def test_a_shoulder_beside_the_top_of_the_spine_is_no_pelvis(spine):
    """The ball of a humerus looks like that of a femur; with a hip bone beside it, it is one."""
    tissue, vertebrae = spine
    chest = np.where(np.isin(tissue, (SACRUM, HIP, HEAD)), 0, tissue).astype(np.uint8)
    chest[-8:-3, 20:25, 2:7] = HEAD
    assert doubts(chest, vertebrae, SPACING_MM) == ()
    chest[-8:-3, 20:25, 8:12] = HIP
    assert any("pelvis lies above the spine" in said for said in doubts(chest, vertebrae, SPACING_MM))


def test_an_image_that_is_mirrored_left_to_right_cannot_be_known(spine):
    assert doubts(*flipped(*spine, 2), SPACING_MM) == ()


@pytest.mark.parametrize(("lean_deg", "said"), [(20, 0), (35, 0), (60, 1), (90, 1)])
def test_a_spine_that_lies_down_in_a_standing_study_is_said(lean_deg, said):
    angle = np.radians(lean_deg)
    way = np.array([-np.cos(angle), np.sin(angle), 0.0])
    centres = 100 + np.arange(6)[:, None] * 10 * way
    empty = np.zeros((4, 4, 4), np.uint8)
    found = doubts(empty, Instances(empty, centres), 3.0)
    assert len(found) == said
    assert all(f"{lean_deg} degrees off the vertical" in sentence for sentence in found)


def test_the_doubt_reaches_the_report(tiny_bundle, monkeypatch):
    """The array is turned, the header is not: a series whose patient position was entered wrongly."""
    volume, truth = toy_case(4)
    wrong = LabelMap(truth.grid, np.flip(truth.labels, 1).copy())
    monkeypatch.setattr(inference, "infer", lambda *_: perfect_heads(wrong, SPACING_MM))
    result = BundleSegmenter(tiny_bundle, device="cpu").segment(
        Volume(volume.grid, np.flip(volume.values, 1))
    )
    assert any("left and right cannot be trusted" in said for said in result.quality)


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("hidden", [(), (SACRUM,)])
def test_one_hip_alone_is_named_by_its_side(spine, side, hidden):
    """Only one half of the pelvis in the field: +x is left, whatever else is missing."""
    tissue, vertebrae = spine
    x = np.arange(tissue.shape[2]) - (tissue.shape[2] - 1) / 2
    half = np.where(np.isin(tissue, (HIP, HEAD)) & (x * side < 0), 0, tissue)
    half = np.where(np.isin(half, hidden), 0, half).astype(np.uint8)
    midline = pelvic_midline(half, vertebrae.centres[-1], SPACING_MM)
    for kind in (HIP, HEAD):
        assert (np.sign(midline.left_of(np.argwhere(half == kind))) == side).all()


@pytest.mark.parametrize("turn_deg", [-25, 25])
def test_a_rotated_pelvis_keeps_its_sides(spine, turn_deg):
    """About the vertical: the left hip comes forward, and stays the left one."""
    tissue, _ = spine
    bones = np.isin(tissue, (HIP, HEAD, SACRUM))
    turned = ndimage.rotate(np.where(bones, tissue, 0), turn_deg, axes=(1, 2), reshape=False, order=0)
    left = ndimage.rotate(
        np.where(bones & (np.indices(tissue.shape)[2] > 34), 1, 0),
        turn_deg,
        axes=(1, 2),
        reshape=False,
        order=0,
    )
    midline = pelvic_midline(turned.astype(np.uint8), None, SPACING_MM)
    where = np.argwhere(np.isin(turned, (HIP, HEAD)))
    assert np.mean((midline.left_of(where) > 0) == (left[tuple(where.T)] == 1)) > 0.99


@pytest.mark.parametrize(
    ("turn_deg", "axis"), [(10, (0, 1)), (20, (0, 2)), (15, (1, 2))], ids=["pitch", "roll", "yaw"]
)
def test_an_oblique_grid_gives_the_same_vertebrae(tiny_bundle, monkeypatch, turn_deg, axis):
    """Slices that are tilted, as with a gantry: names and sides are those of the patient."""
    volume, truth = toy_case(4)
    angle = np.radians(turn_deg)
    tilt = np.eye(4)
    a, b = 2 - axis[0], 2 - axis[1]
    tilt[[a, a, b, b], [a, b, a, b]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
    grid = Grid(truth.grid.shape, tilt @ truth.grid.affine)
    labels = np.zeros(grid.shape, np.uint8)
    values = np.full(grid.shape, -1000.0, np.float32)
    for rows, index in indices_by_slab(grid, truth.grid):
        near = np.rint(index).astype(int)
        valid = ((near >= 0) & (near < np.array(grid.shape))).all(axis=-1)
        at = tuple(np.moveaxis(np.clip(near, 0, np.array(grid.shape) - 1), -1, 0))
        labels[rows] = np.where(valid, truth.labels[at], 0)
        values[rows] = np.where(valid, volume.values[at], -1000)
    tilted = LabelMap(grid, labels)
    monkeypatch.setattr(inference, "infer", lambda *_: perfect_heads(tilted, SPACING_MM))
    found = BundleSegmenter(tiny_bundle, device="cpu").segment(Volume(grid, values)).label_map.labels
    for value in np.unique(labels)[1:]:
        here, there = (grid.to_mm(np.argwhere(x == value).mean(axis=0)) for x in (found, labels))
        assert here == pytest.approx(there, abs=2.0), value
