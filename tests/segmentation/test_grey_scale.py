"""What becomes 0 and 1: soft tissue and dense bone, whatever else is in the field."""

import numpy as np
import pytest

from spine_node.errors import SeriesRefused
from spine_node.imaging.volume import Volume
from spine_node.segmentation.canonical import canonical
from spine_node.segmentation.grey_scale import scaled
from tests.segmentation.toy_spine import toy_grid

AIR, FAT, MUSCLE, MARROW, CORTEX = -1000.0, -100.0, 50.0, 250.0, 800.0


def chest(spacing_mm=4.0):
    """Fat about muscle about a column of marrow with a shell, in air; (volume, distance from the axis)."""
    grid = toy_grid(spacing_mm, (240, 260, 300))
    points = grid.to_mm(np.moveaxis(np.indices(grid.shape), 0, -1))
    x, y = points[..., 0], points[..., 1]
    body = np.hypot(x / 140, y / 105)
    values = np.full(grid.shape, AIR)
    for radius, value in ((1, FAT), (0.85, MUSCLE)):
        values[body < radius] = value
    for radius, value in ((26, CORTEX), (24, MARROW)):
        values[np.hypot(x, y - 30) < radius] = value
    values += np.random.default_rng(3).normal(0, 25, grid.shape)
    return Volume(grid, values.astype(np.float32)), np.hypot(x, y)


def scale_of(volume, like=None):
    """(value of 0, value of 1) that the scaled image has, read off it."""
    view = canonical(volume, 4.0)
    assert view.values.shape == volume.values.shape
    part = view.inside & (np.abs(view.values) < 2.5)
    if like is not None:
        part &= like
    gain, offset = np.polyfit(view.values[part], volume.values[part], 1)
    return np.array([offset, offset + gain])


@pytest.fixture(scope="module")
def plain():
    volume, away = chest()
    return volume, away, scale_of(volume)


def close(found, expected, share=0.05):
    """Both ends within this share of the width from soft tissue to bone."""
    return np.abs(found - expected).max() < share * (expected[1] - expected[0])


def test_soft_tissue_is_0_and_dense_bone_is_1(plain):
    _, _, (middle, dense) = plain
    assert middle == pytest.approx(MUSCLE, abs=15)
    assert MARROW < dense <= CORTEX + 60


@pytest.mark.parametrize("share", [0.002, 0.01, 0.03, 0.06])
@pytest.mark.parametrize("value", [3000.0, 9000.0])
def test_metal_does_not_squeeze_bone(plain, share, value):
    """A hip prosthesis in a small field is more than the half per cent that counts as dense."""
    volume, _, expected = plain
    values = volume.values.copy()
    z, y, x = (n // 2 for n in values.shape)
    half = round((share * values.size) ** (1 / 3) / 2)
    values[z - half : z + half, y - half : y + half, x - 15 - half : x - 15 + half] = value
    assert close(scale_of(Volume(volume.grid, values)), expected, 0.12)


@pytest.mark.parametrize("padding", [-3024.0, -2000.0, 0.0, 40.0, 3000.0])
def test_what_lies_outside_the_scanners_cylinder_is_not_tissue(plain, padding):
    volume, away, _ = plain
    imaged = away < 128
    cut = Volume(volume.grid, np.where(imaged, volume.values, padding).astype(np.float32))
    dark = Volume(volume.grid, np.where(imaged, volume.values, AIR).astype(np.float32))
    assert close(scale_of(cut, imaged), scale_of(dark, imaged), 0.03)


def test_padding_is_no_part_of_the_image(plain):
    volume, away, _ = plain
    view = canonical(Volume(volume.grid, np.where(away < 128, volume.values, 0).astype(np.float32)), 4.0)
    assert np.array_equal(view.inside, away < 128)
    assert view.values[~view.inside].max() < -1


def test_padding_that_is_all_the_air_there_is_stays_air(plain):
    """A narrow field within the body: without its dark surroundings nothing shows what air is."""
    volume, away, expected = plain
    narrow = np.where(away < 85, volume.values, AIR).astype(np.float32)
    view = canonical(Volume(volume.grid, narrow), 4.0)
    assert view.inside.all()
    assert close(scale_of(Volume(volume.grid, narrow), away < 80), expected, 0.25)


def test_a_field_without_air_is_all_tissue(plain):
    """Else bone would be parted from muscle, and the middle of bone would be called 0."""
    volume, _, expected = plain
    view = canonical(volume, 4.0)
    z, y, x = (n // 2 for n in view.values.shape)
    box = (slice(z - 14, z + 14), slice(y - 6, y + 18), slice(x - 14, x + 14))
    part = volume.values[box]
    middle, dense = (np.median(part[np.abs(scaled(part, np.ones(part.shape, bool)) - v) < 0.05])
                     for v in (0, 1))  # fmt: skip
    assert close(np.array([middle, dense]), expected, 0.25)


@pytest.mark.parametrize(("gain", "offset"), [(0.5, 1000.0), (2.0, -1000.0), (0.01, 0.0)])
@pytest.mark.parametrize("what", ["plain", "metal", "padded", "airless"])
def test_a_wrong_hounsfield_scale_changes_nothing(plain, gain, offset, what):
    volume, away, _ = plain
    values = volume.values.copy()
    if what == "metal":
        values[20:30, 25:35, 10:20] = 6000
    if what == "padded":
        values[away > 128] = -3024
    if what == "airless":
        values = values[20:40, 20:44, 24:50]
    inside = np.ones(values.shape, bool)
    assert np.abs(scaled(values * gain + offset, inside) - scaled(values, inside)).max() < 2e-2


def test_values_clipped_by_an_export_still_have_a_scale(plain):
    """A bone window, -200 to 300: air and cortex are cut off, soft tissue and marrow keep their places."""
    volume, _, _ = plain
    middle, dense = scale_of(Volume(volume.grid, np.clip(volume.values, -200, 300)))
    assert middle == pytest.approx(MUSCLE, abs=15)
    assert MARROW < dense < 320


def test_a_field_of_metal_alone_is_still_scaled():
    values = np.full((20, 20, 20), 100.0, np.float32)
    values[8:12] = 5000
    assert np.isfinite(scaled(values, np.ones(values.shape, bool))).all()


def test_nothing_inside_is_refused():
    with pytest.raises(SeriesRefused, match="there is no image"):
        scaled(np.ones((4, 4, 4), np.float32), np.zeros((4, 4, 4), bool))
