"""Gaussian smoothing and small shifts of fields, on any device.

On a CPU the weighted sums run over pieces that stay in its cache: several times as fast as one pass over
a whole slab.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from spine_node.phantom.lattice import Field

REACH = 3.0
"""Where a Gaussian is cut off, in standard deviations."""

PIECE = 160_000
"""Voxels smoothed at once on a CPU: three arrays of them lie in a megabyte or two."""


def halo(sigma: float) -> int:
    """How many neighbours on either side a Gaussian of this width (voxels) reads; 0 for next to none."""
    return int(REACH * sigma + 0.5) if sigma > 0.25 else 0


def taps(sigma: float) -> list[float]:
    """Weights of the middle and of each neighbour outwards; together (both sides) they are 1."""
    side = [math.exp(-0.5 * (k / sigma) ** 2) for k in range(1, halo(sigma) + 1)]
    total = 1 + 2 * sum(side)
    return [1 / total, *(s / total for s in side)]


def smooth(field: Field, sigma_voxels: Sequence[float], *, wrap: bool = False) -> Field:
    """Gaussian-smoothed copy, sigma per axis in voxels.

    Beyond its edges a field goes on as its last voxel does, or starts again with `wrap`.
    """
    out = field
    for axis, sigma in enumerate(sigma_voxels):
        reach = halo(float(sigma))
        if reach:
            before, after = _margins(out, axis, reach, wrap)
            out = weigh(torch.cat((before, out, after), axis), axis, taps(float(sigma)))
    return out


def _margins(field: Field, axis: int, reach: int, wrap: bool) -> tuple[Field, Field]:
    n = field.shape[axis]
    if wrap:
        first = torch.arange(-reach, 0, device=field.device) % n
        return field.index_select(axis, first), field.index_select(
            axis, torch.arange(reach, device=field.device) % n
        )
    size = list(field.shape)
    size[axis] = reach
    return field.narrow(axis, 0, 1).expand(size), field.narrow(axis, n - 1, 1).expand(size)


def weigh(padded: Field, axis: int, weights: Sequence[float]) -> Field:
    """Symmetric weighted sum of neighbours; the axis gets shorter by twice their number."""
    reach = len(weights) - 1
    shape = list(padded.shape)
    shape[axis] -= 2 * reach
    out = torch.empty(shape, dtype=padded.dtype, device=padded.device)
    across = 0 if axis else 1
    step = shape[across]
    if padded.device.type == "cpu":
        step = max(1, PIECE * step // max(1, out.numel()))
    for start in range(0, shape[across], step):
        size = min(step, shape[across] - start)
        piece, result = padded.narrow(across, start, size), out.narrow(across, start, size)
        n = shape[axis]
        torch.mul(piece.narrow(axis, reach, n), weights[0], out=result)
        for k, weight in enumerate(weights[1:], 1):
            result.add_(piece.narrow(axis, reach - k, n), alpha=weight)
            result.add_(piece.narrow(axis, reach + k, n), alpha=weight)
    return out


def shifted(field: Field, axis: int, voxels: float) -> Field:
    """The field moved towards higher indices, linear between voxels; its edge goes on."""
    n = field.shape[axis]
    whole = math.floor(voxels)
    index = torch.arange(n, device=field.device) - whole
    near = field.index_select(axis, index.clamp(0, n - 1))
    if voxels == whole:
        return near
    return near.lerp_(field.index_select(axis, (index - 1).clamp(0, n - 1)), voxels - whole)
