from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from spine_node.imaging.affine import lps_from_ras
from spine_node.imaging.volume import Grid, LabelMap

AFFINE = np.array([[0.0, 0.0, -0.5, 40.0], [0.0, 0.7, 0.0, -90.0], [1.5, 0.0, 0.0, 300.0], [0, 0, 0, 1]])


def test_index_order_is_array_order() -> None:
    """First axis is slices here: one step along it moves by 1.5 mm upwards."""
    grid = Grid((4, 5, 6), AFFINE)
    assert grid.to_mm([1, 0, 0]) - grid.to_mm([0, 0, 0]) == pytest.approx([0, 0, 1.5])
    assert grid.spacing_mm == pytest.approx([1.5, 0.7, 0.5])


@settings(deadline=None)
@given(st.tuples(*[st.floats(-50, 50)] * 3))
def test_indices_come_back(index: tuple[float, ...]) -> None:
    grid = Grid((4, 5, 6), AFFINE)
    assert grid.to_index(grid.to_mm(index)) == pytest.approx(index, abs=1e-9)


def test_a_singular_affine_is_refused() -> None:
    with pytest.raises(ValueError, match="singular"):
        Grid((2, 2, 2), np.diag([1.0, 1.0, 0.0, 1.0]))


def test_a_grid_does_not_change_when_its_affine_does() -> None:
    affine = AFFINE.copy()
    grid = Grid((4, 5, 6), affine)
    affine[0, 3] = 0
    assert grid.to_mm([0, 0, 0])[0] == 40
    with pytest.raises(ValueError, match="read-only"):
        grid.affine[0, 3] = 0


def test_half_a_voxel_is_another_grid() -> None:
    moved = AFFINE.copy()
    moved[2, 3] += 0.75
    assert not Grid((4, 5, 6), AFFINE).matches(Grid((4, 5, 6), moved))


def test_labels_are_uint8_of_the_grids_shape() -> None:
    with pytest.raises(ValueError, match="uint8"):
        LabelMap(Grid((4, 5, 6), AFFINE), np.zeros((4, 5, 6), np.int16))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="shape"):
        LabelMap(Grid((4, 5, 6), AFFINE), np.zeros((6, 5, 4), np.uint8))


def test_right_and_anterior_of_nifti_are_minus_left_and_posterior() -> None:
    """One way only: there and back is the identity whichever way it was written."""
    ras = np.eye(4)
    ras[:3, 3] = (10, 20, 30)
    lps = lps_from_ras(ras)
    assert lps[:3, 3] == pytest.approx([-10, -20, 30])
    assert lps[:3, 0] == pytest.approx([-1, 0, 0])


@pytest.mark.parametrize("columns", [24, 29])
def test_where_structures_are_is_found_as_scipy_finds_it(columns: int) -> None:
    labels = np.zeros((9, 17, columns), np.uint8)
    assert dict(LabelMap(Grid(labels.shape, np.eye(4)), labels).boxes) == {}
    labels[2:5, 3:4, 9:20], labels[4:9, 0:17, 23], labels[7, 8, 10] = 3, 31, 3
    label_map = LabelMap(Grid(labels.shape, np.eye(4)), labels)
    expected = {v: box for v, box in enumerate(ndimage.find_objects(labels), start=1) if box is not None}
    assert dict(label_map.boxes) == expected
    assert list(label_map.boxes) == sorted(expected)
