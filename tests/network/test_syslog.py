"""The trail on its way to a repository: everything, in order, also what was written while it was away."""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from spine_node.audit.messages import Source, application_activity
from spine_node.audit.trail import append, files_of
from spine_node.network.repository_url import target_of
from spine_node.network.syslog import Repository
from spine_node.network.tls import server_context
from tests.conftest import free_port, wait_until
from tests.network.certificates import Hospital

US = Source("SPINENODE", "node1", 42)
HEADER = re.compile(rb"<85>1 [0-9T:.-]+Z \S+ spine-node \d+ DICOM\+RFC3881 - \xef\xbb\xbf(<AuditMessage>.*)")


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Hospital:
    return Hospital(tmp_path_factory.mktemp("certificates"))


def messages(number: int) -> list[str]:
    return [application_activity(US, started=n % 2 == 0) for n in range(number)]


@contextmanager
def tls_repository(hospital: Hospital, port: int, received: list[str]) -> Iterator[None]:
    """Takes octet-counted messages (RFC 5425) from who has a certificate."""
    context = server_context(hospital.server())
    stopping = threading.Event()

    def serve() -> None:
        while not stopping.is_set():
            try:
                with context.wrap_socket(listening.accept()[0], server_side=True) as connection:
                    stream = connection.makefile("rb")
                    while length := _length(stream):
                        found = HEADER.fullmatch(stream.read(length))
                        assert found
                        received.append(found[1].decode())
            except (OSError, ssl.SSLError):
                continue

    with socket.create_server(("127.0.0.1", port)) as listening:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield
        stopping.set()
        listening.shutdown(socket.SHUT_RDWR)


def _length(stream) -> int:  # type: ignore[no-untyped-def]
    digits = b""
    while (byte := stream.read(1)) not in (b" ", b""):
        digits += byte
    return int(digits or b"0")


def test_a_repository_over_tls_gets_what_was_written_before_while_it_was_away_and_after(
    hospital: Hospital, tmp_path: Path
) -> None:
    port, received = free_port(), []
    sent = messages(30)
    append(tmp_path, sent[:10], 1000)

    def repository() -> Repository:
        return Repository(tmp_path, f"tls://127.0.0.1:{port}", hospital.client(hospital.node), 1000)

    with capture_logs() as events:
        sending = repository()
        sending.start()
        wait_until(lambda: [e for e in events if e["event"] == "audit_repository_away"])
        append(tmp_path, sent[10:20], 1000)
        with tls_repository(hospital, port, received):
            wait_until(lambda: len(received) == 20)
            wait_until(lambda: [e for e in events if e["event"] == "audit_repository_back"])
            sending.stop()
            append(tmp_path, sent[20:], 1000)
            again = repository()
            again.start()
            wait_until(lambda: len(received) >= 30)
            again.stop()
    assert received == sent
    assert again.waiting_bytes() == 0
    assert len(files_of(tmp_path)) > 1


def test_a_repository_that_is_not_ours_gets_nothing(hospital: Hospital, tmp_path: Path) -> None:
    port, received = free_port(), []
    append(tmp_path, messages(3), 1000)
    tls = hospital.client(hospital.node, ca=hospital.foreign_ca)
    sending = Repository(tmp_path, f"tls://127.0.0.1:{port}", tls, 1000)
    with capture_logs() as events, tls_repository(hospital, port, received):
        sending.start()
        wait_until(lambda: [e for e in events if e["event"] == "audit_repository_away"])
        sending.stop()
    assert "not among those of our ca" in events[0]["reason"]
    assert received == []
    assert sending.waiting_bytes() > 0


def test_a_repository_over_udp_gets_one_message_a_datagram(tmp_path: Path) -> None:
    sent = messages(5)
    append(tmp_path, sent, 10_000)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.settimeout(120)
        sending = Repository(tmp_path, f"udp://127.0.0.1:{listening.getsockname()[1]}", None, 1000)
        sending.start()
        received = [HEADER.fullmatch(listening.recv(65535))[1].decode() for _ in sent]  # type: ignore[index]
        sending.stop()
    assert received == sent


@pytest.mark.parametrize("url", ["http://host", "tls://", "tls://host/path", "udp://user@host", "host:514"])
def test_what_is_no_repository_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="is no repository: write tls://host:port"):
        target_of(url)
