"""The receiving side over real sockets: what was acknowledged is on disk, whole and unchanged."""

from __future__ import annotations

import errno
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE, build_role
from pynetdicom.association import Association
from structlog.testing import capture_logs

from spine_node.errors import PeerUnavailable, Unavailable
from spine_node.inbox import Inbox, Stored
from spine_node.network.access import Access, Caller, everybody
from spine_node.network.contexts import IMAGE_CLASSES, TRANSFER_SYNTAXES, VERIFICATION
from spine_node.network.peer import Peer
from spine_node.network.scp import StorageSCP
from spine_node.network.scu import echo, send
from spine_node.network.seats import Seats
from spine_node.network.server import bound
from spine_node.network.statuses import Status
from tests.conftest import make_ct, wait_until
from tests.network.conftest import Receiver, associate, encoded


def recoded(path: Path, sop_class: str, transfer_syntax: str) -> Path:
    """The same instance as another class and in another syntax; compressed pixels are opaque bytes."""
    ds = pydicom.dcmread(path)
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = sop_class
    if UID(transfer_syntax).is_encapsulated:
        ds.PixelData = encapsulate([b"\xff\xd8 opaque " * 40, b"\xff\xd9"])
        ds["PixelData"].is_undefined_length = True
    ds.file_meta.TransferSyntaxUID = transfer_syntax
    ds.save_as(path, implicit_vr=UID(transfer_syntax).is_implicit_VR, little_endian=True)
    return path


@pytest.mark.parametrize("transfer_syntax", TRANSFER_SYNTAXES, ids=TRANSFER_SYNTAXES.values())
@pytest.mark.parametrize("sop_class", IMAGE_CLASSES, ids=IMAGE_CLASSES.values())
def test_every_class_in_every_syntax_is_stored_byte_for_byte(
    receiver: Receiver, tmp_path: Path, sop_class: str, transfer_syntax: str
) -> None:
    (path,) = make_ct(tmp_path / "sent", slices=1, sop_class=sop_class)
    recoded(path, sop_class, transfer_syntax)
    (outcome,) = send(receiver.peer, [path], "CT1")
    assert (outcome.name, outcome.status) == ("stored", 0)
    stored = receiver.stored()[outcome.sop_instance_uid]
    assert encoded(stored) == encoded(path)
    meta = pydicom.dcmread(stored, stop_before_pixels=True).file_meta
    assert meta.TransferSyntaxUID == transfer_syntax
    assert meta.MediaStorageSOPClassUID == sop_class


def test_a_data_set_of_many_packets_is_stored_byte_for_byte(receiver: Receiver, tmp_path: Path) -> None:
    paths = make_ct(tmp_path / "sent", slices=2, rows=1200)
    assert all(outcome.stored for outcome in send(receiver.peer, paths, "CT1"))
    by_uid = {pydicom.dcmread(path).SOPInstanceUID: path for path in paths}
    assert {uid: encoded(p) for uid, p in receiver.stored().items()} == {
        uid: encoded(p) for uid, p in by_uid.items()
    }


def test_uids_that_come_late_are_found_in_the_file(receiver: Receiver, tmp_path: Path) -> None:
    """A long private or referenced sequence may stand before the series UID; deflated, too."""
    (path,) = make_ct(tmp_path / "sent", slices=1)
    for transfer_syntax in ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99"):
        ds = pydicom.dcmread(path)
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
        ds.add_new(0x00090010, "LO", "TEST")
        ds.add_new(0x00091001, "OB", np.random.default_rng(0).bytes(300_000))
        ds.file_meta.TransferSyntaxUID = transfer_syntax
        ds.save_as(tmp_path / "late.dcm", implicit_vr=False, little_endian=True)
        (outcome,) = send(receiver.peer, [tmp_path / "late.dcm"], "CT1")
        assert outcome.stored, outcome
        assert encoded(receiver.stored()[ds.SOPInstanceUID]) == encoded(tmp_path / "late.dcm")


def test_several_associations_at_once_lose_nothing(receiver: Receiver, tmp_path: Path) -> None:
    paths = make_ct(tmp_path / "sent", slices=80)
    shares = [threading.Thread(target=send, args=[receiver.peer, paths[n::4], "CT1"]) for n in range(4)]
    for thread in shares:
        thread.start()
    for thread in shares:
        thread.join()
    (series,) = receiver.inbox.open_series()
    assert sorted(encoded(path) for path in series.paths) == sorted(encoded(path) for path in paths)


def test_the_same_series_twice_is_stored_once(receiver: Receiver, tmp_path: Path) -> None:
    paths = make_ct(tmp_path / "sent")
    for calling_ae in ("CT1", "ROUTER"):
        assert all(outcome.name == "stored" for outcome in send(receiver.peer, paths, calling_ae))
    (series,) = receiver.inbox.open_series()
    assert len(series.paths) == len(paths)
    assert not list((receiver.inbox.root / "superseded").iterdir())


def test_the_series_says_who_sent_it(receiver: Receiver, tmp_path: Path) -> None:
    send(receiver.peer, make_ct(tmp_path / "sent"), "STANDINGCBCT")
    assert receiver.inbox.open_series()[0].calling_ae == "STANDINGCBCT"


def test_verification_is_answered(receiver: Receiver) -> None:
    echo(receiver.peer, "ANYBODY")


def test_who_may_call_is_a_list(receiving: Callable[..., Receiver]) -> None:
    receiver = receiving(access=Access("NODE", (Caller("CT1"), Caller("CT2"))))
    echo(receiver.peer, "CT2")
    with capture_logs() as events:
        association = associate(receiver.peer, calling_ae="STRANGER")
        assert association.is_rejected
        assert _reason(association) == (1, 1, 3), "permanent, by the user, calling AE title not recognised"
    (refused,) = [e for e in events if e["event"] == "association_refused"]
    assert refused["reason"] == "calling AE title 'STRANGER' is not among the callers"
    assert refused["address"] == "127.0.0.1"


def test_a_right_that_is_missing_is_seen_in_negotiation(receiving: Callable[..., Receiver]) -> None:
    """A caller that may not store is told so at once, and C-ECHO goes on."""
    receiver = receiving(access=Access("NODE", (Caller("PACS", may=("query",)),)))
    association = associate(receiver.peer, calling_ae="PACS")
    assert [c.abstract_syntax for c in association.accepted_contexts] == [VERIFICATION]
    assert {c.result for c in association.rejected_contexts} == {3}, "abstract syntax not supported"
    association.release()
    echo(receiver.peer, "PACS")


def test_a_class_that_a_caller_may_not_store_is_not_accepted(
    receiving: Callable[..., Receiver], tmp_path: Path
) -> None:
    (enhanced,) = [uid for uid, name in IMAGE_CLASSES.items() if name == "Enhanced CT Image Storage"]
    receiver = receiving(access=Access("NODE", (Caller("CT1", sop_classes=(enhanced,)),)))
    (outcome,) = send(receiver.peer, make_ct(tmp_path / "sent", slices=1), "CT1")
    assert outcome.name == "not accepted"


def test_who_may_only_retrieve_cannot_store_on_the_contexts_it_got_for_that(
    receiving: Callable[..., Receiver], tmp_path: Path
) -> None:
    """C-GET takes storage contexts with the SCP role; a sender that abuses them is not authorised."""
    receiver = receiving(access=Access("NODE", (Caller("WS1", may=("retrieve",)),)))
    (path,) = make_ct(tmp_path / "sent", slices=1)
    role = build_role(CTImageStorage, scu_role=True, scp_role=True)
    ae = AE("WS1")
    ae.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    association = ae.associate("127.0.0.1", receiver.peer.port, ae_title="NODE", ext_neg=[role])
    assert association.send_c_store(pydicom.dcmread(path)).Status == Status.NOT_AUTHORISED
    association.release()
    assert receiver.stored() == {}


def test_who_calls_somebody_else_is_told(receiving: Callable[..., Receiver]) -> None:
    strict = receiving(access=everybody("NODE"))
    lax = receiving(access=everybody("NODE", check_called_ae=False))
    association = associate(strict.peer, called_ae="ANOTHERNODE")
    assert _reason(association) == (1, 1, 7), "permanent, by the user, called AE title not recognised"
    association = associate(lax.peer, called_ae="ANOTHERNODE")
    assert association.is_established
    association.release()


def test_one_association_too_many_is_told_to_come_back(receiving: Callable[..., Receiver]) -> None:
    receiver = receiving(seats=Seats(None, places=2, per_caller=2))
    held = [associate(receiver.peer) for _ in range(2)]
    one_more = associate(receiver.peer)
    assert _reason(one_more) == (2, 3, 2), "transient, by the provider, local limit exceeded"
    for association in held:
        association.release()


def test_a_class_that_is_not_ours_is_not_accepted(receiver: Receiver, tmp_path: Path) -> None:
    (path,) = make_ct(tmp_path / "sent", slices=1, sop_class="1.2.840.10008.5.1.4.1.1.4")  # MR
    (outcome,) = send(receiver.peer, [path], "CT1")
    assert (outcome.name, outcome.status) == ("not accepted", None)
    assert receiver.stored() == {}


def test_a_full_disk_is_said_and_nothing_is_left_behind(
    receiving: Callable[..., Receiver], tmp_path: Path
) -> None:
    """And once there is room again, the same association-side retry succeeds."""
    full = Inbox(tmp_path / "full", reserve_bytes=1 << 60)
    receiver = receiving(full)
    paths = make_ct(tmp_path / "sent", slices=2)
    with pytest.raises(PeerUnavailable, match="0xA700 out of resources not stored: "):
        send(receiver.peer, paths, "CT1")
    assert not [p for p in full.root.rglob("*") if p.is_file() and p.name != "lock"]
    full._drafts.reserve_bytes = 0
    assert all(outcome.stored for outcome in send(receiver.peer, paths, "CT1"))


class _Failing:
    """An inbox that meets trouble: when an instance begins, in the middle of a write, or in its own code."""

    def __init__(self, inbox: Inbox, where: str) -> None:
        self._inbox, self._where, self._written = inbox, where, 0

    def draft(self) -> _Failing:
        if self._where == "start":
            raise OSError(errno.ENOSPC, "No space left on device")
        self._draft = self._inbox.draft()
        return self

    def write(self, *pieces: bytes | memoryview) -> None:
        self._written += sum(map(len, pieces))
        if self._where == "write" and self._written > 500:
            raise OSError(errno.EIO, "Input/output error")
        self._draft.write(*pieces)

    def keep(self, *_: str) -> Stored:
        raise ZeroDivisionError("a bug")

    def discard(self) -> None:
        self._draft.discard()


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("write", "0xA700 out of resources not stored: Input/output error"),
        ("start", "0xA700 out of resources not stored: No space left on device"),
        ("code", "0x0110 processing failure an error of the receiver"),
    ],
)
def test_trouble_is_said_so_that_the_sender_tries_again_and_nothing_is_left_behind(
    tmp_path: Path, where: str, words: str
) -> None:
    """The disk full while a long data set arrives, a failing write, and a bug of ours, which is logged."""
    inbox = Inbox(tmp_path / "inbox")
    scp = StorageSCP("NODE", "127.0.0.1", 0, _Failing(inbox, where))
    peer = Peer("node", "NODE", "127.0.0.1", scp.start())
    with capture_logs() as events:
        try:
            with pytest.raises(PeerUnavailable, match=words):
                send(peer, make_ct(tmp_path / "sent", slices=1), "CT1")
        finally:
            scp.stop()
    assert not [p for p in inbox.root.rglob("*") if p.is_file() and p.name != "lock"]
    assert [e["event"] for e in events if e.get("exc_info")] == ["receiving_failed"] * (where == "code")


@pytest.mark.parametrize(
    ("keyword", "value", "status", "words"),
    [
        (
            "SOPInstanceUID",
            "1.2.3.999",
            Status.DATA_SET_DOES_NOT_MATCH_SOP_CLASS,
            "data set is instance 1.2.3.999",
        ),
        (
            "SOPClassUID",
            "1.2.840.10008.5.1.4.1.1.4",
            Status.DATA_SET_DOES_NOT_MATCH_SOP_CLASS,
            "data set is instance",
        ),
        ("SeriesInstanceUID", None, Status.CANNOT_UNDERSTAND, "no Series Instance UID"),
        ("SeriesInstanceUID", "../../etc/passwd", Status.CANNOT_UNDERSTAND, "not a UID: '../../etc/passwd'"),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_an_instance_that_contradicts_itself_is_refused_with_the_reason(
    receiver: Receiver, tmp_path: Path, keyword: str, value: str | None, status: Status, words: str
) -> None:
    (path,) = make_ct(tmp_path / "sent", slices=1)
    ds = pydicom.dcmread(path)
    if value is None:
        delattr(ds, keyword)
    else:
        setattr(ds, keyword, value)
    ds.save_as(path)  # File Meta, and so the request, still names the first
    (outcome,) = send(receiver.peer, [path], "CT1")
    assert (outcome.name, outcome.status) == ("refused", status)
    assert words in outcome.detail
    assert receiver.stored() == {}


def test_answers_leave_at_once_and_packets_are_large(receiver: Receiver) -> None:
    """Nagle's algorithm costs 40 ms an instance with common senders, a small PDU half the speed."""
    association = associate(receiver.peer)
    (accepted,) = receiver.scp._visits
    connection = accepted.dul.connection.socket
    assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
    assert association.acceptor.maximum_length == 131072
    association.release()


def test_a_broken_association_leaves_nothing_but_what_was_acknowledged(
    receiver: Receiver, tmp_path: Path
) -> None:
    first, second = make_ct(tmp_path / "sent", slices=2, rows=512)
    send(receiver.peer, [first], "CT1")
    association = associate(receiver.peer)
    whole, sent = association.dul.socket.socket, []

    def cut(data: bytes) -> int:
        """The cable is pulled after the first 200 kB."""
        if sum(sent) > 200_000:
            whole.close()
            raise OSError(errno.EPIPE, "cut")
        sent.append(len(data))
        whole.sendall(data)
        return len(data)

    association.dul.socket.socket = _Cut(whole, cut)
    association.send_c_store(pydicom.dcmread(second))
    wait_until(lambda: not receiver.scp._visits)
    assert [encoded(path) for path in receiver.stored().values()] == [encoded(first)]
    assert not list((receiver.inbox.root / "incoming").rglob("*.part"))


class _Cut:
    def __init__(self, connection: socket.socket, send: Callable[[bytes], int]) -> None:
        self._connection, self.send = connection, send

    def __getattr__(self, name: str) -> object:
        return getattr(self._connection, name)


def test_stopping_lets_a_sender_finish(receiving: Callable[..., Receiver], tmp_path: Path) -> None:
    receiver = receiving()
    paths = make_ct(tmp_path / "sent", slices=60)
    outcomes: list[bool] = []
    sender = threading.Thread(
        target=lambda: outcomes.extend(o.stored for o in send(receiver.peer, paths, "CT1"))
    )
    sender.start()
    wait_until(lambda: len(receiver.stored()) >= 5)
    receiver.scp.stop(grace_s=600.0)
    sender.join()
    assert outcomes == [True] * 60
    assert len(receiver.stored()) == 60
    with pytest.raises(PeerUnavailable, match="no association"):
        echo(receiver.peer, "CT1")


def test_stopping_does_not_wait_for_an_association_that_says_nothing(
    receiving: Callable[..., Receiver],
) -> None:
    receiver = receiving()
    silent = associate(receiver.peer)
    began = time.monotonic()
    receiver.scp.stop(grace_s=0.2)
    assert time.monotonic() - began < 30
    wait_until(lambda: silent.is_aborted)


def test_a_port_in_use_is_said_in_words(receiver: Receiver, tmp_path: Path) -> None:
    scp = StorageSCP("NODE", "127.0.0.1", receiver.peer.port, Inbox(tmp_path / "another"))
    with pytest.raises(
        Unavailable, match=rf"cannot listen on 127.0.0.1:{receiver.peer.port}: Address already"
    ):
        scp.start()


def test_several_may_accept_on_one_port(receiving: Callable[..., Receiver], tmp_path: Path) -> None:
    listener = bound("127.0.0.1", 0)
    one = receiving(listener=listener)
    two = StorageSCP("NODE", "127.0.0.1", one.peer.port, one.inbox, listener=listener.dup())
    two.start()
    try:
        for path in make_ct(tmp_path / "sent", slices=12):
            send(one.peer, [path], "CT1")
    finally:
        two.stop()
    assert len(one.stored()) == 12


def test_the_log_tells_each_instance_and_association_by_uid_and_no_patient(
    receiver: Receiver, tmp_path: Path
) -> None:
    paths = make_ct(tmp_path / "sent", slices=2)
    broken = pydicom.dcmread(paths[1])
    del broken.SeriesInstanceUID
    broken.save_as(paths[1])
    with capture_logs() as events:
        send(receiver.peer, paths, "CT1")
        wait_until(lambda: [e for e in events if e["event"] == "association_released"])
    of_scp = [
        e for e in events if e["event"] in ("instance_stored", "instance_refused", "association_released")
    ]
    assert [e["event"] for e in of_scp] == ["instance_stored", "instance_refused", "association_released"]
    stored, refused, released = of_scp
    assert stored["sop_instance_uid"] == pydicom.dcmread(paths[0]).SOPInstanceUID
    assert "no Series Instance UID" in refused["reason"]
    assert (released["stored"], released["refused"], released["calling_ae"]) == (1, 1, "CT1")
    for identity in ("TEST-1", "Test^Network", "Network"):
        assert identity not in repr(events)


SERVE = """
import sys, time
from pathlib import Path
from spine_node.inbox import Inbox
from spine_node.logs import configure_logs
from spine_node.network.scp import StorageSCP
configure_logs()
print(StorageSCP("NODE", "127.0.0.1", 0, Inbox(Path(sys.argv[1]))).start(), flush=True)
time.sleep(600)
"""


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    """kill -9 while four associations stream: every acknowledged instance is on disk, whole."""
    paths = make_ct(tmp_path / "sent", slices=400, rows=128)
    by_uid = {pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID: path for path in paths}
    acknowledged: list[str] = []

    def stream(share: list[Path]) -> None:
        association = associate(peer)
        for path in share:
            answer = association.send_c_store(path) if association.is_established else None
            if not answer or answer.Status != 0:
                return
            acknowledged.append(next(uid for uid, known in by_uid.items() if known == path))
            if len(acknowledged) == 60:
                node.send_signal(signal.SIGKILL)

    command = [sys.executable, "-c", SERVE, str(tmp_path / "inbox")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as node:
        assert node.stdout is not None
        peer = Peer("node", "NODE", "127.0.0.1", int(node.stdout.readline()))
        streams = [threading.Thread(target=stream, args=[paths[n::4]]) for n in range(4)]
        for thread in streams:
            thread.start()
        for thread in streams:
            thread.join()
    assert len(acknowledged) < len(paths), "the kill came too late to prove anything"
    inbox = Inbox(tmp_path / "inbox")
    (series,) = inbox.open_series()
    stored = {path.stem: encoded(path) for path in series.paths}
    assert set(acknowledged) <= stored.keys()
    assert all(content == encoded(by_uid[uid]) for uid, content in stored.items()), "nothing is there in half"
    assert not list((inbox.root / "incoming").iterdir()), "temporary files are gone at the next start"


def test_the_receiving_process_loads_no_heavy_package(tmp_path: Path) -> None:
    """Also after it has received: nothing is imported on the way."""
    (path,) = make_ct(tmp_path / "sent", slices=1)
    code = """
import sys
from pathlib import Path
from spine_node.inbox import Inbox
from spine_node.network.peer import Peer
from spine_node.network.scp import StorageSCP
from spine_node.network.scu import send
scp = StorageSCP("NODE", "127.0.0.1", 0, Inbox(Path(sys.argv[1])))
peer = Peer("node", "NODE", "127.0.0.1", scp.start())
assert send(peer, [Path(sys.argv[2])], "CT1")[0].stored
scp.stop()
print("HEAVY", *sorted({"torch", "monai", "highdicom", "scipy", "matplotlib", "dbos"} & sys.modules.keys()))
"""
    command = [sys.executable, "-c", code, str(tmp_path / "inbox"), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].split() == ["HEAVY"]


def _reason(association: Association) -> tuple[int, int, int]:
    answer = association.acceptor.primitive
    return (answer.result, answer.result_source, answer.diagnostic)
