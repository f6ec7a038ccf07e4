"""The ledger: what was received, what became of it, and where each result was delivered.

SQLAlchemy tables beside the durable engine's own, in the same database. One row a job (one set of
instances analysed by one model), one row for each result instance and peer. Knows no DICOM.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

STATES = ("received", "analysing", "analysed", "delivered", "undelivered", "refused", "ignored", "failed")
"""Life of a job. The last five are ends; "undelivered" has at least one instance no peer took."""

NOT_ANALYSED = ("refused", "failed")
"""States of a job that a destination may be told of."""

_metadata = sa.MetaData()

_jobs = sa.Table(
    "ledger_jobs",
    _metadata,
    sa.Column("job", sa.String, primary_key=True),
    sa.Column("series_uid", sa.String, nullable=False, index=True),
    sa.Column("study_uid", sa.String, nullable=False, index=True),
    sa.Column("instances", sa.Integer, nullable=False),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("reason", sa.String, nullable=False, default=""),
    sa.Column("stage", sa.String, nullable=False, default=""),
    sa.Column("fraction", sa.Float, nullable=False, default=0.0),
    sa.Column("folder", sa.String, nullable=False),
    sa.Column("received_at", sa.Float, nullable=False),
    sa.Column("changed_at", sa.Float, nullable=False),
)

_deliveries = sa.Table(
    "ledger_deliveries",
    _metadata,
    sa.Column("job", sa.String, primary_key=True),
    sa.Column("peer", sa.String, primary_key=True),
    sa.Column("sop_instance_uid", sa.String, primary_key=True),
    sa.Column("outcome", sa.String, nullable=False),
    sa.Column("status", sa.Integer, nullable=True),
    sa.Column("detail", sa.String, nullable=False, default=""),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    sa.Column("changed_at", sa.Float, nullable=False),
)


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


def database_url(path: Path) -> str:
    """The SQLAlchemy URL of an embedded database, after making it safe for several processes.

    WAL is a property of the file, so one connection sets it for every later one, the durable
    engine's too. SQLite's own default, synchronous=FULL, stays: a commit is on the disk.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        connection.execute(sa.text("PRAGMA journal_mode=WAL"))
    engine.dispose()
    return f"sqlite:///{path}"


class Ledger:
    """Reads and writes the ledger; every call is one short transaction."""

    def __init__(self, url: str) -> None:
        self._engine = sa.create_engine(url)
        if self._engine.dialect.name == "sqlite":

            @sa.event.listens_for(self._engine, "connect")
            def _wait_for_writers(connection: Any, _record: Any) -> None:
                connection.execute("PRAGMA busy_timeout=30000")

        _metadata.create_all(self._engine)

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def open_job(self, job: str, series_uid: str, study_uid: str, instances: int, folder: Path) -> bool:
        """Enter a job; False when this very job is in the ledger already (a re-send)."""
        now = time.time()
        row = {
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
        }
        try:
            with self._engine.begin() as connection:
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
        values = {"outcome": outcome, "status": status, "detail": detail, "changed_at": time.time()}
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

    def job(self, job: str) -> Job | None:
        """One job, or None when the ledger does not know it."""
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(_jobs).where(_jobs.c.job == job)).one_or_none()
        return Job(**row._mapping) if row else None

    def jobs(self, *, study_uid: str | None = None, states: Sequence[str] = ()) -> list[Job]:
        """Jobs in order of arrival, of one study or in some states if asked."""
        query = sa.select(_jobs).order_by(_jobs.c.received_at)
        if study_uid is not None:
            query = query.where(_jobs.c.study_uid == study_uid)
        if states:
            query = query.where(_jobs.c.state.in_(states))
        with self._engine.connect() as connection:
            return [Job(**row._mapping) for row in connection.execute(query)]

    def deliveries(self, job: str) -> list[Delivery]:
        """What every peer said of every result instance of a job."""
        query = sa.select(_deliveries).where(_deliveries.c.job == job)
        with self._engine.connect() as connection:
            return [Delivery(**row._mapping) for row in connection.execute(query)]
