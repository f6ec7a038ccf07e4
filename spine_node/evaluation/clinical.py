"""Errors of the measured parameters against the true ones, and curves matched one to one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from spine_node.anatomy.levels import LEVELS
from spine_node.parameters.model import Measurements, Parameter

Row = dict[str, Any]

APEX_LEVELS = 2
"""Furthest that the apices of a true and a measured curve may be apart to be the same curve."""

FEWEST = 5
"""Values from which on limits of agreement are told."""

GOOD = 5.0
"""Error, degrees or mm, up to which a value is called good: the spread of two readers of a Cobb angle."""


def parameter_rows(measured: Measurements, truth: Measurements) -> list[Row]:
    """One row for each true parameter but curves: key, level, unit, true, found (None: not measured)."""
    rows = []
    for true in truth.parameters:
        if true.key != "COBB":
            mate = measured.get(true.key, true.level)
            found = None if mate is None else mate.value
            rows.append(
                {"key": true.key, "level": true.level, "unit": true.unit, "true": true.value, "found": found}
            )
    return rows


def curve_rows(measured: Measurements, truth: Measurements) -> list[Row]:
    """Curves matched one to one: same convexity, apices at most `APEX_LEVELS` apart, nearest first.

    Returns
    -------
    list of dict
        "apex", "side", "true", "found"; "found" is None for a missed curve, "true" for one that is not
        there.
    """
    true = [p for p in truth.parameters if p.key == "COBB"]
    found = [p for p in measured.parameters if p.key == "COBB"]
    pairs = sorted(
        (gap, i, j)
        for i, one in enumerate(true)
        for j, other in enumerate(found)
        if one.side == other.side and (gap := _apart(one, other)) <= APEX_LEVELS
    )
    met: dict[int, int] = {}
    for _, i, j in pairs:
        if i not in met and j not in met.values():
            met[i] = j
    rows = [_curve(one, found[met[i]] if i in met else None) for i, one in enumerate(true)]
    return rows + [_curve(None, other) for j, other in enumerate(found) if j not in met.values()]


def _curve(true: Parameter | None, found: Parameter | None) -> Row:
    shown = true or found
    assert shown is not None
    return {
        "apex": shown.apex,
        "side": shown.side,
        "true": true.value if true else None,
        "found": found.value if found else None,
    }


def _apart(one: Parameter, other: Parameter) -> int:
    # An apex may be a disc ("T8/T9"): its upper vertebra stands for it.
    names = [(p.apex or "").replace("-", "/").split("/")[0] for p in (one, other)]
    if not set(names) <= set(LEVELS):
        return len(LEVELS)
    return abs(LEVELS.index(names[0]) - LEVELS.index(names[1]))


def agreement(rows: Iterable[Row]) -> Row:
    """Figures of one parameter over all rows that have a true value.

    Returns
    -------
    dict
        "expected", "measured"; of the measured ones "mae", "bias" (found - true), "limits" (95 % limits of
        agreement, Bland and Altman, Lancet 1986: bias -+ 1.96 SD; from `FEWEST` values on), "largest",
        and "good": the share of expected ones measured within `GOOD`. None where nothing was measured.
    """
    rows = [row for row in rows if row["true"] is not None]
    errors = np.array([row["found"] - row["true"] for row in rows if row["found"] is not None])
    result: Row = {"expected": len(rows), "measured": len(errors), "mae": None, "bias": None, "limits": None}
    result |= {
        "largest": None,
        "good": None if not rows else float(np.sum(np.abs(errors) <= GOOD)) / len(rows),
    }
    if len(errors):
        bias = float(errors.mean())
        result |= {
            "mae": float(np.abs(errors).mean()),
            "bias": bias,
            "largest": float(np.abs(errors).max()),
        }
        if len(errors) >= FEWEST:
            spread = 1.96 * float(errors.std(ddof=1))
            result["limits"] = [bias - spread, bias + spread]
    return result
