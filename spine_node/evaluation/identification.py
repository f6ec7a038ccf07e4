"""Did each vertebra get its name? VerSe's identification, and in which way names went wrong.

Points in, verdicts out: works for label maps and for centres that somebody marked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from spine_node.anatomy.levels import LEVELS, POSTERIOR_OFFSET, VERTEBRA_VALUES, order
from spine_node.imaging.volume import FloatArray, Grid
from spine_node.segmentation.classes import IGNORED

FOUND_MM = 20.0
"""Furthest that a found vertebra may be from a true one to be it (Sekuboyina et al., MedIA 2021)."""

EXTRA = ("T13", "L6")
"""Levels that most people do not have: T12 and L1 are neighbours."""

Centres = Mapping[str, FloatArray]


def body_centres(labels: np.ndarray, grid: Grid) -> dict[str, FloatArray]:
    """Centroid of every body in a label array, LPS mm, by level."""
    where = np.nonzero((labels > 0) & (labels < POSTERIOR_OFFSET) & (labels != IGNORED))
    values = labels[where]
    counts = np.bincount(values, minlength=256)
    sums = np.stack([np.bincount(values, weights=w, minlength=256) for w in where], axis=1)
    return {
        level: grid.to_mm(sums[value] / counts[value])
        for level, value in VERTEBRA_VALUES.items()
        if counts[value]
    }


def identification(found: Centres, true: Centres, *, complete: bool = True) -> dict[str, Any]:
    """Compare centres, LPS mm, by level.

    Parameters
    ----------
    found, true : mapping of level to ndarray, shape (3,)
    complete : bool
        Every vertebra in the image is among the true ones; else nothing can be said of additional ones.

    Returns
    -------
    dict
        "levels": for each true level {"level", "nearest" (the name of the closest found vertebra, if within
        `FOUND_MM`), "distance_mm" (to the one found under this name, or None), "right"}. A level is right
        when the closest found vertebra bears its name and is within `FOUND_MM`.
        "false_positives": found vertebrae with no true one within `FOUND_MM`; None if not `complete`.
        "all_right": every level right and no false positive.
    """
    rows = []
    for level in sorted(true, key=order):
        gaps = {name: float(np.linalg.norm(c - true[level])) for name, c in found.items()}
        nearest = min(gaps, key=lambda name: gaps[name], default=None)
        if nearest is not None and gaps[nearest] >= FOUND_MM:
            nearest = None
        rows.append(
            {
                "level": level,
                "nearest": nearest,
                "distance_mm": gaps.get(level),
                "right": nearest == level,
                "off_by_one": nearest is not None and steps_apart(level, nearest) == 1,
            }
        )
    ghosts = sorted(
        (
            name
            for name, centre in found.items()
            if min((float(np.linalg.norm(centre - c)) for c in true.values()), default=np.inf) >= FOUND_MM
        ),
        key=order,
    )
    return {
        "levels": rows,
        "false_positives": ghosts if complete else None,
        "all_right": bool(rows) and all(row["right"] for row in rows) and not (complete and ghosts),
    }


def steps_apart(one: str, other: str) -> int:
    """How many vertebrae along the spine; T13 and L6 count only where one of the two is one of them."""
    chain = [level for level in LEVELS if level not in EXTRA or level in (one, other)]
    return abs(chain.index(one) - chain.index(other))
