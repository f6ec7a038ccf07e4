"""Every audit message is valid by the standard's schema, whatever stands in it."""

from __future__ import annotations

import base64
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spine_node.audit.messages import (
    Party,
    Source,
    StudyFacts,
    application_activity,
    begin_transferring,
    instances_transferred,
    messages_lost,
    query,
    security_alert,
    study_deleted,
)
from tests.audit.schema import EVENTS, problems

US = Source("SPINENODE", "node1", 42, "North")
CT1, PACS = Party("CT1", "192.0.2.20"), Party("PACS", "pacs.hospital.example")
STUDY = StudyFacts("1.2.840.1", "PAT-7", {"1.2.840.10008.5.1.4.1.1.2": 400}, "A1")
FIND = "1.2.840.10008.5.1.4.1.2.2.1"

MESSAGES = {
    "start": application_activity(US, started=True),
    "stop": application_activity(US, started=False),
    "alert": security_alert(US, CT1, "calling AE title 'CT1' is not among the callers"),
    "alert without a title": security_alert(US, Party("", "::1"), "plain DICOM arrived on the TLS port"),
    "lost": messages_lost(US, 3),
    "begin": begin_transferring(US, Party("SPINENODE"), PACS, STUDY),
    "sent": instances_transferred(US, Party("SPINENODE"), PACS, STUDY, "R"),
    "not sent": instances_transferred(US, Party("SPINENODE"), PACS, STUDY, "R", "0xA700 out of resources"),
    "received": instances_transferred(US, CT1, Party("SPINENODE"), STUDY, "C"),
    "moved": instances_transferred(US, Party("SPINENODE"), PACS, STUDY, "R", requestor=CT1),
    "query": query(US, CT1, FIND, b"\x08\x00\x52\x00", "1.2.840.10008.1.2"),
    "deleted": study_deleted(US, STUDY),
    "forgotten": study_deleted(US, StudyFacts("1.2.3", "P"), "operator"),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_is_valid_and_stands_on_one_line(name: str) -> None:
    assert problems(MESSAGES[name]) == []
    assert "\n" not in MESSAGES[name]


def test_every_event_of_the_check_is_made_and_the_check_sees_what_is_wrong() -> None:
    made = {ET.fromstring(m).find(".//EventID").attrib["csd-code"] for m in MESSAGES.values()}  # type: ignore[union-attr]
    assert made == EVENTS.keys()
    valid = MESSAGES["received"]
    for before, after in (
        ("EventDateTime=", "When="),
        ('EventActionCode="C"', 'EventActionCode="D"'),
        ('UserIsRequestor="true"', 'UserIsRequestor="TRUE"'),
        ("110153", "110151"),
        ('"110180"', '"110182"'),
        ("ParticipantObjectName", "ParticipantName"),
        ('ParticipantObjectID="1.2.840.1"', 'ParticipantObjectID="study"'),
        ("originalText=", "text="),
    ):
        assert before in valid
        assert problems(valid.replace(before, after)), f"{after} goes unseen"


def test_what_an_auditor_looks_for_is_there() -> None:
    root = ET.fromstring(MESSAGES["received"])
    sender, receiver = root.findall("ActiveParticipant")
    assert (sender.get("UserID"), sender.get("NetworkAccessPointID")) == ("CT1", "192.0.2.20")
    assert sender.get("NetworkAccessPointTypeCode") == "2"
    assert (sender.get("UserIsRequestor"), receiver.get("UserIsRequestor")) == ("true", "false")
    study, patient = root.findall("ParticipantObjectIdentification")
    assert (study.get("ParticipantObjectID"), patient.get("ParticipantObjectID")) == ("1.2.840.1", "PAT-7")
    sop_class = study.find(".//SOPClass")
    assert sop_class is not None
    assert sop_class.get("NumberOfInstances") == "400"
    source = root.find("AuditSourceIdentification")
    assert source is not None
    assert (source.get("AuditSourceID"), source.get("AuditEnterpriseSiteID")) == ("SPINENODE@node1", "North")


def test_a_third_party_that_asked_is_the_requestor() -> None:
    requesting = [
        p.get("UserID")
        for p in ET.fromstring(MESSAGES["moved"]).findall("ActiveParticipant")
        if p.get("UserIsRequestor") == "true"
    ]
    assert requesting == ["CT1"]


def test_a_query_is_kept_as_it_came() -> None:
    asked = ET.fromstring(MESSAGES["query"]).find(".//ParticipantObjectQuery")
    assert asked is not None
    assert base64.b64decode(asked.text or "") == b"\x08\x00\x52\x00"


@given(st.text(), st.text(), st.text(min_size=1))
def test_no_text_from_outside_breaks_a_message_or_becomes_part_of_it(
    title: str, patient_id: str, reason: str
) -> None:
    """AE titles and patient ids come from strangers: no control character, no markup, no second line."""
    facts = StudyFacts("1.2", patient_id)
    parts = (
        security_alert(US, Party(title, "192.0.2.1"), reason),
        instances_transferred(US, Party(title or "X"), Party("N"), facts, "C", reason),
    )
    for message in parts:
        assert problems(message) == []
        assert "\n" not in message
        assert "\r" not in message
