"""From scans to figures: levels are averaged within a scan, scans over a set, with an interval."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from spine_node.evaluation.clinical import agreement
from spine_node.evaluation.identification import near
from spine_node.evaluation.metrics import GROUPS

Row = dict[str, Any]

METRICS = ("dice", "iou", "hd95_mm", "assd_mm", "nsd_1mm", "nsd_2mm", "volume_similarity", "recall")
"""What an outline row holds, in the order of tables."""

RESAMPLES = 2000

FEWEST = 5
"""Scans from which on an interval is told: the bootstrap of fewer is their own range."""


def interval(values: Iterable[float | None]) -> Row | None:
    """Mean over scans and its 95 % bootstrap interval; None without a value.

    Returns
    -------
    dict
        "mean", "low", "high" (the interval; None for fewer than `FEWEST` scans), "least",
        "most", "scans".
    """
    seen = np.array([v for v in values if v is not None], dtype=np.float64)
    if len(seen) == 0:
        return None
    low = high = None
    if len(seen) >= FEWEST:
        draws = np.random.default_rng(0).integers(0, len(seen), (RESAMPLES, len(seen)))
        low, high = (float(q) for q in np.percentile(seen[draws].mean(axis=1), (2.5, 97.5)))
    return {
        "mean": float(seen.mean()),
        "low": low,
        "high": high,
        "least": float(seen.min()),
        "most": float(seen.max()),
        "scans": len(seen),
    }


def shares(counts: Sequence[tuple[int, int]]) -> Row | None:
    """Share of all of (how many, of how many) by scan, as `interval` tells it; whole scans are resampled,
    since what happens to the vertebrae of one scan happens together."""
    seen = np.array([(k, n) for k, n in counts if n], dtype=np.float64).reshape(-1, 2)
    if len(seen) == 0:
        return None
    low = high = None
    if len(seen) >= FEWEST:
        draws = np.random.default_rng(0).integers(0, len(seen), (RESAMPLES, len(seen)))
        drawn = seen[draws].sum(axis=1)
        low, high = (float(q) for q in np.percentile(drawn[:, 0] / drawn[:, 1], (2.5, 97.5)))
    each = seen[:, 0] / seen[:, 1]
    return {
        "mean": float(seen[:, 0].sum() / seen[:, 1].sum()),
        "low": low,
        "high": high,
        "least": float(each.min()),
        "most": float(each.max()),
        "scans": len(seen),
    }


def summary(scans: Sequence[Row]) -> Row:
    """Figures of one segmenter on one set.

    Parameters
    ----------
    scans : sequence of dict
        What `run.judged` says of each scan.

    Returns
    -------
    dict
        "scans"; "refused": names of scans; "outlines": by group, an `interval` for each of `METRICS`, and
        how many structures were "expected" and "missing"; "nameless": intervals; "levels"; "parameters": by
        key, `clinical.agreement` with "unit" and "mae_interval"; "curves"; "seconds" (mean), "peak_mib"
        (largest).
    """
    outlined = [s["outlines"] for s in scans if s["outlines"] is not None]
    nameless = [s["nameless"] for s in scans if s["nameless"] is not None]
    return {
        "scans": len(scans),
        "refused": [s["case"] for s in scans if s["refused"]],
        "outlines": _outlines(outlined),
        "nameless": {key: interval(n[key] for n in nameless) for key in (nameless[0] if nameless else {})},
        "levels": _levels([s["identification"] for s in scans]),
        "parameters": _parameters([s["parameters"] for s in scans]),
        "curves": _curves([row for s in scans for row in s["curves"]]),
        "seconds": float(np.mean([s["seconds"] for s in scans])) if scans else None,
        "peak_mib": max((s["peak_mib"] for s in scans if s["peak_mib"]), default=None),
    }


def _outlines(scans: Sequence[list[Row]]) -> Row:
    result: Row = {}
    for group in GROUPS:
        rows = [[r for r in scan if r["group"] == group] for scan in scans]
        rows = [scan for scan in rows if scan]
        if rows:
            result[group] = {metric: interval(mean_of(scan, metric) for scan in rows) for metric in METRICS}
            result[group]["expected"] = sum(map(len, rows))
            result[group]["missing"] = sum(r["hd95_mm"] is None for scan in rows for r in scan)
    return result


def mean_of(rows: Sequence[Row], metric: str) -> float | None:
    """Mean of a metric over the rows that have it: distances to what was not found do not exist."""
    values = [r[metric] for r in rows if r[metric] is not None]
    return float(np.mean(values)) if values else None


def _levels(scans: Sequence[Row]) -> Row:
    rows = [[*scan["levels"]] for scan in scans if scan["levels"]]
    extra = [scan["false_positives"] for scan in scans]
    return {
        "expected": sum(map(len, rows)),
        "identification_rate": interval(float(np.mean([r["right"] for r in scan])) for scan in rows),
        "near_rate": shares([near(scan) for scan in rows]),
        "distance_mm": interval(mean_of(scan, "distance_mm") for scan in rows),
        "off_by_one_rate": interval(float(np.mean([r["off_by_one"] for r in scan])) for scan in rows),
        "false_positives": None if None in extra else sum(map(len, extra)),
        "scans_all_right": sum(scan["all_right"] for scan in scans),
        "scans": len(scans),
    }


def _parameters(scans: Sequence[list[Row]]) -> Row:
    by_key: dict[str, list[list[Row]]] = defaultdict(list)
    for scan in scans:
        own: dict[str, list[Row]] = defaultdict(list)
        for row in scan:
            own[row["key"]].append(row)
        for key, rows in own.items():
            by_key[key].append(rows)
    return {
        key: agreement(row for rows in lists for row in rows)
        | {
            "unit": lists[0][0]["unit"],
            "mae_interval": interval(agreement(rows)["mae"] for rows in lists),
        }
        for key, lists in by_key.items()
    }


def _curves(rows: Sequence[Row]) -> Row:
    met = sum(r["true"] is not None and r["found"] is not None for r in rows)
    true = sum(r["true"] is not None for r in rows)
    return agreement(rows) | {
        "found": met,
        "missed": true - met,
        "false": sum(r["true"] is None for r in rows),
        "unit": "deg",
    }
