"""The highest point of a hip bone: a place of the crest, not of its noise."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from spine_node.anatomy.crests import find_crest
from spine_node.anatomy.levels import HIP_LEFT
from spine_node.geometry.directions import unit
from spine_node.imaging.components import Blob, boxes, cut_out
from spine_node.imaging.volume import Grid, LabelMap

Array = NDArray[np.float64]

HALF = np.array([12.0, 60.0, 85.0])
"""A hip bone as an upright ellipsoid, thin from side to side, mm."""

CENTRE = np.array([2.2, 5.4, -3.1])


def hip(spacing_mm: float = 1.0, *, top_mm: float = 95.0, spike_mm: float = 0.0) -> Blob:
    affine = np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0])
    low = np.array([-25.0, -75.0, -100.0])
    affine[:3, 3] = low + 0.21 * spacing_mm
    size = np.floor((np.array([25.0, 75.0, top_mm]) - low) / spacing_mm).astype(int)
    grid = Grid((int(size[0]), int(size[1]), int(size[2])), affine)
    points = grid.to_mm(np.moveaxis(np.indices(grid.shape), 0, -1))
    inside = np.linalg.norm((points - CENTRE) / HALF, axis=-1) < 1
    if spike_mm:
        aside = np.abs(points[..., :2] - CENTRE[:2] - [0.0, 20.0]).max(axis=-1)
        inside |= (aside < 0.6 * spacing_mm) & (np.abs(points[..., 2] - 70) < 15 + spike_mm)
    label_map = LabelMap(grid, (inside * HIP_LEFT).astype(np.uint8))
    return cut_out(label_map, HIP_LEFT, boxes(label_map)[HIP_LEFT])


def summit(up: Array) -> Array:
    """Where the ellipsoid reaches furthest in a direction."""
    return np.asarray(CENTRE + HALF**2 * up / np.linalg.norm(HALF * up))


@pytest.mark.parametrize("spacing", [0.7, 1.0, 1.5])
@pytest.mark.parametrize("up", [[0, 0, 1], [0.12, -0.1, 1]], ids=["upright", "leaning"])
def test_the_summit_is_found_within_a_part_of_a_voxel(spacing: float, up: list[float]) -> None:
    point, reason = find_crest(hip(spacing), unit(up))
    assert point is not None, reason
    off = point - summit(unit(up))
    assert abs(float(off @ unit(up))) < 0.4 * spacing
    assert np.linalg.norm(off) < 2.5


def test_a_spike_of_single_voxels_is_passed_over() -> None:
    point, _ = find_crest(hip(spike_mm=12.0), np.array([0.0, 0.0, 1.0]))
    assert point is not None
    assert point[2] == pytest.approx(summit(np.array([0.0, 0.0, 1.0]))[2], abs=0.6)


def test_a_crest_above_the_field_is_refused_with_the_reason() -> None:
    point, reason = find_crest(hip(top_mm=70.0), np.array([0.0, 0.0, 1.0]))
    assert point is None
    assert reason == "is cut by the field's edge"


def test_a_small_piece_of_a_hip_bone_shows_no_crest() -> None:
    blob = hip(top_mm=-60.0)
    point, reason = find_crest(blob, np.array([0.0, 0.0, 1.0]))
    assert point is None
    assert "of the bone's height are seen" in reason
