"""What is sent, received and deleted stands in the audit trail: of whose study, how much, and to whom."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pydicom
import pytest

from spine_node.audit.messages import Source
from spine_node.audit.trail import AuditTrail, files_of
from spine_node.errors import PeerUnavailable
from spine_node.network.access import Access, Caller
from spine_node.network.audited import audited_sending, facts_of, facts_of_series
from spine_node.network.peer import Peer
from spine_node.network.scu import Alternative, Offer, send, send_offers
from tests.audit.schema import problems
from tests.conftest import make_ct, wait_until
from tests.network.conftest import Receiver

US = Source("SPINENODE", "node1", 42)
CT = "1.2.840.10008.5.1.4.1.1.2"


def told(folder: Path) -> list[ET.Element]:
    lines = [line for path in files_of(folder) for line in path.read_text().splitlines()]
    assert [found for line in lines for found in problems(line)] == []
    return [ET.fromstring(line) for line in lines]


def event(message: ET.Element) -> str:
    return message.find(".//EventID").attrib["csd-code"]  # type: ignore[union-attr]


def outcome(message: ET.Element) -> str:
    return message.find("EventIdentification").attrib["EventOutcomeIndicator"]  # type: ignore[union-attr]


def instances(message: ET.Element) -> int:
    return sum(int(found.attrib["NumberOfInstances"]) for found in message.iter("SOPClass"))


def deliver(peer: Peer, paths: list[Path], folder: Path) -> list[ET.Element]:
    audit = AuditTrail(folder, US)
    offers = [Offer((Alternative(path.name, (path,)),)) for path in paths]
    try:
        list(audited_sending(audit, peer, offers, send_offers(peer, offers, "SPINENODE")))
    finally:
        audit.close()
    return told(folder)


def test_sending_is_told_before_and_after(receiver: Receiver, tmp_path: Path) -> None:
    paths = make_ct(tmp_path / "sent", slices=3)
    begun, done = deliver(receiver.peer, paths, tmp_path / "audit")
    assert (event(begun), event(done)) == ("110102", "110104")
    assert (instances(begun), instances(done), outcome(done)) == (3, 3, "0")
    study = pydicom.dcmread(paths[0]).StudyInstanceUID
    for message in (begun, done):
        objects = [o.attrib["ParticipantObjectID"] for o in message.iter("ParticipantObjectIdentification")]
        assert objects == [study, "TEST-1"]
        sender, to = message.findall("ActiveParticipant")
        assert (sender.attrib["UserID"], to.attrib["UserID"]) == ("SPINENODE", "NODE")


def test_what_did_not_arrive_is_told_with_the_reason(
    receiving: Callable[..., Receiver], tmp_path: Path
) -> None:
    strict = receiving(access=Access("NODE", (Caller("SPINENODE", sop_classes=("1.2.3",)),)))
    begun, done = deliver(strict.peer, make_ct(tmp_path / "sent", slices=2), tmp_path / "audit")
    assert (instances(begun), instances(done), outcome(done)) == (2, 0, "4")
    description = done.find(".//EventOutcomeDescription")
    assert description is not None
    assert "accepts" in (description.text or "")
    with pytest.raises(PeerUnavailable):
        deliver(Peer("away", "AWAY", "127.0.0.1", 1), make_ct(tmp_path / "more", slices=1), tmp_path / "away")
    assert [(event(m), outcome(m)) for m in told(tmp_path / "away")] == [("110102", "0"), ("110104", "4")]


def test_what_was_received_is_told_by_study_and_patient_when_the_association_ends(
    receiving: Callable[..., Receiver], tmp_path: Path
) -> None:
    """Also that the same came again, which changes nothing."""
    audit = AuditTrail(tmp_path / "audit", US)
    receiver = receiving(audit=audit)
    paths = [*make_ct(tmp_path / "one", slices=2), *make_ct(tmp_path / "two", slices=3)]
    for _ in range(2):
        send(receiver.peer, paths, "CT1")
    wait_until(lambda: len(told(tmp_path / "audit")) == 4)
    found = told(tmp_path / "audit")
    actions = [m.find("EventIdentification").attrib["EventActionCode"] for m in found]  # type: ignore[union-attr]
    assert actions == ["C", "C", "R", "R"]
    assert [instances(m) for m in found] == [2, 3, 2, 3]
    assert {m.findall("ActiveParticipant")[0].attrib["NetworkAccessPointID"] for m in found} == {"127.0.0.1"}


def test_what_was_past_a_limit_is_told_as_a_security_alert(
    receiving: Callable[..., Receiver], tmp_path: Path
) -> None:
    """Instances too long, once an association; what is not the protocol, at once."""
    receiver = receiving(audit=AuditTrail(tmp_path / "audit", US), max_instance_bytes=5000)
    send(receiver.peer, make_ct(tmp_path / "long", slices=2, rows=128), "CT1")
    wait_until(lambda: len(told(tmp_path / "audit")) == 1)
    with socket.create_connection((receiver.peer.host, receiver.peer.port), 120) as connection:
        connection.sendall(b"\1\0\xff\xff\xff\xff")
        assert connection.recv(100)[:1] == b"\7", "an A-ABORT"
    wait_until(lambda: len(told(tmp_path / "audit")) == 2)
    long, broken = told(tmp_path / "audit")
    assert (event(long), event(broken)) == ("110113", "110113")
    words = [m.find(".//EventOutcomeDescription") for m in (long, broken)]
    assert [w.text for w in words if w is not None] == [
        "2 instances were longer than 5000 bytes",
        "a packet of type 01 announces 4294967295 bytes",
    ]
    assert "CT1" in ET.tostring(long, encoding="unicode")


def test_the_facts_of_files_and_folders_pass_over_what_cannot_be_read(tmp_path: Path) -> None:
    paths = make_ct(tmp_path / "series", slices=3)
    (tmp_path / "series" / "0000.dcm").write_bytes(b"no DICOM")
    (facts,) = facts_of([*paths, tmp_path / "absent.dcm"])
    assert (facts.patient_id, facts.instances) == ("TEST-1", {CT: 3})
    of_series = facts_of_series(tmp_path / "series")
    assert of_series is not None
    assert of_series.study_uid == facts.study_uid
    assert facts_of_series(tmp_path) is None
