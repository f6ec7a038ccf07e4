"""The schema from release to release: nothing is lost on the way up, nothing is touched on the way down."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from spine_node.errors import LedgerRefused
from spine_node.ledger import Ledger, database_url
from spine_node.ledger.database import VERSION_TABLE, Database
from spine_node.ledger.schema import metadata

RELEASE_0_2 = """
CREATE TABLE ledger_jobs (
    job VARCHAR NOT NULL, series_uid VARCHAR NOT NULL, study_uid VARCHAR NOT NULL, instances INTEGER NOT NULL,
    state VARCHAR NOT NULL, reason VARCHAR NOT NULL, stage VARCHAR NOT NULL, fraction FLOAT NOT NULL,
    folder VARCHAR NOT NULL, received_at FLOAT NOT NULL, changed_at FLOAT NOT NULL, PRIMARY KEY (job));
CREATE INDEX ix_ledger_jobs_series_uid ON ledger_jobs (series_uid);
CREATE INDEX ix_ledger_jobs_study_uid ON ledger_jobs (study_uid);
CREATE TABLE ledger_deliveries (
    job VARCHAR NOT NULL, peer VARCHAR NOT NULL, sop_instance_uid VARCHAR NOT NULL, outcome VARCHAR NOT NULL,
    status INTEGER, detail VARCHAR NOT NULL, attempts INTEGER NOT NULL, changed_at FLOAT NOT NULL,
    PRIMARY KEY (job, peer, sop_instance_uid));
INSERT INTO ledger_jobs
    VALUES ('j1', '1.2.3', '1.2', 400, 'analysed', '', '', 1.0, '/in/done/1.2.3', 10.0, 20.0);
INSERT INTO ledger_deliveries VALUES ('j1', 'pacs', '1.2.9', 'stored', 0, '0x0000 success', 2, 30.0);
"""


@pytest.fixture
def of_release_0_2(tmp_path: Path) -> Path:
    path = tmp_path / "node.sqlite"
    with sqlite3.connect(path) as connection:
        connection.executescript(RELEASE_0_2)
    return path


def _differences(database: Database) -> list[object]:
    with database.engine.connect() as connection:
        options = {"version_table": VERSION_TABLE, "compare_type": True}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))


def test_the_migrations_lead_to_the_schema(tmp_path: Path, of_release_0_2: Path) -> None:
    """For a new database and for an old one; else queries and tables would drift apart."""
    for path in (tmp_path / "new.sqlite", of_release_0_2):
        assert _differences(Database(database_url(path))) == []


def test_an_upgrade_keeps_what_the_last_release_wrote(of_release_0_2: Path) -> None:
    ledger = Ledger(database_url(of_release_0_2))
    job = ledger.job("j1")
    (delivery,) = ledger.deliveries("j1")
    assert job is not None
    assert (job.state, job.instances, job.accession_number, job.superseded_by) == ("analysed", 400, "", "")
    assert (delivery.outcome, delivery.attempts, delivery.commitment, delivery.committed_at) == (
        "stored", 2, "", None,
    )  # fmt: skip


def test_a_downgrade_refuses_and_changes_nothing(tmp_path: Path) -> None:
    url = database_url(tmp_path / "node.sqlite")
    Ledger(url).close()
    with sqlite3.connect(tmp_path / "node.sqlite") as connection:
        connection.execute(f"UPDATE {VERSION_TABLE} SET version_num = '0977'")
        connection.execute("CREATE TABLE of_the_future (x INTEGER)")
    before = list(sqlite3.connect(tmp_path / "node.sqlite").iterdump())
    with pytest.raises(LedgerRefused, match=r"version 0977.*newer release.*Nothing was changed"):
        Ledger(url)
    assert list(sqlite3.connect(tmp_path / "node.sqlite").iterdump()) == before


def test_processes_that_start_together_upgrade_once(of_release_0_2: Path) -> None:
    """Receivers and worker open the database at the same time as the node."""
    code = f"from spine_node.ledger import Ledger; print(len(Ledger('sqlite:///{of_release_0_2}').jobs()))"
    started = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(4)]
    assert [process.communicate()[0].strip() for process in started] == [b"1"] * 4


def test_an_upgrade_that_is_killed_leaves_the_old_schema(
    of_release_0_2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One transaction: a table of the new release without its version would strand the next start."""
    from alembic import command

    upgrade = command.upgrade

    def killed(*arguments: object) -> None:
        upgrade(*arguments)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "upgrade", killed)
    with pytest.raises(KeyboardInterrupt):
        Database(f"sqlite:///{of_release_0_2}")
    with sqlite3.connect(of_release_0_2) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")}
    assert tables == {"ledger_jobs", "ledger_deliveries"}
    monkeypatch.undo()
    assert len(Ledger(f"sqlite:///{of_release_0_2}").jobs()) == 1


def test_the_database_is_the_durable_engines_too(tmp_path: Path) -> None:
    """Tables that are not ours are left alone."""
    url = database_url(tmp_path / "node.sqlite")
    with sa.create_engine(url).begin() as connection:
        connection.exec_driver_sql("CREATE TABLE workflow_status (id INTEGER)")
    Ledger(url)
    assert sa.inspect(sa.create_engine(url)).has_table("workflow_status")
