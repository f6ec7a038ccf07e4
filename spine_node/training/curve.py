"""The learning curve of a run, as a picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_curve(records: Path, picture: Path, window: int = 25) -> None:
    """Draw the parts of the loss over the steps, each a running mean, and beside it the validation.

    Parameters
    ----------
    records : Path
        One JSON object a line, as `train` writes it; a last line cut by a kill is passed over.
    picture : Path
        PNG, replaced as a whole.
    window : int
        Steps of the running mean.
    """
    from matplotlib.figure import Figure

    rows = _rows(records)
    if not rows:
        return
    seen = [row for row in rows if row.get("dice")]
    figure = Figure(figsize=(11, 4.5) if seen else (8, 4.5), layout="constrained")
    axes = figure.add_subplot(1, 2 if seen else 1, 1)
    steps = np.array([r["step"] for r in rows])
    width = min(window, len(rows))
    for name in ("outline", "overlap", "offset", "level"):
        if name in rows[0]:
            values = np.convolve([r[name] for r in rows], np.ones(width) / width, mode="valid")
            axes.semilogy(steps[width - 1 :], np.maximum(values, 1e-4), label=name, linewidth=1)
    minutes = rows[-1]["seconds"] / 60
    axes.set_xlabel(f"step ({minutes:.0f} min, {rows[-1]['cases']} cases)")
    axes.set_ylabel("loss")
    axes.grid(alpha=0.3)
    axes.legend()
    if seen:
        _draw_validation(figure.add_subplot(1, 2, 2), seen)
    part = picture.with_suffix(".part.png")
    figure.savefig(part, dpi=110)
    part.replace(picture)


def _rows(records: Path) -> list[dict[str, Any]]:
    rows = []
    for line in records.read_text().splitlines() if records.exists() else ():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return rows


def _draw_validation(axes: Axes, seen: list[dict[str, Any]]) -> None:
    minutes = [row["seconds"] / 60 for row in seen]
    for name in sorted({name for row in seen for name in row["dice"]}):
        axes.plot(
            minutes, [row["dice"].get(name, np.nan) for row in seen], marker=".", linewidth=1, label=name
        )
    axes.set_xlabel("minutes")
    axes.set_ylabel("Dice on held-out windows")
    axes.set_ylim(0, 1)
    axes.grid(alpha=0.3)
    axes.legend()
