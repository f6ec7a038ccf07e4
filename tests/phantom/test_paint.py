"""Random contrast: every tissue its own mean and spread, anything brighter than anything."""

from __future__ import annotations

import numpy as np
import pytest

from spine_node.phantom.generate import generate
from spine_node.phantom.paint import random_palette
from spine_node.phantom.physics import Scanner
from spine_node.phantom.scene import SEMANTIC

PALETTES = [random_palette(np.random.default_rng(k)) for k in range(300)]


def test_bone_is_brighter_than_muscle_about_as_often_as_not():
    brighter = np.mean([p.bone[SEMANTIC["body"]].marrow > p.soft["muscle"] for p in PALETTES])
    assert 0.35 < brighter < 0.75


def test_tissues_are_drawn_apart_from_each_other():
    muscle, fat = ([p.soft[name] for p in PALETTES] for name in ("muscle", "fat"))
    assert abs(np.corrcoef(muscle, fat)[0, 1]) < 0.15
    assert np.std(muscle) > 200


def test_the_image_has_the_contrast_of_its_palette():
    """Without noise or shading the disc's median is the palette's, times the smooth bias."""
    phantom = generate(
        21, spacing_mm=4, clean=True, painting="random", scanner=Scanner(blur_mm=0.4, noise=0.0, grain_mm=0.5)
    )
    discs = phantom.volume.values[phantom.semantic == SEMANTIC["disc"]]
    assert np.ptp(discs) > 0
    other = generate(22, spacing_mm=4, clean=True, painting="random")
    assert abs(np.median(discs) - np.median(other.volume.values[other.semantic == SEMANTIC["disc"]])) > 1


@pytest.mark.parametrize("seed", [3, 8])
def test_the_same_seed_paints_the_same_people_differently(seed: int):
    cbct, random = (generate(seed, spacing_mm=7, painting=p) for p in ("cbct", "random"))  # type: ignore[arg-type]
    assert cbct.truth.to_json() == random.truth.to_json()
    assert np.corrcoef(cbct.volume.values.ravel(), random.volume.values.ravel())[0, 1] < 0.98
