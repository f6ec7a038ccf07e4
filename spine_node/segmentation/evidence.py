"""What was seen of a spine, as far as names follow from it; kept beside results as JSON.

With it another naming follows from a pinned level, without the image and without the net.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spine_node.imaging.volume import FloatArray
from spine_node.segmentation.classes import LEVEL_CLASSES


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What was seen of a spine: all that names can be told from, without the image.

    Attributes
    ----------
    centres_mm : ndarray, shape (n, 3)
        Body centres, LPS, cranial to caudal.
    log_chance : ndarray, shape (n, classes)
        Mean log probability of each of `classes.LEVEL_CLASSES` inside each body.
    sacrum_gap_mm : float, optional
        From the lowest body's centre to the nearest sacral bone; None when the field shows none.
    above_mm : float, optional
        From the highest body's centre up to where the field ends; None when unknown.
    """

    centres_mm: FloatArray
    log_chance: NDArray[np.floating]
    sacrum_gap_mm: float | None = None
    above_mm: float | None = None

    def __post_init__(self) -> None:
        if self.centres_mm.shape != (len(self.log_chance), 3) or self.log_chance.shape[1:] != (
            len(LEVEL_CLASSES),
        ):
            raise ValueError(
                f"centres have shape {self.centres_mm.shape}, chances {self.log_chance.shape}: "
                f"(n, 3) and (n, {len(LEVEL_CLASSES)}) were expected"
            )

    def to_dict(self) -> dict[str, Any]:
        """As plain values: millimetres to 0.01, log probabilities to 0.001."""
        return {
            "classes": list(LEVEL_CLASSES),
            "centres_mm": np.round(self.centres_mm, 2).tolist(),
            "log_chance": np.round(self.log_chance.astype(np.float64), 3).tolist(),
            "sacrum_gap_mm": self.sacrum_gap_mm and round(self.sacrum_gap_mm, 2),
            "above_mm": self.above_mm and round(self.above_mm, 2),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Evidence:
        """Read the JSON form back.

        Raises
        ------
        ValueError, KeyError
            If it is not that of this software.
        """
        if tuple(data["classes"]) != LEVEL_CLASSES:
            raise ValueError(
                f"levels are {', '.join(data['classes'])}: another version of the software wrote them"
            )
        return cls(
            np.array(data["centres_mm"], dtype=np.float64).reshape(-1, 3),
            np.array(data["log_chance"], dtype=np.float64).reshape(-1, len(LEVEL_CLASSES)),
            data["sacrum_gap_mm"],
            data["above_mm"],
        )
