"""Peers that are silent, slow, or lie: each is ended within its limit, and others do not notice."""

from __future__ import annotations

import random
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import psutil
import pydicom
import pytest
from structlog.testing import capture_logs

from spine_node.network import acceptor, upper_layer
from spine_node.network.scu import echo, send
from spine_node.network.seats import Seats
from spine_node.network.statuses import Status
from tests.conftest import make_ct, wait_until
from tests.network.conftest import Receiver, associate
from tests.network.hostile import (
    ABORT,
    DATA,
    REQUEST,
    associated,
    association_request,
    connected,
    fragment,
    has_ended,
    pdu,
    receive,
    store_command,
)

FAR_S = 200.0
"""A limit that no test reaches (a peer here waits 60 s): what ends before was ended for another reason."""


def test_verification_waits_for_none_of_a_hundred_connections_that_say_nothing(
    receiving: Callable[..., Receiver],
) -> None:
    receiver = receiving(association_timeout_s=FAR_S)
    at_rest = threading.active_count()
    with ExitStack() as silent:
        for _ in range(100):
            silent.enter_context(connected(receiver.peer))
        wait_until(lambda: threading.active_count() > at_rest + 80)  # some of an earlier test may end
        before_s = time.process_time()
        time.sleep(1.0)
        assert time.process_time() - before_s < 0.7, "they cost next to nothing"
        for _ in range(5):
            echo(receiver.peer, "CT1")
        assert threading.active_count() > at_rest + 80, "they are there still"
    wait_until(lambda: threading.active_count() < at_rest + 20)


def test_a_connection_that_never_asks_for_an_association_is_closed(
    receiving: Callable[..., Receiver],
) -> None:
    receiver = receiving(association_timeout_s=0.5, idle_timeout_s=FAR_S)
    began = time.monotonic()
    with connected(receiver.peer) as connection:
        assert has_ended(connection)
    assert time.monotonic() - began > 0.4


def test_more_silent_connections_than_there_is_room_for_keep_nobody_out(
    receiving: Callable[..., Receiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that was silent longest gives way; an association does not."""
    receiver = receiving(association_timeout_s=FAR_S)
    monkeypatch.setattr(acceptor, "CONNECTIONS", 8)
    held = associate(receiver.peer)
    with ExitStack() as silent:
        connections = [silent.enter_context(connected(receiver.peer)) for _ in range(20)]
        echo(receiver.peer, "CT1")
        assert has_ended(connections[0])
        assert held.is_established
        assert held.send_c_store(make_ct_like(receiver)).Status == 0
    held.release()


def make_ct_like(receiver: Receiver) -> Path:
    return make_ct(receiver.inbox.root.parent / f"sent{time.monotonic_ns()}", slices=1)[0]


@pytest.mark.parametrize(
    "first",
    [
        pdu(REQUEST, b"", length=0xFFFFFFFF),
        pdu(DATA, b"", length=0xFFFFFFFF),
        pdu(DATA, b"\0" * 64),
        pdu(9, b"", length=4),
        pdu(5, b"", length=1 << 20),
        b"GET / HTTP/1.1\r\nHost: node\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(512),
        pdu(REQUEST, bytes(68)),
        pdu(REQUEST, random.Random(5).randbytes(4000)),
    ],
    ids=["4 GB request", "4 GB data", "data", "unknown", "long release", "HTTP", "TLS", "zeros", "noise"],
)
def test_what_is_no_association_request_ends_the_connection_at_once(
    receiving: Callable[..., Receiver], first: bytes
) -> None:
    receiver = receiving(association_timeout_s=FAR_S, idle_timeout_s=FAR_S)
    with connected(receiver.peer) as connection:
        connection.sendall(first)
        assert has_ended(connection)
    echo(receiver.peer, "CT1")
    wait_until(lambda: not receiver.scp._visits)


@pytest.mark.parametrize(
    "sent",
    [
        pdu(DATA, b"", length=0xFFFFFFFF),
        pdu(DATA, b"", length=(1 << 20) + 1),
        pdu(DATA, struct.pack(">LBB", 0xFFFFFFFF, 1, 3) + b"x" * 90),
        pdu(DATA, struct.pack(">LBB", 1, 1, 3)),
        pdu(DATA, struct.pack(">LBB", 0, 1, 3)),
        pdu(DATA, b"\0\0\0"),
        pdu(DATA, fragment(b"data first", command=False, last=True)),
        pdu(DATA, fragment(b"\0" * 7, command=True, last=True)),
        pdu(DATA, fragment(struct.pack("<HHL", 0, 2, 1 << 30), command=True, last=True)),
        pdu(DATA, fragment(store_command(), command=True, last=True, context_id=9)),
        pdu(DATA, fragment(store_command(), command=True, last=True))
        + pdu(DATA, fragment(store_command(), command=True, last=True)),
        pdu(DATA, fragment(store_command(), command=True, last=True))
        + pdu(DATA, fragment(b"x", command=False, last=False, context_id=3)),
        pdu(DATA, fragment(store_command()[:-1], command=True, last=True)),
        b"".join(pdu(DATA, fragment(bytes(60_000), command=True, last=False)) for _ in range(2)),
        pdu(0x0C, b"x"),
        pdu(ABORT, b"x" * 5),
        pdu(REQUEST, b"x"),
    ],
    ids=[
        "4 GB",
        "1 MB and one",
        "4 GB fragment",
        "short fragment",
        "no fragment",
        "rest",
        "data first",
        "no command",
        "long element",
        "context not accepted",
        "two commands",
        "two contexts",
        "length lies",
        "endless command",
        "unknown",
        "long abort",
        "bad request",
    ],
)
def test_what_is_not_the_protocol_aborts_the_association_at_once_and_gives_its_seat_back(
    receiving: Callable[..., Receiver], sent: bytes
) -> None:
    receiver = receiving(seats=Seats(None, places=1, per_caller=1), idle_timeout_s=FAR_S)
    with connected(receiver.peer) as connection:
        associated(connection, receiver.peer)
        connection.sendall(sent)
        assert has_ended(connection)
    wait_until(lambda: not receiver.scp._visits)
    association = associate(receiver.peer)
    assert association.is_established
    association.release()
    assert not list(receiver.inbox.root.rglob("*.part"))


def test_an_association_that_trickles_ends_at_its_limit(
    receiving: Callable[..., Receiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A byte now and then keeps no seat: neither within a packet nor as packets of a byte."""
    receiver = receiving(idle_timeout_s=4.0)
    long, short = (fragment(bytes(size), command=False, last=False) for size in (5000, 1))
    for begun, trickle in ((pdu(DATA, long)[:-5000], b"\0"), (b"", pdu(DATA, short))):
        with connected(receiver.peer) as connection:
            associated(connection, receiver.peer)
            began, ended = time.monotonic(), False
            connection.sendall(pdu(DATA, fragment(store_command(), command=True, last=True)) + begun)
            connection.settimeout(0.1)
            while not ended and time.monotonic() - began < 60:
                try:
                    connection.sendall(trickle)
                    ended = has_ended(connection)
                except TimeoutError:
                    continue
                except ConnectionError:
                    ended = True
            assert ended
            assert time.monotonic() - began > 3.9
    assert not list(receiver.inbox.root.rglob("*.part"))


def test_a_request_that_trickles_ends_at_its_limit(receiving: Callable[..., Receiver]) -> None:
    receiver = receiving(association_timeout_s=0.6)
    began = time.monotonic()
    with connected(receiver.peer) as connection:
        connection.settimeout(0.1)
        for byte in association_request(receiver.peer):
            try:
                connection.sendall(bytes([byte]))
                assert has_ended(connection)
                break
            except TimeoutError:
                continue
            except ConnectionError:
                break
        else:
            pytest.fail("it had all the time it took")
    assert time.monotonic() - began > 0.5


def test_an_association_that_says_nothing_more_ends_at_its_limit(receiving: Callable[..., Receiver]) -> None:
    receiver = receiving(idle_timeout_s=2.0, association_timeout_s=FAR_S)
    began = time.monotonic()
    with connected(receiver.peer) as connection:
        associated(connection, receiver.peer)
        assert has_ended(connection)
    assert time.monotonic() - began > 1.9


def test_a_long_instance_may_take_longer_than_the_idle_time(receiving: Callable[..., Receiver]) -> None:
    """What moves is not idle."""
    receiver = receiving(idle_timeout_s=3.0)
    piece = pdu(DATA, fragment(bytes(2000), command=False, last=False))
    with connected(receiver.peer) as connection:
        associated(connection, receiver.peer)
        connection.sendall(pdu(DATA, fragment(store_command(), command=True, last=True)))
        for _ in range(12):
            connection.sendall(piece)
            time.sleep(0.3)
        connection.sendall(pdu(DATA, fragment(b"", command=False, last=True)))
        kind, body = receive(connection)
    assert kind == DATA
    assert struct.pack("<HHLH", 0, 0x0900, 2, Status.DATA_SET_DOES_NOT_MATCH_SOP_CLASS) in body


def test_a_peer_that_never_reads_its_answers_ends_at_its_limit(receiving: Callable[..., Receiver]) -> None:
    receiver = receiving(idle_timeout_s=4.0)
    message = pdu(DATA, fragment(store_command(data_set=False), command=True, last=True))
    with connected(receiver.peer) as connection:
        associated(connection, receiver.peer)
        (association,) = receiver.scp._visits
        for end, size in (
            (association.dul.connection.socket, socket.SO_SNDBUF),
            (connection, socket.SO_RCVBUF),
        ):
            end.setsockopt(socket.SOL_SOCKET, size, 4096)
        connection.settimeout(60)
        began, reset = time.monotonic(), False
        while not reset and time.monotonic() - began < 60:
            try:
                connection.sendall(message * 500)
            except ConnectionError:
                reset = True
        assert reset
    wait_until(lambda: not receiver.scp._visits)


def test_an_instance_past_the_limit_is_refused_by_name_and_the_next_one_stored(
    receiving: Callable[..., Receiver], tmp_path: Path
) -> None:
    receiver = receiving(max_instance_bytes=300_000)
    (long,), (short,) = make_ct(tmp_path / "a", 1, rows=512), make_ct(tmp_path / "b", 1, rows=64)
    refused, stored = send(receiver.peer, [long, short], "CT1")
    assert (refused.name, refused.status) == ("refused", Status.TOO_LONG)
    assert "longer than the 300000 bytes" in refused.detail
    assert stored.stored
    assert list(receiver.stored()) == [pydicom.dcmread(short).SOPInstanceUID]
    assert not list(receiver.inbox.root.rglob("*.part"))


def test_a_context_without_a_transfer_syntax_is_no_request(receiver: Receiver) -> None:
    """Found by the fuzzer: it ended the thread of its association with an error of ours."""
    body = association_request(receiver.peer)[6:]
    start = body.index(b"\x20\x00", 68)
    length = struct.unpack(">H", body[start + 2 : start + 4])[0]
    abstract = body[start + 8 : body.index(b"\x40\x00", start)]
    context = struct.pack(">BBHBBBB", 0x20, 0, 4 + len(abstract), 1, 0, 0, 0) + abstract
    with connected(receiver.peer) as connection:
        connection.sendall(pdu(1, body[:start] + context + body[start + 4 + length :]))
        kind, _ = receive(connection)
    assert kind == 7, "an A-ABORT"
    echo(receiver.peer, "CT1")


def test_a_class_in_a_context_for_another_is_refused_by_name(receiver: Receiver) -> None:
    command = store_command().replace(b"1.2.840.10008.5.1.4.1.1.2\0", b"1.2.840.10008.5.1.4.1.1.4\0")
    with connected(receiver.peer) as connection:
        associated(connection, receiver.peer)
        connection.sendall(pdu(DATA, fragment(command, command=True, last=True)))
        connection.sendall(pdu(DATA, fragment(bytes(100), command=False, last=True)))
        _, body = receive(connection)
    assert struct.pack("<HHLH", 0, 0x0900, 2, Status.SOP_CLASS_NOT_SUPPORTED) in body


def test_what_hostile_peers_cost_is_given_back(receiver: Receiver, tmp_path: Path) -> None:
    """Descriptors and threads after 60 broken associations are those of before."""
    me = psutil.Process()
    send(receiver.peer, make_ct(tmp_path, slices=1), "CT1")
    wait_until(lambda: not receiver.scp._visits)
    before = me.num_fds(), threading.active_count()
    for n in range(60):
        with connected(receiver.peer) as connection:
            if n % 3:
                associated(connection, receiver.peer)
                connection.sendall(pdu(DATA, fragment(store_command(), command=True, last=True)))
                connection.sendall(pdu(DATA, fragment(bytes(900), command=False, last=n % 2 == 0), 5000))
            else:
                connection.sendall(association_request(receiver.peer)[: 10 + n])
    wait_until(lambda: not receiver.scp._visits)
    wait_until(lambda: me.num_fds() <= before[0] and threading.active_count() <= before[1])


def test_why_an_association_was_broken_is_in_the_log_by_address(receiver: Receiver) -> None:
    with capture_logs() as events, connected(receiver.peer) as connection:
        associated(connection, receiver.peer)
        connection.sendall(pdu(DATA, b"", length=upper_layer.PDU_LIMITS[DATA] + 1))
        assert has_ended(connection)
        wait_until(lambda: [e for e in events if e["event"] == "association_aborted"])
    (broken,) = [e for e in events if e["event"] == "association_broken"]
    assert broken["reason"] == "a packet of type 04 announces 1048577 bytes"
    assert broken["address"] == "127.0.0.1"
