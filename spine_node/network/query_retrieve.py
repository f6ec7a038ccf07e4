"""Query/Retrieve of our own results as a service of the SCP: its contexts, its negotiation, who answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pynetdicom import evt
from pynetdicom.presentation import build_context

from spine_node.audit.trail import AuditTrail
from spine_node.network.contexts import (
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    PATIENT_ROOT_GET,
    QUERY_RETRIEVE,
    RESULT_CLASSES,
    STUDY_ROOT_GET,
)
from spine_node.network.held import Holder
from spine_node.network.identifiers import relational_agreed
from spine_node.network.peer import Peer
from spine_node.network.query_scp import QuerySCP
from spine_node.network.retrieve_scp import RetrieveSCP
from spine_node.network.server import Service


def query_retrieve(
    holder: Holder,
    ae_title: str,
    destination: Callable[[str], Peer | None],
    most_matches: int = 1000,
    audit: AuditTrail | None = None,
) -> Service:
    """C-FIND, C-GET and C-MOVE in Patient Root and Study Root.

    Parameters
    ----------
    holder : Holder
    ae_title : str
        Ours.
    destination : callable
        Takes an AE title and gives the peer that C-MOVE may send to, or None.
    most_matches : int
        Answers to one query.
    audit : AuditTrail, optional
        Where it is written who asked and was sent what.
    """
    query = QuerySCP(holder, ae_title, most_matches, audit)
    retrieve = RetrieveSCP(holder, ae_title, destination, audit)
    return Service(
        tuple(build_context(uid, [EXPLICIT_LITTLE, IMPLICIT_LITTLE]) for uid in QUERY_RETRIEVE),
        (
            (evt.EVT_CONN_OPEN, lambda event: retrieve.serve_on(event.assoc)),
            (evt.EVT_SOP_EXTENDED, _on_sop_extended),
            (evt.EVT_REQUESTED, _on_requested),
            (evt.EVT_C_FIND, query.on_c_find),
        ),
    )


def _on_sop_extended(event: evt.Event) -> Mapping[str, bytes]:
    proposed = {str(uid): bytes(information) for uid, information in event.app_info.items()}
    return relational_agreed(proposed, QUERY_RETRIEVE)


def _on_requested(event: evt.Event) -> None:
    """Offer to send results to a caller that may use C-GET and takes the SCP's role for their classes.

    Without that role the classes of results are not accepted: nobody stores results with us. Comes behind
    the judgement of who calls, which leaves a caller the contexts that it has a right to.
    """
    association = event.assoc
    supported = association.acceptor.supported_contexts
    open_to_it = {str(context.abstract_syntax) for context in supported}
    if not open_to_it & {PATIENT_ROOT_GET, STUDY_ROOT_GET}:
        return
    wanted = {str(uid) for uid, role in association.requestor.role_selection.items() if role.scp_role}
    for uid in sorted(wanted & RESULT_CLASSES.keys() - open_to_it):
        context = build_context(uid, list(RESULT_CLASSES[uid]))
        context.scu_role, context.scp_role = False, True
        supported.append(context)
    association.acceptor.supported_contexts = supported
