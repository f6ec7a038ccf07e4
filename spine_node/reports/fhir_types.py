"""FHIR's data types as plain JSON values: codes, quantities, dates, references, identifiers (R4, 2.24)."""

from __future__ import annotations

import re
import uuid
from typing import Any

from spine_node.dicom.codes import PRIVATE_SCHEME_UID
from spine_node.parameters.definitions import PRIVATE_SCHEME, Code

Json = dict[str, Any]

SYSTEMS = {
    "SCT": "http://snomed.info/sct",
    "DCM": "http://dicom.nema.org/resources/ontology/DCM",
    "LN": "http://loinc.org",
    "UCUM": "http://unitsofmeasure.org",
    PRIVATE_SCHEME: f"urn:oid:{PRIVATE_SCHEME_UID}",
}
"""URI of each coding scheme (PS3.16 8, table 8-1); ours is named by its UID."""

DICOM_UID = "urn:dicom:uid"
IDENTIFIER_TYPES = "http://terminology.hl7.org/CodeSystem/v2-0203"


def oid(uid: str) -> str:
    """A DICOM UID as the value of an identifier whose system is `DICOM_UID`."""
    return f"urn:oid:{uid}"


def uid_identifier(uid: str) -> Json:
    """Identifier of what DICOM names."""
    return {"system": DICOM_UID, "value": oid(uid)}


def coding(code: Code) -> Json:
    """Coding; of a scheme whose URI is not known, without one."""
    system = {"system": SYSTEMS[code.scheme]} if code.scheme in SYSTEMS else {}
    return system | {"code": code.value, "display": code.meaning}


def concept(code: Code | None, text: str = "") -> Json:
    """CodeableConcept; of something without a code the words alone."""
    made: Json = {} if code is None else {"coding": [coding(code)]}
    return made | ({"text": text} if text else {})


def quantity(value: float, unit: str) -> Json:
    """Quantity, to 0.001, in UCUM."""
    return {"value": round(float(value), 3), "unit": unit, "system": SYSTEMS["UCUM"], "code": unit}


def date_time(date: str, time: str, timezone: str) -> str:
    """DICOM's date and time as dateTime; the date alone without a time zone, as FHIR wants one.

    Examples
    --------
    >>> date_time("20260102", "101112.5", "+0100"), date_time("20260102", "101112", "")
    ('2026-01-02T10:11:12+01:00', '2026-01-02')
    >>> date_time("", "101112", "+0100")
    ''
    """
    if not re.fullmatch(r"\d{8}", date):
        return ""
    day = f"{date[:4]}-{date[4:6]}-{date[6:]}"
    hours = re.fullmatch(r"(\d\d)(\d\d)(\d\d)(\.\d+)?", time)
    zone = re.fullmatch(r"([+-]\d\d)(\d\d)", timezone)
    if not hours or not zone:
        return day
    return f"{day}T{':'.join(hours.groups()[:3])}{zone[1]}:{zone[2]}"


def derived_id(*names: str) -> str:
    """The same names give the same id: a report read twice is one resource, not two."""
    return str(uuid.uuid5(_NAMESPACE, "\n".join(names)))


def reference(kind: str, resource_id: str) -> Json:
    """Reference to a resource in the same bundle."""
    return {"reference": f"urn:uuid:{resource_id}", "type": kind}


_NAMESPACE = uuid.UUID("c7f2fd1c-5f6e-4a0b-9a53-0a1ea24f9f4a")
