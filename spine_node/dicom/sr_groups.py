"""Measurements as TID 1500 measurement groups: one of the whole spine, one a curve, one a vertebra.

Where a number belongs is said by its finding sites: a vertebra alone is its level; with the
topographical modifier superior, inferior or apex it is an end or the apex of a curve; the laterality of
a site is the side of the number. What could not be measured is an evaluation in the group of its level, and a
text with the reason among the report's Qualitative Evaluations.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import highdicom as hd
import numpy as np

from spine_node.anatomy.levels import LEVELS
from spine_node.dicom.codes import (
    ANATOMICAL_STRUCTURE,
    SPINE,
    STRUCTURES,
    VERTEBRA,
    level_code,
)
from spine_node.dicom.identity import MODEL_NAME
from spine_node.dicom.sr_codes import (
    COMMENT,
    FRAME,
    FRAMES,
    LEVEL_IDENTIFICATION,
    LEVEL_MARGIN,
    LEVELS_CERTAIN,
    LEVELS_FIXED,
    LEVELS_UNCERTAIN,
    METHOD_OF_FRAME,
    NOT_ATTEMPTED,
    PURPOSE_OF_LINE,
    QUALITATIVE,
    SIDES,
    SITE_OF,
    STANDING,
    UNCERTAINTIES,
    VERTICAL,
    ascii_text,
    code_of,
    per,
    sr,
)
from spine_node.parameters.catalogue import DEFINITIONS, PRIVATE_SCHEME, Code
from spine_node.parameters.model import LevelIdentification, Line, Measurements, NotMeasured, Parameter

_UNITS: dict[str, Code] = {"deg": Code("deg", "UCUM", "degree"), "mm": Code("mm", "UCUM", "mm")}
_DECIMALS = 3


@dataclass(frozen=True, slots=True)
class Context:
    """What all groups of one report share.

    Attributes
    ----------
    uid : callable
        From a kind and further names to a derived UID.
    segments : mapping of structure name to (segment number, tracking UID)
    seg_class_uid, seg_uid, source_series_uid, frame_of_reference_uid : str
    software_version : str
    """

    uid: Callable[..., str]
    segments: dict[str, tuple[int, str]]
    seg_class_uid: str
    seg_uid: str
    source_series_uid: str
    frame_of_reference_uid: str
    software_version: str


def groups(measurements: Measurements, context: Context) -> list[hd.sr.MeasurementsAndQualitativeEvaluations]:
    """Every measurement group of a report, the whole spine first, then curves and vertebrae downwards."""
    found = [_spine_group(measurements, context)]
    curves: dict[tuple[str, ...], list[Parameter]] = {}
    for p in measurements.parameters:
        if per(p.key) == "curve":
            curves.setdefault(tuple(str(getattr(p, e)) for e in ("upper", "apex", "lower")), []).append(p)
    found += [_curve_group(parameters, context) for parameters in curves.values()]
    for level in LEVELS:
        here = [p for p in measurements.parameters if per(p.key) == "vertebra" and p.level == level]
        missing = [n for n in measurements.not_measured if n.level == level]
        if here or missing:
            found.append(_vertebra_group(level, here, missing, context))
    return found


def remarks(measurements: Measurements, *, standing: bool | None) -> hd.sr.ContainerContentItem:
    """The report's Qualitative Evaluations: frame, posture, vertical, reasons and sentences on quality."""
    contains = hd.sr.RelationshipTypeValues.CONTAINS
    container = hd.sr.ContainerContentItem(sr(QUALITATIVE), relationship_type=contains)
    container.ContentSequence = hd.sr.ContentSequence()
    container.ContentSequence.extend(
        [
            hd.sr.CodeContentItem(sr(FRAME), sr(FRAMES[measurements.frame]), contains),
            *(hd.sr.CodeContentItem(sr(n), sr(v), contains) for n, v in (STANDING if standing else ())),
            _text(VERTICAL, measurements.vertical or "not stated"),
            *(_text(code_of(n.key), reason_of(n)) for n in measurements.not_measured),
            *(_levels(measurements.levels) if measurements.levels else ()),
            *(_text(COMMENT, sentence) for sentence in measurements.quality),
        ]
    )
    return container


def words_of(levels: LevelIdentification) -> str:
    """Margin, next best naming and pins as they stand in a report; `levels_in_words` reads them back."""
    parts = [] if levels.margin_nats is None else [f"margin {levels.margin_nats:g} nats"]
    parts += [f"next: {levels.next_best}"] if levels.next_best else []
    parts += [f"fixed by a person: {', '.join(levels.pinned)}"] if levels.pinned else []
    return "; ".join(parts)


def levels_in_words(text: str, *, uncertain: bool) -> LevelIdentification:
    """What `words_of` has written."""
    parts = dict(part.split(": ", 1) for part in text.split("; ") if ": " in part)
    margin = re.match(r"margin (\S+) nats", text)
    pinned = parts.get("fixed by a person", "")
    return LevelIdentification(
        margin_nats=float(margin[1]) if margin else None,
        next_best=parts.get("next", ""),
        pinned=tuple(pinned.split(", ")) if pinned else (),
        uncertain=uncertain,
    )


def reason_of(entry: NotMeasured) -> str:
    """The reason as it stands in a report, after the level where there is one."""
    return entry.reason if entry.level is None else f"{entry.level}: {entry.reason}"


def _spine_group(measurements: Measurements, context: Context) -> hd.sr.MeasurementsAndQualitativeEvaluations:
    return hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking("spine", context),
        finding_category=sr(ANATOMICAL_STRUCTURE),
        finding_type=sr(SPINE),
        finding_sites=[hd.sr.FindingSite(sr(SPINE))],
        algorithm_id=_algorithm(context),
        measurements=[_measured(p, context) for p in measurements.parameters if per(p.key) == "spine"],
        qualitative_evaluations=_not_attempted(n for n in measurements.not_measured if n.level is None),
    )


def _curve_group(
    parameters: list[Parameter], context: Context
) -> hd.sr.MeasurementsAndQualitativeEvaluations:
    first = parameters[0]
    name = f"curve {first.upper}-{first.lower}"
    ends = {
        "upper": Code("END_UPPER", PRIVATE_SCHEME, "Upper end vertebra"),
        "apex": Code("APEX_VERTEBRA", PRIVATE_SCHEME, "Apical vertebra"),
        "lower": Code("END_LOWER", PRIVATE_SCHEME, "Lower end vertebra"),
    }
    evaluations = [
        hd.sr.QualitativeEvaluation(sr(concept), sr(level_code(getattr(first, end))))
        for end, concept in ends.items()
        if getattr(first, end)
    ]
    return hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(name, context),
        finding_category=sr(ANATOMICAL_STRUCTURE),
        finding_type=sr(SPINE),
        finding_sites=[hd.sr.FindingSite(sr(SPINE))],
        algorithm_id=_algorithm(context),
        measurements=[_measured(p, context) for p in parameters],
        qualitative_evaluations=evaluations,
    )


def _vertebra_group(
    level: str, here: list[Parameter], missing: list[NotMeasured], context: Context
) -> hd.sr.MeasurementsAndQualitativeEvaluations:
    """TID 1411 on the vertebra's segment; TID 1501 where the level has no segment."""
    common: dict[str, Any] = {
        "finding_category": sr(ANATOMICAL_STRUCTURE),
        "finding_type": sr(VERTEBRA),
        "finding_sites": [hd.sr.FindingSite(sr(level_code(level)))],
        "algorithm_id": _algorithm(context),
        "qualitative_evaluations": _not_attempted(missing),
    }
    if level not in context.segments:
        return hd.sr.MeasurementsAndQualitativeEvaluations(
            tracking_identifier=_tracking(level, context),
            measurements=[_measured(p, context) for p in here],
            **common,
        )
    number, tracking_uid = context.segments[level]
    return hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(uid=tracking_uid, identifier=level),
        referenced_segment=hd.sr.ReferencedSegment(
            sop_class_uid=context.seg_class_uid,
            sop_instance_uid=context.seg_uid,
            segment_number=number,
            source_series=hd.sr.SourceSeriesForSegmentation(context.source_series_uid),
        ),
        # TID 1411 takes no coordinates beside the segment.
        measurements=[_measured(p, context, lines=()) for p in here],
        **common,
    )


def _measured(
    parameter: Parameter, context: Context, lines: tuple[Line, ...] | None = None
) -> hd.sr.Measurement:
    definition = DEFINITIONS.get(parameter.key)
    method = METHOD_OF_FRAME.get(definition.frame) if definition else None
    coordinates = [_coordinates(line, context) for line in (parameter.lines if lines is None else lines)]
    unit = _UNITS.get(parameter.unit) or Code(parameter.unit, "UCUM", parameter.unit)
    measurement = hd.sr.Measurement(
        name=sr(code_of(parameter.key)),
        value=round(float(parameter.value), _DECIMALS),
        unit=sr(unit),
        method=sr(method) if method else None,
        algorithm_id=_algorithm(context, parameter.method),
        finding_sites=_sites(parameter) or None,
        referenced_coordinates=coordinates or None,
    )
    for name in UNCERTAINTIES if parameter.uncertainty is not None else ():
        measurement[0].ContentSequence.append(
            hd.sr.NumContentItem(
                name=sr(name),
                value=round(float(parameter.uncertainty), _DECIMALS),
                unit=sr(unit),
                relationship_type=hd.sr.RelationshipTypeValues.HAS_PROPERTIES,
            )
        )
    return measurement


def _sites(parameter: Parameter) -> list[hd.sr.FindingSite]:
    laterality = sr(SIDES[parameter.side]) if parameter.side else None
    carrier = "apex" if parameter.apex else "level"
    sites = []
    if parameter.level:
        sites.append(hd.sr.FindingSite(sr(level_code(parameter.level)), laterality))
    for end, modifier in SITE_OF.items():
        level = getattr(parameter, end)
        if level:
            side = laterality if end == carrier else None
            sites.append(hd.sr.FindingSite(sr(level_code(level)), side, sr(modifier)))
    if parameter.side and not (parameter.level or parameter.apex):
        sites.append(hd.sr.FindingSite(sr(SPINE), laterality))
    return sites


def _coordinates(line: Line, context: Context) -> hd.sr.CoordinatesForMeasurement3D:
    kind = hd.sr.GraphicTypeValues3D.POLYLINE if len(line.points_mm) > 1 else hd.sr.GraphicTypeValues3D.POINT
    purpose = PURPOSE_OF_LINE.get(line.role, Code("LN_OTHER", PRIVATE_SCHEME, "Line"))
    return hd.sr.CoordinatesForMeasurement3D(
        graphic_type=kind,
        graphic_data=np.array(line.points_mm),
        frame_of_reference_uid=context.frame_of_reference_uid,
        purpose=sr(purpose),
    )


def _not_attempted(missing: Iterable[NotMeasured]) -> list[hd.sr.QualitativeEvaluation]:
    """An evaluation for each parameter that could not be measured; `remarks` holds the reasons.

    A NUM without value says the same (PS3.3 C.18.1), but readers in use fail on the whole report at one.
    """
    return [hd.sr.QualitativeEvaluation(sr(code_of(entry.key)), sr(NOT_ATTEMPTED)) for entry in missing]


def _levels(levels: LevelIdentification) -> list[hd.sr.ContentItem]:
    contains = hd.sr.RelationshipTypeValues.CONTAINS
    code = LEVELS_UNCERTAIN if levels.uncertain else LEVELS_FIXED if levels.pinned else LEVELS_CERTAIN
    words = words_of(levels)
    return [
        hd.sr.CodeContentItem(sr(LEVEL_IDENTIFICATION), sr(code), contains),
        *([_text(LEVEL_MARGIN, words)] if words else []),
    ]


def _text(name: Code, value: str) -> hd.sr.TextContentItem:
    contains = hd.sr.RelationshipTypeValues.CONTAINS
    return hd.sr.TextContentItem(name=sr(name), value=ascii_text(value), relationship_type=contains)


def _tracking(name: str, context: Context) -> hd.sr.TrackingIdentifier:
    uid = context.uid("tracking", name)
    return hd.sr.TrackingIdentifier(
        uid=uid, identifier=STRUCTURES[name].label if name in STRUCTURES else name
    )


def _algorithm(context: Context, definition: str | None = None) -> hd.sr.AlgorithmIdentification:
    return hd.sr.AlgorithmIdentification(
        name=MODEL_NAME,
        version=context.software_version,
        parameters=[ascii_text(definition)] if definition else None,
    )
