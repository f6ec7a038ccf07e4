"""A report as a FHIR R4 Bundle: DiagnosticReport, Observations, the study and the device they are of.

R4 (4.0.1) because it is what hospital systems and national profiles speak; what is used here is the same
in R4B. Ids derive from the report's UID, so that a report sent twice is the same resources. The patient
is an identifier: names and birth dates are the receiving system's.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable

from spine_node.dicom.identity import DEVICE_UID
from spine_node.parameters.definitions import Code
from spine_node.reports.fhir_observations import observations
from spine_node.reports.fhir_types import (
    IDENTIFIER_TYPES,
    SYSTEMS,
    Json,
    concept,
    date_time,
    derived_id,
    oid,
    reference,
    uid_identifier,
)
from spine_node.reports.report import Report

TITLE = Code("126000", "DCM", "Imaging Measurement Report")

_OBSERVATION_CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
_SECTION = "http://terminology.hl7.org/CodeSystem/v2-0074"


def bundle(report: Report) -> Json:
    """One report as a Bundle of type collection."""
    study = _study(report)
    device = _device(report)
    common = _common(report, study["id"], device["id"])
    made: list[Json] = []
    seen: Counter[str] = Counter()
    for name, content in observations(report):
        seen[name] += 1
        resource_id = derived_id(report.sop_instance_uid, name, str(seen[name]))
        made.append({"resourceType": "Observation", "id": resource_id} | common | content)
    diagnostic = _diagnostic_report(report, study["id"], [observation["id"] for observation in made])
    return {
        "resourceType": "Bundle",
        "id": derived_id(report.sop_instance_uid, "bundle"),
        "identifier": uid_identifier(report.sop_instance_uid),
        "type": "collection",
        "entry": [
            {"fullUrl": f"urn:uuid:{resource['id']}", "resource": resource}
            for resource in (diagnostic, *made, study, device)
        ],
    }


def fhir_text(reports: Iterable[Report]) -> str:
    """One Bundle a line (NDJSON, as FHIR's bulk data are); of one report a plain JSON file."""
    return "".join(json.dumps(bundle(report)) + "\n" for report in reports)


def _status(report: Report) -> str:
    return "final" if report.verified and not report.preliminary else "preliminary"


def _common(report: Report, study_id: str, device_id: str) -> Json:
    """What every Observation of a report has."""
    imaging = {"system": _OBSERVATION_CATEGORY, "code": "imaging", "display": "Imaging"}
    return {
        "status": _status(report),
        "category": [{"coding": [imaging]}],
        "subject": _subject(report),
        **_effective(report),
        "device": reference("Device", device_id),
        "derivedFrom": [reference("ImagingStudy", study_id)],
    }


def _diagnostic_report(report: Report, study_id: str, results: list[str]) -> Json:
    section = {"system": _SECTION, "code": "RAD", "display": "Radiology"}
    return {
        "resourceType": "DiagnosticReport",
        "id": derived_id(report.sop_instance_uid, "report"),
        "identifier": [uid_identifier(report.sop_instance_uid)],
        **_based_on(report),
        "status": _status(report),
        "category": [{"coding": [section]}],
        "code": concept(TITLE),
        "subject": _subject(report),
        **_effective(report),
        "result": [reference("Observation", resource_id) for resource_id in results],
        "imagingStudy": [reference("ImagingStudy", study_id)],
    }


def _study(report: Report) -> Json:
    """The study, as far as the report knows it: the series measured, and its own."""
    series = [{"uid": source.series_uid, "modality": _modality(source.modality)} for source in report.sources]
    own = {
        "uid": report.series_uid,
        "modality": _modality("SR"),
        "instance": [
            {
                "uid": report.sop_instance_uid,
                "sopClass": {"system": "urn:ietf:rfc:3986", "code": oid(report.sop_class_uid)},
            }
        ],
    }
    started = date_time(report.study_date, report.study_time, report.timezone)
    return {
        "resourceType": "ImagingStudy",
        "id": derived_id(report.study_uid, report.sop_instance_uid, "study"),
        "identifier": [uid_identifier(report.study_uid)],
        "status": "available",
        "subject": _subject(report),
        **({"started": started} if started else {}),
        **_based_on(report),
        "series": [*series, own],
    }


def _device(report: Report) -> Json:
    return {
        "resourceType": "Device",
        "id": derived_id(DEVICE_UID, report.software, "device"),
        "identifier": [uid_identifier(DEVICE_UID)],
        "manufacturer": report.manufacturer or "unknown",
        "deviceName": [{"name": report.model or "unknown", "type": "model-name"}],
        "type": {"text": "Software that measures images of the spine; research, not a medical device"},
        "version": [{"value": report.software or "unknown"}],
    }


def _subject(report: Report) -> Json:
    if not report.patient_id:
        return {"type": "Patient", "display": "without a patient ID"}
    identifier: Json = {
        "type": {"coding": [{"system": IDENTIFIER_TYPES, "code": "MR", "display": "Medical record number"}]},
        "value": report.patient_id,
    }
    if report.issuer:
        identifier["assigner"] = {"display": report.issuer}
    return {"type": "Patient", "identifier": identifier}


def _based_on(report: Report) -> Json:
    """The order, by its accession number."""
    if not report.accession:
        return {}
    kind = {"coding": [{"system": IDENTIFIER_TYPES, "code": "ACSN", "display": "Accession ID"}]}
    identifier = {"type": kind, "value": report.accession}
    return {"basedOn": [{"type": "ServiceRequest", "identifier": identifier}]}


def _effective(report: Report) -> Json:
    """When the patient was as measured: the content's time, which is the source's."""
    told = date_time(report.content_date, report.content_time, report.timezone)
    told = told or date_time(report.study_date, report.study_time, report.timezone)
    return {"effectiveDateTime": told} if told else {}


def _modality(modality: str) -> Json:
    return {"system": SYSTEMS["DCM"], "code": modality}
