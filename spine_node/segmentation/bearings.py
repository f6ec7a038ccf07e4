"""Whether the patient lies in the image as its header says: head up, face forward.

Left and right come from the header alone. Where the anatomy contradicts it in what can be seen, its
word on the sides cannot be trusted either; a mirrored image alone shows nothing and is not found.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spine_node.segmentation.classes import HEAD, HIP, POSTERIOR, SACRUM
from spine_node.segmentation.instances import Instances

LEANING_DEG = 45.0
"""Angle between the column and the vertical of the header from which it is worth a word: standing
patients lean less, and a long curve over a short field leans by its own angle."""

BEHIND_MM = 5.0
"""How far the middle of an arch lies behind the middle of its body, at least (usually 12 to 35)."""


def doubts(tissue: NDArray[np.uint8], vertebrae: Instances, spacing_mm: float) -> tuple[str, ...]:
    """Sentences for the report; none when all is as the header says.

    Parameters
    ----------
    tissue : ndarray, shape (z, y, x)
        Classes of `classes.TISSUES`, on a canonical grid: up, back, left.
    vertebrae : Instances
    spacing_mm : float
    """
    said = []
    centres = vertebrae.centres
    if len(centres) > 1:
        way = centres[0] - centres[-1]
        lean = float(np.degrees(np.arccos(np.clip(way[0] / np.linalg.norm(way), -1, 1))))
        if lean > LEANING_DEG:
            said.append(
                f"the spine lies {lean:.0f} degrees off the vertical of the image: was the patient's "
                "position entered rightly at the scanner?"
            )
    behind = []
    for index, centre in enumerate(centres, start=1):
        arch = np.argwhere((vertebrae.parts == index) & (tissue == POSTERIOR))
        if len(arch):
            behind.append(float(arch[:, 1].mean() - centre[1]) * spacing_mm)
    if behind and np.median(behind) < -BEHIND_MM:
        said.append(
            "posterior elements lie in front of the bodies: the image's orientation is wrong, and left and "
            "right cannot be trusted"
        )
    # A ball alone may be the head of a humerus: only with other bones of a pelvis is it a femoral one.
    pelvic = np.isin(tissue, (SACRUM, HIP)).any()
    below = np.argwhere((tissue == SACRUM) | (tissue == HEAD))
    if pelvic and len(below) and len(centres) and below[:, 0].mean() > centres[:, 0].mean():
        said.append(
            "the pelvis lies above the spine: the image's orientation is wrong, and left and right cannot be "
            "trusted"
        )
    return tuple(said)
