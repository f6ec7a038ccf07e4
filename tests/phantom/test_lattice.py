"""Coordinates of voxels: those that the affine gives."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from spine_node.phantom.lattice import Lattice

ORIGIN = np.array([3.0, -8.0, 40.0])


@pytest.fixture
def oblique() -> Lattice:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_rotvec([0.2, -0.4, 0.3]).as_matrix() * [0.7, 1.1, 2.0]
    affine[:3, 3] = [-20, 15, 5]
    return Lattice((7, 5, 6), affine)


def positions(at: Lattice) -> np.ndarray:
    return np.indices(at.shape).reshape(3, -1).T @ at.affine[:3, :3].T + at.affine[:3, 3]


def test_a_coordinate_is_the_projection_of_each_voxel(oblique: Lattice):
    direction = np.array([0.6, 0.0, -0.8])
    expected = ((positions(oblique) - ORIGIN) @ direction).reshape(oblique.shape)
    assert oblique.along(direction, ORIGIN).numpy() == pytest.approx(expected, abs=1e-4)


def test_a_block_has_the_coordinates_of_its_part(oblique: Lattice):
    where = (slice(2, 6), slice(1, 3), slice(0, 5))
    whole, part = (at.along([0, 1, 0], ORIGIN) for at in (oblique, oblique.block(where)))
    assert part.numpy() == pytest.approx(whole[where].numpy(), abs=1e-4)


def test_a_thin_coordinate_says_the_same_in_fewer_voxels():
    """About an upright axis nothing changes with height, and height with nothing else."""
    turn = np.eye(4)
    turn[:3, :3] = np.array([[0, -np.sin(0.3), np.cos(0.3)], [0, np.cos(0.3), np.sin(0.3)], [2, 0, 0]])
    at = Lattice((4, 5, 6), turn)
    for direction, shape in (([1, 0, 0], (1, 5, 6)), ([0, 0, 1], (4, 1, 1))):
        thin = at.thin(direction, ORIGIN)
        assert tuple(thin.shape) == shape
        assert thin.expand(at.shape).numpy() == pytest.approx(at.along(direction, ORIGIN).numpy())


def test_a_box_is_found_and_one_outside_is_not(oblique: Lattice):
    centre = oblique.affine[:3, :3] @ np.array([3, 2, 4]) + oblique.affine[:3, 3]
    where = oblique.around(centre - 0.1, centre + 0.1)
    assert where is not None
    assert all(s.start <= k < s.stop for s, k in zip(where, (3, 2, 4), strict=True))
    assert oblique.around(centre + 500, centre + 501) is None
