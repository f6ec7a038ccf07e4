"""How a person is built around the skeleton, and stands in the scanner."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from spine_node.phantom.arms import ArmPosture


@dataclass(frozen=True, slots=True)
class Habitus:
    """How the person is built around the skeleton, and stands.

    Attributes
    ----------
    girth : float
        Relative to the average.
    fat_mm : float
        Subcutaneous fat.
    gas : int
        Bubbles in the bowel.
    arms : str
        "hanging", "raised", or "bar": hands on a bar in front of the chest, which is seen too.
    backrest, chin_rest : bool
        Parts of the stand in the image.
    distractors : int
        Blobs of no tissue at all, for random contrast.
    """

    girth: float
    fat_mm: float
    gas: int
    arms: ArmPosture = "hanging"
    backrest: bool = False
    chin_rest: bool = False
    distractors: int = 0

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Habitus:
        """A person of random girth, subcutaneous fat and bowel gas."""
        return cls(
            float(np.clip(rng.normal(1.0, 0.09), 0.82, 1.3)),
            float(np.clip(rng.gamma(4.0, 4.0), 4, 45)),
            int(rng.integers(2, 9)),
        )

    def positioned(self, rng: np.random.Generator) -> Habitus:
        """The same person in one of the ways that scanners ask for."""
        arms: ArmPosture = ("hanging", "raised", "bar")[int(np.searchsorted([0.4, 0.6], rng.random()))]
        return replace(self, arms=arms, backrest=rng.random() < 0.2, chin_rest=rng.random() < 0.1)
