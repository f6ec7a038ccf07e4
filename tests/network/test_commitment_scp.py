"""Storage commitment for modalities: what is promised is on the disk, and the promise is told in the end."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom import Dataset
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.presentation import build_context

from spine_node.commitment_reports import CommitmentReports
from spine_node.custody import Custody
from spine_node.inbox import Inbox
from spine_node.ledger import Database, database_url
from spine_node.ledger.commitment_requests import CommitmentRequests
from spine_node.ledger.holdings import Holdings
from spine_node.network import commitment_scp
from spine_node.network.commitment_scp import storage_commitment
from spine_node.network.contexts import EXPLICIT_LITTLE, STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE
from spine_node.network.peer import Peer
from spine_node.network.scu import send
from spine_node.network.server import listen
from tests.conftest import free_port, make_ct, wait_until
from tests.network.conftest import Receiver

CT = "1.2.840.10008.5.1.4.1.1.2"
NOT_HERE, OTHER_CLASS = 0x0112, 0x0119


@dataclass
class Modality:
    """An AE that asks for commitment, and hears the answer on either association."""

    heard: list[tuple[int, Dataset]] = field(default_factory=list)
    answer: int = 0x0000

    def listen(self, port: int = 0) -> Peer:
        ae = AE("CBCT")
        context = build_context(STORAGE_COMMITMENT, [EXPLICIT_LITTLE])
        context.scu_role, context.scp_role = True, True
        ae.supported_contexts = [context]
        self.server = listen(ae, "127.0.0.1", port, self.handlers)
        return Peer("cbct", "CBCT", "127.0.0.1", self.server.port, 60.0, 120.0)

    @property
    def handlers(self) -> list[Any]:
        return [(evt.EVT_N_EVENT_REPORT, self._hear)]

    def _hear(self, event: evt.Event) -> tuple[int, None]:
        if self.answer == 0:
            self.heard.append((event.event_type, event.event_information))
        return self.answer, None

    def associate(self, node: Peer) -> Association:
        return AE("CBCT").associate(
            node.host, node.port, [build_context(STORAGE_COMMITMENT, [EXPLICIT_LITTLE])], node.ae_title,
            evt_handlers=self.handlers,
        )  # fmt: skip

    def ask(
        self, node: Peer, references: Sequence[tuple[str, str]], uid: str = "2.25.77", stay: bool = False
    ) -> int:
        """Status of the question; the association ends at once, or stays until the answer came.

        Only who stays is answered on it: else the node's patience would have to be longer than our delay.
        """
        commitment_scp.HERE_AFTER_S = 0.2 if stay else 3600.0
        association = self.associate(node)
        status, _ = association.send_n_action(
            question(uid, references), 1, STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE
        )
        if stay:
            wait_until(lambda: self.heard)
        association.release()
        return int(status.Status)

    def last(self) -> tuple[int, list[str], dict[str, int]]:
        """Event type, instances that are kept, and reasons of the others, of the last report."""
        kind, told = self.heard[-1]
        assert told.TransactionUID == "2.25.77"
        kept = [str(item.ReferencedSOPInstanceUID) for item in told.get("ReferencedSOPSequence") or ()]
        failed = told.get("FailedSOPSequence") or ()
        return kind, kept, {str(i.ReferencedSOPInstanceUID): int(i.FailureReason) for i in failed}


def question(uid: str, references: Sequence[tuple[str, str]]) -> Dataset:
    asked = Dataset()
    asked.TransactionUID = uid
    items = []
    for sop_class, sop_uid in references:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, sop_uid
        items.append(item)
    asked.ReferencedSOPSequence = items
    return asked


def references(paths: Sequence[Path]) -> list[tuple[str, str]]:
    return [(CT, str(pydicom.dcmread(path).SOPInstanceUID)) for path in paths]


@dataclass
class Node:
    """A receiver with its desk, and what the main process does for it."""

    receiver: Receiver
    requests: CommitmentRequests
    custody: Custody
    reports: CommitmentReports
    known: dict[str, Peer]

    @property
    def peer(self) -> Peer:
        return self.receiver.peer

    def state(self, uid: str = "2.25.77") -> str:
        asked = self.requests.asked(uid)
        return asked.state if asked else ""

    def due_now(self) -> None:
        """As if the time had come for all that waits."""
        for asked in self.requests.due(time.time() + 1e6):
            self.requests.take(asked.transaction_uid, 0.0)


@pytest.fixture
def node(
    receiving: Callable[..., Receiver], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Node]:
    monkeypatch.setattr(commitment_scp, "HERE_AFTER_S", 0.2)  # and put back what `Modality.ask` sets
    database = Database(database_url(tmp_path / "node.sqlite"))
    requests, inbox = CommitmentRequests(database), Inbox(tmp_path / "inbox")
    custody = Custody(requests, inbox, Holdings(database), tmp_path / "results")
    known: dict[str, Peer] = {}
    reports = CommitmentReports(requests, custody, "NODE", lambda ae, _address: known.get(ae))
    receiver = receiving(inbox, services=[storage_commitment(custody)])
    yield Node(receiver, requests, custody, reports, known)
    database.close()


@pytest.fixture
def modality() -> Iterator[Modality]:
    one = Modality()
    yield one
    if hasattr(one, "server"):
        one.server.end(grace_s=0.0)


def test_what_is_on_the_disk_is_committed_on_the_association_that_asked(
    node: Node, modality: Modality, tmp_path: Path
) -> None:
    sent = make_ct(tmp_path / "sent")
    send(node.peer, sent, "CBCT")
    assert modality.ask(node.peer, references(sent), stay=True) == 0x0000
    assert modality.last() == (1, [uid for _, uid in references(sent)], {})
    wait_until(lambda: node.state() == "answered")
    node.reports.look()
    assert len(modality.heard) == 1, "told once"


def test_who_releases_is_told_on_a_new_association(node: Node, modality: Modality, tmp_path: Path) -> None:
    sent = make_ct(tmp_path / "sent")
    send(node.peer, sent, "CBCT")
    node.known["CBCT"] = modality.listen()
    assert modality.ask(node.peer, references(sent)) == 0x0000
    wait_until(lambda: node.requests.due(time.time()))
    node.reports.look()
    assert modality.last() == (1, [uid for _, uid in references(sent)], {})
    assert node.state() == "answered"


def test_each_instance_is_answered_for_truly(node: Node, modality: Modality, tmp_path: Path) -> None:
    """While the series still arrives; one is of another class than it is said to be."""
    sent = make_ct(tmp_path / "sent")
    send(node.peer, sent[:2], "CBCT")
    first, second, third, fourth = references(sent)
    asked = [first, ("1.2.840.10008.5.1.4.1.1.4", second[1]), third, fourth, (CT, "2.25.404")]
    assert modality.ask(node.peer, asked, stay=True) == 0x0000
    assert modality.last() == (
        2, [first[1]],
        {second[1]: OTHER_CLASS, third[1]: NOT_HERE, fourth[1]: NOT_HERE, "2.25.404": NOT_HERE},
    )  # fmt: skip


def test_nothing_of_it_here_is_said_without_an_empty_list(node: Node, modality: Modality) -> None:
    modality.ask(node.peer, [(CT, "2.25.404")], stay=True)
    assert modality.last() == (2, [], {"2.25.404": NOT_HERE})
    assert "ReferencedSOPSequence" not in modality.heard[0][1]


@pytest.mark.parametrize("end", ["claim", "finish", "refuse", "ignore", "fail"])
def test_in_whatever_state_its_series_is_an_instance_is_kept(
    node: Node, modality: Modality, tmp_path: Path, end: str
) -> None:
    sent = make_ct(tmp_path / "sent", slices=2)
    send(node.peer, sent, "CBCT")
    inbox = node.receiver.inbox
    (series,) = inbox.open_series()
    inbox.claim(series.series_uid)
    if end == "finish":
        inbox.finish(series.series_uid)
    elif end != "claim":
        getattr(inbox, end)(series.series_uid, "why")
    verdict = decided(node, references(sent))
    assert verdict == {uid: 0 for _, uid in references(sent)}


def decided(node: Node, asked: Sequence[tuple[str, str]], uid: str = "2.25.77") -> dict[str, int]:
    """The results of a question, without a network."""
    node.requests.accept(uid, "CBCT", "127.0.0.1", asked, time.time(), time.time())
    node.custody.verdict(uid)
    found = node.requests.asked(uid)
    assert found is not None
    return dict(found.results)


def test_a_promise_keeps_a_settled_series_from_expiring(node: Node, tmp_path: Path) -> None:
    """From the moment it is given; and the books tell who keeps the disk."""
    sent = make_ct(tmp_path / "sent", slices=2)
    send(node.peer, sent, "CBCT")
    inbox = node.receiver.inbox
    (series,) = inbox.open_series()
    inbox.claim(series.series_uid)
    folder = inbox.finish(series.series_uid)
    long_ago = time.time() - 1e6
    os.utime(folder, (long_ago, long_ago))
    assert node.requests.committed_to_modality(series.series_uid) is None
    decided(node, references(sent))
    assert folder.stat().st_mtime > long_ago + 9e5
    promised = node.requests.committed_to_modality(series.series_uid)
    assert promised == pytest.approx(time.time(), abs=60)


def test_what_was_deleted_is_not_promised(node: Node, tmp_path: Path) -> None:
    sent = make_ct(tmp_path / "sent", slices=2)
    send(node.peer, sent, "CBCT")
    decided(node, references(sent))
    for path in node.receiver.stored().values():
        path.unlink()
    assert decided(node, references(sent)) == {uid: NOT_HERE for _, uid in references(sent)}


def test_a_caller_that_is_away_is_told_when_it_is_back(
    node: Node, modality: Modality, tmp_path: Path
) -> None:
    """After a restart of the node, too: all that is known is in the ledger."""
    sent = make_ct(tmp_path / "sent", slices=2)
    send(node.peer, sent, "CBCT")
    port = free_port()
    node.known["CBCT"] = Peer("cbct", "CBCT", "127.0.0.1", port, 60.0, 60.0)
    modality.ask(node.peer, references(sent))
    wait_until(lambda: node.requests.due(time.time()))
    node.reports.look()
    assert (node.state(), modality.heard, node.requests.due(time.time())) == ("asked", [], [])
    assert [a.transaction_uid for a in node.requests.due(time.time() + 31)] == ["2.25.77"]
    modality.listen(port)
    node.due_now()
    CommitmentReports(node.requests, node.custody, "NODE", lambda ae, _a: node.known.get(ae)).look()
    assert modality.last()[0] == 1
    assert node.state() == "answered"


def test_a_report_that_is_not_taken_is_sent_again(node: Node, modality: Modality) -> None:
    node.known["CBCT"] = modality.listen()
    modality.answer = 0x0110
    modality.ask(node.peer, [(CT, "2.25.404")])
    wait_until(lambda: node.requests.due(time.time()))
    node.reports.look()
    assert node.state() == "asked"
    modality.answer = 0x0000
    node.due_now()
    node.reports.look()
    assert modality.last() == (2, [], {"2.25.404": NOT_HERE})


def test_after_a_week_nobody_is_told_any_more(node: Node) -> None:
    node.requests.accept("2.25.77", "CBCT", "127.0.0.1", [(CT, "2.25.4")], time.time() - 8 * 86400, 0.0)
    node.reports.look()
    asked = node.requests.asked("2.25.77")
    assert (asked and asked.state) == "failed"


def test_the_same_question_again_is_answered_again_and_another_under_its_uid_refused(
    node: Node, modality: Modality
) -> None:
    asked = [(CT, "2.25.404")]
    for count in (1, 2):
        assert modality.ask(node.peer, asked, stay=count == 1) == 0x0000
        if count == 1:
            wait_until(lambda: node.state() == "answered")
    assert node.state() == "open"
    assert modality.ask(node.peer, [(CT, "2.25.405")]) == 0x0131
    assert node.requests.accept("2.25.77", "ANOTHER", "127.0.0.1", asked, 0.0, 0.0) is False


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"TransactionUID": ""}, 0x0115),
        ({"TransactionUID": "not a UID"}, 0x0115),
        ({"ReferencedSOPSequence": []}, 0x0115),
        ({"action": 2}, 0x0123),
        ({"instance": "2.25.5"}, 0x0112),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(
    node: Node, modality: Modality, change: dict[str, Any], status: int
) -> None:
    asked = question("2.25.77", [(CT, "2.25.404")])
    for keyword in change.keys() & {"TransactionUID", "ReferencedSOPSequence"}:
        setattr(asked, keyword, change[keyword])
    association = modality.associate(node.peer)
    instance = change.get("instance", STORAGE_COMMITMENT_INSTANCE)
    answer, _ = association.send_n_action(asked, change.get("action", 1), STORAGE_COMMITMENT, instance)
    association.release()
    assert answer.Status == status
    assert node.state() == ""


def test_who_asks_too_much_is_told_to_wait(
    node: Node, modality: Modality, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spine_node.custody.MOST_WAITING", 1)
    assert modality.ask(node.peer, [(CT, "2.25.404")], "2.25.1") == 0x0000
    assert modality.ask(node.peer, [(CT, "2.25.404")], "2.25.2") == 0x0213


def test_a_release_is_answered_at_once_though_a_report_is_out(
    node: Node, modality: Modality, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller never answers the report, and lets go: it is not kept, and told anew."""
    monkeypatch.setattr(commitment_scp, "HERE_WITHIN_S", 3600.0)
    out = threading.Event()
    association = modality.associate(node.peer)
    association._serve_request = lambda *_: out.set()  # type: ignore[method-assign]
    association.send_n_action(
        question("2.25.77", [(CT, "2.25.404")]), 1, STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE
    )
    assert out.wait(120)
    association.release()
    assert association.is_released
    wait_until(lambda: node.requests.due(time.time()))
