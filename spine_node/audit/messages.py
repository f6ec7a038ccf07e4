"""Audit messages in the DICOM schema (PS3.15 A.5.1), one for each event of A.5.3 that a node can see. Pure.

Built as XML text on one line. Patient names are not recorded: the id that the standard wants is enough to
find whose data it was, for those who may.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal
from xml.etree import ElementTree as ET

NOT_RECORDED = "not recorded"
"""In the place of names, as the schema wants a name or a query of every object; and of an empty id."""

SUCCESS, MINOR_FAILURE, SERIOUS_FAILURE = "0", "4", "8"
"""EventOutcomeIndicator."""

Action = Literal["C", "R", "U", "D", "E"]


@dataclass(frozen=True, slots=True)
class Code:
    """A coded value, of PS3.16 D unless another system is named."""

    value: str
    meaning: str
    system: str = "DCM"


_SOURCE_ROLE, _DESTINATION_ROLE = Code("110153", "Source Role ID"), Code("110152", "Destination Role ID")
_APPLICATION = Code("110150", "Application")
_STUDY_UID, _SOP_CLASS_UID = Code("110180", "Study Instance UID"), Code("110181", "SOP Class UID")
_NODE_ID, _PATIENT_NUMBER = Code("110182", "Node ID"), Code("2", "Patient Number", "RFC-3881")
_START, _STOP = Code("110120", "Application Start"), Code("110121", "Application Stop")
NODE_AUTHENTICATION = Code("110126", "Node Authentication")
RESTRICTED_FUNCTION = Code("110132", "Use of Restricted Function")
_AUDIT_RECORDING = Code("110133", "Audit Recording Stopped")


@dataclass(frozen=True, slots=True)
class Source:
    """Who reports: this node.

    Attributes
    ----------
    ae_title, host : str
    process : int
    site : str
        The hospital's name of the place; "" leaves it out.
    """

    ae_title: str
    host: str
    process: int
    site: str = ""


@dataclass(frozen=True, slots=True)
class Party:
    """An application entity, ours or a peer, and from where it was seen; "" where that is not known."""

    ae_title: str
    address: str = ""


@dataclass(frozen=True, slots=True)
class StudyFacts:
    """What of one study an event was about: how many instances of each SOP class."""

    study_uid: str
    patient_id: str
    instances: Mapping[str, int] = field(default_factory=dict)
    accession_number: str = ""


def application_activity(source: Source, *, started: bool) -> str:
    """The node has started, or stops (A.5.3.1)."""
    message = _message("110100", "Application Activity", "E", SUCCESS, [_START if started else _STOP])
    _participant(message, _ourselves(source), requestor=False, role=_APPLICATION, aes=[source.ae_title])
    return _finished(message, source)


def security_alert(source: Source, peer: Party, description: str, kind: Code = NODE_AUTHENTICATION) -> str:
    """Somebody was not let in, or turned out (A.5.3.11); mitigation was effective, so a minor failure."""
    message = _message("110113", "Security Alert", "E", MINOR_FAILURE, [kind], description)
    _participant(message, _ourselves(source), requestor=False, aes=[source.ae_title])
    _participant(message, peer.ae_title or peer.address, requestor=False, address=peer.address)
    _finish_source(message, source)
    node = _object(message, "2", None, _NODE_ID, peer.address or peer.ae_title, NOT_RECORDED)
    _detail(node, "Alert Description", description)
    return _text(message)


def messages_lost(source: Source, number: int) -> str:
    """Audit messages could not be kept (A.5.3.11)."""
    words = f"{number} audit messages were lost: they came faster than they could be written"
    message = _message("110113", "Security Alert", "E", SERIOUS_FAILURE, [_AUDIT_RECORDING], words)
    _participant(message, _ourselves(source), requestor=False, aes=[source.ae_title])
    _finish_source(message, source)
    node = _object(message, "2", None, _NODE_ID, source.host, NOT_RECORDED)
    _detail(node, "Alert Description", words)
    return _text(message)


def begin_transferring(source: Source, sender: Party, receiver: Party, study: StudyFacts) -> str:
    """Instances are about to be sent (A.5.3.3)."""
    message = _message("110102", "Begin Transferring DICOM Instances", "E", SUCCESS)
    return _transfer(message, source, sender, receiver, study, requestor=sender)


def instances_transferred(
    source: Source,
    sender: Party,
    receiver: Party,
    study: StudyFacts,
    action: Literal["C", "R", "U"],
    failure: str = "",
    requestor: Party | None = None,
) -> str:
    """Instances were sent or received (A.5.3.7).

    Parameters
    ----------
    action : str
        "C" if the receiver did not have them, "U" if it changes what it has, "R" if it has them already,
        or where the sender, who cannot know, reports.
    failure : str
        What went wrong, if something did.
    requestor : Party, optional
        Who wanted it; the sender, unless a third party asked (C-MOVE).
    """
    outcome = MINOR_FAILURE if failure else SUCCESS
    message = _message("110104", "DICOM Instances Transferred", action, outcome, description=failure)
    return _transfer(message, source, sender, receiver, study, requestor or sender)


def query(
    source: Source,
    peer: Party,
    sop_class_uid: str,
    identifier: bytes,
    transfer_syntax: str,
    failure: str = "",
) -> str:
    """A peer has asked what we hold (A.5.3.10).

    Parameters
    ----------
    identifier : bytes
        The data set of the C-FIND request, as it came.
    """
    outcome = MINOR_FAILURE if failure else SUCCESS
    message = _message("110112", "Query", "E", outcome, description=failure)
    _participant(message, peer.ae_title, requestor=True, role=_SOURCE_ROLE, address=peer.address)
    _participant(message, _ourselves(source), requestor=False, role=_DESTINATION_ROLE, aes=[source.ae_title])
    _finish_source(message, source)
    asked = _object(message, "2", "3", _SOP_CLASS_UID, sop_class_uid, None, identifier)
    _detail(asked, "TransferSyntax", transfer_syntax)
    return _text(message)


def study_deleted(source: Source, study: StudyFacts, who: str = "", failure: str = "") -> str:
    """A study, or what we had of it, was deleted (A.5.3.8).

    Parameters
    ----------
    who : str
        The person or rule that wanted it; "" for the node's own retention.
    """
    outcome = MINOR_FAILURE if failure else SUCCESS
    message = _message("110105", "DICOM Study Deleted", "D", outcome, description=failure)
    _participant(message, _ourselves(source), requestor=not who, aes=[source.ae_title])
    if who:
        _participant(message, who, requestor=True)
    _finish_source(message, source)
    _study(message, study)
    return _text(message)


def _transfer(
    message: ET.Element,
    source: Source,
    sender: Party,
    receiver: Party,
    study: StudyFacts,
    requestor: Party,
) -> str:
    for party, role in ((sender, _SOURCE_ROLE), (receiver, _DESTINATION_ROLE)):
        _participant(message, party.ae_title, requestor=party == requestor, role=role, address=party.address)
    if requestor not in (sender, receiver):
        _participant(message, requestor.ae_title, requestor=True, address=requestor.address)
    _finish_source(message, source)
    _study(message, study)
    return _text(message)


def _message(
    event: str,
    meaning: str,
    action: Action,
    outcome: str,
    types: Iterable[Code] = (),
    description: str = "",
) -> ET.Element:
    message = ET.Element("AuditMessage")
    identification = ET.SubElement(
        message,
        "EventIdentification",
        EventActionCode=action,
        EventDateTime=datetime.now(UTC).isoformat(timespec="milliseconds"),
        EventOutcomeIndicator=outcome,
    )
    _coded(identification, "EventID", Code(event, meaning))
    for code in types:
        _coded(identification, "EventTypeCode", code)
    if description:
        ET.SubElement(identification, "EventOutcomeDescription").text = _clean(description)
    return message


def _participant(
    message: ET.Element,
    user_id: str,
    *,
    requestor: bool,
    role: Code | None = None,
    address: str = "",
    aes: Iterable[str] = (),
) -> None:
    participant = ET.SubElement(
        message,
        "ActiveParticipant",
        UserID=_clean(user_id),
        UserIsRequestor="true" if requestor else "false",
    )
    if aes:
        participant.set("AlternativeUserID", f"AETITLES={';'.join(map(_clean, aes))}")
    if address:
        participant.set("NetworkAccessPointID", _clean(address))
        participant.set("NetworkAccessPointTypeCode", "2" if address[0].isdigit() or ":" in address else "1")
    if role is not None:
        _coded(participant, "RoleIDCode", role)


def _finish_source(message: ET.Element, source: Source) -> None:
    identification = ET.SubElement(
        message, "AuditSourceIdentification", AuditSourceID=f"{source.ae_title}@{source.host}"
    )
    if source.site:
        identification.set("AuditEnterpriseSiteID", _clean(source.site))
    ET.SubElement(identification, "AuditSourceTypeCode", {"csd-code": "4"})  # application server


def _finished(message: ET.Element, source: Source) -> str:
    _finish_source(message, source)
    return _text(message)


def _object(
    message: ET.Element,
    kind: str,
    role: str | None,
    id_type: Code,
    identifier: str,
    name: str | None,
    asked: bytes = b"",
) -> ET.Element:
    found = ET.SubElement(
        message,
        "ParticipantObjectIdentification",
        ParticipantObjectID=_clean(identifier) or NOT_RECORDED,
        ParticipantObjectTypeCode=kind,
    )
    if role is not None:
        found.set("ParticipantObjectTypeCodeRole", role)
    _coded(found, "ParticipantObjectIDTypeCode", id_type)
    if name is not None:
        ET.SubElement(found, "ParticipantObjectName").text = name
    else:
        ET.SubElement(found, "ParticipantObjectQuery").text = base64.b64encode(asked).decode()
    return found


def _detail(of: ET.Element, kind: str, value: str) -> None:
    encoded = base64.b64encode(value.encode()).decode()
    ET.SubElement(of, "ParticipantObjectDetail", type=kind, value=encoded)


def _study(message: ET.Element, study: StudyFacts) -> None:
    found = _object(message, "2", "3", _STUDY_UID, study.study_uid, NOT_RECORDED)
    if study.instances or study.accession_number:
        description = ET.SubElement(found, "ParticipantObjectDescription")
        if study.accession_number:
            ET.SubElement(description, "Accession", Number=_clean(study.accession_number))
        for uid, number in sorted(study.instances.items()):
            ET.SubElement(description, "SOPClass", UID=_clean(uid), NumberOfInstances=str(number))
    _object(message, "1", "1", _PATIENT_NUMBER, study.patient_id, NOT_RECORDED)


def _coded(under: ET.Element, name: str, code: Code) -> None:
    ET.SubElement(
        under,
        name,
        {
            "csd-code": code.value,
            "codeSystemName": code.system,
            "originalText": code.meaning,
            "displayName": code.meaning,
        },
    )


def _ourselves(source: Source) -> str:
    return f"{source.process}@{source.host}"


def _clean(text: str) -> str:
    """Text from outside as XML 1.0 takes it: control characters are no characters there."""
    return "".join(
        c if c >= " " and not "\ud800" <= c <= "\udfff" and c not in "\ufffe\uffff" else "?" for c in text
    )


def _text(message: ET.Element) -> str:
    return ET.tostring(message, encoding="unicode")
