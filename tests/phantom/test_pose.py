"""The people that are drawn at random: possible, varied, and spread like the population."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from spine_node.phantom import skeleton, truth
from spine_node.phantom.pose import LEVELS_DOWN, random_spec, standing_spec
from spine_node.phantom.profiles import MOST_TILT_DEG

COHORT = [random_spec(np.random.default_rng(seed)) for seed in range(120)]
TRUTHS = [truth.measure(skeleton.landmarks(skeleton.build(spec), np.eye(4))) for spec in COHORT]


def values(key: str) -> np.ndarray:
    return np.array([p.value for t in TRUTHS if (p := t.get(key)) is not None])


@pytest.mark.parametrize(
    ("key", "mean", "tolerance"),
    [("PI", 52, 3), ("PT", 13, 3), ("SS", 39, 3), ("TK_T4T12", 42, 4), ("LL_L1S1", 60, 6), ("SVA", 5, 10)],
)
def test_a_cohort_has_the_means_of_standing_adults(key: str, mean: float, tolerance: float):
    assert values(key).mean() == pytest.approx(mean, abs=tolerance)


def test_curves_reach_from_none_to_severe_on_both_sides():
    curves = [p for t in TRUTHS for p in t.parameters if p.key == "COBB"]
    assert {p.side for p in curves} == {"left", "right"}
    assert max(p.value for p in curves) > 45
    assert max(p.value for p in curves) <= MOST_TILT_DEG
    straight = [t for t in TRUTHS if t.get("COBB") is None]
    assert 0.3 < len(straight) / len(TRUTHS) < 0.7


def test_some_people_have_another_number_of_vertebrae_and_a_clean_adult_never():
    sets = {tuple(s.level for s in spec.segments) for spec in COHORT}
    assert LEVELS_DOWN in sets
    assert len(sets) >= 3
    clean = [random_spec(np.random.default_rng(seed), adult_clean=True) for seed in range(40)]
    assert {tuple(s.level for s in spec.segments) for spec in clean} == {LEVELS_DOWN}


@pytest.mark.parametrize("seed", range(0, 120, 8))
def test_no_bodies_meet_whatever_the_curve(seed: int):
    """The lowest point of each inferior rim stays above the superior rim below it."""
    bones = skeleton.build(COHORT[seed]).bones
    for upper, lower in itertools.pairwise(bones[1:]):
        below = lower.body
        for rim in upper.body.plate_edges("inferior"):
            assert float((rim - below.superior_mm) @ below.superior_normal) > 0, (upper.level, lower.level)


def test_the_same_seed_is_the_same_person():
    assert random_spec(np.random.default_rng(5)) == random_spec(np.random.default_rng(5))
    assert random_spec(np.random.default_rng(5)) != random_spec(np.random.default_rng(6))


def test_a_fracture_wedges_its_body_and_keeps_the_kyphosis_asked_for():
    spec = standing_spec(TK_deg=44, fractures={"T8": 14.0})
    wedge = {s.level: s.slope_superior_deg - s.slope_inferior_deg for s in spec.segments}
    assert wedge["T8"] == pytest.approx(17.0)
    found = truth.measure(skeleton.landmarks(skeleton.build(spec), np.eye(4))).get("TK_T4T12")
    assert found is not None
    assert found.value == pytest.approx(44, abs=0.01)
