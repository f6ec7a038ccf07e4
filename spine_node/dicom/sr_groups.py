"""Measurements as TID 1500 measurement groups: of the spine, each curve, each vertebra, each segment.

A number or class stands in the group of its place, and so does what could not be measured there. The
head of a group is made by highdicom, so that it is as its template wants it; see `sr_items` for the rest.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import highdicom as hd
from pydicom.dataset import Dataset

from spine_node.anatomy.levels import LEVELS
from spine_node.dicom.codes import (
    ANATOMICAL_STRUCTURE,
    INTERVERTEBRAL_DISC,
    SPINE,
    VERTEBRA,
    VERTEBRAL_BODY,
    level_code,
)
from spine_node.dicom.identity import MODEL_NAME
from spine_node.dicom.seg import SegmentReference
from spine_node.dicom.sr_classes import class_item
from spine_node.dicom.sr_codes import END_OF, ascii_text, row_of, sr
from spine_node.dicom.sr_encoding import container_of, item_of
from spine_node.dicom.sr_missing import not_measured_item
from spine_node.dicom.sr_numbers import Context, number_item
from spine_node.parameters.catalogue import DEFINITIONS, HEIGHTS, PLATES, SIZES
from spine_node.parameters.definitions import Code
from spine_node.parameters.model import Classification, Measurements, NotMeasured, Parameter

OF_VERTEBRAL_BODY = frozenset(
    row.key for row in DEFINITIONS.values() if row.group in (PLATES, HEIGHTS, SIZES) and row.key != "V_VOL"
) | {"HLOSS_GRADE"}
"""Rows that are read from endplates, walls and voxels of the body; rotation (AVR) needs the posterior
elements, and the canal (CANAL_AP, CANAL_W, STENOSIS) lies between both."""

_HEADS = 128
"""Heads that are remembered: those of a report are the same in all its forms, and take longest to make."""

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
    body : list of bytes
        The items that the container holds beside.
    """

    head: Any
    body: list[bytes]

    @property
    def container(self) -> Dataset:
        """The item that the body goes into."""
        item: Dataset = self.head[0]
        return item


def encoded(content: Dataset, bodies: Mapping[int, list[bytes]]) -> bytes:
    """A content item of highdicom with all below it; `bodies` adds to containers, by their `id`."""
    if content.ValueType != "CONTAINER":
        return item_of(content)
    below = [encoded(child, bodies) for child in content.get("ContentSequence") or ()]
    return container_of(content, [*below, *bodies.get(id(content), ())])


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
        yield from _of_level(level, levels[level], context)


def _of_level(level: str, contents: Contents, context: Context) -> Iterator[Group]:
    """On the segment of the vertebra; on that of its body what is of the body, and the rest beside it."""
    # TID 1411 takes no coordinates beside the segment.
    if level in context.segments:
        head = _head_on_segment(level, level, VERTEBRA, context)
        yield Group(head, _body(contents, context, lines=False))
        return
    body = f"{level}_body"
    if body in context.segments:
        of_body, contents = _of_the_body(contents)
        head = _head_on_segment(body, level, VERTEBRAL_BODY, context)
        yield Group(head, _body(of_body, context, lines=False))
        if contents == Contents():
            return
    finding = INTERVERTEBRAL_DISC if "/" in level else VERTEBRA
    yield Group(_head(level, finding, level_code(level), context), _body(contents, context))


def _of_the_body(contents: Contents) -> tuple[Contents, Contents]:
    """What is measured on the vertebral body alone, and what needs the whole vertebra."""
    of_body, of_whole = Contents(), Contents()
    for p in contents.parameters:
        (of_body if p.key in OF_VERTEBRAL_BODY else of_whole).parameters.append(p)
    for c in contents.classes:
        (of_body if c.key in OF_VERTEBRAL_BODY else of_whole).classes.append(c)
    for n in contents.not_measured:
        (of_body if n.key in OF_VERTEBRAL_BODY else of_whole).not_measured.append(n)
    return of_body, of_whole


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


def _body(contents: Contents, context: Context, *, lines: bool = True) -> list[bytes]:
    return [
        *(number_item(p, context, lines=lines) for p in contents.parameters),
        *(class_item(c, context.items) for c in contents.classes),
        *(not_measured_item(n, context.items) for n in contents.not_measured),
    ]


def _head(name: str, finding: Code, site: Code, context: Context) -> Any:
    """TID 1501."""
    return _head_of(name, context.uid("tracking", name), *_common(finding, site, context))


@lru_cache(maxsize=_HEADS)
def _head_of(name: str, tracking_uid: str, *common: Hashable) -> Any:
    return hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(tracking_uid, name), **_words(*common)
    )


def _head_on_segment(name: str, level: str, finding: Code, context: Context) -> Any:
    """TID 1411: number, tracking ID and tracking UID are those of the segment with this name."""
    segment, common = context.segments[name], _common(finding, level_code(level), context)
    return _head_on(name, segment, context.source_series_uid, *common)


@lru_cache(maxsize=_HEADS)
def _head_on(name: str, segment: SegmentReference, source_series_uid: str, *common: Hashable) -> Any:
    return hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(segment.tracking_uid, name),
        referenced_segment=hd.sr.ReferencedSegment(
            sop_class_uid=segment.sop_class_uid,
            sop_instance_uid=segment.sop_instance_uid,
            segment_number=segment.number,
            source_series=hd.sr.SourceSeriesForSegmentation(source_series_uid),
        ),
        **_words(*common),
    )


def _common(finding: Code, site: Code, context: Context) -> tuple[Hashable, ...]:
    """What heads have in common: arguments of `_words`."""
    model = context.model
    parameters = (f"model {model.name} {model.version}", f"weights_sha256={model.sha256}")
    return finding, site, context.software_version, parameters


def _words(finding: Any, site: Any, software_version: Any, parameters: Any) -> dict[str, Any]:
    return {
        "finding_category": sr(ANATOMICAL_STRUCTURE),
        "finding_type": sr(finding),
        "finding_sites": [hd.sr.FindingSite(sr(site))],
        "algorithm_id": hd.sr.AlgorithmIdentification(
            MODEL_NAME, software_version, parameters=[ascii_text(text) for text in parameters]
        ),
    }
