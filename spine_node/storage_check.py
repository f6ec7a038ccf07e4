"""What `spine-node check` says of the disk: space, quotas, what waits the longest. Changes nothing."""

from __future__ import annotations

import time
from dataclasses import dataclass

from spine_node.config import Settings
from spine_node.disk import free_bytes, used_bytes
from spine_node.ledger import Job, Ledger
from spine_node.ledger.books import Books
from spine_node.ledger.outbox import Outbox
from spine_node.owed import owed_of

GB = 1e9


@dataclass(frozen=True, slots=True)
class StorageReport:
    """Sentences for an operator, and whether the node can receive and keep."""

    sentences: tuple[str, ...]
    well: bool


def report_of(settings: Settings) -> StorageReport:
    """How full the disk is, what is in the way, and what has waited the longest."""
    storage = settings.storage
    said, well = [], True
    for name, folder, quota in (
        ("received", storage.inbox, storage.inbox_quota_gb),
        ("results", storage.results, storage.results_quota_gb),
    ):
        free = free_bytes(folder)
        limit = f" of a quota of {quota:g} GB" if quota else ""
        said.append(f"{name}: {used_bytes(folder) / GB:.2f} GB{limit} in {folder}, {free / GB:.1f} GB free")
        if free < storage.reserve_bytes:
            said.append(f"NOTHING IS RECEIVED with less than {storage.reserve_gb:g} GB free")
            well = False
        elif free < storage.low_water_bytes:
            said.append(f"the oldest that is settled goes, as less than {storage.low_water_gb:g} GB are free")
    stopped = storage.inbox / "stopped.txt"
    if stopped.exists():
        said.append(f"NOTHING IS RECEIVED: {stopped.read_text(encoding='utf-8').strip()}")
        well = False
    if storage.database_url or storage.database.exists():
        said += _waiting(settings)
    return StorageReport(tuple(said), well)


def _waiting(settings: Settings) -> list[str]:
    storage = settings.storage
    ledger = Ledger(storage.database_url or f"sqlite:///{storage.database}")
    try:
        away = Outbox(ledger.database).away()
        said = []
        for peer, count in Outbox(ledger.database).counts().items():
            why = f", which takes nothing: {away[peer].reason}" if peer in away else ""
            said.append(f"{count} analyses wait for {peer}{why}")
        committing = [peer.name for peer in settings.destinations if peer.commitment]
        oldest = _oldest(ledger, committing)
        if oldest is not None:
            job, why = oldest
            days = (time.time() - job.received_at) / 86400.0
            said.append(f"the oldest that is not over: study {job.study_uid}, {days:.1f} days, {why}")
        return said
    finally:
        ledger.close()


def _oldest(ledger: Ledger, committing: list[str]) -> tuple[Job, str] | None:
    """The first job that something is owed of, and what."""
    jobs = ledger.jobs(states=("received", "analysing", "analysed", "delivered", "undelivered"))
    told = Books(ledger.database).deliveries_of([job.job for job in jobs if job.state == "delivered"])
    for job in jobs:
        if not job.superseded_by and (why := owed_of(job, told.get(job.job, ()), committing)):
            return job, why
    return None
