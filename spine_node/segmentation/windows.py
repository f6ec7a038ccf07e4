"""The net over a volume larger than its window: overlapping windows, blended by a Gaussian.

Windows go where something is to be seen: told the region, it is covered by as few as can be, row by
row. Memory is that of the blended heads at the net's own spacing, whatever the number of windows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from spine_node.segmentation.networks import OFFSET_UNIT_MM, Heads, SpineNet

LOG_FLOOR = -6.0
"""Log probabilities are cut here before they are blended and interpolated: below it they say only
"surely not", and a surer side would push the outline into its neighbour."""

FLAT = 0.02
"""A window whose scaled grey values vary less (standard deviation) shows nothing: it is passed over."""


def infer(
    network: SpineNet,
    values: NDArray[np.float32],
    patch: tuple[int, int, int],
    overlap: float,
    device: torch.device,
    tick: Callable[[float], None],
    wanted: NDArray[np.bool_] | None = None,
) -> Heads:
    """Blended heads of a whole volume, on the CPU.

    Parameters
    ----------
    network : SpineNet
        In evaluation mode, on `device`.
    values : ndarray, shape (z, y, x)
        Scaled grey values.
    patch : tuple of int
        Largest window in voxels, multiples of the net's divisor.
    overlap : float
        Least share of a window that its neighbour covers too.
    tick : callable
        Called with the fraction done after each window.
    wanted : ndarray of bool, shape (z, y, x), optional
        Where the net is asked; everything else is background. By default everywhere.

    Returns
    -------
    Heads
        Without the batch axis: `semantic` log probabilities, (classes, z, y, x), at least
        `LOG_FLOOR`; `offset` in mm, (3, ...), and `level` log probabilities, (levels, ...), at half
        size rounded up; None for a net without them.
    """
    size = values.shape
    # A field smaller than the window gets a window of its own, mirrored at its faces up to what the net
    # can halve: of bone that ends there it saw as much in training, of wide empty margins it saw nothing.
    step = network.architecture.divisor
    z, y, x = (min(p, max(2, -(-n // step)) * step) for n, p in zip(size, patch, strict=True))
    patch = (z, y, x)
    more = [max(p - n, n % 2) for n, p in zip(size, patch, strict=True)]
    image = torch.from_numpy(np.pad(values, [(0, m) for m in more], mode="symmetric"))[None, None]
    whole = tuple(image.shape[2:])
    half = tuple(n // 2 for n in whole)
    classes, levels = network.architecture.semantic, network.architecture.levels
    semantic, weight = torch.zeros(classes, *whole), torch.zeros(whole)
    # Offsets and levels, as far as the net has them: one block of channels at half size.
    coarse, half_weight = torch.zeros(levels and 3 + levels, *half), torch.zeros(half)
    bell = _bell(patch)
    half_bell = functional.avg_pool3d(bell[None, None], 2)[0, 0]
    room = np.ones(whole, bool) if wanted is None else np.pad(wanted, [(0, m) for m in more])
    starts = list(window_starts(room, patch, overlap))
    # Whole float32, also where the hardware offers less: the same labels on every machine. In bfloat16
    # half a per cent of the bone had another label, and there is little time to save.
    exact = torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
    with torch.inference_mode(), exact:
        for done, start in enumerate(starts, 1):
            box = tuple(slice(s, s + p) for s, p in zip(start, patch, strict=True))
            window = image[(..., *box)]
            if float(window.std()) >= FLAT:
                half_box = tuple(slice(s.start // 2, s.stop // 2) for s in box)
                outline, rest = _said(network, window.to(device))
                semantic[(slice(None), *box)].addcmul_(outline, bell)
                coarse[(slice(None), *half_box)].addcmul_(rest, half_bell)
                weight[box] += bell
                half_weight[half_box] += half_bell
            tick(done / len(starts))
    semantic.div_(weight.clamp_min(1e-6))
    coarse.div_(half_weight.clamp_min(1e-6))
    nothing = (weight == 0) | ~torch.from_numpy(room)
    semantic[0, nothing], semantic[1:, nothing] = 0.0, LOG_FLOOR
    cut, half_cut = (tuple(slice(0, (n + d - 1) // d) for n in size) for d in (1, 2))
    semantic, coarse = semantic[(slice(None), *cut)], coarse[(slice(None), *half_cut)]
    return Heads(semantic, coarse[:3], coarse[3:]) if levels else Heads(semantic)


def _said(network: SpineNet, window: Tensor) -> tuple[Tensor, Tensor]:
    """Log probabilities of the classes; offsets in mm above log probabilities of the levels."""
    heads = network(window.contiguous(memory_format=torch.channels_last_3d))
    outline = torch.log_softmax(heads.semantic[0].float(), dim=0).clamp_min(LOG_FLOOR).cpu()
    if heads.offset is None or heads.level is None:
        return outline, outline.new_zeros(0, *(n // 2 for n in window.shape[2:]))
    offset = (heads.offset[0].float() * OFFSET_UNIT_MM).cpu()
    return outline, torch.cat([offset, torch.log_softmax(heads.level[0].float(), dim=0).cpu()])


def _bell(patch: tuple[int, ...]) -> Tensor:
    """Weight of a window's voxels: a Gaussian a fifth of its edge wide, nowhere below 1/1000."""
    weight = torch.ones(())
    for n in patch:
        steps = torch.arange(n, dtype=torch.float32) - (n - 1) / 2
        weight = weight[..., None] * torch.exp(steps**2 / (-2 * (0.2 * n) ** 2))
    return weight.clamp_min(1e-3)


def window_starts(
    wanted: NDArray[np.bool_], patch: tuple[int, ...], overlap: float
) -> Iterator[tuple[int, ...]]:
    """First voxels of windows that cover what is wanted: a row of them follows a curved spine.

    Parameters
    ----------
    wanted : ndarray of bool
        Even edges, none shorter than its window's.
    patch : tuple of int
        Edges of a window, voxels, as many as `wanted` has axes.
    overlap : float
        Least share of a window that the next one along an axis covers too.
    """
    inside = np.flatnonzero(wanted.any(axis=tuple(range(1, wanted.ndim))))
    if len(inside) == 0:
        return
    for start in _starts(int(inside[0]), int(inside[-1]) + 1, len(wanted), patch[0], overlap):
        if wanted.ndim == 1:
            yield (start,)
        else:
            slab = wanted[start : start + patch[0]].any(axis=0)
            yield from ((start, *rest) for rest in window_starts(slab, patch[1:], overlap))


def _starts(low: int, high: int, size: int, patch: int, overlap: float) -> list[int]:
    """Even first voxels of windows that cover `low` to `high` evenly and overlap by at least `overlap`."""
    low, high = low - low % 2, high + high % 2
    room = high - low - patch
    if room <= 0:
        # One window shows more of what is around; within the volume, whose edge repeats itself.
        middle = (low + high - patch) // 4 * 2
        return [min(max(middle, 0), size - patch)]
    count = int(np.ceil(room / max(2.0, patch * (1 - overlap)))) + 1
    return [low + 2 * round(i * room / (count - 1) / 2) for i in range(count)]
