"""The structure of PS3.15 A.5.1 and the mandatory fields of A.5.3, as a check of one message.

Written from the standard's tables: what may stand where, how often, with which values. Anything else is
an error, as it is to a validating repository.
"""

from __future__ import annotations

import base64
import re
from datetime import datetime
from xml.etree import ElementTree as ET

CODED = ({"csd-code", "codeSystemName", "originalText"}, {"displayName"})
ROLE_CODES = {str(n) for n in range(1, 27)}
UID = re.compile(r"[0-2](\.(0|[1-9][0-9]*))+")

# element: (mandatory attributes, optional attributes, children in order as (name, least, most))
SHAPE: dict[str, tuple[set[str], set[str], list[tuple[str, int, int]]]] = {
    "AuditMessage": (
        set(),
        set(),
        [
            ("EventIdentification", 1, 1),
            ("ActiveParticipant", 1, 99),
            ("AuditSourceIdentification", 1, 1),
            ("ParticipantObjectIdentification", 0, 99),
        ],
    ),
    "EventIdentification": (
        {"EventDateTime", "EventOutcomeIndicator"},
        {"EventActionCode"},
        [("EventID", 1, 1), ("EventTypeCode", 0, 99), ("EventOutcomeDescription", 0, 1)],
    ),
    "ActiveParticipant": (
        {"UserID", "UserIsRequestor"},
        {"AlternativeUserID", "UserName", "NetworkAccessPointID", "NetworkAccessPointTypeCode"},
        [("RoleIDCode", 0, 99), ("MediaIdentifier", 0, 1)],
    ),
    "AuditSourceIdentification": (
        {"AuditSourceID"},
        {"AuditEnterpriseSiteID"},
        [("AuditSourceTypeCode", 0, 99)],
    ),
    "AuditSourceTypeCode": ({"csd-code"}, {"codeSystemName", "originalText", "displayName"}, []),
    "ParticipantObjectIdentification": (
        {"ParticipantObjectID"},
        {
            "ParticipantObjectTypeCode",
            "ParticipantObjectTypeCodeRole",
            "ParticipantObjectDataLifeCycle",
            "ParticipantObjectSensitivity",
        },
        [
            ("ParticipantObjectIDTypeCode", 1, 1),
            ("ParticipantObjectName", 0, 1),
            ("ParticipantObjectQuery", 0, 1),
            ("ParticipantObjectDetail", 0, 99),
            ("ParticipantObjectDescription", 0, 99),
        ],
    ),
    "ParticipantObjectDetail": ({"type", "value"}, set(), []),
    "ParticipantObjectDescription": (
        set(),
        set(),
        [
            ("MPPS", 0, 99),
            ("Accession", 0, 99),
            ("SOPClass", 0, 99),
            ("ParticipantObjectContainsStudy", 0, 1),
            ("Encrypted", 0, 1),
            ("Anonymized", 0, 1),
        ],
    ),
    "Accession": ({"Number"}, set(), []),
    "SOPClass": ({"NumberOfInstances"}, {"UID"}, [("Instance", 0, 9999)]),
    "EventOutcomeDescription": (set(), set(), []),
    "ParticipantObjectName": (set(), set(), []),
    "ParticipantObjectQuery": (set(), set(), []),
    **{
        name: (*CODED, [])
        for name in ("EventID", "EventTypeCode", "RoleIDCode", "ParticipantObjectIDTypeCode")
    },
}

VALUES = {
    "EventActionCode": set("CRUDE"),
    "EventOutcomeIndicator": {"0", "4", "8", "12"},
    "UserIsRequestor": {"true", "false"},
    "NetworkAccessPointTypeCode": set("12345"),
    "ParticipantObjectTypeCode": set("1234"),
    "ParticipantObjectTypeCodeRole": ROLE_CODES,
}

STUDY, PATIENT = "110180", "2"

# event: (action, outcome types, roles of participants with how many, id types of objects with how many)
EVENTS: dict[str, tuple[str, set[str], dict[str, int], dict[str, int]]] = {
    "110100": ("E", {"110120", "110121"}, {"110150": 1}, {}),
    "110102": ("E", set(), {"110153": 1, "110152": 1}, {STUDY: 1, PATIENT: 1}),
    "110104": ("CRU", set(), {"110153": 1, "110152": 1}, {STUDY: 1, PATIENT: 1}),
    "110105": ("D", set(), {}, {STUDY: 1, PATIENT: 1}),
    "110112": ("E", set(), {"110153": 1, "110152": 1}, {"110181": 1}),
    "110113": ("E", {"110126", "110132", "110133"}, {}, {"110182": 1}),
}


def problems(text: str) -> list[str]:
    """What a message has that it may not, or lacks."""
    root = ET.fromstring(text)
    found = _of_shape(root)
    if root.tag != "AuditMessage":
        return [f"the root is {root.tag}"]
    return found or _of_event(root)


def _of_shape(element: ET.Element) -> list[str]:
    if element.tag not in SHAPE:
        return [f"{element.tag} is not in the schema"]
    mandatory, optional, children = SHAPE[element.tag]
    has = set(element.attrib)
    found = [f"{element.tag} lacks {name}" for name in sorted(mandatory - has)]
    found += [f"{element.tag} has {name}" for name in sorted(has - mandatory - optional)]
    for name, value in element.attrib.items():
        if name in VALUES and value not in VALUES[name]:
            found.append(f"{element.tag} {name}={value!r}")
        if name in mandatory and not value and name != "UserID":
            found.append(f"{element.tag} {name} is empty")
    order = [name for name, _, _ in children]
    tags = [child.tag for child in element]
    if any(tag not in order for tag in tags):
        return [*found, f"{element.tag} holds {sorted(set(tags) - set(order))}"]
    if tags != sorted(tags, key=order.index):
        found.append(f"{element.tag}: children out of order: {tags}")
    for name, least, most in children:
        if not least <= tags.count(name) <= most:
            found.append(f"{element.tag} has {tags.count(name)} of {name}")
    if element.tag == "ParticipantObjectIdentification":
        names = tags.count("ParticipantObjectName") + tags.count("ParticipantObjectQuery")
        if names != 1:
            found.append("an object has either a name or a query")
        for child in element.iter("ParticipantObjectQuery"):
            base64.b64decode(child.text or "", validate=True)
    if element.tag == "ParticipantObjectDetail":
        base64.b64decode(element.attrib["value"], validate=True)
    if "EventDateTime" in has and datetime.fromisoformat(element.attrib["EventDateTime"]).tzinfo is None:
        found.append("EventDateTime names no time zone")
    return found + [problem for child in element for problem in _of_shape(child)]


def _of_event(root: ET.Element) -> list[str]:
    identification = root.find("EventIdentification")
    assert identification is not None
    event = identification.find("EventID").attrib["csd-code"]  # type: ignore[union-attr]
    actions, types, roles, objects = EVENTS[event]
    found = []
    if identification.attrib.get("EventActionCode", "?") not in actions:
        found.append(f"{event}: action {identification.attrib.get('EventActionCode')}")
    said = {code.attrib["csd-code"] for code in identification.findall("EventTypeCode")}
    if types and not (said and said <= types):
        found.append(f"{event}: types {said}")
    played = [code.attrib["csd-code"] for code in root.iter("RoleIDCode")]
    found += [f"{event}: role {r} {played.count(r)} times" for r, n in roles.items() if played.count(r) != n]
    kinds = [code.attrib["csd-code"] for code in root.iter("ParticipantObjectIDTypeCode")]
    found += [
        f"{event}: object {k} {kinds.count(k)} times" for k, n in objects.items() if kinds.count(k) != n
    ]
    for thing in root.findall("ParticipantObjectIdentification"):
        kind = thing.find("ParticipantObjectIDTypeCode").attrib["csd-code"]  # type: ignore[union-attr]
        expected = {STUDY: ("2", "3"), PATIENT: ("1", "1"), "110181": ("2", "3"), "110182": ("2", None)}[kind]
        has = (thing.get("ParticipantObjectTypeCode"), thing.get("ParticipantObjectTypeCodeRole"))
        if has != expected:
            found.append(f"{event}: object {kind} is {has}, not {expected}")
        if kind == "110182" and "Alert Description" not in [d.get("type") for d in thing.iter()]:
            found.append("a security alert describes itself")
        if kind == "110181" and "TransferSyntax" not in [d.get("type") for d in thing.iter()]:
            found.append("a query names its transfer syntax")
        if kind == STUDY and not UID.fullmatch(thing.attrib["ParticipantObjectID"]):
            found.append(f"study {thing.attrib['ParticipantObjectID']!r} is no UID")
    return found
