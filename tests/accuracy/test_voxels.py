"""Label maps of the accuracy phantom: voxels agree with the surfaces they were painted from."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy import ndimage

from tests.accuracy.comparison import panel_of
from tests.accuracy.dimensions import LABELS
from tests.accuracy.landmarks import marks
from tests.accuracy.skeleton import Skeleton, standing
from tests.accuracy.views import View, view


@cache
def shown(seed: int, spacing: float, variant: str = "exact", crop: str = "whole") -> tuple[Skeleton, View]:
    skeleton = standing(seed)
    return skeleton, view(skeleton, spacing, variant, crop)


@pytest.mark.parametrize("seed", [1, 4])
def test_volumes_and_centroids_of_bodies_are_those_of_the_surfaces(seed: int) -> None:
    """Quadrature of the surfaces against counted voxels."""
    skeleton, seen = shown(seed, 1.0)
    grid, labels = seen.label_map.grid, seen.label_map.labels
    for level in ("C5", "T3", "T8", "L1", "L4"):
        if level not in skeleton.bodies:
            continue
        placed = skeleton.bodies[level]
        index = np.argwhere(labels == LABELS[level])
        assert len(index) * grid.voxel_mm3 == pytest.approx(placed.shape.volume_mm3, rel=0.01)
        assert np.abs(grid.to_mm(index).mean(axis=0) - placed.out(placed.shape.centroid)).max() < 0.1


@pytest.mark.parametrize("variant", ["noise", "nearest"])
def test_noise_and_resampling_leave_volumes_nearly_alone(variant: str) -> None:
    skeleton, seen = shown(4, 1.5, variant)
    for level in ("T8", "L3"):
        count = (seen.label_map.labels == LABELS[level]).sum() * seen.label_map.grid.voxel_mm3
        assert count == pytest.approx(skeleton.bodies[level].shape.volume_mm3, rel=0.06)


def test_noise_moves_the_surface_by_half_a_millimetre() -> None:
    """Voxels that changed sides fill a shell: the mean of |N(0, 0.5)| is 0.4 mm thick."""
    skeleton = standing(4)
    from spine_node.imaging.volume import Grid
    from tests.accuracy.voxels import Roughness, rasterise

    placed = skeleton.bodies["L3"]
    affine = np.diag([0.5, 0.5, 0.5, 1.0])
    affine[:3, 3] = placed.origin - 30
    grid = Grid((120, 120, 120), affine)
    clean, rough = (rasterise(skeleton, grid, r).labels == LABELS["L3"] for r in (None, Roughness(3)))
    changed = (clean ^ rough).sum() * grid.voxel_mm3
    body = placed.shape
    a, b, high = body.superior.a, body.superior.b, body.superior.height * 2
    surface = 2 * np.pi * a * b + 2 * np.pi * np.sqrt((a * a + b * b) / 2) * high
    assert 0.25 < changed / surface < 0.6


@pytest.mark.parametrize("seed", [0, 1])
def test_every_vertebra_is_in_one_piece(seed: int) -> None:
    """It hangs together by its pedicles, and its posterior elements by their laminae."""
    skeleton = standing(seed)
    for level in skeleton.levels:
        bow, body = skeleton.arches[level].shape, skeleton.bodies[level].shape
        low, high = (f(a, b) for f, a, b in zip((np.minimum, np.maximum), bow.box, body.box, strict=True))
        axes = [np.arange(a, b) for a, b in zip(low, high, strict=True)]
        x, y, z = np.meshgrid(*axes, indexing="ij")
        inside = body.contains(x, y, z)
        behind = bow.contains(x, y, z) & ~inside
        for mask in (behind, behind | inside):
            sizes = np.bincount(ndimage.label(mask, np.ones((3, 3, 3)))[0].ravel())[1:]
            # slivers along the wall of the body may come loose
            assert sizes.max() / sizes.sum() > 0.998, (level, sizes)


def test_the_crest_is_the_highest_point_of_the_hip_bone() -> None:
    skeleton, seen = shown(1, 1.0)
    exact = marks(skeleton)
    grid, labels = seen.label_map.grid, seen.label_map.labels
    for side in ("left", "right"):
        heights = grid.to_mm(np.argwhere(labels == LABELS[f"hip {side}"])) @ skeleton.up
        # voxel layers may pass by the top by up to one voxel, and never rise above it
        assert 0 <= exact.world(exact.crests[side]) @ skeleton.up - heights.max() < 1.05


@pytest.mark.parametrize(
    ("crop", "gone", "left"),
    [
        ("no C7", {"C7", "C2"}, {"S1", "L3", "head left"}),
        ("no heads", {"head left", "head right"}, {"C7", "L1"}),
        ("lumbar only", {"head left", "T5"}, {"L2", "L3", "S1"}),
        ("pelvis only", {"L3", "T12"}, {"head left", "head right", "S1"}),
    ],
)
def test_a_field_of_view_hides_what_it_cuts(crop: str, gone: set[str], left: set[str]) -> None:
    _, seen = shown(1, 1.5, "exact", crop)
    assert left <= seen.seen
    assert not gone & seen.seen


def test_one_head_is_left_of_two() -> None:
    _, seen = shown(1, 1.5, "exact", "one head")
    assert len({"head left", "head right"} & seen.seen) == 1
    assert "S1" in seen.seen


def test_the_true_panel_covers_every_vertebra_and_segment() -> None:
    skeleton, _, values = panel_of(1)
    places = {(v.key, v.where) for v in values}
    for level in skeleton.levels[1:]:
        for key in ("AVR", "VBH_ANT", "VBR_PP", "VB_WEDGE_SAG", "EPW_SUP", "VB_VOL", "V_VOL", "CANAL_AP"):
            assert (key, (level,)) in places
    assert ("SLIP_MM", (skeleton.levels[-1], "S1")) in places
