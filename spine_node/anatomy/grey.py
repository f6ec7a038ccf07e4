"""What the image says of a labelled bone: its mean grey value, and whether metal is in it.

Cone-beam values are no Hounsfield units: metal is told by how far it outshines this patient's own bone.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import ndimage

from spine_node.anatomy.levels import CHANNELS, LEVEL_OF_VALUE
from spine_node.imaging.components import Blob
from spine_node.imaging.volume import Box, LabelMap, Volume

INSIDE_MM = 3.0
"""The mean is taken this far inside the body: its shell is partly not bone."""

ABOVE_AIR, ABOVE_BONE = 1.5, 2.2
"""Metal outshines the median of bodies by this part of the way down to the darkest, and by this part of the
way up to their brightest tenth: for Hounsfield units both give some 1300 to 2000."""

METAL_PART, METAL_MM3 = 0.01, 50.0
"""Less metal in a structure than this is a bright voxel here and there."""


def body_mean(volume: Volume, body: Blob) -> float | None:
    """Mean grey value inside a body, `INSIDE_MM` off its surface; None where nothing is that deep.

    Parameters
    ----------
    volume : Volume
        On the grid that the body was cut out of.
    body : Blob
    """
    depth = ndimage.distance_transform_edt(body.mask, sampling=body.grid.spacing_mm)
    where = np.argwhere(depth > INSIDE_MM) - body.volume_low
    if not len(where):
        return None
    return float(np.mean(volume.values[tuple(where.T)], dtype=np.float64))


def metal(volume: Volume, label_map: LabelMap, found: Mapping[int, Box]) -> list[str]:
    """A sentence for each structure with metal in it."""
    bodies = [v for v in found if v in LEVEL_OF_VALUE] or list(found)
    bone = np.concatenate(
        [volume.values[found[v]][label_map.labels[found[v]] == v][::7] for v in bodies]
    ).astype(np.float64)
    middle, bright = (float(v) for v in np.percentile(bone, (50, 90)))
    dark = float(np.percentile(volume.values[::4, ::4, ::4].astype(np.float64), 0.5))
    threshold = middle + max(ABOVE_AIR * (middle - dark), ABOVE_BONE * (bright - middle))
    said = []
    for value, box in found.items():
        own = volume.values[box][label_map.labels[box] == value]
        count = int((own > threshold).sum())
        if value in CHANNELS and count * volume.grid.voxel_mm3 > METAL_MM3 and count > METAL_PART * len(own):
            said.append(
                f"{CHANNELS[value]}: {100 * count / len(own):.0f} % of its voxels are as bright as metal; "
                "surfaces beside metal may be wrong."
            )
    return said
