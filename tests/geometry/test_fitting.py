from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spine_node.geometry.directions import DegenerateGeometry
from spine_node.geometry.fitting import (
    bowl_terms,
    robust_height_bowl,
    robust_height_plane,
    robust_sphere,
    sphere_through,
)

GRID = np.stack(np.meshgrid(np.arange(-15, 16.0), np.arange(-10, 11.0)), axis=-1).reshape(-1, 2)


@settings(deadline=None)
@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(-50, 50))
def test_a_plane_is_found_exactly(du: float, dv: float, offset: float) -> None:
    plane = robust_height_plane(GRID, offset + GRID @ np.array([du, dv]))
    assert (*plane.slope, plane.offset_mm) == pytest.approx((du, dv, offset), abs=1e-9)
    assert plane.residual_mm == pytest.approx(0, abs=1e-9)


def test_one_side_may_be_lifted() -> None:
    """An osteophyte lifts an eighth of the plate by 5 mm: least squares would lean by 8 degrees."""
    heights = GRID @ np.array([0.1, -0.2]) + np.random.default_rng(1).normal(0, 0.1, len(GRID))
    heights[GRID[:, 0] > 11] += 5.0
    naive = np.linalg.lstsq(np.column_stack([np.ones(len(GRID)), GRID]), heights, rcond=None)[0]
    assert np.degrees(np.arctan(naive[1])) > np.degrees(np.arctan(0.1)) + 5
    assert robust_height_plane(GRID, heights).slope == pytest.approx([0.1, -0.2], abs=0.005)


def test_the_residual_is_that_of_the_points_that_count() -> None:
    heights = np.random.default_rng(2).normal(0, 0.3, len(GRID))
    heights[:20] += 9
    assert robust_height_plane(GRID, heights).residual_mm == pytest.approx(0.3, rel=0.15)


def test_points_on_a_line_determine_no_plane() -> None:
    with pytest.raises(DegenerateGeometry, match="line"):
        robust_height_plane(np.column_stack([np.arange(9.0), np.arange(9.0)]), np.zeros(9))


def test_two_points_determine_no_plane() -> None:
    with pytest.raises(DegenerateGeometry, match="needs 3 points, got 2"):
        robust_height_plane(np.eye(2), np.zeros(2))


def test_a_bowl_is_found_exactly() -> None:
    truth = np.array([3.0, 0.1, -0.2, 0.004, -0.002, 0.006])
    assert robust_height_bowl(GRID, bowl_terms(GRID) @ truth) == pytest.approx(truth, abs=1e-9)


def sphere_points(centre: np.ndarray, radius: float, n: int = 2000, cap_deg: float = 180) -> np.ndarray:
    rng = np.random.default_rng(3)
    z = rng.uniform(np.cos(np.radians(cap_deg)), 1, n)
    turn = rng.uniform(0, 2 * np.pi, n)
    s = np.sqrt(1 - z**2)
    return centre + radius * np.column_stack([s * np.cos(turn), s * np.sin(turn), z])


@settings(deadline=None)
@given(st.tuples(*[st.floats(-500, 500)] * 3), st.floats(15, 32))
def test_a_sphere_is_found_exactly(centre: tuple[float, ...], radius: float) -> None:
    found, r = sphere_through(sphere_points(np.array(centre), radius, 50))
    assert (*found, r) == pytest.approx((*centre, radius), abs=1e-6)


def test_a_head_is_found_beside_its_neck() -> None:
    """0.4 mm of surface noise, a third of the points on a neck."""
    centre = np.array([86.0, -3.0, -410.0])
    head = sphere_points(centre, 23.5, cap_deg=120)
    head += np.random.default_rng(4).normal(0, 0.4, head.shape)
    neck = centre + np.random.default_rng(5).normal(0, 6, (1000, 3)) + [25, 0, -30]
    sphere = robust_sphere(np.vstack([head, neck]), radius_range_mm=(15, 32), band_mm=1.0)
    assert np.linalg.norm(sphere.centre_mm - centre) < 0.1
    assert sphere.radius_mm == pytest.approx(23.5, abs=0.1)


def test_the_same_points_give_the_same_sphere() -> None:
    points = sphere_points(np.zeros(3), 20) + np.random.default_rng(6).normal(0, 0.5, (2000, 3))
    first, second = (robust_sphere(points, radius_range_mm=(15, 32), band_mm=1.0) for _ in range(2))
    assert (first.centre_mm == second.centre_mm).all()


def test_a_sphere_of_no_allowed_radius_is_refused() -> None:
    with pytest.raises(DegenerateGeometry, match="radius 15 to 32 mm"):
        robust_sphere(sphere_points(np.zeros(3), 60.0), radius_range_mm=(15, 32), band_mm=1.0)


def test_a_flat_cloud_determines_no_sphere() -> None:
    with pytest.raises(DegenerateGeometry, match="plane"):
        sphere_through(np.column_stack([GRID, np.zeros(len(GRID))]))
