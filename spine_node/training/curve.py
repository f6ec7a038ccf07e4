"""The learning curve of a run, as a picture."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np


def draw_curve(records: Path, picture: Path, window: int = 25) -> None:
    """Draw the parts of the loss over the steps, each a running mean of `window` steps.

    Parameters
    ----------
    records : Path
        One JSON object a line, as `train` writes it; a last line cut by a kill is passed over.
    picture : Path
        PNG, replaced as a whole.
    """
    from matplotlib.figure import Figure

    rows = []
    for line in records.read_text().splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    if not rows:
        return
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    steps = np.array([r["step"] for r in rows])
    width = min(window, len(rows))
    for name in ("outline", "overlap", "offset", "level"):
        values = np.convolve([r[name] for r in rows], np.ones(width) / width, mode="valid")
        axes.semilogy(steps[width - 1 :], np.maximum(values, 1e-4), label=name, linewidth=1)
    hours = rows[-1]["seconds"] / 3600
    axes.set_xlabel(f"step ({hours:.2f} h, {rows[-1]['cases']} phantoms)")
    axes.set_ylabel("loss")
    axes.grid(alpha=0.3)
    axes.legend()
    part = picture.with_suffix(".part.png")
    figure.savefig(part, dpi=110)
    part.replace(picture)
