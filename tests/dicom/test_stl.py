"""Surfaces are closed, the right size and in the right place, for any voxel shape."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from spine_node.dicom.stl import meshes, write_stl
from spine_node.imaging.volume import Grid, LabelMap
from tests.dicom.small_series import grid_of

TURN = Rotation.from_euler("xyz", (15, -25, 40), degrees=True).as_matrix()
GRIDS = {
    "isotropic": grid_of(spacing=(1.0, 1.0, 1.0), shape=(60, 60, 60)),
    "thick slices": grid_of(spacing=(3.0, 0.9, 0.9), shape=(24, 60, 60)),
    "oblique": grid_of(TURN[:, 0], TURN[:, 1], spacing=(1.2, 1.0, 0.8), shape=(50, 60, 70)),
    "mirrored": grid_of((-1, 0, 0), (0, 1, 0), spacing=(1.0, 1.0, 1.0), shape=(60, 60, 60)),
}


def ball(grid: Grid, radius_mm: float = 20.0, value: int = 31) -> LabelMap:
    index = np.stack(np.indices(grid.shape), axis=-1)
    distance = np.linalg.norm(grid.to_mm(index) - grid.centre_mm, axis=-1)
    return LabelMap(grid, np.where(distance <= radius_mm, value, 0).astype(np.uint8))


@pytest.mark.parametrize("name", list(GRIDS))
def test_a_femoral_head_keeps_its_size_and_place(name: str) -> None:
    label_map = ball(GRIDS[name])
    mesh = meshes(label_map)["femoral_head_left"]
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    labelled = label_map.grid.voxel_mm3 * np.count_nonzero(label_map.labels)
    assert mesh.volume == pytest.approx(labelled, rel=0.02)
    np.testing.assert_allclose(mesh.center_mass, label_map.grid.centre_mm, atol=0.1)


def test_a_surface_is_smooth_between_voxels() -> None:
    """No vertex further than half a voxel from the true sphere: no staircase to print."""
    grid = GRIDS["isotropic"]
    mesh = meshes(ball(grid))["femoral_head_left"]
    distance = np.linalg.norm(mesh.vertices - grid.centre_mm, axis=1)
    assert np.abs(distance - 20).max() < 0.5


def test_body_and_posterior_elements_are_one_surface(tmp_path: Path) -> None:
    grid = GRIDS["isotropic"]
    labels = np.zeros(grid.shape, dtype=np.uint8)
    labels[20:40, 10:30, 10:40] = 20
    labels[25:35, 30:50, 20:30] = 120
    mesh = meshes(LabelMap(grid, labels))["L1"]
    assert mesh.body_count == 1
    assert mesh.volume == pytest.approx(np.count_nonzero(labels), rel=0.02)


def test_structures_at_the_border_are_closed() -> None:
    grid = GRIDS["isotropic"]
    labels = np.zeros(grid.shape, dtype=np.uint8)
    labels[:12, :20, :] = 26
    mesh = meshes(LabelMap(grid, labels))["sacrum"]
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(12 * 20 * 60, rel=0.02)


def test_islands_and_specks_are_left_out() -> None:
    grid = GRIDS["isotropic"]
    labels = ball(grid).labels.copy()
    labels[2:5, 2:5, 2:5] = 31
    labels[50, 50, 50] = 32
    found = meshes(LabelMap(grid, labels))
    assert list(found) == ["femoral_head_left"]
    assert found["femoral_head_left"].body_count == 1


def test_only_the_wanted_structures_are_made() -> None:
    labels = ball(GRIDS["isotropic"]).labels.copy()
    labels[:5, :5, :5] = 20
    label_map = LabelMap(GRIDS["isotropic"], labels)
    assert list(meshes(label_map)) == ["L1", "femoral_head_left"]
    assert list(meshes(label_map, ["L1"])) == ["L1"]


def test_files_are_named_after_structures_and_hold_the_same_surface(tmp_path: Path) -> None:
    label_map = ball(GRIDS["oblique"])
    (path,) = write_stl(label_map, tmp_path / "stl")
    assert path.name == "femoral_head_left.stl"
    read = trimesh.load(path)
    assert read.is_watertight
    np.testing.assert_allclose(read.center_mass, label_map.grid.centre_mm, atol=0.1)


def test_the_same_labels_give_the_same_file(tmp_path: Path) -> None:
    (one,), (two,) = (write_stl(ball(GRIDS["oblique"]), tmp_path / n) for n in ("a", "b"))
    assert one.read_bytes() == two.read_bytes()
