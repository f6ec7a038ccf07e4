"""From arriving instances to jobs: decides that a series is for us, complete, and to be analysed.

Evidence of completeness is quiet time, then geometry, then the expected count where the header tells
one. A series that stays incomplete is refused with its reason and stays on disk.
"""

from __future__ import annotations

import hashlib
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from pydicom import Dataset

from spine_node.config import Settings
from spine_node.dicom.fingerprint import fingerprint
from spine_node.dicom.selection import Completeness, Decision, is_complete, select
from spine_node.dicom.series import read_headers
from spine_node.errors import SeriesRefused, Unavailable
from spine_node.inbox import Inbox, ReceivedSeries
from spine_node.ledger import Job, Ledger
from spine_node.logs import logger
from spine_node.reading_ahead import ReadingAhead

OVER = ("analysed", "delivered", "undelivered", "refused", "failed")
"""States of a job after which the same instances are not analysed again. An ignored series was never
analysed: when the rules take it now, its job begins."""

AHEAD_AFTER_S, AHEAD_S = 0.5, 0.2
"""Headers of a series that is silent so long are read before its quiet time is over, some in each look."""

READY_BEFORE_S = 0.75
"""What they say is put together so long before its end: what comes after that is read with all else again."""

AGAIN_S = 30.0
"""After which a series is looked at again that the disk or the system did not let us read."""

log = logger("intake")


def job_id(
    sop_instance_uids: Sequence[str],
    content: str,
    model: str,
    software_version: str,
    pins: Sequence[str] = (),
) -> str:
    """Name of the analysis of these instances by this model and software, the same however often sent.

    Levels that a person has fixed make it another analysis, and so does another content of the same
    instances (`dicom.fingerprint`), such as a corrected patient. `model` stands for weights and settings.
    """
    text = "\n".join([*sorted(sop_instance_uids), content, model, software_version, *pins])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(slots=True)
class Intake:
    """Watches one inbox.

    Attributes
    ----------
    name_job : callable
        Takes the Series Instance UID, the SOP Instance UIDs and the fingerprint of their headers, and gives
        the job's id (`job_id` with the model in use and the pins of that series).
    enqueue : callable
        Takes a job and has it analysed; enqueuing it again changes nothing.
    began : float
        Since when the node listens, by the monotonic clock: nobody is silent before.
    """

    inbox: Inbox
    ledger: Ledger
    settings: Settings
    name_job: Callable[[str, Sequence[str], str], str]
    enqueue: Callable[[str], None]
    began: float = field(default_factory=time.monotonic)
    _waiting: dict[str, tuple[float, str]] = field(default_factory=dict)
    _ahead: ReadingAhead = field(default_factory=ReadingAhead)
    _at_hand: dict[str, _Ready] = field(default_factory=dict)
    _unreadable_until: dict[str, float] = field(default_factory=dict)
    _silent_since: dict[str, tuple[float, float]] = field(default_factory=dict)

    def resume(self) -> None:
        """Go on with what was claimed when the last process, or the last look, ended in the middle.

        A claim that the ledger knows is enqueued, which changes nothing when it was; any other is given
        back and judged anew, as it may have been claimed only to be refused. So is a series in which a
        level was fixed, or fixed otherwise, since it was analysed or refused.
        """
        for series_uid in self.inbox.claimed():
            job = self.inbox.holder(series_uid) or self._holder_before_it_was_written(series_uid)
            if not job or self.ledger.job(job) is None:
                self.inbox.reopen(series_uid)
            else:
                self.enqueue(job)
        for series_uid in self.settings.levels.pins:
            folders = self.inbox.folders(series_uid)
            ended = folders.get("done") or folders.get("refused")
            if ended and not self.ledger.job(self._name(series_uid, _Arrived.read(paths_of(ended)))):
                self.inbox.reopen(series_uid)

    def _holder_before_it_was_written(self, series_uid: str) -> str:
        """The job that a release without job.txt was at when it was replaced by this one."""
        folder = str(self.inbox.folders(series_uid)["claimed"])
        under_way = self.ledger.jobs(states=("received", "analysing"))
        job = next((job.job for job in reversed(under_way) if job.folder == folder), "")
        if job:
            self.inbox.assign(series_uid, job)
        return job

    def look(self) -> None:
        """Judge every series that has been quiet long enough."""
        found = self.inbox.open_series()
        now = time.monotonic()
        self._silent_since = {series.series_uid: self._silent(series, now) for series in found}
        for series in found:
            silent_s = now - self._silent_since[series.series_uid][1]
            quiet_s = self.settings.series.quiet_of(series.calling_ae)
            # A sender could not be heard while the node was down: what it did not finish comes again.
            if min(silent_s, now - self.began) >= quiet_s:
                if self._unreadable_until.get(series.series_uid, now) <= now:
                    self._judge(series, silent_s)
            elif silent_s >= AHEAD_AFTER_S:
                self._look_ahead(series, nearly=silent_s >= quiet_s - READY_BEFORE_S)
        self._ahead.forget_all_but(self._silent_since)
        self._at_hand = {uid: ready for uid, ready in self._at_hand.items() if uid in self._silent_since}

    def _look_ahead(self, series: ReceivedSeries, *, nearly: bool) -> None:
        """Have at hand what is judged when the quiet time is over; what fails fails then again."""
        came, known = series.last_arrival_unix_s, self._at_hand.get(series.series_uid)
        if known is not None and known.came == came:
            return
        if self._ahead.read_some(series.series_uid, series.paths, AHEAD_S) and nearly:
            evidence = None
            with suppress(Exception):
                arrived = self._arrived(series)
                evidence = None if arrived.refusal else self._evidence(arrived)
            self._at_hand[series.series_uid] = _Ready(came, evidence)

    def _silent(self, series: ReceivedSeries, now: float) -> tuple[float, float]:
        """When the last instance came: by the clock of files, and by one that nobody sets.

        A clock that is set forward does not end a series that is arriving, one set back does not hold it up.
        """
        came = series.last_arrival_unix_s
        known = self._silent_since.get(series.series_uid)
        if known is not None and known[0] == came:
            return known
        return came, now - max(time.time() - came, 0.0)

    def _judge(self, series: ReceivedSeries, quiet_s: float) -> None:
        known = self._waiting.get(series.series_uid)
        if known is None or known[0] != series.last_arrival_unix_s:
            verdict = self._verdict(series)
            if verdict is None:
                return
            self._waiting[series.series_uid] = (series.last_arrival_unix_s, verdict)
            log.info("series_incomplete", series_uid=series.series_uid, reason=verdict)
        elif quiet_s > self.settings.series.give_up_s:
            self._settle(
                series,
                _Arrived.read(series.paths),
                "refused",
                f"{known[1]} Nothing more came for {quiet_s:.0f} s.",
            )

    def _arrived(self, series: ReceivedSeries) -> _Arrived:
        return _Arrived.read(series.paths, self._ahead.held(series.series_uid, series.paths))

    def _evidence(self, arrived: _Arrived) -> _Evidence:
        return _Evidence(arrived, select(arrived.headers, self.settings.rules), is_complete(arrived.headers))

    def _verdict(self, series: ReceivedSeries) -> str | None:
        """Claim, refuse or ignore the series and give None; or say why it is not complete yet."""
        ready = self._at_hand.pop(series.series_uid, None)
        evidence, arrived = ready and ready.evidence, _Arrived((), "", _files(series.paths))
        try:
            if evidence is not None and evidence.arrived.files == arrived.files:
                arrived = evidence.arrived
            else:
                arrived = self._arrived(series)
                if arrived.refusal:
                    self._settle(series, arrived, "refused", arrived.refusal)
                    return None
                evidence = self._evidence(arrived)
        except SeriesRefused as refusal:
            self._settle(series, arrived, "refused", str(refusal))
            return None
        except (Unavailable, OSError) as problem:  # the world's fault, not the series's
            self._unreadable_until[series.series_uid] = time.monotonic() + AGAIN_S
            log.error(
                "series_unreadable_now", series_uid=series.series_uid, reason=str(problem), again_s=AGAIN_S
            )
            return None
        except Exception:  # noqa: BLE001 - a bug met on one series must not end the receiver of all others
            self._settle(series, arrived, "failed", traceback.format_exc())
            return None
        if not evidence.decision.accepted:
            self._settle(series, arrived, "ignored", evidence.decision.reason)
            return None
        if not evidence.completeness.complete:
            return evidence.completeness.reason
        self._claim(series, arrived)
        return None

    def _claim(self, series: ReceivedSeries, arrived: _Arrived) -> None:
        folder = self._held(series, arrived)
        if folder is None:
            return
        job = self._name(series.series_uid, arrived)
        self.inbox.assign(series.series_uid, job)
        known = None
        if not self._enter(job, series, arrived, folder):
            known = self.ledger.job(job)
        if known is not None and known.state in OVER:
            log.info("series_known", job=job, series_uid=series.series_uid, state=known.state)
            settled = self._ended(known.state)(series.series_uid, known.reason)
            self.ledger.set_state(job, known.state, known.reason, settled)
            return
        if known is not None:
            self.ledger.set_state(job, "received", folder=folder)
        log.info("series_claimed", job=job, series_uid=series.series_uid, instances=len(arrived.files))
        self.enqueue(job)

    def _held(self, series: ReceivedSeries, arrived: _Arrived) -> Path | None:
        """Claim what was judged; None when more came, or came anew, since: it is then judged anew."""
        folder = self.inbox.claim(series.series_uid)
        self._waiting.pop(series.series_uid, None)
        if _files(paths_of(folder)) == arrived.files:
            return folder
        self.inbox.reopen(series.series_uid)
        return None

    def _name(self, series_uid: str, arrived: _Arrived) -> str:
        uids = [Path(name).stem for name in arrived.files]
        return self.name_job(series_uid, uids, arrived.content)

    def _enter(self, job: str, series: ReceivedSeries, arrived: _Arrived, folder: Path) -> bool:
        header = arrived.headers[0] if arrived.headers else Dataset()
        is_new = self.ledger.open_job(
            job,
            series.series_uid,
            str(header.get("StudyInstanceUID") or ""),
            len(arrived.files),
            folder,
            accession_number=str(header.get("AccessionNumber") or ""),
            calling_ae=series.calling_ae,
        )
        self.ledger.take_over(job)
        return is_new

    def _ended(self, state: str) -> Callable[[str, str], Path]:
        """How the inbox settles the series of a job in this state."""
        ends = {"refused": self.inbox.refuse, "failed": self.inbox.fail, "ignored": self.inbox.ignore}
        return ends.get(state, lambda series_uid, _reason: self.inbox.finish(series_uid))

    def _settle(self, series: ReceivedSeries, arrived: _Arrived, state: str, reason: str) -> None:
        came_to = self.inbox.folders(series.series_uid)["receiving"]
        if self._held(series, arrived) is None:
            return
        job = self._name(series.series_uid, arrived)
        # The ledger first: killed after it, the series is claimed by no job, given back and judged again.
        self._enter(job, series, arrived, came_to)
        self.ledger.set_state(job, state, reason)
        folder = self._ended(state)(series.series_uid, reason)
        self.ledger.set_state(job, state, reason, folder)
        log.warning(
            f"series_{state}", job=job, series_uid=series.series_uid, reason=reason, folder=str(folder)
        )


@dataclass(frozen=True, slots=True)
class _Arrived:
    """What lies there of a series.

    Attributes
    ----------
    headers : sequence of Dataset
        Of those that are DICOM; none when one cannot be read, and then `refusal` says why.
    content : str
        Their fingerprint.
    files : mapping of str to (int, int)
        By name, inode and bytes: both stay when the folder is renamed, and change with the content.
    """

    headers: Sequence[Dataset]
    content: str
    files: Mapping[str, tuple[int, int]]
    refusal: str = ""

    @staticmethod
    def read(paths: Sequence[Path], ahead: Mapping[Path, Dataset] = MappingProxyType({})) -> _Arrived:
        """Read the headers, but those that were read ahead."""
        files = _files(paths)
        try:
            headers = read_headers(paths, ahead)
        except SeriesRefused as refusal:
            return _Arrived((), "", files, str(refusal))
        return _Arrived(headers, fingerprint(headers), files)


@dataclass(frozen=True, slots=True)
class _Evidence:
    arrived: _Arrived
    decision: Decision
    completeness: Completeness


@dataclass(frozen=True, slots=True)
class _Ready:
    """What was found of a series ahead, when this was its last arrival; None where that failed."""

    came: float
    evidence: _Evidence | None


def _files(paths: Sequence[Path]) -> dict[str, tuple[int, int]]:
    found = {path.name: path.stat() for path in paths}
    return {name: (status.st_ino, status.st_size) for name, status in found.items()}


def holds(inbox: Inbox, job: Job) -> bool:
    """Whether the claim on the series is this job's: a later job may have it by now."""
    return inbox.holder(job.series_uid) == job.job


def paths_of(folder: Path) -> list[Path]:
    """The instances in a claimed folder, in order of name."""
    return sorted(folder.glob("*.dcm"))
