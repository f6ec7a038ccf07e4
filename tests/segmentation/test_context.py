"""What the context net saw, and what of it may be bone of spine and pelvis."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spine_node.anatomy import levels
from spine_node.segmentation import context
from spine_node.segmentation.bundle import load_bundle
from spine_node.segmentation.classes import BODY, HEAD, HIP, LEVEL_CLASSES, POSTERIOR, SACRUM, TISSUES
from spine_node.segmentation.context import MARGIN_MM, SEEN, look
from spine_node.segmentation.windows import LOG_FLOOR
from tests.segmentation.perfect_net import perfect_heads
from tests.segmentation.toy_spine import SPACING_MM, toy_case

COARSE_MM = 1.5 * SPACING_MM


@pytest.fixture
def looked(tiny_pair, monkeypatch):
    """Looks at the toy with a net that says these heads."""

    def at(volume, heads):
        monkeypatch.setattr(context, "infer", lambda *_: heads)
        net = load_bundle(tiny_pair).context
        assert net is not None
        return look(torch.nn.Identity(), net, volume, torch.device("cpu"), lambda _: None)

    return at


def say(heads, kind, box, chance=1.0):
    """Put a piece of tissue into what the net says; box in voxels (z, y, x)."""
    heads.semantic[(slice(None), *box)] = LOG_FLOOR
    heads.semantic[(kind, *box)] = float(np.log(chance))
    heads.semantic[(0, *box)] = max(LOG_FLOOR, float(np.log(max(1 - chance, 1e-9))))


def test_bone_and_a_margin_around_it_are_near(looked):
    volume, truth = toy_case(4)
    seen = looked(volume, perfect_heads(truth, COARSE_MM))
    assert seen.shows_spine
    near = seen.near_on(truth.grid)
    assert near[truth.labels > 0].all()
    shifted = np.roll(truth.labels > 0, round((MARGIN_MM - COARSE_MM) / SPACING_MM), axis=1)
    assert near[shifted].all()
    assert near.mean() < 0.5


def test_what_is_hardly_likely_is_looked_at_all_the_same(looked):
    """A vertebra that the context net half misses, far from the others, is not lost."""
    volume, truth = toy_case(4)
    upper = np.isin(truth.labels % 100, [levels.VERTEBRA_VALUES[name] for name in ("T8", "T9", "T10")])
    below = type(truth)(truth.grid, np.where(upper, 0, truth.labels).astype(np.uint8))
    box = (slice(58, 61), slice(12, 18), slice(20, 26))
    for chance, wanted in ((1.5 * SEEN, True), (0.5 * SEEN, False)):
        heads = perfect_heads(below, COARSE_MM)
        say(heads, BODY, box, chance)
        assert looked(volume, heads).near[box].all() == wanted


@pytest.mark.parametrize(
    ("kind", "where"),
    [
        (HIP, "a rib beside T9"),
        (HEAD, "a shoulder"),
        (POSTERIOR, "a shoulder"),
        (SACRUM, "a shoulder"),
        (BODY, "an arm"),
    ],
)
def test_what_cannot_be_there_is_not_looked_at(looked, kind, where):
    volume, truth = toy_case(4)
    z, x = {"a rib beside T9": (54, 40), "a shoulder": (62, 2), "an arm": (40, 2)}[where]
    box = (slice(z - 4, z), slice(14, 20), slice(x, x + 4))
    heads = perfect_heads(truth, COARSE_MM)
    before = looked(volume, heads).near
    assert not before[box].all()
    say(heads, kind, box)
    assert (looked(volume, heads).near == before).all()


def test_a_pelvis_without_a_spine_stays_in_view_but_shows_none(looked):
    volume, truth = toy_case(4)
    labels = np.where(np.isin(truth.labels, (29, 30, 31, 32)), truth.labels, 0).astype(np.uint8)
    seen = looked(volume, perfect_heads(type(truth)(truth.grid, labels), COARSE_MM))
    assert not seen.shows_spine
    assert seen.near_on(truth.grid)[labels > 0].all()


def test_noise_shows_no_spine(looked):
    volume, truth = toy_case(4)
    heads = perfect_heads(type(truth)(truth.grid, np.zeros_like(truth.labels)), COARSE_MM)
    noise = np.random.default_rng(0).random(heads.semantic.shape[1:]) < 0.002
    heads.semantic[:, noise] = float(np.log(1 / len(TISSUES)))
    seen = looked(volume, heads)
    assert not seen.shows_spine
    assert not seen.near.any()


def test_levels_are_read_where_a_body_is_whatever_the_grid(looked):
    """The context net's half-size voxels are three times those of the fine net, and not aligned to them."""
    volume, truth = toy_case(4)
    seen = looked(volume, perfect_heads(truth, COARSE_MM))
    values = [levels.VERTEBRA_VALUES[name] for name in ("T9", "T12", "L4")]
    bodies = np.zeros(truth.labels.shape, np.uint8)
    for index, value in enumerate(values, start=1):
        bodies[truth.labels == value] = index
    said = seen.level_of(truth.grid, bodies, len(values) + 1)
    assert [LEVEL_CLASSES[row.argmax()] for row in said[:3]] == ["T9", "T12", "L4"]
    assert np.ptp(said[3]) == 0
