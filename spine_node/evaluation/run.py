"""How good a segmenter is on phantoms that nobody trained on: outlines, names, clinical numbers.

Dice per structure; VerSe's identification rate (Sekuboyina et al., MedIA 2021) and centroid
distance; and the errors of every parameter, through the package's own `locate` and `measure`
against the phantom's exact truth.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from spine_node.anatomy.levels import POSTERIOR_OFFSET, STRUCTURE_VALUES, VERTEBRA_VALUES
from spine_node.anatomy.locate import locate
from spine_node.errors import Refused
from spine_node.evaluation.cases import TEST_SEED
from spine_node.imaging.volume import FloatArray, LabelMap
from spine_node.parameters.measure import measure
from spine_node.parameters.model import Measurements
from spine_node.segmentation.segmenter import Segmenter

FOUND_MM = 20.0
"""Furthest that a vertebra's centre may be from the true one of its name to count as found (VerSe)."""

Values = NDArray[np.uint8]


def evaluate(
    segmenter: Segmenter,
    *,
    seeds: Sequence[int] = range(TEST_SEED, TEST_SEED + 10),
    spacing_mm: float = 1.5,
    field_of_view: str = "whole",
    clean: bool = False,
    painting: str = "cbct",
    out: Path | None = None,
    device_words: str = "",
) -> dict[str, Any]:
    """Segment phantoms of these seeds and compare with their truth.

    Parameters
    ----------
    segmenter : Segmenter
    seeds : sequence of int
        Of the test range, so that none was trained on.
    spacing_mm, field_of_view, clean, painting
        As in `phantom.generate.generate`.
    out : Path, optional
        Where the figures are written as JSON.
    device_words : str
        What it ran on, for the model card.

    Returns
    -------
    dict
        "dice" by structure, "levels", "parameters" by key, "refused", "cases", "seconds".
    """
    from spine_node.phantom.generate import generate

    console = Console(stderr=True)
    cases: list[dict[str, Any]] = []
    for seed in seeds:
        phantom = generate(
            seed, spacing_mm=spacing_mm, field_of_view=field_of_view, clean=clean, painting=painting
        )
        begun = time.perf_counter()
        case: dict[str, Any] = {"seed": seed, "levels_true": _levels(phantom.label_map.labels)}
        try:
            result = segmenter.segment(phantom.volume)
        except Refused as reason:
            case["refused"] = str(reason)
        else:
            case["seconds"] = time.perf_counter() - begun
            case["quality"] = list(result.quality)
            case["dice"] = dice_by_structure(result.label_map.labels, phantom.label_map.labels)
            case["centres"] = centre_errors(result.label_map, phantom.label_map)
            try:
                measured = measure(locate(result.label_map))
                case["parameters"] = parameter_errors(measured, phantom.truth)
            except Refused as reason:
                case["not_measured"] = str(reason)
        cases.append(case)
        console.log(f"seed {seed}: " + _line(case))
    figures = summary(cases) | {
        "spacing_mm": spacing_mm,
        "field_of_view": field_of_view,
        "painting": "clean " * clean + painting,
        "model": {"version": segmenter.identity.version, "sha256": segmenter.identity.sha256},
        "device": device_words,
        "cases": cases,
    }
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(figures, indent=1, default=float) + "\n", encoding="utf-8")
    return figures


def dice_by_structure(found: Values, truth: Values) -> dict[str, float]:
    """Dice of every kind of structure that is in the truth or was found.

    "vertebral bodies" and "posterior elements" are means over levels: a level named wrongly scores
    0, and so does one that is not there. "any body" and "any posterior" forget the names.
    """
    counts = np.bincount(found.ravel().astype(np.int32) * 256 + truth.ravel(), minlength=65536)
    joint = counts.reshape(256, 256)
    size_found, size_truth, shared = joint.sum(axis=1), joint.sum(axis=0), np.diag(joint)

    def dice(value: int) -> float:
        return float(2 * shared[value] / (size_found[value] + size_truth[value]))

    bodies = np.array(list(VERTEBRA_VALUES.values()))
    result: dict[str, float] = {}
    groups = {"vertebral bodies": bodies, "posterior elements": bodies + POSTERIOR_OFFSET}
    for name, values in groups.items():
        shown = [int(v) for v in values if size_truth[v] + size_found[v] > 0]
        if shown:
            result[name] = float(np.mean([dice(v) for v in shown]))
    for name, values in (("any body", bodies), ("any posterior", bodies + POSTERIOR_OFFSET)):
        total = size_found[values].sum() + size_truth[values].sum()
        if total:
            result[name] = float(2 * joint[np.ix_(values, values)].sum() / total)
    for name, value in STRUCTURE_VALUES.items():
        if size_found[value] + size_truth[value] > 0:
            result[name] = dice(value)
    return result


def centre_errors(found: LabelMap, truth: LabelMap) -> dict[str, float | None]:
    """Distance in mm from each true body centre to the one found under that name.

    None: not found, or another true centre is nearer, or further than `FOUND_MM`.
    """
    found_centres, true_centres = _centres(found), _centres(truth)
    result: dict[str, float | None] = {}
    for level in true_centres:
        result[level] = None
        if level in found_centres:
            gaps = {k: float(np.linalg.norm(found_centres[level] - c)) for k, c in true_centres.items()}
            if gaps[level] <= FOUND_MM and gaps[level] == min(gaps.values()):
                result[level] = gaps[level]
    return result


def _centres(label_map: LabelMap) -> dict[str, FloatArray]:
    labels = label_map.labels
    where = np.nonzero((labels > 0) & (labels < POSTERIOR_OFFSET))
    values = labels[where]
    counts = np.bincount(values, minlength=256)
    sums = np.stack([np.bincount(values, weights=w, minlength=256) for w in where], axis=1)
    return {
        level: label_map.grid.to_mm(sums[value] / counts[value])
        for level, value in VERTEBRA_VALUES.items()
        if counts[value]
    }


def _levels(labels: Values) -> list[str]:
    present = set(np.unique(labels).tolist())
    return [level for level, value in VERTEBRA_VALUES.items() if value in present]


def parameter_errors(measured: Measurements, truth: Measurements) -> list[dict[str, Any]]:
    """One row for each true parameter: key, level, unit, error (None when it was not measured).

    Curves are compared by their end vertebrae: a true one is met by the measured one of the same
    side that shares most levels with it, if any.
    """
    rows: list[dict[str, Any]] = []
    for true in truth.parameters:
        mates = [
            p
            for p in measured.parameters
            if p.key == true.key
            and (p.level == true.level if true.level else True)
            and (true.key != "COBB" or (p.apex and true.apex and _levels_apart(p.apex, true.apex) <= 2))
        ]
        error = min((p.value - true.value for p in mates), key=abs, default=None)
        rows.append({"key": true.key, "level": true.level, "unit": true.unit, "error": error})
    return rows


def _levels_apart(one: str, other: str) -> int:
    # An apex may be a disc ("T8/T9"): its upper vertebra stands for it.
    order = list(VERTEBRA_VALUES)
    first, second = (name.replace("-", "/").split("/")[0] for name in (one, other))
    return abs(order.index(first) - order.index(second)) if {first, second} <= set(order) else 99


def summary(cases: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Figures over all cases; a refused one counts with Dice 0 and nothing found."""
    cases = list(cases)
    dice: dict[str, list[float]] = defaultdict(list)
    names = sorted({name for case in cases for name in case.get("dice", {})})
    errors: dict[str, list[float | None]] = defaultdict(list)
    units: dict[str, str] = {}
    hits: list[float | None] = []
    for case in cases:
        for name in names:
            if "refused" in case:
                dice[name].append(0.0)
            elif name in case["dice"]:
                dice[name].append(case["dice"][name])
        hits += list(case.get("centres", dict.fromkeys(case["levels_true"])).values())
        for row in case.get("parameters", []):
            errors[row["key"]].append(row["error"])
            units[row["key"]] = row["unit"]
    near = [h for h in hits if h is not None]
    return {
        "seeds": [case["seed"] for case in cases],
        "dice": {n: {"mean": float(np.mean(v)), "lowest": float(np.min(v))} for n, v in dice.items()},
        "levels": {
            "count": len(hits),
            "rate": len(near) / max(1, len(hits)),
            "centre_error_mm": float(np.mean(near)) if near else float("nan"),
            "all_right": sum(
                "centres" in case and all(v is not None for v in case["centres"].values()) for case in cases
            ),
        },
        "parameters": {key: _error_row(values, units[key]) for key, values in errors.items()},
        "refused": [case["seed"] for case in cases if "refused" in case],
        "seconds": float(np.mean([c["seconds"] for c in cases if "seconds" in c] or [float("nan")])),
    }


def _error_row(values: list[float | None], unit: str) -> dict[str, Any]:
    sizes = [abs(v) for v in values if v is not None]
    return {
        "expected": len(values),
        "measured": len(sizes),
        "mean": float(np.mean(sizes)) if sizes else float("nan"),
        "largest": float(np.max(sizes)) if sizes else float("nan"),
        "unit": unit,
    }


def _line(case: dict[str, Any]) -> str:
    if "refused" in case:
        return f"refused: {case['refused']}"
    right = sum(v is not None for v in case["centres"].values())
    return (
        f"body Dice {case['dice'].get('vertebral bodies', 0):.3f}, "
        f"{right} of {len(case['centres'])} levels, {case['seconds']:.0f} s"
    )


def tables(figures: dict[str, Any]) -> list[Table]:
    """The figures as tables for a terminal."""
    outlines = Table("structure", "Dice, mean", "lowest case", title="Outlines")
    for name, row in figures["dice"].items():
        outlines.add_row(name, f"{row['mean']:.3f}", f"{row['lowest']:.3f}")
    found = figures["levels"]
    levels = Table("vertebrae", "named right", "all right in", "centre error", title="Levels")
    levels.add_row(
        str(found["count"]),
        f"{100 * found['rate']:.1f} %",
        f"{found['all_right']} of {len(figures['seeds'])}",
        f"{found['centre_error_mm']:.2f} mm",
    )
    numbers = Table("parameter", "measured", "mean error", "largest", "unit", title="Parameters")
    for key, row in figures["parameters"].items():
        numbers.add_row(
            key,
            f"{row['measured']}/{row['expected']}",
            f"{row['mean']:.2f}",
            f"{row['largest']:.2f}",
            row["unit"],
        )
    return [outlines, levels, numbers]
