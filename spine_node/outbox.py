"""What leaves the node: a job's results and notices to a destination; and the job closed in the ledger.

One job and one destination at a time; `sender` decides which, and when again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from pydicom.uid import generate_uid

from spine_node.audit.trail import AuditTrail
from spine_node.config import Destination, Settings
from spine_node.deliveries import OPEN, Instance, Result, arrived_forms, open_offers, results_of
from spine_node.dicom.forms import NOTICE
from spine_node.inbox import Inbox
from spine_node.intake import holds
from spine_node.ledger import NOT_ANALYSED, Delivery, Job, Ledger
from spine_node.ledger.commitments import Commitments
from spine_node.ledger.outbox import Outbox
from spine_node.logs import logger
from spine_node.network.audited import audited_sending
from spine_node.network.scu import Alternative, Offer, send_offers
from spine_node.owed import ARRIVED
from spine_node.rejections import rejection_notes, written_notes
from spine_node.results import read_done

log = logger("outbox")


class Deliveries:
    """Sends results, and closes jobs in the ledger."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        clock: Callable[[], float] = time.time,
        audit: AuditTrail | None = None,
    ) -> None:
        self._audit = audit
        self._settings, self._ledger, self._clock = settings, ledger, clock
        self._peers = {peer.name: peer for peer in settings.destinations}
        self._outbox, self._commitments = Outbox(ledger.database), Commitments(ledger.database)

    def deliver(self, job: str, peer_name: str) -> None:
        """Send what this peer has not taken yet; one attempt.

        Raises
        ------
        PeerRejects, NotTakenNow, PeerUnavailable
            If anything is left to send and may succeed later.
        """
        peer = self._peers.get(peer_name)
        if peer is None:
            self.give_up(job, peer_name, f"destination {peer_name} is no longer in the config")
            return
        row = self._ledger.job(job)
        if row is not None and row.superseded_by:
            self._end_superseded(row, peer)
            return
        notes = self._notes(row, peer, rejection_notes)
        offers, taken = open_offers(notes + self._results(job, peer), self._outcomes(job, peer_name))
        self._send(job, peer, offers, taken)
        if peer.commitment:
            self._ask_commitment(job, peer)
        self.conclude(job)

    def _end_superseded(self, row: Job, peer: Destination) -> None:
        """Nothing more is sent of results that others replace, but an instance that went out and was not
        answered, so that the ledger, and a rejection note, know whether the peer has it."""
        results = self._results(row.job, peer)
        unsure = {d.sop_instance_uid for d in self._said(row.job, peer.name) if d.outcome == "unknown"}
        for result in results:
            for name, instances in result.forms.items():
                paths = tuple(i.path for i in instances if i.sop_instance_uid in unsure)
                if paths:
                    self._send(row.job, peer, [Offer((Alternative(name, paths),))], ())
        outcomes = self._outcomes(row.job, peer.name)
        words = f"replaced by the results of job {row.superseded_by}"
        for result in results:
            if result.arrived(outcomes) is None:
                for i in result.unanswered(outcomes):
                    self._ledger.record_delivery(
                        row.job, peer.name, i.sop_instance_uid, "superseded", None, words
                    )
        self.conclude(row.job)

    def _send(self, job: str, peer: Destination, offers: Sequence[Offer], taken: Collection[str]) -> None:
        sending = send_offers(peer, offers, self._settings.scp.ae_title, taken)
        for outcome in (
            sending if self._audit is None else audited_sending(self._audit, peer, offers, sending)
        ):
            self._ledger.record_delivery(
                job, peer.name, outcome.sop_instance_uid, outcome.name, outcome.status, outcome.detail
            )
            log.info(
                "delivered",
                job=job,
                peer=peer.name,
                sop_instance_uid=outcome.sop_instance_uid,
                outcome=outcome.name,
            )

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
        self.conclude(job)

    def retry(self, job: str, peer: str | None = None) -> list[str]:
        """Put what of a job did not arrive back into delivery, from any process; the running node sends it.

        What a peer refused, did not accept or was given up is offered to it again, in every form; a peer
        that was given up is called at once. What it stored and then denied to have is sent again, what it
        never answered for is asked for again; of all else that has arrived nothing is sent again.

        Parameters
        ----------
        job : str
        peer : str, optional
            Name of one destination; by default all that lack something of this job.

        Returns
        -------
        list of str
            Names of the destinations that it waits for now; none when everything has arrived.

        Raises
        ------
        LookupError
            If there is no such job or destination, or the job has no results, or none any more.
        """
        row = self._ledger.job(job)
        if row is None:
            raise LookupError(f"job {job} is not in the ledger")
        if row.superseded_by:
            raise LookupError(f"the results of job {job} are replaced by those of job {row.superseded_by}")
        if read_done(self._settings.storage.results / job) is None:
            folder = self._settings.storage.results / job
            raise LookupError(f"job {job} is {row.state}: {folder} holds no complete results to send")
        if peer is not None and peer not in self._peers:
            known = ", ".join(self._peers) or "none"
            raise LookupError(f"there is no destination {peer} in the config; there are: {known}")
        told = row.state in NOT_ANALYSED
        all_owed = [p.name for p in self._peers.values() if p.notices or not told]
        wanted = [self._peers[name] for name in (all_owed if peer is None else [peer])]
        again = []
        for each in wanted:
            unproven = each.commitment and self._commitments.start_over(job, each.name)
            outcomes = self._outcomes(job, each.name)
            lacking = [r for r in self._results(job, each) if r.arrived(outcomes) is None]
            over = [i.sop_instance_uid for result in lacking for i in result.answered(outcomes)]
            self._ledger.reopen_deliveries(job, each.name, [u for u in over if outcomes[u] not in ARRIVED])
            if lacking or unproven:
                again.append(each.name)
        if again and not told:  # before the running node can conclude the job
            self._ledger.set_state(job, "analysed", f"sent again to {', '.join(again)}")
        for name in again:
            self._outbox.put(job, name, self._clock())
            self._outbox.set_due(job, name, self._clock())
            self._outbox.set_back(name)
        return again

    def end_lost(self, job: str, reason: str, inbox: Inbox) -> None:
        """A job that the engine has stopped to run ends, visibly, and its series is kept."""
        row = self._ledger.job(job)
        if row is None or row.state not in ("received", "analysing", "analysed"):
            return
        if row.state == "analysed":  # its results are made: they are sent, whatever became of the workflow
            for peer in self._peers:
                self._outbox.put(job, peer, self._clock())
            return
        self._ledger.set_state(job, "failed", reason)
        if holds(inbox, row):
            self._ledger.set_state(job, "failed", reason, inbox.fail(row.series_uid, reason))
        log.error("job_lost", job=job, series_uid=row.series_uid, state="failed", reason=reason)

    def conclude(self, job: str) -> None:
        """Close a job of which nothing is left to send."""
        row = self._ledger.job(job)
        over = row is None or row.state in NOT_ANALYSED
        if over or read_done(self._settings.storage.results / job) is None:
            return
        missing: list[str] = []
        declined: list[str] = []
        for peer in self._peers.values():
            outcomes = self._outcomes(job, peer.name)
            results = self._notes(row, peer, written_notes) + self._results(job, peer)
            taken = arrived_forms(results, outcomes)
            lost = {d.sop_instance_uid for d in self._said(job, peer.name) if d.commitment == "failed"}
            for result in results:
                form = result.arrived(outcomes)
                if form is None:
                    if result.remaining(outcomes, taken) is not None:
                        return
                    said = {outcomes[i.sop_instance_uid] for i in result.answered(outcomes)} - set(ARRIVED)
                    words = f"{peer.name}: {next(iter(result.forms))} {', '.join(sorted(said))}"
                    if said == {"superseded"}:
                        declined.append(words)
                        continue
                    # a PACS without pictures or PDF is a fact about it, one without our SEG or SR a fault
                    (missing if result.essential or said != {"not accepted"} else declined).append(words)
                elif any(i.sop_instance_uid in lost for i in result.forms[form]):
                    missing.append(f"{peer.name}: {form} stored and not committed")
        state = "undelivered" if missing else "delivered"
        self._ledger.set_state(job, state, "; ".join([*missing, *declined]))

    def _notes(
        self,
        row: Job | None,
        peer: Destination,
        notes: Callable[[Ledger, Path, Job, str], Sequence[Instance]],
    ) -> list[Result]:
        """Rejection notes of what this job's results replace, each a result of its own."""
        if row is None or not peer.reject_superseded:
            return []
        made = notes(self._ledger, self._settings.storage.results, row, peer.name)
        return [Result({f"rejection-{n}": (note,)}, {}, False) for n, note in enumerate(made, start=1)]

    def _ask_commitment(self, job: str, peer: Destination) -> None:
        """Have the peer asked for everything that it stored and was not asked for yet."""
        done = read_done(self._settings.storage.results / job)
        if done is None:
            return
        rows = [row for rows in done["objects"].values() for row in rows]
        classes = {row["sop_instance_uid"]: row["sop_class_uid"] for row in rows}
        unasked = [
            (classes[d.sop_instance_uid], d.sop_instance_uid)
            for d in self._said(job, peer.name)
            if d.outcome in ARRIVED and not d.commitment and d.sop_instance_uid in classes
        ]
        if unasked:
            self._commitments.open(str(generate_uid(None)), job, peer.name, unasked, self._clock())

    def _said(self, job: str, peer_name: str) -> list[Delivery]:
        return [d for d in self._ledger.deliveries(job) if d.peer == peer_name]

    def _outcomes(self, job: str, peer_name: str) -> dict[str, str]:
        """What is settled: an instance that was not taken for the time being has no outcome."""
        said = self._said(job, peer_name)
        return {d.sop_instance_uid: d.outcome for d in said if d.outcome not in OPEN}

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
