"""Random patches of a case: where to look, how to turn it, how another scanner would paint it.

Left-right mirroring is harmless because the net's classes have no sides; cranio-caudal or
antero-posterior mirroring would teach spines that do not exist.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from torch import Tensor
from torch.nn import functional

from spine_node.imaging.volume import FloatArray
from spine_node.segmentation.classes import (
    BODY,
    HEAD,
    HIP,
    IGNORED,
    LEVEL_OF_VALUE,
    POSTERIOR,
    SACRUM,
    SPINE,
    Scheme,
)
from spine_node.segmentation.grey_scale import CLIP
from spine_node.segmentation.networks import OFFSET_UNIT_MM
from spine_node.training.samples import Case

_FOCUS = ((BODY, 0.55), (POSTERIOR, 0.05), (SACRUM, 0.12), (HEAD, 0.1), (HIP, 0.08), (-1, 0.1))
"""What a patch of the spine is centred on, and how often; -1 is anywhere. Of another label list every
class has the same share."""

ANYWHERE = 0.1
"""How often a patch is centred on nothing in particular."""

SMALL_FIELD = 0.12
"""How often a patch is shown as if the field of view ended within it, on all sides."""

MAX_TURN_DEG = (8.0, 12.0, 12.0)
"""Largest turn about the array's axes z, y, x: patients stand askew, but they stand."""


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """One training patch; the half-size targets belong to the net's trunk.

    Attributes
    ----------
    image : Tensor, shape (1, z, y, x)
    tissue : Tensor of int64, shape (z, y, x)
        Class, or 255 where nobody knows.
    offset : Tensor, shape (3, z/2, y/2, x/2)
        To the own body's centre, units of `OFFSET_UNIT_MM`; NaN outside vertebrae.
    level : Tensor of int64, shape (z/2, y/2, x/2)
        Level class inside bodies and sacrum, 255 elsewhere.

    Without levels to learn, `offset` and `level` are None.
    """

    image: Tensor
    tissue: Tensor
    offset: Tensor | None
    level: Tensor | None


def random_patch(
    case: Case,
    rng: np.random.Generator,
    size: tuple[int, int, int],
    spacing_mm: float,
    scheme: Scheme = SPINE,
    *,
    augment: float = 1.0,
) -> Patch:
    """Cut one patch of `size` voxels (each even) from a case.

    Parameters
    ----------
    scheme : Scheme
        What is learned of the case's labels.
    augment : float
        0..1: how far patches are turned and scaled, and how often repainted; at 0 a patch is a plain
        window, above it any may be mirrored.
    """
    centre = _focus(case.labels, rng, scheme)
    turn = np.eye(3)
    if augment > 0:
        centre = centre + rng.uniform(-0.25, 0.25, 3) * size
        angles = rng.uniform(-1, 1, 3) * MAX_TURN_DEG * augment
        scale = (rng.uniform(0.88, 1.14) * rng.uniform(0.96, 1.04, 3)) ** augment
        mirror = np.diag([1.0, 1.0, rng.choice([-1.0, 1.0])])
        turn = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ np.diag(1 / scale) @ mirror
    grey, labels = _resampled(case, centre, turn, size)
    if augment > 0 and rng.random() < SMALL_FIELD:
        grey, labels = _small_field(grey, labels, rng)
    image = torch.from_numpy(grey)
    if rng.random() < augment:
        image = repaint(image, rng)
    tissue = torch.from_numpy(scheme.class_of_value[labels].astype(np.int64))
    if not scheme.spine:
        return Patch(image[None], tissue, None, None)
    half = labels[::2, ::2, ::2]
    offset = _offsets(case.centres, half, centre, turn, size, spacing_mm)
    level = torch.from_numpy(LEVEL_OF_VALUE[half].astype(np.int64))
    return Patch(image[None], tissue, torch.from_numpy(offset), level)


def _focus(labels: NDArray[np.uint8], rng: np.random.Generator, scheme: Scheme) -> FloatArray:
    share = (1 - ANYWHERE) / (len(scheme.classes) - 1)
    each = _FOCUS if scheme.spine else [*((c, share) for c in range(1, len(scheme.classes))), (-1, ANYWHERE)]
    tissue = int(rng.choice([f[0] for f in each], p=[f[1] for f in each]))
    anywhere = np.array([rng.uniform(0, n) for n in labels.shape])
    if tissue < 0:
        return anywhere
    values = np.flatnonzero(tissue == scheme.class_of_value)
    thin = labels[::3, ::3, ::3]
    present = np.intersect1d(thin, values)
    if len(present) == 0:
        return anywhere
    # A level first, then a voxel: small cervical bodies are seen as often as large lumbar ones.
    found = np.argwhere(thin == rng.choice(present))
    return np.asarray(found[rng.integers(len(found))] * 3.0)


def _resampled(
    case: Case, centre: FloatArray, turn: FloatArray, size: tuple[int, int, int]
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    axes = [np.arange(n, dtype=np.float32) - (n - 1) / 2 for n in size]
    index = (
        axes[0][:, None, None, None] * turn[:, 0].astype(np.float32)
        + axes[1][None, :, None, None] * turn[:, 1].astype(np.float32)
        + axes[2][None, None, :, None] * turn[:, 2].astype(np.float32)
        + centre.astype(np.float32)
    )
    shape = np.array(case.labels.shape)
    reach = np.abs(turn) @ ((np.array(size) - 1) / 2)
    low = np.clip(np.floor(centre - reach).astype(int) - 1, 0, shape - 2)
    high = np.clip(np.ceil(centre + reach).astype(int) + 2, low + 2, shape)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    span = (2.0 / (high - low - 1)).astype(np.float32)
    unit = (index - low.astype(np.float32)) * span - np.float32(1)
    where = torch.from_numpy(np.ascontiguousarray(unit[None, ..., ::-1]))
    grey = torch.from_numpy(case.grey[box].astype(np.float32))[None, None]
    labels = torch.from_numpy(case.labels[box].astype(np.float32))[None, None]
    # Beyond the stored box there is only what is at its edge (air, soft tissue), and no structure.
    out = functional.grid_sample(grey, where, mode="bilinear", padding_mode="border", align_corners=True)
    marks = functional.grid_sample(labels, where, mode="nearest", padding_mode="zeros", align_corners=True)
    values = out[0, 0].numpy() * np.float32(2 * CLIP / 255) - np.float32(CLIP)
    return values, marks[0, 0].numpy().astype(np.uint8)


def _small_field(
    grey: NDArray[np.float32], labels: NDArray[np.uint8], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """A part of the patch, mirrored at its faces as inference does it; what lies beyond is unknown."""
    size = np.array(labels.shape)
    kept = np.maximum(8, (size * rng.uniform(0.3, 1.0, 3)).astype(int))
    low = rng.integers(0, size - kept + 1)
    box = tuple(slice(a, a + n) for a, n in zip(low, kept, strict=True))
    around = [(int(a), int(n - a - k)) for a, n, k in zip(low, size, kept, strict=True)]
    known = np.full_like(labels, IGNORED)
    known[box] = labels[box]
    return np.pad(grey[box], around, mode="symmetric"), known


def _offsets(
    centres: FloatArray,
    half: NDArray[np.uint8],
    centre: FloatArray,
    turn: FloatArray,
    size: tuple[int, int, int],
    spacing_mm: float,
) -> NDArray[np.float32]:
    # Where every body's centre lands in the patch, in the patch's own voxels.
    landed = (centres - centre) @ np.linalg.inv(turn).T + (np.array(size) - 1) / 2
    table = landed.astype(np.float32)[half]
    for axis in range(3):
        shape = [1, 1, 1]
        shape[axis] = half.shape[axis]
        # A trunk voxel covers two patch voxels: its centre is half a voxel on.
        table[..., axis] -= (np.arange(half.shape[axis], dtype=np.float32) * 2 + 0.5).reshape(shape)
    return np.ascontiguousarray(np.moveaxis(table, -1, 0)) * np.float32(spacing_mm / OFFSET_UNIT_MM)


def repaint(image: Tensor, rng: np.random.Generator) -> Tensor:
    """The patch (z, y, x) as another scanner, dose or exposure might show it."""
    x = image
    if rng.random() < 0.2:  # thick slices or a coarse reconstruction
        axis = int(rng.integers(3))
        factor = float(rng.uniform(1.3, 2.5))
        coarse = list(x.shape)
        coarse[axis] = max(4, round(coarse[axis] / factor))
        x = functional.interpolate(x[None, None], size=coarse, mode="area")
        x = functional.interpolate(x, size=list(image.shape), mode="trilinear", align_corners=False)[0, 0]
    elif rng.random() < 0.3:
        x = _blurred(x, float(rng.uniform(0.3, 1.0)))
    if rng.random() < 0.5:  # cupping, scatter, a coil's or a detector's shading
        nodes = torch.from_numpy(rng.normal(0, rng.uniform(0.02, 0.2), (1, 1, 4, 4, 4)).astype(np.float32))
        x = x + functional.interpolate(nodes, size=list(x.shape), mode="trilinear", align_corners=True)[0, 0]
    if rng.random() < 0.5:
        low, high = float(x.min()), float(x.max())
        x = ((x - low) / max(high - low, 1e-3)) ** float(np.exp(rng.uniform(-0.35, 0.35))) * (
            high - low
        ) + low
    x = x * float(np.exp(rng.uniform(-0.4, 0.4))) + float(rng.uniform(-0.35, 0.35))
    if rng.random() < 0.6:
        noise = torch.from_numpy(rng.standard_normal(tuple(x.shape), dtype=np.float32))
        if rng.random() < 0.5:  # reconstructed noise is correlated
            noise = _blurred(noise, 0.6) * 2.0
        x = x + noise * float(rng.uniform(0.02, 0.3))
    if rng.random() < 0.3:  # the range of a detector or of a stored series ends
        x = x.clamp(float(rng.uniform(-CLIP, -0.6)), float(rng.uniform(0.7, CLIP)))
    return x.clamp(-CLIP, CLIP).contiguous()


def _blurred(x: Tensor, sigma: float) -> Tensor:
    reach = 2
    steps = torch.arange(-reach, reach + 1, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (steps / sigma) ** 2)
    kernel = kernel / kernel.sum()
    y = x[None, None]
    for axis in range(3):
        shape = [1, 1, 1, 1, 1]
        shape[2 + axis] = len(kernel)
        pad = [0] * 6
        pad[2 * (2 - axis)] = pad[2 * (2 - axis) + 1] = reach
        y = functional.conv3d(functional.pad(y, pad, mode="replicate"), kernel.view(shape))
    return y[0, 0]
