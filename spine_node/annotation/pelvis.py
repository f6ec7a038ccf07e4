"""Sacrum, hip bones and femoral heads of a draft, from one centre each."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spine_node.anatomy.levels import STRUCTURE_VALUES
from spine_node.annotation.sites import Site
from spine_node.imaging.volume import FloatArray, Volume
from spine_node.phantom.dimensions import FEMORAL_HEAD_RADIUS_MM

SEED_MM = 9.0
"""Radius of the marker around a click."""

SPAN_MM = {"sacrum": 75.0, "hip_left": 120.0, "hip_right": 120.0}
"""Farthest bone from the click that may belong to the structure."""

SACRUM_HALF_WIDTH_MM = 58.0
"""Midline to the sacroiliac joint and a little more: hip bones may have no click to hold their own."""

SHAFT_MM = 48.0
"""From the centre of a femoral head outwards and down to the shaft, which is marked as background."""

_SHAFT = len(STRUCTURE_VALUES) + 1


def mark_pelvis(
    work: Volume, labels: NDArray[np.uint8], lowest: Site, centres: Mapping[str, FloatArray]
) -> None:
    """Write into `labels` (z, y, x): bone below the lowest vertebra, flooded from bright to dark.

    Joints are thin dark gaps where floods meet. Marrow that is no brighter than soft tissue is taken in
    only where bone closes around it.
    """
    from skimage.segmentation import watershed

    scale = lowest.scale
    values = (work.values - lowest.soft) / max(lowest.bone - lowest.soft, 1e-6)
    spacing, origin = float(work.grid.spacing_mm[0]), work.grid.affine[:3, 3]
    z, y, x = (
        np.arange(n, dtype=np.float32).reshape(shape) * spacing + np.float32(start)
        for n, start, shape in zip(work.grid.shape, origin[::-1], ((-1, 1, 1), (-1, 1), (-1,)), strict=True)
    )

    def distance(point: FloatArray) -> NDArray[np.float32]:
        return np.sqrt((x - point[0]) ** 2 + (y - point[1]) ** 2 + (z - point[2]) ** 2)

    bone = ndimage.binary_closing(values > 0.55, iterations=max(1, round(2.0 / spacing)))
    bone &= labels == 0
    point, normal = lowest.bottom
    below = (x - point[0]) * normal[0] + (y - point[1]) * normal[1] + (z - point[2]) * normal[2] < -1.0
    markers = np.zeros(labels.shape, np.int32)
    allowed = np.zeros(labels.shape, bool)
    names = [name for name in STRUCTURE_VALUES if name in centres]
    for number, name in enumerate(names, start=1):
        away = distance(centres[name])
        if name.startswith("femoral_head"):
            radius = FEMORAL_HEAD_RADIUS_MM * scale
            bone |= (away < 0.8 * radius) & (labels == 0)
            markers[away < 0.7 * radius] = number
            outwards = SHAFT_MM * (1 if name.endswith("left") else -1)
            shaft = distance(centres[name] + np.array([outwards, 0.0, -SHAFT_MM]))
            markers[(shaft < 2 * SEED_MM) & bone] = _SHAFT
            allowed |= away < 1.3 * radius
        else:
            bone |= (away < SEED_MM) & (labels == 0)
            markers[away < SEED_MM] = number
            near = away < SPAN_MM[name] * scale
            if name == "sacrum":
                near &= below & (np.abs(x - centres[name][0]) < SACRUM_HALF_WIDTH_MM * scale)
            allowed |= near
    edges = -ndimage.gaussian_filter(np.minimum(values, 2.0), 0.6)
    owner = watershed(edges, np.where(bone, markers, 0), mask=bone & (allowed | (markers > 0)))
    for number, name in enumerate(names, start=1):
        mine = owner == number
        if name.startswith("femoral_head"):
            mine &= distance(centres[name]) < 1.12 * FEMORAL_HEAD_RADIUS_MM * scale
        mine = ndimage.binary_fill_holes(mine)
        pieces, count = ndimage.label(mine)
        if count:
            mine = pieces == 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
            labels[mine & (labels == 0)] = STRUCTURE_VALUES[name]
