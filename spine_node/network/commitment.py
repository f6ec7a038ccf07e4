"""Storage commitment as SCU (PS3.4 J): a destination is asked whether it keeps what it stored.

The question is an N-ACTION; the answer, an N-EVENT-REPORT, comes on the same association or, after
minutes or hours, on one that the peer opens to us, in which it is the SCP of this class: role selection
turns the usual roles around there. Both ways lead to `on_n_event_report`.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pydicom import Dataset
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import N_EVENT_REPORT
from pynetdicom.presentation import build_context

from spine_node.errors import PeerRejects, PeerUnavailable
from spine_node.logs import logger
from spine_node.network.associations import (
    AssociationRejectedError,
    NotAcceptedError,
    associated,
    require_answer,
)
from spine_node.network.contexts import (
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    STORAGE_COMMITMENT,
    STORAGE_COMMITMENT_INSTANCE,
)
from spine_node.network.peer import Peer
from spine_node.network.server import Service
from spine_node.network.statuses import Status, in_words

_REQUEST_COMMITMENT = 1
_ALL_COMMITTED, _SOME_FAILED = 1, 2

log = logger("commitment")


class Answers(Protocol):
    """Who keeps the answers: `spine_node.ledger.commitments`, which this floor must not know."""

    def answer(
        self, transaction_uid: str, committed: Collection[str], failed: Mapping[str, int | None], sender: str
    ) -> bool:
        """Keep for good what a peer answered; False when nothing was asked under this UID."""
        ...


@dataclass(frozen=True, slots=True)
class Question:
    """What a peer is asked about, under a UID of its own: (SOP class UID, SOP instance UID) each."""

    transaction_uid: str
    references: tuple[tuple[str, str], ...]


def commitment_answers(answers: Answers) -> Service:
    """For an acceptor that peers report to: in this class they may be SCP there, and SCU as ever."""
    context = build_context(STORAGE_COMMITMENT, [EXPLICIT_LITTLE, IMPLICIT_LITTLE])
    context.scu_role, context.scp_role = True, True
    return Service((context,), ((evt.EVT_N_EVENT_REPORT, on_n_event_report, [answers]),))


def on_n_event_report(event: evt.Event, answers: Answers) -> tuple[int, Dataset | None]:
    """Keep the answer that a peer brings, and tell it so only then."""
    sender = str(_sender(event.assoc)).strip()
    if event.event_type not in (_ALL_COMMITTED, _SOME_FAILED):
        return Status.NO_SUCH_EVENT_TYPE, None
    try:
        answer = event.event_information
        transaction_uid = str(answer.get("TransactionUID", "") or "")
        committed = [uid for uid, _ in _references(answer, "ReferencedSOPSequence")]
        failed = dict(_references(answer, "FailedSOPSequence"))
    except Exception as problem:  # noqa: BLE001 - whatever a peer's bytes bring about, it is told
        log.warning("commitment_unreadable", calling_ae=sender, reason=f"{type(problem).__name__}: {problem}")
        return Status.INVALID_ARGUMENT_VALUE, None
    try:
        known = answers.answer(transaction_uid, committed, failed, sender)
    except Exception:  # a locked or full database: the peer may report again
        log.error("commitment_not_kept", transaction_uid=transaction_uid, exc_info=True)
        return Status.PROCESSING_FAILURE, None
    facts = {"transaction_uid": transaction_uid, "calling_ae": sender}
    if not known:
        log.warning("commitment_unknown", **facts)
        return Status.INVALID_ARGUMENT_VALUE, None
    log.info("commitment_answered", committed=len(committed), failed=len(failed), **facts)
    return Status.SUCCESS, None


def ask(
    peer: Peer, questions: Sequence[Question], calling_ae: str, answers: Answers, wait_s: float
) -> Iterator[tuple[Question, str]]:
    """Ask a peer over one association, and listen on it for answers for a short time.

    Parameters
    ----------
    wait_s : float
        How long to listen, in seconds, once all is asked; ends as soon as all is answered.

    Yields
    ------
    question, str
        Of each that the peer spoke to: "" when it will answer, else why not, in words.

    Raises
    ------
    PeerRejects
        If the peer rejects our associations for good.
    PeerUnavailable
        If it cannot be reached, or is lost on the way.
    """
    book = _Book(answers, {question.transaction_uid for question in questions})
    handlers = [(evt.EVT_N_EVENT_REPORT, on_n_event_report, [book])]
    contexts = [build_context(STORAGE_COMMITMENT, [EXPLICIT_LITTLE, IMPLICIT_LITTLE])]
    try:
        with associated(peer, calling_ae, contexts, handlers=handlers) as association:
            _take_early_answers(association)
            for question in questions:
                yield question, _ask(association, peer, question, book)
            deadline = time.monotonic() + wait_s
            while book.open and association.is_established and time.monotonic() < deadline:
                time.sleep(0.02)
    except AssociationRejectedError as rejected:
        raise PeerRejects(str(rejected)) from rejected
    except NotAcceptedError:
        for question in questions:
            yield question, f"{peer} takes no storage commitment requests from us"


def answers_for(peer: Peer, calling_ae: str) -> bool:
    """Whether a peer takes storage commitment requests from us; nothing is asked.

    Raises
    ------
    PeerUnavailable
        If it cannot be reached, does not answer, or rejects our associations.
    """
    contexts = [build_context(STORAGE_COMMITMENT, [EXPLICIT_LITTLE, IMPLICIT_LITTLE])]
    try:
        with associated(peer, calling_ae, contexts):
            return True
    except AssociationRejectedError as rejected:
        raise PeerRejects(str(rejected)) from rejected
    except NotAcceptedError:
        return False


class _Book:
    """Passes answers on, and knows which are still open on this association."""

    def __init__(self, answers: Answers, open_now: set[str]) -> None:
        self._answers, self.open = answers, open_now

    def answer(
        self, transaction_uid: str, committed: Collection[str], failed: Mapping[str, int | None], sender: str
    ) -> bool:
        known = self._answers.answer(transaction_uid, committed, failed, sender)
        self.open.discard(transaction_uid)
        return known


def _ask(association: Association, peer: Peer, question: Question, book: _Book) -> str:
    request = Dataset()
    request.TransactionUID = question.transaction_uid
    request.ReferencedSOPSequence = [_reference(*pair) for pair in question.references]
    try:
        status, _ = association.send_n_action(
            request, _REQUEST_COMMITMENT, STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE
        )
    except RuntimeError as lost:  # pynetdicom's word for an association that ended meanwhile
        raise PeerUnavailable(f"{peer} ended the association before N-ACTION") from lost
    require_answer(peer, status, "N-ACTION")
    # an event that came first has answered already
    if status.Status == Status.SUCCESS or question.transaction_uid not in book.open:
        return ""
    book.open.discard(question.transaction_uid)
    words = f"{in_words(status.Status)} {status.get('ErrorComment', '') or ''}".strip()
    log.warning("commitment_refused", peer=peer.name, transaction_uid=question.transaction_uid, status=words)
    return words


def _take_early_answers(association: Association) -> None:
    """Serve an N-EVENT-REPORT that overtakes the N-ACTION response; pynetdicom calls it an error."""
    get_msg = association.dimse.get_msg

    def get_or_serve(block: bool = False) -> Any:
        context_id, message = get_msg(block)
        while block and isinstance(message, N_EVENT_REPORT) and message.is_valid_request:
            association._serve_request(message, context_id)
            association._is_paused = True  # as its sender had set it
            context_id, message = get_msg(block)
        return context_id, message

    association.dimse.get_msg = get_or_serve  # type: ignore[method-assign]


def _reference(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class_uid, sop_instance_uid
    return item


def _references(answer: Dataset, keyword: str) -> Iterator[tuple[str, int | None]]:
    for item in answer.get(keyword) or ():
        reason = item.get("FailureReason")
        yield str(item.ReferencedSOPInstanceUID), None if reason is None else int(reason)


def _sender(association: Association) -> str:
    ours = association.is_requestor
    return str(association.acceptor.ae_title if ours else association.requestor.ae_title)
