"""One instance on its way in, and the count of what came.

The bytes go to the disk as they arrive. Trouble (a full disk, a refusal, an instance too long) is kept for
the answer: the rest of the data set is taken and dropped, as the protocol has no other way to say it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol, cast

from spine_node.audit.messages import Party, Source, StudyFacts, instances_transferred
from spine_node.logs import logger
from spine_node.network import turns
from spine_node.network.commands import StoreRequest
from spine_node.network.contexts import DEFLATED_LITTLE
from spine_node.network.part10 import Head, UnreadableHeadError, file_header, read_head
from spine_node.network.statuses import Status, in_words

RECORD_EVERY_S = 1.0
"""How often what came is written down, at most."""

_HEAD_BYTES = 16 << 10
"""How much of a data set is kept in memory for its UIDs; where they come later, the file is read."""

_FAR_HEAD_BYTES = 16 << 20
"""How far the file is read for them."""

log = logger("scp")


class StoredInstance(Protocol):
    """What the inbox says of an instance: its place, and "new", "same" or "superseding"."""

    @property
    def path(self) -> Path: ...
    @property
    def how(self) -> str: ...


class InstanceDraft(Protocol):
    """An instance on its way in, on disk already and nobody's yet: `spine_node.inbox.Draft`."""

    def write(self, *pieces: bytes | memoryview) -> None:
        """Add bytes; OSError if that is not possible."""
        ...

    def reader(self) -> BinaryIO:
        """What was written so far."""
        ...

    def keep(self, series_uid: str, sop_uid: str, calling_ae: str) -> StoredInstance:
        """Keep it for good before returning; OSError if that is not possible."""
        ...

    def discard(self) -> None:
        """Leave nothing of it, unless it was kept."""
        ...


class Arrivals(Protocol):
    """Where it is counted what came of each series: the ledger, which this floor must not know."""

    def record(
        self,
        series_uid: str,
        study_uid: str,
        accession_number: str,
        calling_ae: str,
        address: str,
        stored: int,
        refused: int,
        last_reason: str,
    ) -> None:
        """Add to what is known of this series from this caller."""
        ...


@dataclass(slots=True)
class Visit:
    """One association, or a connection that has not become one."""

    address: str
    calling_ae: str = ""
    seat: int | None = None
    ended: str = "aborted"
    began: float = field(default_factory=time.monotonic)
    stored: int = 0
    refused: int = 0
    too_long: int = 0
    _studies: dict[tuple[str, str, str], dict[str, int]] = field(default_factory=dict, repr=False)

    def came(self, head: Head, how: str) -> None:
        """An instance was kept; how, in the inbox's words."""
        action = {"new": "C", "same": "R"}.get(how, "U")
        classes = self._studies.setdefault((head.study_uid, head.patient_id, action), {})
        classes[head.sop_class_uid] = classes.get(head.sop_class_uid, 0) + 1

    def received(self, source: Source, sender: Party) -> Iterator[str]:
        """What came, as audit messages: one for each study, patient and kind of change."""
        us = Party(source.ae_title)
        for (study_uid, patient_id, action), classes in self._studies.items():
            facts = StudyFacts(study_uid, patient_id, classes)
            yield instances_transferred(source, sender, us, facts, cast(Literal["C", "R", "U"], action))

    def facts(self) -> dict[str, Any]:
        """For its line in the log."""
        seconds = round(time.monotonic() - self.began, 3)
        return {"address": self.address, "stored": self.stored, "refused": self.refused, "seconds": seconds}


class Arriving:
    """A C-STORE under way."""

    def __init__(self, request: StoreRequest, visit: Visit, tally: Tally, max_bytes: int) -> None:
        self._request, self._visit, self._tally, self._left = request, visit, tally, max_bytes
        self._max_bytes = max_bytes
        self._transfer_syntax = ""
        self._draft: InstanceDraft | None = None
        self._header = b""
        self._start = bytearray()
        self._refusal: tuple[Status, str] | None = None
        self._head = Head("", "", "", "")

    def open(self, draft: Callable[[], InstanceDraft], transfer_syntax: str) -> None:
        """Make room; a header comes before the data set in a file."""
        self._header = file_header(
            self._request.sop_class_uid, self._request.sop_instance_uid, transfer_syntax
        )
        self._transfer_syntax = transfer_syntax
        self._draft = draft()

    def refuse(self, status: Status, comment: str) -> None:
        """Answer with this when all has come; what has come is dropped."""
        if self._refusal is None:
            self._refusal = status, comment
        self.discard()

    def fail(self) -> None:
        """A bug of ours, being handled: the sender may try again, the operator is told."""
        log.error("receiving_failed", sop_instance_uid=self._request.sop_instance_uid, exc_info=True)
        self.refuse(Status.PROCESSING_FAILURE, "an error of the receiver, see its log")

    def write(self, pieces: Sequence[memoryview]) -> None:
        """Take the next bytes of the data set."""
        if self._draft is None:
            return
        is_first = self._left == self._max_bytes
        for piece in pieces:
            self._left -= len(piece)
            if len(self._start) < _HEAD_BYTES:
                self._start += piece[: _HEAD_BYTES - len(self._start)]
        if self._left < 0:
            self._visit.too_long += 1
            self.refuse(Status.TOO_LONG, f"longer than the {self._max_bytes} bytes that are taken")
            return
        try:
            if is_first:
                self._draft.write(self._header, *pieces)
            else:
                self._draft.write(*pieces)
        except OSError as problem:
            self.refuse(Status.OUT_OF_RESOURCES, f"not stored: {problem.strerror or problem}")
        except Exception:  # noqa: BLE001 - see fail
            self.fail()

    def finish(self) -> tuple[int, str]:
        """All has come: keep it for good, or say why not."""
        if self._draft is not None:
            try:
                self._keep(self._draft)
            except _MismatchError as problem:
                self.refuse(Status.DATA_SET_DOES_NOT_MATCH_SOP_CLASS, str(problem))
            except (UnreadableHeadError, ValueError) as problem:
                self.refuse(Status.CANNOT_UNDERSTAND, str(problem))
            except OSError as problem:
                self.refuse(Status.OUT_OF_RESOURCES, f"not stored: {problem.strerror or problem}")
            except Exception:  # noqa: BLE001 - see fail
                self.fail()
        status, comment = self._refusal or (Status.SUCCESS, "")
        if self._refusal is not None:
            log.warning(
                "instance_refused",
                status=in_words(status),
                reason=comment,
                sop_instance_uid=self._request.sop_instance_uid,
                calling_ae=self._visit.calling_ae,
            )
            comment = "".join(c if " " <= c <= "~" else "?" for c in comment)
        self._tally.count(
            self._visit, self._head, "" if self._refusal is None else f"{in_words(status)}: {comment}"
        )
        return int(status), comment

    def discard(self) -> None:
        """Leave nothing of it."""
        draft, self._draft = self._draft, None
        if draft is not None:
            draft.discard()

    def _keep(self, draft: InstanceDraft) -> None:
        head = self._head = self._read_head(draft)
        request = self._request
        if (head.sop_class_uid, head.sop_uid) != (request.sop_class_uid, request.sop_instance_uid):
            raise _MismatchError(f"data set is instance {head.sop_uid or '(none)'}")
        if not head.series_uid:
            raise UnreadableHeadError("the data set has no Series Instance UID")
        with turns.waiting():
            stored = draft.keep(head.series_uid, head.sop_uid, self._visit.calling_ae)
        self._draft = None
        self._visit.came(head, stored.how)
        log.info(
            "instance_stored",
            how=stored.how,
            sop_instance_uid=head.sop_uid,
            series_uid=head.series_uid,
            study_uid=head.study_uid,
            calling_ae=self._visit.calling_ae,
        )

    def _read_head(self, draft: InstanceDraft) -> Head:
        whole = self._max_bytes - self._left <= len(self._start)
        if whole or self._transfer_syntax != DEFLATED_LITTLE:
            try:
                head = read_head(BytesIO(self._start), self._transfer_syntax)
            except UnreadableHeadError:
                if whole:
                    raise
            else:
                if whole or head.series_uid:
                    return head
        with draft.reader() as file:
            file.seek(len(self._header))
            return read_head(BytesIO(file.read(_FAR_HEAD_BYTES)), self._transfer_syntax)


class Tally:
    """Counts what came of each series from each caller, and has it written down now and then."""

    def __init__(self, arrivals: Arrivals | None) -> None:
        self._arrivals = arrivals
        self._counts: dict[tuple[str, str], _Count] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to write down."""
        if self._arrivals is not None:
            self._thread = threading.Thread(target=self._write_now_and_then, name="arrivals", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Write down the rest."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        self._write()

    def count(self, visit: Visit, head: Head, reason: str) -> None:
        """One instance came; with a reason, it was refused."""
        if reason:
            visit.refused += 1
        else:
            visit.stored += 1
        if self._arrivals is None:
            return
        with self._lock:
            count = self._counts.setdefault((head.series_uid, visit.calling_ae), _Count(head, visit))
            if reason:
                count.refused, count.last_reason = count.refused + 1, reason
            else:
                count.stored, count.head = count.stored + 1, head

    def _write_now_and_then(self) -> None:
        while not self._stopping.wait(RECORD_EVERY_S):
            self._write()

    def _write(self) -> None:
        if self._arrivals is None:
            return
        with self._lock:
            counts, self._counts = self._counts, {}
        for count in counts.values():
            head, visit = count.head, count.visit
            try:
                self._arrivals.record(
                    head.series_uid, head.study_uid, head.accession_number, visit.calling_ae, visit.address,
                    count.stored, count.refused, count.last_reason,
                )  # fmt: skip
            except Exception as problem:  # noqa: BLE001 - what came is safe; only its count is not written
                log.error("arrivals_not_recorded", series_uid=head.series_uid, reason=str(problem))


@dataclass(slots=True)
class _Count:
    head: Head
    visit: Visit
    stored: int = 0
    refused: int = 0
    last_reason: str = ""


class _MismatchError(Exception):
    """The data set is not the instance that the request announced."""
