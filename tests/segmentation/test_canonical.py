from itertools import permutations, product

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from spine_node.errors import SeriesRefused
from spine_node.imaging.volume import Grid, Volume
from spine_node.segmentation.canonical import canonical, canonical_grid, nearest
from spine_node.segmentation.grey_scale import scaled

SIGNED_AXES = [
    np.eye(3)[:, order] * signs
    for order in permutations(range(3))
    for signs in product((1.0, -1.0), repeat=3)
]


def grid_of(axes, spacing=(1.0, 2.0, 3.0), shape=(41, 22, 15), centre=(7.0, -3.0, 11.0)):
    affine = np.eye(4)
    affine[:3, :3] = axes @ np.diag(spacing)
    affine[:3, 3] = np.array(centre) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Grid(shape, affine)


def ramp(grid):
    """A volume whose value is a different linear function of each LPS coordinate."""
    points = grid.to_mm(np.moveaxis(np.indices(grid.shape), 0, -1))
    return points @ [1.0, 0.1, -0.03]


@pytest.mark.parametrize("axes", SIGNED_AXES)
def test_every_orientation_arrives_at_its_place(axes):
    """The grey value at a canonical voxel is that of its own LPS point, for all 48 orientations."""
    grid = grid_of(axes)
    view = canonical(Volume(grid, ramp(grid).astype(np.float32)), 2.0)
    expected = ramp(view.grid)
    core = (slice(2, -2),) * 3
    got, want = view.values[core].ravel(), expected[core].ravel()
    line = np.polyfit(want, got, 1)
    assert line[0] > 0
    assert np.abs(np.polyval(line, want) - got).max() < 0.05


@pytest.mark.parametrize("axes", SIGNED_AXES[:8])
def test_labels_go_there_and_stay_in_place(axes):
    grid = grid_of(axes, spacing=(1.0, 1.0, 1.0), shape=(30, 24, 20))
    labels = np.zeros(grid.shape, np.uint8)
    labels[4:12, 5:9, 10:17] = 20
    target = canonical_grid(grid, 1.0)
    moved = nearest(labels, grid, target)
    before = grid.to_mm(np.argwhere(labels == 20).mean(axis=0))
    after = target.to_mm(np.argwhere(moved == 20).mean(axis=0))
    assert after == pytest.approx(before, abs=0.51)
    assert (moved == 20).sum() == pytest.approx((labels == 20).sum(), rel=0.1)


def test_an_oblique_grid_is_held_and_its_corners_are_known_to_be_outside():
    axes = Rotation.from_euler("xyz", (20, 10, 30), degrees=True).as_matrix()
    grid = grid_of(axes, spacing=(1.0, 1.0, 1.0), shape=(40, 40, 40))
    view = canonical(Volume(grid, ramp(grid).astype(np.float32)), 2.0)
    assert not view.inside[0, 0, 0]
    assert view.inside.sum() * 8 == pytest.approx(40**3, rel=0.1)


def test_fine_noise_is_averaged_not_picked():
    """Interpolation alone would keep the noise of single voxels: 4^3 of them make one here."""
    rng = np.random.default_rng(5)
    grid = grid_of(np.eye(3), spacing=(0.5, 0.5, 0.5), shape=(80, 80, 80))
    values = ramp(grid) * 100 + rng.normal(0, 100, grid.shape)
    smooth = canonical(Volume(grid, (ramp(grid) * 100).astype(np.float32)), 2.0).values
    noisy = canonical(Volume(grid, values.astype(np.float32)), 2.0).values
    line = np.polyfit(smooth.ravel(), noisy.ravel(), 1)
    left = noisy - np.polyval(line, smooth)
    assert left.std() < 0.25 * 100 * line[0] * np.ptp(smooth) / np.ptp(ramp(grid) * 100)


@pytest.mark.parametrize(("gain", "offset"), [(0.3, 900.0), (7.0, -4000.0)])
def test_gain_and_offset_of_a_scanner_change_nothing(gain, offset):
    rng = np.random.default_rng(2)
    values = rng.normal(0, 1, (20, 20, 20)).astype(np.float32)
    values[:10] -= 30
    inside = np.ones(values.shape, bool)
    assert scaled(values * gain + offset, inside) == pytest.approx(scaled(values, inside), abs=1e-3)


def test_a_constant_image_is_refused():
    grid = grid_of(np.eye(3))
    with pytest.raises(SeriesRefused, match="every grey value is 40"):
        canonical(Volume(grid, np.full(grid.shape, 40.0)), 2.0)


def test_a_single_thin_slice_is_refused_with_its_extent():
    grid = grid_of(np.eye(3), spacing=(1.0, 1.0, 1.0), shape=(64, 64, 1))
    with pytest.raises(SeriesRefused, match="covers 2 x 64 x 64 mm"):
        canonical(Volume(grid, np.zeros(grid.shape)), 2.0)


def test_values_that_are_not_finite_are_refused():
    grid = grid_of(np.eye(3))
    values = ramp(grid)
    values[3, 3, 3] = np.nan
    with pytest.raises(SeriesRefused, match="not finite"):
        canonical(Volume(grid, values), 2.0)
