"""Smooth fields on a coarse lattice, and how they come back to the image's voxels.

Soft tissues are layers: signed distances kept about 5 mm apart and interpolated when painted, so that an
edge stays as sharp as the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from spine_node.phantom.lattice import Field, Lattice, Slices

COARSE_MM = 5.0
"""Step of the coarse lattice that layers live on."""


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """One tissue: where it is (coarse block and signed distance there, mm) and its kind."""

    name: str
    where: Slices
    distance_mm: Field


def coarse(at: Lattice, step_mm: float = COARSE_MM) -> Lattice:
    """A lattice over the same block, about `step_mm` apart, its first and last voxels on the block's."""
    steps = [
        max(2, int(np.ceil((n - 1) * s / step_mm)) + 1) for n, s in zip(at.shape, at.spacing_mm, strict=True)
    ]
    affine = at.affine.copy()
    for k, (n, m) in enumerate(zip(at.shape, steps, strict=True)):
        affine[:3, k] *= (n - 1) / (m - 1)
    return Lattice(tuple(steps), affine, device=at.device)  # type: ignore[arg-type]


def _weights(n: int, m: int, start: int, stop: int, device: torch.device, moved: float = 0.0) -> Field:
    """Linear interpolation from m coarse to voxels start..stop of n fine ones, shape (stop - start, m).

    The fine field is `moved` by this many voxels.
    """
    position = np.clip((np.arange(start, stop) - moved) * ((m - 1) / max(n - 1, 1)), 0, m - 1)
    low = np.minimum(position.astype(int), m - 2)
    out = np.zeros((stop - start, m), np.float32)
    row = np.arange(stop - start)
    out[row, low] = 1 - (position - low)
    out[row, low + 1] = position - low
    return torch.from_numpy(out).to(device)


def refine(field: Field, full_shape: tuple[int, int, int], rows: tuple[int, int]) -> Field:
    """A coarse field of the whole image, interpolated to its slices rows[0]..rows[1] at full size."""
    spans = (rows, (0, full_shape[1]), (0, full_shape[2]))
    wz, wy, wx = (
        _weights(n, m, *span, field.device) for n, m, span in zip(full_shape, field.shape, spans, strict=True)
    )
    return wy @ torch.tensordot(wz, field, dims=1) @ wx.T


def refine_block(
    field: Field,
    where: Slices,
    coarse_shape: tuple[int, int, int],
    full_shape: tuple[int, int, int],
    rows: tuple[int, int],
    moved: tuple[float, float] = (0.0, 0.0),
) -> tuple[Slices, Field] | None:
    """A coarse block interpolated to the fine voxels that lie within it and within the slices `rows`.

    It is moved by this many rows and columns of the fine grid.
    """
    fine: list[slice] = []
    weights = []
    by = (0.0, *moved)
    for axis, (block, m, n) in enumerate(zip(where, coarse_shape, full_shape, strict=True)):
        step = (n - 1) / (m - 1)
        # what reaches the image's edge goes on beyond it
        start = int(np.ceil(block.start * step + by[axis] - 1e-9)) if block.start else 0
        stop = int(np.floor((block.stop - 1) * step + by[axis] + 1e-9)) + 1 if block.stop < m else n
        start, stop = max(start, 0), min(stop, n)
        if axis == 0:
            start, stop = max(start, rows[0]), min(stop, rows[1])
        if stop <= start:
            return None
        weights.append(_weights(n, m, start, stop, field.device, by[axis])[:, block])
        fine.append(slice(start - rows[0], stop - rows[0]) if axis == 0 else slice(start, stop))
    planes = torch.tensordot(weights[0], field, dims=1)
    return (fine[0], fine[1], fine[2]), weights[1] @ planes @ weights[2].T


def interpolate(at: Field, places: Sequence[float], values: Sequence[float]) -> Field:
    """Linear between the values at growing `places`, the outermost ones beyond them."""
    x = torch.tensor(places, dtype=torch.float32, device=at.device)
    y = torch.tensor(values, dtype=torch.float32, device=at.device)
    k = torch.bucketize(at, x).clamp_(1, len(places) - 1)
    share = ((at - x[k - 1]) / (x[k] - x[k - 1]).clamp_min_(1e-6)).clamp_(0, 1)
    return torch.lerp(y[k - 1], y[k], share)
