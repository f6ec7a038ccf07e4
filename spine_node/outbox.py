"""What leaves the node: results and notices to every destination; and the job closed in the ledger."""

from __future__ import annotations

from spine_node.config import Destination, Settings
from spine_node.deliveries import STORED, Instance, Result, arrived_forms, open_offers, results_of
from spine_node.dicom.forms import NOTICE
from spine_node.inbox import Inbox
from spine_node.intake import holds
from spine_node.ledger import NOT_ANALYSED, Ledger
from spine_node.logs import logger
from spine_node.network.scu import send_offers
from spine_node.results import read_done
from spine_node.workflows import Work, not_here

log = logger("outbox")


class Deliveries:
    """The work of the main process: sending results, and closing jobs in the ledger."""

    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        self._settings, self._ledger = settings, ledger
        self._peers = {peer.name: peer for peer in settings.destinations}

    def work(self) -> Work:
        """What the deliver queue does; this process never serves the analysis queue."""
        return Work(
            analyse=not_here, refuse=not_here, fail=not_here, notify=not_here,
            deliver=self.deliver, give_up=self.give_up,
        )  # fmt: skip

    def deliver(self, job: str, peer_name: str) -> None:
        """Send what this peer has not taken yet; one attempt.

        Raises
        ------
        PeerUnavailable
            If anything is left to send and may succeed later.
        """
        peer = self._peers.get(peer_name)
        if peer is None:
            self.give_up(job, peer_name, f"destination {peer_name} is no longer in the config")
            return
        offers, taken = open_offers(self._results(job, peer), self._outcomes(job, peer_name))
        for outcome in send_offers(peer, offers, self._settings.scp.ae_title, taken):
            self._ledger.record_delivery(
                job, peer_name, outcome.sop_instance_uid, outcome.name, outcome.status, outcome.detail
            )
            log.info(
                "delivered",
                job=job,
                peer=peer_name,
                sop_instance_uid=outcome.sop_instance_uid,
                outcome=outcome.name,
            )
        self._conclude(job)

    def give_up(self, job: str, peer_name: str, reason: str) -> None:
        """The peer stayed away too long: what it did not take is undelivered."""
        log.error("undelivered", job=job, peer=peer_name, reason=reason)
        folder = self._settings.storage.results / job
        if read_done(folder) is None:
            self._ledger.set_state(job, "undelivered", f"{folder} holds no complete results any more")
            return
        peer = self._peers.get(peer_name)
        outcomes = self._outcomes(job, peer_name)
        for result in self._results(job, peer):
            if result.arrived(outcomes) is None:
                for instance in result.unanswered(outcomes):
                    self._ledger.record_delivery(
                        job, peer_name, instance.sop_instance_uid, "undelivered", None, reason
                    )
        self._conclude(job)

    def end_lost(self, job: str, reason: str, inbox: Inbox) -> None:
        """A job that the engine has stopped to run ends, visibly, and its series is kept."""
        row = self._ledger.job(job)
        if row is None or row.state not in ("received", "analysing", "analysed"):
            return
        state = "undelivered" if row.state == "analysed" else "failed"
        self._ledger.set_state(job, state, reason)
        if state == "failed" and holds(inbox, row):
            self._ledger.set_state(job, state, reason, inbox.fail(row.series_uid, reason))
        log.error("job_lost", job=job, series_uid=row.series_uid, state=state, reason=reason)

    def _outcomes(self, job: str, peer_name: str) -> dict[str, str]:
        return {d.sop_instance_uid: d.outcome for d in self._ledger.deliveries(job) if d.peer == peer_name}

    def _results(self, job: str, peer: Destination | None) -> list[Result]:
        """What this peer is offered of a job's results; of a peer no longer configured, all there is."""
        folder = self._settings.storage.results / job
        done = read_done(folder)
        if done is None:
            raise FileNotFoundError(f"{folder} holds no complete results")
        made = {
            name: tuple(Instance(folder / row["file"], row["sop_instance_uid"]) for row in rows)
            for name, rows in done["objects"].items()
        }
        if peer is None or NOTICE in made:
            return [Result({name: instances}, {}) for name, instances in made.items()]
        return results_of(peer.offers(), made)

    def _conclude(self, job: str) -> None:
        row = self._ledger.job(job)
        over = row is None or row.state in NOT_ANALYSED
        if over or read_done(self._settings.storage.results / job) is None:
            return
        missing: list[str] = []
        declined: list[str] = []
        for peer in self._peers.values():
            outcomes = self._outcomes(job, peer.name)
            results = self._results(job, peer)
            taken = arrived_forms(results, outcomes)
            for result in results:
                if result.arrived(outcomes) is None:
                    if result.remaining(outcomes, taken) is not None:
                        return
                    said = {outcomes[i.sop_instance_uid] for i in result.answered(outcomes)} - set(STORED)
                    words = f"{peer.name}: {next(iter(result.forms))} {', '.join(sorted(said))}"
                    # a PACS without pictures or PDF is a fact about it, one without our SEG or SR a fault
                    (missing if result.essential or said != {"not accepted"} else declined).append(words)
        state = "undelivered" if missing else "delivered"
        self._ledger.set_state(job, state, "; ".join([*missing, *declined]))
