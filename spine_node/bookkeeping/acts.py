"""What an operator may do with a study: have it tried again, and have it forgotten.

Both work beside a running node and without one. They leave what is to be done in the ledger, the inbox and
the engine's tables, where the node finds it at its next look, or at its next start.
"""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from dataclasses import dataclass

from spine_node.audit.messages import StudyFacts, study_deleted
from spine_node.audit.trail import AuditTrail
from spine_node.bookkeeping.unrecorded import fits, joined, unrecorded
from spine_node.bookkeeping.view import current
from spine_node.config import Settings
from spine_node.dicom.forms import NOTICE
from spine_node.errors import StudyRefused
from spine_node.housekeeping import delete_folder, in_words
from spine_node.inbox import CLAIMED, RECEIVING, SETTLED, Inbox
from spine_node.ledger import Job, Ledger
from spine_node.ledger.books import Books, Search, Study
from spine_node.ledger.holdings import Holdings
from spine_node.logs import logger
from spine_node.network.audited import facts_of
from spine_node.outbox import Deliveries
from spine_node.owed import owed_of
from spine_node.results import read_done
from spine_node.workflows import forget_runs

ENDED_BADLY = ("refused", "failed")
"""States of a job that is judged again without being asked for by name."""

log = logger("bookkeeping")


@dataclass(frozen=True, slots=True)
class Desk:
    """A node's settings, ledger and inbox, and where its database is."""

    settings: Settings
    ledger: Ledger
    inbox: Inbox
    url: str

    @property
    def books(self) -> Books:
        """The ledger by study."""
        return Books(self.ledger.database)

    def find(self, search: Search, most: int) -> tuple[list[Study], int]:
        """Studies that match, the last changed first, and how many there are."""
        more = [study for study in self._unrecorded() if fits(study, search)]
        found = joined(self.books.find(search, most), more)
        found.sort(key=lambda study: -study.changed_at)
        return found[:most], max(self.books.count(search), len(found))

    def study_of(self, name: str) -> list[Study]:
        """The study with this UID, series, job or accession number."""
        found = self.books.study_of(name)
        names = {name, *(study.study_uid for study in found)}
        more = [
            study
            for study in self._unrecorded()
            if names & {study.study_uid, study.accession_number, *study.series_uids}
        ]
        return joined(found, more)

    def _unrecorded(self) -> list[Study]:
        return unrecorded(self.inbox, self.books.series_uids())


def retry(desk: Desk, study: Study, name: str, *, peer: str | None, analyse: bool) -> list[str]:
    """Have what did not work tried again.

    Parameters
    ----------
    name : str
        What the operator called it: a job or a series narrows it down to that one.
    peer : str, optional
        Only deliveries, and only to this destination.
    analyse : bool
        Only analyses, those that the rules ignored too.

    Returns
    -------
    list of str
        What was done, a sentence a job.

    Raises
    ------
    StudyRefused
        If there is nothing to try again, with the reason for each job.
    """
    jobs = [job for job in current(study) if name not in _names(study) or name in (job.job, job.series_uid)]
    done, left = [], []
    for job in jobs:
        try:
            if analyse or (job.state in (*ENDED_BADLY, "received") and peer is None):
                done.append(_judge_again(desk, job, analyse=analyse))
            else:
                done.append(_deliver_again(desk, job, peer))
        except StudyRefused as nothing:
            left.append(str(nothing))
    if not done:
        raise StudyRefused(
            "; ".join(left) or f"nothing of study {study.study_uid} was ever analysed or refused"
        )
    return done


def what_is_owed(desk: Desk, study: Study) -> list[str]:
    """Why a study should not be forgotten yet, in words; empty when nobody waits for any of it."""
    committing = [peer.name for peer in desk.settings.destinations if peer.commitment]
    reasons = []
    owed: dict[str, str] = {}
    for job in reversed(study.jobs):
        told = [d for d in study.deliveries if d.job == job.job]
        owed[job.job] = owed_of(job, told, committing, owed)
        if owed[job.job]:
            reasons.append(f"job {job.job}: {owed[job.job]}")
    arriving = [series for series in study.series_uids if RECEIVING in desk.inbox.folders(series)]
    return [*reasons, *(f"series {series} is arriving" for series in arriving)]


def forget(desk: Desk, study: Study, *, rows: bool) -> str:
    """Delete everything of a study: received instances, results, runs, rows; what is left is a tombstone.

    Parameters
    ----------
    rows : bool
        The tombstone too.

    Raises
    ------
    StudyRefused
        If any of it is being analysed.
    """
    for series in study.series_uids:
        if CLAIMED in desk.inbox.folders(series):
            raise StudyRefused(
                f"series {series} of study {study.study_uid} is being analysed. Nothing was deleted: wait "
                "until that has ended."
            )
    what = in_words(study)
    _audit_forgetting(desk, study)
    # Before anything goes: what was to be deleted is known even if this ends in the middle, to be repeated.
    log.warning("study_forgotten", study_uid=study.study_uid, what=what, tombstone=not rows)
    for job in study.jobs:
        forget_runs(desk.url, job.job)
        Holdings(desk.ledger.database).remove(job.job)
        delete_folder(desk.settings.storage.results / job.job)
    for series in study.series_uids:
        desk.inbox.forget(series)
    desk.books.strike_out(study, what, "by an operator", stone=not rows)
    return what


def _audit_forgetting(desk: Desk, study: Study) -> None:
    settings = desk.settings
    folders = [f for series in study.series_uids for f in desk.inbox.folders(series).values()]
    paths = [p for folder in folders for p in folder.glob("*.dcm")]
    for job in study.jobs:
        paths += (settings.storage.results / job.job / "dicom").glob("*.dcm")
    audit = AuditTrail(settings.audit_folder, settings.audit_source, settings.audit.max_file_bytes)
    for facts in facts_of(sorted(paths)) or [StudyFacts(study.study_uid, "")]:
        audit.write(study_deleted(audit.source, facts, f"{getpass.getuser()} (operator)"))
    audit.close()


def _judge_again(desk: Desk, job: Job, *, analyse: bool) -> str:
    folders = desk.inbox.folders(job.series_uid)
    if RECEIVING in folders or CLAIMED in folders:
        raise StudyRefused(f"series {job.series_uid} is with the node already, and will be judged")
    if job.state not in (*ENDED_BADLY, "received", *(("ignored",) if analyse else ())):
        raise StudyRefused(
            f"series {job.series_uid} is {job.state}: the same instances would give the same results. A "
            "level is fixed by [levels] pins in the config"
        )
    if not any(state in folders for state in SETTLED):
        raise StudyRefused(f"the instances of series {job.series_uid} are deleted; it has to be sent again")
    folder = desk.settings.storage.results / job.job
    done = read_done(folder)
    if done is not None and NOTICE in done["objects"]:
        delete_folder(folder)  # else the picture that says why not would pass for the results
    # The series last: from then on the node judges it, and must find a job that is not over.
    forget_runs(desk.url, job.job)
    desk.ledger.set_state(job.job, "received", "to be judged again, as an operator wishes")
    desk.inbox.reopen(job.series_uid)
    log.info("judged_again", job=job.job, series_uid=job.series_uid, was=job.state)
    return f"series {job.series_uid}, {job.state} before, is judged again by the node"


def _deliver_again(desk: Desk, job: Job, peer: str | None) -> str:
    try:
        peers = Deliveries(desk.settings, desk.ledger).retry(job.job, peer)
    except LookupError as nothing:
        raise StudyRefused(str(nothing)) from nothing
    if not peers:
        raise StudyRefused(
            f"job {job.job} is {job.state}: every destination has what it takes of its results"
        )
    log.info("delivered_again", job=job.job, peers=peers)
    return f"job {job.job}: what did not arrive is sent again to {', '.join(peers)}"


def _names(study: Study) -> Sequence[str]:
    """What names a part of a study."""
    return [*study.series_uids, *(job.job for job in study.jobs)]
