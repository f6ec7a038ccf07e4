"""Everything that happened to a study, in order, and what can be done next. Reads the ledger's rows only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from spine_node.inbox import CLAIMED, RECEIVING
from spine_node.ledger import Delivery, Job
from spine_node.ledger.books import Study
from spine_node.network.statuses import in_words


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, at a time (Unix seconds), in words; of which series or job, if of one."""

    at: float
    words: str
    series_uid: str = ""
    job: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where something of a study lies now."""

    words: str
    folder: Path


def events_of(study: Study, names: Mapping[str, str]) -> list[Event]:
    """What happened to a study, the first first.

    Parameters
    ----------
    names : mapping of SOP Instance UID to str
        What each result instance is, as far as that is known.
    """
    found = [*_arrived(study), *_analysed(study), *_told(study, names)]
    if study.tombstone is not None:
        stone = study.tombstone
        found.append(Event(stone.deleted_at, f"deleted, {stone.why}: {stone.what}"))
    return sorted(found, key=lambda event: event.at)


def next_steps(study: Study, folders: Mapping[str, Mapping[str, Path]]) -> list[str]:
    """What an operator may do, or need not, in words.

    Parameters
    ----------
    folders : mapping of series to mapping of state to Path
        Where its series lie in the inbox.
    """
    steps = []
    again = f"spine-node retry {study.study_uid}"
    for series, places in folders.items():
        if RECEIVING in places:
            steps.append(f"Series {series} is arriving, and is looked at once it has been quiet.")
        if CLAIMED in places:
            steps.append(f"Series {series} is with the analysis; nothing needs to be done.")
    for job in study.jobs:
        settled = folders.get(job.series_uid, {})
        if job.superseded_by:
            continue
        if job.state in ("refused", "failed", "ignored"):
            steps.append(_after_end(job, here=job.state in settled, again=again))
        if job.state == "undelivered":
            steps.append(f"Once the destination is put right, {again} sends what did not arrive.")
        if job.state == "analysed":
            steps.append("Its results are sent by themselves as soon as the destinations take them.")
    if not study.jobs and any(arrival.refused for arrival in study.arrivals):
        steps.append("What was turned away is not here: its sender has to send it again.")
    failed = sorted({d.peer for d in study.deliveries if d.commitment == "failed"})
    if failed:
        steps.append(f"{', '.join(failed)} does not keep all that it took: {again} sends that again.")
    return list(dict.fromkeys(steps))


def _after_end(job: Job, *, here: bool, again: str) -> str:
    if not here:
        return f"Series {job.series_uid} was {job.state} and is no longer here: it has to be sent again."
    why = {
        "refused": "if the reason no longer holds (settings, pins), ",
        "failed": "it was a bug of ours, which a newer release may not have: ",
        "ignored": "if the rules take it now, ",
    }[job.state]
    how = again if job.state != "ignored" else f"{again} --analyse"
    return f"Series {job.series_uid} was {job.state}; {why}{how} has it judged again."


def _arrived(study: Study) -> Iterator[Event]:
    for a in study.arrivals:
        who = f"{a.calling_ae} ({a.address})"
        yield Event(a.first_at, f"{who} begins to send", a.series_uid)
        words = f"{who} has sent so far: {a.stored} kept"
        if a.refused:
            words += f", {a.refused} turned away (last: {a.last_reason or 'no reason kept'})"
        yield Event(a.last_at, words, a.series_uid)


def _analysed(study: Study) -> Iterator[Event]:
    for job in study.jobs:
        yield Event(job.received_at, f"taken as complete: {job.instances} instances", job.series_uid, job.job)
        words = job.state
        if job.state == "analysing":
            words += f", {job.fraction:.0%}: {job.stage}"
        elif job.stage and job.state == "received":
            words += f": {job.stage}"
        if job.reason:
            words += f": {job.reason.strip()}"
        yield Event(job.changed_at, words, job.series_uid, job.job)
        if job.superseded_by:
            yield Event(job.changed_at, f"replaced by job {job.superseded_by}", job.series_uid, job.job)


def _told(study: Study, names: Mapping[str, str]) -> Iterator[Event]:
    series = {job.job: job.series_uid for job in study.jobs}
    for d in study.deliveries:
        what = names.get(d.sop_instance_uid, "instance")
        words = f"{d.peer}: {what} {d.sop_instance_uid} {d.outcome}"
        said = [in_words(d.status)] if d.status is not None else []
        said += [d.detail] if d.detail and d.detail not in said else []
        words += f" ({'; '.join(said)})" if said else ""
        words += f", attempt {d.attempts}" if d.attempts > 1 else ""
        yield Event(d.changed_at, words, series.get(d.job, ""), d.job)
        if d.commitment:
            yield Event(d.committed_at or d.changed_at, _commitment(d, what), series.get(d.job, ""), d.job)


def _commitment(delivery: Delivery, what: str) -> str:
    says = {
        "asked": "is asked whether it keeps",
        "committed": "has committed to keep",
        "failed": "does NOT commit to keep",
    }.get(delivery.commitment, delivery.commitment)
    return (
        f"{delivery.peer} {says} {what} {delivery.sop_instance_uid} (transaction {delivery.transaction_uid})"
    )
