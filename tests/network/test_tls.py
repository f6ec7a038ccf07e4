"""DICOM over TLS, both ways: who belongs gets through, and everybody else is told what to put right."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest
from structlog.testing import capture_logs

from spine_node.errors import ConfigRefused, PeerUnavailable
from spine_node.inbox import Inbox
from spine_node.network.access import Access, Caller
from spine_node.network.doors import tls_door
from spine_node.network.peer import ClientTls, Peer
from spine_node.network.scp import StorageSCP
from spine_node.network.scu import echo, send
from spine_node.network.tls import SUITES, certificate_facts, client_context, server_context
from tests.conftest import free_port, make_ct, wait_until
from tests.network.certificates import Hospital, Pair
from tests.network.conftest import Receiver, encoded


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Hospital:
    return Hospital(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def secure(receiving: Callable[..., Receiver], hospital: Hospital) -> Receiver:
    """A node's TLS port, and itself as a peer of the caller that has a good certificate."""
    return secured(receiving(door=tls_door(hospital.server())), hospital.client(hospital.caller))


def secured(receiver: Receiver, tls: ClientTls) -> Receiver:
    return replace(receiver, peer=replace(receiver.peer, tls=tls))


def refusal_of(peer: Peer) -> str:
    with pytest.raises(PeerUnavailable) as refused:
        echo(peer, "CT1")
    return str(refused.value)


def reasons(events: list[dict[str, str]]) -> list[str]:
    return [e["reason"] for e in events if e["event"] == "connection_refused"]


def test_a_study_over_tls_arrives_byte_for_byte(secure: Receiver, tmp_path: Path) -> None:
    paths = make_ct(tmp_path / "sent", slices=3, rows=300)
    assert all(outcome.stored for outcome in send(secure.peer, paths, "CT1"))
    by_uid = {pydicom.dcmread(path).SOPInstanceUID: encoded(path) for path in paths}
    assert {uid: encoded(path) for uid, path in secure.stored().items()} == by_uid


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_1_3_are_spoken_with_the_suites_of_the_profile(
    secure: Receiver, hospital: Hospital, version: ssl.TLSVersion
) -> None:
    context = client_context(hospital.client(hospital.caller))
    context.minimum_version = context.maximum_version = version
    with (
        socket.create_connection(("127.0.0.1", secure.peer.port), 60) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        suite = connection.cipher()[0]
    assert suite in SUITES if version == ssl.TLSVersion.TLSv1_2 else suite.startswith("TLS_")


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], "TLS: the peer speaks only TLS older than 1.2"),
        (["-tls1_2", "-cipher", "AES128-SHA256"], "TLS: no cipher suite in common"),
        (["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256"], "TLS: no cipher suite in common"),
    ],
)
def test_nothing_weaker_is_agreed_to(
    secure: Receiver, hospital: Hospital, option: list[str], words: str
) -> None:
    own = ["-cert", hospital.caller.certificate, "-key", hospital.caller.key]
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{secure.peer.port}", *own, *option]
    with capture_logs() as events:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=600
        )
        assert done.returncode != 0
        wait_until(lambda: reasons(events))
    assert words in reasons(events)[0]


@pytest.mark.parametrize(
    ("who", "ca", "server_name", "theirs", "ours"),
    [
        ("nobody", "ca", "", "wants a certificate of ours", "the caller showed no certificate"),
        ("expired", "ca", "", "our certificate has expired", "its certificate has expired"),
        ("foreign", "ca", "", "does not know the authority", "not among those of our ca"),
        ("caller", "foreign_ca", "", "not among those of our ca", "does not know the authority"),
        ("caller", "ca", "pacs.hospital.example", "is for another host name", "not accept our certificate"),
    ],
)
def test_who_does_not_belong_is_told_why_on_both_sides_and_the_next_is_served(
    secure: Receiver, hospital: Hospital, who: str, ca: str, server_name: str, theirs: str, ours: str
) -> None:
    pair: Pair | None = getattr(hospital, who, None)
    tls = hospital.client(pair, getattr(hospital, ca), server_name)
    with capture_logs() as events:
        assert theirs in refusal_of(replace(secure.peer, tls=tls))
        wait_until(lambda: reasons(events))
    assert ours in reasons(events)[0]
    echo(secure.peer, "CT1")


def test_plain_dicom_on_the_tls_port_is_said_on_both_sides(secure: Receiver) -> None:
    with capture_logs() as events:
        refusal_of(replace(secure.peer, tls=None))
        wait_until(lambda: reasons(events))
    assert reasons(events) == ["plain DICOM arrived on the TLS port: the caller does not speak TLS"]
    echo(secure.peer, "CT1")


def test_tls_on_the_plain_port_is_said_on_both_sides(receiver: Receiver, hospital: Hospital) -> None:
    with capture_logs() as events:
        said = refusal_of(replace(receiver.peer, tls=hospital.client(hospital.caller)))
        wait_until(lambda: reasons(events))
    assert "a TLS ClientHello arrived on the plain port" in reasons(events)[0]
    assert "the peer refused the handshake" in said
    echo(receiver.peer, "CT1")


def test_a_peer_that_speaks_only_plain_dicom_gets_nothing_and_is_named(
    hospital: Hospital, tmp_path: Path
) -> None:
    """Never plain instead of TLS. The peer answers a ClientHello as dcmtk does: by an A-ABORT."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            connection = listening.accept()[0]
            with connection:
                connection.recv(1)
                connection.sendall(bytes([7, 0, 0, 0, 0, 4, 0, 0, 2, 0]))
                while connection.recv(4096):
                    pass

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        peer = Peer("pacs", "PACS", *listening.getsockname(), tls=hospital.client(hospital.caller))
        assert "the peer speaks plain DICOM on this port, not TLS" in refusal_of(peer)
        thread.join(60)


def test_a_peer_that_speaks_only_tls_is_named_when_called_plainly() -> None:
    """As most TLS servers do, it answers plain text by an alert."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def alert() -> None:
            connection = listening.accept()[0]
            with connection:
                connection.recv(1)
                connection.sendall(bytes([0x15, 3, 1, 0, 2, 2, 70]))
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(4096):
                    pass

        thread = threading.Thread(target=alert, daemon=True)
        thread.start()
        said = refusal_of(Peer("pacs", "PACS", *listening.getsockname()))
        thread.join(60)
    assert "the peer speaks TLS on this port, not plain DICOM" in said


def test_a_certificate_may_be_bound_to_a_caller(
    receiving: Callable[..., Receiver], hospital: Hospital
) -> None:
    """The same authority signed for many devices; each may use its own AE title only."""
    rules = (
        Caller("CT1", certificate="CN=cbct1,O=Hospital"),
        Caller("CT2", certificate=certificate_facts(hospital.elsewhere.certificate).sha256),
        Caller("CT3"),
    )
    receiver = secured(
        receiving(door=tls_door(hospital.server()), access=Access("NODE", rules)),
        hospital.client(hospital.caller),
    )
    echo(receiver.peer, "CT1")
    echo(receiver.peer, "CT3")
    with capture_logs() as events, pytest.raises(PeerUnavailable, match="Calling AE title not recognised"):
        echo(receiver.peer, "CT2")
    (refused,) = [e for e in events if e["event"] == "association_refused"]
    assert "CN=cbct1" in refused["reason"]


def test_callers_without_a_certificate_are_let_in_where_the_config_says_so(
    receiving: Callable[..., Receiver], hospital: Hospital
) -> None:
    door = tls_door(hospital.server(client_certificates=False))
    rules = (Caller("CT1"), Caller("CT2", certificate="CN=cbct1"))
    receiver = secured(receiving(door=door, access=Access("NODE", rules)), hospital.client(None))
    echo(receiver.peer, "CT1")
    with pytest.raises(PeerUnavailable, match="Calling AE title not recognised"):
        echo(receiver.peer, "CT2")
    echo(replace(receiver.peer, tls=hospital.client(hospital.caller)), "CT2")


def test_who_says_nothing_or_a_byte_at_a_time_holds_up_nobody_and_is_let_go(
    receiving: Callable[..., Receiver], hospital: Hospital
) -> None:
    for handshake_timeout_s in (3600.0, 1.0):
        door = tls_door(hospital.server(handshake_timeout_s=handshake_timeout_s))
        receiver = secured(receiving(door=door), hospital.client(hospital.caller))
        address = ("127.0.0.1", receiver.peer.port)
        began = time.monotonic()
        with capture_logs() as events, socket.create_connection(address) as slow:
            silent = [socket.create_connection(address) for _ in range(20)]
            slow.sendall(b"\x16\x03\x01")
            if handshake_timeout_s > 60:
                echo(receiver.peer, "CT1")
                assert reasons(events) == [], "a good caller did not wait for the silent ones"
            else:
                wait_until(lambda events=events, slow=slow: _drip(slow) or len(reasons(events)) == 21)
                assert time.monotonic() - began >= handshake_timeout_s
            for connection in silent:
                connection.close()
    assert sorted(set(reasons(events))) == [
        "TLS: the TLS handshake was not done in time",
        "the caller said nothing",
    ]


def _drip(connection: socket.socket) -> None:
    """One more byte of a record that never ends."""
    try:
        connection.send(b"\x01")
    except OSError:
        return


def test_a_renewed_certificate_is_used_without_a_restart_and_a_broken_one_is_not(
    receiving: Callable[..., Receiver], hospital: Hospital, tmp_path: Path
) -> None:
    own = Pair(str(tmp_path / "node.pem"), str(tmp_path / "node.key"))

    def install(pair: Pair) -> None:
        for source, target in ((pair.certificate, own.certificate), (pair.key, own.key)):
            Path(target).write_bytes(Path(source).read_bytes())

    install(hospital.node)
    receiver = secured(
        receiving(door=tls_door(hospital.server(own))),
        hospital.client(hospital.caller, server_name="localhost"),
    )
    echo(receiver.peer, "CT1")
    with capture_logs() as events:
        Path(own.key).write_bytes(Path(hospital.caller.key).read_bytes())
        echo(receiver.peer, "CT1")
    (not_renewed,) = [e for e in events if e["event"] == "certificate_not_renewed"]
    assert f"key {own.key} does not belong to {own.certificate}" in not_renewed["reason"]
    install(hospital.elsewhere)
    assert "is for another host name" in refusal_of(receiver.peer)
    echo(
        replace(receiver.peer, tls=hospital.client(hospital.caller, server_name="pacs.hospital.example")),
        "CT1",
    )


PASSWORD = "correct horse"


def test_the_password_of_a_key_comes_from_a_file_or_the_environment(
    hospital: Hospital, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = hospital.node.with_password(PASSWORD.encode())
    files = ClientTls(hospital.ca, locked.certificate, locked.key)
    (tmp_path / "password").write_text(PASSWORD + "\n")
    monkeypatch.setenv("NODE_KEY_PASSWORD", PASSWORD)
    server_context(
        replace(hospital.server(), files=replace(files, key_password_file=str(tmp_path / "password")))
    )
    client_context(replace(files, key_password_variable="NODE_KEY_PASSWORD"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, "has a password: name key_password_file or key_password_variable"),
        ({"key_password_variable": "NODE_KEY_PASSWORD"}, "the key's password is wrong"),
        ({"key_password_variable": "NODE_KEY_ABSENT"}, "key_password_variable NODE_KEY_ABSENT is not set"),
        ({"key_password_file": "absent"}, "key_password_file absent cannot be read: No such file"),
        ({"certificate": "absent.pem"}, "certificate absent.pem or key"),
        ({"ca": "absent.pem"}, "absent.pem cannot be used: No such file"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_and_no_password_said(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch, change: dict[str, str], words: str
) -> None:
    locked = hospital.node.with_password(PASSWORD.encode())
    monkeypatch.setenv("NODE_KEY_PASSWORD", "wrong horse")
    files = replace(ClientTls(hospital.ca, locked.certificate, locked.key), **change)
    with pytest.raises(ConfigRefused, match=words) as refused:
        client_context(files)
    assert "horse" not in str(refused.value)
    assert words in refusal_of(Peer("pacs", "PACS", "127.0.0.1", 1, tls=files))


def test_the_facts_of_a_certificate_are_read_from_its_file(hospital: Hospital) -> None:
    facts = certificate_facts(hospital.expired.certificate)
    assert -1.1 < facts.days_left < -0.9
    assert "CN=expired" in facts.subject
    assert "O=trustme" in facts.issuer
    assert len(facts.sha256) == 64
    with pytest.raises(ConfigRefused, match="holds no certificate in PEM"):
        certificate_facts(hospital.expired.key)


@pytest.mark.dcmtk
def test_dcmtk_sends_to_us_over_tls(secure: Receiver, hospital: Hospital, tmp_path: Path) -> None:
    paths = make_ct(tmp_path / "sent", slices=3)
    own = ["+tls", hospital.caller.key, hospital.caller.certificate, "+cf", hospital.ca]
    command = ["storescu", *own, "-aet", "CT1", "-aec", "NODE", "127.0.0.1", str(secure.peer.port)]
    subprocess.run([*command, *map(str, paths)], check=True, capture_output=True, timeout=600)
    assert len(secure.stored()) == 3


@pytest.mark.dcmtk
def test_dcmtk_without_a_certificate_is_refused(secure: Receiver, hospital: Hospital, tmp_path: Path) -> None:
    (path,) = make_ct(tmp_path / "sent", slices=1)
    command = ["storescu", "+tla", "+cf", hospital.ca, "-aec", "NODE", "127.0.0.1", str(secure.peer.port)]
    with capture_logs() as events:
        done = subprocess.run([*command, str(path)], check=False, capture_output=True, timeout=600)
        wait_until(lambda: reasons(events))
    assert done.returncode != 0
    assert reasons(events)[0] == "TLS: the caller showed no certificate"


@pytest.mark.dcmtk
def test_we_send_to_dcmtk_over_tls_and_name_a_plain_one(hospital: Hospital, tmp_path: Path) -> None:
    paths = make_ct(tmp_path / "sent", slices=3)
    (tmp_path / "received").mkdir()
    own = ["+tls", hospital.node.key, hospital.node.certificate, "+cf", hospital.ca]
    for options in (own, []):
        port = free_port()
        command = ["storescp", *options, "-od", str(tmp_path / "received"), str(port)]
        tls = hospital.client(hospital.caller)
        peer = Peer("pacs", "PACS", "127.0.0.1", port, 60.0, tls=tls)
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as storescp:
            try:
                wait_until(lambda port=port: _listens(port))
                if options:
                    assert all(outcome.stored for outcome in send(peer, paths, "NODE"))
                    assert len(list((tmp_path / "received").iterdir())) == 3
                else:
                    # it resets the connection, or answers by an A-ABORT
                    assert "speaks plain DICOM on this port" in refusal_of(peer)
            finally:
                storescp.terminate()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_port_with_a_bad_certificate_is_not_opened(hospital: Hospital, tmp_path: Path) -> None:
    bad = Pair(hospital.node.certificate, hospital.caller.key)
    with pytest.raises(ConfigRefused, match="does not belong to"):
        StorageSCP("NODE", "127.0.0.1", 0, Inbox(tmp_path), door=tls_door(hospital.server(bad)))
