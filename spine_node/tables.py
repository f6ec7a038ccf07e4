"""What people read in a terminal: the table of parameters, progress bars."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from spine_node.parameters.catalogue import CATALOGUE
from spine_node.parameters.model import Measurements, Parameter
from spine_node.segmentation.segmenter import Progress as Report

NAMES = {definition.key: definition.name for definition in CATALOGUE}


def print_measurements(measurements: Measurements, *, as_json: bool) -> None:
    """Print what was measured, and what was not and why, on stdout."""
    if as_json:
        print(measurements.to_json(), end="")
        return
    console = Console()
    table = Table(title="Spinal parameters", caption=_caption(measurements), caption_justify="left")
    for heading, justify in (("", "left"), ("Parameter", "left"), ("Value", "right"), ("Where", "left")):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    for parameter in measurements.parameters:
        table.add_row(parameter.key, NAMES[parameter.key], _value(parameter), _where(parameter))
    for missing in measurements.not_measured:
        table.add_row(
            f"[dim]{missing.key}", f"[dim]{NAMES[missing.key]}", "[dim]not measured",
            f"[dim]{(missing.level + ': ') if missing.level else ''}{missing.reason}",
        )  # fmt: skip
    console.print(table)


def _caption(measurements: Measurements) -> str:
    lines = [f"Frame {measurements.frame}; vertical: {measurements.vertical}.", *measurements.quality]
    return "\n".join([*lines, "Computed result for research; not a diagnosis."])


def _value(parameter: Parameter) -> str:
    unit = {"deg": "°"}.get(parameter.unit, f" {parameter.unit}")
    spread = "" if parameter.uncertainty is None else f" ± {parameter.uncertainty:.1f}"
    return f"{parameter.value:.1f}{spread}{unit}"


def _where(parameter: Parameter) -> str:
    levels = "-".join(level for level in (parameter.upper, parameter.lower) if level)
    apex = f"apex {parameter.apex}" if parameter.apex else ""
    side = (
        f"{'convex ' if parameter.key.startswith('COBB') else ''}{parameter.side}" if parameter.side else ""
    )
    return ", ".join(part for part in (parameter.level, levels, apex, side) if part)


@contextmanager
def progress(title: str) -> Iterator[Report]:
    """A progress bar on stderr, gone when done; yields the callback that moves it."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=1.0)
        yield lambda fraction, words: bar.update(task, completed=fraction, description=f"{title}: {words}")
