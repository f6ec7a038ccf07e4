"""Jobs and the deliveries of their results: one set of instances analysed by one model, and what each
peer said of each result instance."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from spine_node.ledger.database import Database
from spine_node.ledger.schema import deliveries as _deliveries
from spine_node.ledger.schema import jobs as _jobs

STATES = ("received", "analysing", "analysed", "delivered", "undelivered", "refused", "ignored", "failed")
"""Life of a job. The last five are ends; "undelivered" has at least one instance no peer took."""

NOT_ANALYSED = ("refused", "failed")
"""States of a job that a destination may be told of."""


@dataclass(frozen=True, slots=True)
class Job:
    """One row of the ledger; times are Unix seconds."""

    job: str
    series_uid: str
    study_uid: str
    instances: int
    state: str
    reason: str
    stage: str
    fraction: float
    folder: str
    received_at: float
    changed_at: float
    accession_number: str
    calling_ae: str
    superseded_by: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of one result instance at one peer."""

    job: str
    peer: str
    sop_instance_uid: str
    outcome: str
    status: int | None
    detail: str
    attempts: int
    changed_at: float
    sent_at: float | None
    commitment: str
    transaction_uid: str
    committed_at: float | None


class Ledger:
    """Reads and writes the ledger; every call is one short transaction."""

    def __init__(self, url: str) -> None:
        self.database = Database(url)
        self._engine = self.database.engine

    def close(self) -> None:
        """Let go of the database."""
        self.database.close()

    def open_job(
        self,
        job: str,
        series_uid: str,
        study_uid: str,
        instances: int,
        folder: Path,
        *,
        accession_number: str = "",
        calling_ae: str = "",
    ) -> bool:
        """Enter a job; False when this very job is in the ledger already (a re-send)."""
        now = time.time()
        row: dict[str, Any] = {
            "job": job,
            "series_uid": series_uid,
            "study_uid": study_uid,
            "instances": instances,
            "state": "received",
            "reason": "",
            "stage": "",
            "fraction": 0.0,
            "folder": str(folder),
            "received_at": now,
            "changed_at": now,
            "accession_number": accession_number,
            "calling_ae": calling_ae,
        }
        try:
            with self._engine.begin() as connection:
                # What is entered later is the newer, also after the clock was set back.
                newest = sa.select(sa.func.max(_jobs.c.received_at)).where(_jobs.c.series_uid == series_uid)
                row["received_at"] = max(now, (connection.execute(newest).scalar() or 0.0) + 1e-3)
                connection.execute(_jobs.insert().values(row))
        except sa.exc.IntegrityError:
            return False
        return True

    def set_state(self, job: str, state: str, reason: str = "", folder: Path | None = None) -> None:
        """Move a job to another state of its life."""
        if state not in STATES:
            raise ValueError(f"{state!r} is no state of a job, expected one of {', '.join(STATES)}")
        values: dict[str, Any] = {"state": state, "reason": reason, "changed_at": time.time()}
        if folder is not None:
            values["folder"] = str(folder)
        with self._engine.begin() as connection:
            connection.execute(_jobs.update().where(_jobs.c.job == job).values(values))

    def set_progress(self, job: str, fraction: float, stage: str) -> None:
        """Say how far the analysis of a job is."""
        with self._engine.begin() as connection:
            connection.execute(
                _jobs.update()
                .where(_jobs.c.job == job)
                .values(fraction=fraction, stage=stage, changed_at=time.time())
            )

    def record_delivery(
        self, job: str, peer: str, sop_instance_uid: str, outcome: str, status: int | None, detail: str = ""
    ) -> None:
        """Write what a peer said of one instance; a later word replaces an earlier one."""
        key = sa.and_(
            _deliveries.c.job == job,
            _deliveries.c.peer == peer,
            _deliveries.c.sop_instance_uid == sop_instance_uid,
        )
        values: dict[str, Any] = {"outcome": outcome, "status": status, "detail": detail}
        values["changed_at"] = time.time()
        if outcome in ("stored", "warning"):
            values["sent_at"] = values["changed_at"]
        with self._engine.begin() as connection:
            changed = connection.execute(
                _deliveries.update().where(key).values(**values, attempts=_deliveries.c.attempts + 1)
            )
            if changed.rowcount == 0:
                connection.execute(
                    _deliveries.insert().values(
                        job=job, peer=peer, sop_instance_uid=sop_instance_uid, attempts=1, **values
                    )
                )

    def reopen_deliveries(self, job: str, peer: str, sop_instance_uids: Sequence[str]) -> None:
        """Take back what was settled of these instances, so that they are offered again."""
        key = sa.and_(
            _deliveries.c.job == job,
            _deliveries.c.peer == peer,
            _deliveries.c.sop_instance_uid.in_(sop_instance_uids),
        )
        with self._engine.begin() as connection:
            connection.execute(
                _deliveries.update().where(key).values(outcome="waiting", changed_at=time.time())
            )

    def supersede(self, job: str) -> list[str]:
        """The results of this job take the place of those of every earlier job of its series; again changes
        nothing. Gives the earlier jobs that it replaces, the oldest first."""
        row = self.job(job)
        if row is None:
            raise LookupError(f"job {job} is not in the ledger")
        earlier = sa.and_(
            _jobs.c.series_uid == row.series_uid, _jobs.c.job != job, _jobs.c.received_at < row.received_at
        )
        with self._engine.begin() as connection:
            connection.execute(
                _jobs.update().where(earlier, _jobs.c.superseded_by == "").values(superseded_by=job)
            )
        return [other.job for other in self.superseded(job)]

    def take_over(self, job: str) -> None:
        """Whatever else of its series waits to be judged is judged as this job: by another release or model
        the same instances are another analysis."""
        row = self.job(job)
        if row is None:
            raise LookupError(f"job {job} is not in the ledger")
        waiting = sa.and_(
            _jobs.c.series_uid == row.series_uid, _jobs.c.job != job, _jobs.c.state == "received"
        )
        with self._engine.begin() as connection:
            connection.execute(
                _jobs.update().where(waiting, _jobs.c.superseded_by == "").values(superseded_by=job)
            )

    def superseded(self, job: str) -> list[Job]:
        """Jobs whose results those of this one replace, the oldest first."""
        query = sa.select(_jobs).where(_jobs.c.superseded_by == job).order_by(_jobs.c.received_at)
        with self._engine.connect() as connection:
            return [Job(**row._mapping) for row in connection.execute(query)]

    def job(self, job: str) -> Job | None:
        """One job, or None when the ledger does not know it."""
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(_jobs).where(_jobs.c.job == job)).one_or_none()
        return Job(**row._mapping) if row else None

    def jobs(
        self, *, study_uid: str | None = None, states: Sequence[str] = (), changed_after: float | None = None
    ) -> list[Job]:
        """Jobs in order of arrival, of one study, in some states, or with a word since then, if asked."""
        query = sa.select(_jobs).order_by(_jobs.c.received_at)
        if study_uid is not None:
            query = query.where(_jobs.c.study_uid == study_uid)
        if states:
            query = query.where(_jobs.c.state.in_(states))
        if changed_after is not None:
            query = query.where(_jobs.c.changed_at > changed_after)
        with self._engine.connect() as connection:
            return [Job(**row._mapping) for row in connection.execute(query)]

    def deliveries(self, job: str) -> list[Delivery]:
        """What every peer said of every result instance of a job."""
        query = sa.select(_deliveries).where(_deliveries.c.job == job)
        with self._engine.connect() as connection:
            return [Delivery(**row._mapping) for row in connection.execute(query)]
