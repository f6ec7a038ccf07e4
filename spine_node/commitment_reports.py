"""Reports of storage commitment that did not go over the association that asked: sent to the caller, in time.

A thread of the main process looks at the ledger every second, so that reports go out after any end of a
process. A caller that cannot be reached is tried again, after longer and longer, for a week.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from spine_node.custody import Custody
from spine_node.errors import PeerUnavailable
from spine_node.ledger.commitment_requests import Asked, CommitmentRequests
from spine_node.logs import logger
from spine_node.network.commitment_scp import report
from spine_node.network.peer import Peer

EVERY_S = 1.0
GIVE_UP_S = 7 * 86400.0
"""How long a caller may stay away: a weekend and a repair."""

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 30.0, 3600.0
_BUSY_S = 300.0  # nobody else reports while one report may take so long

log = logger("commitment")


class CommitmentReports:
    """Sends reports.

    Parameters
    ----------
    where : callable
        Takes the AE title and the IP address of who asked, and gives the peer to report to, or None.
    """

    def __init__(
        self,
        requests: CommitmentRequests,
        custody: Custody,
        ae_title: str,
        where: Callable[[str, str], Peer | None],
    ) -> None:
        self._requests, self._custody, self._ae_title, self._where = requests, custody, ae_title, where
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="commitment-reports", daemon=True)

    def start(self) -> None:
        """Begin; what an earlier process left is reported, too."""
        self._thread.start()

    def stop(self) -> None:
        """End, after the report under way."""
        self._stopping.set()
        self._thread.join(timeout=10.0)

    def look(self) -> None:
        """Report what is due, once; a peer that does not take one is not tried with others in this look."""
        away: set[Peer] = set()
        for asked in self._requests.due(time.time()):
            if self._stopping.is_set():
                return
            peer = self._where(asked.calling_ae, asked.address)
            if peer is None:
                self._put_off(asked, "nobody says where it is reached: see [[callers]] and report_port")
            elif peer in away:
                self._put_off(asked, f"{peer} did not take another report")
            elif not self._report(asked, peer):
                away.add(peer)

    def _report(self, asked: Asked, peer: Peer) -> bool:
        if not self._requests.take(asked.transaction_uid, time.time() + _BUSY_S):
            return True
        verdict = self._custody.verdict(asked.transaction_uid)
        if verdict is None:
            return True
        try:
            report(peer, verdict, self._ae_title)
        except PeerUnavailable as problem:
            self._put_off(asked, str(problem))
            return False
        self._custody.reported(asked.transaction_uid, f"to {peer}")
        return True

    def _put_off(self, asked: Asked, why: str) -> None:
        facts = {"transaction_uid": asked.transaction_uid, "calling_ae": asked.calling_ae, "reason": why}
        if time.time() - asked.asked_at > GIVE_UP_S:
            log.error("commitment_not_reported", **facts)
            self._requests.give_up(asked.transaction_uid, why)
            return
        pause = min(_FIRST_PAUSE_S * 2.0 ** min(asked.attempts, 10), _LONGEST_PAUSE_S)
        log.warning("commitment_report_postponed", again_in_s=pause, **facts)
        self._requests.postpone(asked.transaction_uid, time.time() + pause, why)

    def _run(self) -> None:
        while not self._stopping.wait(EVERY_S):
            try:
                self.look()
            except Exception:  # a full disk or a bug must not end it: what was asked stays asked
                log.error("commitment_reports_failed", exc_info=True)
