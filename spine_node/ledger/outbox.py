"""What waits for each destination, in order, and which destinations are away.

A row is there as long as something of a job may still have to be sent to a peer: put in by the analysis,
taken out by the delivery. Who sends, when and what, is decided above; here is only what a kill leaves.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from spine_node.ledger.database import Database
from spine_node.ledger.schema import jobs as _jobs
from spine_node.ledger.schema import outbox as _outbox
from spine_node.ledger.schema import peers as _peers

_PAGE = 100  # rows in memory at once, however many wait


@dataclass(frozen=True, slots=True)
class Waiting:
    """A job whose results wait for a peer; times are Unix seconds.

    Attributes
    ----------
    sequence : int
        Its place in the line: the first analysed has the lowest.
    attempts : int
        How often the peer did not take some instance of it for the time being.
    due_at : float
        Not before; 0 for at once.
    overtaken : bool
        The peer has taken others while it did not take this: it is this job's trouble, not the peer's.
    """

    sequence: int
    job: str
    peer: str
    study_uid: str
    queued_at: float
    attempts: int
    due_at: float
    overtaken: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Away:
    """A peer that takes nothing now: how often in a row, since when, when it is called next, and why."""

    peer: str
    failures: int
    since: float
    due_at: float
    reason: str


class Outbox:
    """Reads and writes the outbox; every call is one short transaction."""

    def __init__(self, database: Database) -> None:
        self._engine = database.engine

    def put(self, job: str, peer: str, now: float | None = None) -> None:
        """Put a job at the end of a peer's line; one that waits already keeps its place."""
        study = sa.select(_jobs.c.study_uid).where(_jobs.c.job == job).scalar_subquery()
        values = {
            "job": job,
            "peer": peer,
            "study_uid": sa.func.coalesce(study, ""),
            "queued_at": time.time() if now is None else now,
            "attempts": 0,
            "due_at": 0.0,
            "overtaken": False,
        }
        try:
            with self._engine.begin() as connection:
                connection.execute(_outbox.insert().values(values))
        except sa.exc.IntegrityError:
            return

    def waiting(self, peer: str) -> Iterator[Waiting]:
        """What waits for a peer, the first in line first; in pages, so rows may come and go meanwhile."""
        last = -1
        while True:
            query = sa.select(_outbox).where(_outbox.c.peer == peer, _outbox.c.sequence > last)
            with self._engine.connect() as connection:
                rows = connection.execute(query.order_by(_outbox.c.sequence).limit(_PAGE)).all()
            for row in rows:
                yield Waiting(**row._mapping)
            if len(rows) < _PAGE:
                return
            last = rows[-1].sequence

    def waits(self, job: str) -> list[Waiting]:
        """The peers that a job waits for."""
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(_outbox).where(_outbox.c.job == job)).all()
        return [Waiting(**row._mapping) for row in rows]

    def counts(self) -> dict[str, int]:
        """How many jobs wait, by peer."""
        query = sa.select(_outbox.c.peer, sa.func.count()).group_by(_outbox.c.peer)
        with self._engine.connect() as connection:
            return {peer: count for peer, count in connection.execute(query)}

    def due(self, now: float) -> list[str]:
        """Peers that something waits for and that may be called now."""
        away = sa.select(_peers.c.peer).where(_peers.c.due_at > now)
        query = sa.select(_outbox.c.peer).where(_outbox.c.due_at <= now, _outbox.c.peer.not_in(away))
        with self._engine.connect() as connection:
            return list(connection.execute(query.distinct()).scalars())

    def postpone(
        self, waiting: Waiting, due_at: float, reason: str, *, overtaken: bool | None = None
    ) -> None:
        """It could not be sent now."""
        values: dict[str, Any] = {"attempts": waiting.attempts + 1, "due_at": due_at, "reason": reason}
        values["overtaken"] = waiting.overtaken if overtaken is None else overtaken
        with self._engine.begin() as connection:
            connection.execute(_outbox.update().where(_outbox.c.sequence == waiting.sequence).values(values))

    def overtake(self, sequences: Collection[int]) -> None:
        """The peer has taken what stood behind these."""
        with self._engine.begin() as connection:
            connection.execute(
                _outbox.update().where(_outbox.c.sequence.in_(sequences)).values(overtaken=True)
            )

    def hold(self, waiting: Waiting, due_at: float) -> None:
        """Not before something that it must not overtake."""
        with self._engine.begin() as connection:
            connection.execute(
                _outbox.update().where(_outbox.c.sequence == waiting.sequence).values(due_at=due_at)
            )

    def set_due(self, job: str, peer: str, now: float) -> None:
        """Send it now, as if just put in, with what it must not overtake."""
        study = sa.select(_outbox.c.study_uid).where(_outbox.c.job == job, _outbox.c.peer == peer)
        with self._engine.begin() as connection:
            connection.execute(
                _outbox.update()
                .where(_outbox.c.peer == peer, _outbox.c.study_uid.in_(study.scalar_subquery()))
                .values(due_at=0.0)
            )
            mine = sa.and_(_outbox.c.job == job, _outbox.c.peer == peer)
            connection.execute(_outbox.update().where(mine).values(queued_at=now))

    def remove(self, waiting: Waiting) -> None:
        """Nothing of it waits any more, unless somebody asked meanwhile that it be sent again."""
        mine = sa.and_(_outbox.c.sequence == waiting.sequence, _outbox.c.queued_at == waiting.queued_at)
        with self._engine.begin() as connection:
            connection.execute(_outbox.delete().where(mine))

    def due_by(self, latest: float) -> int:
        """Have nothing wait for longer than that, be it a job or a peer; how many did."""
        waited = 0
        with self._engine.begin() as connection:
            for table in (_outbox, _peers):
                late = table.update().where(table.c.due_at > latest).values(due_at=latest)
                waited += connection.execute(late).rowcount
        return waited

    def away(self) -> dict[str, Away]:
        """The peers that take nothing now."""
        with self._engine.connect() as connection:
            return {row.peer: Away(**row._mapping) for row in connection.execute(sa.select(_peers))}

    def set_away(self, away: Away) -> None:
        """The peer takes nothing now; what was postponed is due with it, to keep the order."""
        key = _peers.c.peer == away.peer
        values: dict[str, Any] = {
            "failures": away.failures,
            "since": away.since,
            "due_at": away.due_at,
            "reason": away.reason,
        }
        with self._engine.begin() as connection:
            if connection.execute(_peers.update().where(key).values(values)).rowcount == 0:
                connection.execute(_peers.insert().values(peer=away.peer, **values))
            connection.execute(
                _outbox.update()
                .where(_outbox.c.peer == away.peer, _outbox.c.due_at > away.due_at)
                .where(_outbox.c.overtaken.is_(False))
                .values(due_at=away.due_at)
            )

    def set_back(self, peer: str) -> None:
        """The peer takes something."""
        with self._engine.begin() as connection:
            connection.execute(_peers.delete().where(_peers.c.peer == peer))
