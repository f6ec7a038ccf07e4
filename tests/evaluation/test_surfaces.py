import numpy as np
import pytest
import torch
from monai.metrics import HausdorffDistanceMetric, SurfaceDiceMetric, SurfaceDistanceMetric
from scipy import ndimage

from spine_node.evaluation.surfaces import block_areas, surface_distances


def ball(radius_mm, spacing, centre_mm=(0.0, 0.0, 0.0), half_mm=20.0):
    axes = [np.arange(-half_mm, half_mm + s / 2, s) - c for s, c in zip(spacing, centre_mm, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    return z**2 + y**2 + x**2 <= radius_mm**2


def lump(seed, shape=(22, 26, 30), blur=3.0):
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), blur)
    core = noise > np.quantile(noise, 0.8)
    return np.pad(core[2:-2, 2:-2, 2:-2], 2)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 0.8, 0.8)])
def test_concentric_balls_are_the_difference_of_their_radii_apart(spacing):
    found = surface_distances(ball(10, spacing), ball(14, spacing), np.array(spacing))
    assert found.average_mm() == pytest.approx(4, abs=0.25 * max(spacing))
    assert found.hausdorff_mm() == pytest.approx(4, abs=0.75 * max(spacing))
    assert found.dice(1.5) == 0
    assert found.dice(6.0) == 1


def test_a_ball_has_the_area_of_a_ball():
    areas = surface_distances(ball(12, (1, 1, 1)), ball(12, (1, 1, 1)), np.ones(3)).blocks_mm2[0]
    # Steps of voxels make a rough surface: marching cubes on a binary mask are 8 % above the sphere's.
    assert areas.sum() == pytest.approx(4 * np.pi * 144, rel=0.1)


def test_a_cube_shifted_by_two_voxels():
    """Two of six faces lie 2 voxels away; the four others slide within themselves but for their ends."""
    cube = np.zeros((40, 40, 40), bool)
    cube[10:30, 10:30, 10:30] = True
    found = surface_distances(cube, np.roll(cube, 2, axis=0), np.array([1.5, 1, 1]))
    assert found.hausdorff_mm() == pytest.approx(3.0)
    assert found.hausdorff_mm(100) == pytest.approx(3.0)
    assert found.dice(3.0) == 1
    faces = 2 * 20 * 20 / (2 * 20 * 20 + 4 * 20 * 30)
    assert found.dice(1.0) == pytest.approx(1 - faces - (1 - faces) * 0.5 / 10, abs=0.06)


def test_the_same_mask_is_nowhere_apart():
    found = surface_distances(lump(3), lump(3), np.array([3, 1, 1]))
    assert (found.average_mm(), found.hausdorff_mm(), found.dice(0.0)) == (0, 0, 1)


def test_nothing_has_no_distance():
    assert surface_distances(lump(1), np.zeros_like(lump(1)), np.ones(3)) is None


def test_a_block_half_full_has_the_area_of_its_face():
    areas = block_areas((3.0, 2.0, 1.0))
    halves = {0b00001111: 2.0 * 1.0, 0b00110011: 3.0 * 1.0, 0b01010101: 3.0 * 2.0}
    assert all(areas[code] == pytest.approx(area) for code, area in halves.items())


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.filterwarnings("ignore::FutureWarning")  # MONAI about its own next version
def test_monai_finds_the_same_distances(seed):
    spacing = (2.5, 0.9, 1.2)
    one, other = lump(seed), lump(seed, blur=2.5)
    found = surface_distances(one, other, spacing)
    batch = [torch.from_numpy(np.stack([~m, m])[None].astype(np.float32)) for m in (one, other)]
    hausdorff = HausdorffDistanceMetric(percentile=95)(*batch, spacing=spacing).item()
    average = SurfaceDistanceMetric(symmetric=True)(*batch, spacing=spacing).item()
    assert found.hausdorff_mm() == pytest.approx(hausdorff, rel=1e-4)
    assert found.average_mm() == pytest.approx(average, rel=1e-4)
    for tolerance in (1.0, 2.0):
        share = SurfaceDiceMetric([tolerance], use_subvoxels=True)(*batch, spacing=spacing).item()
        assert found.dice(tolerance) == pytest.approx(share, abs=0.005)
