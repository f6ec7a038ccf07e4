"""Listening: pynetdicom's threaded server, answering at once, perhaps sharing its port, ending gently."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Sequence
from socketserver import BaseServer
from typing import Any, cast

from pynetdicom import AE
from pynetdicom.transport import ThreadedAssociationServer

from spine_node.errors import Unavailable


class PromptServer(ThreadedAssociationServer):
    """Answers at once: with Nagle's algorithm each answer waits some 40 ms for the peer's delayed ACK."""

    request_queue_size = 64

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


class PortSharingServer(PromptServer):
    """One of several processes on the same port; the kernel spreads connections over them."""

    def server_bind(self) -> None:
        """Bind with SO_REUSEPORT."""
        cast(socket.socket, self.socket).setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        super().server_bind()


def listen(
    ae: AE, host: str, port: int, handlers: Sequence[Any], *, share_port: bool = False
) -> PromptServer:
    """Listen in threads of this process; port 0 lets the system choose.

    Raises
    ------
    Unavailable
        If the address cannot be had (in use, not this machine's, not permitted).
    """
    kind = PortSharingServer if share_port else PromptServer
    try:
        made = ae.make_server((host, port), evt_handlers=list(handlers), server_class=kind)
    except OSError as problem:
        raise Unavailable(f"cannot listen on {host}:{port}: {problem.strerror or problem}") from problem
    server = cast(PromptServer, made)
    threading.Thread(target=server.serve_forever, args=[0.1], name="listening", daemon=True).start()
    return server
