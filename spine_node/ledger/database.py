"""The database that the ledger shares with the durable engine: opened, and of the right schema."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa

from spine_node.durable import durable_folder
from spine_node.errors import LedgerRefused, Unavailable

VERSION_TABLE = "ledger_version"
"""Holds the name of the last migration; a database of release 0.2 has none."""

_MIGRATIONS = Path(__file__).with_name("migrations")
_FIRST = "0001"
_UPGRADING = 0x5350494E  # a number of ours for PostgreSQL's advisory lock


def database_url(path: Path) -> str:
    """The SQLAlchemy URL of an embedded database, after making it safe for several processes.

    WAL is a property of the file, so one connection sets it for every later one, the durable
    engine's too. SQLite's own default, synchronous=FULL, stays: a commit is on the disk.
    """
    durable_folder(path.parent)
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        connection.execute(sa.text("PRAGMA journal_mode=WAL"))
    engine.dispose()
    return f"sqlite:///{path}"


class Database:
    """An open database with the tables of this release.

    An older one is upgraded, in one transaction; several processes may try at once.

    Parameters
    ----------
    url : str
        SQLite (one machine) or PostgreSQL (several).

    Attributes
    ----------
    engine : sqlalchemy.Engine

    Raises
    ------
    LedgerRefused
        If a newer release has written it; nothing is changed.
    Unavailable
        If it cannot be reached, or does not let us in. The message has no password.
    """

    def __init__(self, url: str) -> None:
        # an error's text must not tell what was looked for: it may be a patient's ID
        self.engine = sa.create_engine(url, hide_parameters=True)
        if self.engine.dialect.name == "sqlite":
            sa.event.listen(self.engine, "connect", _wait_for_writers)
        if self._version() != _newest():
            self._upgrade(url)

    def close(self) -> None:
        """Let go of the database."""
        self.engine.dispose()

    def _version(self) -> str | None:
        try:
            with self.engine.connect() as connection:
                return _version_of(connection)
        except sa.exc.OperationalError as problem:
            where = self.engine.url.render_as_string(hide_password=True)
            raise Unavailable(f"the database {where} cannot be used: {problem.orig}") from problem

    def _upgrade(self, url: str) -> None:
        from alembic import command
        from alembic.config import Config

        # Its own engine: only here must SQLite's data definition be part of the transaction.
        engine = sa.create_engine(url, poolclass=sa.NullPool)
        if engine.dialect.name == "sqlite":
            sa.event.listen(engine, "connect", _leave_transactions_to_us)
            sa.event.listen(engine, "begin", lambda c: c.exec_driver_sql("BEGIN IMMEDIATE"))
        with engine.begin() as connection:
            if engine.dialect.name == "postgresql":
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_UPGRADING})")
            config = Config()
            config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
            config.attributes["connection"] = connection
            config.attributes["version_table"] = VERSION_TABLE
            found = _version_of(connection)
            if found is not None and found not in _known():
                raise LedgerRefused(
                    f"the ledger has schema version {found}, this release of Spine Node knows those up to "
                    f"{_newest()}: a newer release has worked with it. Nothing was changed. Start that one "
                    "again, or restore the database of this one from a backup."
                )
            if found is None and sa.inspect(connection).has_table("ledger_jobs"):
                command.stamp(config, _FIRST)
            command.upgrade(config, "head")
        engine.dispose()


def _version_of(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(sa.text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()


def _known() -> list[str]:
    """Versions of the schema, the oldest first: the files of `migrations/versions`, by their numbers."""
    return sorted(file.name[1:5] for file in (_MIGRATIONS / "versions").glob("v[0-9]*.py"))


def _newest() -> str:
    return _known()[-1]


def _wait_for_writers(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA busy_timeout=30000")


def _leave_transactions_to_us(connection: Any, record: Any) -> None:
    _wait_for_writers(connection, record)
    connection.isolation_level = None
