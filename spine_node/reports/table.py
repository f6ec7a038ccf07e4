"""A report as people read it in a terminal: whose and of what in a few lines, then its tables."""

from __future__ import annotations

from dataclasses import replace

from spine_node.parameters.catalogue import DEFINITIONS
from spine_node.parameters.class_catalogue import CLASS_DEFINITIONS
from spine_node.parameters.model import Measurements
from spine_node.reports.report import Report
from spine_node.tables import print_measurements


def heading(report: Report) -> list[str]:
    """Study, person and report in three lines; a person by ID only."""
    state = "preliminary" if report.preliminary else "final"
    state += ", verified" if report.verified else ", unverified"
    lines = [
        f"Study {report.study_uid}  {_day(report.study_date)}  accession {report.accession or '-'}  "
        f"patient {report.patient_id or '-'}",
        f"Report {report.sop_instance_uid}  {state}  by {report.model} {report.software}",
    ]
    if report.sources:
        lines.append(f"Of series {', '.join(source.series_uid for source in report.sources)}")
    if report.supersedes:
        lines.append(f"Supersedes {', '.join(report.supersedes)}")
    return lines


def print_table(report: Report) -> None:
    """Print one report on stdout."""
    for line in heading(report):
        print(line)
    known, unknown = _parted(report.measurements)
    print_measurements(known, as_json=False)
    if unknown:
        print(f"Not known to this version of the software: {', '.join(unknown)}.")


def _parted(measurements: Measurements) -> tuple[Measurements, list[str]]:
    """What the tables have rows for, and what a later version has written, in words."""
    later = [p for p in measurements.parameters if p.key not in DEFINITIONS]
    later_classes = [c for c in measurements.classes if c.key not in CLASS_DEFINITIONS]
    known = replace(
        measurements,
        parameters=tuple(p for p in measurements.parameters if p.key in DEFINITIONS),
        classes=tuple(c for c in measurements.classes if c.key in CLASS_DEFINITIONS),
    )
    words = [" ".join(filter(None, (p.key, p.level, f"{p.value:g}", p.unit))) for p in later]
    words += [" ".join(filter(None, (c.key, c.level, c.value))) for c in later_classes]
    return known, words


def _day(date: str) -> str:
    return f"{date[:4]}-{date[4:6]}-{date[6:]}" if len(date) == 8 else date or "-"
