"""Audit messages on their way to a repository: syslog (RFC 5424) over TLS (RFC 5425) or UDP (RFC 5426).

The trail's files are the queue: what the repository has is a name and an offset, kept beside them. While it
is away nothing is lost and nothing grows but the files, which hold every message anyway. Syslog has no
answers: over TLS a message counts as sent when the repository's system has acknowledged its bytes; after a
lost connection some may be sent twice. Over UDP nobody knows.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import ssl
import struct
import termios
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from spine_node.audit.trail import expire, files_of
from spine_node.errors import ConfigRefused
from spine_node.logs import logger
from spine_node.network.peer import ClientTls
from spine_node.network.repository_url import target_of
from spine_node.network.tls import client_context
from spine_node.network.tls_words import tls_words

FACILITY_AND_SEVERITY = 10 * 8 + 5
"""Security messages, notice (RFC 5424 6.2.1), as PS3.15 A.6 says."""

_CONNECT_S = 10.0
_BATCH_BYTES = 1 << 20
_LONGEST_WAIT_S = 60.0
_HOUSEKEEPING_S = 3600.0

log = logger("audit")


class Repository:
    """Sends a trail on, in a thread of the main process, and deletes its files when their time is over.

    Parameters
    ----------
    folder : Path or None
        Of the trail; None when there is none.
    url : str
        "tls://host:port" or "udp://host:port"; "" keeps the trail here.
    tls : ClientTls, optional
        For a repository over TLS.
    keep_days : float
        Older files go, once they are sent.
    """

    def __init__(self, folder: Path | None, url: str, tls: ClientTls | None, keep_days: float) -> None:
        self._folder, self._tls, self._keep_days = folder or Path(), tls, keep_days
        self._enabled = folder is not None
        self._target = target_of(url) if url else None
        self._position = self._folder / "sent.json"
        self._stopping = threading.Event()
        self._socket: socket.socket | None = None
        self._away = False
        self._thread = threading.Thread(target=self._run, name="audit-repository", daemon=True)

    def start(self) -> None:
        """Begin, if there is a trail."""
        if self._enabled:
            self._thread.start()

    def stop(self, wait_s: float = 5.0) -> None:
        """Stop; what is not sent yet is sent after the next start."""
        self._stopping.set()
        if self._enabled:
            self._thread.join(wait_s)

    def waiting_bytes(self) -> int:
        """How much of the trail the repository does not have yet."""
        name, offset = self._read_position()
        left = [path for path in files_of(self._folder) if path.name >= name]
        return sum(path.stat().st_size for path in left) - (offset if left and left[0].name == name else 0)

    def _run(self) -> None:
        wait_s, next_housekeeping = 1.0, 0.0
        while not self._stopping.wait(wait_s):
            if time.monotonic() >= next_housekeeping:
                next_housekeeping = time.monotonic() + _HOUSEKEEPING_S
                sent = self._read_position()[0] if self._target else None
                for name in expire(self._folder, self._keep_days, sent):
                    log.info("audit_file_expired", file=name, kept_days=self._keep_days)
            if self._target is None:
                continue
            try:
                self._send_new()
            except (OSError, ConfigRefused) as problem:
                self._close()
                reason = tls_words(problem) if isinstance(problem, OSError) else str(problem)
                if not self._away:
                    log.error("audit_repository_away", reason=reason, waiting_bytes=self.waiting_bytes())
                self._away = True
                wait_s = min(wait_s * 2, _LONGEST_WAIT_S)
            else:
                wait_s = 1.0
        self._close()

    def _send_new(self) -> None:
        for lines, position in self._unsent():
            self._send(lines)
            self._write_position(*position)
            if self._away:
                log.info("audit_repository_back")
            self._away = False

    def _unsent(self) -> Iterator[tuple[list[bytes], tuple[str, int]]]:
        """Whole messages in batches, each with the position after it."""
        name, offset = self._read_position()
        for path in files_of(self._folder):
            if path.name < name:
                continue
            with path.open("rb") as file:
                file.seek(offset if path.name == name else 0)
                while lines := file.readlines(_BATCH_BYTES):
                    if not lines[-1].endswith(b"\n"):  # being written
                        file.seek(-len(lines[-1]), os.SEEK_CUR)
                        lines.pop()
                    if not lines:
                        break
                    yield [line.rstrip(b"\n") for line in lines], (path.name, file.tell())

    def _send(self, messages: list[bytes]) -> None:
        assert self._target is not None
        kind, host, port = self._target
        connection = self._socket or self._connect(kind, host, port)
        self._socket = connection
        for message in messages:
            framed = syslog_message(message)
            if kind == "udp":
                connection.send(framed)
            else:
                connection.sendall(b"%d %b" % (len(framed), framed))
        if kind == "tls":
            _wait_for_acknowledgement(connection)

    def _connect(self, kind: str, host: str, port: int) -> socket.socket:
        if kind == "udp":
            address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
            connection = socket.socket(address[0], address[1])
            connection.connect(address[4])
            return connection
        assert self._tls is not None
        plain = socket.create_connection((host, port), _CONNECT_S)
        try:
            return client_context(self._tls).wrap_socket(plain, server_hostname=self._tls.server_name or host)
        except BaseException:
            plain.close()
            raise

    def _close(self) -> None:
        connection, self._socket = self._socket, None
        if connection is not None:
            connection.close()

    def _read_position(self) -> tuple[str, int]:
        try:
            found = json.loads(self._position.read_text(encoding="utf-8"))
            return str(found["file"]), int(found["offset"])
        except (OSError, ValueError, KeyError, TypeError):
            return "", 0

    def _write_position(self, name: str, offset: int) -> None:
        partial = self._position.with_suffix(".part")
        partial.write_text(json.dumps({"file": name, "offset": offset}), encoding="utf-8")
        partial.replace(self._position)


def syslog_message(message: bytes) -> bytes:
    """An audit message as RFC 5424 wraps it (PS3.15 A.6): MSGID DICOM+RFC3881, then UTF-8 with its mark."""
    moment = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    host = socket.gethostname() or "-"
    header = f"<{FACILITY_AND_SEVERITY}>1 {moment} {host} spine-node {os.getpid()} DICOM+RFC3881 - "
    return header.encode("ascii", "replace") + b"\xef\xbb\xbf" + message


def _wait_for_acknowledgement(connection: socket.socket) -> None:
    """Until the peer's system has everything; TimeoutError if it stays behind, OSError if it is gone."""
    deadline = time.monotonic() + _CONNECT_S
    while struct.unpack("i", fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0" * 4))[0]:
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.01)
    connection.settimeout(0.0)
    try:
        if connection.recv(1) == b"":
            raise ConnectionResetError
    except (BlockingIOError, ssl.SSLWantReadError):
        pass  # it has nothing to say: it is there
    finally:
        connection.settimeout(_CONNECT_S)
