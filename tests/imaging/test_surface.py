from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from spine_node.imaging.components import Blob, boxes, cut_out
from spine_node.imaging.surface import column_crossings, field_of, surface_points
from spine_node.imaging.volume import Grid, LabelMap

CENTRE, RADIUS = np.array([3.3, -7.1, 120.4]), 21.0


def voxel_sphere(spacing: tuple[float, float, float], turn: tuple[float, float, float]) -> Blob:
    axes = Rotation.from_rotvec(turn).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = axes * spacing
    affine[:3, 3] = CENTRE - axes @ np.full(3, 27.3)
    shape = tuple(int(54 / s) for s in spacing)
    grid = Grid(shape, affine)  # type: ignore[arg-type]
    points = grid.to_mm(np.moveaxis(np.indices(grid.shape), 0, -1))
    labels = (np.linalg.norm(points - CENTRE, axis=-1) < RADIUS).astype(np.uint8)
    return cut_out(LabelMap(grid, labels), 1, boxes(LabelMap(grid, labels))[1])


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.6, 0.6, 2.0), (1.5, 1.2, 0.9)])
def test_a_sphere_keeps_its_radius_between_the_voxels(spacing: tuple[float, float, float]) -> None:
    """Stairs of up to 2 mm, a mean radius right to 0.1 mm and single points to a third of a voxel."""
    points, at_edge = surface_points(voxel_sphere(spacing, (0.2, 0.4, -0.1)))
    distance = np.linalg.norm(points - CENTRE, axis=1) - RADIUS
    assert not at_edge.any()
    assert abs(distance.mean()) < 0.1
    assert distance.std() < 0.35 * max(spacing)


def test_surface_points_lie_on_the_right_axes() -> None:
    """The extent along each patient axis is the sphere's: axes swapped would show with such spacing."""
    points, _ = surface_points(voxel_sphere((0.6, 1.1, 2.0), (0.0, 0.0, 0.0)))
    assert points.mean(axis=0) == pytest.approx(CENTRE, abs=0.15)
    assert np.ptp(points, axis=0) == pytest.approx([2 * RADIUS] * 3, abs=1.0)


def test_columns_enter_and_leave_where_the_sphere_is() -> None:
    blob = voxel_sphere((1.0, 1.0, 1.0), (0.3, 0.1, 0.5))
    up = np.array([0.0, 0.6, 0.8])
    base = CENTRE + np.array([[0.0, 0, 0], [8.0, 0, 0], [60.0, 0, 0]])
    low, high = column_crossings(field_of(blob), base, up, np.arange(-26, 26.1, 0.5))
    half = np.sqrt(RADIUS**2 - 8.0**2)
    assert low[:2] == pytest.approx([-RADIUS, -half], abs=0.4)
    assert high[:2] == pytest.approx([RADIUS, half], abs=0.4)
    assert np.isnan([low[2], high[2]]).all()


def test_a_structure_that_runs_out_of_the_volume_says_so() -> None:
    labels = np.zeros((20, 20, 20), np.uint8)
    labels[5:15, 5:15, 10:] = 1
    label_map = LabelMap(Grid((20, 20, 20), np.eye(4)), labels)
    points, at_edge = surface_points(cut_out(label_map, 1, boxes(label_map)[1]))
    assert (points[at_edge][:, 2] > 19).all()
    assert (points[~at_edge][:, 2] <= 19).all()
    assert at_edge.sum() >= 96  # ten by ten columns, the corners rounded by smoothing


@pytest.mark.parametrize("turn", [(0.0, 0.0, 0.0), (0.3, -0.5, 0.2)])
def test_columns_passed_over_in_blocks_end_where_all_their_samples_say(
    turn: tuple[float, float, float],
) -> None:
    """Also those that only graze it, miss it, or begin and end inside it."""
    blob = voxel_sphere((0.7, 1.2, 1.9), turn)
    field = field_of(blob)
    rng = np.random.default_rng(5)
    up = Rotation.from_rotvec(rng.normal(size=3)).apply([0.0, 0.0, 1.0])
    base = CENTRE + rng.uniform(-1.2 * RADIUS, 1.2 * RADIUS, size=(400, 3))
    heights = np.arange(-30.0, 30.0, 0.31)
    found = column_crossings(field, base, up, heights)
    # the definition, sample by sample
    values = field.at(base[:, None, :] + heights[None, :, None] * up)
    values[:, 0] = values[:, -1] = 0.0
    inside = values >= 0.5
    for way, ends in ((1, found[0]), (-1, found[1])):
        for column, end in zip(inside, ends, strict=True):
            if not column.any():
                assert np.isnan(end)
                continue
            at = np.flatnonzero(column)[0 if way > 0 else -1]
            low, high = sorted((heights[at], heights[at - way]))
            assert low - 1e-6 <= end <= high + 1e-6
