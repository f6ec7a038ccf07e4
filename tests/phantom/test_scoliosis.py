"""Curves up to 100 degrees: they have the angle asked for, turn to their convexity, and no bodies meet."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from spine_node.parameters.model import Parameter
from spine_node.phantom import skeleton, truth
from spine_node.phantom.pose import LEVELS_DOWN, standing_spec
from spine_node.phantom.scoliosis import MOST_ROTATION_DEG, draw_angle, draw_curves
from spine_node.phantom.skeleton import Skeleton


def person(seed: int, angle_deg: float) -> Skeleton:
    rng = np.random.default_rng(seed)
    curves = draw_curves(rng, 5, angle_deg)
    return skeleton.build(standing_spec(curves=curves, variation=1.0, rng=rng))


def largest_curve(built: Skeleton) -> Parameter:
    found = truth.measure(skeleton.landmarks(built, np.eye(4)))
    return max((p for p in found.parameters if p.key == "COBB"), key=lambda p: p.value)


@pytest.mark.parametrize("angle_deg", [25, 60, 100])
def test_the_true_angle_is_the_one_asked_for(angle_deg: float):
    for seed in range(5):
        assert largest_curve(person(seed, angle_deg)).value == pytest.approx(angle_deg, abs=3)


@pytest.mark.parametrize("seed", range(30))
def test_no_bodies_meet_in_a_curve_of_100_degrees(seed: int):
    """The lowest point of each inferior rim stays above the superior rim below it, and no plate lies down."""
    bones = person(seed, 100).bones
    for upper, lower in itertools.pairwise(bones[1:]):
        for rim in upper.body.plate_edges("inferior"):
            gap = float((rim - lower.body.superior_mm) @ lower.body.superior_normal)
            assert gap > 0.3, (upper.level, lower.level)
    assert all(abs(s.segment.tilt_superior_deg) < 65 for s in bones)


@pytest.mark.parametrize("seed", range(6))
def test_vertebrae_turn_to_the_convex_side(seed: int):
    built = person(seed, 60)
    curve = largest_curve(built)
    apex = next(b.segment for b in built.bones if b.level == curve.apex)
    assert np.sign(apex.rotation_deg) == (-1 if curve.side == "right" else 1)
    assert 0.2 * curve.value < abs(apex.rotation_deg) < MOST_ROTATION_DEG + 4


def test_bodies_take_two_fifths_of_a_curve_and_discs_the_rest():
    spec = standing_spec(curves=draw_curves(np.random.default_rng(0), 5, 60))
    up = spec.segments[::-1]
    inside = [k for k, s in enumerate(up) if s.level in ("T5", "T6", "T7", "T8", "T9")]
    bodies = sum(up[k].tilt_superior_deg - up[k].tilt_inferior_deg for k in inside)
    discs = sum(up[k].tilt_inferior_deg - up[k - 1].tilt_superior_deg for k in inside)
    assert bodies / (bodies + discs) == pytest.approx(0.4, abs=0.05)


def test_one_to_three_curves_alternate_and_mostly_bend_to_the_right_in_the_chest():
    rng = np.random.default_rng(2)
    drawn = [draw_curves(rng, 5, 50) for _ in range(200)]
    assert {len(curves) for curves in drawn} == {1, 2, 3}
    for curves in drawn:
        assert all(a.angle_deg * b.angle_deg < 0 for a, b in itertools.pairwise(curves))
        assert max(abs(c.angle_deg) for c in curves) == pytest.approx(50)
        assert all(a.apex < b.apex for a, b in itertools.pairwise(curves))
        assert all(0 < c.apex < len(LEVELS_DOWN) - 7 for c in curves)
    thoracic = [c.angle_deg > 0 for curves in drawn for c in curves if 7 < c.apex < 11]
    assert 0.75 < np.mean(thoracic) < 0.95


def test_half_of_people_are_nearly_straight_and_one_in_twenty_is_severe():
    rng = np.random.default_rng(5)
    angles = np.array([draw_angle(rng) for _ in range(2000)])
    assert (angles < 10).mean() == pytest.approx(0.45, abs=0.04)
    assert (angles > 60).mean() == pytest.approx(0.05, abs=0.02)
    assert angles.max() > 90
