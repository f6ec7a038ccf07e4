"""What the node does in its rounds costs the same after years as on its first day."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pydicom
import sqlalchemy as sa

from spine_node.config import Destination, Rule, Settings
from spine_node.housekeeping import DAY_S, ENGINE_KEEPS_S
from spine_node.inbox import Inbox
from spine_node.intake import Intake
from spine_node.ledger import Ledger, database_url
from spine_node.ledger.schema import jobs
from spine_node.node import Notices
from spine_node.workflows import Engine, Work, not_here
from tests.conftest import make_ct
from tests.steps import steps_of

YEARS = 20_000
"""Studies of two busy years."""

RUNS = int(YEARS / 730 * ENGINE_KEEPS_S / DAY_S)
"""Of those, how many the durable engine still knows: the others' runs are purged."""

OPEN = 40
"""Series that are incomplete and wait for their hour to end, on the first day as after years."""


def first_day(folder: Path) -> Path:
    """The storage folder of a node where some series wait, and nothing else has happened."""
    inbox = Inbox(folder / "inbox")
    image = pydicom.dcmread(make_ct(folder / "sent", slices=1)[0])
    image.NumberOfSeriesRelatedInstances = 400
    image.save_as(folder / "sent" / "first of 400")
    for n in range(OPEN):
        inbox.store(f"1.9.{n}", "1.9", "CT", [(folder / "sent" / "first of 400").read_bytes()])
        os.utime(inbox.root / "receiving" / f"1.9.{n}", (time.time() - 300,) * 2)
    Ledger(database_url(folder / "node.sqlite")).close()
    return folder


def grow_old(folder: Path) -> Path:
    """What years leave behind in a storage folder; the engine's part of it is in `engine_of`."""
    for n in range(2000):
        (folder / "inbox" / "done" / f"1.2.{n}").mkdir()
    long_ago = time.time() - 90 * DAY_S
    ledger = Ledger(database_url(folder / "node.sqlite"))
    with ledger.database.engine.begin() as connection:
        connection.execute(jobs.insert(), [row(n, long_ago) for n in range(YEARS)])
    ledger.close()
    return folder


def row(number: int, at: float) -> dict[str, object]:
    return {
        "job": f"{number:032x}", "series_uid": f"1.2.{number}", "study_uid": f"1.3.{number}",
        "instances": 400, "state": "refused" if number % 10 == 0 else "delivered", "reason": "because",
        "stage": "", "fraction": 1.0, "folder": "/done",
        "received_at": at + number, "changed_at": at + number,
    }  # fmt: skip


@contextmanager
def engine_of(folder: Path, runs: int) -> Iterator[Engine]:
    """The durable engine, with so many analyses that have ended."""
    work = Work(
        analyse=not_here, refuse=not_here, fail=not_here, notify=not_here, put_out=not_here, drain=not_here
    )
    engine = Engine(database_url(folder / "node.sqlite"), "test:nobody", work, ("nothing",))
    engine.start()
    engine.enqueue_analysis("one")
    with sa.create_engine(database_url(folder / "node.sqlite")).begin() as connection:
        columns = [c["name"] for c in sa.inspect(connection).get_columns("workflow_status")]
        values = ", ".join(
            {"workflow_uuid": "'analyse:' || n.value", "status": "'SUCCESS'"}.get(c, f's."{c}"')
            for c in columns
        )
        connection.execute(
            sa.text(
                "WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < :most) "
                f"INSERT INTO workflow_status SELECT {values} FROM workflow_status s, n "
                "WHERE s.workflow_uuid = 'analyse:one'"
            ),
            {"most": runs},
        )
    yield engine
    engine.stop(0)


def costs_of_a_round(folder: Path, runs: int) -> dict[str, int]:
    told = Destination("pacs", "PACS", "127.0.0.1", 104, notices=True)
    settings = Settings.model_validate({"storage": {"folder": str(folder)}})
    settings = settings.model_copy(update={"destinations": (told,), "rules": (Rule(name="everything"),)})
    inbox, ledger = Inbox(folder / "inbox"), Ledger(database_url(folder / "node.sqlite"))
    listening_since = time.monotonic() - 300
    intake = Intake(inbox, ledger, settings, lambda *_: "job", lambda _job: None, listening_since)
    notices = Notices(settings, ledger, lambda _job: None)
    with engine_of(folder, runs) as engine:
        costs = {
            "the inbox": steps_of(inbox.open_series),
            "the intake": steps_of(intake.look),
            "a start": steps_of(intake.resume),
            "notices": steps_of(notices.look),
            "lost jobs": steps_of(engine.lost_jobs),
            "drains that ended": steps_of(engine.forget_drains),
        }
    ledger.close()
    assert len(inbox.open_series()) == OPEN
    return costs


def test_a_round_costs_after_years_what_it_cost_on_the_first_day(tmp_path: Path) -> None:
    """Not one step more for each study there ever was: nothing lists them, and every query has its index."""
    young = costs_of_a_round(first_day(tmp_path / "young"), runs=1)
    old = costs_of_a_round(grow_old(first_day(tmp_path / "old")), RUNS)
    assert min(young.values()) > 100, "this counts something"
    assert {name: old[name] - young[name] for name in young if old[name] - young[name] >= YEARS} == {}


def test_a_series_that_waits_costs_a_round_the_same_however_many_images_it_has(tmp_path: Path) -> None:
    inbox = Inbox(first_day(tmp_path) / "inbox")
    few = steps_of(inbox.open_series)
    for folder in (inbox.root / "receiving").iterdir():
        for n in range(300):
            (folder / f"{n}.dcm").touch()
    assert steps_of(inbox.open_series) - few < 300
