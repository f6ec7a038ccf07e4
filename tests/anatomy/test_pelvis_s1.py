"""S1 on sacra unlike each other: the plate is where its definition says, whatever surrounds it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from spine_node.anatomy.landmarks import Endplate
from spine_node.anatomy.sacral_axis import sacral_axes
from spine_node.anatomy.sacrum import Seed, find_s1, seed_of_shape
from spine_node.geometry.angles import angle_between_deg
from spine_node.imaging.surface import field_of
from tests.anatomy.real_pelvis import Pose, SacrumShape, blob_of, voxelised

Array = NDArray[np.float64]

NORMAL_DEG, CENTRE_MM, EDGE_MM = 1.0, 1.0, 1.0
UP = np.array([0.0, 0.0, 1.0])

SHAPES = {
    "usual": SacrumShape(),
    "wings level with the plate": SacrumShape(wing_mm=1.0, wing_fall=0.15),
    "wings far below": SacrumShape(wing_mm=12.0),
    "domed": SacrumShape(dome_mm=4.0, wing_mm=8.0),
    "dished": SacrumShape(dome_mm=-3.0),
    "a child's": SacrumShape(half_mm=(15.0, 10.0), wing_mm=4.0),
    "squarish": SacrumShape(power=5.0),
    "filled canal, no processes": SacrumShape(processes=False, canal=False),
    "no wings": SacrumShape(wing_mm=float("nan")),
    "a slab": SacrumShape(half_mm=(25.0, 17.0), slab=True),
    "a broad slab": SacrumShape(half_mm=(45.0, 20.0), slab=True),
    "a narrow slab": SacrumShape(half_mm=(17.0, 16.0), slab=True),
}

POSES = {
    "level": Pose(7.0, 4.0, -5.0),
    "usual": Pose(38.0, -3.0, 6.0),
    "oblique and turned": Pose(55.0, 10.0, -15.0),
    "steep": Pose(78.0, -6.0, 8.0),
}


def above(pose: Pose, *, tilt_deg: float = 0.0, roll_deg: float = 0.0, forward_mm: float = 0.0) -> Seed:
    """What a last vertebra says: 8 mm above the plate, perhaps tilted, rolled or slipped forward."""
    x, y, z = pose.axes.T
    turn = Rotation.from_rotvec(np.radians(tilt_deg) * x) * Rotation.from_rotvec(np.radians(roll_deg) * y)
    return Seed(pose.centre_mm + 8 * z - forward_mm * y, turn.apply(z), pose.backward)


def errors(plate: Endplate | None, pose: Pose, reason: str = "") -> tuple[float, Array]:
    """Degrees of the normal, and the centre's error along the plate's own axes, mm."""
    assert plate is not None, reason
    off = (plate.centre_mm - pose.centre_mm) @ pose.axes
    return angle_between_deg(plate.normal, pose.axes[:, 2]), off


EACH = [
    pytest.param(SHAPES[name], POSES[pose], id=f"{name}, {pose}")
    for k, name in enumerate(SHAPES)
    for pose in (list(POSES)[k % 4], list(POSES)[(k + 2) % 4])
]
"""Every shape in two poses, every pose with half of the shapes."""


@pytest.mark.parametrize(("shape", "pose"), EACH)
def test_plane_and_centre_are_those_of_the_plate(shape: SacrumShape, pose: Pose) -> None:
    blob = blob_of(voxelised(shape, pose, 1.5))
    plate, reason = find_s1(blob, field_of(blob), above(pose))
    turned, off = errors(plate, pose, reason)
    assert turned <= NORMAL_DEG
    assert np.abs(off).max() <= CENTRE_MM


@pytest.mark.parametrize("pose", [POSES["usual"], POSES["steep"]], ids=["usual", "steep"])
def test_front_and_back_are_the_bone_s_own_ends(pose: Pose) -> None:
    """SVA and slips are read from the posterior edge."""
    shape = SHAPES["usual"]
    blob = blob_of(voxelised(shape, pose, 1.0))
    plate, _ = find_s1(blob, field_of(blob), above(pose))
    assert plate is not None
    front, back = (
        float(((edge - pose.centre_mm) @ pose.axes)[1]) for edge in (plate.anterior_mm, plate.posterior_mm)
    )
    assert front == pytest.approx(-shape.half_mm[1], abs=EDGE_MM)
    assert back == pytest.approx(shape.half_mm[1], abs=EDGE_MM)


@pytest.mark.parametrize("pose", [POSES["usual"], POSES["steep"]], ids=["usual", "steep"])
@pytest.mark.parametrize(
    "seed",
    [{"tilt_deg": 25.0}, {"tilt_deg": -20.0}, {"roll_deg": 15.0}, {"forward_mm": 17.0, "tilt_deg": 10.0}],
    ids=["tipped forward", "tipped back", "rolled", "slipped by half"],
)
def test_a_vertebra_above_that_is_tilted_or_slipped_changes_nothing(
    pose: Pose, seed: dict[str, float]
) -> None:
    blob = blob_of(voxelised(SHAPES["usual"], pose, 1.5))
    plate, reason = find_s1(blob, field_of(blob), above(pose, **seed))
    turned, off = errors(plate, pose, reason)
    assert turned <= NORMAL_DEG
    assert np.abs(off).max() <= CENTRE_MM


@pytest.mark.parametrize("pose", [POSES["oblique and turned"], POSES["steep"]], ids=["oblique", "steep"])
@pytest.mark.parametrize("name", ["usual", "wings level with the plate", "domed", "a slab"])
def test_no_lumbar_vertebra_is_needed(name: str, pose: Pose) -> None:
    """Nor to know where the patient's back is: the image's axis is near enough."""
    blob = blob_of(voxelised(SHAPES[name], pose, 1.5))
    field = field_of(blob)
    seed = seed_of_shape(blob, field, UP, np.array([0.0, 1.0, 0.0]))
    assert seed is not None
    plate, reason = find_s1(blob, field, seed)
    turned, off = errors(plate, pose, reason)
    assert turned <= NORMAL_DEG
    assert np.abs(off).max() <= CENTRE_MM


def test_smooth_noise_on_the_surface_moves_it_by_less_than_twice_the_bar() -> None:
    pose = POSES["usual"]
    blob = blob_of(voxelised(SHAPES["usual"], pose, 1.0, noise_mm=0.5))
    plate, reason = find_s1(blob, field_of(blob), above(pose))
    turned, off = errors(plate, pose, reason)
    assert turned <= 2 * NORMAL_DEG
    assert np.abs(off).max() <= 2 * CENTRE_MM


def test_an_s1_that_stands_apart_from_the_rest_of_the_sacrum_is_used() -> None:
    pose = POSES["usual"]
    shape = SacrumShape(gap_below_s1_mm=4.0, wing_mm=float("nan"), processes=False, canal=False)
    blob = blob_of(voxelised(shape, pose, 1.0), keep_fraction=0.2)
    plate, reason = find_s1(blob, field_of(blob), above(pose))
    turned, off = errors(plate, pose, reason)
    assert turned <= NORMAL_DEG
    assert np.abs(off).max() <= CENTRE_MM


@pytest.mark.parametrize(
    ("axis", "beyond"), [(2, -4.0), (0, 12.0), (1, 4.0)], ids=["from above", "from the left", "from behind"]
)
def test_a_plate_cut_by_the_field_is_refused_with_the_reason(axis: int, beyond: float) -> None:
    pose = POSES["usual"]
    label_map = voxelised(SHAPES["usual"], pose, 1.0, cut_mm=(axis, pose.centre_mm[axis] + beyond))
    blob = blob_of(label_map)
    plate, reason = find_s1(blob, field_of(blob), above(pose))
    assert plate is None
    assert "field's edge" in reason or "no place" in reason


@pytest.mark.parametrize("pose", POSES.values(), ids=POSES)
def test_left_and_right_follow_from_the_sacrum_s_own_symmetry(pose: Pose) -> None:
    blob = blob_of(voxelised(SHAPES["usual"], pose, 1.5))
    guess = Rotation.from_rotvec([0.0, 0.0, np.radians(12.0)]).apply(pose.backward)
    axes = sacral_axes(blob, field_of(blob), pose.axes[:, 2], guess)
    assert axes is not None
    assert angle_between_deg(axes[:, 0], pose.axes[:, 0]) < 1.0
    assert np.linalg.det(axes) == pytest.approx(1.0)


def test_a_round_bone_has_no_left_and_right() -> None:
    pose = Pose(0.0)
    shape = SacrumShape(
        half_mm=(20.0, 20.0), power=2.0, wing_mm=float("nan"), processes=False, canal=False, lower=False
    )
    blob = blob_of(voxelised(shape, pose, 1.5))
    assert sacral_axes(blob, field_of(blob), pose.axes[:, 2], pose.backward) is None
