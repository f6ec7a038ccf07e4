"""The analytic vertebral body: its plates and its centroid are the numbers it was made from."""

from __future__ import annotations

import numpy as np
import pytest

from spine_node.phantom.lattice import Lattice
from spine_node.phantom.person import Osteophyte
from spine_node.phantom.pose import standing_spec
from spine_node.phantom.profiles import Curve
from spine_node.phantom.skeleton import Bone, Skeleton, build, plate_normal, turned_axes


@pytest.fixture(scope="module")
def scoliotic() -> Skeleton:
    return build(standing_spec(curves=(Curve(9, 4, 50, 0.5),), variation=0.8, rng=np.random.default_rng(3)))


def bone_of(person: Skeleton, level: str) -> Bone:
    return next(b for b in person.bones if b.level == level)


def around(bone: Bone, step_mm: float) -> Lattice:
    low, high = bone.body.box()
    affine = np.diag([step_mm, step_mm, step_mm, 1.0])
    affine[:3, 3] = low
    return Lattice(tuple(int(n) for n in np.ceil((high - low) / step_mm)), affine)  # type: ignore[arg-type]


@pytest.mark.parametrize("level", ["L5", "L1", "T8", "T3", "C5"])
def test_the_surface_between_the_rims_fits_the_plane_it_was_given(scoliotic: Skeleton, level: str):
    """Dished by up to 3 mm, the endplate keeps the plane within 0.3 degrees and 0.2 mm."""
    body = bone_of(scoliotic, level).body
    X, Y, Z = body.axes.T
    up_mm, flat_mm = 0.1, 0.6
    half = np.ceil(1.2 * max(body.half_width_mm) / flat_mm)
    affine = np.eye(4)
    affine[:3, :3] = np.stack([up_mm * Z, flat_mm * Y, flat_mm * X], axis=1)
    affine[:3, 3] = body.superior_mm - 10 * Z - half * flat_mm * (X + Y)
    at = Lattice((200, int(2 * half + 1), int(2 * half + 1)), affine)
    inside = (body.distance(at) < 0).numpy()
    rows, columns = np.nonzero(inside.any(axis=0))
    top = len(inside) - 1 - np.argmax(inside[::-1], axis=0)[rows, columns]
    surface = np.stack([top, rows, columns], axis=1) @ affine[:3, :3].T + affine[:3, 3]
    surface = surface[top > 50]  # the side wall of a tilted body is no endplate
    centre = surface.mean(axis=0)
    normal = np.linalg.svd(surface - centre, full_matrices=False)[2][2]
    normal *= np.sign(normal @ Z)
    assert np.degrees(np.arccos(min(1.0, float(normal @ body.superior_normal)))) < 0.3
    assert abs(float((centre - body.superior_mm) @ body.superior_normal)) < 0.15
    assert np.linalg.norm(centre - body.superior_mm) < 0.3


@pytest.mark.parametrize("level", ["L4", "T6", "C6"])
def test_the_centroid_is_that_of_the_voxels_inside(scoliotic: Skeleton, level: str):
    bone = bone_of(scoliotic, level)
    at = around(bone, 0.5)
    inside = np.argwhere((bone.body.distance(at) < 0).numpy())
    assert inside.mean(axis=0) * 0.5 + at.affine[:3, 3] == pytest.approx(bone.body_centre_mm, abs=0.05)


def test_an_osteophyte_adds_to_the_body_and_leaves_its_endplates():
    from dataclasses import replace

    plain = standing_spec()
    spurred = replace(
        plain,
        segments=tuple(
            replace(s, osteophytes=(Osteophyte(True, 40.0, 7.0),)) if s.level == "L3" else s
            for s in plain.segments
        ),
    )
    one, other = (bone_of(build(s), "L3") for s in (plain, spurred))
    step = 0.5
    extra = int((other.body.distance(around(other, step)) < 0).sum()) - int(
        (one.body.distance(around(one, step)) < 0).sum()
    )
    assert extra * step**3 > 40
    assert np.array_equal(one.body.superior_mm, other.body.superior_mm)
    assert np.array_equal(one.body.superior_normal, other.body.superior_normal)
    assert other.body_centre_mm[0] > one.body_centre_mm[0]  # azimuth 40 is to the left


@pytest.mark.parametrize("slope", [-30, 0, 42])
@pytest.mark.parametrize("tilt", [-35, 0, 20])
def test_slope_and_tilt_of_a_plate_are_read_back_in_their_planes(slope: float, tilt: float):
    x, y, z = plate_normal(slope, tilt)
    assert np.degrees(np.arctan2(-y, z)) == pytest.approx(slope)
    assert np.degrees(np.arctan2(x, z)) == pytest.approx(tilt)


def test_turning_left_brings_the_front_of_a_vertebra_to_the_left():
    axes = turned_axes(np.array([0.0, 0.0, 1.0]), 20.0)
    anterior = -axes[:, 1]
    assert anterior[0] == pytest.approx(np.sin(np.radians(20)))
    assert np.linalg.det(axes) == pytest.approx(1.0)
