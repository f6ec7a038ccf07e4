"""Charts of one set: Dice by level, agreement of the main angles, who was called what."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spine_node.anatomy.levels import order
from spine_node.evaluation.clinical import GOOD
from spine_node.evaluation.clinical import agreement as agreement_of

Row = dict[str, Any]

COLOURS = {"model": "#1f77b4", "floor": "#b5651d", "ceiling": "#2a9d55"}

ANGLES = ("PI", "SS", "LL_L1S1", "TK_T4T12", "COBB", "AVR")
"""Parameters that are plotted."""


def dice_by_level(cases: Sequence[Row], title: str, path: Path) -> bool:
    """Box plot of the Dice of whole vertebrae, cranial to caudal; medians of floor and ceiling as lines."""
    from matplotlib.figure import Figure

    found = {row: _dice(cases, row) for row in COLOURS}
    levels = list(found["model"])
    if not levels:
        return False
    figure = Figure(figsize=(10, 4), dpi=110, layout="constrained")
    plot = figure.subplots()
    plot.boxplot(
        list(found["model"].values()),
        positions=range(len(levels)),
        tick_labels=levels,
        widths=0.6,
        medianprops={"color": COLOURS["model"], "linewidth": 2},
    )
    for row in ("floor", "ceiling"):
        heights = [np.median(found[row][level]) if found[row].get(level) else np.nan for level in levels]
        plot.plot(range(len(levels)), heights, ".-", color=COLOURS[row], label=f"{row}, median", linewidth=1)
    plot.set_ylim(-0.02, 1.02)
    plot.set_ylabel("Dice of the vertebra")
    plot.set_title(f"{title}: Dice by level (boxes: model; 0: not found under this name)", fontsize=10)
    plot.grid(axis="y", alpha=0.3)
    plot.legend(fontsize=8, loc="lower left")
    figure.savefig(path)
    return True


def _dice(cases: Sequence[Row], row: str) -> dict[str, list[float]]:
    outlined = [r for c in cases if c["row"] == row for r in c["outlines"] or []]
    rows = [r for r in outlined if r["group"] == "vertebra"]
    names = sorted({r["name"] for r in rows}, key=order)
    return {name: [r["dice"] for r in rows if r["name"] == name] for name in names}


def agreement(cases: Sequence[Row], title: str, path: Path) -> bool:
    """Bland-Altman plots of `ANGLES`: difference over mean, bias and 95 % limits."""
    from matplotlib.figure import Figure

    rows = {key: _pairs(cases, key) for key in ANGLES}
    if not any(rows.values()):
        return False
    figure = Figure(figsize=(11, 6.5), dpi=110, layout="constrained")
    for key, plot in zip(ANGLES, figure.subplots(2, 3).flat, strict=True):
        met = [r for r in rows[key] if r["found"] is not None and r["true"] is not None]
        middles = [(r["found"] + r["true"]) / 2 for r in met]
        plot.plot(middles, [r["found"] - r["true"] for r in met], ".", color=COLOURS["model"])
        figures = agreement_of(rows[key])
        for height, style in ((figures["bias"], "-"), *((limit, "--") for limit in figures["limits"] or ())):
            if height is not None:
                plot.axhline(height, linestyle=style, color="0.4", linewidth=1)
                plot.annotate(f"{height:+.1f}", (1, height), xycoords=("axes fraction", "data"), fontsize=7)
        plot.axhline(0, color="0.8", linewidth=0.8, zorder=0)
        low, high = plot.get_ylim()
        plot.set_ylim(min(low, -GOOD), max(high, GOOD))
        plot.set_title(f"{key}: {figures['measured']} of {figures['expected']} measured", fontsize=9)
        plot.set_xlabel("mean of found and true, degrees", fontsize=8)
        plot.set_ylabel("found - true, degrees", fontsize=8)
    figure.suptitle(f"{title}: agreement (bias, 95 % limits)", fontsize=10)
    figure.savefig(path)
    return True


def _pairs(cases: Sequence[Row], key: str) -> list[Row]:
    model = [case for case in cases if case["row"] == "model"]
    if key == "COBB":
        return [row for case in model for row in case["curves"]]
    return [row for case in model for row in case["parameters"] if row["key"] == key]


def identification(cases: Sequence[Row], title: str, path: Path) -> bool:
    """How often each true level was called what (the closest found vertebra; "none" beyond 20 mm)."""
    from matplotlib.figure import Figure

    rows = [level for c in cases if c["row"] == "model" for level in c["identification"]["levels"]]
    if not rows:
        return False
    true = sorted({r["level"] for r in rows}, key=order)
    called = sorted({r["nearest"] for r in rows if r["nearest"]} | set(true), key=order)
    counts = np.zeros((len(true), len(called) + 1), int)
    for row in rows:
        column = called.index(row["nearest"]) if row["nearest"] else len(called)
        counts[true.index(row["level"]), column] += 1
    figure = Figure(figsize=(0.3 * len(called) + 2.5, 0.28 * len(true) + 1.8), dpi=110, layout="constrained")
    plot = figure.subplots()
    plot.imshow(counts, cmap="Blues", vmin=0)
    for i, j in np.argwhere(counts):
        right = j < len(called) and called[j] == true[i]
        plot.text(
            j, i, counts[i, j], ha="center", va="center", fontsize=7, color="white" if right else "#c00000"
        )
    plot.set_xticks(range(len(called) + 1), [*called, "none"], rotation=90, fontsize=7)
    plot.set_yticks(range(len(true)), true, fontsize=7)
    plot.set_xlabel("called")
    plot.set_ylabel("is")
    plot.set_title(f"{title}: names of {len(rows)} vertebrae", fontsize=10)
    figure.savefig(path)
    return True
