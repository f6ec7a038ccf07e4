"""What people read in a terminal: the tables of parameters, progress bars."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from spine_node.anatomy.levels import order
from spine_node.parameters.catalogue import CATALOGUE
from spine_node.parameters.model import Measurements, NotMeasured, Parameter
from spine_node.segmentation.segmenter import Progress as Report
from spine_node.segmentation.segmenter import Segmentation

PIPE_COLUMNS = 160
"""Width of tables that no terminal shows."""

ROWS = {definition.key: definition for definition in CATALOGUE}


def print_measurements(measurements: Measurements, *, as_json: bool) -> None:
    """Print what was measured, and what was not and why, on stdout."""
    if as_json:
        print(measurements.to_json(), end="")
        return
    console = Console()
    single = Table(title="Spinal parameters", title_justify="left")
    for heading in ("Key", "Parameter", "Value", "Where"):
        single.add_column(
            heading, justify="right" if heading == "Value" else "left", no_wrap=heading != "Where"
        )
    for parameter in measurements.parameters:
        if ROWS[parameter.key].per != "vertebra":
            single.add_row(parameter.key, ROWS[parameter.key].name, _value(parameter), _where(parameter))
    console.print(single)
    for reason, keys in _not_measured(measurements).items():
        print(f"Not measured: {', '.join(keys)}: {reason}.")
    per_vertebra = _per_vertebra(measurements)
    if per_vertebra.row_count:
        console.print(per_vertebra)
    print(f"Frame {measurements.frame}; vertical: {measurements.vertical}.")
    for sentence in measurements.quality:
        print(f"- {sentence}")
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


def _per_vertebra(measurements: Measurements) -> Table:
    keys = [row.key for row in CATALOGUE if row.per == "vertebra"]
    table = Table(title=f"By vertebra: {', '.join(ROWS[k].name for k in keys)}", title_justify="left")
    for heading in ("Level", *keys):
        table.add_column(heading, justify="left" if heading == "Level" else "right")
    entries: list[Parameter | NotMeasured] = [
        entry
        for entry in (*measurements.parameters, *measurements.not_measured)
        if entry.key in keys and entry.level is not None
    ]
    entries.sort(key=lambda entry: order(entry.level or ""))
    for level, group in groupby(entries, key=lambda entry: entry.level):
        cells = {
            e.key: f"{_value(e)} {e.side or ''}" if isinstance(e, Parameter) else f"[dim]{e.reason}"
            for e in group
        }
        table.add_row(level, *(cells.get(key, "") for key in keys))
    return table


def _not_measured(measurements: Measurements) -> dict[str, list[str]]:
    """Keys by the reason they share; what is missing by vertebra stands in that table."""
    by_reason: dict[str, list[str]] = {}
    for missing in measurements.not_measured:
        if ROWS[missing.key].per != "vertebra":
            by_reason.setdefault(missing.reason, []).append(missing.key)
    return by_reason


def _value(parameter: Parameter) -> str:
    unit = {"deg": "°"}.get(parameter.unit, f" {parameter.unit}")
    spread = "" if parameter.uncertainty is None else f" ± {parameter.uncertainty:.1f}"
    return f"{parameter.value:.1f}{spread}{unit}"


def _where(parameter: Parameter) -> str:
    levels = "-".join(level for level in (parameter.upper, parameter.lower) if level)
    apex = f"apex {parameter.apex}" if parameter.apex else ""
    convex = "convex " if ROWS[parameter.key].per == "curve" else ""
    side = f"{convex}{parameter.side}" if parameter.side else ""
    return ", ".join(part for part in (parameter.level, levels, apex, side) if part)


@contextmanager
def progress(title: str) -> Iterator[Report]:
    """A progress bar on stderr, gone when done; yields the callback that moves it."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=1.0)
        yield lambda fraction, words: bar.update(task, completed=fraction, description=f"{title}: {words}")
