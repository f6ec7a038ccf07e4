"""The numbered columns as tables: place by place, padded to the longest, for `sequence`.

Places are counted in half vertebrae: a body at an odd one is two in one piece.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spine_node.anatomy.levels import LEVELS
from spine_node.imaging.volume import FloatArray
from spine_node.segmentation.classes import LEVEL_CLASSES
from spine_node.segmentation.numbering import NUMBERINGS, USUAL

HALF_STEPS = (2, 3, 4, 5, 6)
"""Half vertebrae from one body down to the next: 2 is the next one, 6 is past two missed."""

SLIPS = (-1, 0, 1)
"""How many levels too low a net reads a stretch of bodies."""

PLACES = 2 * max(len(n.levels) for n in NUMBERINGS) - 1

_N = len(NUMBERINGS)


@dataclass(frozen=True, slots=True)
class Columns:
    """Tables of all numberings, padded to the longest; axis 0 is the numbering."""

    along: FloatArray  # (numbering, place), mm from C1; nan where the column has ended
    last: NDArray[np.intp]  # place of the vertebra on the sacrum
    level: NDArray[np.intp]  # (numbering, place) index into LEVELS, -1 where there is none
    missed: FloatArray  # (half step, numbering, place) vertebrae jumped over by that step; inf: no way
    distance: FloatArray  # (half step, numbering, place), mm


def _columns() -> Columns:
    along = np.full((_N, PLACES), np.nan)
    level = np.full((_N, PLACES), -1)
    last = np.array([2 * len(n.levels) - 2 for n in NUMBERINGS])
    for c, numbering in enumerate(NUMBERINGS):
        places = np.arange(last[c] + 1)
        along[c, places] = np.interp(places / 2, np.arange(len(numbering.levels)), numbering.along_mm)
        level[c, places] = [LEVELS.index(numbering.levels[p // 2]) for p in places]
    # From a whole vertebra: to the next, to a merged pair, past one missed, ...; from a pair likewise.
    missed = {0: (0, 0, 1, 1, 2), 1: (np.inf, 0, 0, 1, np.inf)}
    jumped = np.full((len(HALF_STEPS), _N, PLACES), np.inf)
    distance = np.ones_like(jumped)
    for h, step in enumerate(HALF_STEPS):
        for c in range(_N):
            for p in range(last[c] + 1 - step):
                jumped[h, c, p] = missed[p % 2][h]
                distance[h, c, p] = along[c, p + step] - along[c, p]
    return Columns(along, last, level, jumped, distance)


COLUMNS = _columns()
"""The tables of `NUMBERINGS`."""


def _reading_table() -> FloatArray:
    """What a net may call each level when it slips: weights (slip, numbering, vertebra, class)."""
    usual = [LEVELS.index(level) for level in USUAL]
    s1 = LEVEL_CLASSES.index("S1")
    table = np.zeros((len(SLIPS), _N, (PLACES + 1) // 2, len(LEVEL_CLASSES)))
    for c, numbering in enumerate(NUMBERINGS):
        for v, name in enumerate(numbering.levels):
            own = LEVELS.index(name)
            # A rare level stands between two usual ones, and a net that hardly ever saw it says these.
            rare = name not in USUAL
            before = [i for i in usual if i < own]
            after = [*(i for i in usual if i > own), s1]
            said = {
                -1: {before[-1]: 1.0} if before else {own: 1.0},
                0: {own: 0.5, before[-1]: 0.25, after[0]: 0.25} if rare else {own: 1.0},
                1: {after[0]: 1.0} if name != "L5" else {s1: 0.5, LEVELS.index("L6"): 0.5},
            }
            for s, slip in enumerate(SLIPS):
                for k, share in said[slip].items():
                    table[s, c, v, k] = share
    return table


READING = _reading_table()
"""Weights (slip, numbering, vertebra, class of the level head)."""
