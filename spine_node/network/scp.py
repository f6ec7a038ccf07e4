"""The receiving side: an SCP that answers C-ECHO and keeps what C-STORE brings.

The life of an association: its AE titles are checked, its contexts negotiated; each C-STORE request is
read as far as its Series Instance UID, written by the inbox (temporary file, fsync, rename) and only
then answered with success; its end is logged. Nothing else happens in a network thread: no pixel is
decoded, no series judged. Imports neither torch nor highdicom.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Protocol, cast
from weakref import WeakKeyDictionary

from pydicom import Dataset
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE

from spine_node.logs import logger
from spine_node.network.contexts import storage_contexts
from spine_node.network.part10 import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION,
    UnreadableHeadError,
    file_header,
    read_head,
)
from spine_node.network.server import PromptServer, listen
from spine_node.network.spool import Spool, SpoolingProvider
from spine_node.network.statuses import Status, in_words

MAXIMUM_PDU_BYTES = 131072
"""Measured: at the usual 16 KiB the same stream needs eight times the reads, and half the speed is lost."""

log = logger("scp")


class StoredInstance(Protocol):
    """What the inbox says of an instance: its place, and "new", "same" or "superseding"."""

    @property
    def path(self) -> Path: ...
    @property
    def how(self) -> str: ...


class InstanceStore(Protocol):
    """Where instances go: `spine_node.inbox.Inbox`, which this floor must not know."""

    def store(
        self, series_uid: str, sop_uid: str, calling_ae: str, chunks: Iterable[bytes | memoryview]
    ) -> StoredInstance:
        """Keep the instance for good before returning; OSError if that is not possible."""
        ...

    def temporary_folder(self) -> Path:
        """Room for what is too long for memory."""
        ...


class StorageSCP:
    """A Storage and Verification SCP on one port.

    Parameters
    ----------
    ae_title : str
        Called AE title; at most 16 characters.
    host : str
        Address to listen on; 127.0.0.1 serves this machine only, "" every interface.
    port : int
        0 lets the system choose one; `start` gives it.
    inbox : InstanceStore
    allowed_calling_aes : sequence of str, optional
        Who may open an association; None lets everybody. Others are rejected, permanently, with
        "calling AE title not recognised".
    require_called_ae : bool
        Reject associations that call another AE title than ours.
    max_associations : int
        More at once are rejected as transient ("local limit exceeded"): the sender tries again.
    idle_timeout_s : float
        An association that is silent this long is aborted.
    share_port : bool
        Let several processes listen on the same port; the kernel spreads associations over them.
    """

    def __init__(
        self,
        ae_title: str,
        host: str,
        port: int,
        inbox: InstanceStore,
        *,
        allowed_calling_aes: Sequence[str] | None = None,
        require_called_ae: bool = True,
        max_associations: int = 16,
        idle_timeout_s: float = 60.0,
        share_port: bool = False,
    ) -> None:
        if allowed_calling_aes is not None and not allowed_calling_aes:
            raise ValueError("nobody may call: name at least one AE title, or None for everybody")
        self._inbox = inbox
        self._address = (host, port)
        self._share_port = share_port
        self._ae = AE(ae_title)
        self._ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        self._ae.implementation_version_name = IMPLEMENTATION_VERSION
        self._ae.maximum_pdu_size = MAXIMUM_PDU_BYTES
        self._ae.maximum_associations = max_associations
        self._ae.network_timeout = idle_timeout_s
        self._ae.require_called_aet = require_called_ae
        self._ae.require_calling_aet = list(allowed_calling_aes or ())
        self._ae.supported_contexts = storage_contexts()
        self._server: PromptServer | None = None
        self._tallies: WeakKeyDictionary[Association, _Tally] = WeakKeyDictionary()

    def start(self) -> int:
        """Listen, in threads of this process; gives the port.

        Raises
        ------
        Unavailable
            If the address cannot be had (in use, not this machine's, not permitted).
        """
        handlers = [
            (evt.EVT_CONN_OPEN, self._on_open),
            (evt.EVT_C_STORE, self._on_c_store),
            (evt.EVT_REJECTED, self._on_end, ["rejected"]),
            (evt.EVT_RELEASED, self._on_end, ["released"]),
            (evt.EVT_ABORTED, self._on_end, ["aborted"]),
        ]
        host, port = self._address
        self._server = listen(self._ae, host, port, handlers, share_port=self._share_port)
        log.info("listening", ae_title=self._ae.ae_title, host=host, port=self._server.port)
        return self._server.port

    def stop(self, grace_s: float = 10.0) -> None:
        """Accept no more, let associations end by themselves for `grace_s`, then abort the rest.

        Nothing acknowledged is lost: what was answered with success is on disk.
        """
        server, self._server = self._server, None
        if server is not None:
            server.end(grace_s)
            log.info("stopped", ae_title=self._ae.ae_title)

    def _on_open(self, event: evt.Event) -> None:
        event.assoc.dimse = SpoolingProvider(event.assoc, self._inbox.temporary_folder)
        self._tallies[event.assoc] = _Tally(address=event.assoc.requestor.address)

    def _on_c_store(self, event: evt.Event) -> Dataset:
        request = cast(C_STORE, event.request)
        spool = cast(Spool, request.DataSet)
        with closing(spool):
            status, comment = self._keep(event, request, spool)
        tally = self._tallies[event.assoc]
        tally.count(status)
        answer = Dataset()
        answer.Status = int(status)
        if comment:
            answer.ErrorComment = comment.encode("ascii", "replace").decode()[:64]  # VR LO
        return answer

    def _keep(self, event: evt.Event, request: C_STORE, spool: Spool) -> tuple[Status, str]:
        """Store what one request brings; the status to answer with, and a comment for a refusal."""
        sop_class_uid, sop_uid = str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID)
        calling_ae, transfer_syntax = _calling_ae(event.assoc), str(event.context.transfer_syntax)
        try:
            spool.require_whole()
            head = read_head(spool.reader(), transfer_syntax)
            if (head.sop_class_uid, head.sop_uid) != (sop_class_uid, sop_uid):
                raise _MismatchError(f"data set is instance {head.sop_uid or '(none)'}")
            if not head.series_uid:
                raise UnreadableHeadError("the data set has no Series Instance UID")
            header = file_header(sop_class_uid, sop_uid, transfer_syntax)
            stored = self._inbox.store(head.series_uid, sop_uid, calling_ae, chain([header], spool.chunks()))
        except _MismatchError as problem:
            status, comment = Status.DATA_SET_DOES_NOT_MATCH_SOP_CLASS, str(problem)
        except (UnreadableHeadError, ValueError) as problem:
            status, comment = Status.CANNOT_UNDERSTAND, str(problem)
        except OSError as problem:
            status, comment = Status.OUT_OF_RESOURCES, f"not stored: {problem.strerror or problem}"
        except Exception:  # a bug of ours: the sender may try again, the operator is told
            log.error("receiving_failed", sop_instance_uid=sop_uid, exc_info=True)
            status, comment = Status.PROCESSING_FAILURE, "an error of the receiver, see its log"
        else:
            log.info(
                "instance_stored",
                how=stored.how,
                sop_instance_uid=sop_uid,
                series_uid=head.series_uid,
                study_uid=head.study_uid,
                calling_ae=calling_ae,
            )
            return Status.SUCCESS, ""
        log.warning(
            "instance_refused",
            status=in_words(status),
            reason=comment,
            sop_instance_uid=sop_uid,
            calling_ae=calling_ae,
        )
        return status, comment

    def _on_end(self, event: evt.Event, end: str) -> None:
        tally = self._tallies.pop(event.assoc, None)
        if tally is not None:
            calling_ae = _calling_ae(event.assoc)
            log.info(f"association_{end}", calling_ae=calling_ae, **tally.facts())


@dataclass
class _Tally:
    """What one association has brought so far."""

    address: str
    began: float = field(default_factory=time.monotonic)
    stored: int = 0
    refused: int = 0

    def count(self, status: Status) -> None:
        if status == Status.SUCCESS:
            self.stored += 1
        else:
            self.refused += 1

    def facts(self) -> dict[str, Any]:
        seconds = round(time.monotonic() - self.began, 3)
        return {"address": self.address, "stored": self.stored, "refused": self.refused, "seconds": seconds}


class _MismatchError(Exception):
    """The data set is not the instance that the request announced."""


def _calling_ae(association: Association) -> str:
    return str(association.requestor.ae_title).strip()
