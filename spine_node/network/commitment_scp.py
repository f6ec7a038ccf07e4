"""Storage commitment as SCP (PS3.4 J): a modality asks whether we keep what it sent, and may delete its own.

The question, an N-ACTION, is answered with success once it is durable. The answer, an N-EVENT-REPORT, goes
over the same association if the caller keeps it open, else over a new one to it (`report`), in which we are
the SCP of this class by role selection. Who decides, and remembers, is behind `Desk`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from pydicom import Dataset
from pydicom.uid import UID
from pynetdicom import build_role, evt
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import A_RELEASE
from pynetdicom.presentation import build_context

from spine_node.errors import PeerUnavailable
from spine_node.logs import logger
from spine_node.network.associations import NotAcceptedError, associated, require_answer
from spine_node.network.contexts import (
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    STORAGE_COMMITMENT,
    STORAGE_COMMITMENT_INSTANCE,
)
from spine_node.network.peer import Peer
from spine_node.network.server import Service
from spine_node.network.statuses import Status, in_words

HERE_AFTER_S = 1.0
"""How long a caller must keep its association open for the answer to go over it: who wants it on a new one
releases at once, and a report that meets a release is lost on some."""

HERE_WITHIN_S = 10.0
"""How long the caller has to take the report there."""

_ASK, _ALL_KEPT, _SOME_FAILED = 1, 1, 2
_MOST_REFERENCES = 100_000

log = logger("commitment")


@dataclass(frozen=True, slots=True)
class Request:
    """What a caller asks about.

    Attributes
    ----------
    transaction_uid : str
        The caller's name of this question.
    calling_ae, address : str
        Who asks, and from which IP address.
    references : tuple of (SOP class UID, SOP instance UID)
    """

    transaction_uid: str
    calling_ae: str
    address: str
    references: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What we say: instances that we keep, and the others with a reason (PS3.3 C.14)."""

    transaction_uid: str
    kept: tuple[tuple[str, str], ...]
    failed: tuple[tuple[str, str, int], ...]


class Desk(Protocol):
    """Takes questions, decides and remembers; durable at every return."""

    def accept(self, request: Request) -> Status:
        """Take a question: SUCCESS when it is durable."""
        ...

    def take(self, transaction_uid: str, for_s: float) -> bool:
        """Keep others from reporting on it for a while; False when it is reported, or somebody does."""
        ...

    def verdict(self, transaction_uid: str) -> Verdict | None:
        """Decide, now, and stand by it; None when there is no such question."""
        ...

    def reported(self, transaction_uid: str, where: str) -> None:
        """The caller has taken the answer."""
        ...

    def put_back(self, transaction_uid: str) -> None:
        """The caller has not taken it: somebody is to report it elsewhere."""
        ...


def storage_commitment(desk: Desk) -> Service:
    """Storage commitment for callers of this port; peers may report to us on it, too."""
    context = build_context(STORAGE_COMMITMENT, [EXPLICIT_LITTLE, IMPLICIT_LITTLE])
    context.scu_role, context.scp_role = True, True
    return Service((context,), ((evt.EVT_N_ACTION, _on_n_action, [desk]),))


def report(peer: Peer, verdict: Verdict, calling_ae: str) -> None:
    """Tell a caller our verdict over a new association.

    Raises
    ------
    PeerUnavailable
        If it was not reached, or did not take it: to be tried again.
    """
    contexts = [build_context(STORAGE_COMMITMENT, [EXPLICIT_LITTLE, IMPLICIT_LITTLE])]
    roles = [build_role(UID(STORAGE_COMMITMENT), scu_role=False, scp_role=True)]
    try:
        with associated(peer, calling_ae, contexts, roles=roles) as association:
            status = _send(association, verdict)
            require_answer(peer, status, "N-EVENT-REPORT")
    except NotAcceptedError as answer:
        raise PeerUnavailable(f"{answer} (it must take storage commitment reports from us)") from answer
    except RuntimeError as lost:  # pynetdicom's word for an association that ended meanwhile
        raise PeerUnavailable(f"{peer} ended the association before N-EVENT-REPORT") from lost
    if status.Status != Status.SUCCESS:
        raise PeerUnavailable(f"{peer} answered N-EVENT-REPORT with {in_words(status.Status)}")


def _on_n_action(event: evt.Event, desk: Desk) -> tuple[int, Dataset | None]:
    association = event.assoc
    caller = association.requestor.ae_title.strip()
    status, words, request = _understood(event, caller)
    if request is not None:
        try:
            status = desk.accept(request)
        except Exception:  # a locked or full database: the caller may ask again
            log.error("commitment_not_kept", transaction_uid=request.transaction_uid, exc_info=True)
            status = Status.PROCESSING_FAILURE
    if request is None or status != Status.SUCCESS:
        log.warning("commitment_refused", calling_ae=caller, status=in_words(status), reason=words)
        return status, None
    log.info(
        "commitment_asked",
        calling_ae=caller,
        transaction_uid=request.transaction_uid,
        instances=len(request.references),
    )
    answer = [association, request.transaction_uid, desk]
    threading.Thread(target=_report_here, args=answer, name="commitment", daemon=True).start()
    return Status.SUCCESS, None


def _understood(event: evt.Event, caller: str) -> tuple[Status, str, Request | None]:
    """The request, or the status that refuses it and why in words."""
    if event.request.RequestedSOPInstanceUID != STORAGE_COMMITMENT_INSTANCE:
        return Status.NO_SUCH_OBJECT_INSTANCE, "not the well-known instance of storage commitment", None
    if event.action_type != _ASK:
        return Status.NO_SUCH_ACTION_TYPE, f"action type {event.action_type}, there is 1", None
    try:
        asked = event.action_information
        transaction_uid = str(asked.get("TransactionUID", "") or "")
        references = tuple(_references(asked.get("ReferencedSOPSequence") or ()))
    except Exception as problem:  # noqa: BLE001 - pydicom meets bytes that are no data set in many ways
        return Status.INVALID_ARGUMENT_VALUE, f"it cannot be read ({type(problem).__name__})", None
    if not UID(transaction_uid).is_valid or len(transaction_uid) > 64:
        return Status.INVALID_ARGUMENT_VALUE, "no Transaction UID", None
    if not references or not all(uid for pair in references for uid in pair):
        return Status.INVALID_ARGUMENT_VALUE, "a reference without UIDs, or none at all", None
    if len(references) > _MOST_REFERENCES:
        return Status.RESOURCE_LIMITATION, f"{len(references)} references", None
    address = str(event.assoc.requestor.address)
    return Status.SUCCESS, "", Request(transaction_uid, caller, address, references)


def _references(items: Iterable[Dataset]) -> Iterable[tuple[str, str]]:
    """Each once, in the order they came."""
    pairs = ((str(i.ReferencedSOPClassUID), str(i.ReferencedSOPInstanceUID)) for i in items)
    return dict.fromkeys(pairs)


def _report_here(association: Association, transaction_uid: str, desk: Desk) -> None:
    """Report over the association that asked, if it stays; or have it done elsewhere."""
    deadline = time.monotonic() + HERE_AFTER_S
    while association.is_established and time.monotonic() < deadline:
        time.sleep(0.02)
    try:
        if not association.is_established or not _answered_here(association, transaction_uid, desk):
            desk.put_back(transaction_uid)
    except Exception:  # the question stays, and is answered on a new association when its time comes
        log.error("commitment_report_failed", transaction_uid=transaction_uid, exc_info=True)


def _answered_here(association: Association, transaction_uid: str, desk: Desk) -> bool:
    if not desk.take(transaction_uid, HERE_WITHIN_S + 5.0):
        return True
    verdict = desk.verdict(transaction_uid)
    if verdict is None:
        return True
    with_release = _listening(association)
    try:
        status = _send(association, verdict)
    except (_ReleasedError, RuntimeError, ValueError):
        association._reactor_checkpoint.set()  # the release is answered as ever
        return False
    finally:
        with_release()
    if not status or status.Status != Status.SUCCESS:
        return False
    desk.reported(transaction_uid, "on the same association")
    return True


class _ReleasedError(Exception):
    """The caller ends the association instead of taking the report."""


def _listening(association: Association) -> Any:
    """While a report is out, neither overlook a release nor take the caller's next request for an answer.

    Gives what undoes it.
    """
    take = association.dimse.get_msg

    def get_msg(block: bool = False) -> Any:
        if not block:
            return take(block=False)
        deadline, requests = time.monotonic() + HERE_WITHIN_S, []
        try:
            while time.monotonic() < deadline:
                context_id, message = take(block=False)
                if message is not None and not cast(Any, message).is_valid_request:
                    return context_id, message
                if message is not None:
                    requests.append((context_id, message))
                elif isinstance(association.dul.peek_next_pdu(), A_RELEASE) or not association.is_established:
                    raise _ReleasedError
                time.sleep(0.005)
        finally:
            for each in requests:
                association.dimse.msg_queue.put(each)
        return None, None

    association.dimse.get_msg = get_msg  # type: ignore[method-assign]

    def undo() -> None:
        association.dimse.get_msg = take  # type: ignore[method-assign]

    return undo


def _send(association: Association, verdict: Verdict) -> Dataset:
    """N-EVENT-REPORT; the status that came back, empty when none did."""
    information = Dataset()
    information.TransactionUID = verdict.transaction_uid
    information.ReferencedSOPSequence = [_item(*pair) for pair in verdict.kept]
    if not verdict.kept:
        del information.ReferencedSOPSequence  # type 1C, with items where it is (PS3.4 J.3.3.1.2)
    if verdict.failed:
        information.FailedSOPSequence = _failures(verdict.failed)
    kind = _SOME_FAILED if verdict.failed else _ALL_KEPT
    status, _ = association.send_n_event_report(
        information, kind, UID(STORAGE_COMMITMENT), UID(STORAGE_COMMITMENT_INSTANCE)
    )
    return status


def _failures(failed: Sequence[tuple[str, str, int]]) -> list[Dataset]:
    items = []
    for sop_class_uid, sop_instance_uid, reason in failed:
        item = _item(sop_class_uid, sop_instance_uid)
        item.FailureReason = reason
        items.append(item)
    return items


def _item(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class_uid, sop_instance_uid
    return item
