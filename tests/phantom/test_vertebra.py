"""Bone that has grown across a disc."""

from __future__ import annotations

import numpy as np

from spine_node.anatomy import levels
from spine_node.phantom.lattice import Lattice
from spine_node.phantom.pose import standing_spec
from spine_node.phantom.scene import Scene
from spine_node.phantom.skeleton import build
from spine_node.phantom.vertebra import bridges

PERSON = build(standing_spec())


def touching(labels: np.ndarray, a: int, b: int) -> bool:
    return any(
        bool((((x == a) & (y == b)) | ((x == b) & (y == a))).any())
        for x, y in (
            (np.take(labels, range(labels.shape[k] - 1), k), np.take(labels, range(1, labels.shape[k]), k))
            for k in range(3)
        )
    )


def test_a_bridge_joins_two_bodies_and_gives_each_its_half():
    l2, l3 = (next(b for b in PERSON.bones if b.level == n).body for n in ("L2", "L3"))
    low = l3.middle_mm - [40, 40, 10]
    affine = np.array([[0, 0, 1, low[0]], [0, 1, 0, low[1]], [1, 0, 0, low[2]], [0, 0, 0, 1.0]])
    at = Lattice((int(l2.middle_mm[2] - low[2]) + 10, 80, 80), affine)
    grown = bridges(PERSON, np.random.default_rng(3), chance=1.0)
    plain, fused = (Scene(PERSON, more).draw(at).labels.numpy() for more in ((), grown))
    pair = levels.VERTEBRA_VALUES["L2"], levels.VERTEBRA_VALUES["L3"]
    assert not touching(plain, *pair)
    assert touching(fused, *pair)
    assert all(((fused == v) & (plain == 0)).any() for v in pair)


def test_two_discs_in_a_hundred_are_bridged():
    found = [len(bridges(PERSON, np.random.default_rng(k))) / 6 for k in range(150)]
    assert 0.25 < np.mean(found) < 0.75
