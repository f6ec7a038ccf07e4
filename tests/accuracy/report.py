"""Error tables and one picture from the recorded cases."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from tests.accuracy.bars import bar

COLUMNS = (
    "key", "n", "bias", "MAE", "RMS", "p95", "max", "bar", "within %", "precise %", "missed",
    "coverage %", "imprecise %", "worst",
)  # fmt: skip


def read_cases(path: Path) -> list[dict[str, Any]]:
    """The recorded cases; a line that was cut off by a kill is left out."""
    cases = []
    for line in path.read_text().splitlines():
        try:
            cases.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return cases


def table(cases: list[dict[str, Any]], variant: str) -> list[dict[str, Any]]:
    """One row per key over these cases: only values whose bones are whole in view.

    `precise %` is the share within the bar among the values that are not flagged imprecise, `coverage %`
    the share of errors not larger than the stated uncertainty; `worst` names the person and place of
    the largest error.
    """
    errors, missed = defaultdict(list), defaultdict(int)
    for case in cases:
        for key, where, _, error, spread, seen, imprecise in case["errors"]:
            if seen:
                errors[key].append((error, spread, imprecise, f"{case['seed']} {where}"))
        for key, _, _ in case["missed"]:
            missed[key] += 1
    rows = []
    for key in [*errors, *(k for k in missed if k not in errors)]:
        row: dict[str, Any] = {"key": key, "n": len(errors[key]), "bar": bar(key, variant)}
        row["missed"] = missed[key]
        if errors[key]:
            e = np.array([entry[0] for entry in errors[key]])
            told = [(abs(x), s) for x, s, _, _ in errors[key] if s is not None]
            worst = int(np.argmax(np.abs(e)))
            row |= {
                "bias": float(e.mean()),
                "MAE": float(np.abs(e).mean()),
                "RMS": float(np.sqrt((e**2).mean())),
                "p95": float(np.percentile(np.abs(e), 95)),
                "max": float(np.abs(e).max()),
                "within %": 100 * float((np.abs(e) <= row["bar"]).mean()),
                "imprecise %": 100 * float(np.mean([entry[2] for entry in errors[key]])),
                "worst": errors[key][worst][3],
            }
            sure = [abs(entry[0]) <= row["bar"] for entry in errors[key] if not entry[2]]
            if sure:
                row["precise %"] = 100 * float(np.mean(sure))
            if told:
                row["coverage %"] = 100 * float(np.mean([x <= s for x, s in told]))
        rows.append(row)
    return rows


def curve_table(cases: list[dict[str, Any]]) -> dict[str, Any]:
    """How many true curves were found, with which ends; only whole spines."""
    told: dict[str, Any] = defaultdict(int)
    for case in cases:
        for curve in case["curves"]:
            if not curve["whole"]:
                continue
            if curve["true"] is None:
                told["measured without a true one"] += 1
                continue
            if curve["true"][4] < 12 or curve.get("short"):
                continue  # too near the smallest curve, or of two vertebrae: not demanded
            kind = "compensatory" if curve["compensatory"] else "curve"
            told[f"{kind}: true"] += 1
            if "measured" not in curve:
                told[f"{kind}: not found"] += 1
                continue
            for name in ("upper", "lower", "apex", "apex_near"):
                if curve[name] is not None:
                    told[f"{kind}: {name} asked"] += 1
                    told[f"{kind}: {name} right"] += bool(curve[name])
    return dict(sorted(told.items()))


def class_table(cases: list[dict[str, Any]]) -> dict[str, str]:
    """Per class: how many were compared, how many wrong, and how many of these were called borderline."""
    rows = defaultdict(list)
    for case in cases:
        for key, _, _, _, right, borderline in case.get("classes", []):
            rows[key].append((right, borderline))
    told = {}
    for key, pairs in rows.items():
        wrong = [borderline for right, borderline in pairs if not right]
        told[key] = f"{len(pairs)}, wrong {len(wrong)}" + (f" (borderline {sum(wrong)})" if wrong else "")
    return told


def markdown(groups: dict[str, list[dict[str, Any]]], curves: dict[str, dict[str, Any]]) -> str:
    """All tables as one Markdown page."""
    parts = []
    for name, rows in groups.items():
        parts += [f"## {name}", "", "| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
        for row in rows:
            parts.append("| " + " | ".join(_cell(row.get(c)) for c in COLUMNS) + " |")
        parts += ["", "Curves and classes: " + ", ".join(f"{k} {v}" for k, v in curves[name].items()), ""]
    return "\n".join(parts)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def picture(cases: list[dict[str, Any]], variant: str, path: Path) -> None:
    """Errors in units of the bar, one row per key: 5th to 95th percentile, quartiles, largest."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    spacings = sorted({case["spacing"] for case in cases})
    by_key: dict[str, dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    for case in cases:
        for key, _, _, error, _, seen, _ in case["errors"]:
            if seen and not key.endswith("_3D"):
                by_key[key][case["spacing"]].append(error / bar(key, variant))
    keys = list(by_key)
    columns = 3
    per = int(np.ceil(len(keys) / columns))
    figure, axes = plt.subplots(1, columns, figsize=(16.5, 0.34 * per + 1.4), sharex=True)
    for column, ax in enumerate(axes):
        mine = keys[column * per : (column + 1) * per]
        for row, key in enumerate(mine):
            for k, spacing in enumerate(spacings):
                e = np.array(by_key[key].get(spacing, []))
                if not len(e):
                    continue
                y = row + (k - (len(spacings) - 1) / 2) * 0.26
                p5, p25, p50, p75, p95 = np.percentile(e, [5, 25, 50, 75, 95])
                colour = plt.get_cmap("viridis")(0.15 + 0.7 * k / max(len(spacings) - 1, 1))
                ax.plot([p5, p95], [y, y], color=colour, lw=1.2)
                ax.plot([p25, p75], [y, y], color=colour, lw=4, solid_capstyle="butt")
                ax.plot([p50], [y], ".", color="white", ms=3)
                ends = np.clip([e.min(), e.max()], -2.95, 2.95)
                ax.plot(ends, [y, y], "|", color=colour, ms=5)
        ax.axvspan(-1, 1, color="0.92", zorder=0)
        ax.axvline(0, color="0.6", lw=0.8, zorder=0)
        ax.set_yticks(range(len(mine)), mine, fontsize=8)
        ax.set_ylim(len(mine) - 0.4, -0.6)
        ax.set_xlim(-3, 3)
        ax.set_xlabel("error / bar")
    handles = [
        plt.Line2D(
            [], [], color=plt.get_cmap("viridis")(0.15 + 0.7 * k / max(len(spacings) - 1, 1)), lw=4,
            label=f"{s:g} mm",
        )
        for k, s in enumerate(spacings)
    ]  # fmt: skip
    figure.legend(handles=handles, loc="upper right", ncols=len(spacings), frameon=False)
    figure.suptitle(
        f"Errors on label maps with exact truth ({variant}): median, quartiles, 5-95 %, extremes (ticks)",
        x=0.02,
        ha="left",
    )
    figure.tight_layout(rect=(0, 0, 1, 0.985))
    figure.savefig(path, dpi=110)
    plt.close(figure)
