"""Labels that touch where two bones should be apart: fused vertebrae, or outlines that ran together."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from spine_node.anatomy.levels import LEVEL_OF_VALUE, SACRUM, VERTEBRA_VALUES
from spine_node.imaging.volume import Box, LabelMap

TOUCHING_MM2 = 40.0
"""Bodies that share less border than this touch at a spur or a voxel's corner."""

_NAMES = {**{value: f"{level} body" for value, level in LEVEL_OF_VALUE.items()}, SACRUM: "sacrum"}


def touching(label_map: LabelMap, found: Mapping[int, Box]) -> list[str]:
    """A sentence for each pair of bodies, or body and sacrum, that share a border.

    Parameters
    ----------
    label_map : LabelMap
    found : mapping of int to box
        Its `boxes`.
    """
    # the atlas lies around the dens and has no endplate that could be wrong
    bodies = [value for level, value in VERTEBRA_VALUES.items() if level != "C1"]
    column = [value for value in (*bodies, SACRUM) if value in found]
    said = []
    for value in column[:-1]:
        for other, area in sorted(_borders_mm2(label_map, value, found[value], column).items()):
            if column.index(other) > column.index(value) and area >= TOUCHING_MM2:
                said.append(
                    f"{_NAMES[value]} and {_NAMES[other]} touch over {area:.0f} mm2: they are fused, or "
                    "their outlines ran together; the endplates there may be wrong."
                )
    return said


def _borders_mm2(label_map: LabelMap, value: int, box: Box, others: list[int]) -> dict[int, float]:
    """Area of the faces that a value shares with each of the others."""
    shape = label_map.grid.shape
    wide = tuple(slice(max(s.start - 1, 0), min(s.stop + 1, n)) for s, n in zip(box, shape, strict=True))
    labels = label_map.labels[wide]
    areas: dict[int, float] = {}
    for axis, spacing in enumerate(label_map.grid.spacing_mm):
        face = label_map.grid.voxel_mm3 / float(spacing)
        moved = np.moveaxis(labels, axis, 0)
        for near, far in ((moved[:-1], moved[1:]), (moved[1:], moved[:-1])):
            met = np.bincount(far[near == value], minlength=256)
            for other in others:
                if other != value and met[other]:
                    areas[other] = areas.get(other, 0.0) + face * float(met[other])
    return areas
