"""Which instances the node vouches for to a modality that asks (storage commitment), and that it remembers.

An instance is kept when its bytes are durable in the inbox, in whatever state its series is, or when it is a
result of ours; its class must be the one that is asked about. Decided when it is reported, so that what
arrives in between counts. From then on the promise stands: `ledger.commitment_requests` tells it to who
keeps the disk, and a settled series is kept anew from that moment.
"""

from __future__ import annotations

import time
from pathlib import Path

from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info

from spine_node.inbox import Inbox
from spine_node.ledger.commitment_requests import KEPT, Asked, CommitmentRequests
from spine_node.ledger.holdings import Holdings
from spine_node.logs import logger
from spine_node.network.commitment_scp import HERE_AFTER_S, HERE_WITHIN_S, Request, Verdict
from spine_node.network.statuses import Status

MOST_WAITING = 1000
"""Questions of one caller that wait for a report; more are refused until some are taken."""

log = logger("custody")


class Custody:
    """The desk of `network.commitment_scp`: in receivers, and in the process that reports later."""

    def __init__(self, requests: CommitmentRequests, inbox: Inbox, holdings: Holdings, results: Path) -> None:
        self._requests, self._inbox, self._holdings, self._results = requests, inbox, holdings, results

    def accept(self, request: Request) -> Status:
        """See `network.commitment_scp.Desk`."""
        if self._requests.waiting(request.calling_ae) >= MOST_WAITING:
            return Status.RESOURCE_LIMITATION
        now = time.time()
        taken = self._requests.accept(
            request.transaction_uid,
            request.calling_ae,
            request.address,
            request.references,
            now,
            now + HERE_AFTER_S + HERE_WITHIN_S,  # after that somebody else reports
        )
        return Status.SUCCESS if taken else Status.DUPLICATE_TRANSACTION_UID

    def take(self, transaction_uid: str, for_s: float) -> bool:
        """See `network.commitment_scp.Desk`."""
        return self._requests.take(transaction_uid, time.time() + for_s)

    def verdict(self, transaction_uid: str) -> Verdict | None:
        """See `network.commitment_scp.Desk`."""
        asked = self._requests.asked(transaction_uid)
        if asked is None:
            return None
        results, held = self._judge(asked)
        self._requests.decide(transaction_uid, results, held, time.time())
        failed = tuple((c, u, results[u]) for c, u in asked.references if results[u] != KEPT)
        log.info(
            "commitment_decided",
            transaction_uid=transaction_uid,
            calling_ae=asked.calling_ae,
            kept=len(asked.references) - len(failed),
            failed=len(failed),
        )
        return Verdict(transaction_uid, tuple(p for p in asked.references if results[p[1]] == KEPT), failed)

    def reported(self, transaction_uid: str, where: str) -> None:
        """See `network.commitment_scp.Desk`."""
        self._requests.reported(transaction_uid, f"reported {where}", time.time())
        log.info("commitment_reported", transaction_uid=transaction_uid, where=where)

    def put_back(self, transaction_uid: str) -> None:
        """See `network.commitment_scp.Desk`."""
        self._requests.postpone(transaction_uid, time.time(), "not on the same association", counted=False)

    def _judge(self, asked: Asked) -> tuple[dict[str, int], set[str]]:
        """A result for each instance, and the series and jobs that the kept ones are of."""
        uids = [uid for _, uid in asked.references]
        received = self._inbox.keep(uids)
        ours = self._holdings.kept([uid for uid in uids if uid not in received])
        results: dict[str, int] = {}
        held = set()
        for sop_class_uid, uid in asked.references:
            if uid in received:
                found = _class_of(received[uid])
                name = received[uid].parent.name
            elif uid in ours and (self._results / ours[uid].path).is_file():
                found, name = ours[uid].sop_class_uid, ours[uid].job
            else:
                results[uid] = Status.NO_SUCH_OBJECT_INSTANCE
                continue
            held.add(name)
            if results.get(uid, KEPT) == KEPT:  # else it was asked about under a wrong class, too
                results[uid] = KEPT if found == sop_class_uid else _reason(found)
        return results, held


def _reason(found: str | None) -> int:
    """Why an instance that is here is not vouched for."""
    return Status.PROCESSING_FAILURE if found is None else Status.CLASS_INSTANCE_CONFLICT


def _class_of(path: Path) -> str | None:
    """SOP class of a file; None when it cannot be read."""
    try:
        return str(read_file_meta_info(path).MediaStorageSOPClassUID)
    except (OSError, InvalidDicomError, AttributeError, ValueError):
        return None
