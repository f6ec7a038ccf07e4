"""What surgeons left lies where surgeons put it."""

from __future__ import annotations

import numpy as np
import pytest

from spine_node.phantom.implants import Metal, density, streaks
from spine_node.phantom.lattice import Lattice
from spine_node.phantom.pose import standing_spec
from spine_node.phantom.scene import draw
from spine_node.phantom.skeleton import build

PERSON = build(standing_spec())


def lattice(step_mm: float) -> Lattice:
    n = int(180 / step_mm)
    low = np.append(PERSON.bones[-3].body.middle_mm[:2] - 90, -20.0)
    affine = np.array(
        [[0, 0, step_mm, low[0]], [0, step_mm, 0, low[1]], [step_mm, 0, 0, low[2]], [0, 0, 0, 1.0]]
    )
    return Lattice((4 * n, n, n), affine)


DRAWN = [Metal.draw(PERSON, np.random.default_rng(k)) for k in range(400)]


def test_most_people_have_nothing_in_them():
    assert np.mean([bool(m.parts or m.cement) for m in DRAWN]) == pytest.approx(0.19, abs=0.06)


def test_cement_lies_in_vertebral_bodies():
    at = lattice(3.0)
    labels = draw(PERSON, at).labels
    body = (labels > 0) & (labels <= 25)
    checked = 0
    for metal in [m for m in DRAWN if m.cement and not m.parts][:4]:
        share = density(metal.cement, at) > 0.5
        if share.any():
            assert float((share & body).sum() / share.sum()) > 0.9
            checked += 1
    assert checked >= 2


def test_cages_lie_between_bodies():
    """A plastic cage overlaps the disc space: most of it is in no vertebra."""
    at = lattice(3.0)
    labels = draw(PERSON, at).labels
    checked = 0
    for metal in [m for m in DRAWN if m.cement and m.parts][:4]:
        share = density(metal.cement, at) > 0.5
        if share.any():
            assert float((share & (labels == 0)).sum() / share.sum()) > 0.5
            checked += 1
    assert checked >= 2


def test_streaks_stay_in_the_slices_of_the_metal():
    at = lattice(6.0)
    metal = next(m for m in DRAWN if len(m.parts) > 10 and density(m.parts, at).max() > 0.3)
    found = streaks(metal, at, seed=1)
    with_metal = density(metal.parts, at).amax((1, 2)) > 0.02
    reach = found.abs().amax((1, 2))
    assert float(reach[with_metal].min()) == pytest.approx(metal.streaks, rel=1e-3)
    assert float(reach[~with_metal].max()) == 0
