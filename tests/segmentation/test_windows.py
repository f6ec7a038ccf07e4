import numpy as np
import pytest
import torch
from torch import nn

from spine_node.segmentation.networks import OFFSET_UNIT_MM, Architecture, Heads
from spine_node.segmentation.windows import LOG_FLOOR, infer


class LocalNet(nn.Module):
    """Says the same about a voxel whatever the window: its value, and its value at half size."""

    architecture = Architecture(widths=(4, 8), semantic=2, levels=2)

    def forward(self, x):
        half = nn.functional.avg_pool3d(x, 2)
        return Heads(
            torch.cat([x * 0, x], dim=1), half.expand(-1, 3, -1, -1, -1), torch.cat([half, -half], dim=1)
        )


@pytest.mark.parametrize("shape", [(40, 33, 50), (16, 16, 16), (7, 61, 30), (5, 5, 5)])
def test_windows_leave_no_trace(shape):
    """For a net that looks at single voxels the blended answer is that of the whole volume."""
    values = np.random.default_rng(1).normal(0, 1, shape).astype(np.float32)
    ticks: list[float] = []
    heads = infer(LocalNet(), values, (16, 24, 16), 0.3, torch.device("cpu"), ticks.append)
    x = torch.from_numpy(values)
    expected = torch.log_softmax(torch.stack([x * 0, x]), dim=0).clamp_min(LOG_FLOOR)
    assert heads.semantic.shape == expected.shape
    assert heads.semantic.numpy() == pytest.approx(expected.numpy(), abs=2e-2)
    even = tuple(n - n % 2 for n in shape)
    half = nn.functional.avg_pool3d(x[None, None, : even[0], : even[1], : even[2]], 2)[0, 0]
    inner = tuple(slice(0, n // 2) for n in even)
    assert heads.offset[(0, *inner)].numpy() == pytest.approx(half.numpy() * OFFSET_UNIT_MM, abs=0.3)
    assert heads.offset.shape[1:] == tuple((n + 1) // 2 for n in shape)
    assert ticks[-1] == 1.0


def test_a_flat_region_is_background_without_being_looked_at():
    values = np.zeros((64, 16, 16), np.float32)
    values[:16] = np.random.default_rng(1).normal(0, 1, (16, 16, 16))
    heads = infer(LocalNet(), values, (16, 16, 16), 0.0, torch.device("cpu"), lambda _: None)
    assert (heads.semantic[:, 40:].argmax(dim=0) == 0).all()
    assert (heads.semantic[1, 40:] == LOG_FLOOR).all()
