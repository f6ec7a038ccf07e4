"""C-GET and C-MOVE against the node: whole files, right counters, one form of each result."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pynetdicom import AE, build_role, evt
from pynetdicom.presentation import build_context

from spine_node.config import Destination
from spine_node.dicom.forms import CONTEXT_OF, FORMS, Form
from spine_node.network.contexts import (
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    PATIENT_ROOT,
    RESULT_CLASSES,
    STUDY_ROOT,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
)
from spine_node.network.peer import Peer
from spine_node.network.scu import send
from spine_node.network.server import listen
from spine_node.network.statuses import Status
from tests.conftest import free_port
from tests.network.conftest import Receiver, cancel_is_heard, encoded
from tests.network.kept_results import Serving, kept_object
from tests.network.test_query_scp import Made, find, identifier_of

ALL: dict[Form, str] = {form: CONTEXT_OF[form][1] for form in FORMS}


@dataclass
class Workstation:
    """An AE that takes some classes, each in one syntax, and keeps the bytes it gets."""

    takes: dict[Form, str] = field(default_factory=lambda: dict(ALL))
    answers: dict[str, int] = field(default_factory=dict)
    got: dict[str, bytes] = field(default_factory=dict)
    originators: set[tuple[str, int]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.contexts = {CONTEXT_OF[form][0]: syntax for form, syntax in self.takes.items()}
        self.handlers = [(evt.EVT_C_STORE, self._store)]

    def start(self) -> Peer:
        ae = AE("WORKSTATION")
        for sop_class, syntax in self.contexts.items():
            ae.add_supported_context(sop_class, [syntax])
        self.server = listen(ae, "127.0.0.1", 0, self.handlers)
        return Peer("ws", "WORKSTATION", "127.0.0.1", self.server.port, 60.0, 120.0)

    def _store(self, event: evt.Event) -> int:
        uid = str(event.request.AffectedSOPInstanceUID)
        origin = event.request.MoveOriginatorApplicationEntityTitle
        if origin:
            self.originators.add((str(origin).strip(), event.request.MoveOriginatorMessageID))
        status = self.answers.get(uid, 0x0000)
        if status == -1:
            event.assoc.abort()
        if status in (0x0000, 0xB000):
            self.got[uid] = event.request.DataSet.getvalue()
        return max(status, 0)


@pytest.fixture
def workstation() -> Iterator[Callable[..., Workstation]]:
    """Makes workstations that end with the test."""
    made: list[Workstation] = []

    def make(**facts: Any) -> Workstation:
        made.append(Workstation(**facts))
        return made[-1]

    yield make
    for one in made:
        if hasattr(one, "server"):
            one.server.end(grace_s=0.0)


def retrieve(
    peer: Peer, way: str, at: Workstation, level: str, root: str = STUDY_ROOT, **keys: Any
) -> list[Dataset]:
    """All answers to one retrieval; the last with what failed as `failed`."""
    model = f"{root}.{3 if way == 'C-GET' else 2}"
    contexts, roles, handlers = [build_context(model, [EXPLICIT_LITTLE])], [], []
    if way == "C-GET":
        contexts += [build_context(uid, [syntax]) for uid, syntax in at.contexts.items()]
        roles = [build_role(uid, scp_role=True) for uid in at.contexts]
        handlers = at.handlers
    association = AE("ASKER").associate(
        peer.host, peer.port, contexts, peer.ae_title, ext_neg=roles, evt_handlers=handlers
    )
    assert association.is_established
    asked = identifier_of(level, **keys)
    if way == "C-GET":
        answers = association.send_c_get(asked, model, msg_id=11)
    else:
        answers = association.send_c_move(asked, "WORKSTATION", model, msg_id=11)
    statuses = []
    for status, names in answers:
        failed = (names or Dataset()).get("FailedSOPInstanceUIDList") or []
        status.failed = [failed] if isinstance(failed, str) else list(failed)
        statuses.append(status)
    association.release()
    return statuses


def counters(status: Dataset) -> tuple[int, ...]:
    """Completed, warnings, failed."""
    names = ("Completed", "Warning", "Failed")
    return tuple(int(status[f"NumberOf{name}Suboperations"].value) for name in names)


@pytest.fixture(params=["C-GET", "C-MOVE"])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


Ready = Callable[..., tuple[Serving, Peer, Workstation]]


@pytest.fixture
def ready(serving: Callable[..., Made], workstation: Callable[..., Workstation]) -> Ready:
    """A node, and a workstation that it knows."""

    def make(*destinations: Destination, **facts: Any) -> tuple[Serving, Peer, Workstation]:
        at = workstation(**facts)
        made, peer = serving(*destinations, callers={"WORKSTATION": at.start()})
        return made, peer, at

    return make


@pytest.mark.parametrize(
    ("level", "root", "keys", "count"),
    [
        ("PATIENT", PATIENT_ROOT, {"PatientID": "T1"}, 12),
        ("STUDY", PATIENT_ROOT, {"PatientID": "T1", "StudyInstanceUID": "2.25.1"}, 6),
        ("STUDY", STUDY_ROOT, {"StudyInstanceUID": ["2.25.1", "2.25.2"]}, 12),
        ("SERIES", STUDY_ROOT, {"StudyInstanceUID": "2.25.1", "SeriesInstanceUID": "2.25.1.1.5"}, 2),
        ("IMAGE", STUDY_ROOT, {"StudyInstanceUID": "2.25.1", "SeriesInstanceUID": "2.25.1.1.5",
                               "SOPInstanceUID": "2.25.1.1.5.2"}, 1),
    ],
)  # fmt: skip
def test_what_is_retrieved_arrives_byte_for_byte(
    ready: Ready, way: str, level: str, root: str, keys: dict[str, Any], count: int
) -> None:
    made, peer, at = ready()
    made.keep()
    made.keep()
    answers = retrieve(peer, way, at, level, root, **keys)
    assert (answers[-1].Status, counters(answers[-1])) == (0x0000, (count, 0, 0))
    assert "NumberOfRemainingSuboperations" not in answers[-1]
    assert [a.NumberOfRemainingSuboperations for a in answers[:-1]] == list(range(count - 1, -1, -1))
    assert len(at.got) == count
    files = {p: encoded(p) for p in made.settings.storage.results.glob("*/dicom/*.dcm")}
    assert set(at.got.values()) <= set(files.values())
    assert at.originators == (set() if way == "C-GET" else {("ASKER", 11)})


def test_an_uncompressed_result_is_written_in_the_syntax_that_is_taken(ready: Ready, way: str) -> None:
    made, peer, at = ready(takes={"sr-3d": IMPLICIT_LITTLE})
    made.keep("sr-3d")
    answers = retrieve(peer, way, at, "STUDY", StudyInstanceUID="2.25.1")
    assert counters(answers[-1]) == (1, 0, 0)
    (data,) = at.got.values()
    assert b"\x10\x00\x20\x00\x02\x00\x00\x00T1" in data


def test_what_is_not_taken_fails_alone(ready: Ready, way: str) -> None:
    """The others arrive, the answer is a warning, and names what did not."""
    made, peer, at = ready(takes={k: v for k, v in ALL.items() if k != "report-pdf"})
    uids = made.keep()
    (last,) = retrieve(peer, way, at, "STUDY", StudyInstanceUID="2.25.1")[-1:]
    assert (last.Status, counters(last), last.failed) == (0xB000, (5, 0, 1), uids["report-pdf"])
    assert "1.2.840.10008.5.1.4.1.1.104.1" in last.ErrorComment


def test_warnings_and_refusals_are_counted_apart(ready: Ready, way: str) -> None:
    made, peer, at = ready()
    uids = made.keep()
    at.answers = {uids["seg-binary"][0]: 0xB000, uids["sr-3d"][0]: 0xA700}
    (last,) = retrieve(peer, way, at, "STUDY", StudyInstanceUID="2.25.1")[-1:]
    assert (last.Status, counters(last), last.failed) == (0xB000, (4, 1, 1), uids["sr-3d"])


def test_nothing_taken_is_a_failure(ready: Ready, way: str) -> None:
    made, peer, at = ready(takes={"stl": EXPLICIT_LITTLE})
    uids = made.keep("sr-3d")
    (last,) = retrieve(peer, way, at, "STUDY", StudyInstanceUID="2.25.1")[-1:]
    assert (last.Status, counters(last), last.failed) == (0xA702, (0, 0, 1), uids["sr-3d"])


def test_nothing_there_is_no_failure(ready: Ready, way: str) -> None:
    _, peer, at = ready()
    (last,) = retrieve(peer, way, at, "STUDY", StudyInstanceUID="2.25.404")
    assert (last.Status, counters(last)) == (0x0000, (0, 0, 0))


def test_who_takes_no_3d_report_gets_the_next_form_and_no_twin(ready: Ready, way: str) -> None:
    takes = {k: v for k, v in ALL.items() if k != "sr-3d"}
    made, peer, at = ready(takes=takes)
    uids = made.keep()
    (last,) = retrieve(peer, way, at, "STUDY", StudyInstanceUID="2.25.1")[-1:]
    assert (last.Status, counters(last)) == (0x0000, (6, 0, 0))
    assert at.got.keys() & {uid for name, some in uids.items() if name[:2] == "sr" for uid in some} == set(
        uids["sr-comprehensive"]
    )


def test_a_report_goes_with_the_segmentation_it_refers_to(ready: Ready, way: str) -> None:
    """The first destination prefers label maps; who takes none gets BINARY, and the report about that."""
    prefers = Destination("pacs", "PACS", "127.0.0.1", 104, profile="ohif")
    for takes, seg in (
        (ALL, "seg-labelmap"),
        ({k: v for k, v in ALL.items() if k != "seg-labelmap"}, "seg-binary"),
    ):
        made, peer, at = ready(prefers, takes=takes)
        uids = made.keep(profile="ohif")
        assert uids.keys() >= {"seg-labelmap", "seg-binary", "sr-3d", "sr-3d-on-seg-labelmap"}
        retrieve(peer, way, at, "STUDY", StudyInstanceUID="2.25.1")
        report = "sr-3d" if seg == "seg-binary" else "sr-3d-on-seg-labelmap"
        names = [name for name, some in uids.items() if set(some) & at.got.keys()]
        assert [n for n in names if n[:2] in ("se", "sr")] == [seg, report]


def test_a_form_that_is_named_is_the_one_that_comes(ready: Ready, way: str) -> None:
    """By its series or its instances: what it refers to names it, or an archive that has it already."""
    made, peer, at = ready()
    uids = made.keep()
    (enhanced,) = uids["sr-enhanced"]
    series = enhanced.rpartition(".")[0]
    (found,) = find(peer, "SERIES", StudyInstanceUID="2.25.1", SeriesInstanceUID=series)
    assert found.SeriesInstanceUID == series
    retrieve(peer, way, at, "SERIES", StudyInstanceUID="2.25.1", SeriesInstanceUID=series)
    assert list(at.got) == [enhanced]


def test_a_superseded_result_is_not_served(ready: Ready, way: str) -> None:
    made, peer, at = ready()
    made.keep("sr-3d", StudyInstanceUID="2.25.1")
    newer = made.keep("sr-3d", StudyInstanceUID="2.25.1")
    made.supersede("job1", "job2")
    (found,) = find(peer, "STUDY", StudyInstanceUID="", NumberOfStudyRelatedInstances=None)
    assert found.NumberOfStudyRelatedInstances == 1
    (last,) = retrieve(peer, way, at, "STUDY", StudyInstanceUID="2.25.1")[-1:]
    assert counters(last) == (1, 0, 0)
    assert list(at.got) == newer["sr-3d"]
    (last,) = retrieve(
        peer,
        way,
        at,
        "IMAGE",
        StudyInstanceUID="2.25.1",
        SeriesInstanceUID="2.25.1.1.2",
        SOPInstanceUID="2.25.1.1.2.1",
    )
    assert counters(last) == (0, 0, 0)


@pytest.mark.parametrize(
    ("level", "keys", "words"),
    [
        ("STUDY", {}, "names StudyInstanceUID"),
        ("SERIES", {"SeriesInstanceUID": "2.25.1.1.2"}, "has no StudyInstanceUID"),
        ("PATIENT", {"PatientID": "T1"}, "Query/Retrieve Level"),
        ("IMAGE", {"StudyInstanceUID": "1.1", "SeriesInstanceUID": ["1.2", "1.3"], "SOPInstanceUID": "1.4"},
         "several values of SeriesInstanceUID"),
    ],
)  # fmt: skip
def test_an_identifier_that_is_wrong_is_refused_in_words(
    ready: Ready, way: str, level: str, keys: dict[str, Any], words: str
) -> None:
    made, peer, at = ready()
    made.keep("sr-3d")
    (last,) = retrieve(peer, way, at, level, **keys)
    assert last.Status == 0xA900
    assert words in last.ErrorComment
    assert at.got == {}


def test_a_file_that_is_gone_fails_alone(ready: Ready, way: str) -> None:
    made, peer, at = ready()
    uids = made.keep()
    (made.settings.storage.results / "job1" / "dicom" / "sr-3d-1.dcm").unlink()
    (last,) = retrieve(peer, way, at, "STUDY", StudyInstanceUID="2.25.1")[-1:]
    assert (last.Status, counters(last), last.failed) == (0xB000, (5, 0, 1), uids["sr-3d"])


def test_a_retrieval_can_be_cancelled(ready: Ready, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the first instance is under way; the answer says what remains."""
    heard = cancel_is_heard(monkeypatch)
    made, peer, at = ready()
    made.keep()
    model = STUDY_ROOT_GET if way == "C-GET" else STUDY_ROOT_MOVE
    association: Any = None
    take = at._store

    def take_and_cancel(event: evt.Event) -> int:
        if not at.got:
            association.send_c_cancel(5, query_model=model)
            assert heard.wait(120)
        return take(event)

    at.handlers[:] = [(evt.EVT_C_STORE, take_and_cancel)]
    if way == "C-MOVE":
        at.server.bind(evt.EVT_C_STORE, take_and_cancel)
    contexts = [build_context(model, [EXPLICIT_LITTLE])]
    contexts += [build_context(uid, [syntax]) for uid, syntax in at.contexts.items()]
    association = AE("ASKER").associate(
        peer.host, peer.port, contexts, peer.ae_title,
        ext_neg=[build_role(uid, scp_role=True) for uid in at.contexts], evt_handlers=at.handlers,
    )  # fmt: skip
    asked = identifier_of("STUDY", StudyInstanceUID="2.25.1")
    answers = list(
        association.send_c_get(asked, model, msg_id=5)
        if way == "C-GET"
        else association.send_c_move(asked, "WORKSTATION", model, msg_id=5)
    )
    last, _ = answers[-1]
    assert (last.Status, counters(last), last.NumberOfRemainingSuboperations) == (0xFE00, (1, 0, 0), 5)
    association.release()


def test_a_destination_that_nobody_entered_is_unknown(serving: Callable[..., Made]) -> None:
    made, peer = serving()
    made.keep("sr-3d")
    (last,) = retrieve(peer, "C-MOVE", Workstation(), "STUDY", StudyInstanceUID="2.25.1")
    assert last.Status == 0xA801
    assert last.ErrorComment == "AE title WORKSTATION is not in our config"


def test_a_known_destination_that_is_down_is_a_failure_of_all(serving: Callable[..., Made]) -> None:
    away = Peer("ws", "WORKSTATION", "127.0.0.1", free_port(), 60.0, 60.0)
    made, peer = serving(callers={"WORKSTATION": away})
    made.keep()
    (last,) = retrieve(peer, "C-MOVE", Workstation(), "STUDY", StudyInstanceUID="2.25.1")
    assert (last.Status, counters(last), len(last.failed)) == (0xA702, (0, 0, 6), 6)
    assert "no association with ws" in last.ErrorComment


def test_a_destination_that_breaks_off_fails_the_rest(ready: Ready) -> None:
    made, peer, at = ready()
    uids = made.keep()
    at.answers = {uids["sr-3d"][0]: -1}
    (last,) = retrieve(peer, "C-MOVE", at, "STUDY", StudyInstanceUID="2.25.1")[-1:]
    assert (last.Status, counters(last)) == (0xB000, (1, 0, 5))
    assert set(at.got) == set(uids["seg-binary"])


def test_results_cannot_be_stored_with_us(ready: Ready, tmp_path: Path) -> None:
    """The classes of results are open to who takes the SCP's role for them, and then only to be sent."""
    _, peer, _ = ready()
    path = kept_object(tmp_path / "sr.dcm", "sr-3d", "1.2.3", "1.2")
    (outcome,) = send(peer, [path], "CT1")
    assert outcome.name == "not accepted"
    contexts = [build_context(uid, [EXPLICIT_LITTLE]) for uid in (STUDY_ROOT_GET, CONTEXT_OF["sr-3d"][0])]
    roles = [build_role(CONTEXT_OF["sr-3d"][0], scu_role=True, scp_role=True)]
    association = AE("CT1").associate(peer.host, peer.port, contexts, peer.ae_title, ext_neg=roles)
    for context in association.accepted_contexts:
        context._as_scu = True  # a caller that does not keep to what was agreed
    assert association.send_c_store(path).Status == Status.SOP_CLASS_NOT_SUPPORTED
    association.release()


def test_several_callers_are_served_at_once(ready: Ready) -> None:
    made, peer, at = ready()
    made.keep()
    ends: list[Dataset] = []

    def get(way: str) -> None:
        ends.append(retrieve(peer, way, at, "STUDY", StudyInstanceUID="2.25.1")[-1])

    threads = [threading.Thread(target=get, args=[way]) for way in ("C-GET", "C-MOVE") * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [counters(end) for end in ends] == [(6, 0, 0)] * 6


def test_every_form_of_a_result_can_be_retrieved() -> None:
    """The table of classes says of each form what its writer says."""
    for sop_class, syntax in CONTEXT_OF.values():
        assert RESULT_CLASSES[sop_class][0] == syntax
    assert len(RESULT_CLASSES) == len({sop_class for sop_class, _ in CONTEXT_OF.values()})


def test_a_long_retrieval_is_no_silence_of_the_caller(
    workstation: Callable[..., Workstation], serving: Callable[..., Made]
) -> None:
    """It takes longer than a caller may be silent, and the association goes on."""
    at = workstation()
    take = at._store

    def take_slowly(event: evt.Event) -> int:
        if len(at.got) < 6:  # the second time, we know
            time.sleep(0.7)
        return take(event)

    at.handlers[:] = [(evt.EVT_C_STORE, take_slowly)]
    made, peer = serving(callers={"WORKSTATION": at.start()}, idle_timeout_s=4.0)
    made.keep()
    association = AE("ASKER").associate(
        peer.host, peer.port, [build_context(STUDY_ROOT_MOVE, [EXPLICIT_LITTLE])], peer.ae_title
    )
    asked = identifier_of("STUDY", StudyInstanceUID="2.25.1")
    for _ in range(2):
        *_, (last, _) = association.send_c_move(asked, "WORKSTATION", STUDY_ROOT_MOVE)
        assert counters(last) == (6, 0, 0)
    association.release()
    assert association.is_released


def test_a_caller_without_the_right_has_no_context_for_it(
    serving: Callable[..., Made], receiving: Callable[..., Receiver]
) -> None:
    """Nor for the classes of results: reports are given out by name."""
    made, _ = serving()
    made.keep()
    peer = receiving(services=[made.service]).peer  # its rules are those of a modality
    wanted = [STUDY_ROOT_GET, STUDY_ROOT_MOVE, f"{STUDY_ROOT}.1", CONTEXT_OF["sr-3d"][0]]
    association = AE("CT1").associate(
        peer.host, peer.port, [build_context(uid, [EXPLICIT_LITTLE]) for uid in wanted], peer.ae_title,
        ext_neg=[build_role(CONTEXT_OF["sr-3d"][0], scp_role=True)],
    )  # fmt: skip
    assert association.accepted_contexts == []
    association.abort()
