"""The exact truth itself: what was asked comes out, and the laws that every definition must keep."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.accuracy.frames import about
from tests.accuracy.landmarks import Marks, marks
from tests.accuracy.skeleton import SMALLEST_GAP_MM, Skeleton, build, standing
from tests.accuracy.truth import Value, whole_spine
from tests.accuracy.truth_curves import at_levels, curves
from tests.accuracy.truth_segments import segments
from tests.accuracy.truth_vertebrae import heights_mm, vertebrae

SEEDS = (0, 1, 2, 3, 4, 6)
FLIPPED = (
    "C7_CSVL", "PELVOBL", "FHHD", "S1_TILT", "T1_TILT", "L5_TILT", "PELVIS_YAW", "AVR", "TILT_",
    "VB_WEDGE_COR", "DISC_ANG_C", "IVR", "SLIP_LAT",
)  # fmt: skip
"""What a mirror turns round; unsigned companions in space and the whole turn excepted."""


@cache
def person(seed: int) -> tuple[Skeleton, Marks]:
    skeleton = standing(seed)
    return skeleton, marks(skeleton)


def panel(skeleton: Skeleton, exact: Marks) -> dict[tuple[str, tuple[str, ...]], float]:
    values: list[Value] = [
        *whole_spine(exact),
        *vertebrae(exact, skeleton, volumes=False),
        *segments(exact),
    ]
    return {(v.key, v.where): float(v.value) for v in values}


def once(seed: int) -> dict[str, float]:
    return {v.key: float(v.value) for v in whole_spine(person(seed)[1])}


@pytest.mark.parametrize("seed", SEEDS)
def test_the_pelvis_is_as_asked(seed: int) -> None:
    """PI in the plane across the hip axis, PT from the side, obliquity and yaw: inputs, whatever the pose."""
    skeleton, _ = person(seed)
    asked, said = skeleton.person.pelvis, once(seed)
    for key, value in (
        ("PI", asked.pi),
        ("PT", asked.pt),
        ("PELVOBL", asked.obliquity),
        ("PELVIS_YAW", skeleton.person.yaw),
    ):
        assert said[key] == pytest.approx(value, abs=1e-9), key


@pytest.mark.parametrize("seed", SEEDS)
def test_lordosis_kyphosis_and_attitudes_are_as_asked(seed: int) -> None:
    skeleton, exact = person(seed)
    said = panel(skeleton, exact)
    for key, value in skeleton.person.asked.items():
        assert said[key, ()] == pytest.approx(value, abs=1e-9), key
    for level, made in skeleton.person.vertebrae.items():
        assert said["AVR", (level,)] == pytest.approx(made.axial, abs=1e-9)
        assert said["SLOPE_INF", (level,)] == pytest.approx(made.inf[0], abs=1e-9)
        assert said["TILT_INF", (level,)] == pytest.approx(made.inf[1], abs=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_slips_and_plates_are_as_asked(seed: int) -> None:
    skeleton, exact = person(seed)
    said = panel(skeleton, exact)
    order = [*skeleton.levels, "S1"]
    for upper, lower in pairwise(order):
        made = skeleton.person.vertebrae[upper]
        assert said["SLIP_MM", (upper, lower)] == pytest.approx(made.slip, abs=1e-6)
        assert said["SLIP_LAT", (upper, lower)] == pytest.approx(made.shift, abs=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_designed_curves_are_found_with_their_ends(seed: int) -> None:
    skeleton, exact = person(seed)
    visible = skeleton.levels[skeleton.levels.index("C7") :]
    found = curves(exact, visible, s1_seen=True)
    for upper, lower, cobb in skeleton.person.curves:
        if abs(cobb) < 12:
            continue
        side = "right" if cobb > 0 else "left"
        match = [c for c in found if c.side == side and upper in c.uppers and lower in c.lowers]
        assert match, (upper, lower, cobb)
        assert match[0].cobb == pytest.approx(abs(cobb), abs=1.5)


@pytest.mark.parametrize("seed", SEEDS)
def test_identities(seed: int) -> None:
    """PI = PT + SS when the hip axis is level; TPA and GT are angles at the hip and at S1, from the side."""
    skeleton, _ = person(seed)
    level = replace(skeleton.person, pelvis=replace(skeleton.person.pelvis, obliquity=0.0))
    exact = marks(build(level))
    said = {v.key: float(v.value) for v in whole_spine(exact)}
    assert said["PI"] == pytest.approx(said["PT"] + said["SS"], abs=1e-9)
    sagittal = np.array([0.0, 1.0, 1.0])

    def turn(first: np.ndarray, second: np.ndarray) -> float:
        a, b = first * sagittal, second * sagittal
        return float(np.degrees(np.arctan2(a[2] * b[1] - a[1] * b[2], a @ b)))

    s1, t1, c7 = exact.s1.centre, exact.vertebrae["T1"].centroid, exact.vertebrae["C7"].centroid
    assert said["TPA"] == pytest.approx(turn(t1, s1), abs=1e-9)
    assert said["GT"] == pytest.approx(turn(c7 - s1, s1), abs=1e-9)


@pytest.mark.parametrize("seed", SEEDS[:3])
def test_a_rigid_motion_changes_nothing_but_the_yaw(seed: int) -> None:
    """Person and gravity moved together."""
    skeleton, exact = person(seed)
    turn = Rotation.from_rotvec([0.4, -1.1, 0.7]).as_matrix()
    moved = skeleton.moved(turn, np.array([31.0, -12.0, 400.0]))
    before, after = panel(skeleton, exact), panel(moved, marks(moved))
    assert before.keys() == after.keys()
    for place, value in before.items():
        if place[0] != "PELVIS_YAW":
            assert after[place] == pytest.approx(value, abs=1e-5), place


@pytest.mark.parametrize("seed", SEEDS[:3])
def test_turning_about_the_vertical_shows_in_the_yaw_alone(seed: int) -> None:
    skeleton, exact = person(seed)
    turned = skeleton.moved(about(2, 11.0), np.zeros(3))
    before, after = panel(skeleton, exact), panel(turned, marks(turned))
    assert after["PELVIS_YAW", ()] == pytest.approx(before["PELVIS_YAW", ()] + 11.0, abs=1e-9)
    assert after["SS", ()] == pytest.approx(before["SS", ()], abs=1e-9)


@pytest.mark.parametrize("seed", SEEDS[:3])
def test_a_mirror_flips_the_coronal_and_axial_signs_and_no_others(seed: int) -> None:
    skeleton, exact = person(seed)
    mirror = build(skeleton.person.mirrored())
    before, after = panel(skeleton, exact), panel(mirror, marks(mirror))
    for (key, where), value in before.items():
        signed = key.startswith(FLIPPED) and not key.endswith("_3D") and key != "IVR_HELICAL"
        other = {"VBH_LEFT": "VBH_RIGHT", "VBH_RIGHT": "VBH_LEFT"}.get(key, key)
        assert after[other, where] == pytest.approx(-value if signed else value, abs=1e-5), (key, where)


def test_a_curve_changes_side_and_keeps_its_size_in_a_mirror() -> None:
    skeleton, exact = person(4)
    mirror = marks(build(skeleton.person.mirrored()))
    upper, lower, _ = skeleton.person.curves[0]
    here, there = at_levels(exact, upper, "T4", lower), at_levels(mirror, upper, "T4", lower)
    for key in ("COBB", "COBB_3D", "COBB_PMC", "PMC_AZ", "TORSION"):
        assert there[key] == pytest.approx(here[key], abs=1e-4), key
    for key in ("AVT", "AVR_APEX"):
        assert there[key] == pytest.approx(-here[key], abs=1e-6), key
    visible = skeleton.levels[skeleton.levels.index("C7") :]
    sides = [[c.side for c in curves(m, visible, s1_seen=True)] for m in (exact, mirror)]
    assert sides[1] == [{"left": "right", "right": "left"}[side] for side in sides[0]]


def test_the_plane_of_most_curvature_shows_the_angle_in_space_when_the_plates_lean_in_one_plane() -> None:
    """A kyphosis alone lies at +90, a lordosis at -90, a scoliosis alone at 0."""
    from tests.accuracy.frames import plate_normal
    from tests.accuracy.truth_curves import maximal_plane

    for upper, lower, azimuth in (
        ((20, 0), (-20, 0), 90),
        ((-20, 0), (20, 0), -90),
        ((0, 20), (0, -20), 0),
        ((0, -20), (0, 20), 0),
    ):
        size, found = maximal_plane(plate_normal(*upper), plate_normal(*lower))
        assert size == pytest.approx(40, abs=1e-6)
        assert abs(found) == pytest.approx(abs(azimuth), abs=1e-3)
        assert np.sign(round(found)) == np.sign(azimuth)


@pytest.mark.parametrize("seed", SEEDS)
def test_bodies_keep_clear_of_each_other(seed: int) -> None:
    assert min(person(seed)[0].gaps_mm().values()) >= SMALLEST_GAP_MM


@pytest.mark.parametrize("seed", SEEDS)
def test_a_dish_or_a_dome_leaves_the_plane_of_the_plate_alone(seed: int) -> None:
    """Least squares over the outline, by points that the construction has not used."""
    skeleton, _ = person(seed)
    plates = [skeleton.sacrum.shape.plate]
    plates += [skeleton.bodies[n].shape.inferior for n in ("T4", "L2")]
    for plate in plates:
        x, y = (c.ravel() for c in np.mgrid[-1:1:301j, -1:1:301j])
        inside = plate.outline.contains(x, y)
        x, y = x[inside] * plate.a, y[inside] * plate.b
        off = plate.surface(x, y) - plate.plane(x, y)
        fit = np.linalg.lstsq(np.column_stack([x, y, np.ones_like(x)]), off, rcond=None)[0]
        assert np.abs(fit * [plate.a, plate.b, 1]).max() < 0.01


@pytest.mark.parametrize("seed", SEEDS[:3])
def test_flat_and_straight_bodies_are_as_high_as_they_were_made(seed: int) -> None:
    skeleton = standing(seed, plain=True)
    exact = marks(skeleton)
    for level in ("T5", "L3"):
        high = heights_mm(exact.vertebrae[level])
        assert high["MID"] == pytest.approx(skeleton.person.vertebrae[level].height, abs=1e-6)
        body = exact.vertebrae[level].body
        area = np.pi * body.superior.a * body.superior.b
        assert body.volume_mm3 == pytest.approx(area * skeleton.person.vertebrae[level].height, rel=1e-4)
