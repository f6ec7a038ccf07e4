"""Reports out of a PACS by DIMSE: C-FIND for which, then C-GET, or C-MOVE to a port of ours.

C-GET brings a document over the association that asks for it, so that nobody must be able to call us.
C-MOVE is for a PACS without it: it calls back, and must know our AE title, host and port. Either way one
document is asked for at a time, so that a failure names the one it is about.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import cast

from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID_dictionary
from pynetdicom import AE, build_role, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.presentation import build_context

from spine_node.errors import PeerUnavailable
from spine_node.logs import logger
from spine_node.network.archive import MOST_STUDIES, Document, Query, studies_of, too_many
from spine_node.network.associations import NotAcceptedError, associated
from spine_node.network.contexts import (
    DEFLATED_LITTLE,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
    VERIFICATION,
)
from spine_node.network.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION, file_header
from spine_node.network.peer import Peer
from spine_node.network.query import find
from spine_node.network.server import listen
from spine_node.network.statuses import Status, in_words

STRAGGLERS_S = 10.0
"""How long we wait for a document that a PACS says it has sent by C-MOVE: some answer first, then send."""

_OFFERED = sorted(
    uid
    for uid, (name, *_) in UID_dictionary.items()
    if uid.startswith("1.2.840.10008.5.1.4.1.1.88.") and "Storage" in name and "Trial" not in name
)
"""Every class of structured report: a PACS need not tell which one a document has before it sends it."""

_SYNTAXES = [EXPLICIT_LITTLE, IMPLICIT_LITTLE, DEFLATED_LITTLE]
_MOVE_DESTINATION_UNKNOWN = 0xA801
_ANSWERED_BADLY = (NotAcceptedError, ValueError, RuntimeError)
"""What pynetdicom and we raise where the peer will not have the association or one of its contexts."""

log = logger("retrieve")


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where a PACS sends what it is told to move: host "" listens on every interface."""

    host: str
    port: int


class DimseArchive:
    """A PACS that answers C-FIND, and C-GET or C-MOVE.

    Parameters
    ----------
    peer : Peer
    calling_ae : str
        Our AE title; also the destination of C-MOVE.
    receiver : Receiver, optional
        Retrieve by C-MOVE to it; by default C-GET.
    """

    def __init__(self, peer: Peer, calling_ae: str, receiver: Receiver | None = None) -> None:
        self._peer = peer
        self._calling_ae = calling_ae
        self._receiver = receiver

    def __str__(self) -> str:
        return str(self._peer)

    def studies(self, query: Query, most: int = MOST_STUDIES) -> list[str]:
        """See `Archive`."""
        answers = find(self._peer, self._calling_ae, "STUDY", query.keys, most)
        if len(answers) > most:
            raise too_many(most)
        return studies_of(({k: str(a.get(k) or "") for k in query.keys} for a in answers), query)

    def documents(self, study_uid: str) -> list[Document]:
        """See `Archive`."""
        keys = {"StudyInstanceUID": study_uid, "SeriesInstanceUID": "", "Modality": "SR"}
        found = set()
        for series in find(self._peer, self._calling_ae, "SERIES", keys):
            if str(series.get("Modality") or "SR") != "SR":  # a PACS that ignores the key
                continue
            series_uid = str(series.SeriesInstanceUID)
            inside = {"StudyInstanceUID": study_uid, "SeriesInstanceUID": series_uid}
            asked = inside | {"SOPInstanceUID": "", "SOPClassUID": ""}
            for image in find(self._peer, self._calling_ae, "IMAGE", asked):
                sop_class_uid = str(image.get("SOPClassUID") or "")
                found.add(Document(study_uid, series_uid, str(image.SOPInstanceUID), sop_class_uid))
        return sorted(found)

    def fetch(self, documents: Sequence[Document]) -> list[Dataset]:
        """See `Archive`."""
        if not documents:
            return []
        arrived = _Arrived({document.sop_instance_uid for document in documents})
        try:
            if self._receiver is None:
                self._get(documents, arrived)
            else:
                self._move(documents, arrived, self._receiver)
        except _ANSWERED_BADLY as answer:
            raise PeerUnavailable(str(answer)) from answer
        return [arrived.taken[document.sop_instance_uid] for document in documents]

    def _get(self, documents: Sequence[Document], arrived: _Arrived) -> None:
        contexts = [build_context(STUDY_ROOT_GET, [EXPLICIT_LITTLE, IMPLICIT_LITTLE])]
        contexts += [build_context(uid, _SYNTAXES) for uid in _OFFERED]
        roles = [build_role(uid, scu_role=False, scp_role=True) for uid in _OFFERED]
        handlers = [(evt.EVT_C_STORE, arrived.on_c_store)]
        with associated(
            self._peer, self._calling_ae, contexts, roles=roles, handlers=handlers
        ) as association:
            _require_context(association, self._peer, STUDY_ROOT_GET, "C-GET: try --move PORT")
            for document in documents:
                answers = association.send_c_get(_identifier(document), STUDY_ROOT_GET)
                self._until_final(answers, "C-GET", document)
                if document.sop_instance_uid not in arrived.taken:
                    raise PeerUnavailable(
                        f"{self._peer} sent no report {document.sop_instance_uid} in answer to C-GET"
                    )

    def _move(self, documents: Sequence[Document], arrived: _Arrived, receiver: Receiver) -> None:
        contexts = [build_context(STUDY_ROOT_MOVE, [EXPLICIT_LITTLE, IMPLICIT_LITTLE])]
        with (
            _receiving(self._calling_ae, receiver, arrived),
            associated(self._peer, self._calling_ae, contexts) as association,
        ):
            for document in documents:
                answers = association.send_c_move(_identifier(document), self._calling_ae, STUDY_ROOT_MOVE)
                self._until_final(answers, "C-MOVE", document)
                if not arrived.wait_for(document.sop_instance_uid, STRAGGLERS_S):
                    raise PeerUnavailable(
                        f"{self._peer} says that it moved report {document.sop_instance_uid} to "
                        f"{self._calling_ae}, but nothing arrived at port {receiver.port}: does it send to "
                        "another host or port?"
                    )

    def _until_final(
        self, answers: Iterator[tuple[Dataset, Dataset | None]], request: str, document: Document
    ) -> None:
        """Read the answers to one request; raise if the last is no success."""
        asked = f"{request} of report {document.sop_instance_uid}"
        for status, _ in answers:
            if not status:
                raise PeerUnavailable(
                    f"{self._peer} did not answer {asked}: the association was lost or timed out; "
                    f"does it know our AE title {self._calling_ae}, and may that retrieve?"
                )
            if status.Status == Status.PENDING:
                continue
            if status.Status == _MOVE_DESTINATION_UNKNOWN:
                raise PeerUnavailable(
                    f"{self._peer} knows no AE title {self._calling_ae} to move to: enter it there with this "
                    "machine's address and the port of --move"
                )
            if status.Status != Status.SUCCESS or status.get("NumberOfFailedSuboperations"):
                comment = str(status.get("ErrorComment") or "")
                words = [in_words(status.Status), comment, self._hint if request == "C-MOVE" else ""]
                raise PeerUnavailable(f"{self._peer} answered {asked} with {' '.join(filter(None, words))}")

    @property
    def _hint(self) -> str:
        """What most often is the matter with C-MOVE."""
        port = self._receiver.port if self._receiver else 0
        return f"(does it know {self._calling_ae} as this machine, port {port}, and may it connect there?)"


class _Arrived:
    """What C-STORE requests bring, if it was asked for."""

    def __init__(self, wanted: set[str]) -> None:
        self._wanted = wanted
        self._news = threading.Condition()
        self.taken: dict[str, Dataset] = {}

    def on_c_store(self, event: evt.Event) -> int:
        request = cast(C_STORE, event.request)
        sop_class_uid, sop_uid = str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID)
        if sop_uid not in self._wanted:
            log.warning("instance_refused", reason="not asked for", sop_instance_uid=sop_uid)
            return Status.NOT_AUTHORISED
        header = file_header(sop_class_uid, sop_uid, str(event.context.transfer_syntax))
        encoded = cast(BytesIO, request.DataSet).getvalue()
        try:
            document = dcmread(BytesIO(header + encoded))
        except (InvalidDicomError, EOFError, ValueError, KeyError, OSError, NotImplementedError) as problem:
            log.warning("instance_refused", reason=str(problem), sop_instance_uid=sop_uid)
            return Status.CANNOT_UNDERSTAND
        with self._news:
            self.taken[sop_uid] = document
            self._news.notify_all()
        return Status.SUCCESS

    def wait_for(self, sop_uid: str, patience_s: float) -> bool:
        with self._news:
            return self._news.wait_for(lambda: sop_uid in self.taken, patience_s)


@contextmanager
def _receiving(ae_title: str, receiver: Receiver, arrived: _Arrived) -> Iterator[None]:
    """Take reports at a port for the time of the body; whatever else comes there is refused."""
    ae = AE(ae_title)
    ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    ae.implementation_version_name = IMPLEMENTATION_VERSION
    ae.require_called_aet = True
    for uid in _OFFERED:
        ae.add_supported_context(uid, _SYNTAXES)
    ae.add_supported_context(VERIFICATION, [EXPLICIT_LITTLE, IMPLICIT_LITTLE])
    server = listen(ae, receiver.host, receiver.port, [(evt.EVT_C_STORE, arrived.on_c_store)])
    try:
        yield
    finally:
        server.end(grace_s=1.0)


def _identifier(document: Document) -> Dataset:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "IMAGE"
    identifier.StudyInstanceUID = document.study_uid
    identifier.SeriesInstanceUID = document.series_uid
    identifier.SOPInstanceUID = document.sop_instance_uid
    return identifier


def _require_context(association: Association, peer: Peer, uid: str, words: str) -> None:
    if uid not in [str(context.abstract_syntax) for context in association.accepted_contexts]:
        raise NotAcceptedError(f"{peer} takes no {words}")
