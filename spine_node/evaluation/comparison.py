"""Evaluations of the same cases side by side: what a change of a model or of its training is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spine_node.errors import ConfigRefused
from spine_node.evaluation.bars import FIGURES
from spine_node.evaluation.summary import interval

Row = dict[str, Any]

COLUMNS: dict[str, str] = {
    "body": "body Dice",
    "posterior": "posterior Dice",
    "vertebra": "vertebra Dice",
    "matched_vertebra": "nameless",
    "sacrum": "sacrum",
    "hips": "hips",
    "heads": "heads",
    "near": "T1-L5 in 10 mm",
    "identified": "identified",
    "all_right": "all right",
    "COBB": "Cobb deg",
    "LL_L1S1": "LL deg",
    "TK_T4T12": "TK deg",
    "PI": "PI deg",
    "AVR": "AVR deg",
}
"""Figures of `bars.FIGURES` that are compared, and their headings."""


def comparison(runs: Mapping[str, Row]) -> dict[str, list[Row]]:
    """Compare runs over the cases that all of them have; the first is what the others differ from.

    Parameters
    ----------
    runs : mapping of name to dict
        Contents of evaluation.json.

    Returns
    -------
    dict of set to list of dict
        For each run "run", "scans", and by key of `COLUMNS` {"mean", "change", "low", "high"}: the change
        from the first run, mean over scans of the difference within a scan, and its 95 % interval (None for
        few scans). A figure that the set does not show is missing.

    Raises
    ------
    ConfigRefused
        If the runs have no case in common.
    """
    seen = {
        name: {(c["set"], c["case"]): c for c in run["cases"] if c["row"] == "model"}
        for name, run in runs.items()
    }
    common = [key for key in next(iter(seen.values())) if all(key in cases for cases in seen.values())]
    if not common:
        raise ConfigRefused(
            f"{', '.join(runs)} have no case in common: evaluations of the same phantoms or scans "
            "were expected."
        )
    result: dict[str, list[Row]] = {}
    for group in dict.fromkeys(name for name, _ in common):
        keys = [key for key in common if key[0] == group]
        first = [next(iter(seen.values()))[key] for key in keys]
        result[group] = [
            {"run": name, "scans": len(keys)} | _figures([cases[key] for key in keys], first)
            for name, cases in seen.items()
        ]
    return result


def _figures(cases: Sequence[Row], first: Sequence[Row]) -> Row:
    row: Row = {}
    for key in COLUMNS:
        whole = FIGURES[key].read(cases)
        if whole is None:
            continue
        pairs = [
            (FIGURES[key].read([one]), FIGURES[key].read([other]))
            for one, other in zip(cases, first, strict=True)
        ]
        change = interval(one["mean"] - other["mean"] for one, other in pairs if one and other)
        row[key] = {"mean": whole["mean"]} | (
            {"change": None, "low": None, "high": None}
            if change is None
            else {"change": change["mean"], "low": change["low"], "high": change["high"]}
        )
    return row


def as_markdown(compared: Mapping[str, Sequence[Row]]) -> str:
    """Tables as a model card prints them: the mean, and the change in brackets; * where its interval
    excludes no change."""
    blocks = []
    for group, rows in compared.items():
        keys = [key for key in COLUMNS if any(key in row for row in rows)]
        lines = [
            f"{group}, {rows[0]['scans']} scans",
            "",
            f"| run | {' | '.join(COLUMNS[key] for key in keys)} |",
            "|---|" + "---|" * len(keys),
        ]
        for index, row in enumerate(rows):
            cells = [_cell(key, row.get(key), first=index == 0) for key in keys]
            lines.append(f"| {row['run']} | {' | '.join(cells)} |")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _cell(key: str, figure: Row | None, *, first: bool) -> str:
    if figure is None:
        return "-"
    form = ".1f" if FIGURES[key].unit else ".3f"
    mean = f"{figure['mean']:{form}}"
    if first or figure["change"] is None:
        return mean
    low, high = figure["low"], figure["high"]
    sure = low is not None and (low > 0 or high < 0)
    return f"{mean} ({figure['change']:+{form}}{'*' if sure else ''})"
