"""Let grey values settle what the net leaves open at the surface of bodies and sacrum.

A thoracic disc is two of the net's voxels thick: there the net says "perhaps", while the image has an
edge between bone and disc. Within `REACH` of each surface the log odds are moved by how bright the voxel
is between the bone inside and the soft tissue beside it; how far depends on how clearly the two differ
here. Deeper inside, and in noisy or osteopenic bone, the net's answer stands.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spine_node.segmentation.classes import BACKGROUND, BODY, SACRUM

REACH = 2
"""How far from a surface grey values speak, voxels of the net."""

NATS = 9.0
"""Log odds added where a voxel is as bright as the bone, taken away where it is as dark as the soft
tissue beside it."""

EDGE = 0.8
"""Brightness of the edge between soft tissue (0) and the marrow inside a bone (1): the shell is brighter
than the marrow, so the edge of a bone is not at the middle."""

SURE = float(np.log(0.9))
"""Log probability from which the net's own answer shows what bone and soft tissue look like here."""

LEAST_VOXELS = 30
"""Fewer sure voxels than this do not show it."""

CONTRAST_TO_NOISE = (1.0, 2.0)
"""Up to the first, grey values are not heard: marrow as dark as its surroundings would open holes. From
the second on they are heard in full. Difference of the medians over the scatter (scaled MAD)."""


def settled_by_grey(
    semantic: NDArray[np.float32],
    values: NDArray[np.float32],
    parts: NDArray[np.uint8],
    tissue: NDArray[np.uint8],
) -> None:
    """Move the log probabilities of body, sacrum and background, in place.

    Parameters
    ----------
    semantic : ndarray, shape (classes, z, y, x)
        Log probabilities.
    values : ndarray, shape (z, y, x)
        Scaled grey values.
    parts : ndarray, shape (z, y, x)
        Vertebrae as `instances.find_vertebrae` numbers them.
    tissue : ndarray, shape (z, y, x)
        What the net says, islands left out.
    """
    bones = [(BODY, np.where(tissue == BODY, parts, 0)), (SACRUM, (tissue == SACRUM).astype(np.uint8))]
    # Neighbours share a disc: whichever comes first settles it, or it would be settled twice as hard.
    unsettled = np.ones(tissue.shape, bool)
    for kind, marks in bones:
        for index, found in enumerate(ndimage.find_objects(marks), start=1):
            if found is not None:
                box = tuple(slice(max(0, s.start - 3), s.stop + 3) for s in found)
                bone = marks[box] == index
                _settle(semantic[(slice(None), *box)], values[box], bone, kind, unsettled[box])


def _settle(
    semantic: NDArray[np.float32],
    values: NDArray[np.float32],
    bone: NDArray[np.bool_],
    kind: int,
    unsettled: NDArray[np.bool_],
) -> None:
    near = ndimage.binary_dilation(bone, iterations=REACH)
    band = near & ~ndimage.binary_erosion(bone, iterations=REACH) & unsettled
    inside = bone & (semantic[kind] > SURE)
    beside = near & ~bone & (semantic[BACKGROUND] > SURE)
    if min(inside.sum(), beside.sum()) < LEAST_VOXELS:
        return
    bright, dark = float(np.median(values[inside])), float(np.median(values[beside]))
    heard = _heard(bright - dark, values[inside] - bright, values[beside] - dark)
    if heard == 0:
        return
    bone_share = (values[band] - dark) / (bright - dark)
    pull = np.clip(2 * (bone_share - EDGE), -1, 1) * np.float32(heard * NATS / 2)
    semantic[kind][band] += pull
    semantic[BACKGROUND][band] -= pull
    unsettled[band] = False
    # What is closed all round is marrow, however dark.
    wins = semantic[kind] > np.delete(semantic, kind, axis=0).max(axis=0)
    hole = ndimage.binary_fill_holes(wins) & bone & ~wins
    semantic[kind][hole] = 0.0


def _heard(gap: float, *deviations: NDArray[np.float32]) -> float:
    """How far grey values count here, 0 to 1."""
    scatter = 1.4826 * float(np.hypot(*[np.median(np.abs(d)) for d in deviations]))
    low, high = CONTRAST_TO_NOISE
    return float(np.clip((gap / max(scatter, 1e-6) - low) / (high - low), 0, 1))
