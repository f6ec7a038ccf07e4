"""Figures as people read them: tables for a terminal, one block for each set, and CSV."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from rich.table import Table

from spine_node.evaluation.summary import METRICS

Row = dict[str, Any]

_SHORT = {
    "dice": "Dice",
    "iou": "IoU",
    "hd95_mm": "HD95 mm",
    "assd_mm": "ASSD mm",
    "nsd_1mm": "NSD 1 mm",
    "nsd_2mm": "NSD 2 mm",
    "volume_similarity": "vol. sim.",
    "recall": "recall",
}
_NAMELESS = {
    "dice_any_body": "Dice, any body",
    "dice_any_posterior": "Dice, any posterior",
    "dice_anything": "Dice, anything",
    "panoptic_quality": "panoptic quality",
    "instances_found": "instances found (F1)",
    "instances_overlap": "IoU of found ones",
    "matched_body": "Dice, matched bodies",
    "matched_vertebra": "Dice, matched vertebrae",
}


def tables(figures: Row) -> list[Table]:
    """Bars of each set; outlines, names and parameters, every row of it side by side."""
    made = []
    for name, block in figures["sets"].items():
        rows, scans = block["rows"], len(block["cases"])
        title = f"{name}: {scans} scan{'s' * (scans != 1)} ({block['what']})"
        made.append(_bars(title, block))
        if any(row["outlines"] for row in rows.values()):
            made += [_outlines(rows), _nameless(rows)]
        made.append(_levels(rows))
        if any(row["parameters"] for row in rows.values()):
            made.append(_parameters(rows))
    return made


def _bars(title: str, block: Row) -> Table:
    table = Table("model", title="\n".join([title, *sentences(block)]), title_justify="left")
    for heading in ("mean", "95 % interval", "bar", "", "scans"):
        table.add_column(heading, justify="right")
    table.add_column("counted")
    for row in block["bars"]:
        mean, bounds, bar, met = cells(row)
        table.add_row(row["what"], mean, bounds, bar, met, str(row["scans"]), row["count"])
    return table


def sentences(block: Row) -> list[str]:
    """What is to be known of the cases of a set, once for those of which the same is."""
    about: dict[str, list[str]] = {}
    for name, words in block["about"].items():
        about.setdefault(words, []).append(name)
    return [
        words if len(names) == len(block["cases"]) else f"{', '.join(names)}: {words}"
        for words, names in about.items()
    ]


def cells(row: Row) -> tuple[str, str, str, str]:
    """Mean, interval, bar and verdict of a row of bars."""
    form, unit = (".1f", f" {row['unit']}") if row["unit"] else (".3f", "")
    bounds = "-" if row["low"] is None else f"{row['low']:{form}} to {row['high']:{form}}"
    bar = "-" if row["bar"] is None else f"{'at most' if row['unit'] else 'at least'} {row['bar']:g}{unit}"
    met = "" if row["met"] is None else "met" if row["met"] else "missed"
    return f"{row['mean']:{form}}{unit}", bounds, bar, met


def _outlines(rows: Row) -> Table:
    words = "Outlines: mean over levels, then over scans, with 95 % interval"
    table = Table("structure", "", title=words, title_justify="left")
    for metric in METRICS:
        table.add_column(_SHORT[metric], justify="right")
    table.add_column("missing", justify="right")
    for group in next(iter(rows.values()))["outlines"]:
        for row, figures in rows.items():
            own = figures["outlines"][group]
            cells = [between(own[m], bounds=m == "dice") for m in METRICS]
            table.add_row(
                group if row == "model" else "", row, *cells, f"{own['missing']}/{own['expected']}",
                style=_style(row), end_section=row == list(rows)[-1],
            )  # fmt: skip
    return table


def _nameless(rows: Row) -> Table:
    table = Table("", title="Without names", title_justify="left")
    for words in _NAMELESS.values():
        table.add_column(words, justify="right")
    for row, figures in rows.items():
        table.add_row(row, *(between(figures["nameless"].get(key)) for key in _NAMELESS), style=_style(row))
    return table


def _levels(rows: Row) -> Table:
    table = Table("", title="Names", title_justify="left")
    headings = ("vertebrae", "identified", "in 10 mm", "distance mm", "off by one", "false", "all right in")
    for heading in (*headings, "s/scan", "peak MiB"):
        table.add_column(heading, justify="right")
    for row, figures in rows.items():
        found = figures["levels"]
        extra = found["false_positives"]
        table.add_row(
            row,
            str(found["expected"]),
            between(found["identification_rate"], percent=True, bounds=True),
            between(found["near_rate"], percent=True),
            between(found["distance_mm"]),
            between(found["off_by_one_rate"], percent=True),
            "-" if extra is None else str(extra),
            f"{found['scans_all_right']}/{found['scans']}",
            f"{figures['seconds']:.0f}",
            "-" if figures["peak_mib"] is None else f"{figures['peak_mib']:.0f}",
            style=_style(row),
        )
    return table


def _parameters(rows: Row) -> Table:
    title = "Parameters: found - true; good: within 5 degrees or 5 mm, of all expected"
    table = Table("parameter", "", title=title, title_justify="left")
    for heading in ("measured", "mean error", "bias", "95 % limits", "largest", "good", "unit"):
        table.add_column(heading, justify="right")
    shown = {row: f["parameters"] | {"COBB": f["curves"]} for row, f in rows.items() if f["parameters"]}
    for key in next(iter(shown.values())):
        for row, figures in shown.items():
            own = figures[key]
            more = f" (+{own['false']} false)" if own.get("false") else ""
            table.add_row(
                key if row == next(iter(shown)) else "",
                row,
                f"{own['measured']}/{own['expected']}{more}",
                number(own["mae"]),
                number(own["bias"], "+.1f"),
                f"{own['limits'][0]:+.1f} to {own['limits'][1]:+.1f}" if own["limits"] else "-",
                number(own["largest"]),
                "-" if own["good"] is None else f"{100 * own['good']:.0f} %",
                own["unit"],
                style=_style(row),
                end_section=row == list(shown)[-1],
            )
    return table


def between(value: Row | None, *, percent: bool = False, bounds: bool = False) -> str:
    """A mean, with its interval where it has one and there is room."""
    if value is None:
        return "-"
    scale, form = (100, ".1f") if percent else (1, ".2f" if value["mean"] >= 1.0 or not bounds else ".3f")
    text = f"{scale * value['mean']:{form}}" + (" %" if percent else "")
    if bounds and value["low"] is not None:
        text += f" [{scale * value['low']:{form}}, {scale * value['high']:{form}}]"
    return text


def number(value: float | None, form: str = ".1f") -> str:
    """A number, or a dash where there is none."""
    return "-" if value is None else f"{value:{form}}"


def _style(row: str) -> str | None:
    return None if row == "model" else "dim"


def write_csv(figures: Row, folder: Path) -> list[Path]:
    """Write every case's rows: outlines.csv, levels.csv, parameters.csv (curves among them)."""
    tall: dict[str, list[Row]] = {"outlines": [], "levels": [], "parameters": []}
    for case in figures["cases"]:
        who = {key: case[key] for key in ("set", "case", "row")}
        tall["outlines"] += [who | row for row in case["outlines"] or []]
        tall["levels"] += [who | row for row in case["identification"]["levels"]]
        tall["parameters"] += [who | row for row in case["parameters"]]
        for row in case["curves"]:
            values = {"true": row["true"], "found": row["found"]}
            tall["parameters"].append(who | {"key": "COBB", "level": row["apex"], "unit": "deg"} | values)
    paths = []
    for name, rows in tall.items():
        if rows:
            path = folder / f"{name}.csv"
            with path.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
            paths.append(path)
    return paths
