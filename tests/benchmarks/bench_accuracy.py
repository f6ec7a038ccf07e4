"""How far measurements lie from the exact truth: random standing persons, painted and measured.

    python tests/benchmarks/bench_accuracy.py --out DIR [--people 200] [--spacing 0.5 1.0 1.5]
        [--variant exact noise nearest] [--processes 2]

Every case is one line of DIR/cases.jsonl, written when it is done: a run that was stopped goes on where
it was. Then DIR/accuracy.md and .json hold a table per variant and spacing, DIR/<variant>.png the
error distributions against the bars. The rows "noise alone" tell how far the surface noise itself
turns the planes: no measurement can be nearer. `--fresh` measures again what is recorded already.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import traceback
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.accuracy.report import COLUMNS, class_table, curve_table, markdown, picture, read_cases, table
from tests.accuracy.views import VARIANTS, crop_of, view


def run_case(job: tuple[int, float, str, str | None]) -> dict[str, Any]:
    """Paint one person, measure, compare; whatever goes wrong is part of the record."""
    from spine_node.anatomy.landmarks import Vertical
    from spine_node.anatomy.locate import locate
    from spine_node.parameters.measure import measure
    from tests.accuracy.comparison import compare, panel_of
    from tests.accuracy.noise_floor import plate_turns_deg
    from tests.accuracy.voxels import Roughness

    seed, spacing, variant, crop = job
    skeleton, exact, values = panel_of(seed)
    crop = crop or crop_of(seed)
    shown = view(skeleton, spacing, variant, crop)
    record: dict[str, Any] = {
        "seed": seed,
        "spacing": spacing,
        "variant": variant,
        "crop": crop,
        "family": skeleton.person.family,
        "errors": [],
        "missed": [],
        "curves": [],
    }
    begun = time.perf_counter()
    try:
        vertical = Vertical(np.array([0.0, 0.0, 1.0]), "phantom", standing=True)
        spine = locate(shown.label_map, vertical)
        measurements = measure(spine)
    except Exception:  # noqa: BLE001 - a crash of the measuring code is a finding, not an end
        return record | {"failure": traceback.format_exc(limit=-3)}
    record["seconds"] = round(time.perf_counter() - begun, 1)
    case = compare(spine, measurements, exact, values, shown.seen)
    record["errors"] = [
        [e.key, e.where, round(e.true, 3), round(e.error, 4), _rounded(e.uncertainty), e.seen, e.imprecise]
        for e in case.errors
    ]
    if variant == "noise":
        for place, turn in plate_turns_deg(skeleton, Roughness(seed)).items():
            key = "S1 normal, noise alone" if place == "S1" else "plate normal, noise alone"
            record["errors"].append([key, place, 0.0, round(turn, 4), None, True, False])
    record["missed"] = [list(m) for m in case.missed]
    return record | {
        "curves": case.curves,
        "classes": case.classes,
        "unknown": case.unknown,
        "quality": list(measurements.quality),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--people", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="seed of the first person")
    parser.add_argument("--spacing", type=float, nargs="+", default=[0.5, 1.0, 1.5], help="mm")
    parser.add_argument("--variant", nargs="+", choices=VARIANTS, default=["exact"])
    parser.add_argument("--crop", help="show everyone so (whole, ...) instead of as their seed says")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--report-only", action="store_true")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    path = asked.out / "cases.jsonl"
    if asked.fresh:
        path.unlink(missing_ok=True)
    known = set()
    if path.exists():
        known = {(c["seed"], c["spacing"], c["variant"]) for c in read_cases(path)}
    jobs = [
        (seed, spacing, variant, asked.crop)
        for seed in range(asked.first, asked.first + asked.people)
        for variant in asked.variant
        for spacing in asked.spacing
        if (seed, spacing, variant) not in known
    ]
    if jobs and not asked.report_only:
        _measure(jobs, path, asked.processes)
    _report(read_cases(path), asked.out)


def _measure(jobs: list[Any], path: Path, processes: int) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    with path.open("a") as out, get_context("spawn").Pool(processes) as pool:
        for done, record in enumerate(pool.imap_unordered(run_case, jobs), 1):
            out.write(json.dumps(record) + "\n")
            out.flush()
            note = "FAILED" if "failure" in record else f"{record['seconds']} s"
            print(
                f"{done}/{len(jobs)} person {record['seed']} {record['spacing']} mm {record['variant']}"
                f" {record['crop']}: {note}",
                file=sys.stderr,
            )


def _report(cases: list[dict[str, Any]], out: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    groups, curves = {}, {}
    for variant in VARIANTS:
        mine = [c for c in cases if c["variant"] == variant]
        for spacing in sorted({c["spacing"] for c in mine}):
            here = [c for c in mine if c["spacing"] == spacing]
            failed = sum("failure" in c for c in here)
            name = f"{variant}, {spacing:g} mm: {len(here)} people, {failed} failed"
            groups[name] = table(here, variant)
            curves[name] = curve_table(here) | class_table(here)
        if mine:
            picture(mine, variant, out / f"{variant}.png")
    console = Console(width=150)
    for name, rows in groups.items():
        shown = Table(*COLUMNS, title=name)
        for row in rows:
            cells = [row.get(c) for c in COLUMNS]
            shown.add_row(
                *("" if c is None else f"{c:.3g}" if isinstance(c, float) else str(c) for c in cells)
            )
        console.print(shown)
        console.print("Curves and classes:", curves[name])
    (out / "accuracy.md").write_text(markdown(groups, curves) + "\n")
    (out / "accuracy.json").write_text(json.dumps({"tables": groups, "curves": curves}, indent=1))


if __name__ == "__main__":
    main()
