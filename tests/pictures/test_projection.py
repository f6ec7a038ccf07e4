"""Views of an image: sides and places are right whatever way the voxels lie."""

from __future__ import annotations

import numpy as np
import pytest

from spine_node.anatomy.landmarks import FemoralHead, Spine, Vertical
from spine_node.imaging.volume import Grid, LabelMap, Volume
from spine_node.pictures.projection import STRUCTURE_NUMBERS, Axes, Projection, course, project
from spine_node.pictures.shading import from_the_front, from_the_left
from tests.dicom.small_series import grid_of

PLAIN = Axes(*np.eye(3))
ORIENTATIONS = {
    "axial": ((1, 0, 0), (0, 1, 0)),
    "sagittal": ((0, 1, 0), (0, 0, -1)),
    "coronal from behind": ((-1, 0, 0), (0, 0, -1)),
    "oblique": ((0.8, 0.6, 0), (-0.36, 0.48, -0.8)),
}


def pelvis(rows: object = (1, 0, 0), columns: object = (0, 1, 0)) -> tuple[Volume, LabelMap]:
    """L5 above, the left femoral head lower and the right one higher, in LPS whatever the grid is."""
    grid = grid_of(rows, columns, spacing=(3.0, 3.0, 3.0), shape=(70, 70, 70))  # type: ignore[arg-type]
    points = grid.to_mm(np.stack(np.indices(grid.shape), axis=-1)) - grid.centre_mm
    labels = np.zeros(grid.shape, dtype=np.uint8)
    for value, centre, radius in ((24, (0, 0, 50), 20), (31, (50, -10, -40), 15), (32, (-50, -10, -20), 15)):
        labels[np.linalg.norm(points - centre, axis=-1) <= radius] = value
    values = np.where(labels > 0, 1000, 0) + (points[..., 2] / 2).astype(int)
    return Volume(grid, values.astype(np.int16)), LabelMap(grid, labels)


def seen(volume: Volume, label_map: LabelMap, horizontal: int, half_mm: float) -> Projection:
    x, y, z = volume.grid.centre_mm
    middle = (x, y)[horizontal]
    return project(
        volume,
        label_map,
        PLAIN,
        course(label_map, PLAIN),
        horizontal=horizontal,
        extent_mm=(middle - 90, middle + 90, z - 90, z + 90),
        half_thickness_mm=half_mm,
        pixel_mm=1.5,
    )


def found_at(grid: Grid, view: Projection, name: str, horizontal: int) -> np.ndarray:
    """Centre of a structure in a view, mm from the middle of the grid."""
    left, right, bottom, top = view.extent_mm
    row, column = np.argwhere(view.structures == STRUCTURE_NUMBERS[name]).mean(axis=0)
    rows, columns = view.structures.shape
    place = [left + (column + 0.5) * (right - left) / columns, top - (row + 0.5) * (top - bottom) / rows]
    return np.array(place) - grid.centre_mm[[horizontal, 2]]


FRONT = (("L5", (0, 50)), ("femoral_head_left", (50, -40)), ("femoral_head_right", (-50, -20)))


@pytest.mark.parametrize("orientation", list(ORIENTATIONS))
def test_the_frontal_view_has_the_patients_left_on_the_right(orientation: str) -> None:
    volume, label_map = pelvis(*ORIENTATIONS[orientation])
    view = seen(volume, label_map, 0, 18)
    for name, place in FRONT:
        np.testing.assert_allclose(found_at(volume.grid, view, name, 0), place, atol=1.5)


@pytest.mark.parametrize("orientation", list(ORIENTATIONS))
def test_the_side_view_has_anterior_on_the_left(orientation: str) -> None:
    volume, label_map = pelvis(*ORIENTATIONS[orientation])
    view = seen(volume, label_map, 1, 80)
    place = found_at(volume.grid, view, "femoral_head_right", 1)
    np.testing.assert_allclose(place, (-10, -20), atol=1.5)


@pytest.mark.parametrize("orientation", list(ORIENTATIONS))
def test_solid_bones_lie_where_the_image_shows_them(orientation: str) -> None:
    volume, label_map = pelvis(*ORIENTATIONS[orientation])
    spine = course(label_map, PLAIN)
    x, y, z = volume.grid.centre_mm
    front = from_the_front(label_map, PLAIN, (x - 90, x + 90, z - 90, z + 90), spine, 1.5)
    for name, place in FRONT:
        np.testing.assert_allclose(found_at(volume.grid, front, name, 0), place, atol=1.5)
    side = from_the_left(label_map, PLAIN, (y - 90, y + 90, z - 90, z + 90), spine, 1.5)
    np.testing.assert_allclose(found_at(volume.grid, side, "femoral_head_right", 1), (-10, -20), atol=1.5)
    assert STRUCTURE_NUMBERS["femoral_head_left"] not in side.structures


def test_a_nearer_bone_hides_the_one_behind_it() -> None:
    volume, label_map = pelvis()
    labels = label_map.labels.copy()
    points = volume.grid.to_mm(np.stack(np.indices(labels.shape), axis=-1)) - volume.grid.centre_mm
    labels[np.linalg.norm(points - (0, -60, 50), axis=-1) <= 10] = 23  # L4 in front of L5
    hidden = LabelMap(volume.grid, labels)
    x, _, z = volume.grid.centre_mm
    view = from_the_front(hidden, PLAIN, (x - 90, x + 90, z - 90, z + 90), course(hidden, PLAIN), 1.5)
    row, column = round((90 - 50) / 1.5), round(90 / 1.5)
    assert view.structures[row, column] == STRUCTURE_NUMBERS["L4"]
    assert view.structures[row, column + 10] == STRUCTURE_NUMBERS["L5"]


def test_grey_values_are_the_mean_through_the_slab() -> None:
    volume, label_map = pelvis()
    view = seen(volume, label_map, 0, 3)
    assert view.grey is not None
    inside = view.structures == STRUCTURE_NUMBERS["L5"]
    assert np.median(view.grey[inside]) == pytest.approx(1025, abs=5)
    x, _, z = volume.grid.centre_mm
    outside = project(
        volume,
        label_map,
        PLAIN,
        course(label_map, PLAIN),
        horizontal=0,
        extent_mm=(x + 200, x + 220, z, z + 20),
        half_thickness_mm=3,
        pixel_mm=1.5,
    )
    assert outside.grey is not None
    assert np.isnan(outside.grey).all()


def test_a_patient_who_stands_turned_is_seen_from_the_front() -> None:
    """The hip axis says which way the patient faces, where both heads were found."""
    yaw = np.radians(20)
    left = np.array([np.cos(yaw), np.sin(yaw), 0])
    ends = {"left": 50 * left + (0, 0, 9), "right": -50 * left}
    heads = {side: FemoralHead(side, end, 24, 0) for side, end in ends.items()}
    axes = Axes.of(Spine((), None, heads, Vertical()))
    np.testing.assert_allclose(axes.left, left, atol=1e-9)
    np.testing.assert_allclose(axes.posterior, (-np.sin(yaw), np.cos(yaw), 0), atol=1e-9)
    unknown = Axes.of(Spine((), None, {"left": heads["left"]}, Vertical()))
    np.testing.assert_allclose(unknown.left, (1, 0, 0), atol=1e-9)
