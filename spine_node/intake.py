"""From arriving instances to jobs: decides that a series is for us, complete, and to be analysed.

Evidence of completeness is quiet time, then geometry, then the expected count where the header tells
one. A series that stays incomplete is refused with its reason and stays on disk.
"""

from __future__ import annotations

import hashlib
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydicom import Dataset

from spine_node.config import Settings
from spine_node.dicom.selection import is_complete, select
from spine_node.dicom.series import read_headers
from spine_node.errors import SeriesRefused
from spine_node.inbox import Inbox, ReceivedSeries
from spine_node.ledger import Job, Ledger
from spine_node.logs import logger

OVER = ("analysed", "delivered", "undelivered", "refused", "failed")
"""States of a job after which the same instances are not analysed again. An ignored series was never
analysed: when the rules take it now, its job begins."""

log = logger("intake")


def job_id(
    sop_instance_uids: Sequence[str], model_sha256: str, software_version: str, pins: Sequence[str] = ()
) -> str:
    """Name of the analysis of these instances by this model and software, the same however often sent.

    Levels that a person has fixed make it another analysis.
    """
    text = "\n".join([*sorted(sop_instance_uids), model_sha256, software_version, *pins])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(slots=True)
class Intake:
    """Watches one inbox.

    Attributes
    ----------
    name_job : callable
        Takes the Series Instance UID and SOP Instance UIDs and gives the job's id (`job_id` with the
        model in use and the pins of that series).
    enqueue : callable
        Takes a job and has it analysed; enqueuing it again changes nothing.
    """

    inbox: Inbox
    ledger: Ledger
    settings: Settings
    name_job: Callable[[str, Sequence[str]], str]
    enqueue: Callable[[str], None]
    _waiting: dict[str, tuple[float, str]] = field(default_factory=dict)

    def resume(self) -> None:
        """Go on with what was claimed when the last process, or the last look, ended in the middle.

        A claim that the ledger knows is enqueued, which changes nothing when it was; any other is given
        back and judged anew, as it may have been claimed only to be refused. So is a series in which a
        level was fixed, or fixed otherwise, since it was analysed or refused.
        """
        jobs = {job.folder: job.job for job in self.ledger.jobs()}
        for series_uid in self.inbox.claimed():
            job = jobs.get(str(self.inbox.claim(series_uid)))
            if job is None:
                self.inbox.reopen(series_uid)
            else:
                self.enqueue(job)
        for series_uid in self.settings.levels.pins:
            folders = self.inbox.folders(series_uid)
            ended = folders.get("done") or folders.get("refused")
            if ended and not self.ledger.job(self.name_job(series_uid, [p.stem for p in paths_of(ended)])):
                self.inbox.reopen(series_uid)

    def look(self) -> None:
        """Judge every series that has been quiet long enough."""
        for series in self.inbox.open_series():
            quiet_s = time.time() - series.last_arrival_unix_s
            if quiet_s >= self.settings.series.quiet_s:
                self._judge(series, quiet_s)

    def _judge(self, series: ReceivedSeries, quiet_s: float) -> None:
        known = self._waiting.get(series.series_uid)
        if known is None or known[0] != series.last_arrival_unix_s:
            verdict = self._verdict(series)
            if verdict is None:
                return
            self._waiting[series.series_uid] = (series.last_arrival_unix_s, verdict)
            log.info("series_incomplete", series_uid=series.series_uid, reason=verdict)
        elif quiet_s > self.settings.series.give_up_s:
            self._refuse(series, f"{known[1]} Nothing more came for {quiet_s:.0f} s.")

    def _verdict(self, series: ReceivedSeries) -> str | None:
        """Claim, refuse or ignore the series and give None; or say why it is not complete yet."""
        headers: list[Dataset] = []
        try:
            headers = read_headers(series.paths)
            decision = select(headers, self.settings.rules)
            completeness = is_complete(headers)
        except SeriesRefused as refusal:
            self._refuse(series, str(refusal))
            return None
        except Exception:  # noqa: BLE001 - a bug met on one series must not end the receiver of all others
            self._settle(series, headers, "failed", traceback.format_exc())
            return None
        if not decision.accepted:
            self._settle(series, headers, "ignored", decision.reason)
            return None
        if not completeness.complete:
            return completeness.reason
        self.inbox.claim(series.series_uid)
        self._waiting.pop(series.series_uid, None)
        self._open(series.series_uid, headers)
        return None

    def _open(self, series_uid: str, headers: Sequence[Dataset]) -> None:
        folder = self.inbox.claim(series_uid)
        paths = paths_of(folder)
        job = self.name_job(series_uid, [path.stem for path in paths])
        study_uid = str(headers[0].get("StudyInstanceUID", ""))
        known = None
        if not self.ledger.open_job(job, series_uid, study_uid, len(paths), folder):
            known = self.ledger.job(job)
        if known is not None and known.state in OVER:
            log.info("series_known", job=job, series_uid=series_uid, state=known.state)
            settled = self._ended(known.state)(series_uid, known.reason)
            self.ledger.set_state(job, known.state, known.reason, settled)
            return
        if known is not None:
            self.ledger.set_state(job, "received", folder=folder)
        log.info("series_claimed", job=job, series_uid=series_uid, instances=len(paths))
        self.enqueue(job)

    def _ended(self, state: str) -> Callable[[str, str], Path]:
        """How the inbox settles the series of a job in this state."""
        ends = {"refused": self.inbox.refuse, "failed": self.inbox.fail, "ignored": self.inbox.ignore}
        return ends.get(state, lambda series_uid, _reason: self.inbox.finish(series_uid))

    def _refuse(self, series: ReceivedSeries, reason: str) -> None:
        try:
            headers = read_headers(series.paths)
        except SeriesRefused:
            headers = []
        self._settle(series, headers, "refused", reason)

    def _settle(self, series: ReceivedSeries, headers: Sequence[Dataset], state: str, reason: str) -> None:
        job = self.name_job(series.series_uid, [path.stem for path in series.paths])
        study_uid = str(headers[0].get("StudyInstanceUID", "")) if headers else ""
        # The ledger first: killed after it, the series is still receiving, and judged again.
        self.ledger.open_job(job, series.series_uid, study_uid, len(series.paths), series.paths[0].parent)
        self.ledger.set_state(job, state, reason)
        self.inbox.claim(series.series_uid)
        folder = self._ended(state)(series.series_uid, reason)
        self._waiting.pop(series.series_uid, None)
        self.ledger.set_state(job, state, reason, folder)
        log.warning(
            f"series_{state}", job=job, series_uid=series.series_uid, reason=reason, folder=str(folder)
        )


def holds(inbox: Inbox, job: Job) -> bool:
    """Whether the claim on the series is this job's: a later job's claim holds more instances."""
    if job.series_uid not in inbox.claimed():
        return False
    return len(paths_of(inbox.claim(job.series_uid))) <= job.instances


def paths_of(folder: Path) -> list[Path]:
    """The instances in a claimed folder, in order of name."""
    return sorted(folder.glob("*.dcm"))
