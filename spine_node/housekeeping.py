"""Keeps the disk: finds what is held, has `retention` choose, deletes that; stops receiving when all is owed.

Once an hour what is past its days, leftovers of interrupted writing, the engine's own old rows and the
ledger's (not within a day of a clock that was set forward: it may be wrong, and everything looks old then);
every few seconds whether space is short. Where space stays short although everything that may go
has gone, the inbox stores nothing more, and is opened again by the first look that finds room.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from spine_node.audit.messages import StudyFacts, study_deleted
from spine_node.audit.trail import AuditTrail
from spine_node.clock import ClockWatch
from spine_node.config import Settings, StorageSettings
from spine_node.disk import free_bytes, used_bytes, worlds_fault
from spine_node.inbox import Inbox, Rest
from spine_node.ledger import Job, Ledger
from spine_node.ledger.books import Books, Search, Study
from spine_node.ledger.commitment_requests import CommitmentRequests
from spine_node.ledger.holdings import Holdings
from spine_node.logs import logger
from spine_node.network.audited import facts_of, facts_of_series
from spine_node.owed import has_arrived, owed_of
from spine_node.results import read_done
from spine_node.retention import Deletion, Held, Keep, Kind, expired, pressed

DAY_S = 86400.0
SPACE_EVERY_S = 5.0
"""How often it is looked whether space is short."""

AGE_EVERY_S = 3600.0
"""How often it is looked what is past its days."""

CLOCK_STEP_S = 1800.0
"""Steps of the clock that are no mere correction."""

NOTHING_TO_GAIN_S = 60.0
"""Pause after a look that found space short and nothing to delete."""

ENGINE_KEEPS_S = 30 * DAY_S
"""How long the durable engine's rows of ended workflows are kept: to see what it did."""

_OF_KIND: dict[Kind, str] = {"received": "received instances", "results": "results"}
_HEADROOM = 0.05  # deleted beyond what is short, so that the next instance does not find it short again
_LEFTOVER_S = 2 * DAY_S  # an interrupted write this old is nobody's; a rerun of its job replaces it sooner

log = logger("housekeeping")


@dataclass(frozen=True, slots=True)
class Shortage:
    """What is short, by how many bytes, whether that is a quota, and of which kind (None: of both)."""

    why: str
    size: int
    quota: bool
    kind: Kind | None


def keep_of(storage: StorageSettings) -> Keep:
    """How long the config keeps what."""
    results_s = storage.results_days * DAY_S if storage.results_days else None
    return Keep(storage.keep_done_days * DAY_S, storage.keep_refused_days * DAY_S, results_s)


@dataclass(slots=True)
class Spool:
    """Everything held on disk, with what is owed of it. Reads; deletes only what it is given."""

    inbox: Inbox
    ledger: Ledger
    settings: Settings
    audit: AuditTrail | None = None
    _requests: CommitmentRequests = field(init=False)
    _sizes: dict[Path, tuple[float, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._requests = CommitmentRequests(self.ledger.database)

    def everything(self) -> list[Held]:
        """All series and results, each with why it must stay."""
        jobs = self.ledger.jobs()
        books = Books(self.ledger.database)
        results = [p for p in _folders(self.settings.storage.results) if not p.name.startswith(".")]
        told = books.deliveries_of([job.job for job in jobs if job.state == "delivered"])
        committing = [d.name for d in self.settings.destinations if d.commitment]
        owed: dict[str, str] = {}
        for job in sorted(jobs, key=lambda one: one.received_at, reverse=True):  # successors first
            owed[job.job] = owed_of(job, told.get(job.job, ()), committing, owed)
        found = [*self._received(jobs, owed)]
        by_name = {job.job: job for job in jobs}
        for folder in results:
            if read_done(folder) is None:
                continue
            known = by_name.get(folder.name)
            why = "the ledger does not know it" if known is None else owed[known.job]
            if known is not None and known.state == "delivered" and not has_arrived(told.get(known.job, ())):
                why = why or "nobody but this node has it"
            state = known.state if known is not None and known.state in ("refused", "failed") else "done"
            since = known.changed_at if known is not None else folder.stat().st_mtime
            found.append(Held("results", folder.name, state, since, self._size(folder), why))
        return self._with_promises(found)

    def delete(self, deletion: Deletion) -> bool:
        """Delete one thing, unless anything happened to it since it was chosen."""
        held = deletion.held
        if held.kind == "received":
            folder = self.inbox.folders(held.name).get(held.state)
            if folder is None:
                return False
            facts = facts_of_series(folder)
            if not self.inbox.remove(Rest(held.name, held.state, folder, held.since)):
                return False
            log.info("series_deleted", series_uid=held.name, size=held.size, reason=deletion.why)
            self._tell([] if facts is None else [facts])
            return True
        job = self.ledger.job(held.name)
        if job is None or job.changed_at != held.since:
            return False
        facts = facts_of(sorted((self.settings.storage.results / held.name / "dicom").glob("*.dcm")))
        # No longer offered to queries first: what a query finds can be retrieved. But on a full disk the
        # ledger may have no room for that before these results have gone.
        offered = not self._offer_no_more(held.name)
        delete_folder(self.settings.storage.results / held.name)
        if offered:
            Holdings(self.ledger.database).remove(held.name)
        log.info("results_deleted", job=held.name, size=held.size, reason=deletion.why)
        self._tell(facts)
        return True

    def _offer_no_more(self, job: str) -> bool:
        """Whether the ledger could be told."""
        try:
            Holdings(self.ledger.database).remove(job)
        except SQLAlchemyError as error:
            if not worlds_fault(error):
                raise
            return False
        return True

    def _tell(self, facts: list[StudyFacts]) -> None:
        for study in facts if self.audit is not None else ():
            self.audit.write(study_deleted(self.audit.source, study))

    def _with_promises(self, everything: list[Held]) -> list[Held]:
        """What a modality was told that we keep stays as long from then as its state is kept."""
        promised, keep = self._requests.promised(), keep_of(self.settings.storage)
        found = []
        for held in everything:
            kept_s = keep.of(held)
            at = promised.get(held.name)
            if at is not None and not held.owed and (kept_s is None or time.time() - at <= kept_s):
                held = replace(held, owed="a modality was promised that it is kept")
            found.append(held)
        return found

    def _received(self, jobs: list[Job], owed: dict[str, str]) -> Iterator[Held]:
        of_series: dict[str, str] = {}
        for job in jobs:
            if owed[job.job]:
                of_series[job.series_uid] = owed[job.job]
        older = self.inbox.superseded()
        for rest in self.inbox.rests():
            state = {"receiving": "arriving", "claimed": "analysing"}.get(rest.state, rest.state)
            size, why = self._size(rest.folder), of_series.get(rest.series_uid, "")
            if rest.series_uid in older and state == rest.state:  # goes with what has settled
                size += self._size(older[rest.series_uid])
            yield Held("received", rest.series_uid, state, rest.since_unix_s, size, why)

    def forget_sizes(self) -> None:
        """Of folders that are gone."""
        self._sizes = {folder: known for folder, known in self._sizes.items() if folder.exists()}

    def used(self, kind: Kind) -> int:
        """Bytes that all of this kind take."""
        if kind == "received":
            folders = [rest.folder for rest in self.inbox.rests()]
            return sum(map(self._size, [*folders, *self.inbox.superseded().values()]))
        return sum(self._size(folder) for folder in _folders(self.settings.storage.results))

    def _size(self, folder: Path) -> int:
        """Bytes below a folder; measured again only when something came into it or went."""
        try:
            changed = folder.stat().st_mtime
        except FileNotFoundError:
            self._sizes.pop(folder, None)
            return 0
        known = self._sizes.get(folder)
        if known is None or known[0] != changed:
            known = self._sizes[folder] = (changed, used_bytes(folder))
        return known[1]


class Housekeeping:
    """What the main process does for the disk, five times a second, nearly always nothing.

    Parameters
    ----------
    purge : callable
        Takes seconds; deletes the durable engine's rows of workflows that ended longer ago, says how many.
    """

    def __init__(
        self,
        inbox: Inbox,
        ledger: Ledger,
        settings: Settings,
        purge: Callable[[float], int],
        audit: AuditTrail | None = None,
    ) -> None:
        self._inbox, self._ledger, self._storage, self._purge = inbox, ledger, settings.storage, purge
        self._spool = Spool(inbox, ledger, settings, audit)
        self._next_age = self._next_space = 0.0
        self._clock = ClockWatch()

    def look(self) -> None:
        """Delete what is past its days or in the way; stop and start receiving."""
        now = time.monotonic()
        if (step_s := self._clock.step_s()) > CLOCK_STEP_S:
            self._next_age = now + DAY_S
            log.error(
                "clock_set_forward",
                step_s=round(step_s),
                meaning="nothing is deleted by age for a day: if the clock is wrong, set it right",
            )
        if now >= self._next_age:
            self._next_age = now + AGE_EVERY_S
            self._by_age()
        if now >= self._next_space:
            self._next_space = now + SPACE_EVERY_S
            if not self._by_space():
                self._next_space = now + NOTHING_TO_GAIN_S

    def _by_age(self) -> None:
        for deletion in expired(self._spool.everything(), keep_of(self._storage), time.time()):
            self._spool.delete(deletion)
        refused_s = self._storage.keep_refused_days * DAY_S
        if older := self._inbox.forget_superseded(refused_s):
            log.info("superseded_deleted", files=len(older))
        self._leftovers()
        self._spool.forget_sizes()
        if ended := self._purge(ENGINE_KEEPS_S):
            log.info("workflows_purged", count=ended)
        self._strike_out()

    def _by_space(self) -> bool:
        """Make room; False where space is short and nothing could be done about it."""
        shortages = self._shortages()
        gained = False
        for shortage in shortages:
            wanted = int(shortage.size * (1 + _HEADROOM)) + 1
            for deletion in pressed(self._spool.everything(), wanted, shortage.why, shortage.kind):
                gained = self._spool.delete(deletion) or gained
        quotas = [s.why for s in (self._shortages() if gained else shortages) if s.quota]
        stopped = self._inbox.stopped()
        if quotas and stopped != (words := "; ".join(quotas)):
            log.error("receiving_stopped", reason=words)
            with suppress(OSError):  # no room for these words: then there is none for an instance either
                self._inbox.stop_storing(words)
        elif stopped and not quotas:
            log.info("receiving_again", reason=stopped)
            self._inbox.store_again()
        return gained or not shortages

    def _shortages(self) -> list[Shortage]:
        """Quotas, and disks with less free than the low-water mark."""
        storage = self._storage
        found = []
        quotas: tuple[tuple[Kind, float], ...] = (
            ("received", storage.inbox_quota_gb),
            ("results", storage.results_quota_gb),
        )
        for kind, quota in quotas:
            if quota and (over := self._spool.used(kind) - int(quota * 1e9)) > 0:
                why = f"the quota of {quota:g} GB for {_OF_KIND[kind]} is used up"
                found.append(Shortage(why, over, True, kind))
        disks: dict[int, list[Kind]] = {}
        for kind, folder in self._places().items():
            disks.setdefault(folder.stat().st_dev, []).append(kind)
        for kinds in disks.values():
            if (short := storage.low_water_bytes - free_bytes(self._places()[kinds[0]])) > 0:
                why = f"less than {storage.low_water_bytes / 1e9:g} GB are free"
                found.append(Shortage(why, short, False, None if len(kinds) > 1 else kinds[0]))
        return found

    def _places(self) -> dict[Kind, Path]:
        places: dict[Kind, Path] = {"received": self._storage.inbox, "results": self._storage.results}
        return {kind: folder for kind, folder in places.items() if folder.exists()}

    def _leftovers(self) -> None:
        """What interrupted writing of results has left; what is being written is younger."""
        for folder in _folders(self._storage.results):
            unfinished = folder.name.startswith(".") or folder.name.endswith(".partial")
            if unfinished and time.time() - _newest(folder) > _LEFTOVER_S:
                delete_folder(folder)
                log.info("leftover_deleted", folder=str(folder))

    def _strike_out(self) -> None:
        """Rows of studies of which nothing is left on the disk, when they are old; a tombstone stays."""
        books = Books(self._ledger.database)
        before = time.time() - self._storage.ledger_days * DAY_S
        books.crumble(before)
        for study in books.find(Search(until=before)):
            if study.changed_at < before and (study.jobs or study.arrivals) and not self._holds(study):
                books.strike_out(study, in_words(study), f"older than {self._storage.ledger_days:g} days")
                log.info("study_struck_out", study_uid=study.study_uid)

    def _holds(self, study: Study) -> bool:
        return any(self._inbox.folders(series) for series in study.series_uids) or any(
            (self._storage.results / job.job).exists() for job in study.jobs
        )


def in_words(study: Study) -> str:
    """What there was of a study, for its tombstone."""
    instances = sum(job.instances for job in study.jobs)
    states = ", ".join(dict.fromkeys(job.state for job in study.jobs)) or "never analysed"
    peers = ", ".join(dict.fromkeys(d.peer for d in study.deliveries if has_arrived([d]))) or "nobody"
    return f"{len(study.series_uids)} series, {instances} instances, {states}; results at {peers}"


def delete_folder(folder: Path) -> None:
    """Delete a results folder: out of sight first, as a reader must not meet half of it."""
    if folder.exists():
        gone = (
            folder if folder.name.startswith(".") else folder.rename(folder.with_name(f".{folder.name}.gone"))
        )
        shutil.rmtree(gone, ignore_errors=True)


def _folders(parent: Path) -> list[Path]:
    return [path for path in parent.iterdir() if path.is_dir()] if parent.exists() else []


def _newest(folder: Path) -> float:
    """When anything in it was last written, Unix seconds."""
    try:
        return max(path.lstat().st_mtime for path in (folder, *folder.rglob("*")))
    except FileNotFoundError:
        return time.time()
