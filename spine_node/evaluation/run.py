"""Run segmenters over sets of cases, resumably, and write what came out.

evaluation.json (schema 1), every number in mm, degrees or a share of 1:

    schema, software, made, device
    rows      {row: {name, version, sha256}}: "model", "floor", "ceiling"
    sets      {set: {what, cases: [name], about: {name: sentence}, bars, rows: {row: figures}}}; bars as
              `bars.bars` says, figures as `summary.summary` says
    cases     [one for each set, case and row, as `judged` says]
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from spine_node import __version__
from spine_node.anatomy.locate import locate
from spine_node.errors import Refused
from spine_node.evaluation.bars import bars
from spine_node.evaluation.baselines import Ceiling, Floor, ceiling_identity, floor_identity
from spine_node.evaluation.cases import TEST_SEED, Case, Scan, true_centres
from spine_node.evaluation.clinical import curve_rows, parameter_rows
from spine_node.evaluation.footprint import Footprint
from spine_node.evaluation.identification import identification, scored_centres
from spine_node.evaluation.metrics import outlines, overlap, scored, without_names
from spine_node.evaluation.phantoms import synthetic
from spine_node.evaluation.record import Record, Report
from spine_node.evaluation.sets import WHAT
from spine_node.evaluation.summary import summary
from spine_node.evaluation.tables import write_csv
from spine_node.evaluation.views import Views, views
from spine_node.imaging.volume import LabelMap
from spine_node.parameters.measure import measure
from spine_node.parameters.model import Measurements
from spine_node.segmentation.segmenter import ModelIdentity, Segmenter

SCHEMA = 1
"""Version of evaluation.json."""

FIGURES = "evaluation.json"

ROWS = ("model", "floor", "ceiling")
"""Who is compared, in the order of tables."""

USUAL_MM = 1.5
"""Spacing of the ceiling for a segmenter that does not say its own."""

Row = dict[str, Any]


def evaluate(
    segmenter: Segmenter,
    *,
    seeds: Sequence[int] = range(TEST_SEED, TEST_SEED + 10),
    spacing_mm: float = 1.5,
    field_of_view: str = "whole",
    clean: bool = False,
    painting: str = "cbct",
    out: Path | None = None,
    device_words: str = "",
    baselines: bool = True,
) -> Row:
    """Segment unseen phantoms of these seeds and compare with their truth.

    Parameters
    ----------
    segmenter : Segmenter
    seeds : sequence of int
        Of the test range, so that none was trained on.
    spacing_mm, field_of_view, clean, painting
        As in `phantom.generate.generate`.
    out : Path, optional
        Where the figures are written as JSON.
    device_words : str
        What it ran on, for the model card.
    baselines : bool
        Floor and ceiling on the same phantoms.

    Returns
    -------
    dict
        The content of evaluation.json.
    """
    phantoms = synthetic(
        list(seeds), spacing_mm=spacing_mm, field_of_view=field_of_view, clean=clean, painting=painting
    )
    figures = evaluate_sets(
        segmenter, {"synthetic": phantoms}, device_words=device_words, baselines=baselines
    )
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_figures(figures, out)
    return figures


def evaluate_sets(
    segmenter: Segmenter,
    sets: Mapping[str, Sequence[Case]],
    *,
    out: Path | None = None,
    device_words: str = "",
    baselines: bool = True,
) -> Row:
    """Run a segmenter, the floor and the ceiling over every case.

    Parameters
    ----------
    segmenter : Segmenter
    sets : mapping of set name to cases
    out : Path, optional
        Folder that keeps the result of each case: a run that was killed goes on from there. Results of
        another model, or of other code, are made again.
    device_words, baselines
        As for `evaluate`.

    Returns
    -------
    dict
        The content of evaluation.json. `out` gets that file, outlines.csv, levels.csv,
        parameters.csv, pictures/SET/ and gallery.png.
    """
    rows = ROWS if baselines else ROWS[:1]
    # Seconds and memory are those of a device: another one's results are made again.
    models = {row: f"{identity_of(row, segmenter).sha256} {device_words}" for row in rows}
    record = Record(out / "cases" if out else None, models)
    results: list[Row] = []
    with Report(sum(map(len, sets.values())) * len(rows)) as report:
        for cases in sets.values():
            for case in cases:
                results += _case(case, segmenter, rows, record, report)
    figures = {
        "schema": SCHEMA,
        "software": __version__,
        "made": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "device": device_words,
        "rows": _identities(segmenter, rows),
        "sets": {group: _set(group, cases, results, rows) for group, cases in sets.items()},
        "cases": results,
    }
    if out is not None:
        from spine_node.evaluation.gallery import write_gallery  # slow: matplotlib
        from spine_node.evaluation.pictures import write_pictures

        write_figures(figures, out / FIGURES)
        write_csv(figures, out)
        write_pictures(figures, record, out / "pictures")
        write_gallery(figures, record, out / "gallery.png")
    return figures


def write_figures(figures: Row, path: Path) -> None:
    """Write evaluation.json so that a reader sees all of it or nothing."""
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(figures, indent=1, default=float) + "\n", encoding="utf-8")
    part.replace(path)


def _set(group: str, cases: Sequence[Case], results: Sequence[Row], rows: Sequence[str]) -> Row:
    own = [r for r in results if r["set"] == group]
    return {
        "what": WHAT.get(group, group),
        "cases": list(dict.fromkeys(r["case"] for r in own)),
        "about": {case.name: case.about for case in cases if case.about},
        "bars": bars(group, [r for r in own if r["row"] == "model"]),
        "rows": {row: summary(mine) for row in rows if (mine := [r for r in own if r["row"] == row])},
    }


def _case(case: Case, segmenter: Segmenter, rows: Sequence[str], record: Record, report: Report) -> list[Row]:
    known = {row: record.read(case, row) for row in rows}
    scan: Scan | None = None
    results = []
    for row in rows:
        result = known[row]
        if result is None:
            if scan is None:
                report.say(f"{case.group} {case.name}: making the scan")
                scan = case.make()
            if scan.truth is None and row != "model":
                report.skip()  # floor and ceiling need a label map
                continue
            report.say(f"{case.group} {case.name}: {row}")
            result, drawn = judged(case, row, _segmenter(row, segmenter, scan), scan)
            record.write(case, row, result, drawn if row == "model" else None)
        report.done(case, row, result)
        results.append(result)
    return results


def _segmenter(row: str, segmenter: Segmenter, scan: Scan) -> Segmenter:
    if row == "model":
        return segmenter
    assert scan.truth is not None
    return Floor(scan.truth) if row == "floor" else Ceiling(scan.truth, _net_mm(segmenter))


def _net_mm(segmenter: Segmenter) -> float:
    """The coarsest spacing that the segmenter works at, if it says so."""
    bundle = getattr(segmenter, "bundle", None)
    own = getattr(segmenter, "spacing_mm", None) or getattr(bundle, "spacing_mm", None)
    return float(np.max(own)) if own is not None else USUAL_MM


def _identities(segmenter: Segmenter, rows: Sequence[str]) -> Row:
    found = {row: identity_of(row, segmenter) for row in rows}
    return {
        row: {"name": who.name, "version": who.version, "sha256": who.sha256} for row, who in found.items()
    }


def identity_of(row: str, segmenter: Segmenter) -> ModelIdentity:
    """Who stands behind a row when this segmenter is evaluated."""
    if row == "model":
        return segmenter.identity
    return floor_identity() if row == "floor" else ceiling_identity(_net_mm(segmenter))


def judged(case: Case, row: str, segmenter: Segmenter, scan: Scan) -> tuple[Row, Views]:
    """Segment one scan and compare: the row of evaluation.json, and what to draw.

    Returns
    -------
    dict
        "set", "case", "row"; "spacing_mm", "shape"; "refused" (the reason, or None; then nothing counts as
        found); "quality" (sentences of the segmenter); "seconds", "peak_mib", "gpu_mib";
        "outlines" (`metrics.outlines`), "nameless" (`metrics.without_names`), both None without a label
        map; "identification"; "parameters", "curves" (`clinical`), "not_measured" (the reason, or None).
    Views
    """
    grid = scan.volume.grid
    result: Row = {
        "set": case.group,
        "case": case.name,
        "row": row,
        "spacing_mm": [round(float(s), 4) for s in grid.spacing_mm],
        "shape": list(grid.shape),
    }
    found = LabelMap(grid, np.zeros(grid.shape, np.uint8))
    refused, quality = None, ()
    with Footprint() as footprint:
        begun = time.perf_counter()
        try:
            segmentation = segmenter.segment(scan.volume)
        except Refused as reason:
            refused = str(reason)
        else:
            found, quality = segmentation.label_map, segmentation.quality
        result |= {"refused": refused, "quality": list(quality), "seconds": time.perf_counter() - begun}
    result |= {"peak_mib": footprint.peak_mib, "gpu_mib": footprint.gpu_mib}
    one, other = (found.labels, None) if scan.truth is None else scored(found, scan.truth)
    result |= {"outlines": None, "nameless": None}
    if other is not None:
        result["outlines"] = outlines(one, other, grid.spacing_mm, scan.untrusted)
        result["nameless"] = without_names(overlap(one, other), scan.untrusted)
    result["identification"] = identification(
        scored_centres(found.labels, one, grid), true_centres(scan, other), complete=other is not None
    )
    result |= _measured(found, scan)
    return result, views(scan, found)


def _measured(found: LabelMap, scan: Scan) -> Row:
    if scan.parameters is None:
        return {"parameters": [], "curves": [], "not_measured": None}
    reason = None
    try:
        measured = measure(locate(found))
    except Refused as refusal:
        reason = str(refusal)
        measured = Measurements("PATIENT", "", ())
    return {
        "parameters": parameter_rows(measured, scan.parameters),
        "curves": curve_rows(measured, scan.parameters),
        "not_measured": reason,
    }
