"""Streams that cost nothing to make. For tests only; workers import them by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spine_node.imaging.volume import LabelMap, Volume
from tests.segmentation.toy_spine import toy_case


@dataclass(frozen=True, slots=True)
class ToyStream:
    """Toy spines of the seeds 0..count-1; those of `empty` show nothing."""

    count: int = 2
    validate: int = 0
    empty: tuple[int, ...] = ()
    skips_refused: bool = True
    name: str = "toys"
    share: float = 1.0
    spacing_mm: float = 4.0

    def training(self) -> Sequence[str]:
        return [f"toy_{seed}" for seed in range(self.count)]

    def validation(self) -> Sequence[str]:
        return [f"toy_{100 + seed}" for seed in range(self.validate)]

    def content(self) -> dict[str, Any]:
        return {"spacing": self.spacing_mm}

    def make(self, case: str, spacing_mm: float) -> tuple[Volume, LabelMap]:
        seed = int(case.removeprefix("toy_"))
        volume, truth = toy_case(seed, self.spacing_mm)
        if seed in self.empty:
            return volume, LabelMap(truth.grid, np.zeros_like(truth.labels))
        return volume, truth

    def draw(self, ready: Sequence[str], rng: np.random.Generator) -> str:
        return ready[int(rng.integers(len(ready)))]

    def words(self) -> str:
        return "toy spines"
