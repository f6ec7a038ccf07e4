"""Storage commitment that we ask destinations for: what was asked, what was answered.

    open ──► asked ──► answered     all committed
      ▲        │  └──► failed       answered, not all committed; or given up
      └────────┘ no answer in time: a new transaction

A transaction's UID is unique to one question (PS3.4 J.3.2); the answer to an older question is proof as
well. The rows of role "scp", where modalities ask us, are not read here.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from spine_node.ledger.database import Database
from spine_node.ledger.schema import commitments as _commitments
from spine_node.ledger.schema import deliveries as _deliveries

COMMITTED = 0
"""The result of a reference that the peer keeps; other numbers are its failure reasons, None is silence."""

_OURS = _commitments.c.role == "scu"


@dataclass(frozen=True, slots=True)
class Transaction:
    """One question to one peer about instances of one job; times are Unix seconds.

    Attributes
    ----------
    peer : str
        Name of the destination.
    state : str
        "open": to be asked at `due_at`; "asked": answered, we hope, before `due_at`; "answered" or "failed":
        over, to be followed up while `due_at` is not 0.
    attempts : int
        How often these references were asked for before.
    references : tuple of (SOP class UID, SOP instance UID)
    results : mapping of SOP instance UID to int or None
        COMMITTED, the peer's failure reason, or None where the answer does not mention the instance.
    resends : int
        How often an instance of it was sent again because the peer did not have it.
    first_at : float
        When these references were first to be asked for.
    """

    transaction_uid: str
    peer: str
    state: str
    attempts: int
    due_at: float
    asked_at: float
    answered_at: float | None
    detail: str
    job: str
    references: tuple[tuple[str, str], ...]
    results: Mapping[str, int | None]
    resends: int
    first_at: float

    @property
    def failed(self) -> dict[str, int | None]:
        """The instances that are not committed, and why."""
        return {uid: reason for uid, reason in self.results.items() if reason != COMMITTED}


class Commitments:
    """Reads and writes our questions; every call is one short transaction."""

    def __init__(self, database: Database) -> None:
        self._engine = database.engine

    def open(
        self, transaction_uid: str, job: str, peer: str, references: Sequence[tuple[str, str]], now: float
    ) -> None:
        """Have the peer asked about these instances of a job, which it has stored."""
        uids = [uid for _, uid in references]
        of_them = _instances(job, peer, uids)
        with self._engine.begin() as connection:
            last = connection.execute(sa.select(_deliveries.c.transaction_uid).where(of_them)).scalars()
            earlier = [_load(connection, uid) for uid in {uid for uid in last if uid}]
            resends = max((t.resends + 1 for t in earlier if t is not None), default=0)
            first_at = min((t.first_at for t in earlier if t is not None), default=now)
            made = Transaction(
                transaction_uid, peer, "open", 0, now, 0.0, None, "", job, tuple(references), {}, resends,
                first_at,
            )  # fmt: skip
            _insert(connection, made)

    def due(self, peer: str, now: float, limit: int = 50) -> list[Transaction]:
        """What the peer is to be asked now, the oldest first."""
        query = sa.select(_commitments).where(_OURS, _commitments.c.peer == peer)
        query = query.where(_commitments.c.state == "open", _commitments.c.due_at <= now)
        return self._read(query.order_by(_commitments.c.due_at).limit(limit))

    def due_by(self, latest: float) -> int:
        """Have no question wait for longer than that, to be asked or to be answered; how many did."""
        waits = sa.and_(_OURS, _commitments.c.state.in_(("open", "asked")), _commitments.c.due_at > latest)
        with self._engine.begin() as connection:
            return connection.execute(_commitments.update().where(waits).values(due_at=latest)).rowcount

    def due_peers(self, now: float) -> list[str]:
        """Peers that are to be asked something now."""
        query = sa.select(_commitments.c.peer).where(_OURS)
        query = query.where(_commitments.c.state == "open", _commitments.c.due_at <= now)
        with self._engine.connect() as connection:
            return list(connection.execute(query.distinct()).scalars())

    def overdue(self, now: float) -> list[Transaction]:
        """What was asked and not answered in time."""
        query = sa.select(_commitments).where(_OURS, _commitments.c.state == "asked")
        return self._read(query.where(_commitments.c.due_at <= now))

    def refused(self) -> list[Transaction]:
        """What was answered with failures that were not followed up yet."""
        query = sa.select(_commitments).where(_OURS, _commitments.c.state == "failed")
        return self._read(query.where(_commitments.c.due_at > 0))

    def transaction(self, transaction_uid: str) -> Transaction | None:
        """One of our questions."""
        with self._engine.connect() as connection:
            return _load(connection, transaction_uid)

    def uncommitted(self, transaction: Transaction) -> tuple[tuple[str, str], ...]:
        """Those of its references that no answer to any question has committed."""
        uids = [uid for _, uid in transaction.references]
        of_them = _instances(transaction.job, transaction.peer, uids)
        query = sa.select(_deliveries.c.sop_instance_uid).where(
            of_them, _deliveries.c.commitment == "committed"
        )
        with self._engine.connect() as connection:
            done = set(connection.execute(query).scalars())
        return tuple(ref for ref in transaction.references if ref[1] not in done)

    def asking(self, transaction_uid: str, now: float, answer_by: float) -> None:
        """The question goes out: written before, as the answer may overtake the peer's word that it came."""
        mine = sa.and_(_commitments.c.transaction_uid == transaction_uid, _commitments.c.state == "open")
        with self._engine.begin() as connection:
            connection.execute(
                _commitments.update().where(mine).values(state="asked", asked_at=now, due_at=answer_by)
            )

    def postpone(self, transaction: Transaction, due_at: float, detail: str, *, counted: bool = True) -> None:
        """The peer did not take the question; if it was answered all the same, nothing changes."""
        mine = sa.and_(
            _commitments.c.transaction_uid == transaction.transaction_uid,
            _commitments.c.state.in_(("open", "asked")),
        )
        attempts = transaction.attempts + int(counted)
        values = {"state": "open", "due_at": due_at, "detail": detail, "attempts": attempts}
        with self._engine.begin() as connection:
            connection.execute(_commitments.update().where(mine).values(values))

    def again(
        self, transaction: Transaction, new_uid: str, uids: Collection[str], due_at: float, detail: str
    ) -> None:
        """Ask anew about these instances; the old question is over, unless its answer comes yet."""
        references = tuple(ref for ref in transaction.references if ref[1] in uids)
        with self._engine.begin() as connection:
            made = replace(
                transaction, transaction_uid=new_uid, state="open", attempts=transaction.attempts + 1,
                due_at=due_at, asked_at=0.0, answered_at=None, detail=detail, references=references,
                results={},
            )  # fmt: skip
            _close(connection, transaction.transaction_uid, "failed", f"{detail}; asked again as {new_uid}")
            _insert(connection, made)

    def close(self, transaction: Transaction, state: str, detail: str) -> None:
        """Nothing more is done about this question."""
        with self._engine.begin() as connection:
            _close(connection, transaction.transaction_uid, state, detail)

    def answer(
        self,
        transaction_uid: str,
        committed: Iterable[str],
        failed: Mapping[str, int | None],
        sender: str,
        now: float | None = None,
    ) -> bool:
        """Write what a peer answered; False when we asked nothing under this UID.

        Instances that it was not asked about are passed over; those that it does not mention count as
        failed, for no reason. An answer given twice changes nothing.
        """
        now = time.time() if now is None else now
        with self._engine.begin() as connection:
            asked = _load(connection, transaction_uid)
            if asked is None:
                return False
            if asked.state == "answered" or asked.answered_at is not None:
                return True
            kept = set(committed) - set(failed)
            results = {uid: COMMITTED if uid in kept else failed.get(uid) for _, uid in asked.references}
            missed = {uid for uid, reason in results.items() if reason != COMMITTED}
            was_over = (
                asked.state == "failed"
            )  # a late answer: what it does not commit was asked again already
            values = {
                "state": "failed" if missed else "answered",
                "due_at": now if missed and not was_over else 0.0,
                "answered_at": now,
                "detail": f"answered by {sender}",
                "content": _content(replace(asked, results=results)),
            }
            mine = _commitments.c.transaction_uid == transaction_uid
            connection.execute(_commitments.update().where(mine).values(values))
            _mark(connection, asked, set(results) - missed, "committed", now)
            if not was_over:
                _mark(connection, asked, missed, "failed", None)
        return True

    def send_again(self, transaction: Transaction, uids: Collection[str], detail: str) -> None:
        """Take back that the peer has these instances."""
        with self._engine.begin() as connection:
            connection.execute(
                _deliveries.update()
                .where(_instances(transaction.job, transaction.peer, uids))
                .values(outcome="lost", detail=detail, commitment="", changed_at=time.time())
            )

    def start_over(self, job: str, peer: str) -> list[str]:
        """Forget what the peer denied of a job, which is then sent again, and what it never answered for,
        which is then asked for again; gives those instances."""
        mine = sa.and_(_deliveries.c.job == job, _deliveries.c.peer == peer)
        given_up = sa.select(_commitments.c.transaction_uid).where(_OURS, _commitments.c.state == "failed")
        denied = sa.and_(mine, _deliveries.c.commitment == "failed")
        unanswered = sa.and_(
            mine, _deliveries.c.commitment == "asked", _deliveries.c.transaction_uid.in_(given_up)
        )
        anew = {"commitment": "", "transaction_uid": ""}
        with self._engine.begin() as connection:
            which = sa.select(_deliveries.c.sop_instance_uid).where(sa.or_(denied, unanswered))
            found = list(connection.execute(which).scalars())
            connection.execute(_deliveries.update().where(unanswered).values(anew))
            connection.execute(_deliveries.update().where(denied).values(outcome="lost", **anew))
        return found

    def _read(self, query: sa.Select[Any]) -> list[Transaction]:
        with self._engine.connect() as connection:
            return [_transaction(row) for row in connection.execute(query)]


def _instances(job: str, peer: str, uids: Collection[str]) -> sa.ColumnElement[bool]:
    return sa.and_(
        _deliveries.c.job == job, _deliveries.c.peer == peer, _deliveries.c.sop_instance_uid.in_(uids)
    )


def _mark(
    connection: sa.Connection, asked: Transaction, uids: Collection[str], commitment: str, at: float | None
) -> None:
    rows = sa.and_(_instances(asked.job, asked.peer, uids), _deliveries.c.commitment != "committed")
    connection.execute(_deliveries.update().where(rows).values(commitment=commitment, committed_at=at))


def _insert(connection: sa.Connection, made: Transaction) -> None:
    connection.execute(
        _commitments.insert().values(
            transaction_uid=made.transaction_uid,
            role="scu",
            peer=made.peer,
            state=made.state,
            attempts=made.attempts,
            due_at=made.due_at,
            asked_at=made.asked_at,
            detail=made.detail,
            content=_content(made),
        )
    )
    uids = [uid for _, uid in made.references]
    rows = sa.and_(_instances(made.job, made.peer, uids), _deliveries.c.commitment != "committed")
    values = {"commitment": "asked", "transaction_uid": made.transaction_uid, "committed_at": None}
    connection.execute(_deliveries.update().where(rows).values(values))


def _close(connection: sa.Connection, transaction_uid: str, state: str, detail: str) -> None:
    mine = _commitments.c.transaction_uid == transaction_uid
    values = {"state": state, "due_at": 0.0, "detail": detail}
    connection.execute(_commitments.update().where(mine).values(values))


def _load(connection: sa.Connection, transaction_uid: str) -> Transaction | None:
    query = sa.select(_commitments).where(_OURS, _commitments.c.transaction_uid == transaction_uid)
    row = connection.execute(query).one_or_none()
    return _transaction(row) if row else None


def _content(made: Transaction) -> str:
    return json.dumps(
        {
            "job": made.job,
            "references": [list(reference) for reference in made.references],
            "results": dict(made.results),
            "resends": made.resends,
            "first_at": made.first_at,
        }
    )


def _transaction(row: Any) -> Transaction:
    content = json.loads(row.content)
    return Transaction(
        row.transaction_uid, row.peer, row.state, row.attempts, row.due_at, row.asked_at, row.answered_at,
        row.detail, content["job"], tuple((c, u) for c, u in content["references"]), content["results"],
        content["resends"], content["first_at"],
    )  # fmt: skip
