"""Did each vertebra get its name? VerSe's identification, and in which way names went wrong.

Points in, verdicts out: works for label maps and for centres that somebody marked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from spine_node.anatomy.levels import LEVELS, POSTERIOR_OFFSET, VERTEBRA_VALUES, order
from spine_node.imaging.volume import FloatArray, Grid
from spine_node.segmentation.classes import IGNORED

FOUND_MM = 20.0
"""Furthest that a found vertebra may be from a true one to be it (Sekuboyina et al., MedIA 2021)."""

NEAR_MM = 10.0
"""Furthest that a body of the right name may be from its true centre to be where it belongs: less than half
the way to its neighbour anywhere below T1."""

COUNTED = LEVELS[order("T1") : order("L5") + 1]
"""Levels that `near` counts: cervical bodies lie closer to each other than marks are exact."""

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


def scored_centres(found: np.ndarray, kept: np.ndarray, grid: Grid) -> dict[str, FloatArray]:
    """Centroids of the whole found bodies of which at least half is left to be scored, LPS mm, by level.

    Parameters
    ----------
    found, kept : ndarray of uint8
        Labels as found, and what `metrics.scored` left of them.
    """
    whole, left = (np.bincount(labels.ravel(), minlength=256) for labels in (found, kept))
    centres = body_centres(found, grid)
    values = {level: VERTEBRA_VALUES[level] for level in centres}
    return {level: c for level, c in centres.items() if 2 * left[values[level]] >= whole[values[level]]}


def near(rows: Iterable[Mapping[str, Any]], limit_mm: float = NEAR_MM) -> tuple[int, int]:
    """How many bodies T1 to L5 of these rows ("levels" of `identification`) were found under their own name
    within `limit_mm`, and how many there are."""
    gaps = [row["distance_mm"] for row in rows if row["level"] in COUNTED]
    return sum(gap is not None and gap <= limit_mm for gap in gaps), len(gaps)


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
