"""What a connection must show before DICOM is spoken on it: on the plain port DICOM, on the other TLS.

Runs in a thread of the connection, never in the one that accepts: a caller that says nothing, or speaks
the wrong language, holds up nobody, and not for longer than the time-out.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections.abc import Callable

from spine_node.network.peer import ServerTls
from spine_node.network.tls import ServerContext
from spine_node.network.tls_words import tls_words

Door = Callable[[socket.socket], socket.socket]
"""Takes an accepted connection, gives the one to speak DICOM on; raises NotLetInError."""

_TLS_HANDSHAKE, _A_ASSOCIATE_RQ = 0x16, 0x01
_MOST_READ_AFTER_LAST_WORD = 16
_TLS_ALERT = bytes([0x15, 3, 1, 0, 2, 2, 40])  # RFC 8446 6: fatal, handshake_failure
_A_ABORT = bytes([7, 0, 0, 0, 0, 4, 0, 0, 2, 0])  # PS3.8 9.3.8: by the service provider, no reason given


class NotLetInError(Exception):
    """The connection is closed; the message says why, for the log and the audit trail.

    Attributes
    ----------
    harmless : bool
        Nobody tried to get in: the probe of a load balancer, a cable that was pulled.
    """

    def __init__(self, reason: str, *, harmless: bool = False) -> None:
        super().__init__(reason)
        self.harmless = harmless


def plain_door(timeout_s: float) -> Door:
    """The door of the plain port: a TLS ClientHello is told that there is none."""

    def enter(connection: socket.socket) -> socket.socket:
        first = _first_byte(connection, time.monotonic() + timeout_s)
        if first == _TLS_HANDSHAKE:
            _say(connection, _TLS_ALERT)
            raise NotLetInError(
                "a TLS ClientHello arrived on the plain port: the caller speaks TLS, which has a port of its "
                "own ([scp] tls_port)"
            )
        return connection

    return enter


def tls_door(tls: ServerTls) -> Door:
    """The door of the TLS port; ConfigRefused if a file of [tls] cannot be used."""
    context = ServerContext(tls)

    def enter(connection: socket.socket) -> socket.socket:
        deadline = time.monotonic() + tls.handshake_timeout_s
        first = _first_byte(connection, deadline)
        if first == _A_ASSOCIATE_RQ:
            _say(connection, _A_ABORT)
            raise NotLetInError("plain DICOM arrived on the TLS port: the caller does not speak TLS")
        if first != _TLS_HANDSHAKE:
            raise NotLetInError(f"no TLS ClientHello arrived on the TLS port, but a byte 0x{first:02X}")
        try:
            return _handshake(connection, context(), deadline)
        except OSError as problem:
            raise NotLetInError(f"TLS: {tls_words(problem)}") from problem

    return enter


def _first_byte(connection: socket.socket, deadline: float) -> int:
    """What the caller says first, left where it is."""
    try:
        connection.settimeout(max(deadline - time.monotonic(), 0.001))
        first = connection.recv(1, socket.MSG_PEEK)
        connection.settimeout(None)
    except TimeoutError:
        raise NotLetInError("the caller said nothing", harmless=True) from None
    except OSError as problem:
        raise NotLetInError(
            f"the connection was lost at once: {problem.strerror}", harmless=True
        ) from problem
    if not first:
        raise NotLetInError("the caller closed the connection without a word", harmless=True)
    return first[0]


def _handshake(connection: socket.socket, context: ssl.SSLContext, deadline: float) -> ssl.SSLSocket:
    """One deadline for all of it: with a time-out for each read a caller could send a byte at a time."""
    secured = context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
    try:
        secured.setblocking(False)
        while True:
            try:
                secured.do_handshake()
                break
            except ssl.SSLWantReadError:
                _wait(secured, select.POLLIN, deadline)
            except ssl.SSLWantWriteError:
                _wait(secured, select.POLLOUT, deadline)
        secured.setblocking(True)
    except OSError:
        # OpenSSL has written an alert that says why: it arrives only if the connection ends in order.
        _drain(socket.socket(fileno=secured.detach()))
        raise
    return secured


def _wait(connection: ssl.SSLSocket, event: int, deadline: float) -> None:
    ready = select.poll()  # not select.select: it refuses descriptors above 1023
    ready.register(connection, event)
    if not ready.poll(max(deadline - time.monotonic(), 0.0) * 1000):
        raise TimeoutError


def _say(connection: socket.socket, message: bytes) -> None:
    """A last word, so that the caller's log says more than "connection lost"; whether it arrives or not."""
    try:
        connection.sendall(message)
        _drain(connection)
    except OSError:
        pass


def _drain(connection: socket.socket) -> None:
    """Close after what we said: unread bytes would make the system reset it, and our word be lost."""
    with connection:
        try:
            connection.settimeout(0.5)
            connection.shutdown(socket.SHUT_WR)
            for _ in range(_MOST_READ_AFTER_LAST_WORD):
                if not connection.recv(4096):
                    break
        except OSError:
            pass
