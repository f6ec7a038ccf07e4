"""A real scan in other greys: the same anatomy under the same labels, whichever way its axes run."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from spine_node.errors import LabelMapRefused
from spine_node.imaging.volume import Grid, LabelMap, Volume
from spine_node.phantom.repaint import repaint
from tests.phantom.real_shapes import lumbar_labels


@cache
def scan() -> tuple[Volume, LabelMap]:
    """Vertebrae in a round patient in air, axes x, y, z, with a corner that nobody annotated."""
    source = lumbar_labels(2.5)
    pad = 16
    labels = np.pad(source.labels, ((pad, pad), (pad, pad), (0, 0)))
    affine = source.grid.affine.copy()
    affine[:3, 3] = source.grid.to_mm([-pad, -pad, 0])
    grid = Grid(labels.shape, affine)
    i, j, _ = np.ogrid[tuple(slice(n) for n in labels.shape)]
    radius = np.hypot(i / labels.shape[0] - 0.5, j / labels.shape[1] - 0.5)
    greys = np.where(radius < 0.42, 45.0, -100.0) + 0 * labels
    greys[np.broadcast_to(radius > 0.48, labels.shape)] = -1000
    greys[labels > 0] = 280
    greys[labels > 100] = 480
    noise = np.random.default_rng(0).normal(0, 12, labels.shape)
    labels[-8:, -8:, :4] = 255
    return Volume(grid, (greys + noise).astype(np.float32)), LabelMap(grid, labels)


def labels_there(found: LabelMap, source: LabelMap) -> np.ndarray:
    """Source labels at the voxels of another grid, which is a part of the source's."""
    index = np.round(source.grid.to_index(found.grid.to_mm(np.argwhere(np.ones(found.grid.shape)))))
    return source.labels[tuple(index.astype(int).T)].reshape(found.grid.shape)


@pytest.mark.parametrize("style", ["random", "cbct", "degrade"])
def test_labels_stay_with_their_places(style: str):
    volume, source = scan()
    unknown = 0
    for seed in range(3):
        image, found = repaint(volume, source, seed, style=style)  # type: ignore[arg-type]
        assert image.grid is found.grid
        there = labels_there(found, source)
        shown = found.labels > 0
        assert np.array_equal(found.labels[shown], there[shown])
        assert shown.sum() > 0.6 * (source.labels > 0).sum()
        assert ((found.labels == 255) == (there == 255))[shown].all()
        unknown += int((found.labels == 255).sum())
    assert unknown > 0


def test_what_the_cylinder_leaves_out_has_no_label_and_no_image():
    volume, source = scan()
    for seed in range(20):
        image, found = repaint(volume, source, seed, style="cbct")
        lost = (found.labels == 0) & (labels_there(found, source) > 0)
        if lost.any():
            assert np.ptp(image.values[lost]) == 0
            return
    pytest.fail("no seed of 20 was truncated within the labels")


def test_the_same_seed_gives_the_same_voxels_and_another_does_not():
    one, same, other = (repaint(*scan(), seed)[0] for seed in (5, 5, 6))
    assert np.array_equal(one.values, same.values)
    assert one.values.shape != other.values.shape or not np.allclose(one.values, other.values, atol=50)


@pytest.mark.parametrize("order", [(2, 1, 0), (1, 2, 0)])
def test_the_order_of_axes_does_not_matter(order: tuple[int, int, int]):
    volume, source = scan()
    affine = volume.grid.affine.copy()
    affine[:3, :3] = affine[:3, order]
    grid = Grid(tuple(volume.grid.shape[k] for k in order), affine)  # type: ignore[arg-type]
    turned = (Volume(grid, volume.values.transpose(order)), LabelMap(grid, source.labels.transpose(order)))
    straight, crossed = repaint(volume, source, 3), repaint(*turned, 3)
    assert np.array_equal(straight[1].labels.transpose(order), crossed[1].labels)
    assert np.allclose(straight[0].values.transpose(order), crossed[0].values, atol=0.1)


def test_any_contrast_means_bone_darker_and_brighter_than_soft_tissue():
    volume, source = scan()
    brighter = set()
    for seed in range(8):
        image, found = repaint(volume, source, seed, style="random")
        bone = (found.labels > 0) & (found.labels < 100)
        soft = (labels_there(found, source) == 0) & (np.abs(_greys_there(image, volume) - 45) < 40)
        brighter.add(bool(np.median(image.values[bone]) > np.median(image.values[soft])))
    assert brighter == {True, False}


def test_a_cone_beam_scan_has_bright_bone_and_dark_air():
    volume, source = scan()
    for seed in range(4):
        image, found = repaint(volume, source, seed, style="cbct")
        before = _greys_there(image, volume)
        shown = image.values != image.values.min()
        medians = [np.median(image.values[m & shown]) for m in (found.labels > 100, np.abs(before - 45) < 40)]
        assert medians[0] > medians[1] > np.median(image.values[before < -900])


def test_a_degraded_scan_is_the_scan_but_for_its_scanner():
    volume, source = scan()
    image, _ = repaint(volume, source, 2, style="degrade")
    before = _greys_there(image, volume)
    shown = image.values != image.values.min()
    assert np.corrcoef(before[shown], image.values[shown])[0, 1] > 0.85
    assert not np.allclose(before[shown], image.values[shown], atol=20)


def _greys_there(image: Volume, source: Volume) -> np.ndarray:
    index = np.round(source.grid.to_index(image.grid.to_mm(np.argwhere(np.ones(image.grid.shape)))))
    return source.values[tuple(index.astype(int).T)].reshape(image.grid.shape)


def test_nothing_labelled_is_refused():
    volume, source = scan()
    empty = np.where(source.labels == 255, source.labels, 0)
    with pytest.raises(LabelMapRefused, match="nothing to paint"):
        repaint(volume, LabelMap(source.grid, empty), 0)


def test_labels_of_another_scheme_are_refused_with_their_values():
    volume, source = scan()
    foreign = np.where(source.labels > 0, 60, 0).astype(np.uint8)
    with pytest.raises(LabelMapRefused, match=r"holds 0, 60.*nothing to paint"):
        repaint(volume, LabelMap(source.grid, foreign), 0)


def test_labels_on_another_grid_are_refused():
    volume, source = scan()
    affine = source.grid.affine.copy()
    affine[0, 3] += 5
    with pytest.raises(LabelMapRefused, match="not on the grid"):
        repaint(volume, LabelMap(Grid(source.grid.shape, affine), source.labels), 0)
