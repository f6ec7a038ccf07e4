"""The ledger by study: what was received, refused, processed, sent and committed; sought and struck out.

A study is known by its UID; a series whose headers could not be read, by the series' own UID.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from spine_node.ledger.arrivals import Arrival
from spine_node.ledger.database import Database
from spine_node.ledger.jobs import Delivery, Job
from spine_node.ledger.schema import arrivals as _arrivals
from spine_node.ledger.schema import commitments as _commitments
from spine_node.ledger.schema import deliveries as _deliveries
from spine_node.ledger.schema import holdings as _holdings
from spine_node.ledger.schema import jobs as _jobs
from spine_node.ledger.schema import outbox as _outbox
from spine_node.ledger.schema import tombstones as _tombstones

IN_TROUBLE = ("refused", "failed", "undelivered")
"""States of a job that somebody should look at."""

_AT_ONCE = 400  # SQLite takes 999 values in a statement, and others are beside these


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What is left of a study that was deleted."""

    study_uid: str
    accession_number: str
    deleted_at: float
    what: str
    why: str


@dataclass(frozen=True, slots=True)
class Study:
    """Everything the ledger says of one study; jobs and arrivals in order of time."""

    study_uid: str
    jobs: tuple[Job, ...]
    arrivals: tuple[Arrival, ...]
    deliveries: tuple[Delivery, ...]
    tombstone: Tombstone | None

    @property
    def series_uids(self) -> tuple[str, ...]:
        """In order of their first arrival, as far as that is known."""
        return tuple(dict.fromkeys(row.series_uid for row in (*self.arrivals, *self.jobs)))

    @property
    def accession_number(self) -> str:
        """The last that was heard of."""
        said = [row.accession_number for row in (*self.arrivals, *self.jobs) if row.accession_number]
        return said[-1] if said else self.tombstone.accession_number if self.tombstone else ""

    @property
    def first_at(self) -> float:
        """When the first of it came, Unix seconds; of one struck out, when that was."""
        times = [*(a.first_at for a in self.arrivals), *(j.received_at for j in self.jobs)]
        return min(times) if times else self.tombstone.deleted_at if self.tombstone else 0.0

    @property
    def changed_at(self) -> float:
        """When anything last happened to it, Unix seconds."""
        times = [a.last_at for a in self.arrivals] + [j.changed_at for j in self.jobs]
        times += [d.changed_at for d in self.deliveries]
        return max([*times, self.tombstone.deleted_at if self.tombstone else 0.0])


@dataclass(frozen=True, slots=True)
class Search:
    """Which studies: all that is said must hold.

    Attributes
    ----------
    accession_number, study_uid : str
    states : tuple of str
        A series of it is in one of these.
    peer : str
        Name of a destination that has something of it, or AE title that sent something of it.
    since, until : float
        Something happened to it in between, Unix seconds.
    in_trouble : bool
        Something of it was refused, failed or did not arrive.
    """

    accession_number: str = ""
    study_uid: str = ""
    states: tuple[str, ...] = ()
    peer: str = ""
    since: float | None = None
    until: float | None = None
    in_trouble: bool = False


class Books:
    """Reads the ledger by study, and strikes studies out of it."""

    def __init__(self, database: Database) -> None:
        self._engine = database.engine

    def find(self, search: Search, most: int | None = None) -> list[Study]:
        """Studies that match, the last changed first; no more than `most`."""
        with self._engine.connect() as connection:
            keys = [key for key, _ in self._matching(connection, search)]
            return list(self._read(connection, keys if most is None else keys[:most]))

    def count(self, search: Search) -> int:
        """How many studies match."""
        with self._engine.connect() as connection:
            return len(self._matching(connection, search))

    def study_of(self, name: str) -> list[Study]:
        """The study with this UID, series, job or accession number; several only of the latter."""
        found: set[str] = set()
        if not name:
            return []
        with self._engine.connect() as connection:
            for table in (_jobs, _arrivals):
                known = [table.c[c] == name for c in ("study_uid", "series_uid", "accession_number")]
                known += [table.c.job == name] if table is _jobs else []
                found |= set(connection.scalars(sa.select(_key(table)).where(sa.or_(*known))))
            stones = sa.select(_tombstones.c.study_uid)
            said = sa.or_(_tombstones.c.study_uid == name, _tombstones.c.accession_number == name)
            found |= set(connection.scalars(stones.where(said)))
            return list(self._read(connection, sorted(found)))

    def series_uids(self) -> set[str]:
        """Every series that the ledger knows."""
        with self._engine.connect() as connection:
            return {uid for t in (_jobs, _arrivals) for uid in connection.scalars(sa.select(t.c.series_uid))}

    def strike_out(self, study: Study, what: str, why: str, *, stone: bool = True) -> None:
        """Delete every row of a study but for a tombstone, or that too; in one transaction."""
        with self._engine.begin() as connection:
            jobs = [job.job for job in study.jobs]
            for part in _parts(jobs):
                asked = sa.select(_deliveries.c.transaction_uid).where(_deliveries.c.job.in_(part))
                ours = sa.and_(_commitments.c.role == "scu", _commitments.c.transaction_uid.in_(asked))
                connection.execute(_commitments.delete().where(ours))
                for table in (_outbox, _deliveries, _holdings, _jobs):
                    connection.execute(table.delete().where(table.c.job.in_(part)))
            for part in _parts(list(study.series_uids)):
                connection.execute(_arrivals.delete().where(_arrivals.c.series_uid.in_(part)))
            same = _tombstones.c.study_uid == study.study_uid
            connection.execute(_tombstones.delete().where(same))
            if stone:
                row = Tombstone(study.study_uid, study.accession_number, time.time(), what, why)
                values = {name: getattr(row, name) for name in Tombstone.__slots__}
                connection.execute(_tombstones.insert().values(values))

    def crumble(self, before: float) -> None:
        """Delete tombstones, and commitments that are over, from before this time."""
        over = sa.and_(_commitments.c.state.in_(("answered", "failed")), _commitments.c.asked_at < before)
        with self._engine.begin() as connection:
            connection.execute(_tombstones.delete().where(_tombstones.c.deleted_at < before))
            connection.execute(_commitments.delete().where(over))

    def deliveries_of(self, jobs: Collection[str]) -> dict[str, list[Delivery]]:
        """What every peer said of the results of these jobs, by job."""
        with self._engine.connect() as connection:
            return _told(connection, jobs)

    def _matching(self, connection: sa.Connection, search: Search) -> list[tuple[str, float]]:
        """Keys of studies and when they last changed, the latest first."""
        of_series = self._studies_of_series(connection)
        changed: dict[str, float] = {}
        for found, at in self._changes(connection, search):
            key = of_series.get(found, found)
            changed[key] = max(at, changed.get(key, 0.0))
        wanted = set(changed)
        for narrow in self._narrower(search):
            found = {str(key) for query in narrow for key in connection.scalars(query)}
            wanted &= {of_series.get(key, key) for key in found}
        return sorted(((k, changed[k]) for k in wanted), key=lambda pair: -pair[1])

    def _changes(self, connection: sa.Connection, search: Search) -> Iterator[tuple[str, float]]:
        """Keys with a time of change within the dates sought."""
        for table, at in (
            (_jobs, _jobs.c.changed_at),
            (_arrivals, _arrivals.c.last_at),
            (_tombstones, _tombstones.c.deleted_at),
        ):
            key = _tombstones.c.study_uid if table is _tombstones else _key(table)
            query = sa.select(key, sa.func.max(at)).group_by(key)
            if search.since is not None:
                query = query.where(at >= search.since)
            if search.until is not None:
                query = query.where(at <= search.until)
            for found, changed in connection.execute(query):
                yield str(found), float(changed)

    def _narrower(self, search: Search) -> Iterator[Sequence[sa.Select[Any]]]:
        """For each further condition, the queries whose studies together fulfil it."""
        if search.accession_number:
            yield [
                sa.select(_tombstones.c.study_uid if table is _tombstones else _key(table)).where(
                    table.c.accession_number == search.accession_number
                )
                for table in (_jobs, _arrivals, _tombstones)
            ]
        if search.study_uid:
            yield [sa.select(sa.literal(search.study_uid))]
        if search.states:
            yield [sa.select(_key(_jobs)).where(_jobs.c.state.in_(search.states))]
        if search.peer:
            sent = sa.select(_deliveries.c.job).where(_deliveries.c.peer == search.peer)
            yield [
                sa.select(_key(_jobs)).where(
                    sa.or_(_jobs.c.calling_ae == search.peer, _jobs.c.job.in_(sent))
                ),
                sa.select(_key(_arrivals)).where(_arrivals.c.calling_ae == search.peer),
            ]
        if search.in_trouble:
            failed = sa.select(_deliveries.c.job).where(_deliveries.c.commitment == "failed")
            yield [
                sa.select(_key(_jobs)).where(
                    sa.or_(_jobs.c.state.in_(IN_TROUBLE), _jobs.c.job.in_(failed)),
                    _jobs.c.superseded_by == "",
                ),
                sa.select(_key(_arrivals)).where(_arrivals.c.refused > 0),
            ]

    def _studies_of_series(self, connection: sa.Connection) -> dict[str, str]:
        """The study of each series that another row, written without its headers, knows only by itself."""
        lonely = {
            series
            for table in (_jobs, _arrivals)
            for series in connection.scalars(sa.select(table.c.series_uid).where(table.c.study_uid == ""))
        }
        found: dict[str, str] = {}
        for part in _parts(sorted(lonely)):
            for table in (_jobs, _arrivals):
                query = sa.select(table.c.series_uid, table.c.study_uid).where(
                    table.c.series_uid.in_(part), table.c.study_uid != ""
                )
                found.update({series: study for series, study in connection.execute(query)})
        return found

    def _read(self, connection: sa.Connection, keys: Sequence[str]) -> Iterator[Study]:
        """Whole studies, in the order of the keys."""
        of_series = self._studies_of_series(connection)
        keys = list(dict.fromkeys(of_series.get(key, key) for key in keys))
        series_of = defaultdict(list)
        for series, study in of_series.items():
            series_of[study].append(series)
        for part in _parts(keys):
            lonely = [*part, *(series for key in part for series in series_of[key])]
            jobs: dict[str, list[Job]] = defaultdict(list)
            arrivals: dict[str, list[Arrival]] = defaultdict(list)
            rows: Any
            kind: Any
            for table, rows, kind, at in (
                (_jobs, jobs, Job, _jobs.c.received_at),
                (_arrivals, arrivals, Arrival, _arrivals.c.first_at),
            ):
                of = sa.or_(
                    table.c.study_uid.in_(part),
                    sa.and_(table.c.study_uid == "", table.c.series_uid.in_(lonely)),
                )
                for row in connection.execute(sa.select(table).where(of).order_by(at)):
                    one = kind(**row._mapping)
                    rows[one.study_uid or of_series.get(one.series_uid, one.series_uid)].append(one)
            deliveries = _told(connection, [job.job for of_study in jobs.values() for job in of_study])
            query = sa.select(_tombstones).where(_tombstones.c.study_uid.in_(part))
            stones = {row.study_uid: Tombstone(**row._mapping) for row in connection.execute(query)}
            for key in part:
                yield Study(
                    key,
                    tuple(jobs[key]),
                    tuple(arrivals[key]),
                    tuple(d for job in jobs[key] for d in deliveries[job.job]),
                    stones.get(key),
                )


def _told(connection: sa.Connection, jobs: Collection[str]) -> dict[str, list[Delivery]]:
    found: dict[str, list[Delivery]] = defaultdict(list)
    for part in _parts(jobs):
        query = sa.select(_deliveries).where(_deliveries.c.job.in_(part))
        for row in connection.execute(query.order_by(_deliveries.c.changed_at)):
            found[row.job].append(Delivery(**row._mapping))
    return found


def _key(table: sa.Table) -> sa.ColumnElement[str]:
    return sa.case((table.c.study_uid != "", table.c.study_uid), else_=table.c.series_uid)


def _parts(values: Collection[str]) -> Iterator[list[str]]:
    """The values, as many at a time as a statement takes."""
    everything = list(values)
    for start in range(0, len(everything), _AT_ONCE):
        yield everything[start : start + _AT_ONCE]
