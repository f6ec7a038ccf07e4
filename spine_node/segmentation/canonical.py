"""Between any grid in the patient and the one the net sees: upright, isotropic, LPS-aligned.

The canonical array runs (z, y, x): cranially, posteriorly, to the left. Series may come in any
orientation, oblique or anisotropic; everything between is one affine map. Nothing here is anatomy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from spine_node.errors import SeriesRefused
from spine_node.imaging.volume import FloatArray, Grid, Volume
from spine_node.segmentation.grey_scale import padding, scaled

_AXES = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
"""Columns: LPS directions of the canonical array axes z, y, x."""

SLAB_VOXELS = 4_000_000
"""Voxels worked on at once: bounds memory at about 0.3 GiB whatever the size of a series."""


@dataclass(frozen=True, slots=True, eq=False)
class Canonical:
    """A volume as the net sees it.

    Attributes
    ----------
    grid : Grid
        Array order (z, y, x), LPS-aligned, isotropic.
    values : ndarray, shape of the grid, float32
        Scaled: soft tissue near 0, dense bone near 1, clipped at +-`grey_scale.CLIP`.
    inside : ndarray of bool, shape of the grid
        Where the volume has voxels.
    """

    grid: Grid
    values: NDArray[np.float32]
    inside: NDArray[np.bool_]


def canonical_grid(grid: Grid, spacing_mm: float) -> Grid:
    """The smallest upright isotropic grid that holds every voxel centre of `grid`."""
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in grid.shape])).reshape(3, -1).T
    points = grid.to_mm(corners) @ _AXES
    low, high = points.min(axis=0), points.max(axis=0)
    # A one-voxel excess of rounding must not add a plane of outside voxels.
    shape = np.maximum(np.floor((high - low) / spacing_mm + 1e-6).astype(int) + 1, 1)
    start = (low + high) / 2 - (shape - 1) / 2 * spacing_mm
    affine = np.eye(4)
    affine[:3, :3] = _AXES * spacing_mm
    affine[:3, 3] = _AXES @ start
    return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine)


def canonical(volume: Volume, spacing_mm: float) -> Canonical:
    """Resample and scale `volume`; fine voxels are averaged before they are interpolated.

    Raises
    ------
    SeriesRefused
        If the volume is smaller than two voxels of the net, holds numbers that are not finite, or
        is constant.
    """
    target = canonical_grid(volume.grid, spacing_mm)
    if min(target.shape) < 2:
        extent = " x ".join(f"{n * spacing_mm:.0f}" for n in target.shape)
        raise SeriesRefused(
            f"the volume covers {extent} mm (height, depth, width); the model works at "
            f"{spacing_mm:g} mm and needs at least two such voxels along each. Nothing was segmented."
        )
    source, values = averaged(volume, spacing_mm)
    if not np.isfinite(values).all():
        raise SeriesRefused("the volume holds grey values that are not finite. Nothing was segmented.")
    sampled, inside = _sampled(values, source, target)
    padded = padding(values)
    if padded is not None:
        inside &= nearest(padded.astype(np.uint8), source, target) == 0
    return Canonical(target, scaled(sampled, inside), inside)


def averaged(volume: Volume, spacing_mm: float) -> tuple[Grid, NDArray[np.float32]]:
    """Mean of whole blocks of voxels, as near to `spacing_mm` as whole blocks come.

    Interpolation alone would look at 8 of the voxels that a coarse one covers: noise and thin
    cortex would alias.
    """
    block = [
        min(max(1, round(spacing_mm / s)), n)
        for s, n in zip(volume.grid.spacing_mm, volume.grid.shape, strict=True)
    ]
    shape = [n // b for n, b in zip(volume.grid.shape, block, strict=True)]
    result = np.empty(shape, np.float32)
    for i in range(shape[0]):
        slab = volume.values[i * block[0] : (i + 1) * block[0]]
        slab = slab[:, : shape[1] * block[1], : shape[2] * block[2]]
        parts = slab.reshape(block[0], shape[1], block[1], shape[2], block[2])
        result[i] = parts.mean(axis=(0, 2, 4), dtype=np.float32)
    affine = volume.grid.affine @ np.diag([*map(float, block), 1.0])
    affine[:3, 3] = volume.grid.to_mm((np.array(block) - 1) / 2)
    return Grid((shape[0], shape[1], shape[2]), affine), result


def _sampled(
    values: NDArray[np.float32], source: Grid, target: Grid
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    result = np.empty(target.shape, np.float32)
    inside = np.empty(target.shape, bool)
    image = torch.from_numpy(values)[None, None]
    size = np.array(source.shape)
    for rows, index in indices_by_slab(target, source):
        inside[rows] = ((index > -0.51) & (index < size - 0.49)).all(axis=-1)
        result[rows] = interpolated(image, index)[0]
    return result, inside


def indices_by_slab(
    target: Grid, source: Grid, box: tuple[slice, slice, slice] | None = None
) -> Iterator[tuple[tuple[slice, slice, slice], FloatArray]]:
    """Walk over `target` (or a box of it) slab by slab along its first axis.

    Yields
    ------
    tuple of slices
        Where the slab lies in the target array.
    ndarray, shape (n, rows, columns, 3)
        Fractional source index of each of its voxels.
    """
    box = box or (slice(0, target.shape[0]), slice(0, target.shape[1]), slice(0, target.shape[2]))
    move = np.linalg.inv(source.affine) @ target.affine
    rows, columns = (np.arange(s.start, s.stop, dtype=np.float64) for s in box[1:])
    plane = (
        rows[:, None, None] * move[:3, 1] + columns[None, :, None] * move[:3, 2] + move[:3, 3]
    )  # (rows, columns, 3)
    step = max(1, SLAB_VOXELS // max(1, len(rows) * len(columns)))
    for start in range(box[0].start, box[0].stop, step):
        first = np.arange(start, min(start + step, box[0].stop), dtype=np.float64)
        yield (
            (slice(start, start + len(first)), box[1], box[2]),
            first[:, None, None, None] * move[:3, 0] + plane,
        )


def interpolated(image: torch.Tensor, index: FloatArray) -> NDArray[np.float32]:
    """Trilinear values of `image` (1, c, z, y, x) at fractional indices (..., 3): shape (c, ...).

    Beyond the edge the edge's value holds.
    """
    size = np.array(image.shape[2:])
    unit = index * (2.0 / np.maximum(size - 1, 1)) - 1.0
    where = torch.from_numpy(np.ascontiguousarray(unit[None, ..., ::-1], dtype=np.float32))
    with torch.inference_mode():
        out = functional.grid_sample(image, where, mode="bilinear", padding_mode="border", align_corners=True)
    return np.asarray(out[0].numpy())


def nearest(labels: NDArray[np.uint8], source: Grid, target: Grid) -> NDArray[np.uint8]:
    """Labels of `source` at the voxel centres of `target`; 0 beyond its edge."""
    result = np.zeros(target.shape, np.uint8)
    size = np.array(source.shape)
    for rows, index in indices_by_slab(target, source):
        near = np.rint(index).astype(np.intp)
        valid = ((near >= 0) & (near < size)).all(axis=-1)
        near = np.clip(near, 0, size - 1)
        result[rows] = np.where(valid, labels[near[..., 0], near[..., 1], near[..., 2]], 0)
    return result
