"""Which of several reports on the same images counts: the last of a chain, else the newest."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from spine_node.network.contexts import REPORT_CLASSES
from spine_node.reports.report import Report


def newest(reports: Sequence[Report]) -> list[Report]:
    """One report for each source series, in the order given; the others are superseded.

    A report that another names as its predecessor is out, over any number of steps. Of those left (two
    runs that did not know of each other) the one whose levels a person has fixed counts, then that of the
    later software, then the one that knew of more reports before it, then the one of more images (some came
    late), then the fullest of its forms; content dates do not tell, they are those of the source.
    """
    replaced = {uid for report in reports for uid in report.supersedes if uid != report.sop_instance_uid}
    best: dict[tuple[str, ...], Report] = {}
    for report in reports:
        if report.sop_instance_uid in replaced:
            continue
        about = (report.study_uid, *(source.series_uid for source in sorted(report.sources)))
        if about not in best or _rank(report) > _rank(best[about]):
            best[about] = report
    kept = {report.sop_instance_uid for report in best.values()}
    return [report for report in reports if report.sop_instance_uid in kept]


def once(reports: Iterable[Report]) -> list[Report]:
    """Each report once, however many copies there are."""
    return list({report.sop_instance_uid: report for report in reports}.values())


def in_order(reports: Iterable[Report]) -> list[Report]:
    """By patient and time, so that one person's studies stand together, oldest first."""
    return sorted(
        reports,
        key=lambda r: (r.patient_id, r.issuer, r.study_date, r.study_time, r.study_uid, r.sources, _rank(r)),
    )


def _rank(report: Report) -> tuple[bool, str, str, tuple[int, ...], int, int, int, str]:
    levels = report.measurements.levels
    numbers = tuple(int(part) for part in re.findall(r"\d+", report.software))
    return (
        bool(levels and levels.pinned),
        report.content_date,
        report.content_time,
        numbers,
        len(report.supersedes),
        report.images,
        -list(REPORT_CLASSES).index(report.sop_class_uid),
        report.sop_instance_uid,
    )
