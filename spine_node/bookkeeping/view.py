"""One study as an operator sees it: what the ledger says, held against what lies on the disk.

*Received* is what lies in the inbox now, as nothing else survives every kill; of a series that was deleted
since, what its last analysis had. *Refused* is counted by the receivers, who lose at most the last second
before a kill, so at least so many were turned away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from spine_node.config import Destination, Settings
from spine_node.deliveries import Instance, Result, results_of
from spine_node.dicom.forms import NOTICE
from spine_node.inbox import RECEIVING, Inbox
from spine_node.ledger import Delivery, Job
from spine_node.ledger.books import Study
from spine_node.owed import ARRIVED
from spine_node.results import read_done

STATES = (
    "receiving", "analysing", "received", "failed", "undelivered", "refused", "analysed", "delivered",
    "ignored", "turned away", "deleted",
)  # fmt: skip
"""What a study is said to be: the first of these that one of its series is in."""


@dataclass(frozen=True, slots=True)
class Sent:
    """Results of a study at one destination.

    Attributes
    ----------
    arrived, wanted : int
        Results, each in whichever form: a segmentation, a report, a set of pictures.
    committed, asked : int
        Instances that the destination has committed to keep, of those it was asked about.
    """

    peer: str
    arrived: int
    wanted: int
    committed: int
    asked: int


@dataclass(frozen=True, slots=True)
class StudyView:
    """One line of the list of studies; times are Unix seconds."""

    study_uid: str
    accession_number: str
    state: str
    reason: str
    series: int
    received: int
    refused: int
    senders: tuple[str, ...]
    sent: tuple[Sent, ...]
    first_at: float
    changed_at: float


def view_of(study: Study, settings: Settings, inbox: Inbox | None) -> StudyView:
    """What is to be said of a study."""
    state, reason = _state(study, inbox)
    return StudyView(
        study.study_uid,
        study.accession_number,
        state,
        reason,
        len(study.series_uids),
        sum(_received(series, study, inbox) for series in study.series_uids),
        sum(arrival.refused for arrival in study.arrivals),
        tuple(dict.fromkeys(filter(None, (row.calling_ae for row in (*study.arrivals, *study.jobs))))),
        sent_of(study, settings),
        study.first_at,
        study.changed_at,
    )


def current(study: Study) -> list[Job]:
    """Its jobs but for those whose results others replace."""
    return [job for job in study.jobs if not job.superseded_by]


def sent_of(study: Study, settings: Settings) -> tuple[Sent, ...]:
    """What each destination has of the results of a study."""
    peers = {peer.name: peer for peer in settings.destinations}
    rows: dict[str, list[tuple[Job, list[Delivery]]]] = {}
    for job in current(study):
        told = [d for d in study.deliveries if d.job == job.job]
        analysed = job.state in ("analysed", "delivered", "undelivered")
        for name in dict.fromkeys([*(peers if analysed else ()), *(d.peer for d in told)]):
            rows.setdefault(name, []).append((job, [d for d in told if d.peer == name]))
    return tuple(_sent(name, peers.get(name), jobs, settings.storage.results) for name, jobs in rows.items())


def wanted_of(job: Job, peer: Destination | None, results: Path) -> list[Result]:
    """What a destination is offered of a job's results; of one no longer in the config, all there is."""
    done = read_done(results / job.job)
    if done is None:
        return []
    made = {
        name: tuple(Instance(results / job.job / row["file"], row["sop_instance_uid"]) for row in instances)
        for name, instances in done["objects"].items()
    }
    if peer is None or NOTICE in made:
        return [Result({name: instances}, {}) for name, instances in made.items()]
    return results_of(peer.offers(), made)


def _sent(
    name: str, peer: Destination | None, jobs: Sequence[tuple[Job, list[Delivery]]], results: Path
) -> Sent:
    arrived = wanted = 0
    said = [delivery for _, told in jobs for delivery in told]
    for job, told in jobs:
        outcomes = {d.sop_instance_uid: d.outcome for d in told}
        offered = wanted_of(job, peer, results)
        if offered:
            wanted += len(offered)
            arrived += sum(result.arrived(outcomes) is not None for result in offered)
        else:  # the results are deleted: what the ledger says of their instances
            wanted += len(outcomes)
            arrived += sum(outcome in ARRIVED for outcome in outcomes.values())
    asked = [d.commitment for d in said if d.commitment]
    return Sent(name, arrived, wanted, sum(c == "committed" for c in asked), len(asked))


def _state(study: Study, inbox: Inbox | None) -> tuple[str, str]:
    found: Mapping[str, str] = {job.state: job.reason or _stage(job) for job in current(study)}
    if inbox is not None and any(RECEIVING in inbox.folders(series) for series in study.series_uids):
        return "receiving", ""
    for state in STATES:
        if state in found:
            return state, found[state].strip().splitlines()[-1] if found[state].strip() else ""
    if study.tombstone is not None and not study.arrivals:
        return "deleted", f"{study.tombstone.why}: {study.tombstone.what}"
    return "turned away", next((a.last_reason for a in reversed(study.arrivals) if a.last_reason), "")


def _received(series_uid: str, study: Study, inbox: Inbox | None) -> int:
    folders = inbox.folders(series_uid).values() if inbox is not None else ()
    here = {path.name for folder in folders for path in folder.glob("*.dcm")}
    if here:
        return len(here)
    jobs = [job.instances for job in study.jobs if job.series_uid == series_uid]
    return max(jobs) if jobs else 0


def _stage(job: Job) -> str:
    """How far the analysis is; of one that has ended, nothing."""
    return job.stage if job.state in ("received", "analysing") else ""
