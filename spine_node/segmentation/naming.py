"""From what a net saw to the evidence that names follow from, on the net's grid (z, y, x). No torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spine_node.imaging.volume import FloatArray, Grid
from spine_node.segmentation.classes import BODY, LEVEL_CLASSES, SACRUM
from spine_node.segmentation.evidence import Evidence
from spine_node.segmentation.instances import Instances


def evidence_of(
    grid: Grid,
    inside: NDArray[np.bool_],
    tissue: NDArray[np.uint8],
    vertebrae: Instances,
    log_chance: FloatArray,
) -> Evidence:
    """What names follow from.

    Parameters
    ----------
    grid : Grid
        Upright and isotropic; that of `inside`, `tissue` and `vertebrae`.
    inside : ndarray of bool
        Where the volume has voxels.
    tissue : ndarray
        Classes of `classes.TISSUES`.
    vertebrae : Instances
        At least one.
    log_chance : ndarray, shape (n, classes)
        Mean log probability of each of `classes.LEVEL_CLASSES` inside each body.
    """
    spacing = float(grid.spacing_mm[0])
    return Evidence(
        grid.to_mm(vertebrae.centres),
        log_chance,
        _sacrum_gap_mm(tissue, vertebrae.centres[-1], spacing),
        _above_mm(inside, vertebrae.centres[0], spacing),
    )


def mean_log_chance(
    tissue: NDArray[np.uint8], vertebrae: Instances, level: NDArray[np.float32]
) -> FloatArray:
    """Mean log probability of each level inside each body, from a head at half the size: (n, classes)."""
    bodies = np.where(tissue == BODY, vertebrae.parts, 0)[::2, ::2, ::2]
    chance = np.full((len(vertebrae.centres), len(LEVEL_CLASSES)), -np.log(len(LEVEL_CLASSES)))
    for index in range(len(chance)):
        inside = bodies == index + 1
        if inside.any():
            chance[index] = level[:, inside].mean(axis=1)
    return chance


def _sacrum_gap_mm(tissue: NDArray[np.uint8], lowest: FloatArray, spacing_mm: float) -> float | None:
    """From the lowest body's centre to the nearest sacral bone; None without any."""
    sacrum = np.argwhere(tissue == SACRUM)
    return float(np.linalg.norm(sacrum - lowest, axis=1).min() * spacing_mm) if len(sacrum) else None


def _above_mm(inside: NDArray[np.bool_], highest: FloatArray, spacing_mm: float) -> float:
    """From the highest body's centre straight up to where the volume ends."""
    z, y, x = np.clip(np.rint(highest).astype(int), 0, np.array(inside.shape) - 1)
    column = inside[z:, y, x]
    return float((len(column) if column.all() else int(column.argmin())) * spacing_mm)
