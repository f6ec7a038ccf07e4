"""Storage commitment as proof of delivery: destinations are asked, and what they lost is sent again.

After a delivery its instances are asked for (`outbox` opens the question, `sender` has it asked here). What
the peer says it does not have goes again, a few times; what it cannot tell now, or does not answer, is
asked again, less and less often, as long as a delivery is tried. Then the ledger says what is missing: an
instance that the peer denies makes its job undelivered; one that it only never answered for stays
"asked", and so is never deleted here for having been delivered.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from pydicom.uid import generate_uid

from spine_node.config import Destination, Settings
from spine_node.errors import PeerUnavailable
from spine_node.ledger import NOT_ANALYSED, Ledger
from spine_node.ledger.commitments import Commitments, Transaction
from spine_node.ledger.outbox import Outbox
from spine_node.logs import logger
from spine_node.network.commitment import Question, ask
from spine_node.network.statuses import Status, in_words
from spine_node.outbox import Deliveries

MAX_RESENDS = 3
"""How often an instance that a peer has stored and then denies is sent again."""

LONGEST_WAIT_S = 86400.0
"""Between two questions about the same instances."""

SENT_AGAIN = (Status.NO_SUCH_OBJECT_INSTANCE,)
"""Failure reasons (PS3.3 C.14.1.1) that a new C-STORE cures."""

ASKED_AGAIN = (
    None, Status.PROCESSING_FAILURE, Status.RESOURCE_LIMITATION, Status.DUPLICATE_TRANSACTION_UID,
)  # fmt: skip
"""Reasons that time cures. The others speak of the SOP class or of a conflict, and stay."""

log = logger("proof")


class Proof:
    """Asks destinations for storage commitment, and follows their answers up."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        deliveries: Deliveries,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings, self._ledger, self._deliveries, self._clock = settings, ledger, deliveries, clock
        self._peers = {peer.name: peer for peer in settings.destinations}
        self._commitments, self._outbox = Commitments(ledger.database), Outbox(ledger.database)

    def wait_no_longer_than_ever(self) -> int:
        """After the clock was set back: no question waits past the longest wait from now; how many did."""
        return self._commitments.due_by(self._clock() + LONGEST_WAIT_S)

    def due(self) -> list[str]:
        """Names of the destinations that are to be asked something now."""
        return self._commitments.due_peers(self._clock())

    def ask(self, peer: Destination) -> None:
        """Ask a destination what is due; each question ends, or is due again later.

        A destination that cannot be reached, or answers no such question, may store all the same: nothing
        is raised, and deliveries do not wait for it.
        """
        while due := self._open(peer):
            questions = [Question(t.transaction_uid, t.references) for t in due]
            of = {t.transaction_uid: t for t in due}
            now = self._clock()
            for transaction in due:
                answer_by = now + self._wait_s(peer, transaction)
                self._commitments.asking(transaction.transaction_uid, now, answer_by)
            try:
                answers = ask(
                    peer, questions, self._settings.scp.ae_title, self._commitments, peer.commitment_wait_s
                )
                for question, refusal in answers:
                    transaction = of.pop(question.transaction_uid)
                    if refusal:
                        due_at = self._clock() + self._wait_s(peer, transaction)
                        self._commitments.postpone(transaction, due_at, refusal)
            except PeerUnavailable as unavailable:
                due_at = self._clock() + peer.commitment_retry_s
                for transaction in of.values():
                    self._commitments.postpone(transaction, due_at, str(unavailable), counted=False)
                log.warning("commitment_postponed", peer=peer.name, reason=str(unavailable))

    def follow_up(self) -> None:
        """Act on answers that tell of failures, and on those that did not come."""
        now = self._clock()
        for transaction in self._commitments.overdue(now):
            open_yet = [uid for _, uid in self._commitments.uncommitted(transaction)]
            self._again(transaction, open_yet, now, "not answered in time")
        for transaction in self._commitments.refused():
            self._follow_failures(transaction)

    def _open(self, peer: Destination) -> list[Transaction]:
        """What is due, less what an answer to an older question has settled or nobody waits for any more."""
        found = []
        for transaction in self._commitments.due(peer.name, self._clock()):
            if not self._commitments.uncommitted(transaction):
                self._commitments.close(transaction, "answered", "an answer to an older question came")
            elif self._clock() - transaction.first_at > self._settings.engine.give_up_s:
                self._end(transaction, f"not committed: {transaction.detail or 'no answer'}")
            else:
                found.append(transaction)
        return found

    def _again(self, transaction: Transaction, uids: Iterable[str], now: float, why: str) -> None:
        wanted = set(uids)
        if not wanted:
            self._commitments.close(transaction, "answered", "an answer to another question came")
        elif now - transaction.first_at > self._settings.engine.give_up_s:
            self._end(transaction, why)
        else:
            peer = self._peers.get(transaction.peer)
            wait_s = 0.0 if why == "not answered in time" or peer is None else self._wait_s(peer, transaction)
            self._commitments.again(transaction, str(generate_uid(None)), wanted, now + wait_s, why)
            log.warning("commitment_again", job=transaction.job, peer=transaction.peer, reason=why)

    def _follow_failures(self, transaction: Transaction) -> None:
        job, peer_name, failed = transaction.job, transaction.peer, transaction.failed
        lost = [u for u, r in failed.items() if r in SENT_AGAIN and transaction.resends < MAX_RESENDS]
        later = [u for u, r in failed.items() if r in ASKED_AGAIN]
        denied = {u: r for u, r in failed.items() if u not in lost and u not in later}
        now = self._clock()
        for uid, reason in denied.items():
            log.error(
                "not_committed",
                job=job,
                peer=peer_name,
                sop_instance_uid=uid,
                reason=_words(reason),
                resends=transaction.resends,
            )
        if lost:
            log.warning(
                "sent_again", job=job, peer=peer_name, instances=len(lost), resends=transaction.resends
            )
            self._commitments.send_again(transaction, lost, "stored, and gone when asked for commitment")
            row = self._ledger.job(job)
            if row is not None and row.state not in NOT_ANALYSED:
                self._ledger.set_state(job, "analysed", f"{peer_name} lost {len(lost)} instances; sent again")
            self._outbox.put(job, peer_name, now)
        if later:
            said = ", ".join(sorted({_words(failed[uid]) for uid in later}))
            self._again(transaction, later, now, f"not committed for now: {said}")
        self._commitments.close(transaction, "failed", transaction.detail)
        if denied and not lost:
            self._deliveries.conclude(job)

    def _end(self, transaction: Transaction, why: str) -> None:
        self._commitments.close(transaction, "failed", why)
        log.error("commitment_given_up", job=transaction.job, peer=transaction.peer, reason=why)

    def _wait_s(self, peer: Destination, transaction: Transaction) -> float:
        return min(peer.commitment_retry_s * 2.0 ** min(transaction.attempts, 30), LONGEST_WAIT_S)


def _words(reason: int | None) -> str:
    return "not mentioned in the answer" if reason is None else in_words(reason)
