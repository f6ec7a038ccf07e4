"""Storage commitment: asked of a peer, answered on that association, on another one, late, or not at all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE, build_role, evt
from pynetdicom.dimse_messages import N_EVENT_REPORT_RSP
from pynetdicom.presentation import build_context

from spine_node.errors import PeerRejects, PeerUnavailable
from spine_node.network.commitment import (
    Question,
    answers_for,
    ask,
    commitment_answers,
)
from spine_node.network.contexts import STORAGE_COMMITMENT
from spine_node.network.peer import Peer
from spine_node.network.statuses import Status
from tests.conftest import free_port, wait_until
from tests.network.commitment_answer import report
from tests.network.conftest import Receiver

CT = "1.2.840.10008.5.1.4.1.1.2"


@dataclass
class Notebook:
    """Keeps answers to the questions that it knows."""

    known: set[str]
    answers: dict[str, tuple[list[str], dict[str, int | None], str]] = field(default_factory=dict)
    broken: bool = False

    def answer(
        self, transaction_uid: str, committed: Collection[str], failed: Mapping[str, int | None], sender: str
    ) -> bool:
        if self.broken:
            raise OSError("disk full")
        self.answers[transaction_uid] = (list(committed), dict(failed), sender)
        return transaction_uid in self.known


@dataclass
class Archive:
    """A commitment SCP that answers as it is told: on the association of the question, before or after its
    response, or not."""

    when: str = "after"
    status: int = 0x0000
    failed: dict[str, int] = field(default_factory=dict)
    knows_commitment: bool = True
    asked: list[Dataset] = field(default_factory=list)
    told: list[int] = field(default_factory=list)
    port: int = field(default_factory=free_port)

    def start(self) -> Peer:
        self.ae = AE("ARCHIVE")
        self.ae.dimse_timeout = 2.0  # for an answer that its other thread has taken
        self.ae.add_supported_context(STORAGE_COMMITMENT if self.knows_commitment else CT)
        self.ae.start_server(
            ("127.0.0.1", self.port),
            block=False,
            evt_handlers=[(evt.EVT_N_ACTION, self._action), (evt.EVT_DIMSE_RECV, self._hear)],
        )
        return Peer("archive", "ARCHIVE", "127.0.0.1", self.port, 60.0, 15.0)

    def _action(self, event: evt.Event) -> tuple[int, Dataset | None]:
        asked = event.action_information
        self.asked.append(asked)
        if self.when == "before":
            self._tell(event.assoc, asked)
        elif self.when == "after":
            threading.Thread(target=self._tell_later, args=[event.assoc, asked]).start()
        return self.status, None

    def _tell_later(self, association: Any, asked: Dataset) -> None:
        time.sleep(0.3)
        self._tell(association, asked)

    def _tell(self, association: Any, asked: Dataset) -> None:
        answer = report(asked, self.failed)
        kind = 2 if self.failed else 1
        association.send_n_event_report(answer, kind, STORAGE_COMMITMENT, "1.2.840.10008.1.20.1.1")

    def _hear(self, event: evt.Event) -> None:
        """Our answers to its reports; pynetdicom's two threads may both take one from its queue."""
        if isinstance(event.message, N_EVENT_REPORT_RSP):
            self.told.append(event.message.command_set.Status)


@pytest.fixture
def archive() -> Iterator[Callable[..., tuple[Archive, Peer]]]:
    running: list[Archive] = []

    def start(**how: Any) -> tuple[Archive, Peer]:
        running.append(Archive(**how))
        return running[-1], running[-1].start()

    yield start
    for one in running:
        one.ae.shutdown()


def question(instances: int = 2) -> Question:
    return Question(generate_uid(None), tuple((CT, generate_uid(None)) for _ in range(instances)))


def asked_uids(dataset: Dataset) -> list[tuple[str, str]]:
    items = dataset.ReferencedSOPSequence
    return [(i.ReferencedSOPClassUID, i.ReferencedSOPInstanceUID) for i in items]


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_answer_on_the_same_association_is_kept_and_ends_the_wait(
    archive: Callable[..., tuple[Archive, Peer]], when: str
) -> None:
    """Also one that overtakes the response to the question."""
    told, peer = archive(when=when)
    one = question()
    book = Notebook({one.transaction_uid})
    began = time.monotonic()
    assert list(ask(peer, [one], "NODE", book, wait_s=600)) == [(one, "")]
    assert time.monotonic() - began < 120
    assert asked_uids(told.asked[0]) == list(one.references)
    assert book.answers == {one.transaction_uid: ([uid for _, uid in one.references], {}, "ARCHIVE")}
    wait_until(lambda: told.told)
    assert told.told == [0x0000]


def test_failures_come_with_their_reasons(archive: Callable[..., tuple[Archive, Peer]]) -> None:
    one = question(3)
    uids = [uid for _, uid in one.references]
    _, peer = archive(failed={uids[0]: 0x0112, uids[2]: 0x0110})
    book = Notebook({one.transaction_uid})
    list(ask(peer, [one], "NODE", book, wait_s=600))
    assert book.answers[one.transaction_uid][:2] == ([uids[1]], {uids[0]: 0x0112, uids[2]: 0x0110})


def test_a_peer_that_answers_later_is_not_waited_for_longer_than_told(
    archive: Callable[..., tuple[Archive, Peer]],
) -> None:
    _, peer = archive(when="never")
    began = time.monotonic()
    assert [words for _, words in ask(peer, [question()], "NODE", Notebook(set()), wait_s=0.3)] == [""]
    assert 0.3 <= time.monotonic() - began < 30


def test_a_question_that_is_refused_is_not_waited_for(
    archive: Callable[..., tuple[Archive, Peer]],
) -> None:
    _, peer = archive(when="never", status=0x0213)
    began = time.monotonic()
    ((_, words),) = ask(peer, [question()], "NODE", Notebook(set()), wait_s=600)
    assert words == "0x0213 resource limitation"
    assert time.monotonic() - began < 120


def test_a_peer_that_knows_no_commitment_says_so_for_each_question(
    archive: Callable[..., tuple[Archive, Peer]],
) -> None:
    _, peer = archive(knows_commitment=False)
    said = list(ask(peer, [question(), question()], "NODE", Notebook(set()), wait_s=1))
    assert [words.split(")")[1] for _, words in said] == [" takes no storage commitment requests from us"] * 2
    assert not answers_for(peer, "NODE")


def test_a_peer_that_is_not_there_or_does_not_know_us_is_told_apart(
    archive: Callable[..., tuple[Archive, Peer]],
) -> None:
    told, peer = archive()
    assert answers_for(peer, "NODE")
    told.ae.require_calling_aet = ["SOMEBODYELSE"]
    with pytest.raises(PeerRejects, match="alling AE title not recognised"):
        list(ask(peer, [question()], "NODE", Notebook(set()), wait_s=1))
    nobody = Peer("archive", "ARCHIVE", "127.0.0.1", free_port())
    with pytest.raises(PeerUnavailable, match="no connection"):
        list(ask(nobody, [question()], "NODE", Notebook(set()), wait_s=1))


def call_back(peer: Peer, answer: Dataset, kind: int, *, role: bool) -> Dataset:
    """As an archive reports to us: it is the SCP on the association that it opens, and says so or not."""
    ae = AE("ARCHIVE")
    roles = [build_role(STORAGE_COMMITMENT, scp_role=True, scu_role=False)] if role else []
    association = ae.associate(
        peer.host,
        peer.port,
        contexts=[build_context(STORAGE_COMMITMENT)],
        ae_title=peer.ae_title,
        ext_neg=roles,
    )
    assert association.is_established
    if not role:  # as those archives do, whatever was negotiated
        for context in association._accepted_cx.values():
            context._as_scp = True
    status, _ = association.send_n_event_report(answer, kind, STORAGE_COMMITMENT, "1.2.840.10008.1.20.1.1")
    association.release()
    return status


@pytest.fixture
def reported(receiving: Callable[..., Receiver]) -> tuple[Receiver, Notebook, Dataset]:
    """A receiving node that peers report to, what it keeps, and an answer to its question."""
    one = question()
    book = Notebook({one.transaction_uid})
    asked = Dataset()
    asked.TransactionUID, asked.ReferencedSOPSequence = one.transaction_uid, []
    for sop_class, uid in one.references:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
        asked.ReferencedSOPSequence.append(item)
    return receiving(services=[commitment_answers(book)]), book, asked


@pytest.mark.parametrize("role", [True, False])
def test_an_answer_on_an_association_of_the_peers_own_is_kept(
    reported: tuple[Receiver, Notebook, Dataset], role: bool
) -> None:
    """With the roles negotiated as PS3.4 J.3.3 has it, and from archives that negotiate none."""
    receiver, book, asked = reported
    failed = {asked.ReferencedSOPSequence[0].ReferencedSOPInstanceUID: 0x0112}
    assert call_back(receiver.peer, report(asked, failed), 2, role=role).Status == Status.SUCCESS
    ((committed, reasons, sender),) = book.answers.values()
    assert (len(committed), reasons, sender) == (1, failed, "ARCHIVE")


def test_an_answer_to_nothing_that_we_asked_is_refused(
    reported: tuple[Receiver, Notebook, Dataset],
) -> None:
    receiver, book, asked = reported
    asked.TransactionUID = generate_uid(None)
    assert call_back(receiver.peer, report(asked), 1, role=True).Status == Status.INVALID_ARGUMENT_VALUE
    del asked.TransactionUID
    empty = Dataset()
    empty.ReferencedSOPSequence = [Dataset()]
    assert call_back(receiver.peer, empty, 1, role=True).Status == Status.INVALID_ARGUMENT_VALUE
    assert call_back(receiver.peer, empty, 7, role=True).Status == Status.NO_SUCH_EVENT_TYPE
    assert book.known.isdisjoint(book.answers)


def test_an_answer_that_cannot_be_kept_is_not_taken_as_heard(
    reported: tuple[Receiver, Notebook, Dataset],
) -> None:
    """The archive may report again."""
    receiver, book, asked = reported
    book.broken = True
    assert call_back(receiver.peer, report(asked), 1, role=True).Status == Status.PROCESSING_FAILURE
    book.broken = False
    assert call_back(receiver.peer, report(asked), 1, role=True).Status == Status.SUCCESS
