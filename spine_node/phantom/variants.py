"""What is unusual about a person: another number of vertebrae, fractures, spurs, blocks and wedges.

Rates are those of a generator that wants to show such people often enough, not of the population.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from spine_node.phantom.dimensions import LevelSize

LEVELS_DOWN: tuple[str, ...] = (
    *(f"C{n}" for n in range(1, 8)),
    *(f"T{n}" for n in range(1, 13)),
    *(f"L{n}" for n in range(1, 6)),
)
"""The usual 24 vertebrae, cranial to caudal."""

NUMBERS = {"L6": 0.04, "no L5": 0.03, "T13": 0.02, "no T12": 0.02}
"""How often a person has six or four lumbar, thirteen or eleven thoracic vertebrae."""

FRACTURED = 0.11
"""Share of people with one or two fractures."""

GRADES = {1: (0.20, 0.25), 2: (0.25, 0.40), 3: (0.40, 0.55)}
"""Loss of height by grade (Genant et al., J Bone Miner Res 1993;8:1137); 0.55 is as far as is drawn."""

OFTEN = {"T7": 2.0, "T8": 2.0, "T11": 2.0, "T12": 4.0, "L1": 4.0, "L2": 2.0}
"""Weights of fractured levels: mid-thoracic and thoracolumbar."""


@dataclass(frozen=True, slots=True)
class Fracture:
    """A collapsed body: in front (wedge), in its middle (biconcave) or altogether (crush).

    `loss` is the share of the height that is gone there.
    """

    kind: Literal["wedge", "biconcave", "crush"]
    loss: float

    @property
    def grade(self) -> int:
        """After Genant, 0 below a fifth."""
        return next((g for g in (3, 2, 1) if self.loss >= GRADES[g][0]), 0)

    def wedge_deg(self, size: LevelSize) -> float:
        """How much kyphotic wedging it adds."""
        if self.kind != "wedge":
            return 0.0
        return float(np.degrees(np.arctan2(self.loss * size.height_mm, size.depth_mm)))

    def height_lost_mm(self, size: LevelSize) -> float:
        """Between the centres of the endplates: half of the front's, nothing but dish, or all of it."""
        return size.height_mm * self.loss * {"wedge": 0.5, "biconcave": 0.35, "crush": 1.0}[self.kind]

    def dish_mm(self, size: LevelSize) -> float:
        """How much deeper each endplate is dished: its plane sinks with its mean depth, a third of this."""
        return size.height_mm * self.loss * 0.5 if self.kind == "biconcave" else 0.0


def draw_levels(rng: np.random.Generator) -> tuple[str, ...]:
    """Which vertebrae there are: 89 % the usual 24."""
    levels = list(LEVELS_DOWN)
    draw = rng.choice([*NUMBERS, "usual"], p=[*NUMBERS.values(), 1 - sum(NUMBERS.values())])
    if draw == "L6":
        levels.append("L6")
    elif draw == "T13":
        levels.insert(levels.index("T12") + 1, "T13")
    elif draw != "usual":
        levels.remove(draw.removeprefix("no "))
    return tuple(levels)


def draw_fractures(
    rng: np.random.Generator, levels: tuple[str, ...], age_years: float
) -> dict[str, Fracture]:
    """None, or one or two; rare before 45 years and common after 70."""
    if rng.random() > FRACTURED * np.interp(age_years, [40, 75], [0.6, 2.5]):
        return {}
    low = [level for level in levels if level[0] in "TL" and level not in ("T1", "T2", "L6")]
    chance = np.array([OFTEN.get(level, 0.5) for level in low])
    count = 2 if rng.random() < 0.3 else 1
    hit = rng.choice(low, size=count, replace=False, p=chance / chance.sum())
    return {str(level): _fracture(rng) for level in hit}


def _fracture(rng: np.random.Generator) -> Fracture:
    kind = rng.choice(["wedge", "biconcave", "crush"], p=[0.6, 0.3, 0.1])
    grade = int(rng.choice([1, 2, 3], p=[0.4, 0.4, 0.2]))
    return Fracture(kind, float(rng.uniform(*GRADES[grade])))


def described(levels: tuple[str, ...], fractures: Mapping[str, Fracture]) -> tuple[str, ...]:
    """What a caption says of them."""
    said = [level for level in ("L6", "T13") if level in levels]
    said += [f"no {level}" for level in ("L5", "T12") if level not in levels]
    return (*said, *(f"{level} {f.kind} grade {f.grade}" for level, f in fractures.items()))
