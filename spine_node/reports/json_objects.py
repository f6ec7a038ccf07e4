"""A report as JSON: what it belongs to, and its measurements in the schema of measurements.json."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from spine_node.reports.report import Report


def json_object(report: Report) -> dict[str, Any]:
    """One report as plain values; dates and times as DICOM writes them, "" where unknown."""
    return {
        "study": {
            "study_instance_uid": report.study_uid,
            "date": report.study_date,
            "time": report.study_time,
            "accession": report.accession,
            "patient_id": report.patient_id,
            "issuer_of_patient_id": report.issuer,
        },
        "report": {
            "sop_instance_uid": report.sop_instance_uid,
            "sop_class_uid": report.sop_class_uid,
            "series_instance_uid": report.series_uid,
            "content_date": report.content_date,
            "content_time": report.content_time,
            "preliminary": report.preliminary,
            "verified": report.verified,
            "supersedes": list(report.supersedes),
        },
        "source_series": [source.series_uid for source in report.sources],
        "made_by": {
            "manufacturer": report.manufacturer,
            "model": report.model,
            "software": report.software,
        },
        "measurements": report.measurements.to_dict(),
    }


def json_text(reports: Iterable[Report]) -> str:
    """A list, however many there are."""
    return json.dumps([json_object(report) for report in reports], indent=2) + "\n"
