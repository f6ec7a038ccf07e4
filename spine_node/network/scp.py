"""The receiving side: an SCP that answers C-ECHO and keeps what C-STORE brings.

The life of an association: who calls is asked, and whether there is a seat (`_admit`); its contexts are
negotiated; each C-STORE request is asked whether it may be (`_may_store`), goes to the disk as it comes, is
read as far as its Series Instance UID, kept by the inbox (fsync, rename, fsync) and only then answered with
success (`arriving`); its end is logged and its seat given back.
Nothing else happens in a network thread: no pixel is decoded, no series judged. Imports neither torch nor
highdicom.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Protocol, cast
from weakref import WeakKeyDictionary

from pynetdicom import AE, evt
from pynetdicom.association import Association

from spine_node.audit.messages import NODE_AUTHENTICATION, RESTRICTED_FUNCTION, Code, Party, security_alert
from spine_node.audit.trail import AuditTrail
from spine_node.logs import logger
from spine_node.network.acceptor import AssociationServer, accept
from spine_node.network.access import Access, Admitted, Refusal, everybody
from spine_node.network.admission import admit, judge, refuse
from spine_node.network.arriving import Arrivals, Arriving, InstanceDraft, Tally, Visit
from spine_node.network.commands import StoreRequest
from spine_node.network.contexts import VERIFICATION, storage_contexts
from spine_node.network.doors import Door, NotLetInError, plain_door
from spine_node.network.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION
from spine_node.network.seats import NoSeatError, Seats
from spine_node.network.server import Service, bound
from spine_node.network.statuses import Status

MAXIMUM_PDU_BYTES = 131072
"""Measured: at the usual 16 KiB the same stream needs eight times the reads, and half the speed is lost."""

log = logger("scp")


class InstanceStore(Protocol):
    """Where instances go: `spine_node.inbox.Inbox`, which this floor must not know."""

    def draft(self) -> InstanceDraft:
        """Room for the next instance; OSError if there is none."""
        ...


class StoreRefusedError(Exception):
    """A C-STORE that is not taken: its status, and a comment for the sender."""

    def __init__(self, status: Status, why: str) -> None:
        super().__init__(why)
        self.status = status


LOCAL_LIMIT_EXCEEDED = (2, 3, 2)
"""Transient, by the presentation service: come back later."""

_NO_LIMIT_OF_PYNETDICOM = 1 << 20


class StorageSCP:
    """A Storage and Verification SCP on one port.

    Parameters
    ----------
    ae_title : str
        Called AE title; at most 16 characters.
    host : str
        Address to listen on; 127.0.0.1 serves this machine only, "" every interface.
    port : int
        0 lets the system choose one; `start` gives it.
    inbox : InstanceStore
    access : Access, optional
        Who may open an association, and for what; by default everybody, to store.
    door : Door, optional
        What a connection must pass first: `doors.tls_door` makes this a TLS port; by default DICOM at once.
    audit : AuditTrail, optional
        Where it is written who was turned away, and what has come from whom.
    seats : Seats, optional
        How many associations may be open at once, perhaps counted over several processes. More are
        rejected as transient ("local limit exceeded"): the sender tries again.
    association_timeout_s : float
        A connection that has not asked for an association by then is closed (PS3.8 9.1.5, ARTIM).
    idle_timeout_s : float
        An association that is silent this long is aborted.
    max_instance_bytes : int
        A longer instance is refused while it comes.
    arrivals : Arrivals, optional
        Told at most once a second, and when an association ends, what has come.
    listener : socket, optional
        A listening socket (`server.bound`) to accept on, perhaps with other processes; by default one of
        this object's own, on host and port.
    services : sequence of Service
        What else is answered on this port (`commitment.commitment_answers`).
    """

    def __init__(
        self,
        ae_title: str,
        host: str,
        port: int,
        inbox: InstanceStore,
        *,
        access: Access | None = None,
        door: Door | None = None,
        audit: AuditTrail | None = None,
        seats: Seats | None = None,
        association_timeout_s: float = 15.0,
        idle_timeout_s: float = 60.0,
        max_instance_bytes: int = 4_000_000_000,
        arrivals: Arrivals | None = None,
        listener: socket.socket | None = None,
        services: Sequence[Service] = (),
    ) -> None:
        self._access = access or everybody(ae_title)
        self._admitted: WeakKeyDictionary[Association, Admitted] = WeakKeyDictionary()
        self._door = door or plain_door(association_timeout_s)
        self._audit = audit
        self._inbox = inbox
        self._address = (host, port)
        self._listener = listener
        self._seats = seats or Seats(None, places=32, per_caller=32)
        self._ae = AE(ae_title)
        self._ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        self._ae.implementation_version_name = IMPLEMENTATION_VERSION
        self._ae.maximum_pdu_size = MAXIMUM_PDU_BYTES
        self._ae.maximum_associations = _NO_LIMIT_OF_PYNETDICOM
        self._ae.network_timeout = idle_timeout_s
        self._ae.acse_timeout = association_timeout_s
        self._max_instance_bytes = max_instance_bytes
        self._tally = Tally(arrivals)
        # two services may share a class, such as both sides of storage commitment
        for context in (*storage_contexts(), *(c for service in services for c in service.contexts)):
            syntaxes = cast(list[str], context.transfer_syntax)
            uid = cast(str, context.abstract_syntax)
            self._ae.add_supported_context(uid, syntaxes, context.scu_role, context.scp_role)
        self._services = tuple(services)
        self._server: AssociationServer | None = None
        self._visits: dict[Association, Visit] = {}

    def start(self) -> int:
        """Listen, in threads of this process; gives the port.

        Raises
        ------
        Unavailable
            If the address cannot be had (in use, not this machine's, not permitted).
        """
        handlers = [
            (evt.EVT_CONN_OPEN, self._on_open),
            (evt.EVT_REQUESTED, self._on_requested),
            (evt.EVT_RELEASED, self._on_released),
            *(handler for service in self._services for handler in service.handlers),
        ]
        host, port = self._address
        listener = self._listener or bound(host, port)
        self._tally.start()
        self._server = accept(
            self._ae, listener, handlers, self, self._on_end, self._door, self._on_turned_away
        )
        log.info("listening", ae_title=self._ae.ae_title, host=host, port=self._server.port)
        return self._server.port

    def stop(self, grace_s: float = 10.0) -> None:
        """Accept no more, let associations end by themselves for `grace_s`, then abort the rest.

        Nothing acknowledged is lost: what was answered with success is on disk.
        """
        server, self._server = self._server, None
        if server is not None:
            server.end(grace_s)
            self._tally.stop()
            log.info("stopped", ae_title=self._ae.ae_title)

    def begin(self, association: Association, request: StoreRequest) -> Arriving:
        """A C-STORE request has come: where its data set goes. A refusal is told when all of it has come."""
        visit = self._visits[association]
        arriving = Arriving(request, visit, self._tally, self._max_instance_bytes)
        try:
            self._may_store(association, request)
            context = association._accepted_cx[request.context_id]
            arriving.open(self._inbox.draft, str(context.transfer_syntax[0]))
        except StoreRefusedError as refusal:
            arriving.refuse(refusal.status, str(refusal))
        except ValueError as problem:
            arriving.refuse(Status.CANNOT_UNDERSTAND, str(problem))
        except OSError as problem:
            arriving.refuse(Status.OUT_OF_RESOURCES, f"not stored: {problem.strerror or problem}")
        except Exception:  # noqa: BLE001 - a bug of ours: the sender may try again, the operator is told
            arriving.fail()
        return arriving

    def broken(self, association: Association, reason: str) -> None:
        """What a peer sends is not the protocol, or past its limits: its association ends here."""
        visit = self._visits.get(association) or Visit(association.requestor.address)
        log.warning("association_broken", reason=reason, address=visit.address, calling_ae=visit.calling_ae)
        self._alert(Party(visit.calling_ae, visit.address), reason, RESTRICTED_FUNCTION)

    def _may_store(self, association: Association, request: StoreRequest) -> None:
        """Raise StoreRefusedError unless this association may store this class."""
        abstract_syntax = association._accepted_cx[request.context_id].abstract_syntax
        if request.sop_class_uid != abstract_syntax:
            raise StoreRefusedError(
                Status.SOP_CLASS_NOT_SUPPORTED, f"the context is for {abstract_syntax}, not for this class"
            )
        if not association._accepted_cx[request.context_id].as_scp:
            raise StoreRefusedError(Status.SOP_CLASS_NOT_SUPPORTED, "in this context we send, by C-GET")
        if not self._admitted[association].may_store(request.sop_class_uid):
            raise StoreRefusedError(Status.NOT_AUTHORISED, "this caller may not store this SOP class")

    def _on_open(self, event: evt.Event) -> None:
        self._visits[event.assoc] = Visit(address=event.assoc.requestor.address)

    def _on_turned_away(self, address: str, turned_away: NotLetInError) -> None:
        write = log.info if turned_away.harmless else log.warning
        write("connection_refused", address=address, reason=str(turned_away))
        if not turned_away.harmless:
            self._alert(Party("", address), str(turned_away))

    def _on_requested(self, event: evt.Event) -> None:
        """Reject who may not call, or not now; leave to the others the contexts that they have a right to."""
        association = event.assoc
        admitted = judge(association, self._access, self._audit)
        if admitted is None:
            return
        request = association.requestor.primitive
        calling_ae, proposed = request.calling_ae_title.strip(), request.presentation_context_definition_list
        echo_only = all(context.abstract_syntax == VERIFICATION for context in proposed)
        try:
            visit = self._visits[association]
            visit.calling_ae = calling_ae
            visit.seat = self._seats.take(calling_ae, echo_only=echo_only)
        except NoSeatError as full:
            refuse(association, Refusal(str(full), LOCAL_LIMIT_EXCEEDED))
            return
        self._admitted[association] = admitted
        admit(association, admitted)

    def _on_released(self, event: evt.Event) -> None:
        self._visits[event.assoc].ended = "released"

    def _on_end(self, association: Association) -> None:
        visit = self._visits.pop(association)
        if visit.seat is None:
            if association.requestor.primitive is None:
                log.info("connection_closed", address=visit.address, reason="no association was asked for")
            return
        self._seats.leave(visit.seat)
        log.info(f"association_{visit.ended}", calling_ae=visit.calling_ae, **visit.facts())
        sender = Party(visit.calling_ae, visit.address)
        if self._audit is not None:
            for message in visit.received(self._audit.source, sender):
                self._audit.write(message)
        if visit.too_long:
            words = f"{visit.too_long} instances were longer than {self._max_instance_bytes} bytes"
            self._alert(sender, words, RESTRICTED_FUNCTION)

    def _alert(self, peer: Party, words: str, kind: Code = NODE_AUTHENTICATION) -> None:
        if self._audit is not None:
            self._audit.write(security_alert(self._audit.source, peer, words, kind))
