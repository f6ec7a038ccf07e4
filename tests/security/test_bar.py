"""Nobody in who does not belong: each attempt is refused, logged and audited, and the node still serves."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pydicom
import pytest
from pydicom import Dataset
from pynetdicom import AE

from spine_node.config import load_settings
from spine_node.errors import PeerUnavailable
from spine_node.network.peer import Peer
from spine_node.network.scu import echo, send
from tests.audit.schema import problems
from tests.conftest import make_ct, wait_until
from tests.network.hostile import association_request, pdu
from tests.security.conftest import NOBODY, GuardedNode

FIND = "1.2.840.10008.5.1.4.1.2.2.1"

Attempt = Callable[[GuardedNode], Any]


def calls(peer: str, calling_ae: str, **changes: Any) -> Attempt:
    def attempt(node: GuardedNode) -> None:
        with pytest.raises(PeerUnavailable):
            echo(replace(getattr(node, peer), **changes), calling_ae)

    return attempt


def shows(who: str | None, ca: str = "ca") -> Attempt:
    def attempt(node: GuardedNode) -> None:
        pair = getattr(node.hospital, who) if who else None
        tls = node.hospital.client(pair, getattr(node.hospital, ca))
        with pytest.raises(PeerUnavailable):
            echo(replace(node.secured, tls=tls), "CT1")

    return attempt


def secures(node: GuardedNode) -> None:
    with pytest.raises(PeerUnavailable):
        echo(replace(node.plain, tls=node.secured.tls), "CT1")


def says(make: Callable[[Peer], bytes], port: str = "plain") -> Attempt:
    """Raw bytes; the node must end the connection."""

    def attempt(node: GuardedNode) -> None:
        peer: Peer = getattr(node, port)
        with socket.create_connection((peer.host, peer.port), 120) as connection:
            try:
                connection.sendall(make(peer))
                while connection.recv(65536):
                    pass
            except ConnectionError:
                pass  # ended, and not gently

    return attempt


def titles_of_65000_characters(peer: Peer) -> bytes:
    """The fields of an A-ASSOCIATE-RQ are 16 bytes; a body that long after them is no item of it."""
    body = bytearray(association_request(peer)[6:])
    return pdu(1, bytes(body[:20]) + b"A" * 65_000 + bytes(body[36:]))


def title_of_control_characters(peer: Peer) -> bytes:
    return association_request(peer, "A" * 16).replace(b"A" * 16, b"\x07\x1b[2J\r\n\0" * 2)


def syntaxes(number: int) -> Callable[[Peer], bytes]:
    """An A-ASSOCIATE-RQ whose one context proposes so many transfer syntaxes."""

    def make(peer: Peer) -> bytes:
        body = association_request(peer, "CT1")[6:]
        start = body.index(b"\x20\x00", 68)
        length = struct.unpack(">H", body[start + 2 : start + 4])[0]
        offered = b"\x40\x00\x00\x01\x31" * number
        context = body[start + 4 : start + 4 + length] + offered
        item = struct.pack(">BBH", 0x20, 0, len(context)) + context
        return pdu(1, body[:start] + item + body[start + 4 + length :])

    return make


def contexts(number: int) -> Callable[[Peer], bytes]:
    """An A-ASSOCIATE-RQ with so many presentation contexts (PS3.8 allows 128)."""

    def make(peer: Peer) -> bytes:
        body = association_request(peer, "CT1")[6:]
        start = body.index(b"\x20\x00", 68)
        length = struct.unpack(">H", body[start + 2 : start + 4])[0] + 4
        return pdu(1, body[:start] + body[start : start + length] * number + body[start + length :])

    return make


ATTEMPTS: dict[str, tuple[Attempt, str]] = {
    "an unknown AE title": (calls("plain", "STRANGER"), "'STRANGER' is not among the callers"),
    "an unknown AE title over TLS": (calls("secured", "STRANGER"), "'STRANGER' is not among the callers"),
    "a wrong address": (calls("plain", "FAR"), "FAR may call from 192.0.2.0/24, not from 127.0.0.1"),
    "another's AE title over TLS": (
        calls("secured", "BOUND"),
        "BOUND must show the certificate CN=elsewhere",
    ),
    "a bound AE title without TLS": (calls("plain", "BOUND"), "and showed none"),
    "another called AE title": (calls("plain", "CT1", ae_title="OTHER"), "calls AE title 'OTHER'"),
    "no certificate": (shows(None), "the caller showed no certificate"),
    "an expired certificate": (shows("expired"), "its certificate has expired"),
    "a certificate of a wrong authority": (shows("foreign"), "not among those of our ca"),
    "plain DICOM on the TLS port": (calls("secured", "CT1", tls=None), "plain DICOM arrived on the TLS port"),
    "TLS on the plain port": (secures, "a TLS ClientHello arrived on the plain port"),
    "HTTP on the TLS port": (says(lambda _: b"GET / HTTP/1.1\r\n\r\n", "secured"), "but a byte 0x47"),
}

OVERSIZED: dict[str, Callable[[Peer], bytes]] = {
    "a length field of 4 GB": lambda _: pdu(1, b"\0" * 100, 0xFFFFFFFF),
    "a request of 2 MB": lambda _: pdu(1, b"\0" * (2 << 20)),
    "AE titles of 65000 characters": titles_of_65000_characters,
    "129 contexts": contexts(129),
    "15000 contexts": contexts(15_000),
    "13000 transfer syntaxes": syntaxes(13_000),
    "an AE title of control characters": title_of_control_characters,
    "a release of 1 MB first": lambda _: pdu(5, b"\0" * (1 << 20)),
    "data of 16 MB before an association": lambda _: pdu(4, b"\0" * (16 << 20)),
}

TURNED_OUT = ("association_broken", "association_refused", "connection_refused")


@pytest.mark.parametrize("name", ATTEMPTS)
def test_who_does_not_belong_is_refused_logged_and_audited_and_the_node_serves(
    node: GuardedNode, name: str
) -> None:
    attempt, words = ATTEMPTS[name]
    logged, audited = len(node.log()), len(node.audit())
    attempt(node)

    def told() -> bool:
        lines, messages = node.log()[logged:], node.audit()[audited:]
        return any(words in str(line.get("reason", "")) for line in lines) and any(
            "Security Alert" in message and _plain(words) in message for message in messages
        )

    wait_until(told)
    node.serves()


def _plain(words: str) -> str:
    """As XML text has it: control characters are none of its."""
    words = "".join(c if c >= " " else "?" for c in words)
    return words.replace("&", "&amp;").replace("<", "&lt;")


@pytest.mark.parametrize("name", OVERSIZED)
def test_whatever_is_oversized_is_ended_logged_and_audited_and_the_node_serves(
    node: GuardedNode, name: str
) -> None:
    logged, audited = len(node.log()), len(node.audit())
    says(OVERSIZED[name])(node)

    def told() -> bool:
        reasons = [line["reason"] for line in node.log()[logged:] if line["event"] in TURNED_OUT]
        alerts = [message for message in node.audit()[audited:] if "Security Alert" in message]
        return any(_plain(reason) in message for reason in reasons for message in alerts)

    wait_until(told)
    node.serves()


def test_memory_stays_small_after_all_that(node: GuardedNode) -> None:
    for make in OVERSIZED.values():
        says(make)(node)
    receivers = [p for p in node.processes() if "receiver" in of_living(p.cmdline)]
    assert receivers
    assert all(p.memory_info().rss < 400e6 for p in receivers)


def test_the_listening_sockets_are_those_of_the_config(node: GuardedNode) -> None:
    """Of the node and of all its processes: the two ports, on loopback, and nothing else, TCP or UDP."""
    scp = load_settings(node.folder / "node.toml", {}).scp
    found = set()
    for process in node.processes():
        for connection in of_living(process.net_connections, "inet"):
            if connection.status == psutil.CONN_LISTEN or connection.type == socket.SOCK_DGRAM:
                found.add((connection.laddr.ip, connection.laddr.port))
    assert found == {("127.0.0.1", scp.port), ("127.0.0.1", scp.tls_port)}


def test_the_node_runs_as_a_plain_user_from_an_install_that_it_cannot_change(node: GuardedNode) -> None:
    """All of its processes; what it writes lies below its own folder, for nobody else to read."""
    if not node.plain_user:
        absent = shutil.which("setpriv") is None
        if absent and os.environ.get("CI") == "true":
            pytest.fail("not installed: setpriv")
        why = "not installed: setpriv" if absent else "no other user may read this interpreter and checkout"
        pytest.skip(f"the node runs as root here, in CI too ({why}; a checkout outside of /root may help)")
    wait_until(lambda: any(line["event"] == "worker_ready" for line in node.log()))
    if os.getuid() == 0:
        for status in (of_living(Path(f"/proc/{p.pid}/status").read_text) for p in node.processes()):
            assert not status or f"\nUid:\t{NOBODY}\t{NOBODY}\t{NOBODY}\t{NOBODY}\n" in status
            assert not status or "NoNewPrivs:\t1" in status
    written = [
        path
        for process in node.processes()
        for path in (file.path for file in of_living(process.open_files) if file.mode not in ("r",))
    ]
    assert written
    assert all(Path(path).is_relative_to(node.folder) or path.startswith("/dev/") for path in written), (
        written
    )
    assert (node.folder / "data" / "audit").stat().st_mode & 0o077 == 0


def of_living(ask: Callable[..., Any], *arguments: Any) -> Any:
    """What a process answers; nothing where it has just ended, as what a library starts may."""
    try:
        return ask(*arguments)
    except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        return ""


def test_a_connection_cannot_be_made_but_on_loopback(node: GuardedNode) -> None:
    for address in {a.address for addresses in psutil.net_if_addrs().values() for a in addresses}:
        if "." in address and not address.startswith("127."):
            with socket.socket() as probe:
                probe.settimeout(2)
                assert probe.connect_ex((address, node.plain.port)) != 0


MARKERS = ("Marker^Quentin", "Quentin", "MRK-31415", "19310415", "Marker of Quentin")


def marked(path: Path, **changes: Any) -> Path:
    ds = pydicom.dcmread(path)
    ds.PatientName, ds.PatientID, ds.PatientBirthDate = MARKERS[0], MARKERS[2], MARKERS[3]
    ds.PatientComments = MARKERS[4]
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    ds.save_as(path)
    return path


def test_no_log_line_error_or_list_tells_who_a_patient_is(node: GuardedNode, tmp_path: Path) -> None:
    """Through storing, refusals of instances and of a series, a query by name; the audit trail has the id."""
    paths = [marked(path) for path in make_ct(tmp_path / "whole", slices=5)]
    outcomes = list(send(node.plain, paths, "CT1"))
    assert all(outcome.stored for outcome in outcomes)
    (alone,) = [marked(p, SeriesInstanceUID="") for p in make_ct(tmp_path / "broken", slices=1)]
    (refused,) = send(node.secured, [alone], "CT1")
    assert refused.name == "refused"
    gap = [marked(p) for p in make_ct(tmp_path / "gap", slices=6) if p.stem != "0003"]
    assert all(outcome.stored for outcome in send(node.plain, gap, "CT1"))
    ask_by_name(node.plain)
    series = {str(pydicom.dcmread(p).SeriesInstanceUID) for p in (paths[0], gap[0])}
    settled = ("series_refused", "series_ignored", "series_failed", "refused", "failed")
    wait_until(
        lambda: series <= {str(line.get("series_uid")) for line in node.log() if line["event"] in settled}
    )
    said = [(node.folder / "node.log").read_text(errors="replace"), *(o.detail for o in (*outcomes, refused))]
    for words in (["studies"], ["studies", "--json"]):
        done = subprocess.run(
            [sys.executable, "-m", "spine_node", *words, "--config", str(node.folder / "node.toml")],
            capture_output=True, text=True, check=False, timeout=600,
        )  # fmt: skip
        said += [done.stdout, done.stderr]
    for reason in (node.folder / "data" / "inbox").rglob("reason.txt"):
        said.append(reason.read_text())
    for marker in MARKERS:
        assert not [text for text in said if marker in text], f"{marker} was told"
    wait_until(lambda: any(MARKERS[2] in message for message in node.audit()))
    assert not any(MARKERS[1] in message for message in node.audit() if "110112" not in message)


def ask_by_name(peer: Peer) -> None:
    ae = AE("CT1")
    ae.add_requested_context(FIND)
    identifier = Dataset()
    identifier.QueryRetrieveLevel, identifier.PatientName = "STUDY", MARKERS[0]
    association = ae.associate(peer.host, peer.port, ae_title=peer.ae_title)
    assert association.is_established
    answers = [
        status.Status for status, _ in association.send_c_find(identifier, "1.2.840.10008.5.1.4.1.2.2.1")
    ]
    association.release()
    assert answers[-1] == 0


def test_every_audit_message_of_the_node_is_valid(node: GuardedNode, tmp_path: Path) -> None:
    """Of its start, of transfers and alerts of both ports, of a query; and of whatever else it met before."""
    for peer in (node.plain, node.secured):
        assert all(o.stored for o in send(peer, make_ct(tmp_path / str(peer.port), slices=1), "CT1"))
    for name in ("an unknown AE title", "no certificate"):
        ATTEMPTS[name][0](node)
    ask_by_name(node.plain)

    def told() -> bool:
        messages = node.audit()
        return all(
            sum(f'csd-code="{event}"' in message for message in messages) >= number
            for event, number in {"110100": 1, "110104": 2, "110112": 1, "110113": 2}.items()
        )

    wait_until(told)
    assert [found for message in node.audit() for found in problems(message)] == []
    assert (node.folder / "data" / "audit").stat().st_mode & 0o077 == 0
