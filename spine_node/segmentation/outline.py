"""Let grey values settle what the net leaves open at the surface of bodies and sacrum.

A thoracic disc is two of the net's voxels thick: there the net says "perhaps", while the image has an
edge between bone and disc. Near each surface the log odds are moved by how bright the voxel is between
the bone inside and the soft tissue beside, by a few nats at most: a net that is sure stays right.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spine_node.segmentation.classes import BACKGROUND, BODY, SACRUM

REACH = 2
"""How far from a surface grey values speak, voxels of the net."""

NATS = 4.0
"""Log odds added where a voxel is as bright as the bone, taken away where it is as dark as the soft
tissue beside it."""

SURE = float(np.log(0.9))
"""Log probability from which the net's own answer shows what bone and soft tissue look like here."""

LEAST_VOXELS = 30
"""Fewer sure voxels than this do not show it."""

CONTRAST = 0.12
"""Least difference (scaled grey) of bone and soft tissue that can draw an edge."""


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
    if bright - dark < CONTRAST:
        return
    pull = np.clip((2 * values[band] - bright - dark) / (bright - dark), -1, 1) * np.float32(NATS / 2)
    semantic[kind][band] += pull
    semantic[BACKGROUND][band] -= pull
    unsettled[band] = False
