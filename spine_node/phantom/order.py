"""What a user asks of a phantom in words: who stands there, what is seen, and how it is painted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from spine_node.phantom.generate import FieldOfView, Phantom, generate
from spine_node.phantom.library import TemplateLibrary
from spine_node.phantom.person import SpineSpec
from spine_node.phantom.population import Population
from spine_node.phantom.pose import random_spec
from spine_node.phantom.scoliosis import curve_at

RANDOM_EACH = 4
"""Of a mixed sheet every fourth phantom has random contrast."""


@dataclass(frozen=True, slots=True)
class Order:
    """Everything but the seed; None is drawn from it.

    Attributes
    ----------
    painting
        "mixed" paints every fourth seed with random contrast.
    curve_deg, curve_side, curve_apex
        One coronal curve: its angle, its convexity and its apical vertebra (T3 to L3).
    """

    spacing_mm: float = 1.0
    field_of_view: FieldOfView = "whole"
    painting: Literal["cbct", "random", "mixed"] = "cbct"
    clean: bool = False
    population: Population = "standing"
    PI_deg: float | None = None
    curve_deg: float | None = None
    curve_side: Literal["right", "left"] = "right"
    curve_apex: str = "T8"
    templates: TemplateLibrary | None = None
    device: str = "cpu"

    def painting_of(self, seed: int) -> Literal["cbct", "random"]:
        """How this seed is painted."""
        if self.painting == "mixed":
            return "random" if seed % RANDOM_EACH == 0 else "cbct"
        return self.painting

    def person(self, seed: int) -> SpineSpec:
        """Who stands there.

        Raises
        ------
        ValueError
            If no curve can have its apex at `curve_apex`.
        """
        curves = None
        if self.curve_deg is not None:
            curves = curve_at(self.curve_apex, self.curve_deg, self.curve_side)
        return random_spec(
            np.random.default_rng(seed),
            adult_clean=self.clean,
            population=self.population,
            PI_deg=self.PI_deg,
            curves=curves,
        )

    def make(self, seed: int) -> Phantom:
        """The phantom of this seed."""
        return generate(
            seed,
            spacing_mm=self.spacing_mm,
            field_of_view=self.field_of_view,
            clean=self.clean,
            painting=self.painting_of(seed),
            spec=self.person(seed),
            templates=self.templates,
            template_share=1.0,
            device=self.device,
        )


def templates_in(folder: Path | None) -> TemplateLibrary | None:
    """The shapes of a folder or library file, if one is given."""
    return TemplateLibrary.from_folder(folder) if folder else None
