"""Which cases went worst, and what went wrong with one, in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

from spine_node.anatomy.levels import order
from spine_node.evaluation.identification import near, steps_apart
from spine_node.evaluation.summary import mean_of

Row = Mapping[str, Any]

POOR, POOR_ARCH = 0.8, 0.65
"""Dice below which an outline is called poor; thin posterior elements lose more of it to one voxel."""

NAMED = 3
"""So many poor outlines are named, the worst first."""

SCORE = (
    "mean Dice of whole vertebrae (of bodies, where those are not known) under their names; of scans with "
    "marked centres only, the share of bodies T1-L5 of the right name within 10 mm"
)
"""What `score` is."""

_COUNTS = ("no", "one level", "two levels", "three levels", "four levels", "five levels")


def score(case: Row) -> float:
    """How well one case went, 0 to 1: see `SCORE`."""
    for group in ("vertebra", "body"):
        rows = [row for row in case["outlines"] or [] if row["group"] == group]
        if (dice := mean_of(rows, "dice")) is not None:
            return dice
    right, of = near(case["identification"]["levels"])
    return right / of if of else float(case["identification"]["all_right"])


def what_went_wrong(case: Row) -> str:
    """Names first, then outlines: "T4 to L5 one level too low; C3 missed; L2 poorly drawn (0.61)"."""
    if case["refused"]:
        return f"refused: {case['refused']}"
    levels = case["identification"]["levels"]
    parts = [_moved(levels, shift) for shift in sorted({_shift(row) for row in levels} - {None, 0})]
    if missed := _runs([row["level"] for row in levels if row["nearest"] is None], levels):
        parts.append(f"{missed} missed")
    if invented := case["identification"]["false_positives"]:
        parts.append(f"{', '.join(invented)} invented")
    poor = sorted((row for row in case["outlines"] or [] if _poor(row, levels)), key=lambda row: row["dice"])
    if poor:
        named = ", ".join(f"{_of(row)} ({row['dice']:.2f})" for row in poor[:NAMED])
        more = f" and {len(poor) - NAMED} more" if len(poor) > NAMED else ""
        parts.append(f"{named}{more} poorly drawn")
    fair = "" if case["outlines"] is None else ", every outline fair"
    return "; ".join(parts) or f"nothing: every name right{fair}"


def _shift(row: Row) -> int | None:
    """Levels that the found name is too low on the spine (negative: too high); None where nothing is."""
    if row["nearest"] is None:
        return None
    sign = 1 if order(row["nearest"]) > order(row["level"]) else -1
    return sign * steps_apart(row["level"], row["nearest"])


def _moved(levels: list[Row], shift: int | None) -> str:
    assert shift is not None
    steps = _COUNTS[abs(shift)] if abs(shift) < len(_COUNTS) else f"{abs(shift)} levels"
    own = _runs([row["level"] for row in levels if _shift(row) == shift], levels)
    return f"{own} called {steps} too {'low' if shift > 0 else 'high'}"


def _runs(names: list[str], levels: Iterable[Row]) -> str:
    """ "C3, T4 to L5": neighbours among the true levels as one."""
    place = {row["level"]: index for index, row in enumerate(levels)}
    said = []
    for _, group in groupby(enumerate(names), lambda pair: place[pair[1]] - pair[0]):
        run = [name for _, name in group]
        said.append(run[0] if len(run) == 1 else f"{run[0]} to {run[-1]}")
    return ", ".join(said)


def _poor(row: Row, levels: Iterable[Row]) -> bool:
    """Poor although the name is right; wholes are told by their parts."""
    named = {level["level"]: level["right"] for level in levels}
    least = POOR_ARCH if row["group"] == "posterior" else POOR
    return row["group"] != "vertebra" and row["dice"] < least and named.get(row["name"], True)


def _of(row: Row) -> str:
    name = row["name"].replace("_", " ")
    return f"arch of {name}" if row["group"] == "posterior" else name
