"""Accepting associations on a listening socket that several processes may share.

Each connection becomes an `AcceptedAssociation`: pynetdicom's, but that its two threads sleep until
something happens. Connections that have not asked for an association yet are bounded: when there are too
many, the one that has been silent longest is closed, so that silent ones keep nobody out.
"""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Callable, Sequence
from queue import Queue
from typing import Any, cast

from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.transport import AddressInformation

from spine_node.logs import logger
from spine_node.network.connection import Connection
from spine_node.network.doors import Door, NotLetInError
from spine_node.network.server import PromptServer
from spine_node.network.upper_layer import Storage, UpperLayer

CONNECTIONS = 256
"""How many connections one process keeps, silent ones among them; an association needs two threads."""

_IDLE_EVERY_S = 0.5
_FULL = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

log = logger("scp")


class _TellingQueue(Queue[Any]):
    """Tells when something was put into it."""

    def __init__(self, told: threading.Event) -> None:
        super().__init__()
        self._told = told

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        super().put(item, block, timeout)
        self._told.set()


class AcceptedAssociation(Association):
    """An association that a peer has asked us for, or a connection that may become one.

    Attributes
    ----------
    opened : float
        When the connection was accepted (seconds of `time.monotonic`).
    """

    def __init__(
        self,
        server: AssociationServer,
        connection: socket.socket,
        address: tuple[Any, ...],
    ) -> None:
        super().__init__(server.ae, "acceptor")
        self.name = f"AcceptorThread@{address[0]}:{address[1]}"  # by this name pynetdicom finds it
        self.opened = time.monotonic()
        self._server = server
        self._told = threading.Event()
        self.dul = UpperLayer(self, server.storage)
        self.acse_timeout, self.network_timeout = self.ae.acse_timeout, self.ae.network_timeout
        self.dul.to_user_queue = _TellingQueue(self._told)
        self.dimse.msg_queue = _TellingQueue(self._told)
        self.set_socket(Connection(self, connection))
        self.acceptor.maximum_length = self.ae.maximum_pdu_size
        self.acceptor.ae_title = server.ae_title
        self.acceptor.address_info = AddressInformation.from_tuple(cast(Any, server.server_address))
        self.acceptor.implementation_class_uid = self.ae.implementation_class_uid
        self.acceptor.implementation_version_name = self.ae.implementation_version_name
        self.acceptor.supported_contexts = server.contexts
        self.requestor.address_info = AddressInformation.from_tuple(cast(Any, address))

    @property
    def is_silent(self) -> bool:
        """Whether no association has been asked for yet."""
        return self.requestor.primitive is None

    def hang_up(self) -> None:
        """Close the connection from another thread; the association's own threads then end."""
        connection = self.dul.socket
        if connection is not None:
            connection._shutdown_socket()
            self.dul.connection.stir()

    def run_reactor(self) -> None:
        """Serve the peer until the association has ended, however that is."""
        try:
            if self._enter():
                super().run_reactor()
        finally:
            self.dul.kill_dul()
            cast(AssociationServer, self._server).ended(self)

    def _enter(self) -> bool:
        """Pass the door; False when the connection was turned away, and said so in the log."""
        accepted = cast(Connection, self.dul.socket)
        if accepted.socket is None:
            return False
        try:
            passed = cast(AssociationServer, self._server).door(accepted.socket)
            passed.setblocking(False)
        except NotLetInError as problem:
            cast(AssociationServer, self._server).turned_away(self.requestor.address, problem)
            accepted.dispose()
            return False
        accepted.socket = passed
        return True

    def _run_reactor(self) -> None:
        """pynetdicom's loop over messages, releases and aborts, asleep while there is none."""
        while not self._kill:
            self._is_paused = True
            self._told.wait(_IDLE_EVERY_S)
            self._told.clear()
            self._reactor_checkpoint.wait()
            self._is_paused = False
            if not self._reactor_checkpoint.is_set():
                continue  # a request of ours begins: its answer is not for this thread
            context_id, message = self.dimse.get_msg(block=False)
            if message:
                self._told.set()  # there may be more
                self._serve_request(message, cast(int, context_id))
            if self.is_established and self.acse.is_release_requested():
                self.acse.send_release(is_response=True)
                self.is_released, self.is_established = True, False
                evt.trigger(self, evt.EVT_RELEASED, {})
                self.kill()
            elif self.acse.is_aborted():
                self.dul.receive_pdu(wait=False)
                self.is_aborted, self.is_established = True, False
                evt.trigger(self, evt.EVT_ABORTED, {})
                self.kill()
            elif not self.dul.is_alive():
                self.kill()
            elif self.dul.idle_timer_expired():
                log.warning("association_idle", address=self.requestor.address, after_s=self.network_timeout)
                self.abort()
                self.kill()


class AssociationServer(PromptServer):
    """Accepts on a socket that is bound and listening already, perhaps together with other processes.

    Attributes
    ----------
    storage : Storage
        Where C-STORE requests go.
    ended : callable
        Told of each association, and each connection that became none, when it is over.
    door : Door
        What a connection must pass before it may ask for an association.
    turned_away : callable
        Told the address and the reason of each that did not.
    """

    storage: Storage
    ended: Callable[[AcceptedAssociation], None]
    door: Door
    turned_away: Callable[[str, NotLetInError], None]

    def __init__(self, listener: socket.socket, *arguments: Any, **named: Any) -> None:
        self._listener = listener
        super().__init__(*arguments, **named)

    def server_bind(self) -> None:
        """Take the given socket in the place of the one that the base class has made."""
        cast(socket.socket, self.socket).close()
        self.socket = self._listener
        self.server_address = self._listener.getsockname()

    def server_activate(self) -> None:
        """Nothing to do: it listens."""

    def server_close(self) -> None:
        """Close this process's hold of the socket; others go on accepting."""
        self._listener.close()

    def service_actions(self) -> None:
        """Nothing: pynetdicom would collect garbage here, every six seconds and for all to feel."""

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        """Accept a connection; who has more associations is slower to, so that processes share them out."""
        time.sleep(min(len(self.active_associations), 20) * 0.0005)
        try:
            return super().get_request()
        except OSError as problem:
            if problem.errno in _FULL:
                log.error("cannot_accept", reason=problem.strerror)
                time.sleep(0.1)  # the connection waits in the backlog; do not spin
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        """Make an association of a connection."""
        held = self.active_associations
        if len(held) >= CONNECTIONS:
            silent = [a for a in cast(list[AcceptedAssociation], held) if a.is_silent]
            if not silent:
                log.warning("connection_refused", address=client_address[0], open=len(held))
                self.shutdown_request(request)
                return
            oldest = min(silent, key=lambda association: association.opened)
            log.warning("silent_connection_closed", address=oldest.requestor.address, open=len(held))
            oldest.hang_up()
        association = AcceptedAssociation(self, request, client_address)
        for event, handlers in self._handlers.items():
            if event.is_intervention:
                if handlers:
                    association.bind(event, *handlers)  # type: ignore[misc]
            else:
                for handler, arguments in cast(list[tuple[Callable[..., Any], list[Any] | None]], handlers):
                    association.bind(event, handler, arguments)
        evt.trigger(association, evt.EVT_CONN_OPEN, {"address": client_address})
        association.start()

    def end(self, grace_s: float) -> None:
        """Accept no more, let associations end by themselves for `grace_s`, then abort the rest."""
        self.shutdown()
        for silent in (a for a in cast(list[AcceptedAssociation], self.active_associations) if a.is_silent):
            silent.hang_up()
        super().end(grace_s)


def accept(
    ae: AE,
    listener: socket.socket,
    handlers: Sequence[Any],
    storage: Storage,
    ended: Callable[[AcceptedAssociation], None],
    door: Door,
    turned_away: Callable[[str, NotLetInError], None],
) -> AssociationServer:
    """Accept associations on a listening socket, in threads of this process, until the server is ended.

    Each connection passes `door` first, in its own thread: the TLS handshake of one keeps no other waiting.
    """

    def make(*arguments: Any, **named: Any) -> AssociationServer:
        server = AssociationServer(listener, *arguments, **named)
        server.storage, server.ended = storage, ended
        server.door, server.turned_away = door, turned_away
        return server

    server = cast(
        AssociationServer,
        ae.make_server(listener.getsockname(), evt_handlers=list(handlers), server_class=make),  # type: ignore[arg-type]
    )
    threading.Thread(target=server.serve_forever, args=[0.1], name="listening", daemon=True).start()
    return server
