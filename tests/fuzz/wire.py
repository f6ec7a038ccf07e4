"""Packets of the upper layer and command sets, as they are told to be: true or not (PS3.8 9.3, PS3.7 6.3)."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

APPLICATION = b"1.2.840.10008.3.1.1.1"
VERIFICATION, CT = b"1.2.840.10008.1.1", b"1.2.840.10008.5.1.4.1.1.2"
IMPLICIT, EXPLICIT = b"1.2.840.10008.1.2", b"1.2.840.10008.1.2.1"

NAMES = {1: "RQ", 2: "AC", 3: "RJ", 4: "DATA", 5: "RELEASE-RQ", 6: "RELEASE-RP", 7: "ABORT"}


def pdu(kind: int, body: bytes, length: int | None = None) -> bytes:
    """A packet; its length may lie."""
    return struct.pack(">BBI", kind, 0, (len(body) if length is None else length) & 0xFFFFFFFF) + body


def item(kind: int, body: bytes, length: int | None = None) -> bytes:
    """An item or sub-item; its length may lie."""
    return struct.pack(">BBH", kind, 0, (len(body) if length is None else length) & 0xFFFF) + body


def context(number: int, abstract: bytes, transfer: Sequence[bytes]) -> bytes:
    """A proposed presentation context."""
    inside = item(0x30, abstract) + b"".join(item(0x40, t) for t in transfer)
    return item(0x20, struct.pack(">BBBB", number, 0, 0, 0) + inside)


def user_information(maximum: int = 16384, *more: bytes) -> bytes:
    """Maximum length, implementation class, and what else is negotiated."""
    inside = item(0x51, struct.pack(">I", maximum)) + item(0x52, b"1.2.3.4") + b"".join(more)
    return item(0x50, inside)


def request(
    contexts: Sequence[bytes],
    user: bytes | None = None,
    called: bytes = b"SPINENODE",
    calling: bytes = b"FUZZ",
    version: int = 1,
    application: bytes = APPLICATION,
) -> bytes:
    """An A-ASSOCIATE-RQ."""
    head = struct.pack(">HH16s16s32s", version, 0, called.ljust(16)[:16], calling.ljust(16)[:16], b"")
    items = item(0x10, application) + b"".join(contexts) + (user_information() if user is None else user)
    return pdu(1, head + items)


SOUND = request(
    [context(1, VERIFICATION, [IMPLICIT]), context(3, CT, [EXPLICIT]), context(5, CT, [IMPLICIT])]
)


def element(number: int, value: bytes, group: int = 0, length: int | None = None) -> bytes:
    """An element of a command set."""
    return struct.pack("<HHI", group, number, (len(value) if length is None else length) & 0xFFFFFFFF) + value


def command(elements: Sequence[bytes], *, group_length: bool = True) -> bytes:
    """A command set with its group length."""
    body = b"".join(elements)
    return (element(0, struct.pack("<I", len(body))) if group_length else b"") + body


def store(sop_class: bytes, sop_uid: bytes, number: int = 1) -> list[bytes]:
    """The elements of a C-STORE-RQ."""
    short = struct.Struct("<H").pack
    return [
        element(0x0002, sop_class + b"\0" * (len(sop_class) % 2)),
        element(0x0100, short(1)),
        element(0x0110, short(number)),
        element(0x0700, short(0)),
        element(0x0800, short(0)),
        element(0x1000, sop_uid + b"\0" * (len(sop_uid) % 2)),
    ]


def echo(number: int = 1) -> list[bytes]:
    """The elements of a C-ECHO-RQ."""
    short = struct.Struct("<H").pack
    return [
        element(0x0002, VERIFICATION + b"\0"),
        element(0x0100, short(0x30)),
        element(0x0110, short(number)),
        element(0x0800, short(0x0101)),
    ]


def fragment(number: int, control: int, content: bytes, length: int | None = None) -> bytes:
    """A presentation data value."""
    return (
        struct.pack(">IBB", len(content) + 2 if length is None else length & 0xFFFFFFFF, number, control)
        + content
    )


def message(number: int, command_set: bytes, data: bytes | None = None, size: int = 16000) -> list[bytes]:
    """Packets of a message: its command set, and its data set in fragments."""
    packets = [pdu(4, fragment(number, 3, command_set))]
    for at in range(0, len(data or b""), size):
        piece = (data or b"")[at : at + size]
        packets.append(pdu(4, fragment(number, 2 if at + size >= len(data or b"") else 0, piece)))
    return packets


@dataclass
class Heard:
    """What a peer answered on one connection, in order: names of packets, and statuses of responses."""

    packets: list[str] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    closed: bool = False

    @property
    def outcome(self) -> str:
        """In a word, the last one first."""
        for name in ("RJ", "ABORT"):
            if name in self.packets:
                return {"RJ": "rejected", "ABORT": "aborted"}[name]
        if self.statuses:
            return "success" if self.statuses[-1] == 0 else f"status {self.statuses[-1]:04X}"
        if "RELEASE-RP" in self.packets:
            return "released"
        if "AC" in self.packets:
            return "accepted" + (", closed" if self.closed else "")
        return "closed" if self.closed else "no answer yet"


class Peer:
    """One connection to a node, and what was heard on it."""

    def __init__(self, port: int, timeout_s: float = 5.0) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.heard, self._buffer = Heard(), b""

    def send(self, content: bytes) -> bool:
        """Whether it could be sent."""
        try:
            self.socket.sendall(content)
        except OSError:
            self.heard.closed = True
        return not self.heard.closed

    def listen(self, patience_s: float, until: str | None = None) -> Heard:
        """Take what comes: until a packet of this name, an end of the association, or no more patience."""
        deadline = time.monotonic() + patience_s
        while not self.heard.closed and not {"RJ", "ABORT", "RELEASE-RP", until} & set(self._new()):
            left = deadline - time.monotonic()
            if left <= 0:
                break
            self.socket.settimeout(left)
            try:
                received = self.socket.recv(65536)
            except TimeoutError:
                break
            except OSError:
                received = b""
            if not received:
                self.heard.closed = True
            self._buffer += received
        return self.heard

    def _new(self) -> list[str]:
        names = []
        while len(self._buffer) >= 6:
            kind, _, length = struct.unpack(">BBI", self._buffer[:6])
            if len(self._buffer) < 6 + length:
                break
            body, self._buffer = self._buffer[6 : 6 + length], self._buffer[6 + length :]
            names.append(NAMES.get(kind, f"{kind:02X}"))
            at = body.find(b"\x00\x00\x00\x09\x02\x00\x00\x00") if kind == 4 else -1
            if at >= 0:
                self.heard.statuses.append(struct.unpack_from("<H", body, at + 8)[0])
        self.heard.packets += names
        return names

    def close(self) -> None:
        """Gone."""
        self.socket.close()


def echoed(port: int) -> float:
    """Seconds that a C-ECHO takes from connecting to its answer.

    Raises
    ------
    AssertionError
        If it is not answered with success.
    """
    began = time.monotonic()
    peer = Peer(port)
    try:
        peer.send(request([context(1, VERIFICATION, [IMPLICIT])], calling=b"WATCH"))
        peer.listen(5.0, "AC")
        peer.send(message(1, command(echo()))[0])
        heard = peer.listen(5.0, "DATA")
        took = time.monotonic() - began
        assert heard.statuses == [0], f"C-ECHO was answered {heard.packets} {heard.statuses}"
        peer.send(pdu(5, b"\0\0\0\0"))
        peer.listen(1.0)
    finally:
        peer.close()
    return took
