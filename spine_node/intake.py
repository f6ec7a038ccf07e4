"""From arriving instances to jobs: decides that a series is for us, complete, and to be analysed.

Evidence of completeness is quiet time, then geometry, then the expected count where the header tells
one. A series that stays incomplete is refused with its reason and stays on disk.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydicom import Dataset

from spine_node.config import Settings
from spine_node.dicom.selection import is_complete, select
from spine_node.dicom.series import read_headers
from spine_node.errors import SeriesRefused
from spine_node.inbox import Inbox, ReceivedSeries
from spine_node.ledger import Ledger
from spine_node.logs import logger

OVER = ("analysed", "delivered", "undelivered", "refused", "ignored", "failed")
"""States of a job after which its instances need no claim any more."""

log = logger("intake")


def job_id(sop_instance_uids: Sequence[str], model_sha256: str, software_version: str) -> str:
    """Name of the analysis of these instances by this model and software, the same however often sent."""
    text = "\n".join([*sorted(sop_instance_uids), model_sha256, software_version])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(slots=True)
class Intake:
    """Watches one inbox.

    Attributes
    ----------
    name_job : callable
        Takes SOP Instance UIDs and gives the job's id (`job_id` with the model in use).
    enqueue : callable
        Takes a job and has it analysed; enqueuing it again changes nothing.
    """

    inbox: Inbox
    ledger: Ledger
    settings: Settings
    name_job: Callable[[Sequence[str]], str]
    enqueue: Callable[[str], None]
    _waiting: dict[str, tuple[float, str]] = field(default_factory=dict)

    def resume(self) -> None:
        """Open the jobs of series that were claimed when the last process ended."""
        for series_uid in self.inbox.claimed():
            self._open(series_uid)

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
        try:
            headers = read_headers(series.paths)
        except SeriesRefused as refusal:
            self._refuse(series, str(refusal))
            return None
        decision = select(headers, self.settings.rules)
        if not decision.accepted:
            self._settle(series, headers, "ignored", decision.reason)
            return None
        completeness = is_complete(headers)
        if not completeness.complete:
            return completeness.reason
        self.inbox.claim(series.series_uid)
        self._waiting.pop(series.series_uid, None)
        self._open(series.series_uid)
        return None

    def _open(self, series_uid: str) -> None:
        folder = self.inbox.claim(series_uid)
        headers = read_headers(sorted(folder.glob("*.dcm")))
        job = self.name_job([str(h.SOPInstanceUID) for h in headers])
        study_uid = str(headers[0].get("StudyInstanceUID", ""))
        if self.ledger.open_job(job, series_uid, study_uid, len(headers), folder):
            log.info("series_claimed", job=job, series_uid=series_uid, instances=len(headers))
        else:
            known = self.ledger.job(job)
            if known is not None and known.state in OVER:
                log.info("series_known", job=job, series_uid=series_uid, state=known.state)
                self.inbox.finish(series_uid)
                return
        self.enqueue(job)

    def _refuse(self, series: ReceivedSeries, reason: str) -> None:
        try:
            headers = read_headers(series.paths)
        except SeriesRefused:
            headers = []
        self._settle(series, headers, "refused", reason)

    def _settle(self, series: ReceivedSeries, headers: Sequence[Dataset], state: str, reason: str) -> None:
        settle = self.inbox.refuse if state == "refused" else self.inbox.ignore
        self.inbox.claim(series.series_uid)
        folder = settle(series.series_uid, reason)
        self._waiting.pop(series.series_uid, None)
        job = self.name_job([path.stem for path in series.paths])
        study_uid = str(headers[0].get("StudyInstanceUID", "")) if headers else ""
        self.ledger.open_job(job, series.series_uid, study_uid, len(series.paths), folder)
        self.ledger.set_state(job, state, reason, folder)
        log.warning(
            f"series_{state}", job=job, series_uid=series.series_uid, reason=reason, folder=str(folder)
        )


def paths_of(folder: Path) -> list[Path]:
    """The instances in a claimed folder, in order of name."""
    return sorted(folder.glob("*.dcm"))
