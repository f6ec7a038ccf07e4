"""What a scanner adds to an image, on fields made for the test."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spine_node.phantom.lattice import CPU
from spine_node.phantom.physics import Grain

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
