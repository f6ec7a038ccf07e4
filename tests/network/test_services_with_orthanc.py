"""The node's services and a real Orthanc: it queries and moves results, and asks for storage commitment."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest

from spine_node.commitment_reports import CommitmentReports
from spine_node.custody import Custody
from spine_node.inbox import Inbox
from spine_node.ledger import Database, database_url
from spine_node.ledger.commitment_requests import CommitmentRequests
from spine_node.ledger.holdings import Holdings
from spine_node.network import commitment_scp
from spine_node.network.commitment_scp import storage_commitment
from spine_node.network.peer import Peer
from spine_node.network.scu import send
from tests.conftest import Orthanc, make_ct, wait_until
from tests.network.conftest import Receiver
from tests.network.test_query_scp import Made

pytestmark = pytest.mark.orthanc


def enter(orthanc: Orthanc, node: Peer) -> Peer:
    """Let Orthanc know the node; gives what the node is to know of Orthanc."""
    entry = {"AET": node.ae_title, "Host": node.host, "Port": node.port, "AllowStorageCommitment": True}
    orthanc.rest("/modalities/node", entry, "PUT")
    return Peer("pacs", orthanc.ae_title, "127.0.0.1", orthanc.port, 60.0, 120.0)


def test_orthanc_finds_results_and_moves_them_to_itself(
    orthanc: Orthanc, serving: Callable[..., Made]
) -> None:
    """At study, series and instance level, as a person does in its user interface."""
    callers: dict[str, Peer] = {}
    made, node = serving(callers=callers)
    callers[orthanc.ae_title] = enter(orthanc, node)
    made.keep()
    made.keep(StudyInstanceUID="2.25.9", PatientID="T9", AccessionNumber="B9")

    def move(level: str, **query: str) -> list[Any]:
        found = orthanc.rest("/modalities/node/query", {"Level": level, "Query": query})
        answers = orthanc.rest(f"{found['Path']}/answers")
        orthanc.rest(f"{found['Path']}/retrieve", {"TargetAet": orthanc.ae_title, "Synchronous": True})
        return answers

    def held() -> set[str]:
        instances = orthanc.rest("/instances?expand")
        return {instance["MainDicomTags"]["SOPInstanceUID"] for instance in instances}

    assert len(move("Series", AccessionNumber="A1", StudyInstanceUID="2.25.1", Modality="SR")) == 1
    assert held() == {"2.25.1.1.2.1"}
    one = {"StudyInstanceUID": "2.25.1", "SeriesInstanceUID": "2.25.1.1.5", "SOPInstanceUID": "2.25.1.1.5.2"}
    assert len(move("Instance", **one)) == 1
    assert held() == {"2.25.1.1.2.1", "2.25.1.1.5.2"}
    assert len(move("Study", PatientID="T9")) == 1
    assert len(held() - {"2.25.1.1.2.1", "2.25.1.1.5.2"}) == 6


def test_orthanc_asks_for_commitment_and_hears_the_answer(
    orthanc: Orthanc, receiving: Callable[..., Receiver], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It releases at once and wants to be called; what is absent it shows with the reason."""
    monkeypatch.setattr(commitment_scp, "HERE_AFTER_S", 0.2)
    database = Database(database_url(tmp_path / "node.sqlite"))
    requests, inbox = CommitmentRequests(database), Inbox(tmp_path / "inbox")
    custody = Custody(requests, inbox, Holdings(database), tmp_path / "results")
    receiver = receiving(inbox, services=[storage_commitment(custody)])
    pacs = enter(orthanc, receiver.peer)
    reports = CommitmentReports(
        requests, custody, "NODE", lambda ae, _: pacs if ae == pacs.ae_title else None
    )
    sent = make_ct(tmp_path / "sent")
    send(receiver.peer, sent, "CT1")
    uids = [str(pydicom.dcmread(path).SOPInstanceUID) for path in sent]

    def ask(*more: str) -> dict[str, Any]:
        asked = [["1.2.840.10008.5.1.4.1.1.2", uid] for uid in (*uids, *more)]
        told = orthanc.rest("/modalities/node/storage-commitment", {"DicomInstances": asked})
        wait_until(lambda: requests.due(time.time()))
        reports.look()
        report: dict[str, Any] = orthanc.rest(told["Path"])
        return report

    assert ask()["Status"] == "Success"
    assert requests.due(time.time() + 1e6) == []
    partly = ask("2.25.404")
    assert partly["Status"] == "Failure"
    (missing,) = partly["Failures"]
    assert (missing["SOPInstanceUID"], missing["FailureReason"]) == ("2.25.404", 0x0112)
    assert len(partly["Success"]) == 4
    database.close()
