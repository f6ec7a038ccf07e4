"""What people read in a terminal: the tables of parameters, progress bars."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from spine_node.anatomy.levels import order
from spine_node.parameters.catalogue import CATALOGUE, CURVES, DEFINITIONS, GROUPS, THREE_D
from spine_node.parameters.class_catalogue import CLASS_DEFINITIONS
from spine_node.parameters.model import Measurements, Parameter
from spine_node.segmentation.segmenter import Progress as Report
from spine_node.segmentation.segmenter import Segmentation

PIPE_COLUMNS = 160
"""Width of tables that no terminal shows."""


def print_measurements(measurements: Measurements, *, as_json: bool) -> None:
    """Print what was measured, and what was not and why, on stdout."""
    if as_json:
        print(measurements.to_json(), end="")
        return
    tables = [_single(measurements), *(_by_place(measurements, group) for group in GROUPS)]
    if measurements.classes:
        tables.append(_classes(measurements))
    print_tables(*(table for table in tables if table.row_count))
    for reason, keys in _not_measured(measurements).items():
        print(f"Not measured: {', '.join(keys)}: {reason}.")
    print(f"Frame {measurements.frame}; vertical: {measurements.vertical}.")
    for sentence in measurements.quality:
        print(f"- {sentence}")
    if any(p.imprecise for p in measurements.parameters):
        print("~ The 95 % interval (±) is wider than the error that the clinic can bear.")
    print("Computed result for research; not a diagnosis.")


def print_naming(segmentation: Segmentation) -> None:
    """Print on stderr how the vertebrae were named, and, where that is uncertain, what else they could be."""
    for sentence in segmentation.quality:
        print(sentence, file=sys.stderr)
    naming = segmentation.naming
    if naming is not None and naming.uncertain:
        for other in naming.hypotheses[1:]:
            print(f"  {other.score:6.1f} nats: {other.words}", file=sys.stderr)


def print_tables(*tables: Table) -> None:
    """Print tables on stdout; a file or a pipe gets them in full width."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=PIPE_COLUMNS)
    for table in tables:
        console.print(table)


def _single(measurements: Measurements) -> Table:
    """What is measured once; an angle in space stands beside its projection."""
    table = Table(title="Spinal parameters", title_justify="left")
    for heading in ("Key", "Parameter", "Value", "In space", "Where"):
        number = heading in ("Value", "In space")
        table.add_column(heading, justify="right" if number else "left", no_wrap=heading != "Where")
    group = ""
    for p in measurements.parameters:
        row = DEFINITIONS[p.key]
        if row.per != "spine" or p.key.endswith(THREE_D):
            continue
        if group and row.group != group:
            table.add_section()
        group = row.group
        solid = measurements.get(p.key + THREE_D)
        table.add_row(p.key, row.name, _value(p), _value(solid) if solid else "", _where(p))
    return table


def _by_place(measurements: Measurements, group: str) -> Table:
    """One line for each curve, vertebra or pair of neighbours, one column for each key of the group."""
    keys = [row.key for row in CATALOGUE if row.group == group and row.per != "spine"]
    table = Table(title=group, title_justify="left", caption=_legend(keys), caption_justify="left")
    lines: dict[str, dict[str, str]] = {}
    for p in measurements.parameters:
        if p.key in keys:
            lines.setdefault(_place(p), {})[p.key] = _value(p, with_unit=False)
    keys = [key for key in keys if any(key in line for line in lines.values())]
    table.add_column("Where", no_wrap=True)
    for key in keys:
        table.add_column(
            f"{key}\n{_UNITS.get(DEFINITIONS[key].unit, DEFINITIONS[key].unit)}", justify="right"
        )
    for place in lines if group == CURVES else sorted(lines, key=_height):
        table.add_row(place, *(lines[place].get(key, "") for key in keys))
    return table


def _legend(keys: list[str]) -> str:
    return "; ".join(f"{key}: {DEFINITIONS[key].name.lower()}" for key in keys)


def _height(place: str) -> int:
    return order(place.split("/")[0])


def _place(p: Parameter) -> str:
    return p.level or f"{p.upper}-{p.lower}, apex {p.apex}"


def _classes(measurements: Measurements) -> Table:
    table = Table(title="Classes and grades", title_justify="left")
    for heading in ("Class", "Value", "Meaning", "Where", "From", ""):
        table.add_column(heading, no_wrap=heading in ("Value", "Where"))
    for c in measurements.classes:
        row = CLASS_DEFINITIONS[c.key]
        if row.per in ("vertebra", "segment") and c.value in ("0", "none") and not c.borderline:
            continue  # a healthy level says nothing
        inputs = ", ".join(f"{key} {number:g}" for key, number in c.inputs)
        marks = [word for word in ("borderline", "provisional") if getattr(c, word)]
        where = c.level or ("-".join(x for x in (c.upper, c.lower) if x))
        remark = f" ({c.remark})" if c.remark else ""
        table.add_row(row.name, c.value, row.meaning(c.value) + remark, where, inputs, ", ".join(marks))
    return table


def _not_measured(measurements: Measurements) -> dict[str, list[str]]:
    """Keys by the reason they share, with the levels where they have one."""
    by_reason: dict[str, dict[str, list[str]]] = {}
    for missing in measurements.not_measured:
        levels = by_reason.setdefault(missing.reason, {}).setdefault(missing.key, [])
        if missing.level:
            levels.append(missing.level)
    return {
        reason: [f"{key} ({', '.join(levels)})" if levels else key for key, levels in keys.items()]
        for reason, keys in by_reason.items()
    }


_UNITS = {"deg": "°", "1": "", "[hnsf'U]": "grey value"}


def _value(parameter: Parameter, *, with_unit: bool = True) -> str:
    unit = _UNITS.get(parameter.unit, f" {parameter.unit}") if with_unit else ""
    digits = 2 if parameter.unit == "1" else 1
    spread = "" if parameter.uncertainty is None else f" ±{parameter.uncertainty:.{digits}f}"
    doubt = "~" if parameter.imprecise else ""
    return f"{doubt}{parameter.value:.{digits}f}{spread}{unit}"


def _where(parameter: Parameter) -> str:
    levels = "-".join(level for level in (parameter.upper, parameter.lower) if level)
    return ", ".join(part for part in (parameter.level, levels, parameter.side) if part)


@contextmanager
def progress(title: str) -> Iterator[Report]:
    """A progress bar on stderr, gone when done; yields the callback that moves it."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=1.0)
        yield lambda fraction, words: bar.update(task, completed=fraction, description=f"{title}: {words}")
