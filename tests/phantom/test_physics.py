"""What a scanner adds to an image, on fields made for the test."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from spine_node.phantom.lattice import CPU, Lattice
from spine_node.phantom.physics import Grain, Scanner, expose, shading

SIGMA = np.array([1.5, 0.9, 2.0])


def test_noise_has_unit_spread_and_its_correlation_along_each_axis():
    noise = Grain(7, (96, 80), SIGMA, CPU).slices(0, 60).numpy()
    assert noise.std() == pytest.approx(1, abs=0.05)
    for axis, sigma in enumerate(SIGMA):
        a, b = (np.take(noise, range(s, noise.shape[axis] - 2 + s), axis) for s in (0, 2))
        # a Gaussian's own correlation is a Gaussian of twice its variance
        assert np.corrcoef(a.ravel(), b.ravel())[0, 1] == pytest.approx(np.exp(-1 / sigma**2), abs=0.06)


def test_noise_does_not_depend_on_how_the_image_is_cut_into_slabs():
    grain = Grain(7, (30, 20), SIGMA, CPU)
    pieces = torch.cat([grain.slices(0, 4), grain.slices(4, 11)])
    assert torch.allclose(pieces, grain.slices(0, 11), atol=1e-6)


QUIET = Scanner(blur_mm=0.5, noise=0.0, grain_mm=0.5)
BOX = Lattice((20, 24, 40), np.diag([5.0, 5.0, 5.0, 1.0])[[2, 1, 0, 3]])


def shade_of(scanner: Scanner, body: torch.Tensor, bone: torch.Tensor) -> np.ndarray:
    return shading(scanner, body, bone, BOX)[0].numpy()


def test_hardened_beams_cross_in_a_dark_band_between_two_dense_bones():
    bone = BOX.full(0)
    bone[10, 12, 8] = bone[10, 12, 32] = 1e4
    found = shade_of(replace(QUIET, hardening=100.0), BOX.full(1), bone)
    assert found.min() == pytest.approx(-100, abs=0.1)
    between, above, before = found[10, 12, 20], found[2, 12, 20], found[10, 2, 20]
    assert between < -50
    assert above > -5
    assert before > -5


def test_cupping_is_deepest_in_the_middle_of_the_patient():
    body = BOX.full(0)
    body[:, 4:20, 6:34] = 1
    found = shade_of(replace(QUIET, cupping=80.0), body, BOX.full(0))
    assert found.min() == pytest.approx(-80, abs=1)
    assert found[10, 12, 20] < found[10, 12, 8] < found[10, 12, 0]


def test_a_cone_shades_top_and_bottom_and_not_the_middle():
    found = np.abs(shade_of(replace(QUIET, cone=60.0), BOX.full(1), BOX.full(0)))
    assert found[0, 5, 5] == pytest.approx(60)
    assert found[-1, 5, 5] == pytest.approx(60)
    assert found[10, 5, 5] < 1


def test_a_patient_sways_smoothly_and_steps_at_the_seam():
    moving = replace(QUIET, drift_mm=(2.0, -1.0), seam=(0.4, 30.0, 0.0), seam_shift_mm=(0.0, 3.0))
    below, above = moving.sway_mm(0.3999), moving.sway_mm(0.4001)
    assert above - below == pytest.approx([0, 3], abs=0.01)
    assert moving.sway_mm(0.0) == pytest.approx([0, 0])
    assert moving.sway_mm(1.0) == pytest.approx([2, 2])


def test_no_drawn_scanner_moves_a_patient_by_more_than_three_millimetres_at_a_seam():
    drawn = [Scanner.draw(np.random.default_rng(k), clean=False) for k in range(400)]
    steps = np.array([np.linalg.norm(s.seam_shift_mm) for s in drawn])
    assert steps.max() <= 3.0001
    assert 0.1 < (steps > 0).mean() < 0.25


def expose_flat(scanner: Scanner) -> np.ndarray:
    image = torch.full((10, 6, 8), 100.0)
    nothing = torch.zeros_like(image)
    return expose(
        image,
        scanner,
        noise=nothing,
        shade=nothing,
        relative_noise=nothing,
        pattern=None,
        rim=None,
        heights=np.linspace(0, 1, 10),
        spacing_mm=(1.0, 1.0),
    ).numpy()


def test_two_stitched_rotations_differ_in_their_greys():
    found = expose_flat(replace(QUIET, seam=(0.5, 40.0, 0.1)))
    assert found[:4] == pytest.approx(100)
    assert found[6:] == pytest.approx(150)


def test_greys_are_not_calibrated():
    assert expose_flat(replace(QUIET, gain=0.8, offset=200.0)) == pytest.approx(280)
