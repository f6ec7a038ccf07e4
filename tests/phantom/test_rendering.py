"""Image, labels, landmarks and truth tell of the same moment, also of a patient who moves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spine_node.anatomy import levels
from spine_node.phantom.generate import Phantom, generate
from spine_node.phantom.physics import Scanner

STILL = Scanner(blur_mm=0.6, noise=5.0, grain_mm=0.5, seam=(0.5, 0.0, 0.0))
SPACING_MM = 3.0


def make(scanner: Scanner, spacing_mm: float | tuple[float, float] = SPACING_MM) -> Phantom:
    return generate(11, spacing_mm=spacing_mm, clean=True, field_of_view="thoracolumbar", scanner=scanner)


@pytest.fixture(scope="module")
def still() -> Phantom:
    return make(STILL)


def centroids(phantom: Phantom) -> dict[str, np.ndarray]:
    labels, grid = phantom.label_map.labels, phantom.label_map.grid
    found = {
        v.level: np.argwhere(labels == levels.VERTEBRA_VALUES[v.level]) for v in phantom.landmarks.vertebrae
    }
    return {level: grid.to_mm(where.mean(axis=0)) for level, where in found.items()}


def test_what_lies_above_a_seam_moves_with_the_patient_and_what_lies_below_does_not(still: Phantom):
    """Labels move by what the scanner says, here whole voxels, and their landmarks go with them."""
    moved = make(replace(STILL, seam_shift_mm=(3.0, -3.0)))
    before, after = centroids(still), centroids(moved)
    top, bottom = max(before, key=lambda k: before[k][2]), min(before, key=lambda k: before[k][2])
    assert after[top] - before[top] == pytest.approx([3, -3, 0], abs=0.02)
    assert after[bottom] - before[bottom] == pytest.approx([0, 0, 0], abs=1e-6)
    for v, w in zip(still.landmarks.vertebrae, moved.landmarks.vertebrae, strict=True):
        if v.level in (top, bottom):
            assert w.body_centre_mm - v.body_centre_mm == pytest.approx(
                after[v.level] - before[v.level], abs=0.02
            )


def test_the_image_moves_with_its_labels(still: Phantom):
    """Three millimetres are one voxel: above the seam the moved image is the still one, one column on."""
    moved = make(replace(STILL, noise=0.0, seam_shift_mm=(3.0, 0.0)))
    still = make(replace(STILL, noise=0.0))
    up = moved.volume.grid.affine[2, 0] > 0
    top = slice(-20, -4) if up else slice(4, 20)
    bone = still.label_map.labels[top, :, :-1] > 0
    a, b = still.volume.values[top, :, :-1][bone], moved.volume.values[top, :, 1:][bone]
    assert np.corrcoef(a, b)[0, 1] > 0.85
    assert np.array_equal(still.label_map.labels[top, :, :-1], moved.label_map.labels[top, :, 1:])


def test_thick_slices_show_the_same_person(still: Phantom):
    thick = make(STILL, (2.0, 4.0))
    assert thick.volume.grid.spacing_mm == pytest.approx([4, 2, 2])
    assert thick.truth.to_json() == still.truth.to_json()
    for v in thick.landmarks.vertebrae:
        assert np.linalg.norm(centroids(thick)[v.level] - v.body_centre_mm) < 1.5, v.level
