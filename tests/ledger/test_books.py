"""The ledger by study: found by whatever a caller on the telephone can name, and struck out whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from spine_node.ledger import Ledger, database_url
from spine_node.ledger.arrivals import Arrivals
from spine_node.ledger.books import Books, Search
from spine_node.ledger.schema import jobs
from tests.steps import steps_of

S = "1.2.826.0.1."


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Study 1 delivered, 2 undelivered, 3 refused before its headers were read, 4 turned away at the door."""
    ledger = Ledger(database_url(tmp_path / "node.sqlite"))
    arrivals = Arrivals(ledger.database)
    arrivals.record(f"{S}1.1", f"{S}1", "A1", "CT1", "10.0.0.7", 400, 0)
    ledger.open_job("j1", f"{S}1.1", f"{S}1", 400, tmp_path, accession_number="A1", calling_ae="CT1")
    ledger.record_delivery("j1", "pacs", "1.9.1", "stored", 0)
    ledger.set_state("j1", "delivered")
    ledger.open_job("j2", f"{S}2.1", f"{S}2", 400, tmp_path, accession_number="A2", calling_ae="CT2")
    ledger.record_delivery("j2", "pacs", "2.9.1", "stored", 0)
    ledger.record_delivery("j2", "archive", "2.9.1", "refused", 0xA900)
    ledger.set_state("j2", "undelivered", "archive: sr-3d refused")
    arrivals.record(f"{S}3.1", f"{S}3", "A3", "CT1", "10.0.0.7", 12, 0)
    ledger.open_job("j3", f"{S}3.1", "", 12, tmp_path)
    ledger.set_state("j3", "refused", "no DICOM")
    arrivals.record(f"{S}4.1", f"{S}4", "A4", "CT9", "10.0.0.9", 0, 7, "0xA700 out of resources")
    return ledger


@pytest.fixture
def books(ledger: Ledger) -> Books:
    return Books(ledger.database)


def found(books: Books, **search: object) -> list[str]:
    return [study.study_uid.removeprefix(S) for study in books.find(Search(**search))]  # type: ignore[arg-type]


def test_every_study_is_there_once_the_latest_first(books: Books) -> None:
    assert found(books) == ["4", "3", "2", "1"]
    assert books.count(Search()) == 4
    assert [s.study_uid for s in books.find(Search(), most=1)] == [f"{S}4"]


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ({"accession_number": "A2"}, ["2"]),
        ({"study_uid": f"{S}3"}, ["3"]),
        ({"states": ("refused", "delivered")}, ["3", "1"]),
        ({"peer": "archive"}, ["2"]),
        ({"peer": "CT1"}, ["3", "1"]),
        ({"peer": "CT9"}, ["4"]),
        ({"in_trouble": True}, ["4", "3", "2"]),
        ({"in_trouble": True, "peer": "pacs"}, ["2"]),
        ({"since": 9e9}, []),
        ({"until": 1e9}, []),
        ({"accession_number": "nobody's"}, []),
    ],
)
def test_a_study_is_found_by(books: Books, search: dict[str, object], expected: list[str]) -> None:
    assert found(books, **search) == expected


@pytest.mark.parametrize("name", [f"{S}3", f"{S}3.1", "A3", "j3"])
def test_a_study_has_four_names(books: Books, name: str) -> None:
    (study,) = books.study_of(name)
    assert study.study_uid == f"{S}3"
    assert [job.job for job in study.jobs] == ["j3"]
    assert study.accession_number == "A3"


def test_nobody_is_found_by_nothing(books: Books) -> None:
    assert books.study_of("") == []
    assert books.study_of("1.2.3") == []


def test_a_study_has_its_rows_and_no_others(books: Books) -> None:
    (study,) = books.study_of("A2")
    assert {(d.job, d.peer) for d in study.deliveries} == {("j2", "pacs"), ("j2", "archive")}
    assert study.series_uids == (f"{S}2.1",)
    assert study.arrivals == ()


def test_struck_out_leaves_a_stone_and_no_row(books: Books, ledger: Ledger) -> None:
    (study,) = books.study_of("A2")
    books.strike_out(study, "1 series, 400 instances", "by an operator")
    (left,) = books.study_of("A2")
    assert (left.jobs, left.arrivals, left.deliveries) == ((), (), ())
    assert left.tombstone is not None
    assert (left.tombstone.what, left.tombstone.why) == ("1 series, 400 instances", "by an operator")
    assert ledger.deliveries("j2") == []
    assert found(books) == ["2", "4", "3", "1"]


def test_struck_out_with_its_stone_nothing_is_left(books: Books) -> None:
    for stone in (True, False):
        (study,) = books.study_of(f"{S}3")
        books.strike_out(study, "", "", stone=stone)
    assert books.study_of(f"{S}3") == []
    assert found(books) == ["4", "2", "1"]


def test_each_of_thousands_of_studies_is_listed_at_the_cost_of_one(ledger: Ledger, books: Books) -> None:
    """Ten times the studies are ten times the work, not a hundred times."""
    row = ledger.job("j1")
    assert row is not None
    values = {name: getattr(row, name) for name in row.__slots__}
    costs = []
    for new, listed in ((range(500), 100), (range(500, 5000), 1000)):
        many = [{**values, "job": f"m{n}", "study_uid": f"9.{n}", "series_uid": f"9.{n}.1"} for n in new]
        with ledger.database.engine.begin() as connection:
            connection.execute(jobs.insert(), many)
        assert len(books.find(Search(), most=listed)) == listed
        costs.append(steps_of(lambda listed=listed: books.find(Search(), most=listed)))
    assert costs[1] < 20 * costs[0], costs
