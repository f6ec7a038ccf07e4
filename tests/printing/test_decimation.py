"""What is left out moves the surface by no more than was asked."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from spine_node.printing.decimation import decimated, is_closed
from spine_node.printing.distances import Surface, from_voxel_faces
from spine_node.printing.surface import FloatArray, Triangles, smoothed, voxel_faces


def knobbly() -> tuple[FloatArray, Triangles]:
    """A ball with a ridge and a dent, in voxels of 0.7 mm far from the origin."""
    index = np.stack(np.indices((40, 40, 40)), axis=-1) - 19.3
    mask = np.linalg.norm(index, axis=-1) < 14
    mask |= (np.abs(index[..., 0]) < 1) & (np.linalg.norm(index, axis=-1) < 18)
    mask &= np.linalg.norm(index - (0, 12, 0), axis=-1) > 6
    middles, triangles = voxel_faces(mask)
    return smoothed(mask, middles, triangles) * 0.7 + (300.0, -500.0, 900.0), triangles


def as_it_is(vertices: FloatArray, triangles: Triangles) -> FloatArray:
    return vertices


@pytest.mark.parametrize("tolerance_mm", [0.03, 0.07, 0.2, 1.0])
def test_the_tolerance_holds_both_ways(tolerance_mm: float) -> None:
    """The Hausdorff distance of vertices, and of points between them, by another measure than the code's."""
    vertices, triangles = knobbly()
    light = decimated(vertices, triangles, tolerance_mm, 0.7, as_it_is)
    assert is_closed(light[1])
    assert len(light[1]) < len(triangles)
    fine_mesh, light_mesh = (trimesh.Trimesh(*s, process=False) for s in ((vertices, triangles), light))
    between = [trimesh.sample.sample_surface_even(m, 3000, seed=1)[0] for m in (fine_mesh, light_mesh)]
    there = Surface(*light).distance(np.concatenate([vertices, between[0]]))
    back = Surface(vertices, triangles).distance(np.concatenate([light[0], between[1]]))
    assert there.max() <= tolerance_mm * 1.05
    assert back.max() <= tolerance_mm * 1.05


def test_nothing_is_left_out_where_nothing_can_be() -> None:
    vertices, triangles = knobbly()
    kept, same = decimated(vertices, triangles, 1e-7, 0.7, as_it_is)
    np.testing.assert_array_equal(kept, vertices)
    np.testing.assert_array_equal(same, triangles)


def test_what_settling_spoils_is_not_taken() -> None:
    """The tolerance holds for what comes out, not for what the edge collapse gave."""
    vertices, triangles = knobbly()
    kept, _ = decimated(vertices, triangles, 0.1, 0.7, lambda moved, _: moved + 0.2)
    np.testing.assert_array_equal(kept, vertices)


def test_an_open_or_twisted_surface_is_not_closed() -> None:
    _, triangles = knobbly()
    assert is_closed(triangles)
    assert not is_closed(triangles[1:])
    twisted = triangles.copy()
    twisted[0] = twisted[0, ::-1]
    assert not is_closed(twisted)
    assert not is_closed(np.concatenate([triangles, triangles[:1]]))


def test_distances_to_a_surface_are_those_of_a_brute_search() -> None:
    vertices, triangles = knobbly()
    points = vertices[::97] + np.random.default_rng(0).normal(0, 0.6, (len(vertices[::97]), 3))
    corners = vertices[triangles]

    def nearest(point: FloatArray) -> float:
        found = trimesh.triangles.closest_point(corners, np.tile(point, (len(corners), 1)))
        return float(np.linalg.norm(found - point, axis=1).min())

    brute = [nearest(point) for point in points]
    np.testing.assert_allclose(Surface(vertices, triangles).distance(points), brute, atol=1e-9)


def test_the_way_from_a_voxel_face_ends_at_its_border() -> None:
    middles = np.array([[0.5, 0.0, 0.0]])
    points = np.array([[0.8, 0.3, -0.4], [0.1, 0.9, 0.0], [0.5, 0.5, -2.0]])
    expected = [[0.3, 0, 0], [-0.4, 0.4, 0], [0, 0, -1.5]]
    np.testing.assert_allclose(from_voxel_faces(points, middles), expected, atol=1e-12)
