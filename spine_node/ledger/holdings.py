"""Our own result instances, as Query/Retrieve finds them. Rebuilt from the results folders at any time."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass

import sqlalchemy as sa

from spine_node.ledger.database import Database
from spine_node.ledger.schema import holdings as _holdings
from spine_node.ledger.schema import jobs as _jobs

_AT_ONCE = 500  # values in one question: SQLite takes some thousand variables


@dataclass(frozen=True, slots=True)
class Holding:
    """One instance, without its header.

    Attributes
    ----------
    job, product : str
        Which analysis made it, and the form of which result it is.
    path : str
        Relative to the results folder.
    study_date : str
        YYYYMMDD, or "" where the header tells none.
    made_at : float
        Unix seconds.
    """

    sop_instance_uid: str
    job: str
    product: str
    sop_class_uid: str
    transfer_syntax_uid: str
    patient_id: str
    study_uid: str
    series_uid: str
    accession_number: str
    study_date: str
    modality: str
    path: str
    made_at: float


_ROW = tuple(column for column in _holdings.c if column.name != "header")


class Holdings:
    """Reads and writes the index; every call is one short transaction."""

    def __init__(self, database: Database) -> None:
        self._engine = database.engine

    def put(self, job: str, instances: Sequence[tuple[Holding, str]]) -> None:
        """Enter the instances of a job, each with its header, in the place of those entered before."""
        rows = [asdict(holding) | {"header": header} for holding, header in instances]
        uids = [row["sop_instance_uid"] for row in rows]
        with self._engine.begin() as connection:
            connection.execute(_holdings.delete().where(_holdings.c.job == job))
            for some in _parts(uids):
                # a result that another release or job of the same content made has the same UID and bytes
                connection.execute(_holdings.delete().where(_holdings.c.sop_instance_uid.in_(some)))
            if rows:
                connection.execute(_holdings.insert(), rows)

    def remove(self, job: str) -> None:
        """The results of a job are gone: nobody finds them any more."""
        with self._engine.begin() as connection:
            connection.execute(_holdings.delete().where(_holdings.c.job == job))

    def jobs(self) -> set[str]:
        """Jobs with instances in the index."""
        with self._engine.connect() as connection:
            return set(connection.execute(sa.select(_holdings.c.job).distinct()).scalars())

    def select(
        self,
        *,
        patient_ids: Sequence[str] = (),
        study_uids: Sequence[str] = (),
        series_uids: Sequence[str] = (),
        sop_instance_uids: Sequence[str] = (),
        accession_numbers: Sequence[str] = (),
        first_date: str = "",
        last_date: str = "",
    ) -> list[Holding]:
        """Instances of results that no other ones have taken the place of; () and "" are any.

        Parameters
        ----------
        first_date, last_date : str
            Of the study, YYYYMMDD, both included.
        """
        live = _holdings.outerjoin(_jobs, _jobs.c.job == _holdings.c.job)
        query = sa.select(*_ROW).select_from(live)
        query = query.where(sa.func.coalesce(_jobs.c.superseded_by, "") == "")
        if first_date:
            query = query.where(_holdings.c.study_date >= first_date)
        if last_date:
            query = query.where(_holdings.c.study_date <= last_date, _holdings.c.study_date != "")
        lists = {
            _holdings.c.sop_instance_uid: sop_instance_uids,
            _holdings.c.series_uid: series_uids,
            _holdings.c.study_uid: study_uids,
            _holdings.c.accession_number: accession_numbers,
            _holdings.c.patient_id: patient_ids,
        }
        given = {column: values for column, values in lists.items() if values}
        if not given:
            return list(self._rows(query))
        # the longest list in parts; the others whole, if they are short enough, or looked through here
        longest = max(given, key=lambda column: len(given[column]))
        for column, values in given.items():
            if column is not longest and len(values) <= _AT_ONCE:
                query = query.where(column.in_(values))
        rows = [row for some in _parts(given[longest]) for row in self._rows(query.where(longest.in_(some)))]
        sets = {c.name: set(v) for c, v in given.items() if c is not longest and len(v) > _AT_ONCE}
        return [row for row in rows if all(getattr(row, name) in values for name, values in sets.items())]

    def headers(self, sop_instance_uids: Collection[str]) -> dict[str, str]:
        """Headers as they were entered, by SOP Instance UID."""
        query = sa.select(_holdings.c.sop_instance_uid, _holdings.c.header)
        found: dict[str, str] = {}
        with self._engine.connect() as connection:
            for some in _parts(list(sop_instance_uids)):
                rows = connection.execute(query.where(_holdings.c.sop_instance_uid.in_(some)))
                found.update((uid, header) for uid, header in rows)
        return found

    def kept(self, sop_instance_uids: Collection[str]) -> dict[str, Holding]:
        """Those of these instances that are there, also where others have taken their place."""
        found: dict[str, Holding] = {}
        for some in _parts(list(sop_instance_uids)):
            rows = self._rows(sa.select(*_ROW).where(_holdings.c.sop_instance_uid.in_(some)))
            found.update((row.sop_instance_uid, row) for row in rows)
        return found

    def _rows(self, query: sa.Select[tuple[object, ...]]) -> Iterator[Holding]:
        with self._engine.connect() as connection:
            for row in connection.execute(query):
                yield Holding(**row._mapping)


def _parts(values: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(values), _AT_ONCE):
        yield values[start : start + _AT_ONCE]
