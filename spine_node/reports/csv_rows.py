"""Reports as one tidy table: a row for each number, class, thing not measured, and remark."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any

from spine_node.parameters.catalogue import DEFINITIONS
from spine_node.parameters.class_catalogue import CLASS_DEFINITIONS
from spine_node.parameters.model import Classification, LevelIdentification, NotMeasured, Parameter
from spine_node.reports.report import Report

COLUMNS = (
    "study_uid", "report_uid", "study_date", "patient_id", "accession",
    "kind", "key", "name", "level", "upper", "apex", "lower", "side",
    "value", "unit", "uncertainty", "imprecise", "borderline", "provisional", "frame", "method", "remark",
)  # fmt: skip
"""`kind` is parameter, class, not_measured, levels or quality; `value` of a class is its name."""


def csv_text(reports: Iterable[Report]) -> str:
    """The table with its header line."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for report in reports:
        writer.writerows(rows(report))
    return text.getvalue()


def rows(report: Report) -> Iterator[dict[str, Any]]:
    """The rows of one report; numbers to 0.001, as in measurements.json."""
    found = report.measurements
    common = {
        "study_uid": report.study_uid,
        "report_uid": report.sop_instance_uid,
        "study_date": report.study_date,
        "patient_id": report.patient_id,
        "accession": report.accession,
        "frame": found.frame,
    }
    for parameter in found.parameters:
        yield common | _parameter(parameter)
    for classification in found.classes:
        yield common | _class(classification)
    for missing in found.not_measured:
        yield common | _missing(missing)
    if found.levels:
        yield common | _levels(found.levels)
    for sentence in found.quality:
        yield common | {"kind": "quality", "key": "", "remark": sentence}


def name_of_key(key: str) -> str:
    """What a surgeon calls it; "" for a key of a later version."""
    row = DEFINITIONS.get(key) or CLASS_DEFINITIONS.get(key)
    return row.name if row else ""


def _parameter(p: Parameter) -> dict[str, Any]:
    return _place(p) | {
        "kind": "parameter",
        "key": p.key,
        "name": name_of_key(p.key),
        "side": p.side or "",
        "value": round(p.value, 3),
        "unit": p.unit,
        "uncertainty": "" if p.uncertainty is None else round(p.uncertainty, 3),
        "imprecise": _yes(p.imprecise),
        "method": p.method,
    }


def _class(c: Classification) -> dict[str, Any]:
    row = CLASS_DEFINITIONS.get(c.key)
    inputs = "; ".join(f"{key} = {number}" for key, number in c.inputs)
    return _place(c) | {
        "kind": "class",
        "key": c.key,
        "name": name_of_key(c.key),
        "value": c.value,
        "borderline": _yes(c.borderline),
        "provisional": _yes(c.provisional),
        "method": row.definition if row else "",
        "remark": ". ".join(filter(None, (c.remark, f"From {inputs}" if inputs else ""))),
    }


def _missing(entry: NotMeasured) -> dict[str, Any]:
    return {
        "kind": "not_measured",
        "key": entry.key,
        "name": name_of_key(entry.key),
        "level": entry.level or "",
        "remark": entry.reason,
    }


def _levels(levels: LevelIdentification) -> dict[str, Any]:
    state = "uncertain" if levels.uncertain else "fixed by a person" if levels.pinned else "certain"
    return {"kind": "levels", "name": "Level identification", "value": state, "remark": _margin(levels)}


def _margin(levels: LevelIdentification) -> str:
    parts = [] if levels.margin_nats is None else [f"margin {levels.margin_nats:g} nats"]
    parts += [f"next: {levels.next_best}"] if levels.next_best else []
    parts += [f"fixed: {', '.join(levels.pinned)}"] if levels.pinned else []
    return "; ".join(parts)


def _place(found: Parameter | Classification) -> dict[str, str]:
    return {place: getattr(found, place) or "" for place in ("level", "upper", "apex", "lower")}


def _yes(holds: bool) -> str:
    return "true" if holds else "false"
