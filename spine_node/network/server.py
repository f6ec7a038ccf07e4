"""Listening: pynetdicom's threaded server, answering at once, ending gently; sockets to share."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from socketserver import BaseServer
from typing import Any, cast

from pynetdicom import AE
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import ThreadedAssociationServer

from spine_node.errors import Unavailable

BACKLOG = 128
"""Connections that the kernel holds until a process accepts them."""


@dataclass(frozen=True, slots=True)
class Service:
    """What a port answers beside storing: contexts that are accepted, and (event, handler, arguments)."""

    contexts: tuple[PresentationContext, ...]
    handlers: tuple[tuple[Any, ...], ...]


class PromptServer(ThreadedAssociationServer):
    """Answers at once: with Nagle's algorithm each answer waits some 40 ms for the peer's delayed ACK."""

    request_queue_size = BACKLOG

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        """Accept a connection."""
        connection, address = super().get_request()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection, address

    def shutdown(self) -> None:
        """Accept no more; associations go on."""
        BaseServer.shutdown(self)
        self.server_close()

    def end(self, grace_s: float) -> None:
        """Accept no more, let associations end by themselves for `grace_s`, then abort the rest."""
        self.shutdown()
        deadline = time.monotonic() + grace_s
        while self.active_associations and time.monotonic() < deadline:
            time.sleep(0.02)
        for association in self.active_associations:
            association.abort()
        for association in self.active_associations:
            association.join(timeout=5.0)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.server_address[1])


def bound(host: str, port: int) -> socket.socket:
    """A listening socket that several processes may accept on; port 0 lets the system choose.

    Raises
    ------
    Unavailable
        If the address cannot be had (in use, not this machine's, not permitted).
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        # A restart need not wait for the last connections' TIME_WAIT; two listeners are still refused.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as problem:
        listener.close()
        raise Unavailable(f"cannot listen on {host}:{port}: {problem.strerror or problem}") from problem
    return listener


def listen(ae: AE, host: str, port: int, handlers: Sequence[Any]) -> PromptServer:
    """Listen in threads of this process; port 0 lets the system choose.

    Raises
    ------
    Unavailable
        If the address cannot be had (in use, not this machine's, not permitted).
    """
    try:
        made = ae.make_server((host, port), evt_handlers=list(handlers), server_class=PromptServer)
    except OSError as problem:
        raise Unavailable(f"cannot listen on {host}:{port}: {problem.strerror or problem}") from problem
    server = cast(PromptServer, made)
    threading.Thread(target=server.serve_forever, args=[0.1], name="listening", daemon=True).start()
    return server
