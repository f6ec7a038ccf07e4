from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from spine_node.imaging.components import MARGIN, boxes, cut_out
from spine_node.imaging.volume import Grid, LabelMap


def tilted_grid(shape: tuple[int, int, int]) -> Grid:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_rotvec([0.3, -0.5, 0.2]).as_matrix() * (0.7, 1.1, 2.0)
    affine[:3, 3] = (-40, 12, 900)
    return Grid(shape, affine)


def two_pieces() -> LabelMap:
    labels = np.zeros((30, 40, 50), np.uint8)
    labels[10:20, 10:18, 12:30] = 5
    labels[25:27, 30:33, 40:45] = 5
    labels[2:4, 2:4, 2:4] = 7
    return LabelMap(tilted_grid(labels.shape), labels)


def test_only_values_that_occur_have_a_box() -> None:
    assert set(boxes(two_pieces())) == {5, 7}


def test_the_largest_piece_is_kept_and_the_rest_counted() -> None:
    label_map = two_pieces()
    blob = cut_out(label_map, 5, boxes(label_map)[5])
    assert blob.mask.sum() == 10 * 8 * 18
    assert blob.dropped == pytest.approx(30 / 1470)


def test_a_second_piece_is_kept_when_it_is_large_enough() -> None:
    label_map = two_pieces()
    assert cut_out(label_map, 5, boxes(label_map)[5], keep_fraction=0.01).dropped == 0


def test_a_cut_out_knows_where_it_was() -> None:
    """Asymmetric spacing and a turned grid: voxel centres of the cut-out are those of the volume."""
    label_map = two_pieces()
    blob = cut_out(label_map, 5, boxes(label_map)[5])
    expected = label_map.grid.to_mm(np.argwhere(label_map.labels[:24] == 5))
    assert blob.points_mm == pytest.approx(expected)


def test_volume_is_voxels_times_their_size() -> None:
    label_map = two_pieces()
    assert cut_out(label_map, 5, boxes(label_map)[5]).volume_mm3 == pytest.approx(1440 * 0.7 * 1.1 * 2.0)


def test_touching_the_border_is_an_area() -> None:
    labels = np.zeros((30, 40, 50), np.uint8)
    labels[10:20, 10:18, 35:50] = 5
    label_map = LabelMap(tilted_grid(labels.shape), labels)
    assert cut_out(label_map, 5, boxes(label_map)[5]).edge_area_mm2 == pytest.approx(80 * 0.7 * 1.1)
    inner = two_pieces()
    assert cut_out(inner, 5, boxes(inner)[5]).edge_area_mm2 == 0


def test_a_surface_beyond_the_last_voxel_is_the_end_of_the_data() -> None:
    labels = np.zeros((30, 40, 50), np.uint8)
    labels[10:20, 10:18, 35:50] = 5
    label_map = LabelMap(tilted_grid(labels.shape), labels)
    blob = cut_out(label_map, 5, boxes(label_map)[5])
    last = MARGIN + 14
    assert blob.at_edge(np.array([[8.0, 8.0, last + 0.5], [8.0, 8.0, MARGIN - 0.5]])).tolist() == [
        True,
        False,
    ]


def test_a_far_island_changes_nothing_but_the_count() -> None:
    """A box as large as the volume goes another way, block by block."""
    labels = np.zeros((200, 200, 200), np.uint8)
    labels[40:70, 50:85, 60:82] = 20
    alone = LabelMap(tilted_grid(labels.shape), labels.copy())
    labels[195:199, 195:199, 195:199] = 20
    labels[1:3, 1:3, 1:3] = 20
    island = LabelMap(tilted_grid(labels.shape), labels)
    first, second = (cut_out(m, 20, boxes(m)[20]) for m in (alone, island))
    assert (first.mask == second.mask).all()
    assert first.grid.matches(second.grid)
    assert second.dropped == pytest.approx(72 / (72 + 30 * 35 * 22))


def test_no_voxel_lies_further_out_than_the_ends_of_its_row() -> None:
    """The extent of a structure in any direction is that of these few points."""
    rng = np.random.default_rng(3)
    labels = (rng.random((14, 17, 19)) < 0.5).astype(np.uint8)
    label_map = LabelMap(tilted_grid(labels.shape), labels)
    blob = cut_out(label_map, 1, boxes(label_map)[1])
    assert len(blob.outer_mm) < len(blob.points_mm)
    for direction in rng.normal(size=(20, 3)):
        few, every = blob.outer_mm @ direction, blob.points_mm @ direction
        assert (few.min(), few.max()) == pytest.approx((every.min(), every.max()), abs=1e-9)
