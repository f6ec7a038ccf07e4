"""The vertical as a person tells it."""

from __future__ import annotations

import numpy as np

from spine_node.anatomy.landmarks import Vertical
from spine_node.geometry.directions import unit

WORDS = {
    "standing": Vertical(provenance="image z axis, the user says that the patient stood", standing=True),
    "lying": Vertical(provenance="image z axis, the user says that the patient lay", standing=False),
    "unknown": Vertical(provenance="image z axis, posture not declared", standing=None),
}
"""Words for the image's z axis with a posture."""


def vertical_told(text: str) -> Vertical:
    """What "standing", "lying", "unknown" or three numbers mean.

    Three numbers are the direction against gravity, LPS, of a patient who stood.

    Raises
    ------
    ValueError
        If the text is none of these.

    Examples
    --------
    >>> vertical_told("0,-0.1,1").standing, vertical_told("lying").standing
    (True, False)
    """
    if text in WORDS:
        return WORDS[text]
    try:
        x, y, z = (float(part) for part in text.split(","))
        return Vertical(unit(np.array([x, y, z])), f"given by the user as LPS {text}", standing=True)
    except ValueError as wrong:
        raise ValueError(
            f"{text!r} is no vertical: it must be standing, lying, unknown, or X,Y,Z (LPS, against gravity)"
        ) from wrong
