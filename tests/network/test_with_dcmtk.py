"""The node and dcmtk, the toolkit most modalities and PACS are built on, in both directions."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest

from spine_node.network.access import Access, Caller
from spine_node.network.peer import Peer
from spine_node.network.scu import echo, send
from tests.conftest import free_port, make_ct, wait_until
from tests.network.conftest import Receiver, encoded

pytestmark = pytest.mark.dcmtk


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, timeout=240)


def address(peer: Peer) -> tuple[str, str]:
    return peer.host, str(peer.port)


def test_echoscu_is_answered_and_a_stranger_is_told_why(receiving: Callable[..., Receiver]) -> None:
    receiver = receiving(access=Access("NODE", (Caller("CT1"),)))
    known = run("echoscu", "-aet", "CT1", "-aec", "NODE", *address(receiver.peer))
    assert known.returncode == 0, known.stderr
    stranger = run("echoscu", "-aet", "STRANGER", "-aec", "NODE", *address(receiver.peer))
    assert stranger.returncode != 0
    assert "Calling AE Title Not Recognized" in stranger.stderr


def test_a_series_from_storescu_arrives_byte_for_byte(receiver: Receiver, tmp_path: Path) -> None:
    paths = make_ct(tmp_path / "sent", slices=12)
    done = run("storescu", "-R", "-aec", "NODE", "+sd", *address(receiver.peer), tmp_path / "sent")
    assert done.returncode == 0, done.stderr
    assert sorted(encoded(p) for p in receiver.stored().values()) == sorted(encoded(p) for p in paths)


AS_IT_IS = ("dcmsend", "-dn")


@pytest.mark.parametrize(
    ("coder", "sender", "transfer_syntax"),
    [
        (("dcmcjpeg", "+el"), AS_IT_IS, "1.2.840.10008.1.2.4.57"),
        (("dcmcjpeg", "+e1"), AS_IT_IS, "1.2.840.10008.1.2.4.70"),
        (("dcmcjpls", "+el"), AS_IT_IS, "1.2.840.10008.1.2.4.80"),
        (("dcmcrle",), AS_IT_IS, "1.2.840.10008.1.2.5"),
        (("dcmconv", "+td"), ("storescu", "-xd"), "1.2.840.10008.1.2.1.99"),
        (("dcmconv", "+ti"), ("storescu", "-xi"), "1.2.840.10008.1.2"),
    ],
)
def test_what_dcmtk_encoded_arrives_as_it_was(
    receiver: Receiver, tmp_path: Path, coder: tuple[str, ...], sender: tuple[str, ...], transfer_syntax: str
) -> None:
    (path,) = make_ct(tmp_path / "sent", slices=1, rows=64)
    coded = tmp_path / "coded.dcm"
    assert run(*coder, path, coded).returncode == 0
    done = run(*sender, "-aec", "NODE", *address(receiver.peer), coded)
    assert done.returncode == 0, done.stderr
    (stored,) = receiver.stored().values()
    sent = encoded(coded)
    assert encoded(stored) == sent + b"\0" * (len(sent) % 2)  # PS3.5 A.5: dcmtk pads a deflated data set
    ds = pydicom.dcmread(stored)
    assert ds.file_meta.TransferSyntaxUID == transfer_syntax
    assert (ds.pixel_array == pydicom.dcmread(path).pixel_array).all()


def test_results_sent_to_storescp_arrive_byte_for_byte(tmp_path: Path) -> None:
    received, port = tmp_path / "received", free_port()
    received.mkdir()
    command = [
        "storescp",
        "--fork",
        "-aet",
        "DCMTK",
        "+xa",
        "--bit-preserving",
        "-od",
        str(received),
        str(port),
    ]
    peer = Peer("dcmtk", "DCMTK", "127.0.0.1", port, 60.0)
    paths = make_ct(tmp_path / "sent", slices=5)
    with subprocess.Popen(command, env=os.environ | {"TCP_NODELAY": "1"}) as process:
        try:
            wait_until(lambda: _answers(peer))
            assert all(outcome.name == "stored" for outcome in send(peer, paths, "NODE"))
            wait_until(lambda: len(list(received.iterdir())) == len(paths))
        finally:
            process.terminate()
    arrived = sorted(encoded(path) for path in received.iterdir())
    assert arrived == sorted(encoded(path) for path in paths)


def _answers(peer: Peer) -> bool:
    try:
        echo(peer, "NODE")
    except Exception:  # noqa: BLE001 - not up yet, whatever the reason
        return False
    return True
