"""The people that are drawn at random: possible, varied, and spread like the population."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from spine_node.phantom import skeleton
from spine_node.phantom.pose import LEVELS_DOWN, random_spec

COHORT = [random_spec(np.random.default_rng(seed)) for seed in range(120)]


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
