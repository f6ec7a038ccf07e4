"""A PACS in a process of its own that writes down every arrival before it answers.

    python -m tests.chaos.pacs AE_TITLE PORT JOURNAL DELAY_S NODE_PORT

The journal has a JSON line an arrival: SOP instance, series and study UID, modality, a hash of the data set's
bytes as they came, and when. It survives this process; nothing else is kept.

Asked for storage commitment it answers as PACS do (`Archive`), and each promise is written down first.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sys
import threading
import time
from io import BytesIO
from pathlib import Path
from typing import cast

from pydicom import Dataset, dcmread
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, build_role, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE

from spine_node.network.contexts import STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE, VERIFICATION
from spine_node.network.part10 import file_header
from spine_node.network.server import listen
from spine_node.network.statuses import Status
from tests.network.commitment_answer import report

WAYS = {"same": 4, "new": 4, "late": 1, "never": 1}
"""How an answer comes, and how often of ten: on the association of the question, on a new one, on a new one
after seconds, or not at all."""

DENIED = 0.1
"""The share of questions in which an instance that is here is denied, once each."""


class Archive:
    """Who answers for storage commitment. Promises only what is in the journal."""

    def __init__(self, ae_title: str, node_port: int, promises: Path) -> None:
        self._ae_title, self._node_port = ae_title, node_port
        self._lines = os.open(promises, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
        self._lock = threading.Lock()
        self.kept: set[str] = set()
        self._denied: set[str] = set()

    def on_n_action(self, event: evt.Event) -> tuple[int, Dataset | None]:
        """Take the question; the answer comes from a thread."""
        asked = event.action_information
        (way,) = random.choices(list(WAYS), list(WAYS.values()))
        threading.Thread(target=self._answer, args=[event.assoc, asked, way], daemon=True).start()
        return Status.SUCCESS, None

    def _answer(self, association: Association, asked: Dataset, way: str) -> None:
        if way == "never":
            return
        time.sleep(random.uniform(0.05, 0.4) if way != "late" else random.uniform(1.0, 4.0))
        answer = self._promise(asked)
        kind = 2 if "FailedSOPSequence" in answer else 1
        for _ in range(5):  # a node that is down is called again
            if way == "same" and association.is_established:
                status, _ = association.send_n_event_report(
                    answer, kind, STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE
                )
            else:
                status = self._call(answer, kind)
            if status.get("Status") == Status.SUCCESS:
                return
            way = "new"
            time.sleep(1.0)

    def _call(self, answer: Dataset, kind: int) -> Dataset:
        ae = AE(self._ae_title)
        ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 10
        ae.add_requested_context(STORAGE_COMMITMENT)
        role = build_role(STORAGE_COMMITMENT, scp_role=True)
        association = ae.associate("127.0.0.1", self._node_port, ae_title="CHAOS", ext_neg=[role])
        if not association.is_established:
            return Dataset()
        try:
            status, _ = association.send_n_event_report(
                answer, kind, STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE
            )
        except RuntimeError:  # pynetdicom's word for a node that was killed meanwhile
            return Dataset()
        finally:
            association.release()
        return status

    def _promise(self, asked: Dataset) -> Dataset:
        failed: dict[str, int] = {}
        with self._lock:
            uids = [str(item.ReferencedSOPInstanceUID) for item in asked.ReferencedSOPSequence]
            for uid in uids:
                denied = uid not in self._denied and random.random() < DENIED
                if uid not in self.kept or denied:
                    self._denied.add(uid)
                    failed[uid] = int(Status.NO_SUCH_OBJECT_INSTANCE)
            os.write(self._lines, "".join(f"{uid}\n" for uid in uids if uid not in failed).encode())
            os.fsync(self._lines)
        return report(asked, failed)


def main(ae_title: str, port: str, journal: str, delay_s: str, node_port: str) -> None:
    """Serve until SIGTERM; each instance takes `delay_s`, so that kills find deliveries under way."""
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    writing = threading.Lock()
    lines = os.open(journal, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
    archive = Archive(ae_title, int(node_port), promises_of(Path(journal)))

    def on_c_store(event: evt.Event) -> int:
        request = cast(C_STORE, event.request)
        body = cast(BytesIO, request.DataSet).getvalue()
        header = file_header(
            str(request.AffectedSOPClassUID),
            str(request.AffectedSOPInstanceUID),
            str(event.context.transfer_syntax),
        )
        ds = dcmread(BytesIO(header + body), stop_before_pixels=True)
        row = {
            "sop_uid": str(request.AffectedSOPInstanceUID),
            "series_uid": str(ds.SeriesInstanceUID),
            "study_uid": str(ds.StudyInstanceUID),
            "modality": str(ds.Modality),
            "sha256": hashlib.sha256(body).hexdigest(),
            "time": time.time(),
        }
        time.sleep(float(delay_s))
        with writing:
            os.write(lines, (json.dumps(row) + "\n").encode())
            os.fsync(lines)
        archive.kept.add(row["sop_uid"])
        time.sleep(float(delay_s))
        return Status.SUCCESS

    ae = AE(ae_title)
    ae.maximum_associations = 64
    for context in AllStoragePresentationContexts:
        ae.add_supported_context(str(context.abstract_syntax), ALL_TRANSFER_SYNTAXES)
    ae.add_supported_context(VERIFICATION)
    ae.add_supported_context(STORAGE_COMMITMENT)
    handlers = [(evt.EVT_C_STORE, on_c_store), (evt.EVT_N_ACTION, archive.on_n_action)]
    server = listen(ae, "127.0.0.1", int(port), handlers)
    stopping.wait()
    server.end(grace_s=1.0)


def arrivals(journal: Path) -> list[dict[str, str]]:
    """What has come so far, in order; a line being written is left out."""
    if not journal.exists():
        return []
    return [json.loads(line) for line in journal.read_bytes().split(b"\n")[:-1]]


def promises_of(journal: Path) -> Path:
    """Where the promises lie beside a journal."""
    return journal.with_suffix(".promises")


def promised(journal: Path) -> set[str]:
    """The instances that were promised to be kept."""
    promises = promises_of(journal)
    return set(promises.read_text().split()) if promises.exists() else set()


if __name__ == "__main__":
    main(*sys.argv[1:])
