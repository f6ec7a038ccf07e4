"""The rules of `access` on pynetdicom's associations: who is rejected, and which contexts are left."""

from __future__ import annotations

import ssl

from pynetdicom import evt
from pynetdicom.association import Association

from spine_node.audit.messages import Party, security_alert
from spine_node.audit.trail import AuditTrail
from spine_node.logs import logger
from spine_node.network.access import Access, Admitted, Refusal
from spine_node.network.tls import certificate_of

log = logger("scp")


def judge(association: Association, access: Access, audit: AuditTrail | None = None) -> Admitted | None:
    """Judge who asks for an association, in EVT_REQUESTED; None when it has been rejected.

    The peer is told the standard's reason; the log says what was seen and what was expected.
    """
    request = association.requestor.primitive
    connection = association.dul.socket.socket if association.dul.socket else None
    shown = certificate_of(connection) if isinstance(connection, ssl.SSLSocket) else None
    address = association.requestor.address
    decision = access.admit(request.calling_ae_title, request.called_ae_title, address, shown)
    if isinstance(decision, Admitted):
        return decision
    if audit is not None:
        who = Party(request.calling_ae_title.strip(), address)
        audit.write(security_alert(audit.source, who, decision.reason))
    refuse(association, decision)
    return None


def admit(association: Association, admitted: Admitted) -> None:
    """Leave the caller the contexts that it has a right to; the others are rejected in negotiation."""
    # Roles that the caller proposes, by SOP class: (SCU, SCP). An SCP of a storage class wants C-GET.
    roles = {uid: item.scp_role for uid, item in association.requestor.role_selection.items()}
    association.acceptor.supported_contexts = [
        context
        for context in association.acceptor.supported_contexts
        if admitted.accepts(
            str(context.abstract_syntax), caller_is_scp=bool(roles.get(context.abstract_syntax))
        )
    ]


def refuse(association: Association, refusal: Refusal) -> None:
    """Reject who asks for an association."""
    request = association.requestor.primitive
    association.requestor.ae_title = request.calling_ae_title
    log.warning(
        "association_refused",
        calling_ae=request.calling_ae_title,
        called_ae=request.called_ae_title,
        address=association.requestor.address,
        reason=refusal.reason,
    )
    association.acse.send_reject(*refusal.rejection)
    evt.trigger(association, evt.EVT_REJECTED, {})
    association.kill()
