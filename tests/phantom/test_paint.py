"""Random contrast: every tissue its own mean and spread, anything brighter than anything."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from spine_node.phantom.drawing import SEMANTIC, Drawing
from spine_node.phantom.generate import generate
from spine_node.phantom.paint import paint, random_palette

PALETTES = [random_palette(np.random.default_rng(k)) for k in range(300)]


def test_bone_is_brighter_than_muscle_about_as_often_as_not():
    brighter = np.mean([p.bone[SEMANTIC["body"]].marrow > p.soft["muscle"] for p in PALETTES])
    assert 0.35 < brighter < 0.75


def test_tissues_are_drawn_apart_from_each_other():
    muscle, fat = ([p.soft[name] for p in PALETTES] for name in ("muscle", "fat"))
    assert abs(np.corrcoef(muscle, fat)[0, 1]) < 0.15
    assert np.std(muscle) > 200


def test_the_image_has_the_contrast_of_its_palette():
    """A ball of bone in a disc without noise: the disc is the palette's, the bone's core its marrow."""
    n = 32
    at = torch.meshgrid(*3 * [torch.arange(n) - n / 2], indexing="ij")
    depth = torch.sqrt(sum(x**2 for x in at)) - 14
    bone = (depth < 0).to(torch.uint8)
    kind = torch.full_like(bone, SEMANTIC["body"])
    drawing = Drawing(bone, torch.where(bone > 0, kind, SEMANTIC["disc"]), depth, kind)
    for palette in (replace(p, bias=0.0, grain=0.0) for p in PALETTES[:5]):
        shape, none = tuple(depth.shape), torch.zeros_like(depth)
        image = paint(
            drawing,
            [],
            palette,
            none,
            none,
            coarse_shape=shape,  # type: ignore[arg-type]
            full_shape=shape,  # type: ignore[arg-type]
            rows=(0, n),
            voxel_mm=1.0,
        )
        disc, marrow = image[depth > 1], image[depth < -12.5]
        assert torch.allclose(disc, torch.tensor(palette.soft["disc"]))
        wanted = palette.bone[SEMANTIC["body"]]
        assert marrow.numpy() == pytest.approx(wanted.marrow, abs=1 + 0.03 * abs(wanted.rim))


@pytest.mark.parametrize("seed", [3, 8])
def test_the_same_seed_paints_the_same_people_differently(seed: int):
    cbct, random = (generate(seed, spacing_mm=7, painting=p) for p in ("cbct", "random"))  # type: ignore[arg-type]
    assert cbct.truth.to_json() == random.truth.to_json()
    assert np.array_equal(cbct.label_map.labels, random.label_map.labels)
    tissue = [p.volume.values[p.label_map.labels > 0] for p in (cbct, random)]
    assert np.corrcoef(*tissue)[0, 1] < 0.5
