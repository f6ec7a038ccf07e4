"""A PACS that can be in any mood: absent, deaf, mute, unwilling; and that keeps what it took, in order."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from pydicom import Dataset
from pynetdicom import AE, evt
from pynetdicom.presentation import build_context

from spine_node.dicom.forms import CONTEXT_OF
from spine_node.network.contexts import EXPLICIT_LITTLE, IMPLICIT_LITTLE, STORAGE_COMMITMENT, VERIFICATION
from tests.conftest import free_port

Mood = Literal[
    "well", "away", "deaf", "mute", "rejects us", "busy", "cuts the transfer", "drops the association",
    "loses its answers",
]  # fmt: skip
"""away: nothing listens. deaf: TCP is accepted, nothing is said. mute: C-STORE is never answered.
busy: associations are rejected for the time being. loses its answers: stored, and the line is cut."""

_CUT_AFTER_BYTES = 1500


@dataclass
class MoodyPacs:
    """Listens on one port for its whole life.

    Attributes
    ----------
    status : callable or int
        What C-STORE is answered with; a failure keeps nothing.
    kept : list of str
        UIDs in the order of their first arrival.
    stored : Counter of str
        How often each was stored.
    calls : int
        Connections, of whatever fate.
    commits : str
        How it answers for storage commitment: "at once", on the same association; "later", when `report`
        is called; "never"; "not now", refusing the question.
    reasons : dict of str to int
        Why it does not commit an instance; what it has not stored is no such object instance.
    questions : list of Dataset
        What it was asked.
    """

    mood: Mood = "well"
    status: int = 0x0000
    statuses: dict[str, int] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    kept: list[str] = field(default_factory=list)
    stored: Counter[str] = field(default_factory=Counter)
    received: Counter[str] = field(default_factory=Counter)
    calls: int = 0
    commits: Literal["at once", "later", "never", "not now"] = "at once"
    reasons: dict[str, int] = field(default_factory=dict)
    questions: list[Dataset] = field(default_factory=list)
    adds_bogus: bool = False
    """Whether its answers name an instance that nobody asked for."""

    def __post_init__(self) -> None:
        self._server: Any = None
        self._deaf: socket.socket | None = None
        self._wake = threading.Event()
        self.be(self.mood)

    def be(self, mood: Mood, status: int = 0x0000) -> None:
        """Change the mood; open associations end."""
        self.stop()
        self.mood, self.status = mood, status
        if mood == "deaf":
            self._deaf = socket.create_server(("127.0.0.1", self.port))
        elif mood != "away":
            self._wake.clear()
            self._server = self._ae().start_server(
                ("127.0.0.1", self.port), block=False, evt_handlers=self.handlers()
            )

    def stop(self) -> None:
        """Listen no more."""
        self._wake.set()
        if self._server is not None:
            self._server.shutdown()
            self._server = None
        if self._deaf is not None:
            self._deaf.close()
            self._deaf = None

    def handlers(self) -> Sequence[Any]:
        """What it reacts to."""
        return [
            (evt.EVT_CONN_OPEN, self._called),
            (evt.EVT_REQUESTED, self._requested),
            (evt.EVT_DATA_RECV, self._data),
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_N_ACTION, self._asked),
        ]

    def forget(self, uid: str) -> None:
        """Lose an instance, as a PACS restored from an old backup does."""
        self.kept.remove(uid)
        del self.stored[uid]

    def answer_to(self, question: Dataset) -> tuple[int, Dataset]:
        """The event type and the answer, as things are now."""
        answer = Dataset()
        answer.TransactionUID = question.TransactionUID
        answer.ReferencedSOPSequence, answer.FailedSOPSequence = [], []
        for item in question.ReferencedSOPSequence:
            uid = str(item.ReferencedSOPInstanceUID)
            reason = self.reasons.get(uid, 0 if uid in self.stored else 0x0112)
            if reason:
                item.FailureReason = reason
            (answer.FailedSOPSequence if reason else answer.ReferencedSOPSequence).append(item)
        if self.adds_bogus:
            bogus = Dataset()
            bogus.ReferencedSOPClassUID, bogus.ReferencedSOPInstanceUID = "1.2.3", "1.2.3.4.5"
            answer.ReferencedSOPSequence.append(bogus)
        return (2 if answer.FailedSOPSequence else 1), answer

    def _ae(self) -> AE:
        ae = AE("PACS")
        for sop_class, syntax in set(CONTEXT_OF.values()):
            ae.add_supported_context(sop_class, list({syntax, EXPLICIT_LITTLE, IMPLICIT_LITTLE}))
        ae.add_supported_context(VERIFICATION)
        commitment = build_context(STORAGE_COMMITMENT, [EXPLICIT_LITTLE, IMPLICIT_LITTLE])
        ae.supported_contexts = [*ae.supported_contexts, commitment]
        if self.mood == "rejects us":
            ae.require_calling_aet = ["SOMEBODYELSE"]
        return ae

    def _called(self, event: evt.Event) -> None:
        self.calls += 1
        event.assoc.received_bytes = 0

    def _requested(self, event: evt.Event) -> None:
        if self.mood == "busy":
            event.assoc.acse.send_reject(0x02, 0x03, 0x02)  # transient, local limit exceeded
            event.assoc.kill()

    def _data(self, event: evt.Event) -> None:
        event.assoc.received_bytes += len(event.data)
        # after the association request, which is shorter, in the midst of the first instance
        long = event.assoc.received_bytes > _CUT_AFTER_BYTES and event.data[:1] == b"\x04"
        if self.mood == "cuts the transfer" and long:
            _cut(event.assoc)

    def _asked(self, event: evt.Event) -> tuple[int, None]:
        question = event.action_information
        self.questions.append(question)
        if self.commits == "not now":
            return 0x0213, None
        if self.commits == "at once":
            kind, answer = self.answer_to(question)
            event.assoc.send_n_event_report(answer, kind, STORAGE_COMMITMENT, "1.2.840.10008.1.20.1.1")
        return 0x0000, None

    def _store(self, event: evt.Event) -> int | Dataset:
        uid = str(event.request.AffectedSOPInstanceUID)
        self.received[uid] += 1
        if self.mood == "mute":
            self._wake.wait(60)
        if self.mood == "drops the association":
            event.assoc.abort()
            return 0x0110
        if self.mood in ("mute", "cuts the transfer"):
            return 0x0110
        status = self.statuses.get(uid, self.status)
        if status in (0x0000, 0x0001, 0x0107, 0x0116) or status & 0xF000 == 0xB000:
            if uid not in self.stored:
                self.kept.append(uid)
            self.stored[uid] += 1
        if self.mood == "loses its answers":
            _cut(event.assoc)
        return status


def _cut(association: Any) -> None:
    with suppress(OSError, AttributeError):
        association.dul.socket.socket.shutdown(socket.SHUT_RDWR)
