"""What of the net's answer is kept: islands dropped, holes filled, before and after vertebrae are told apart.

Works on the canonical grid: array order (z, y, x), sizes in mm. No torch, no names of levels.
"""

from __future__ import annotations

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spine_node.imaging.volume import FloatArray
from spine_node.segmentation.classes import BACKGROUND, BODY, HEAD, HIP, SACRUM

PELVIS_ABOVE_MM = 60.0
"""How far the middle of a pelvic bone may lie above the lowest body: a crest that the field cuts, in a
patient who leans."""

LEAST_PART_MM3 = {SACRUM: 3000.0, HIP: 3000.0, HEAD: 3000.0}
"""Smaller islands of these tissues are dropped (a femoral head has some 50 000 mm3)."""


def without_islands(tissue: NDArray[np.uint8], spacing_mm: float) -> NDArray[np.uint8]:
    """Drop small islands of sacrum, hips and heads; the sacrum keeps its largest piece only."""
    result = tissue.copy()
    for kind, least in LEAST_PART_MM3.items():
        pieces, count = cc3d.connected_components(tissue == kind, connectivity=6, return_N=True)
        if count == 0:
            continue
        sizes = np.bincount(pieces.ravel(), minlength=count + 1) * spacing_mm**3
        sizes[0] = 0
        keep = sizes >= least
        if kind == SACRUM:
            keep &= np.arange(count + 1) == int(sizes.argmax())
        if kind == HEAD:
            keep &= sizes >= np.sort(sizes)[-2:].min()
        if kind == HIP:
            # A thin wing may fall in two; a rib taken for one is a much smaller piece.
            keep &= sizes >= 0.15 * sizes.max()
        result[(pieces > 0) & ~keep[pieces]] = 0
    return result


def pelvis_below(tissue: NDArray[np.uint8], centres: FloatArray, spacing_mm: float) -> NDArray[np.uint8]:
    """Drop what looks like sacrum, hip or femoral head beside the chest: a shoulder, an elbow.

    Parameters
    ----------
    tissue : ndarray, shape (z, y, x)
        Classes of `classes.TISSUES`.
    centres : ndarray, shape (n, 3)
        Array index of the bodies, at least one, cranial to caudal.
    spacing_mm : float
    """
    result = tissue.copy()
    for kind in (SACRUM, HIP, HEAD):
        pieces, count = cc3d.connected_components(tissue == kind, connectivity=6, return_N=True)
        for index, box in enumerate(ndimage.find_objects(pieces, count), start=1):
            piece = pieces[box] == index
            height = float(np.argwhere(piece)[:, 0].mean()) + box[0].start - centres[-1][0]
            if height * spacing_mm > PELVIS_ABOVE_MM:
                result[box][piece] = BACKGROUND
    return result


def holes(tissue: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Class of the bone that closes round a piece of background on all sides, 0 elsewhere: that is marrow."""
    result = np.zeros_like(tissue)
    for kind in (BODY, SACRUM, HIP, HEAD):
        for box in ndimage.find_objects((tissue == kind).astype(np.uint8)):
            pieces = cc3d.connected_components(tissue[box] != kind, connectivity=6)
            outer = np.ones(pieces.shape, bool)
            outer[tuple(slice(1, -1) for _ in outer.shape)] = False
            closed = ~np.isin(pieces, np.unique(pieces[outer])) & (tissue[box] == BACKGROUND)
            result[box][closed] = kind
    return result


def corner_of_sacrum(tissue: NDArray[np.uint8], parts: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Voxels that look like a body, belong to no vertebra and touch the sacrum: S1 looks like L5.

    Without them the promontory or the posterior corner of S1 is cut off, and with it the plumb line.
    """
    orphans = (tissue == BODY) & (parts == 0)
    pieces, count = cc3d.connected_components(orphans, connectivity=6, return_N=True)
    beside = ndimage.binary_dilation(tissue == SACRUM)
    touching = np.zeros(count + 1, bool)
    touching[np.unique(pieces[beside])] = True
    touching[0] = False
    return np.asarray(touching[pieces])
