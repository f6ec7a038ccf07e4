"""What each sender brought of each series: how much was kept, how much was refused, and why last.

Counted by the receiving processes, a while after the fact: what a killed process had not told yet is
missing here. What a series holds now is what lies in the inbox; this is who sent it, when, and what
was turned away.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from spine_node.ledger.database import Database
from spine_node.ledger.schema import arrivals as _arrivals

LONGEST_WORDS = 500
"""Characters of a reason that are kept: some of them come from the sender's own text."""

_LONGEST_NAME = 64


@dataclass(frozen=True, slots=True)
class Arrival:
    """What one sender brought of one series; times are Unix seconds, by this machine's clock."""

    series_uid: str
    calling_ae: str
    study_uid: str
    accession_number: str
    address: str
    stored: int
    refused: int
    last_reason: str
    first_at: float
    last_at: float


class Arrivals:
    """Reads and writes arrivals; every call is one short transaction, of any process."""

    def __init__(self, database: Database) -> None:
        self._engine = database.engine
        self._insert = postgresql.insert if self._engine.dialect.name == "postgresql" else sqlite.insert

    def record(
        self,
        series_uid: str,
        study_uid: str,
        accession_number: str,
        calling_ae: str,
        address: str,
        stored: int,
        refused: int,
        last_reason: str = "",
    ) -> None:
        """Add to what this sender brought of this series.

        Parameters
        ----------
        series_uid, study_uid, accession_number : str
            "" for what a refused data set did not tell. What is known already stays.
        stored, refused : int
            Instances since the last call, not in all. A re-sent instance counts again.
        last_reason : str
            Why the last of the refused was refused, in words.
        """
        now = time.time()
        new = self._insert(_arrivals).values(
            series_uid=series_uid[:_LONGEST_NAME],
            calling_ae=calling_ae[:_LONGEST_NAME],
            study_uid=study_uid[:_LONGEST_NAME],
            accession_number=accession_number[:_LONGEST_NAME],
            address=address[:_LONGEST_NAME],
            stored=stored,
            refused=refused,
            last_reason=last_reason[:LONGEST_WORDS],
            first_at=now,
            last_at=now,
        )

        def last_said(name: str) -> sa.ColumnElement[str]:
            said = new.excluded[name]
            return sa.case((said != "", said), else_=_arrivals.c[name])

        upsert = new.on_conflict_do_update(
            index_elements=[_arrivals.c.series_uid, _arrivals.c.calling_ae],
            set_={
                "stored": _arrivals.c.stored + new.excluded.stored,
                "refused": _arrivals.c.refused + new.excluded.refused,
                "last_at": new.excluded.last_at,
                **{
                    name: last_said(name)
                    for name in ("study_uid", "accession_number", "address", "last_reason")
                },
            },
        )
        with self._engine.begin() as connection:
            connection.execute(upsert)

    def of_series(self, series_uids: Collection[str]) -> list[Arrival]:
        """What came of these series, by time of the first instance."""
        query = sa.select(_arrivals).where(_arrivals.c.series_uid.in_(list(series_uids)))
        with self._engine.connect() as connection:
            return [
                Arrival(**row._mapping) for row in connection.execute(query.order_by(_arrivals.c.first_at))
            ]
