"""What a report says as FHIR R4 Observations: numbers, classes, what could not be had, and remarks."""

from __future__ import annotations

from collections.abc import Iterator

from spine_node.dicom.codes import LEFT, RIGHT, SPINE, level_code
from spine_node.dicom.sr_class_codes import value_code
from spine_node.dicom.sr_codes import (
    BORDERLINE,
    CERTAINTY,
    CLASS_INPUTS,
    COMMENT,
    END_OF,
    FRAME,
    FRAMES,
    FRAMES_OF_THE_PATIENT,
    IMPRECISE,
    LATERALITY,
    LEVEL_IDENTIFICATION,
    LEVELS_CERTAIN,
    LEVELS_FIXED,
    LEVELS_UNCERTAIN,
    METHOD_OF_FRAME,
    PRECISION,
    PROVISIONAL,
    VERTICAL,
)
from spine_node.parameters.catalogue import DEFINITIONS
from spine_node.parameters.class_catalogue import CLASS_DEFINITIONS
from spine_node.parameters.definitions import Code, Definition
from spine_node.parameters.model import Classification, LevelIdentification, NotMeasured, Parameter
from spine_node.parameters.view import PATIENT
from spine_node.reports.fhir_types import Json, concept, quantity
from spine_node.reports.report import Report

UNCERTAINTY = Code("371884006", "SCT", "+/-, range of measurement uncertainty")

_ABSENT = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
_RANGE_MEANING = "http://terminology.hl7.org/CodeSystem/referencerange-meaning"


def observations(report: Report) -> Iterator[tuple[str, Json]]:
    """Each Observation, without what all of a report share, and a name that is its own in the report."""
    found = report.measurements
    for parameter in found.parameters:
        yield _name("parameter", parameter), _number(parameter, report)
    for classification in found.classes:
        yield _name("class", classification), _class(classification)
    for missing in found.not_measured:
        yield f"not measured {missing.key} {missing.level or ''}", _missing(missing)
    yield (
        "frame",
        {"code": concept(FRAME), "valueCodeableConcept": concept(FRAMES.get(found.frame), found.frame)},
    )
    if found.vertical:
        yield "vertical", {"code": concept(VERTICAL), "valueString": found.vertical}
    if found.levels:
        yield "levels", _levels(found.levels)
    for number, sentence in enumerate(found.quality):
        yield f"remark {number}", {"code": concept(COMMENT), "valueString": sentence}


def _name(kind: str, found: Parameter | Classification) -> str:
    places = [getattr(found, place, None) or "" for place in ("level", "upper", "apex", "lower", "side")]
    return " ".join([kind, found.key, *places])


def _number(parameter: Parameter, report: Report) -> Json:
    row = DEFINITIONS.get(parameter.key)
    components = [*_ends(parameter), *_side(parameter)]
    if parameter.uncertainty is not None:
        spread = quantity(parameter.uncertainty, parameter.unit)
        components.append(
            {"code": concept(UNCERTAINTY, "half of the 95 % interval"), "valueQuantity": spread}
        )
    if parameter.imprecise:
        components.append({"code": concept(PRECISION), "valueCodeableConcept": concept(IMPRECISE)})
    made: Json = {
        "code": _code(parameter.key),
        "valueQuantity": quantity(parameter.value, parameter.unit),
        "bodySite": _site(parameter.level),
    }
    method = METHOD_OF_FRAME.get(row.frame) if row else None
    if method or parameter.method:
        made["method"] = concept(method, parameter.method)
    limits = _reference_range(row, report) if row else []
    return made | ({"referenceRange": limits} if limits else {}) | _with(components)


def _reference_range(row: Definition, report: Report) -> list[Json]:
    """As in the report itself: only of people who stood, and not beside estimates."""
    estimated = report.measurements.frame != PATIENT and row.frame in FRAMES_OF_THE_PATIENT
    if row.norm is None or not report.standing or estimated:
        return []
    return [
        {
            "low": quantity(row.norm.low, row.unit),
            "high": quantity(row.norm.high, row.unit),
            "type": {"coding": [{"system": _RANGE_MEANING, "code": "normal", "display": "Normal Range"}]},
            "text": f"{row.norm.statistic}, standing adults; {row.norm.source}",
        }
    ]


def _class(found: Classification) -> Json:
    row = CLASS_DEFINITIONS.get(found.key)
    value = concept(
        value_code(found.key, found.value) if row else None,
        f"{found.value}: {row.meaning(found.value)}" if row else found.value,
    )
    components = [*_ends(found)]
    for holds, code in ((found.borderline, BORDERLINE), (found.provisional, PROVISIONAL)):
        if holds:
            components.append({"code": concept(CERTAINTY), "valueCodeableConcept": concept(code)})
    components += [
        {"code": concept(CLASS_INPUTS, key), "valueQuantity": {"value": number}}
        for key, number in found.inputs
    ]
    made: Json = {
        "code": _code(found.key),
        "valueCodeableConcept": value,
        "bodySite": _site(found.level),
    }
    if row:
        made["method"] = {"text": row.definition}
    if found.remark:
        made["note"] = [{"text": found.remark}]
    return made | _with(components)


def _missing(entry: NotMeasured) -> Json:
    absent = {"coding": [{"system": _ABSENT, "code": "not-performed", "display": "Not Performed"}]}
    if entry.reason:
        absent["text"] = entry.reason
    return {"code": _code(entry.key), "dataAbsentReason": absent, "bodySite": _site(entry.level)}


def _levels(levels: LevelIdentification) -> Json:
    state = LEVELS_UNCERTAIN if levels.uncertain else LEVELS_FIXED if levels.pinned else LEVELS_CERTAIN
    words = [] if levels.margin_nats is None else [f"Margin {levels.margin_nats:g} nats."]
    words += [f"Next: {levels.next_best}."] if levels.next_best else []
    words += [f"Fixed by a person: {', '.join(levels.pinned)}."] if levels.pinned else []
    made: Json = {"code": concept(LEVEL_IDENTIFICATION), "valueCodeableConcept": concept(state)}
    return made | ({"note": [{"text": " ".join(words)}]} if words else {})


def _code(key: str) -> Json:
    row = DEFINITIONS.get(key) or CLASS_DEFINITIONS.get(key)
    return concept(row.code, row.name) if row else {"text": key}


def _site(level: str | None) -> Json:
    return concept(level_code(level), level) if level else concept(SPINE)


def _ends(found: Parameter | Classification) -> Iterator[Json]:
    for end, code in END_OF.items():
        level = getattr(found, end)
        if level:
            yield {"code": concept(code), "valueCodeableConcept": concept(level_code(level), level)}


def _side(parameter: Parameter) -> Iterator[Json]:
    if parameter.side:
        side = {"left": LEFT, "right": RIGHT}[parameter.side]
        yield {"code": concept(LATERALITY), "valueCodeableConcept": concept(side)}


def _with(components: list[Json]) -> Json:
    return {"component": components} if components else {}
