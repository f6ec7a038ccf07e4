"""What the net tells apart, and how that follows from the values of a label map. No torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spine_node.anatomy import levels

TISSUES: tuple[str, ...] = (
    "background",
    "vertebral_body",
    "posterior_elements",
    "sacrum",
    "hip_bone",
    "femoral_head",
)
"""Classes of the semantic head. Sides and levels are not among them: a mirrored or shifted patch
must keep its classes, so both are told afterwards, from the whole volume."""

BACKGROUND, BODY, POSTERIOR, SACRUM, HIP, HEAD = range(len(TISSUES))

LEVEL_CLASSES: tuple[str, ...] = (*levels.LEVELS, "S1")
"""Classes of the level head; S1 stands for the sacrum, should a piece of it look like a body."""

IGNORED = 255
"""Label value of voxels that nobody annotated: they teach nothing."""


def _tissue_table() -> NDArray[np.uint8]:
    table = np.zeros(256, np.uint8)
    for value in levels.VERTEBRA_VALUES.values():
        table[value], table[value + levels.POSTERIOR_OFFSET] = BODY, POSTERIOR
    table[levels.SACRUM] = SACRUM
    table[[levels.HIP_LEFT, levels.HIP_RIGHT]] = HIP
    table[[levels.FEMORAL_HEAD_LEFT, levels.FEMORAL_HEAD_RIGHT]] = HEAD
    table[IGNORED] = IGNORED
    return table


def _level_table() -> NDArray[np.uint8]:
    table = np.full(256, IGNORED, np.uint8)
    for index, level in enumerate(levels.LEVELS):
        table[levels.VERTEBRA_VALUES[level]] = index
    table[levels.SACRUM] = LEVEL_CLASSES.index("S1")
    return table


TISSUE_OF_VALUE: NDArray[np.uint8] = _tissue_table()
"""Tissue class of every label value; `IGNORED` stays itself."""

LEVEL_OF_VALUE: NDArray[np.uint8] = _level_table()
"""Level class of every label value that has one, `IGNORED` elsewhere (also in posterior elements)."""
