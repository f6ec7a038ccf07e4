"""How much speaks for a found body being a vertebra: a net asked about a knee answers in vertebrae too.

Three witnesses that a vertebra has and a chance resemblance has not: an arch behind it, votes of its
voxels that meet at its middle, and a net that is sure. No torch, no names of levels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spine_node.imaging.volume import FloatArray
from spine_node.segmentation.classes import BODY, POSTERIOR
from spine_node.segmentation.instances import Instances, votes_of

ARCH = 0.35
"""Volume of posterior elements over that of the body from which they speak for a vertebra (usually 0.5 to 3;
lookalikes below 0.3)."""

NO_ARCH = 0.05
"""The share that is taken for none: a narrow field may cut the arch away, which must not settle it."""

SCATTER_MM = 7.2, 1.5
"""Mean distance of the votes from the middle that says nothing, and how much less or more says something
(bodies 3 to 8 mm, lookalikes 6 to 23 mm)."""

SURENESS = 0.80, 0.08
"""The same for the mean probability of a body's voxels (bodies 0.67 to 0.95, lookalikes 0.59 to 0.84)."""


def beliefs(
    semantic: NDArray[np.float32],
    tissue: NDArray[np.uint8],
    vertebrae: Instances,
    offset_mm: NDArray[np.float32],
    spacing_mm: float,
) -> FloatArray:
    """For each vertebra about the log odds that it is one: above 0 it is believed.

    Parameters
    ----------
    semantic : ndarray, shape (classes, z, y, x)
        Log probabilities.
    tissue : ndarray, shape (z, y, x)
        Classes of `classes.TISSUES`.
    vertebrae : Instances
    offset_mm : ndarray, shape (3, z/2, y/2, x/2) (rounded up)
        Votes as for `instances.find_vertebrae`.
    spacing_mm : float
        Edge of a voxel of `tissue`.
    """
    result = np.zeros(len(vertebrae.centres))
    for index, centre in enumerate(vertebrae.centres):
        part = vertebrae.parts == index + 1
        body = part & (tissue == BODY)
        size = max(int(body.sum()), 1)
        arch = int((part & (tissue == POSTERIOR)).sum()) / size
        votes = votes_of(np.argwhere(body), offset_mm, spacing_mm)
        astray = float(np.linalg.norm(votes - centre * spacing_mm, axis=1).mean()) if len(votes) else np.inf
        sure = float(np.exp(semantic[BODY][body].mean())) if len(votes) else 0.0
        result[index] = (
            np.log(np.clip(arch, NO_ARCH, 2.0) / ARCH)
            - (astray - SCATTER_MM[0]) / SCATTER_MM[1]
            + (sure - SURENESS[0]) / SURENESS[1]
        )
    return result
