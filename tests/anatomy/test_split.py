"""Whole vertebrae are parted where their phantoms were put together."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from spine_node.anatomy.levels import LEVEL_OF_VALUE, POSTERIOR_OFFSET, VERTEBRA_VALUES
from spine_node.anatomy.split import split
from spine_node.imaging.volume import Grid, LabelMap
from spine_node.phantom.generate import generate
from spine_node.phantom.pose import standing_spec
from spine_node.phantom.profiles import Curve

LEVELS_3MM = ("T7", "T8", "T9", "T10", "T11", "T12", "L1", "L2", "L3", "L4", "L5")
"""Those of which every part is several voxels thick at 3 mm."""


@pytest.fixture(scope="module")
def truth() -> LabelMap:
    return generate(18, spacing_mm=3.0, clean=True).label_map


@pytest.fixture(scope="module")
def parted(truth: LabelMap) -> LabelMap:
    return split(whole(truth))


def whole(label_map: LabelMap, levels: tuple[str, ...] = LEVELS_3MM) -> LabelMap:
    """Each of these vertebrae in one value, and nothing else."""
    values = [VERTEBRA_VALUES[level] for level in levels]
    merged = np.where(
        label_map.labels > POSTERIOR_OFFSET, label_map.labels - POSTERIOR_OFFSET, label_map.labels
    )
    return LabelMap(label_map.grid, np.where(np.isin(merged, values), merged, 0).astype(np.uint8))


def body_dice(found: LabelMap, truth: LabelMap) -> dict[str, float]:
    def dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
        return 2 * float((a & b).sum()) / float(a.sum() + b.sum())

    seen = sorted(set(np.unique(found.labels).tolist()) & set(LEVEL_OF_VALUE))
    return {LEVEL_OF_VALUE[v]: dice(found.labels == v, truth.labels == v) for v in seen}


def resampled(label_map: LabelMap, grid: Grid) -> LabelMap:
    """Nearest voxel."""
    places = grid.to_mm(np.argwhere(np.ones(grid.shape, bool)))
    index = np.rint(label_map.grid.to_index(places)).astype(int)
    inside = ((index >= 0) & (index < label_map.grid.shape)).all(axis=1)
    labels = np.zeros(len(index), np.uint8)
    labels[inside] = label_map.labels[tuple(index[inside].T)]
    return LabelMap(grid, labels.reshape(grid.shape))


def cropped(label_map: LabelMap, levels: tuple[str, ...]) -> LabelMap:
    """The part of the volume around these levels."""
    bodies = np.argwhere(np.isin(label_map.labels, [VERTEBRA_VALUES[level] for level in levels]))
    low, high = np.maximum(bodies.min(axis=0) - 14, 0), bodies.max(axis=0) + 28
    affine = np.array(label_map.grid.affine)
    affine[:3, 3] = label_map.grid.to_mm(low)
    labels = label_map.labels[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    return LabelMap(Grid(labels.shape, affine), labels)


def test_bodies_and_arches_come_apart_where_they_were_joined(truth: LabelMap, parted: LabelMap) -> None:
    found = body_dice(parted, truth)
    assert set(found) == set(LEVELS_3MM)
    assert np.mean(list(found.values())) > 0.95
    assert min(found.values()) > 0.90


def test_nothing_is_lost_and_nothing_is_added(truth: LabelMap, parted: LabelMap) -> None:
    assert parted.labels.any()
    assert np.array_equal(whole(parted).labels, whole(truth).labels)


def test_the_whole_neck_comes_apart_too(truth: LabelMap) -> None:
    """Cervical bodies carry their transverse processes at their sides, not behind them."""
    neck = ("C4", "C5", "C6", "T1", "T2", "T3", "T4")
    found = body_dice(split(whole(truth, neck)), truth)
    assert min(found.values()) > 0.85


def test_how_the_array_is_stored_does_not_matter(truth: LabelMap) -> None:
    """The same voxels with axes swapped and flipped, as another scanner would store them."""
    lumbar = cropped(truth, ("L1", "L2", "L3"))
    before = whole(lumbar, ("L1", "L2", "L3"))
    flip = np.eye(4)
    flip[1, 1], flip[1, 3] = -1, before.grid.shape[1] - 1
    affine = (before.grid.affine @ flip)[:, [2, 0, 1, 3]]
    stored = before.labels[:, ::-1, :].transpose(2, 0, 1)
    other = split(LabelMap(Grid(stored.shape, affine), np.ascontiguousarray(stored)))
    back = other.labels.transpose(1, 2, 0)[:, ::-1, :]
    assert (back != split(before).labels).sum() < 0.002 * (before.labels > 0).sum()


def test_an_oblique_grid_does_not_matter(truth: LabelMap) -> None:
    lumbar = cropped(truth, ("L1", "L2", "L3"))
    turn = Rotation.from_euler("xyz", [25, -20, 35], degrees=True).as_matrix()
    shape = (90, 90, 90)
    affine = np.eye(4)
    affine[:3, :3] = turn * 2.5
    affine[:3, 3] = lumbar.grid.centre_mm - turn @ (np.array(shape) - 1) * 2.5 / 2
    turned = resampled(lumbar, Grid(shape, affine))
    found = body_dice(split(whole(turned, ("L1", "L2", "L3"))), turned)
    assert min(found.values()) > 0.93


def test_thick_slices_do_not_matter_much(truth: LabelMap) -> None:
    """1 mm pixels in slices of 4 mm, as in a scan that was made for something else."""
    lumbar = cropped(truth, ("L2", "L3"))
    affine = np.array(lumbar.grid.affine)
    axis = int(np.argmax(np.abs(affine[2, :3])))
    shape = [3 * n for n in lumbar.grid.shape]
    affine[:3, :3] /= 3
    affine[:3, axis] *= 4
    shape[axis] = lumbar.grid.shape[axis] * 3 // 4
    thick = resampled(lumbar, Grid((shape[0], shape[1], shape[2]), affine))
    assert sorted(thick.grid.spacing_mm.round(6)) == [1, 1, 4]
    found = body_dice(split(whole(thick, ("L2", "L3"))), thick)
    assert min(found.values()) > 0.93


def test_a_cut_arch_is_still_told_from_its_body(truth: LabelMap) -> None:
    """After a laminectomy the canal is open behind."""
    lumbar = cropped(truth, ("L1", "L2", "L3", "L4"))
    behind = np.argwhere(lumbar.labels == VERTEBRA_VALUES["L2"] + POSTERIOR_OFFSET)
    mm = lumbar.grid.to_mm(behind)
    middle = lumbar.grid.to_mm(np.argwhere(lumbar.labels == VERTEBRA_VALUES["L2"])).mean(axis=0)
    gone = behind[(np.abs(mm[:, 0] - middle[0]) < 9) & (mm[:, 1] > middle[1] + 25)]
    assert len(gone) > 50
    lumbar.labels[tuple(gone.T)] = 0
    found = body_dice(split(whole(lumbar, ("L1", "L2", "L3", "L4"))), lumbar)
    assert found["L2"] > 0.93


def test_a_curve_of_sixty_degrees_does_not_matter() -> None:
    """With tilts of thirty degrees and vertebrae turned by as many."""
    spec = standing_spec(curves=(Curve(apex=9.0, half_length=4.0, angle_deg=60.0, rotation_ratio=0.5),))
    bent = generate(18, spacing_mm=3.0, clean=True, spec=spec).label_map
    found = body_dice(split(whole(bent)), bent)
    assert np.mean(list(found.values())) > 0.95
    assert min(found.values()) > 0.88


def test_what_is_parted_already_stays_as_it_is(truth: LabelMap) -> None:
    assert split(truth) is truth


def test_bodies_alone_stay_bodies(truth: LabelMap) -> None:
    """Some label maps hold nothing but bodies: there is no arch to cut off."""
    bodies = LabelMap(truth.grid, np.where(truth.labels < 26, truth.labels, 0).astype(np.uint8))
    assert split(bodies) is bodies


def test_the_atlas_has_no_body_to_part() -> None:
    upper = generate(5, spacing_mm=3.0, field_of_view="cervicothoracic").label_map
    levels = ("C1", "C2", "C3", "C4", "C5")
    after = split(whole(upper, levels))
    values = set(np.unique(after.labels).tolist())
    assert 1 in values
    assert 101 not in values
    assert body_dice(after, upper)["C2"] > 0.7
