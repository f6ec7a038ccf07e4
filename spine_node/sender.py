"""Who is sent what, when, and when again: one line a destination, the first analysed first.

The line is rows of the ledger (`ledger.outbox`): what waits costs a row and no timer, thread or memory,
however much it is and however long. A drain (`workflows`) goes along the line of one destination and sends
until nothing is left, or until the destination cannot take it now. Destinations know nothing of each
other: one that hangs holds its own drain only.

Order. A study's results go in the order of their analyses, within a job as `deliveries` has it (the
segmentation before the report on it); with `associations` = 1, so do the results of all studies. With
more, the line is shared out by study.

When a destination cannot take it now, the same line is tried again after 15 s, 30 s, ... up to ten minutes,
from its head: one call for everything that waits, so that a PACS that is back is noticed soon and gets all,
in order. No random part is added: one node calls one PACS, and no herd meets there.

When it is about one instance: an answer such as 0x0110, or an association lost in the middle of an
instance, may be the PACS's trouble or that instance's. The head of the line is tried three times, as above,
before others may overtake it. Then the next in line tells: if it is stored, the first one has its own
growing waits, up to an hour, and only what belongs to its study waits with it; if it fails too, or there is
none, it is the PACS, and the order is kept.

When it rejects our associations for good (calling AE title not recognised), that is a setting, not a word
about the results: somebody will enter our AE title, tomorrow or after the weekend, and expects what was
made meanwhile. So it is called every half an hour, and each time the log has an error that says what to
change. A SOP class that it does not accept is different: that PACS is not made for it, and the job ends,
saying so.

Giving up: what has waited longer than [engine] give_up_s, and failed once more, is undelivered;
`spine-node retry` puts it back. What a kill -9 interrupts is sent again as far as no answer is in the
ledger, under the same UIDs.
"""

from __future__ import annotations

import threading
import time
import traceback
import zlib
from collections.abc import Callable

from spine_node.clock import ClockWatch
from spine_node.config import Destination, Settings
from spine_node.errors import NotTakenNow, PeerRejects, PeerUnavailable
from spine_node.ledger import Ledger
from spine_node.ledger.outbox import Away, Outbox, Waiting
from spine_node.logs import logger
from spine_node.outbox import Deliveries
from spine_node.proof import Proof
from spine_node.workflows import Work, not_here

FIRST_RETRY_S, LONGEST_RETRY_S = 15.0, 600.0
"""Wait before a destination is called again, doubled each time up to the longest."""

REJECTED_RETRY_S = 1800.0
"""Wait after an association that was rejected for good."""

LONGEST_OWN_RETRY_S = 3600.0
"""Longest wait of a job that the destination does not take while it takes others."""

CLOCK_STEP_S = 60.0
"""A clock set back by more was wrong when waits were reckoned by it."""

TRIES_AT_THE_HEAD = 3
"""How often the head of a line is tried before others may overtake it."""

log = logger("sender")


class Sender:
    """The work of the main process: the lines of all destinations, and their proof."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        deliveries: Deliveries,
        proof: Proof,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings, self._deliveries, self._proof, self._clock = settings, deliveries, proof, clock
        self._peers = {peer.name: peer for peer in settings.destinations}
        self._outbox = Outbox(ledger.database)
        self._draining: set[tuple[str, int]] = set()
        self._watch = ClockWatch(clock)
        self._wait_no_longer_than_ever()
        self._stopping = threading.Event()

    def work(self) -> Work:
        """What the delivering queues do; this process never serves the analysis queue."""
        return Work(
            analyse=not_here, refuse=not_here, fail=not_here, notify=not_here,
            put_out=self._outbox.put, drain=self.drain,
        )  # fmt: skip

    def due(self) -> list[tuple[str, int]]:
        """Destination and part of its line, for each that has something to send now and is not at it."""
        if self._watch.step_s() < -CLOCK_STEP_S:
            self._wait_no_longer_than_ever()
        now = self._clock()
        away = self._outbox.away()
        asking = [name for name in self._proof.due() if name not in away or away[name].due_at <= now]
        names = dict.fromkeys([*self._outbox.due(now), *(n for n in asking if n in self._peers)])
        lines = [(name, part) for name in names for part in range(self._parts(name))]
        return [line for line in lines if line not in self._draining]

    def stop(self) -> None:
        """Have drains end after the job that they are at."""
        self._stopping.set()

    def drain(self, peer_name: str, part: int) -> None:
        """Send what waits for a destination, and ask it for commitment, as far as it goes now."""
        self._draining.add((peer_name, part))
        try:
            peer = self._peers.get(peer_name)
            if peer is None:
                self._abandon(peer_name)
            elif self._send_line(peer, part) and part == 0 and peer.commitment:
                self._proof.ask(peer)
        except PeerUnavailable as unavailable:
            self._call_later(peer_name, unavailable)
        finally:
            self._draining.discard((peer_name, part))

    def _send_line(self, peer: Destination, part: int) -> bool:
        """Whether the line was gone along to its end.

        Raises
        ------
        PeerUnavailable
            If the destination cannot take anything now, as far as can be told.
        """
        held: dict[str, float] = {}
        failed: dict[int, NotTakenNow] = {}
        for waiting in self._outbox.waiting(peer.name):
            if self._stopping.is_set():
                return False
            if zlib.crc32(waiting.study_uid.encode()) % peer.associations != part:
                continue
            due_at = max(waiting.due_at, held.get(waiting.study_uid, 0.0))
            if due_at > self._clock():
                held[waiting.study_uid] = due_at
                if due_at > waiting.due_at:
                    self._outbox.hold(waiting, due_at)
                continue
            try:
                self._deliveries.deliver(waiting.job, peer.name)
            except NotTakenNow as refusal:
                held[waiting.study_uid] = self._postpone(waiting, str(refusal))
                if not waiting.overtaken:
                    failed[waiting.sequence] = refusal
                    if waiting.attempts + 1 < TRIES_AT_THE_HEAD or len(failed) > 1:
                        raise
            except PeerUnavailable:
                raise
            except Exception as error:  # noqa: BLE001 - a bug met on one job must not stop the others
                log.error(
                    "delivery_failed", job=waiting.job, peer=peer.name, traceback=traceback.format_exc()
                )
                reason = f"{type(error).__name__}: {error}"
                held[waiting.study_uid] = self._postpone(waiting, reason, overtaken=True)
            else:
                self._outbox.overtake(failed)
                failed.clear()
                self._outbox.remove(waiting)
                self._outbox.set_back(peer.name)
        for refusal in failed.values():
            raise refusal  # nobody behind it was there to tell whose trouble it is
        return True

    def _postpone(self, waiting: Waiting, reason: str, *, overtaken: bool | None = None) -> float:
        """A job has to wait by itself; until when."""
        now = self._clock()
        due_at = now + retry_wait_s(waiting.attempts, LONGEST_OWN_RETRY_S)
        if now - waiting.queued_at > self._settings.engine.give_up_s:
            self._give_up(waiting, reason)
        else:
            self._outbox.postpone(waiting, due_at, reason, overtaken=overtaken)
            log.warning(
                "delivery_postponed",
                job=waiting.job,
                peer=waiting.peer,
                reason=reason,
                wait_s=round(due_at - now),
                attempt=waiting.attempts,
            )
        return due_at

    def _call_later(self, peer_name: str, unavailable: PeerUnavailable) -> None:
        """The destination takes nothing now: when it is called next; and who has waited too long."""
        now, before = self._clock(), self._outbox.away().get(peer_name)
        failures = before.failures if before else 0
        rejected = isinstance(unavailable, PeerRejects)
        wait_s = REJECTED_RETRY_S if rejected else retry_wait_s(failures)
        since = before.since if before else now
        self._outbox.set_away(Away(peer_name, failures + 1, since, now + wait_s, str(unavailable)))
        facts = {"peer": peer_name, "reason": str(unavailable), "wait_s": wait_s, "failures": failures + 1}
        if rejected:
            log.error("destination_rejects_us", meaning=_REJECTED, **facts)
        else:
            log.warning("destination_away", **facts)
        for waiting in self._outbox.waiting(peer_name):
            if now - waiting.queued_at > self._settings.engine.give_up_s:
                self._give_up(waiting, str(unavailable))

    def _give_up(self, waiting: Waiting, reason: str) -> None:
        self._deliveries.give_up(waiting.job, waiting.peer, reason)
        self._outbox.remove(waiting)

    def _abandon(self, peer_name: str) -> None:
        for waiting in self._outbox.waiting(peer_name):
            self._give_up(waiting, f"destination {peer_name} is no longer in the config")
        self._outbox.set_back(peer_name)

    def _wait_no_longer_than_ever(self) -> None:
        """What was put off by a clock that ran ahead, and was set back, would wait for that time to come."""
        waited = self._outbox.due_by(self._clock() + LONGEST_OWN_RETRY_S)
        waited += self._proof.wait_no_longer_than_ever()
        if waited:
            log.warning("clock_set_back", waits_shortened=waited)

    def _parts(self, peer_name: str) -> int:
        return self._peers[peer_name].associations if peer_name in self._peers else 1


_REJECTED = (
    "its settings do not know our AE title, or ours not its own: compare [scp] ae_title and the "
    "destination's ae_title with what the PACS has; results wait and are sent when it is mended"
)


def retry_wait_s(attempt: int, longest_s: float = LONGEST_RETRY_S) -> float:
    """Seconds to wait after failed attempt number `attempt` (from 0).

    Examples
    --------
    >>> [retry_wait_s(n) for n in (0, 1, 2, 20)]
    [15.0, 30.0, 60.0, 600.0]
    """
    return min(FIRST_RETRY_S * 2.0 ** min(attempt, 30), longest_s)
