"""The FHIR form: valid R4, complete, with references that lead somewhere and ids that stay."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle

from spine_node.parameters.catalogue import DEFINITIONS
from spine_node.parameters.model import LevelIdentification, Measurements
from spine_node.reports.fhir import bundle, fhir_text
from spine_node.reports.report import Report, report_of
from tests.dicom.small_reports import measured, stored
from tests.dicom.test_sr_panel import every_row
from tests.reports.kept import PI_ALONE, ours, whole_panel

OUR_SCHEME = "urn:oid:2.25.47559053379685357152343765942546222276"


@pytest.fixture(scope="module")
def panel() -> Report:
    return whole_panel()


@pytest.fixture(scope="module")
def whole(panel: Report) -> dict[str, Any]:
    return json.loads(fhir_text([panel]))


def small(**changes: Any) -> Report:
    return replace(report_of(stored(ours())), **changes)


def resources(found: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [e["resource"] for e in found["entry"] if e["resource"]["resourceType"] == kind]


def observation(report: Report) -> dict[str, Any]:
    return resources(bundle(report), "Observation")[0]


def components(found: dict[str, Any]) -> dict[str, Any]:
    return {c["code"]["coding"][0]["code"]: c for c in found.get("component", ())}


def test_every_row_of_both_catalogues_is_valid_fhir(whole: dict[str, Any]) -> None:
    """A library that knows the specification reads it, and writes the same again."""
    read = Bundle.model_validate(whole)
    assert json.loads(read.model_dump_json(exclude_none=True)) == whole
    kinds = [entry.resource.get_resource_type() for entry in read.entry]
    assert {kind: kinds.count(kind) for kind in ("DiagnosticReport", "ImagingStudy", "Device")} == {
        "DiagnosticReport": 1,
        "ImagingStudy": 1,
        "Device": 1,
    }


@pytest.mark.parametrize(
    "report",
    [
        {"patient_id": "", "accession": "", "study_date": "", "content_date": "", "sources": ()},
        {"timezone": "+0100", "content_time": "235959.123", "issuer": "HOSPITAL"},
        {"software": "", "manufacturer": "", "model": "", "study_time": "", "content_time": ""},
        {"preliminary": False, "verified": True, "standing": False},
        {"measurements": Measurements("SCANNER", "", ())},
        {
            "measurements": replace(
                PI_ALONE, levels=LevelIdentification(1.25, "six lumbar vertebrae", ("L5",))
            )
        },
    ],
    ids=str,
)
def test_whatever_a_report_lacks_the_bundle_is_valid(report: dict[str, Any]) -> None:
    Bundle.model_validate(bundle(small(**report)))


def test_every_number_class_and_reason_is_an_observation(whole: dict[str, Any], panel: Report) -> None:
    found = resources(whole, "Observation")
    expected = every_row()
    numbers = [o["valueQuantity"] for o in found if "valueQuantity" in o]
    assert [(n["value"], n["code"]) for n in numbers] == [(p.value, p.unit) for p in expected.parameters]
    names = [o["code"]["text"] for o in found if "valueQuantity" in o]
    assert names == [DEFINITIONS[p.key].name for p in expected.parameters]
    classes = [o for o in found if "valueCodeableConcept" in o and "bodySite" in o]
    assert [o["valueCodeableConcept"]["text"].split(": ")[0] for o in classes] == [
        c.value for c in expected.classes
    ]
    absent = [o for o in found if "dataAbsentReason" in o]
    assert [o["dataAbsentReason"]["text"] for o in absent] == [n.reason for n in expected.not_measured]
    assert not any(key.startswith("value") for o in absent for key in o)
    remarks = [o["valueString"] for o in found if "valueString" in o]
    assert remarks == [expected.vertical, *expected.quality]


def test_an_observation_says_where_how_and_how_well() -> None:
    curve = {"upper": "T5", "apex": "T8", "lower": "T13"}
    cobb = measured("COBB", 40.5, side="right", uncertainty=4.0, imprecise=True, **curve)
    found = observation(small(measurements=Measurements("PATIENT", "z axis", (cobb,))))
    assert found["code"]["coding"][0] == {
        "system": "http://snomed.info/sct",
        "code": "285285000",
        "display": "Cobb angle",
    }
    assert found["valueQuantity"] == {
        "value": 40.5, "unit": "deg", "system": "http://unitsofmeasure.org", "code": "deg"
    }  # fmt: skip
    assert (found["status"], found["method"]["text"]) == ("preliminary", cobb.method)
    beside = components(found)
    assert beside["END_UPPER"]["valueCodeableConcept"]["coding"][0]["code"] == "56401006"
    assert beside["APEX_VERTEBRA"]["valueCodeableConcept"]["text"] == "T8"
    assert beside["END_LOWER"]["valueCodeableConcept"]["coding"][0]["system"] == OUR_SCHEME
    assert beside["272741003"]["valueCodeableConcept"]["coding"][0]["display"] == "Right"
    assert beside["371884006"]["valueQuantity"]["value"] == 4.0
    assert beside["QC_PRECISION"]["valueCodeableConcept"]["coding"][0]["code"] == "PRECISION_LOW"
    disc = measured("DH_MID", 9.25, level="L4/L5")
    at = observation(small(measurements=Measurements("PATIENT", "z axis", (disc,))))
    assert (at["bodySite"]["coding"][0]["code"], at["bodySite"]["text"]) == ("84020006", "L4/L5")
    assert at["code"]["coding"][0]["system"] == OUR_SCHEME


def test_a_normal_range_is_that_of_people_who_stood_and_not_of_estimates() -> None:
    key = next(row.key for row in DEFINITIONS.values() if row.norm and row.frame.startswith("patient frame"))
    norm = DEFINITIONS[key].norm
    assert norm is not None
    found = Measurements("PATIENT", "z axis", (measured(key, 1.0),))
    (limits,) = observation(small(measurements=found))["referenceRange"]
    assert (limits["low"]["value"], limits["high"]["value"]) == (norm.low, norm.high)
    assert norm.source in limits["text"]
    assert "referenceRange" not in observation(small(measurements=found, standing=False))
    assert "referenceRange" not in observation(small(measurements=replace(found, frame="SACRUM")))


def test_references_lead_to_resources_of_the_bundle(whole: dict[str, Any]) -> None:
    inside = {entry["fullUrl"]: entry["resource"]["resourceType"] for entry in whole["entry"]}
    assert len(inside) == len(whole["entry"]), "two resources share an id"

    def references(value: Any) -> list[dict[str, Any]]:
        if isinstance(value, list):
            return [found for item in value for found in references(item)]
        if not isinstance(value, dict):
            return []
        return [value] * ("reference" in value) + references(list(value.values()))

    found = references(whole["entry"])
    assert all(inside[reference["reference"]] == reference["type"] for reference in found)
    (report,) = resources(whole, "DiagnosticReport")
    assert len(report["result"]) == len(resources(whole, "Observation"))


def test_the_study_the_order_and_the_person_are_named_as_dicom_names_them(whole: dict[str, Any]) -> None:
    (study,) = resources(whole, "ImagingStudy")
    assert study["identifier"] == [{"system": "urn:dicom:uid", "value": "urn:oid:2.25.101"}]
    assert (study["series"][0]["uid"], study["series"][0]["modality"]["code"]) == ("2.25.102", "CT")
    (report,) = resources(whole, "DiagnosticReport")
    assert report["subject"]["identifier"]["value"] == "T1"
    assert report["basedOn"][0]["identifier"]["value"] == "A1"
    assert report["effectiveDateTime"] == "2026-01-02"
    assert "Test^Series" not in json.dumps(whole)


def test_the_same_report_gives_the_same_bytes_and_another_other_ids() -> None:
    one, other = (report_of(stored(ours(sop=sop))) for sop in ("2.25.7", "2.25.8"))
    assert fhir_text([one]) == fhir_text([report_of(stored(ours(sop="2.25.7")))])
    ids = [{entry["fullUrl"] for entry in bundle(found)["entry"]} for found in (one, other)]
    assert len(ids[0] & ids[1]) == 1, "the device alone is the same"
    assert len(fhir_text([one, other]).splitlines()) == 2
