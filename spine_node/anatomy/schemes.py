"""Label maps of other makers, taken to the values of this project.

A scheme says what each of its values is called; the words are understood by `anatomy.names`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from spine_node.anatomy.femur import keep_heads
from spine_node.anatomy.levels import (
    CHANNELS,
    LEVEL_OF_VALUE,
    LEVELS,
    POSTERIOR_OFFSET,
    SACRUM,
    VERTEBRA_VALUES,
)
from spine_node.anatomy.names import structure_named
from spine_node.anatomy.split import BY_SHAPE, split
from spine_node.errors import LabelMapRefused
from spine_node.imaging.volume import Grid, LabelMap

VERSE: dict[int, str] = {value: level for level, value in VERTEBRA_VALUES.items()} | {
    26: "sacrum",
    27: "coccyx",
}
"""VerSe (Sekuboyina et al., MedIA 2021): whole vertebrae; the coccyx is none of ours."""

TOTALSEGMENTATOR: dict[int, str] = (
    {25: "sacrum", 26: "vertebrae_S1", 75: "femur_left", 76: "femur_right", 77: "hip_left", 78: "hip_right"}
    | {27 + i: f"vertebrae_L{5 - i}" for i in range(5)}
    | {32 + i: f"vertebrae_T{12 - i}" for i in range(12)}
    | {44 + i: f"vertebrae_C{7 - i}" for i in range(7)}
)
"""Task "total" of TotalSegmentator 2 (its `map_to_binary.class_map`), as far as it concerns us. Version 3
gives 26 to L6: its maps must be read by the names that it writes, not by these numbers."""

SCHEMES: dict[str, dict[int, str]] = {"spine": CHANNELS, "verse": VERSE, "totalsegmentator": TOTALSEGMENTATOR}
"""What `spine-node measure --scheme` knows."""

BODY_SUBREGIONS, POSTERIOR_SUBREGIONS = (49, 50), tuple(range(41, 49))
"""Values of a subregion map of TPTBox (Moeller et al., Eur Radiol 2025), which stands beside a map of VerSe:
border and core of the body; arch, spinous, costal and articular processes."""

FEMUR_VALUES = {"femur_left": 33, "femur_right": 34}
"""Whole femora, between reading and cutting off their heads; never in a result."""


def value_of(name: str) -> int | None:
    """The value of what somebody calls a structure, a whole femur's included; None for none of ours.

    Examples
    --------
    >>> value_of("vertebrae_L5"), value_of("femur_left"), value_of("spleen")
    (24, 33, None)
    """
    if name in FEMUR_VALUES:
        return FEMUR_VALUES[name]
    named = structure_named(name)
    return None if named is None else named.value


def from_scheme(
    grid: Grid, labels: NDArray[np.integer], names: Mapping[int, str]
) -> tuple[LabelMap, tuple[str, ...]]:
    """A label map in our values: renamed, whole vertebrae parted, femora reduced to their heads.

    Parameters
    ----------
    grid : Grid
    labels : ndarray of int, shape of the grid
        Values of the scheme; those that it does not name become 0.
    names : mapping of int to str
        What each value is called.

    Returns
    -------
    label_map : LabelMap
    quality : tuple of str
        Sentences on what could not be taken over, and `BY_SHAPE` where vertebrae were parted.

    Raises
    ------
    LabelMapRefused
        If it shows no vertebra and no sacrum of that scheme.
    """
    ours = {value: mapped for value, name in names.items() if (mapped := value_of(name)) is not None}
    low, high = int(labels.min()), int(labels.max())
    table = np.zeros(max(high, *ours, 0) + 1, np.uint8)
    table[list(ours)] = list(ours.values())
    if low < 0:
        raise LabelMapRefused(f"the label map holds the value {low}: values of structures are above 0.")
    mapped = table[labels]
    spine = [VERTEBRA_VALUES[level] for level in LEVELS]
    if not np.isin(mapped, [*spine, 26]).any():
        raise LabelMapRefused(
            f"the label map shows no vertebra and no sacrum: it holds values from {low} to {high}, of which "
            f"this scheme names {sorted(set(ours) & set(np.unique(labels).tolist())) or 'none'}. "
            "Is it of another scheme? Nothing was measured."
        )
    heads, quality = keep_heads(LabelMap(grid, mapped), FEMUR_VALUES)
    parted = split(heads)
    return parted, quality if parted is heads else (*quality, BY_SHAPE)


def from_subregions(grid: Grid, vertebrae: NDArray[np.integer], subregions: NDArray[np.integer]) -> LabelMap:
    """A label map in our values from a VerSe map of whole vertebrae and a map of their parts.

    Parameters
    ----------
    grid : Grid
    vertebrae : ndarray of int, shape of the grid
        Values of `VERSE`; others (discs and endplates from 100 on) become 0.
    subregions : ndarray of int, shape of the grid
        Of a vertebra's voxels, `BODY_SUBREGIONS` are its body and `POSTERIOR_SUBREGIONS` posterior elements.

    Raises
    ------
    LabelMapRefused
        If the two maps share no voxel of a vertebra.
    """
    level = np.where(np.isin(vertebrae, list(LEVEL_OF_VALUE)), vertebrae, 0).astype(np.uint8)
    labels = np.where(vertebrae == SACRUM, SACRUM, 0).astype(np.uint8)
    body = (level > 0) & np.isin(subregions, BODY_SUBREGIONS)
    posterior = (level > 0) & np.isin(subregions, POSTERIOR_SUBREGIONS)
    if not body.any():
        raise LabelMapRefused(
            f"the subregions hold no body ({' or '.join(map(str, BODY_SUBREGIONS))}) where the other map has "
            "a vertebra (1 to 25, 28). Are the two of one scan? Nothing was taken over."
        )
    labels[body] = level[body]
    labels[posterior] = level[posterior] + POSTERIOR_OFFSET
    return LabelMap(grid, labels)
