"""The sending side: what a peer answers becomes an outcome, what it cannot answer now is tried again."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom import Dataset
from pydicom.uid import EncapsulatedSTLStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.dimse_primitives import C_ECHO
from pynetdicom.presentation import build_context
from structlog.testing import capture_logs

from spine_node.errors import NotTakenNow, PeerRejects, PeerUnavailable
from spine_node.network.access import Access, Caller
from spine_node.network.associations import associated
from spine_node.network.contexts import VERIFICATION
from spine_node.network.pacs import FolderPacs
from spine_node.network.peer import Peer
from spine_node.network.scu import Alternative, Offer, echo, send, send_offers
from spine_node.network.seats import Seats
from spine_node.network.statuses import Status
from tests.conftest import free_port, make_ct, wait_until
from tests.network.conftest import Receiver, encoded

CT = "1.2.840.10008.5.1.4.1.1.2"


@dataclass
class Stranger:
    """A peer that answers as it is told and keeps the bytes it got."""

    answers: list[int | Dataset] = field(default_factory=list)
    syntaxes: list[str] = field(default_factory=lambda: [ExplicitVRLittleEndian])
    classes: list[str] = field(default_factory=lambda: [CT])
    got: list[tuple[str, bytes]] = field(default_factory=list)
    associations: int = 0

    def start(self) -> Peer:
        self.ae = AE("STRANGER")
        for sop_class in self.classes:
            self.ae.add_supported_context(sop_class, self.syntaxes)
        handlers: list[Any] = [(evt.EVT_C_STORE, self._store), (evt.EVT_ACCEPTED, self._count)]
        server = self.ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        return Peer("stranger", "STRANGER", "127.0.0.1", server.server_address[1], 60.0, 60.0)

    def _count(self, _event: evt.Event) -> None:
        self.associations += 1

    def _store(self, event: evt.Event) -> int | Dataset:
        self.got.append((str(event.context.transfer_syntax), event.request.DataSet.getvalue()))
        return self.answers.pop(0) if self.answers else 0x0000


@pytest.fixture
def stranger() -> Iterator[Callable[..., tuple[Stranger, Peer]]]:
    running: list[Stranger] = []

    def start(**how: Any) -> tuple[Stranger, Peer]:
        running.append(Stranger(**how))
        return running[-1], running[-1].start()

    yield start
    for one in running:
        one.ae.shutdown()


def test_each_file_has_its_outcome_in_order(
    stranger: Callable[..., tuple[Stranger, Peer]], tmp_path: Path
) -> None:
    commented = Dataset()
    commented.Status, commented.ErrorComment = 0xC123, "no such patient"
    answers = [0x0000, 0xB007, 0x0111, commented, 0x0122, 0xA900]
    _, peer = stranger(answers=answers)
    paths = make_ct(tmp_path, slices=6)
    outcomes = send(peer, paths, "NODE")
    assert [o.sop_instance_uid for o in outcomes] == [pydicom.dcmread(p).SOPInstanceUID for p in paths]
    assert [o.name for o in outcomes] == ["stored", "warning", "warning", "refused", "refused", "refused"]
    assert [o.stored for o in outcomes] == [True, True, True, False, False, False]
    assert outcomes[3].status == 0xC123
    assert outcomes[3].detail == "0xC123 cannot understand no such patient"


@pytest.mark.parametrize("status", [0xA700, 0xA7FF, 0x0110, 0x0213])
def test_a_peer_that_cannot_take_it_now_is_called_again(
    stranger: Callable[..., tuple[Stranger, Peer]], tmp_path: Path, status: int
) -> None:
    told, peer = stranger(answers=[0x0000, status])
    paths = make_ct(tmp_path, slices=3)
    with pytest.raises(PeerUnavailable, match=rf"stranger \(STRANGER at .*0x{status:04X}"):
        send(peer, paths, "NODE")
    assert all(outcome.stored for outcome in send(peer, paths, "NODE"))
    assert len(told.got) == 2 + 3


def test_a_file_goes_out_byte_for_byte(
    stranger: Callable[..., tuple[Stranger, Peer]], tmp_path: Path
) -> None:
    told, peer = stranger(syntaxes=[ImplicitVRLittleEndian, ExplicitVRLittleEndian])
    (path,) = make_ct(tmp_path, slices=1)
    assert send(peer, [path], "NODE")[0].stored
    assert told.got == [(ExplicitVRLittleEndian, encoded(path))]


def test_a_peer_that_knows_implicit_only_gets_it_so(
    stranger: Callable[..., tuple[Stranger, Peer]], tmp_path: Path
) -> None:
    """Implicit VR Little Endian is the one syntax every peer has (PS3.5 10.1)."""
    told, peer = stranger(syntaxes=[ImplicitVRLittleEndian])
    (path,) = make_ct(tmp_path, slices=1)
    assert send(peer, [path], "NODE")[0].name == "stored"
    ((syntax, raw),) = told.got
    assert syntax == ImplicitVRLittleEndian
    received = pydicom.filereader.read_dataset(pydicom.filebase.DicomBytesIO(raw), True, True)
    original = pydicom.dcmread(path)
    assert {e.tag: e.value for e in received} == {e.tag: e.value for e in original}


def test_a_class_the_peer_does_not_take_is_an_answer_and_the_others_go(
    stranger: Callable[..., tuple[Stranger, Peer]], tmp_path: Path
) -> None:
    _, peer = stranger(classes=[CT])
    (mesh,) = make_ct(tmp_path / "stl", slices=1, sop_class=EncapsulatedSTLStorage)
    (image,) = make_ct(tmp_path / "ct", slices=1)
    outcomes = send(peer, [mesh, image], "NODE")
    assert [(o.name, o.status) for o in outcomes] == [("not accepted", None), ("stored", 0)]
    assert EncapsulatedSTLStorage in outcomes[0].detail
    (alone,) = send(peer, [mesh], "NODE")
    assert (alone.name, alone.stored) == ("not accepted", False)
    assert "accepts none of the SOP classes offered" in alone.detail


def kinds(folder: Path, *sop_classes: str) -> dict[str, Path]:
    """A file of each SOP class, by that class."""
    return {c: make_ct(folder / c, slices=1, sop_class=c)[0] for c in sop_classes}


SEG, LABELMAP = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"
SR_3D, SR = "1.2.840.10008.5.1.4.1.1.88.34", "1.2.840.10008.5.1.4.1.1.88.33"


def segmentation_and_report(folder: Path) -> tuple[list[Offer], dict[str, Path]]:
    """A SEG in two forms, and a report in two forms for each of them."""
    files = kinds(folder / "seg", SEG, LABELMAP)
    reports = {(c, seg): kinds(folder / seg, c)[c] for seg in files for c in (SR_3D, SR)}
    segs = Offer(tuple(Alternative(c, (files[c],)) for c in (LABELMAP, SEG)))
    choices = [(c, seg) for c in (SR_3D, SR) for seg in (LABELMAP, SEG)]
    sr = Offer(tuple(Alternative(f"{c} on {s}", (reports[c, s],), beside=s) for c, s in choices))
    return [segs, sr], files | {f"{c} on {s}": path for (c, s), path in reports.items()}


@pytest.mark.parametrize(
    ("knows", "arrives"),
    [
        ((LABELMAP, SEG, SR_3D, SR), [LABELMAP, f"{SR_3D} on {LABELMAP}"]),
        ((SEG, SR_3D, SR), [SEG, f"{SR_3D} on {SEG}"]),
        ((LABELMAP, SEG, SR), [LABELMAP, f"{SR} on {LABELMAP}"]),
        ((SEG, SR), [SEG, f"{SR} on {SEG}"]),
        ((SR,), [f"{SR} on {LABELMAP}"]),
        ((SEG,), [SEG]),
    ],
)
def test_each_peer_gets_the_best_form_it_takes_and_the_report_that_refers_to_it(
    stranger: Callable[..., tuple[Stranger, Peer]], tmp_path: Path, knows: tuple[str, ...], arrives: list[str]
) -> None:
    told, peer = stranger(classes=list(knows))
    offers, files = segmentation_and_report(tmp_path)
    outcomes = list(send_offers(peer, offers, "NODE"))
    assert [raw for _, raw in told.got] == [encoded(files[name]) for name in arrives]
    name_of = {str(pydicom.dcmread(path).SOPInstanceUID): name for name, path in files.items()}
    assert [name_of[o.sop_instance_uid] for o in outcomes if o.stored] == arrives
    assert all(o.name == "not accepted" for o in outcomes if not o.stored)
    assert told.associations == 1


def test_a_form_that_is_refused_by_status_is_followed_by_the_next(
    stranger: Callable[..., tuple[Stranger, Peer]], tmp_path: Path
) -> None:
    """Some archives accept every class in the negotiation, and then say "SOP class not supported"."""
    _, peer = stranger(classes=[LABELMAP, SEG, SR_3D, SR], answers=[0x0122, 0x0000, 0x0000])
    offers, files = segmentation_and_report(tmp_path)
    outcomes = list(send_offers(peer, offers, "NODE"))
    assert [o.name for o in outcomes] == ["refused", "stored", "stored"]
    assert outcomes[2].sop_instance_uid == pydicom.dcmread(files[f"{SR_3D} on {SEG}"]).SOPInstanceUID


def test_a_form_of_several_instances_goes_whole_or_not_at_all(
    stranger: Callable[..., tuple[Stranger, Peer]], tmp_path: Path
) -> None:
    told, peer = stranger(classes=[SEG])
    files = kinds(tmp_path, SEG, LABELMAP)
    plain = kinds(tmp_path / "plain", SEG)[SEG]
    offer = Offer((Alternative("both", (files[SEG], files[LABELMAP])), Alternative("plain", (plain,))))
    assert [o.name for o in send_offers(peer, [offer], "NODE")] == ["not accepted", "not accepted", "stored"]
    assert [raw for _, raw in told.got] == [encoded(plain)]


def test_what_a_peer_has_from_before_decides_which_report_it_gets(
    stranger: Callable[..., tuple[Stranger, Peer]], tmp_path: Path
) -> None:
    _, peer = stranger(classes=[SEG, LABELMAP, SR_3D])
    (_, report), files = segmentation_and_report(tmp_path)
    (outcome,) = send_offers(peer, [report], "NODE", taken=[SEG])
    assert outcome.sop_instance_uid == pydicom.dcmread(files[f"{SR_3D} on {SEG}"]).SOPInstanceUID


def test_a_compressed_file_is_not_decompressed_for_a_peer_that_does_not_take_it(
    stranger: Callable[..., tuple[Stranger, Peer]], tmp_path: Path
) -> None:
    _, peer = stranger(syntaxes=[ExplicitVRLittleEndian])
    (path,) = make_ct(tmp_path, slices=1)
    ds = pydicom.dcmread(path)
    ds.compress(pydicom.uid.RLELossless, generate_instance_uid=False)
    ds.save_as(path)
    (outcome,) = send(peer, [path], "NODE")
    assert outcome.name == "not accepted"


def test_more_classes_than_one_association_can_offer_are_sent_over_several(
    stranger: Callable[..., tuple[Stranger, Peer]], tmp_path: Path
) -> None:
    """PS3.8 9.3.2.2: 128 contexts at most; each of these classes is offered in two syntaxes."""
    classes = [str(context.abstract_syntax) for context in AllStoragePresentationContexts[:70]]
    told, peer = stranger(classes=classes[:66])
    paths = [make_ct(tmp_path / uid, slices=1, sop_class=uid)[0] for uid in classes]
    outcomes = send(peer, paths, "NODE")
    assert [o.name for o in outcomes] == ["stored"] * 66 + ["not accepted"] * 4
    assert [raw for _, raw in told.got] == [encoded(path) for path in paths[:66]]
    assert told.associations == 2


def test_a_peer_that_does_not_know_us_has_refused_nothing(
    receiving: Callable[..., Receiver], tmp_path: Path
) -> None:
    """Somebody has to enter our AE title there; then the same instance is taken."""
    receiver = receiving(access=Access("NODE", (Caller("CT1"),)))
    (path,) = make_ct(tmp_path / "sent", slices=1)
    with pytest.raises(PeerRejects, match=r"rejected the association.*alling AE title not recognised"):
        send(receiver.peer, [path], "STRANGER")
    assert send(receiver.peer, [path], "CT1")[0].stored


def test_what_is_not_taken_now_is_an_outcome_before_it_is_raised(
    stranger: Callable[..., tuple[Stranger, Peer]], tmp_path: Path
) -> None:
    """So that the ledger names it, and counts how often it went out."""
    _, peer = stranger(answers=[0x0000, 0xA700])
    paths = make_ct(tmp_path, slices=3)
    outcomes = send_offers(peer, [Offer((Alternative("all", tuple(paths)),))], "NODE")
    assert [(o.name, o.status) for o in islice(outcomes, 2)] == [("stored", 0x0000), ("postponed", 0xA700)]
    with pytest.raises(NotTakenNow, match="0xA700 out of resources"):
        next(outcomes)


def test_a_peer_that_rejects_us_for_now_is_called_again(
    receiving: Callable[..., Receiver], tmp_path: Path
) -> None:
    from tests.network.conftest import associate

    receiver = receiving(seats=Seats(None, places=1, per_caller=1))
    held = associate(receiver.peer)
    with pytest.raises(PeerUnavailable, match="rejected the association"):
        send(receiver.peer, make_ct(tmp_path / "sent", slices=1), "CT1")
    held.release()


def test_an_association_that_is_accepted_and_lost_at_once_is_no_word_about_sop_classes(
    stranger: Callable[..., tuple[Stranger, Peer]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A PACS that is killed in that moment takes the result later: it has not refused it."""
    _, peer = stranger()
    associate = AE.associate

    def lost(*arguments: Any, **named: Any) -> Any:
        association = associate(*arguments, **named)
        association.abort()
        return association

    monkeypatch.setattr(AE, "associate", lost)
    with pytest.raises(PeerUnavailable, match="no association with stranger"):
        send(peer, make_ct(tmp_path, slices=1), "NODE")


def test_nobody_there_is_said_with_the_address(tmp_path: Path) -> None:
    peer = Peer("pacs", "PACS", "127.0.0.1", free_port())
    with pytest.raises(PeerUnavailable, match=rf"pacs \(PACS at 127.0.0.1:{peer.port}\)"):
        send(peer, make_ct(tmp_path, slices=1), "NODE")
    with pytest.raises(PeerUnavailable, match="no connection"):
        echo(peer, "NODE")


def test_somebody_who_never_answers_is_not_waited_for_longer_than_told(tmp_path: Path) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        peer = Peer("pacs", "PACS", "127.0.0.1", deaf.getsockname()[1], connect_timeout_s=0.5)
        began = time.monotonic()
        with pytest.raises(PeerUnavailable):
            echo(peer, "NODE")
        assert time.monotonic() - began < 25, "the least of pynetdicom's own limits is 30 s"


@pytest.mark.parametrize("said", [b"\2", b"\2\0\0\0\1\0 and no more"], ids=["its head", "its body"])
def test_somebody_who_stops_in_the_middle_of_an_answer_keeps_no_thread(said: bytes) -> None:
    """A PACS that hangs for days is called hundreds of times."""
    before = set(threading.enumerate())
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        peer = Peer("pacs", "PACS", "127.0.0.1", listener.getsockname()[1], 1.0, 1.0)
        held: list[socket.socket] = []

        def half_an_answer() -> None:
            held.append(listener.accept()[0])
            held[0].recv(100)
            held[0].sendall(said)

        threading.Thread(target=half_an_answer, daemon=True).start()
        with pytest.raises(PeerUnavailable):
            echo(peer, "NODE")
        wait_until(lambda: not [t for t in threading.enumerate() if t not in before and not t.daemon])
        held[0].close()


def test_a_peer_lost_on_the_way_is_called_again(
    stranger: Callable[..., tuple[Stranger, Peer]], tmp_path: Path
) -> None:
    told, peer = stranger()
    store = told._store

    def lose(event: evt.Event) -> int | Dataset:
        if len(told.got) == 1:
            event.assoc.abort()
        return store(event)

    told.ae._servers[0].bind(evt.EVT_C_STORE, lose)
    with pytest.raises(PeerUnavailable, match=r"ended the association|did not answer"):
        send(peer, make_ct(tmp_path, slices=4), "NODE")


def test_an_answer_that_does_not_come_in_time_is_not_waited_for(
    stranger: Callable[..., tuple[Stranger, Peer]], tmp_path: Path
) -> None:
    told, peer = stranger()
    released = threading.Event()
    told.ae._servers[0].bind(evt.EVT_C_STORE, lambda _event: (released.wait(600), 0)[1])
    began = time.monotonic()
    with pytest.raises(PeerUnavailable, match="did not answer C-STORE of instance"):
        send(replace(peer, answer_timeout_s=0.5), make_ct(tmp_path, slices=1), "NODE")
    assert time.monotonic() - began < 60
    released.set()


def test_a_file_that_is_no_dicom_is_a_bug_of_ours_and_said_before_anything_is_sent(
    stranger: Callable[..., tuple[Stranger, Peer]], tmp_path: Path
) -> None:
    told, peer = stranger()
    paths = make_ct(tmp_path, slices=1)
    (tmp_path / "x.dcm").write_bytes(b"\0" * 200)
    with pytest.raises(ValueError, match=r"x\.dcm is no DICOM file"):
        send(peer, [*paths, tmp_path / "x.dcm"], "NODE")
    with pytest.raises(FileNotFoundError):
        send(peer, [*paths, tmp_path / "y.dcm"], "NODE")
    assert told.got == []


def test_each_sent_instance_is_logged_by_uid(
    stranger: Callable[..., tuple[Stranger, Peer]], tmp_path: Path
) -> None:
    _, peer = stranger(answers=[0x0000, Status.SOP_CLASS_NOT_SUPPORTED])
    with capture_logs() as events:
        outcomes = send(peer, make_ct(tmp_path, slices=2), "NODE")
    sent = [
        (e["sop_instance_uid"], e["outcome"], e["log_level"]) for e in events if e["event"] == "instance_sent"
    ]
    uids = [o.sop_instance_uid for o in outcomes]
    assert sent == [(uids[0], "stored", "info"), (uids[1], "refused", "warning")]
    assert "TEST-1" not in repr(events)


def test_an_answer_that_the_reactor_took_is_given_back(tmp_path: Path) -> None:
    """On a busy machine pynetdicom's reactor takes the answer before the sender does, and drops it."""
    pacs = FolderPacs("PACS", "127.0.0.1", 0, tmp_path)
    port = pacs.start()
    try:
        contexts = [build_context(VERIFICATION)]
        with associated(Peer("pacs", "PACS", "127.0.0.1", port), "TEST", contexts) as association:
            answer = C_ECHO()
            answer.MessageIDBeingRespondedTo, answer.Status = 1, 0x0000
            association._serve_request(answer, 1)
            assert association.dimse.get_msg(block=False) == (1, answer)
    finally:
        pacs.stop()
