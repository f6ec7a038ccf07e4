"""Peers that do not behave: raw sockets and packets made by hand (PS3.8 9.3)."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import A_ASSOCIATE, MaximumLengthNotification
from pynetdicom.presentation import build_context

from spine_node.network.peer import Peer

CT, EXPLICIT = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1"
REQUEST, ACCEPTED, REJECTED, DATA, ABORT = 1, 2, 3, 4, 7
TLS_ALERT = 0x15  # as who speaks TLS is told (RFC 8446 5.1)


@contextmanager
def connected(peer: Peer) -> Iterator[socket.socket]:
    with socket.create_connection((peer.host, peer.port), timeout=60) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield connection


def pdu(kind: int, body: bytes, length: int | None = None) -> bytes:
    """A packet, perhaps one that lies about its length."""
    return struct.pack(">BBL", kind, 0, len(body) if length is None else length) + body


def fragment(content: bytes, *, command: bool, last: bool, context_id: int = 1) -> bytes:
    return struct.pack(">LBB", len(content) + 2, context_id, command | last << 1) + content


def association_request(peer: Peer, calling_ae: str = "HOSTILE") -> bytes:
    """Proposes CT Image Storage, as context 1."""
    request = A_ASSOCIATE()
    request.application_context_name = "1.2.840.10008.3.1.1.1"
    request.calling_ae_title, request.called_ae_title = calling_ae, peer.ae_title
    length = MaximumLengthNotification()
    length.maximum_length_received = 16384
    request.user_information = [length]
    context = build_context(CT, EXPLICIT)
    context.context_id = 1
    request.presentation_context_definition_list = [context]
    from pynetdicom.pdu_primitives import ImplementationClassUIDNotification

    implementation = ImplementationClassUIDNotification()
    implementation.implementation_class_uid = "1.2.3"
    request.user_information = [length, implementation]
    return A_ASSOCIATE_RQ(request).encode()


def store_command(sop_instance_uid: str = "1.2.3.4", *, data_set: bool = True) -> bytes:
    values = {
        0x0002: CT.encode() + b"\0" * (len(CT) % 2),
        0x0100: struct.pack("<H", 1),
        0x0110: struct.pack("<H", 7),
        0x0700: struct.pack("<H", 0),
        0x0800: struct.pack("<H", 1 if data_set else 0x0101),
        0x1000: sop_instance_uid.encode() + b"\0" * (len(sop_instance_uid) % 2),
    }
    body = b"".join(struct.pack("<HHL", 0, e, len(v)) + v for e, v in values.items())
    return struct.pack("<HHLL", 0, 0, 4, len(body)) + body


def receive(connection: socket.socket) -> tuple[int, bytes]:
    """The next packet: its kind and body; kind 0 when the connection has ended."""
    header = _exactly(connection, 6)
    if header is None:
        return 0, b""
    kind, _, length = struct.unpack(">BBL", header)
    return kind, _exactly(connection, length) or b""


def associated(connection: socket.socket, peer: Peer, calling_ae: str = "HOSTILE") -> None:
    connection.sendall(association_request(peer, calling_ae))
    kind, _ = receive(connection)
    assert kind == ACCEPTED


def has_ended(connection: socket.socket) -> bool:
    """Whether the peer aborts or closes, and says nothing else first; waits for it."""
    kind, _ = receive(connection)
    return kind in (0, ABORT, TLS_ALERT)


def _exactly(connection: socket.socket, size: int) -> bytes | None:
    found = b""
    while len(found) < size:
        try:
            piece = connection.recv(size - len(found))
        except ConnectionError:
            return None
        if not piece:
            return None
        found += piece
    return found
