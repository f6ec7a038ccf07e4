"""Labels that touch where bones should be apart are said; metal beside bone is said."""

from __future__ import annotations

import numpy as np

from spine_node.anatomy.contacts import touching
from spine_node.anatomy.grey import body_mean, metal
from spine_node.anatomy.levels import VERTEBRA_VALUES
from spine_node.imaging.components import boxes, cut_out
from spine_node.imaging.volume import Grid, LabelMap, Volume

L3, L4 = VERTEBRA_VALUES["L3"], VERTEBRA_VALUES["L4"]


def two_blocks(gap: int, spacing_mm: float = 2.0) -> LabelMap:
    """L3 over L4, each 30 x 30 x 24 mm, so many voxels apart."""
    labels = np.zeros((30, 20, 20), np.uint8)
    labels[16 : 16 + 12, 2:17, 2:17] = L3
    labels[16 - gap - 12 : 16 - gap, 2:17, 2:17] = L4
    affine = np.array([[0, 0, spacing_mm, 0], [0, spacing_mm, 0, 0], [spacing_mm, 0, 0, 0], [0, 0, 0, 1.0]])
    return LabelMap(Grid(labels.shape, affine), labels)  # type: ignore[arg-type]


def image_of(label_map: LabelMap) -> np.ndarray:
    """Air, soft tissue and bone with some texture."""
    rng = np.random.default_rng(0)
    values = np.full(label_map.grid.shape, 40.0)
    values[:, :2] = -1000
    values[label_map.labels > 0] = 250
    return values + rng.normal(0, 30, values.shape)


def test_bodies_that_share_a_face_are_said_with_its_area() -> None:
    label_map = two_blocks(0)
    said = touching(label_map, boxes(label_map))
    assert len(said) == 1
    assert said[0].startswith("L3 body and L4 body touch over 900 mm2")


def test_bodies_a_voxel_apart_do_not_touch() -> None:
    label_map = two_blocks(1)
    assert touching(label_map, boxes(label_map)) == []


def test_a_screw_is_seen_in_the_vertebra_that_holds_it_and_in_no_other() -> None:
    label_map = two_blocks(3)
    values = image_of(label_map)
    where = np.argwhere(label_map.labels == L4)
    low = where.min(axis=0)
    values[low[0] + 5 : low[0] + 8, low[1] : low[1] + 12, low[2] + 5 : low[2] + 8] = 4000
    said = metal(Volume(label_map.grid, values), label_map, boxes(label_map))
    assert len(said) == 1
    assert said[0].startswith("L4: 4 % of its voxels are as bright as metal")


def test_dense_cortex_is_no_metal() -> None:
    label_map = two_blocks(3)
    values = image_of(label_map)
    where = np.argwhere(label_map.labels == L4)
    values[tuple(where[where[:, 0] == where[:, 0].min()].T)] = 1200
    assert metal(Volume(label_map.grid, values), label_map, boxes(label_map)) == []


def test_the_mean_grey_value_leaves_the_shell_out() -> None:
    label_map = two_blocks(3)
    values = np.where(label_map.labels == L4, 300.0, 0.0)
    blob = cut_out(label_map, L4, boxes(label_map)[L4])
    values[tuple((np.argwhere(label_map.labels == L4)[::7]).T)] += 0.0
    shell = label_map.labels == L4
    inner = np.zeros_like(shell)
    inner[3:-3, 4:15, 4:15] = shell[3:-3, 4:15, 4:15]
    values[shell & ~inner & (np.indices(shell.shape)[1] == 2)] = 2000
    assert body_mean(Volume(label_map.grid, values), blob) == 300.0
