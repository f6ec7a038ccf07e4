"""Storage commitment that modalities ask us for: what was asked, what we promised, what was reported.

    open ──► asked ──► answered    reported to who asked
               └─────► failed      given up: it could not be reached

"asked" is decided: the promise stands from then on, whether it could be reported or not. The rows of role
"scu", where we ask destinations, are not read here.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from spine_node.ledger.database import Database
from spine_node.ledger.schema import commitments as _commitments

KEPT = 0
"""The result of a reference that we keep; other numbers are failure reasons."""

_THEIRS = _commitments.c.role == "scp"
_OPEN = ("open", "asked")


@dataclass(frozen=True, slots=True)
class Asked:
    """One question; times are Unix seconds.

    Attributes
    ----------
    calling_ae, address : str
        Who asked, from which IP address.
    references : tuple of (SOP class UID, SOP instance UID)
    results : mapping of SOP instance UID to int
        KEPT or a failure reason; empty until it is decided.
    attempts : int
        How often it could not be reported.
    """

    transaction_uid: str
    calling_ae: str
    address: str
    state: str
    attempts: int
    asked_at: float
    references: tuple[tuple[str, str], ...]
    results: Mapping[str, int]


class CommitmentRequests:
    """Reads and writes the questions of others; every call is one short transaction."""

    def __init__(self, database: Database) -> None:
        self._engine = database.engine

    def accept(
        self,
        transaction_uid: str,
        calling_ae: str,
        address: str,
        references: Sequence[tuple[str, str]],
        now: float,
        due_at: float,
    ) -> bool:
        """Take a question, to be reported on from `due_at` on; False when the UID is that of another one.

        The same question asked again is decided and reported again.
        """
        content = {"address": address, "references": [list(pair) for pair in references]}
        row = {
            "role": "scp",
            "peer": calling_ae,
            "state": "open",
            "attempts": 0,
            "due_at": due_at,
            "asked_at": now,
            "answered_at": None,
            "detail": "",
            "content": json.dumps(content),
        }
        mine = _commitments.c.transaction_uid == transaction_uid
        with self._engine.begin() as connection:
            known = connection.execute(sa.select(_commitments).where(mine)).one_or_none()
            if known is None:
                connection.execute(_commitments.insert().values(transaction_uid=transaction_uid, **row))
                return True
            if known.role != "scp" or known.peer != calling_ae:
                return False
            before = json.loads(known.content)
            if before["references"] != content["references"]:
                return False
            if known.state == "open":
                return True
            # what was promised is kept on the books until it is decided anew
            row["content"] = json.dumps(before | content)
            connection.execute(_commitments.update().where(mine).values(row))
        return True

    def waiting(self, calling_ae: str) -> int:
        """How many questions of a caller are not reported on."""
        query = sa.select(sa.func.count()).where(_THEIRS, _commitments.c.peer == calling_ae)
        with self._engine.connect() as connection:
            return int(connection.execute(query.where(_commitments.c.state.in_(_OPEN))).scalar_one())

    def due(self, now: float, limit: int = 100) -> list[Asked]:
        """What is to be reported now, the oldest first."""
        query = sa.select(_commitments).where(_THEIRS, _commitments.c.state.in_(_OPEN))
        query = query.where(_commitments.c.due_at <= now).order_by(_commitments.c.due_at).limit(limit)
        with self._engine.connect() as connection:
            return [_asked(row) for row in connection.execute(query)]

    def asked(self, transaction_uid: str) -> Asked | None:
        """One question of others."""
        query = sa.select(_commitments).where(_THEIRS, _commitments.c.transaction_uid == transaction_uid)
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        return _asked(row) if row else None

    def take(self, transaction_uid: str, due_at: float) -> bool:
        """Have nobody else report on it before `due_at`; False when it is over."""
        open_still = _THEIRS & (_commitments.c.transaction_uid == transaction_uid)
        update = _commitments.update().where(open_still, _commitments.c.state.in_(_OPEN))
        with self._engine.begin() as connection:
            return connection.execute(update.values(due_at=due_at)).rowcount == 1

    def decide(
        self, transaction_uid: str, results: Mapping[str, int], held: Collection[str], now: float
    ) -> None:
        """Stand by what is said of each instance.

        Parameters
        ----------
        results : mapping of SOP instance UID to int
            KEPT or a failure reason.
        held : collection of str
            Series in which instances are that we keep; jobs, of results of ours.
        """
        mine = _THEIRS & (_commitments.c.transaction_uid == transaction_uid)
        with self._engine.begin() as connection:
            row = connection.execute(sa.select(_commitments).where(mine)).one()
            content = json.loads(row.content)
            content |= {"results": dict(results), "held": sorted(held), "decided_at": now}
            values = {"state": "asked", "content": json.dumps(content)}
            connection.execute(_commitments.update().where(mine).values(values))

    def reported(self, transaction_uid: str, detail: str, now: float) -> None:
        """Who asked has taken the answer."""
        self._set(transaction_uid, state="answered", answered_at=now, detail=detail, due_at=0.0)

    def postpone(self, transaction_uid: str, due_at: float, detail: str, *, counted: bool = True) -> None:
        """It could not be reported, and is to be later."""
        attempts = _commitments.c.attempts + int(counted)
        self._set(transaction_uid, due_at=due_at, detail=detail, attempts=attempts)

    def give_up(self, transaction_uid: str, detail: str) -> None:
        """It is not reported any more; what was promised stands."""
        self._set(transaction_uid, state="failed", detail=detail, due_at=0.0)

    def promised(self) -> dict[str, float]:
        """Series and jobs of which a modality was told that we keep something, and when it was last."""
        query = sa.select(_commitments.c.content).where(_THEIRS)
        found: dict[str, float] = {}
        with self._engine.connect() as connection:
            for (text,) in connection.execute(query):
                content = json.loads(text)
                for name in content.get("held", ()):
                    found[name] = max(found.get(name, 0.0), content["decided_at"])
        return found

    def committed_to_modality(self, series_uid: str) -> float | None:
        """When a modality was last told that we keep something of this series; None if never."""
        return self.promised().get(series_uid)

    def _set(self, transaction_uid: str, **values: Any) -> None:
        mine = sa.and_(
            _THEIRS, _commitments.c.transaction_uid == transaction_uid, _commitments.c.state.in_(_OPEN)
        )
        with self._engine.begin() as connection:
            connection.execute(_commitments.update().where(mine).values(values))


def _asked(row: Any) -> Asked:
    content = json.loads(row.content)
    return Asked(
        row.transaction_uid, row.peer, content["address"], row.state, row.attempts, row.asked_at,
        tuple((c, u) for c, u in content["references"]), content.get("results", {}),
    )  # fmt: skip
