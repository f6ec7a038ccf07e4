"""C-GET and C-MOVE as an SCP: our own results, to who asks or to whom he names (PS3.4 C.4.2 and C.4.3).

What goes is decided when it is known which contexts are accepted: each result once, in the first of its
forms that the peer takes (`held.chosen`). Files go byte for byte, or re-encoded from one uncompressed syntax
to another. One sub-operation that fails leaves the others alone; a lost association fails the rest.

pynetdicom's own service would decode what it sends, name us as the originator of a move, and answer
"destination unknown" when a known one is down; so the two requests are served here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_GET, C_MOVE
from pynetdicom.dsutils import decode, encode
from pynetdicom.presentation import PresentationContext, build_context

from spine_node.audit.messages import Party, instances_transferred
from spine_node.audit.trail import AuditTrail
from spine_node.errors import PeerUnavailable
from spine_node.logs import logger
from spine_node.network.associations import NotAcceptedError, associated
from spine_node.network.audited import facts_of
from spine_node.network.contexts import (
    DEFLATED_LITTLE,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    PATIENT_ROOT_GET,
    PATIENT_ROOT_MOVE,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
)
from spine_node.network.held import HeldFile, HeldResult, Holder, chosen
from spine_node.network.identifiers import IdentifierRefusedError, retrieval
from spine_node.network.peer import Peer
from spine_node.network.query_scp import is_relational
from spine_node.network.statuses import Status, meaning


class RetrieveStatus(IntEnum):
    """Statuses of C-MOVE and C-GET that mean something else elsewhere, or nothing (PS3.4 C.4.2.1.5)."""

    SUBOPERATIONS_WITH_FAILURES = 0xB000
    UNABLE_TO_CALCULATE_MATCHES = 0xA701
    UNABLE_TO_PERFORM_SUBOPERATIONS = 0xA702
    MOVE_DESTINATION_UNKNOWN = 0xA801
    IDENTIFIER_DOES_NOT_MATCH_SOP_CLASS = 0xA900
    UNABLE_TO_PROCESS = 0xC000


_UNCOMPRESSED = (EXPLICIT_LITTLE, IMPLICIT_LITTLE, DEFLATED_LITTLE)
_GET, _MOVE = (PATIENT_ROOT_GET, STUDY_ROOT_GET), (PATIENT_ROOT_MOVE, STUDY_ROOT_MOVE)
_MOST = 65535  # the counters of sub-operations have 16 bits

Request = C_GET | C_MOVE

log = logger("retrieval")


class RetrieveSCP:
    """Answers C-GET and C-MOVE.

    Parameters
    ----------
    holder : Holder
    ae_title : str
        Ours, as destinations of C-MOVE know us.
    destination : callable
        Takes an AE title and gives the peer that C-MOVE may send to, or None.
    """

    def __init__(
        self,
        holder: Holder,
        ae_title: str,
        destination: Callable[[str], Peer | None],
        audit: AuditTrail | None = None,
    ) -> None:
        self._holder, self._ae_title, self._destination = holder, ae_title, destination
        self._audit = audit

    def serve_on(self, association: Association) -> None:
        """Take C-GET and C-MOVE on this association; call it when the connection opens."""
        others = association._serve_request

        def serve(message: Any, context_id: int) -> None:
            context = association._accepted_cx.get(context_id)
            model = str(context.abstract_syntax) if context is not None else ""
            if not message.is_valid_request or not (
                (isinstance(message, C_GET) and model in _GET)
                or (isinstance(message, C_MOVE) and model in _MOVE)
            ):
                others(message, context_id)
                return
            assert context is not None
            association.dimse.cancel_req = {}
            association._is_paused = True  # the answers to sub-operations are for us, not for the reactor
            try:
                self._answer(association, message, context)
            except Exception:  # a bug of ours must not leave the caller waiting, nor end the receiver
                log.error("retrieval_failed", exc_info=True)
                association.abort()
            association._is_paused = False
            association.dimse.cancel_req = {}
            # a long retrieval hears nothing from its caller, and that is no silence
            association.dul._idle_timer.restart()

        association._serve_request = serve  # type: ignore[method-assign]

    def _answer(self, association: Association, request: Request, context: PresentationContext) -> None:
        conversation = _Conversation(association, request, context)
        model, _, _ = str(context.abstract_syntax).rpartition(".")
        try:
            identifier = conversation.identifier()
            relational = is_relational(association, str(context.abstract_syntax))
            level, selection = retrieval(identifier, model, relational=relational)
        except IdentifierRefusedError as refusal:
            conversation.end(RetrieveStatus.IDENTIFIER_DOES_NOT_MATCH_SOP_CLASS, str(refusal))
            return
        except Exception as problem:  # noqa: BLE001 - pydicom meets bytes that are no data set in many ways
            words = f"the identifier cannot be read ({type(problem).__name__})"
            conversation.end(RetrieveStatus.UNABLE_TO_PROCESS, words)
            return
        try:
            results = self._holder.results(selection)
        except Exception:  # a locked database, or a bug of ours: the caller may ask again
            log.error("retrieval_failed", exc_info=True)
            conversation.end(RetrieveStatus.UNABLE_TO_PROCESS, "an error of the node, see its log")
            return
        if sum(len(form.files) for result in results for form in result.forms[:1]) > _MOST:
            words = f"more than {_MOST} instances: retrieve less at once"
            conversation.end(RetrieveStatus.UNABLE_TO_CALCULATE_MATCHES, words)
            return
        if isinstance(request, C_GET):
            conversation.begin(chosen(results, _usable(association, results)))
            try:
                for file in conversation.remaining():
                    conversation.count(file, *_store(association, file, conversation.next_message_id()))
                conversation.finish()
            except PeerUnavailable as lost:  # and with it whoever would hear the answer
                conversation.fail_rest(str(lost))
        else:
            self._move(conversation, request, results)
        log.info("retrieval_answered", level=level, **conversation.facts())
        self._write_audit(conversation)

    def _write_audit(self, conversation: _Conversation) -> None:
        if self._audit is None:
            return
        caller = Party(conversation.caller, conversation.association.requestor.address)
        title = str(getattr(conversation.request, "MoveDestination", None) or "").strip()
        receiver = Party(title) if title and title != caller.ae_title else caller
        for facts in facts_of(conversation.sent):
            self._audit.write(
                instances_transferred(
                    self._audit.source,
                    Party(self._ae_title),
                    receiver,
                    facts,
                    "R",
                    conversation.reason,
                    requestor=caller,
                )
            )

    def _move(self, conversation: _Conversation, request: C_MOVE, results: Sequence[HeldResult]) -> None:
        title = str(request.MoveDestination or "").strip()
        peer = self._destination(title)
        if peer is None:
            conversation.end(
                RetrieveStatus.MOVE_DESTINATION_UNKNOWN, f"AE title {title} is not in our config"
            )
            return
        if not results:
            conversation.begin([])
            conversation.finish()
            return
        files = [file for result in results for form in result.forms for file in form.files]
        origin = {"originator_aet": conversation.caller, "originator_id": request.MessageID}
        try:
            with associated(peer, self._ae_title, _contexts(files)) as association:
                conversation.begin(chosen(results, _usable(association, results)))
                for file in conversation.remaining():
                    number = conversation.next_message_id()
                    conversation.count(file, *_store(association, file, number, **origin))
        except (PeerUnavailable, NotAcceptedError) as problem:
            if not conversation.begun:
                conversation.begin(chosen(results, dict.fromkeys((f.sop_instance_uid for f in files), True)))
            conversation.fail_rest(str(problem))
        conversation.finish()


@dataclass
class _Conversation:
    """One request, and what is answered to it."""

    association: Association
    request: Request
    context: PresentationContext
    begun: bool = False
    completed: int = 0
    warned: int = 0
    failed: list[str] = field(default_factory=list)
    reason: str = ""
    cancelled: bool = False
    sent: list[Path] = field(default_factory=list)
    _left: list[HeldFile] = field(default_factory=list)

    @property
    def caller(self) -> str:
        """AE title of who asks."""
        return str(self.association.requestor.ae_title).strip()

    def identifier(self) -> Dataset:
        """What is asked for."""
        syntax = self.context.transfer_syntax[0]
        encoded = self.request.Identifier
        if encoded is None:
            raise IdentifierRefusedError("the request has no identifier")
        return decode(encoded, syntax.is_implicit_VR, syntax.is_little_endian, syntax.is_deflated)

    def begin(self, files: Sequence[HeldFile]) -> None:
        """So many sub-operations there will be."""
        self.begun, self._left = True, list(files)

    def remaining(self) -> Iterator[HeldFile]:
        """What is still to be sent, unless the caller has cancelled or gone."""
        while self._left:
            if self.association.acse.is_aborted() or not self.association.dul.is_alive():
                self.fail_rest("the caller has gone")
                return
            if self.association.dimse.cancel_req.pop(self.request.MessageID, None) is not None:
                self.cancelled = True
                return
            yield self._left[0]

    def next_message_id(self) -> int:
        """For the next sub-operation; 0 is no message."""
        done = self.completed + self.warned + len(self.failed)
        return (int(self.request.MessageID) + done) % 65535 + 1

    def count(self, file: HeldFile, status: int | None, words: str) -> None:
        """What became of one sub-operation; None when it could not be tried."""
        self._left.remove(file)
        if status is not None and meaning(status).fate in ("stored", "warning"):
            self.sent.append(file.path)
        if status == Status.SUCCESS:
            self.completed += 1
        elif status is not None and meaning(status).fate == "warning":
            self.warned += 1
        else:
            self.failed.append(file.sop_instance_uid)
            self.reason = self.reason or words
            log.warning(
                "suboperation_failed",
                sop_instance_uid=file.sop_instance_uid,
                calling_ae=self.caller,
                reason=words,
            )
        self._send(Status.PENDING)

    def fail_rest(self, words: str) -> None:
        """Nothing more can be sent."""
        self.reason = self.reason or words
        self.failed += [file.sop_instance_uid for file in self._left]
        self._left = []
        log.warning("retrieval_cut_off", calling_ae=self.caller, reason=words)

    def finish(self) -> None:
        """The last answer: it counts everything."""
        if self.cancelled:
            self._send(Status.CANCEL, "", failed=True)
        elif not self.failed and not self.warned:
            self._send(Status.SUCCESS)
        elif self.completed or self.warned:
            self._send(RetrieveStatus.SUBOPERATIONS_WITH_FAILURES, self.reason, failed=True)
        else:
            self._send(RetrieveStatus.UNABLE_TO_PERFORM_SUBOPERATIONS, self.reason, failed=True)

    def end(self, status: int, words: str) -> None:
        """Nothing was begun."""
        log.warning("retrieval_refused", calling_ae=self.caller, status=f"0x{status:04X}", reason=words)
        self.reason = words
        self._send(status, words, counted=False)

    def facts(self) -> dict[str, Any]:
        """For the log."""
        return {
            "calling_ae": self.caller,
            "destination": str(getattr(self.request, "MoveDestination", None) or self.caller).strip(),
            "completed": self.completed,
            "warnings": self.warned,
            "failed": len(self.failed),
            "cancelled": self.cancelled,
        }

    def _send(self, status: int, words: str = "", *, failed: bool = False, counted: bool = True) -> None:
        response = type(self.request)()
        response.MessageID = self.request.MessageID
        response.MessageIDBeingRespondedTo = self.request.MessageID
        response.AffectedSOPClassUID = self.request.AffectedSOPClassUID
        response.Status = int(status)
        if words:
            response.ErrorComment = words.encode("ascii", "replace").decode()[:64]  # VR LO
        if counted:
            # PS3.4 C.4.2.1.6: the remaining are told while there are any, and of a cancelled retrieval
            if status in (Status.PENDING, Status.CANCEL):
                response.NumberOfRemainingSuboperations = len(self._left)
            response.NumberOfCompletedSuboperations = self.completed
            response.NumberOfWarningSuboperations = self.warned
            response.NumberOfFailedSuboperations = len(self.failed)
        if failed:
            names = Dataset()
            names.FailedSOPInstanceUIDList = self.failed
            syntax = self.context.transfer_syntax[0]
            encoded = encode(names, syntax.is_implicit_VR, syntax.is_little_endian, syntax.is_deflated)
            response.Identifier = BytesIO(encoded or b"")
        self.association.dimse.send_msg(response, self.context.context_id)


def _store(
    association: Association, file: HeldFile, message_id: int, **origin: Any
) -> tuple[int | None, str]:
    """One C-STORE sub-operation: its status and words about it; the status is None if it could not be tried.

    Raises
    ------
    PeerUnavailable
        If the association was lost.
    """
    syntax = _syntax(association, file)
    if syntax is None:
        return None, f"not accepted: SOP class {file.sop_class_uid}"
    verbatim = syntax == file.transfer_syntax_uid
    try:
        sent = file.path if verbatim else dcmread(file.path)
        answer = association.send_c_store(sent, msg_id=message_id, **origin)
    except OSError:
        return None, "the instance is no longer on our disk"
    except RuntimeError as lost:
        raise PeerUnavailable("the association was lost") from lost
    if not answer:
        raise PeerUnavailable("the association was lost, or there was no answer in time")
    status = int(answer.Status)
    return status, f"answered 0x{status:04X} {answer.get('ErrorComment', '') or ''}".strip()


def _usable(association: Association, results: Sequence[HeldResult]) -> dict[str, bool]:
    return {
        file.sop_instance_uid: _syntax(association, file) is not None
        for result in results
        for form in result.forms
        for file in form.files
    }


def _syntax(association: Association, file: HeldFile) -> str | None:
    """The transfer syntax in which an instance can be sent, its own if possible."""
    accepted = {
        str(context.transfer_syntax[0])
        for context in association.accepted_contexts
        if context.as_scu and context.abstract_syntax == file.sop_class_uid
    }
    return next((syntax for syntax in _syntaxes(file) if syntax in accepted), None)


def _syntaxes(file: HeldFile) -> tuple[str, ...]:
    own = file.transfer_syntax_uid
    return tuple(dict.fromkeys((own, *(_UNCOMPRESSED[:2] if own in _UNCOMPRESSED else ()))))


def _contexts(files: Sequence[HeldFile]) -> list[PresentationContext]:
    """One syntax each, so that the peer answers for each."""
    pairs = dict.fromkeys((file.sop_class_uid, syntax) for file in files for syntax in _syntaxes(file))
    return [build_context(*pair) for pair in pairs]
