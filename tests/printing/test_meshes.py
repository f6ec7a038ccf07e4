"""Surfaces are closed, the right size and in the right place, for any voxel shape."""

from __future__ import annotations

import io

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial.transform import Rotation

from spine_node.imaging.binary_stl import binary_stl
from spine_node.imaging.volume import Grid, LabelMap
from spine_node.phantom.order import Order, templates_in
from spine_node.printing.exactness import exactness
from spine_node.printing.meshes import default_tolerance_mm, meshes
from tests.dicom.small_series import grid_of
from tests.printing.crossings import crossings

TURN = Rotation.from_euler("xyz", (15, -25, 40), degrees=True).as_matrix()
GRIDS = {
    "isotropic": grid_of(spacing=(1.0, 1.0, 1.0), shape=(60, 60, 60)),
    "thick slices": grid_of(spacing=(1.0, 0.3, 0.3), shape=(24, 76, 76)),
    "oblique": grid_of(TURN[:, 0], TURN[:, 1], spacing=(1.2, 1.0, 0.8), shape=(50, 60, 70)),
    "mirrored": grid_of((-1, 0, 0), (0, 1, 0), spacing=(1.0, 1.0, 1.0), shape=(60, 60, 60)),
}
LEFT_HANDED = Grid((60, 60, 60), np.diag([-1.0, 1.0, 1.0, 1.0]))


def ball(grid: Grid, radius_mm: float = 20.0, value: int = 31) -> LabelMap:
    radius_mm = min(radius_mm, 0.45 * float((grid.spacing_mm * grid.shape).min()))
    index = np.stack(np.indices(grid.shape), axis=-1)
    distance = np.linalg.norm(grid.to_mm(index) - grid.centre_mm, axis=-1)
    return LabelMap(grid, np.where(distance <= radius_mm, value, 0).astype(np.uint8))


def labelled_mm3(label_map: LabelMap) -> float:
    return label_map.grid.voxel_mm3 * np.count_nonzero(label_map.labels)


def read_back(*parts: trimesh.Trimesh) -> trimesh.Trimesh:
    """What a program sees in a file, where triangles know nothing of each other."""
    stl = binary_stl(np.concatenate([np.asarray(mesh.triangles) for mesh in parts]))
    return trimesh.load(io.BytesIO(stl), file_type="stl")


def assert_exact(label_map: LabelMap, name: str, mesh: trimesh.Trimesh) -> None:
    found = exactness(label_map, name, mesh)
    half_mm = float(label_map.grid.spacing_mm.max()) / 2
    assert found.outside_mm <= half_mm + 1e-4
    assert found.missed_mm <= half_mm + 1e-4
    assert found.volume_mm3 == pytest.approx(found.labelled_mm3, rel=0.01)


@pytest.fixture(scope="module")
def bones() -> tuple[LabelMap, dict[str, trimesh.Trimesh]]:
    """A thoracolumbar phantom's vertebrae: laminae, pars, spinous and transverse processes."""
    order = Order(
        spacing_mm=2.0, field_of_view="lumbopelvic", painting="cbct", clean=True, population="standing",
        PI_deg=None, curve_deg=None, curve_side="right", curve_apex="T8",
        templates=templates_in(None), device="cpu",
    )  # fmt: skip
    label_map = order.make(3).label_map
    return label_map, meshes(label_map)


@pytest.mark.parametrize("name", [*GRIDS, "left-handed"])
def test_a_femoral_head_keeps_its_size_and_place(name: str) -> None:
    label_map = ball(LEFT_HANDED if name == "left-handed" else GRIDS[name])
    mesh = meshes(label_map)["femoral_head_left"]
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert mesh.volume == pytest.approx(labelled_mm3(label_map), rel=0.002)
    np.testing.assert_allclose(mesh.center_mass, label_map.grid.centre_mm, atol=0.05)
    assert_exact(label_map, "femoral_head_left", mesh)


def test_a_surface_is_smooth_between_voxels() -> None:
    """No vertex further than half a voxel from the true sphere: no staircase to print."""
    grid = GRIDS["isotropic"]
    mesh = meshes(ball(grid))["femoral_head_left"]
    distance = np.linalg.norm(mesh.vertices - grid.centre_mm, axis=1)
    assert np.abs(distance - 20).max() < 0.5


def test_every_bone_of_a_spine_is_exact(bones: tuple[LabelMap, dict[str, trimesh.Trimesh]]) -> None:
    """At 2 mm laminae are one or two voxels thick: none is lost, none is torn, none is closed over."""
    label_map, found = bones
    assert {"T12", "L1", "L5", "sacrum", "hip_left", "femoral_head_right"} <= set(found)
    for name, mesh in found.items():
        assert mesh.is_watertight, name
        assert mesh.is_winding_consistent, name
        assert_exact(label_map, name, mesh)


def test_no_bone_crosses_itself(bones: tuple[LabelMap, dict[str, trimesh.Trimesh]]) -> None:
    """What is closed may still pass through itself; a slicer then fills or empties what it should not."""
    _, found = bones
    for name in ("T12", "L3", "sacrum", "femoral_head_left"):
        assert crossings(found[name]) == 0, name
    tangled = found["L3"].copy()
    tangled.vertices[100] += 12.0
    assert crossings(tangled) > 0


def test_all_bones_in_one_file_stay_closed(bones: tuple[LabelMap, dict[str, trimesh.Trimesh]]) -> None:
    """STL has no names and no topology: shells in contact must not be welded when it is read."""
    _, found = bones
    whole = read_back(*found.values())
    assert whole.is_watertight
    assert whole.is_winding_consistent
    assert whole.body_count == sum(mesh.body_count for mesh in found.values())
    assert whole.volume == pytest.approx(sum(mesh.volume for mesh in found.values()), rel=1e-5)


def test_blocks_that_share_a_flat_face_stay_two_shells() -> None:
    """Both surfaces come from the same voxel faces and would have the same vertices there."""
    labels = np.zeros(GRIDS["isotropic"].shape, dtype=np.uint8)
    labels[10:30, 10:40, 10:40] = 20
    labels[30:50, 10:40, 10:40] = 21
    found = meshes(LabelMap(GRIDS["isotropic"], labels))
    whole = read_back(*found.values())
    assert whole.is_watertight
    assert whole.body_count == 2


def test_a_coarser_tolerance_gives_fewer_triangles() -> None:
    label_map = ball(GRIDS["isotropic"])
    found = [meshes(label_map, tolerance_mm=mm)["femoral_head_left"] for mm in (0.0, 0.02, 0.1, 0.4)]
    assert [mesh.metadata["tolerance_mm"] for mesh in found] == [0.0, 0.02, 0.1, 0.4]
    counts = [len(mesh.faces) for mesh in found]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] < counts[0] / 8


@pytest.mark.parametrize(
    ("spacing_mm", "expected_mm"), [(1.0, 0.1), (0.8, 0.1), (0.5, 0.1), (0.3, 0.06), (3.0, 0.3)]
)
def test_the_default_tolerance_is_no_finer_than_a_printer(spacing_mm: float, expected_mm: float) -> None:
    grid = grid_of(spacing=(2 * spacing_mm, spacing_mm, spacing_mm))
    assert default_tolerance_mm(grid) == pytest.approx(expected_mm)


def blobs(seed: int, coarse: float) -> LabelMap:
    """Three structures that fill space between them, cut off at the border."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).random((3, 14, 15, 16)), (0, *[coarse] * 3))
    labels = np.array([20, 21, 22], dtype=np.uint8)[noise.argmax(axis=0)]
    labels[noise.max(axis=0) < np.quantile(noise.max(axis=0), 0.4)] = 0
    return LabelMap(grid_of(TURN[:, 0], TURN[:, 1], spacing=(1.0, 0.3, 0.5), shape=labels.shape), labels)


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.4, 0.7, 1.5]))
def test_random_neighbours_are_closed_and_near_their_voxels(seed: int, coarse: float) -> None:
    """Crumbs, holes, edges that touch: alone and all in one file."""
    label_map = blobs(seed, coarse)
    found = meshes(label_map)
    half_mm = float(label_map.grid.spacing_mm.max()) / 2
    for name, mesh in found.items():
        assert read_back(mesh).is_watertight
        assert read_back(mesh).is_winding_consistent
        assert mesh.volume > 0
        assert exactness(label_map, name, mesh).largest_mm <= half_mm + 1e-4
    assert read_back(*found.values()).is_watertight


def test_body_and_posterior_elements_are_one_surface() -> None:
    grid = GRIDS["isotropic"]
    labels = np.zeros(grid.shape, dtype=np.uint8)
    labels[20:40, 10:30, 10:40] = 20
    labels[25:35, 30:50, 20:30] = 120
    mesh = meshes(LabelMap(grid, labels))["L1"]
    assert mesh.body_count == 1
    assert mesh.volume == pytest.approx(np.count_nonzero(labels), rel=0.01)


def test_structures_at_the_border_are_closed() -> None:
    grid = GRIDS["isotropic"]
    labels = np.zeros(grid.shape, dtype=np.uint8)
    labels[:12, :20, :] = 26
    mesh = meshes(LabelMap(grid, labels))["sacrum"]
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(12 * 20 * 60, rel=0.01)


def test_a_hollow_stays_hollow() -> None:
    label_map = ball(GRIDS["isotropic"])
    label_map.labels[27:33, 27:33, 27:33] = 0
    mesh = meshes(label_map)["femoral_head_left"]
    assert mesh.body_count == 2
    assert mesh.volume == pytest.approx(labelled_mm3(label_map), rel=0.002)


def test_pieces_are_kept_and_specks_are_left_out() -> None:
    """A broken-off process of a hundredth of the bone is bone; a few stray voxels are not."""
    grid = GRIDS["isotropic"]
    labels = ball(grid).labels.copy()
    labels[2:9, 2:9, 2:9] = 31
    labels[55:57, 55:58, 55:58] = 31
    labels[50, 3, 50] = 32
    found = meshes(LabelMap(grid, labels))
    assert list(found) == ["femoral_head_left"]
    assert found["femoral_head_left"].body_count == 2
    assert found["femoral_head_left"].volume == pytest.approx(np.count_nonzero(labels == 31), rel=0.01)


def test_only_the_wanted_structures_are_made() -> None:
    labels = ball(GRIDS["isotropic"]).labels.copy()
    labels[:5, :5, :5] = 20
    label_map = LabelMap(GRIDS["isotropic"], labels)
    assert list(meshes(label_map)) == ["L1", "femoral_head_left"]
    assert list(meshes(label_map, ["L1"])) == ["L1"]


def test_no_labels_no_surfaces() -> None:
    grid = GRIDS["isotropic"]
    assert meshes(LabelMap(grid, np.zeros(grid.shape, dtype=np.uint8))) == {}
