"""Measurements as TID 1500 measurement groups: of the spine, each curve, each vertebra, each segment.

A number or class stands in the group of its place, and so does what could not be measured there. The
head of a group is made by highdicom, so that it is as its template wants it; see `sr_items` for the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import highdicom as hd
from pydicom.dataset import Dataset

from spine_node.anatomy.levels import LEVELS
from spine_node.dicom.codes import ANATOMICAL_STRUCTURE, INTERVERTEBRAL_DISC, SPINE, VERTEBRA, level_code
from spine_node.dicom.identity import MODEL_NAME
from spine_node.dicom.sr_classes import class_item, not_measured_item
from spine_node.dicom.sr_codes import END_OF, row_of, sr
from spine_node.dicom.sr_numbers import Context, number_item
from spine_node.parameters.definitions import Code
from spine_node.parameters.model import Classification, Measurements, NotMeasured, Parameter

Found = Parameter | Classification
Ends = tuple[str | None, str | None, str | None]
"""Upper end, apex and lower end of a curve."""


@dataclass(slots=True)
class Contents:
    """What belongs to one place."""

    parameters: list[Parameter] = field(default_factory=list)
    classes: list[Classification] = field(default_factory=list)
    not_measured: list[NotMeasured] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Group:
    """A measurement group in two parts.

    Attributes
    ----------
    head : highdicom template
        What it is about; its first item is the container.
    body : list of Dataset
        What the container holds beside.
    """

    head: Any
    body: list[Dataset]

    @property
    def container(self) -> Dataset:
        """The item that the body goes into."""
        item: Dataset = self.head[0]
        return item


def groups(measurements: Measurements, context: Context) -> Iterator[Group]:
    """The whole spine first, then curves, vertebrae and segments downwards."""
    spine, curves, levels = _sorted(measurements)
    yield Group(_head("spine", SPINE, SPINE, context), _body(spine, context))
    for curve in sorted(curves, key=lambda ends: [_place(end) for end in ends]):
        (upper, apex, lower), contents = curve, curves[curve]
        ends = {"upper": upper, "apex": apex, "lower": lower}
        described = [
            context.items.coded(END_OF[end], level_code(level), "CONTAINS")
            for end, level in ends.items()
            if level
        ]
        head = _head(f"curve {upper}-{lower}", SPINE, SPINE, context)
        yield Group(head, [*described, *_body(contents, context)])
    for level in sorted(levels, key=lambda level: ("/" in level, _place(level))):
        if level in context.segments:
            # TID 1411 takes no coordinates beside the segment.
            yield Group(_head_on_segment(level, context), _body(levels[level], context, lines=False))
        else:
            finding = INTERVERTEBRAL_DISC if "/" in level else VERTEBRA
            yield Group(_head(level, finding, level_code(level), context), _body(levels[level], context))


def _sorted(measurements: Measurements) -> tuple[Contents, dict[Ends, Contents], dict[str, Contents]]:
    spine, curves, levels = Contents(), dict[Ends, Contents](), dict[str, Contents]()

    def at(found: Found) -> Contents:
        row = row_of(found.key)
        per = row.per if row else "spine"
        if per == "curve" and found.upper and found.lower:
            return curves.setdefault((found.upper, found.apex, found.lower), Contents())
        if per in ("vertebra", "segment") and found.level:
            return levels.setdefault(found.level, Contents())
        return spine

    for parameter in measurements.parameters:
        at(parameter).parameters.append(parameter)
    for classification in measurements.classes:
        at(classification).classes.append(classification)
    for entry in measurements.not_measured:
        place = levels.setdefault(entry.level, Contents()) if entry.level else spine
        place.not_measured.append(entry)
    return spine, curves, levels


def _place(level: str | None) -> tuple[int, str]:
    """For sorting from the head down: a segment by its upper vertebra, what is no level last."""
    upper = (level or "").split("/")[0]
    return LEVELS.index(upper) if upper in LEVELS else len(LEVELS), level or ""


def _body(contents: Contents, context: Context, *, lines: bool = True) -> list[Dataset]:
    return [
        *(number_item(p, context, lines=lines) for p in contents.parameters),
        *(class_item(c, context.items) for c in contents.classes),
        *(not_measured_item(n, context.items) for n in contents.not_measured),
    ]


def _head(name: str, finding: Code, site: Code, context: Context) -> Any:
    """TID 1501."""
    return hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(context.uid("tracking", name), name),
        **_common(finding, site, context),
    )


def _head_on_segment(level: str, context: Context) -> Any:
    """TID 1411: number and tracking UID are those of the segment."""
    number, tracking_uid = context.segments[level]
    return hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(tracking_uid, level),
        referenced_segment=hd.sr.ReferencedSegment(
            sop_class_uid=context.seg_class_uid,
            sop_instance_uid=context.seg_uid,
            segment_number=number,
            source_series=hd.sr.SourceSeriesForSegmentation(context.source_series_uid),
        ),
        **_common(VERTEBRA, level_code(level), context),
    )


def _common(finding: Code, site: Code, context: Context) -> dict[str, Any]:
    return {
        "finding_category": sr(ANATOMICAL_STRUCTURE),
        "finding_type": sr(finding),
        "finding_sites": [hd.sr.FindingSite(sr(site))],
        "algorithm_id": hd.sr.AlgorithmIdentification(MODEL_NAME, context.software_version),
    }
