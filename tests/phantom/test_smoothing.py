"""Gaussian smoothing and shifts: those of scipy, on any device."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from spine_node.phantom.smoothing import shifted, smooth

FIELD = np.random.default_rng(5).standard_normal((21, 34, 27)).astype(np.float32)


@pytest.mark.parametrize("mode", ["nearest", "wrap"])
def test_smoothing_is_that_of_scipy(mode: str):
    sigma = (0.8, 2.0, 1.3)
    expected = ndimage.gaussian_filter(FIELD, sigma, truncate=3.0, mode=mode)
    found = smooth(torch.from_numpy(FIELD), sigma, wrap=mode == "wrap").numpy()
    assert found == pytest.approx(expected, abs=1e-5)


def test_an_axis_with_next_to_no_blur_is_left_alone():
    assert np.array_equal(smooth(torch.from_numpy(FIELD), (0.2, 0.0, 0.1)).numpy(), FIELD)


@pytest.mark.parametrize("voxels", [-2.25, 0.0, 3.0, 0.6])
def test_a_shift_is_that_of_scipy(voxels: float):
    expected = ndimage.shift(FIELD, (0, voxels, 0), order=1, mode="nearest")
    assert shifted(torch.from_numpy(FIELD), 1, voxels).numpy() == pytest.approx(expected, abs=1e-5)
