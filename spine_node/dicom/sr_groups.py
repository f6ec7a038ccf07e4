"""Measurements as TID 1500 measurement groups: of the spine, each curve, each vertebra, each segment.

A number or class stands in the group of its place, and so does what could not be measured there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

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
from spine_node.dicom.sr_classes import class_item
from spine_node.dicom.sr_codes import (
    ALGORITHM_NAME,
    ALGORITHM_PARAMETERS,
    ALGORITHM_VERSION,
    END_OF,
    MEASUREMENT_GROUP,
    row_of,
)
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

_TRACKING_ID = Code("112039", "DCM", "Tracking Identifier")
_TRACKING_UID = Code("112040", "DCM", "Tracking Unique Identifier")
_FINDING_CATEGORY = Code("276214006", "SCT", "Finding category")
_FINDING = Code("121071", "DCM", "Finding")
_FINDING_SITE = Code("363698007", "SCT", "Finding Site")
_REFERENCED_SEGMENT = Code("121191", "DCM", "Referenced Segment")
_SOURCE_SERIES = Code("121232", "DCM", "Source Series for Segmentation")

Found = Parameter | Classification
Ends = tuple[str | None, str | None, str | None]
"""Upper end, apex and lower end of a curve."""


@dataclass(slots=True)
class Contents:
    """What belongs to one place."""

    parameters: list[Parameter] = field(default_factory=list)
    classes: list[Classification] = field(default_factory=list)
    not_measured: list[NotMeasured] = field(default_factory=list)


def groups(measurements: Measurements, context: Context) -> Iterator[bytes]:
    """The whole spine first, then curves, vertebrae and segments downwards."""
    spine, curves, levels = _sorted(measurements)
    yield _group("spine", SPINE, SPINE, _body(spine, context), context)
    for curve in sorted(curves, key=lambda ends: [_place(end) for end in ends]):
        (upper, apex, lower), contents = curve, curves[curve]
        ends = {"upper": upper, "apex": apex, "lower": lower}
        described = [
            context.items.coded(END_OF[end], level_code(level), "CONTAINS")
            for end, level in ends.items()
            if level
        ]
        name = f"curve {upper}-{lower}"
        yield _group(name, SPINE, SPINE, [*described, *_body(contents, context)], context)
    for level in sorted(levels, key=lambda level: ("/" in level, _place(level))):
        yield from _of_level(level, levels[level], context)


def _of_level(level: str, contents: Contents, context: Context) -> Iterator[bytes]:
    """On the segment of the vertebra; on that of its body what is of the body, and the rest beside it."""
    # TID 1411 takes no coordinates beside the segment.
    if level in context.segments:
        yield _group_on_segment(level, level, VERTEBRA, _body(contents, context, lines=False), context)
        return
    body = f"{level}_body"
    if body in context.segments:
        of_body, contents = _of_the_body(contents)
        below = _body(of_body, context, lines=False)
        yield _group_on_segment(body, level, VERTEBRAL_BODY, below, context)
        if contents == Contents():
            return
    finding = INTERVERTEBRAL_DISC if "/" in level else VERTEBRA
    yield _group(level, finding, level_code(level), _body(contents, context), context)


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


def _group(name: str, finding: Code, site: Code, body: Iterable[bytes], context: Context) -> bytes:
    """TID 1501."""
    head = _head(name, context.uid("tracking", name), finding, site, context)
    return context.plain.container(MEASUREMENT_GROUP, [*head, *body], template="1501")


def _group_on_segment(name: str, level: str, finding: Code, body: Iterable[bytes], context: Context) -> bytes:
    """TID 1411: number, tracking ID and tracking UID are those of the segment with this name."""
    segment = context.segments[name]
    head = [
        *_head(name, segment.tracking_uid, finding, level_code(level), context),
        context.plain.segment(
            _REFERENCED_SEGMENT, segment.sop_class_uid, segment.sop_instance_uid, segment.number
        ),
        context.plain.uid(_SOURCE_SERIES, context.source_series_uid, "CONTAINS"),
    ]
    return context.plain.container(MEASUREMENT_GROUP, [*head, *body], template="1411")


def _head(name: str, tracking_uid: str, finding: Code, site: Code, context: Context) -> list[bytes]:
    """What a group is about, and what measured (TID 4019): the same rows of both templates."""
    items, model = context.plain, context.model
    of_algorithm = (
        (ALGORITHM_NAME, MODEL_NAME),
        (ALGORITHM_VERSION, context.software_version),
        (ALGORITHM_PARAMETERS, f"model {model.name} {model.version}"),
        (ALGORITHM_PARAMETERS, f"weights_sha256={model.sha256}"),
    )
    return [
        items.text(_TRACKING_ID, name, "HAS OBS CONTEXT"),
        items.uid(_TRACKING_UID, tracking_uid, "HAS OBS CONTEXT"),
        items.coded(_FINDING_CATEGORY, ANATOMICAL_STRUCTURE, "CONTAINS"),
        items.coded(_FINDING, finding, "CONTAINS"),
        items.coded(_FINDING_SITE, site, "HAS CONCEPT MOD"),
        *(items.text(what, words, "HAS CONCEPT MOD") for what, words in of_algorithm),
    ]
