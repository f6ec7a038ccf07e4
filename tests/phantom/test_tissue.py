"""Soft tissue and stand around a skeleton, on the coarse lattice that they are computed on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from spine_node.phantom.arms import Arm, ArmPosture, arm_bones
from spine_node.phantom.habitus import Habitus
from spine_node.phantom.lattice import Lattice
from spine_node.phantom.layers import Layer
from spine_node.phantom.pose import standing_spec
from spine_node.phantom.scene import SEMANTIC, Scene
from spine_node.phantom.skeleton import build
from spine_node.phantom.tissue import Surroundings

PERSON = build(standing_spec())
STEP_MM = 6.0
BUILT = Habitus(girth=1.0, fat_mm=12.0, gas=3)


def lattice() -> Lattice:
    affine = np.array([[0, 0, STEP_MM, -240], [0, STEP_MM, 0, -330], [STEP_MM, 0, 0, -60], [0, 0, 0, 1.0]])
    return Lattice((115, 90, 80), affine)


def layers_of(habitus: Habitus) -> list[Layer]:
    with torch.inference_mode():
        return Surroundings(PERSON, lattice(), habitus, np.random.default_rng(4)).build()


@pytest.mark.parametrize(("posture", "up", "forward"), [("hanging", -1, 0), ("raised", 1, 0), ("bar", 0, 1)])
def test_hands_are_where_the_posture_puts_them(posture: ArmPosture, up: int, forward: int):
    arm = Arm(PERSON, posture, 1.0)
    away = arm.hand - arm.shoulder
    assert np.sign(np.round(away[2] / 200)) == up
    assert (away[1] < -300) == bool(forward)
    mirrored = Arm(PERSON, posture, -1.0)
    assert mirrored.elbow[0] < 0 < arm.elbow[0]


def test_the_humerus_is_seen_and_not_labelled():
    arm = Arm(PERSON, "bar", 1.0)
    middle = (arm.shoulder + arm.elbow) / 2
    affine = np.eye(4)
    affine[:3, 3] = middle - 2
    found = Scene(PERSON, arm_bones(PERSON, "bar")).draw(Lattice((5, 5, 5), affine))
    assert (found.semantic == SEMANTIC["other_bone"]).all()
    assert not found.labels.any()


def test_the_level_of_the_stomachs_fluid_is_flat():
    """Gas lies on top of it, and ends at one height."""
    at = lattice()
    stack = layers_of(BUILT)
    k = [layer.name for layer in stack].index("stomach")
    gas = stack[k + 1]
    assert gas.name == "gas"
    z = at.along([0, 0, 1], np.zeros(3))[gas.where]
    inside, fluid = z[gas.distance_mm < 0], z[stack[k].distance_mm < -3]
    assert len(inside) > 0
    level = float(inside.min())
    assert float(fluid.min()) < level - 10
    covered = (stack[k].distance_mm < -3) & (z > level + STEP_MM)
    assert bool((gas.distance_mm[covered] < 0).all())


@pytest.mark.parametrize("part", ["backrest", "chin_rest"])
def test_the_stand_is_in_the_image_when_it_is_used(part: str):
    plain, used = layers_of(BUILT), layers_of(replace(BUILT, **{part: True}))
    assert not [layer for layer in plain if layer.name == "stand"]
    (stand,) = (layer for layer in used if layer.name == "stand")
    solid = torch.nonzero(stand.distance_mm < 0)
    assert len(solid) > 8


def test_a_backrest_is_behind_the_patient():
    at = lattice()
    used = layers_of(replace(BUILT, backrest=True))
    y = at.along([0, 1, 0], np.zeros(3))
    (stand,) = (layer for layer in used if layer.name == "stand")
    trunk = next(layer for layer in used if layer.name == "visceral_fat")
    assert float(y[stand.where][stand.distance_mm < 0].min()) > float(
        y[trunk.where][trunk.distance_mm < 0].max()
    )


def test_distractors_are_there_when_asked_for():
    names = [layer.name for layer in layers_of(replace(BUILT, distractors=9))]
    assert 1 <= sum(name.startswith("blob") for name in names) <= 9
    assert not any(layer.name.startswith("blob") for layer in layers_of(BUILT))
