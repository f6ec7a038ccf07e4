import numpy as np
import pytest
import torch
from torch import nn

from spine_node.segmentation.networks import OFFSET_UNIT_MM, Architecture, Heads, SpineNet
from spine_node.segmentation.windows import LOG_FLOOR, infer, window_starts


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


def infer_all(network, values, wanted=None):
    return infer(network, values, (16, 16, 16), 0.25, torch.device("cpu"), lambda _: None, wanted)


def test_asking_everywhere_is_asking_without_a_region():
    """To the last bit, for a net that does depend on its window."""
    torch.manual_seed(1)
    network = SpineNet(Architecture(widths=(4, 8), fine=4)).eval()
    values = np.random.default_rng(2).normal(0, 1, (40, 33, 20)).astype(np.float32)
    plain = infer_all(network, values)
    asked = infer_all(network, values, np.ones(values.shape, bool))
    assert all(torch.equal(a, b) for a, b in zip(plain, asked, strict=True))


def test_a_region_is_answered_and_all_else_is_background():
    values = np.random.default_rng(1).normal(0, 1, (70, 41, 50)).astype(np.float32)
    wanted = np.zeros(values.shape, bool)
    wanted[5:40, 3:9, 30:44] = wanted[50:69, 20:41, 2:20] = True
    everywhere, here = infer_all(LocalNet(), values), infer_all(LocalNet(), values, wanted)
    assert here.semantic[:, wanted].numpy() == pytest.approx(everywhere.semantic[:, wanted].numpy(), abs=0.03)
    assert (here.semantic[1, ~wanted] == LOG_FLOOR).all()
    assert (here.semantic[0, ~wanted] == 0).all()


@pytest.mark.parametrize("seed", range(5))
def test_windows_cover_all_that_is_wanted(seed):
    rng = np.random.default_rng(seed)
    wanted = np.zeros((48, 30, 64), bool)
    for _ in range(4):
        low = rng.integers(0, 25, 3)
        wanted[tuple(slice(a, a + n) for a, n in zip(low, rng.integers(1, 40, 3), strict=True))] = True
    seen = np.zeros_like(wanted)
    patch = (16, 8, 12)
    for start in window_starts(wanted, patch, 0.25):
        box = tuple(slice(s, s + p) for s, p in zip(start, patch, strict=True))
        assert all(s % 2 == 0 and 0 <= s <= n - p for s, n, p in zip(start, wanted.shape, patch, strict=True))
        assert wanted[box].any()
        seen[box] = True
    assert seen[wanted].all()


def test_a_spine_that_curves_takes_one_row_of_windows():
    """Windows follow it: it is narrower than one of them at every height."""
    wanted = np.zeros((128, 64, 64), bool)
    for z in range(128):
        middle = round(32 + 13 * np.sin(z / 20))
        wanted[z, 28:36, middle - 4 : middle + 4] = True
    starts = list(window_starts(wanted, (32, 32, 32), 0.25))
    assert len(starts) == 5
    assert len({start[2] for start in starts}) > 2


def test_nothing_wanted_takes_no_window():
    assert list(window_starts(np.zeros((16, 16, 16), bool), (8, 8, 8), 0.25)) == []


DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.mark.parametrize("device", DEVICES)
def test_a_net_says_the_same_on_every_device(device):
    """To the fourth decimal what it says in double precision on the CPU: no bfloat16, no TF32.

    A mantissa of 8 bits moved half a per cent of a phantom's bone to another label; here it would be
    wrong by 0.01 or more.
    """
    torch.manual_seed(1)
    network = SpineNet(Architecture(widths=(8, 16, 16), fine=8)).eval()
    values = np.random.default_rng(2).normal(0, 1, (32, 16, 24)).astype(np.float32)
    with torch.no_grad():
        exact = network.double()(torch.from_numpy(values).double()[None, None])
    expected = torch.log_softmax(exact.semantic[0], dim=0).clamp_min(LOG_FLOOR)
    level = torch.log_softmax(exact.level[0], dim=0)
    network = network.float().to(device)
    heads = infer(network, values, values.shape, 0.0, torch.device(device), lambda _: None)
    assert (heads.semantic - expected).abs().max() < 1e-4
    assert (heads.level - level).abs().max() < 1e-4
    assert (heads.offset - exact.offset[0] * OFFSET_UNIT_MM).abs().max() < 1e-3
