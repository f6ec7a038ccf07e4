"""Associations that we ask for: who answers, who does not, and why in words.

An association that is refused for good (the peer does not know our AE title) is an answer; one that
cannot be had now (no connection, no answer, a limit reached) is `PeerUnavailable`.
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

from spine_node.errors import PeerUnavailable
from spine_node.network.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION
from spine_node.network.peer import Peer

_PERMANENT = 0x01


class NotAcceptedError(Exception):
    """The peer answered, and will not have us: the association, or each context, was rejected."""


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
        If it rejects the association for good, or none of the contexts.
    """
    ae = AE(calling_ae)
    ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    ae.implementation_version_name = IMPLEMENTATION_VERSION
    ae.connection_timeout = ae.acse_timeout = peer.connect_timeout_s
    ae.dimse_timeout = ae.network_timeout = peer.answer_timeout_s
    association = ae.associate(
        peer.host,
        peer.port,
        contexts=list(contexts),
        ae_title=peer.ae_title,
        max_pdu=0,  # the answers are small, or reports; what we send is cut to the peer's maximum
        ext_neg=list(roles),
        evt_handlers=[(evt.EVT_CONN_OPEN, _send_at_once), *handlers],
    )
    if not association.is_established:
        raise _why_not(association, peer)
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


def _send_at_once(event: evt.Event) -> None:
    # Else a data set's last, short packet waits for the acknowledgement of the one before it.
    transport = event.assoc.dul.socket
    if transport is not None and transport.socket is not None:
        transport.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _why_not(association: Association, peer: Peer) -> Exception:
    answer = association.acceptor.primitive
    if association.is_rejected and answer is not None:
        words = f"{peer} rejected the association: {answer.reason_str}".strip()
        return NotAcceptedError(words) if answer.result == _PERMANENT else PeerUnavailable(words)
    if answer is not None and answer.result == 0:
        return NotAcceptedError(f"{peer} accepts none of the SOP classes offered")
    return PeerUnavailable(f"no association with {peer}: no connection, or no answer in time")
