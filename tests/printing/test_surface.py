"""Any mask gets a closed surface of its own volume, near every one of its voxel faces."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull
from scipy.spatial.transform import Rotation

from spine_node.printing.exactness import face_middles
from spine_node.printing.surface import REACH_VOXELS, smoothed, voxel_faces

Mask = NDArray[np.bool_]

SPECKLED = arrays(np.bool_, (4, 5, 6)).filter(np.any)
"""Voxels that touch by faces, edges and corners in every way, with holes."""


def blob(seed: int, coarse: float) -> Mask:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).random((14, 12, 16)), coarse)
    mask = noise > np.quantile(noise, 0.6)
    return np.asarray(mask)


BLOBS = st.builds(blob, st.integers(0, 2**32 - 1), st.floats(0.3, 2.0))


def surface_of(mask: Mask) -> tuple[trimesh.Trimesh, NDArray[np.float64]]:
    middles, triangles = voxel_faces(mask)
    mesh = trimesh.Trimesh(smoothed(mask, middles, triangles), triangles, process=False)
    return mesh, middles


def at(*slices: slice, shape: tuple[int, int, int] = (12, 12, 12)) -> Mask:
    mask = np.zeros(shape, dtype=bool)
    mask[slices] = True
    return mask


def index_of(side: int) -> NDArray[np.float64]:
    return np.stack(np.indices((side, side, side)), axis=-1) - (side - 1) / 2 + (0.13, 0.27, -0.21)


@settings(max_examples=60, deadline=None)
@given(st.one_of(SPECKLED, BLOBS))
def test_every_mask_gets_a_closed_surface_within_reach_of_its_voxel_faces(mask: Mask) -> None:
    mesh, middles = surface_of(mask)
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert np.linalg.norm(mesh.vertices - middles, axis=1).max() <= REACH_VOXELS + 1e-9


@settings(max_examples=40, deadline=None)
@given(st.one_of(SPECKLED, BLOBS))
def test_every_voxel_face_has_a_vertex_of_its_own(mask: Mask) -> None:
    middles, _ = voxel_faces(mask)
    expected = face_middles(mask)
    np.testing.assert_array_equal(middles[np.lexsort(middles.T)], expected[np.lexsort(expected.T)])


@settings(max_examples=30, deadline=None)
@given(BLOBS)
def test_the_volume_is_that_of_the_voxels(mask: Mask) -> None:
    """Crumbs of a voxel or two have not the reach to become so large; solid pieces have."""
    mask = ndimage.binary_opening(mask, np.ones((2, 2, 2)))
    if np.count_nonzero(mask) >= 30:
        mesh, _ = surface_of(np.asarray(mask))
        assert mesh.volume == pytest.approx(np.count_nonzero(mask), rel=0.01)


@settings(max_examples=20, deadline=None)
@given(SPECKLED, st.permutations((0, 1, 2)), st.integers(0, 2))
def test_turning_the_array_turns_the_closed_surface(mask: Mask, order: list[int], flipped: int) -> None:
    """No axis and no direction is special: the volume of the smooth surface stays."""
    solid = np.kron(mask, np.ones((3, 3, 3), dtype=bool))
    turned = np.flip(solid.transpose(order), flipped)
    one, other = surface_of(solid)[0], surface_of(turned)[0]
    assert other.is_watertight
    assert other.volume == pytest.approx(one.volume, rel=0.01)


@pytest.mark.parametrize("thick", [1, 2, 3])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_plate_keeps_its_thickness(thick: int, axis: int) -> None:
    """The lamina at one to three voxels is what smoothing a picture would dissolve."""
    slices = [slice(2, 26)] * 3
    slices[axis] = slice(4, 4 + thick)
    mask = at(*slices, shape=(28, 28, 28))
    mesh, _ = surface_of(mask)
    assert mesh.body_count == 1
    ends = np.delete(np.arange(3), axis)
    inner = (np.abs(mesh.vertices[:, ends] - 13.5) < 8).all(axis=1)
    heights = mesh.vertices[inner, axis] - (4 + (thick - 1) / 2)
    gap = heights[heights > 0].mean() - heights[heights < 0].mean()
    assert gap == pytest.approx(thick, abs=0.15)
    assert heights[heights > 0].min() - heights[heights < 0].max() > 0.6 * thick


@pytest.mark.parametrize("width", [1, 2])
def test_a_thin_rod_on_a_body_stays_one_piece_with_its_volume(width: int) -> None:
    """The tip of a transverse process. Only its own volume counts here, not what the body could lend."""
    body = at(slice(2, 14), slice(2, 14), slice(2, 14), shape=(16, 16, 40))
    mask = body.copy()
    mask[8 : 8 + width, 8 : 8 + width, 14:36] = True
    mesh, _ = surface_of(mask)
    assert mesh.body_count == 1
    shaft = mesh.vertices[(mesh.vertices[:, 2] > 19) & (mesh.vertices[:, 2] < 31), :2]
    assert ConvexHull(shaft).volume == pytest.approx(width**2, rel=0.15)


def test_a_ball_is_round_to_a_quarter_voxel_and_a_slope_is_even() -> None:
    ball = np.linalg.norm(index_of(44), axis=-1) <= 18
    mesh, _ = surface_of(ball)
    radius = np.linalg.norm(mesh.vertices - 21.5 + (0.13, 0.27, -0.21), axis=1)
    assert np.abs(radius - 18).max() < 0.5
    assert radius.std() < 0.1

    turn = Rotation.from_euler("xyz", (0, 12, 6), degrees=True).as_matrix()
    turned = index_of(50) @ turn
    plate = (np.abs(turned[..., 0]) <= 6) & (np.hypot(turned[..., 1], turned[..., 2]) < 20)
    mesh, middles = surface_of(plate)

    def unevenness(points: NDArray[np.float64]) -> float:
        straight = (points - 24.5 + (0.13, 0.27, -0.21)) @ turn
        top = straight[(straight[:, 0] > 4) & (np.hypot(straight[:, 1], straight[:, 2]) < 15), 0]
        return float(top.std())

    assert unevenness(mesh.vertices) < unevenness(middles) / 3


@pytest.mark.parametrize("slab", [1, 2, 5, 1000])
def test_slabs_leave_no_seam(slab: int, monkeypatch: pytest.MonkeyPatch) -> None:
    mask = blob(3, 0.7)
    middles, triangles = voxel_faces(mask)
    monkeypatch.setattr("spine_node.printing.surface._SLAB", slab)
    again, other = voxel_faces(mask)
    np.testing.assert_array_equal(again, middles)
    assert {tuple(t) for t in other.tolist()} == {tuple(t) for t in triangles.tolist()}
