"""Associations that we ask for: who answers, who does not, and why in words.

An association that is refused for good (the peer does not know our AE title) or for what it was to carry
is an answer; one that cannot be had now (no connection, no answer, a limit reached) is `PeerUnavailable`.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import PresentationContext

from spine_node.errors import ConfigRefused, PeerUnavailable
from spine_node.network.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION
from spine_node.network.peer import Peer
from spine_node.network.tls import PeerContext, client_context

_PERMANENT = 0x01
_TLS_ALERT = 0x15  # RFC 8446 5.1, the first byte of an alert record


class NotAcceptedError(Exception):
    """The peer answered, and will not have us: the association, or each context, was rejected."""


class AssociationRejectedError(NotAcceptedError):
    """It does not know our AE title, or its own as we call it: settings, whatever we would have sent."""


@contextmanager
def associated(
    peer: Peer,
    calling_ae: str,
    contexts: Sequence[PresentationContext],
    *,
    roles: Sequence[SCP_SCU_RoleSelectionNegotiation] = (),
    handlers: Sequence[tuple[Any, ...]] = (),
) -> Iterator[Association]:
    """An association with the peer, released at the end, aborted when the body raises.

    Parameters
    ----------
    roles, handlers
        For an association on which the peer sends too (C-GET): for which classes, and who takes it.

    Raises
    ------
    PeerUnavailable
        If the peer cannot be reached, does not answer, aborts, or rejects for the time being.
    NotAcceptedError
        If it accepts none of the contexts.
    AssociationRejectedError
        If it rejects the association for good.
    """
    ae = AE(calling_ae)
    ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    ae.implementation_version_name = IMPLEMENTATION_VERSION
    ae.connection_timeout = ae.acse_timeout = peer.connect_timeout_s
    ae.dimse_timeout = ae.network_timeout = peer.answer_timeout_s
    secure = _secure(peer)
    heard = _Heard()
    association = ae.associate(
        peer.host,
        peer.port,
        contexts=list(contexts),
        ae_title=peer.ae_title,
        max_pdu=0,  # the answers are small, or reports; what we send is cut to the peer's maximum
        ext_neg=list(roles),
        evt_handlers=[(evt.EVT_CONN_OPEN, _on_connected, [heard, peer.answer_timeout_s]), *handlers],
        tls_args=None if secure is None else (secure, _server_name(peer)),  # type: ignore[arg-type]
    )
    if not association.is_established:
        raise _why_not(association, peer, secure, heard)
    _keep_answers(association)
    try:
        yield association
    except BaseException:
        association.abort()
        raise
    association.release()


def require_answer(peer: Peer, status: object, request: str) -> None:
    """Raise PeerUnavailable when pynetdicom's answer is empty: a timeout, an abort, a lost connection."""
    if not status:
        raise PeerUnavailable(f"{peer} did not answer {request}: the association was lost or timed out")


def _keep_answers(association: Association) -> None:
    """Give an answer that the reactor thread took by mistake back to the thread that waits for it.

    pynetdicom pauses its reactor while a request is under way, but takes a reactor that is just waking
    for a paused one; on a busy machine it then takes the answer, warns of an unexpected message and
    drops it, and the request times out.
    """
    serve = association._serve_request

    def serve_or_give_back(message: Any, context_id: int) -> None:
        if message.is_valid_response:
            association.dimse.msg_queue.put((context_id, message))
        else:
            serve(message, context_id)

    association._serve_request = serve_or_give_back  # type: ignore[method-assign]


class _Heard:
    """The first byte that a peer answered with: pynetdicom drops what is no PDU."""

    first: int | None = None

    def listen_to(self, transport: Any) -> None:
        receive = transport.recv

        def hearing(wanted: int) -> bytearray:
            received: bytearray = receive(wanted)
            if self.first is None and received:
                self.first = received[0]
            return received

        transport.recv = hearing


def _secure(peer: Peer) -> PeerContext | None:
    if peer.tls is None:
        return None
    try:
        return client_context(peer.tls)
    except ConfigRefused as problem:
        raise PeerUnavailable(f"{peer} is to be called with TLS, and {problem}") from problem


def _server_name(peer: Peer) -> str:
    return (peer.tls.server_name if peer.tls else "") or peer.host


def _on_connected(event: evt.Event, heard: _Heard, patience_s: float) -> None:
    transport = event.assoc.dul.socket
    if transport is not None and transport.socket is not None:
        # Else a data set's last, short packet waits for the acknowledgement of the one before it.
        transport.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Else a peer that stops in the middle of a packet keeps a thread for good.
        transport.socket.settimeout(patience_s)
        heard.listen_to(transport)


def _why_not(association: Association, peer: Peer, secure: PeerContext | None, heard: _Heard) -> Exception:
    answer = association.acceptor.primitive
    if association.is_rejected and answer is not None:
        words = f"{peer} rejected the association: {answer.reason_str}".strip()
        return AssociationRejectedError(words) if answer.result == _PERMANENT else PeerUnavailable(words)
    # Accepted, and lost before anybody could use it, is no word about SOP classes.
    if answer is not None and answer.result == 0 and not association.accepted_contexts:
        return NotAcceptedError(f"{peer} accepts none of the SOP classes offered")
    why = "no connection, or no answer in time"
    if secure is not None and secure.reason:
        why = secure.reason
    elif heard.first == _TLS_ALERT:
        why = "the peer speaks TLS on this port, not plain DICOM (tls = true)"
    return PeerUnavailable(f"no association with {peer}: {why}")
