"""The ledger for people: what an operator types while somebody waits on the telephone."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from spine_node import cli
from spine_node.ledger.arrivals import Arrivals
from spine_node.ledger.outbox import Outbox
from tests.conftest import make_ct
from tests.small_node import Node, node_at


@dataclass
class Said:
    """What a command printed, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """Study 1 delivered, 2 undelivered, 3 refused, 4 turned away at the door, 5 arriving."""
    node = node_at(tmp_path / "spool")
    arrivals = Arrivals(node.ledger.database)
    node.delivered(1)
    node.analysed(2)
    node.ledger.record_delivery("job2", "pacs", "1.2.2.9", "refused", 0xA900, "does not match")
    node.ledger.set_state("job2", "undelivered", "pacs: sr-3d refused")
    node.refused(3)
    for number in (1, 2, 3, 5):
        arrivals.record(f"1.2.{number}.1", f"1.2.{number}", f"A{number}", "CT1", "10.0.0.7", 1, 0)
    arrivals.record("1.2.4.1", "1.2.4", "A4", "CT9", "10.0.0.9", 0, 7, "0xA700 out of resources")
    node.inbox.store("1.2.5.1", "1.2.5.1.1", "CT1", [b"x"])
    return node


@pytest.fixture
def run(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Said]:
    """`spine-node` with a config, in this process."""
    config = tmp_path / "node.toml"
    config.write_text(
        f'[storage]\nfolder = "{node.settings.storage.folder}"\n'
        '[[destinations]]\nname = "pacs"\nae_title = "PACS"\nhost = "192.0.2.10"\nport = 104\n'
    )

    def said(*words: str, config: Path = config) -> Said:
        monkeypatch.setattr(sys, "argv", ["spine-node", *words, "--config", str(config)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main()
        printed = capsys.readouterr()
        return Said(int(end.value.code or 0), printed.out, printed.err)

    return said


def test_the_list_has_a_line_for_each_study_the_last_changed_first(run: Callable[..., Said]) -> None:
    said = run("studies")
    assert said.status == 0
    for words in ("1.2.1", "undelivered", "refused", "turned away", "receiving", "A4"):
        assert words in said.out
    assert "Studies: 5" in said.err


def test_what_a_study_has_received_refused_and_sent(run: Callable[..., Said]) -> None:
    views = {view["accession_number"]: view for view in run("studies", "--json").json}
    assert {number: view["state"] for number, view in views.items()} == {
        "A1": "delivered", "A2": "undelivered", "A3": "refused", "A4": "turned away", "A5": "receiving",
    }  # fmt: skip
    assert (views["A1"]["received"], views["A4"]["received"], views["A4"]["refused"]) == (1, 0, 7)
    (sent,) = views["A2"]["sent"]
    assert (sent["peer"], sent["arrived"], sent["wanted"]) == ("pacs", 0, 1)
    assert views["A3"]["reason"] == "a slice is missing"
    assert views["A4"]["reason"] == "0xA700 out of resources"


def test_a_spreadsheet_gets_a_row_a_study_and_no_formula(run: Callable[..., Said], node: Node) -> None:
    Arrivals(node.ledger.database).record("1.2.6.1", "1.2.6", "=1+1", "CT1", "10.0.0.7", 1, 0)
    rows = list(csv.DictReader(io.StringIO(run("studies", "--csv").out)))
    assert len(rows) == 6
    assert next(row for row in rows if row["study_uid"] == "1.2.6")["accession_number"] == "'=1+1"
    assert next(row for row in rows if row["study_uid"] == "1.2.1")["sent"] == "pacs:1/1"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--failed"], {"A2", "A3", "A4"}),
        (["--accession", "A1"], {"A1"}),
        (["--state", "delivered", "--state", "refused"], {"A1", "A3"}),
        (["--peer", "pacs"], {"A1", "A2"}),
        (["--peer", "CT9"], {"A4"}),
        (["--since", "1h", "--failed", "--peer", "pacs"], {"A2"}),
        (["--until", "2020-01-01"], set()),
    ],
)
def test_the_list_is_narrowed_by(run: Callable[..., Said], words: list[str], expected: set[str]) -> None:
    assert {view["accession_number"] for view in run("studies", "--json", *words).json} == expected


@pytest.mark.parametrize(
    "words", [["--since", "yesterday"], ["--state", "lost"], ["--json", "--csv"], ["--most", "0"]]
)
def test_a_question_that_cannot_be_meant_is_not_answered(run: Callable[..., Said], words: list[str]) -> None:
    said = run("studies", *words)
    assert (said.status, said.out) == (1, "")


def test_more_than_fit_are_said_to_be_there(run: Callable[..., Said]) -> None:
    said = run("studies", "--most", "2")
    assert "Studies: 2, 5 match: --most 5 shows all" in said.err


def test_a_series_whose_arrival_nobody_told_is_listed_all_the_same(
    run: Callable[..., Said], node: Node, tmp_path: Path
) -> None:
    """A receiver that is killed has acknowledged what it had not counted yet."""
    import pydicom

    for path in make_ct(tmp_path / "ct"):
        ds = pydicom.dcmread(path)
        node.inbox.store(str(ds.SeriesInstanceUID), str(ds.SOPInstanceUID), "CT7", [path.read_bytes()])
    (view,) = run("studies", "--peer", "CT7", "--json").json
    assert (view["study_uid"], view["accession_number"]) == (str(ds.StudyInstanceUID), "A1")
    assert (view["state"], view["received"]) == ("receiving", 4)
    assert run("study", str(ds.SeriesInstanceUID), "--json").json["received"] == 4


def test_a_story_tells_what_happened_in_order_where_it_lies_and_what_can_be_done(
    run: Callable[..., Said],
) -> None:
    said = run("study", "A2")
    assert said.status == 0
    in_order = [
        "taken as complete: 1 instances",
        "pacs: instance 1.2.2.9 refused (0xA900 data set does not match SOP class; does not match)",
        "undelivered: pacs: sr-3d refused",
        "CT1 (10.0.0.7) has sent so far: 1 kept",
        "inbox/done/1.2.2.1",
        "spine-node retry 1.2.2 sends what did not arrive",
    ]
    places = [said.out.find(words) for words in in_order]
    assert -1 not in places
    assert places == sorted(places)


@pytest.mark.parametrize("name", ["1.2.3", "1.2.3.1", "A3", "job3"])
def test_a_study_may_be_called_by_any_of_its_names(run: Callable[..., Said], name: str) -> None:
    told = run("study", name, "--json").json
    assert (told["study_uid"], told["state"]) == ("1.2.3", "refused")
    assert [place["folder"].split("/")[-2] for place in told["places"]] == ["refused"]
    assert any("has it judged again" in step for step in told["next"])


@pytest.mark.parametrize("command", ["study", "retry", "forget"])
def test_an_unknown_name_is_refused(run: Callable[..., Said], command: str) -> None:
    said = run(command, "9.9.9")
    assert said.status == 3
    assert "no study, series, accession number or job 9.9.9" in said.err


def test_without_a_ledger_it_is_said_where_it_was_looked_for(
    run: Callable[..., Said], tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere.toml"
    elsewhere.write_text(f'[storage]\nfolder = "{tmp_path / "nowhere"}"\n')
    said = run("studies", config=elsewhere)
    assert said.status == 1
    assert f"no ledger at {tmp_path / 'nowhere' / 'node.sqlite'}" in said.err
    assert not (tmp_path / "nowhere").exists()


def test_a_refused_series_is_judged_again(run: Callable[..., Said], node: Node) -> None:
    """By the node, at its next look: it lies where arriving series do, and its job is open."""
    said = run("retry", "A3")
    assert (said.status, said.out) == (0, "series 1.2.3.1, refused before, is judged again by the node\n")
    job = node.ledger.job("job3")
    assert job is not None
    assert job.state == "received"
    assert set(node.inbox.folders("1.2.3.1")) == {"receiving"}
    again = run("retry", "A3")
    assert again.status == 3
    assert "is with the node already" in again.err


def test_what_did_not_arrive_waits_to_be_sent_again(run: Callable[..., Said], node: Node) -> None:
    objects = {"seg-binary": [{"file": "dicom/a.dcm", "sop_instance_uid": "1.2.2.9", "sop_class_uid": "1.8"}]}
    folder = node.settings.storage.results / "job2"
    (folder / "done.json").write_text(json.dumps({"study_uid": "1.2.2", "objects": objects}))
    said = run("retry", "A2", "--peer", "pacs")
    assert (said.status, said.out) == (0, "job job2: what did not arrive is sent again to pacs\n")
    job = node.ledger.job("job2")
    assert job is not None
    assert job.state == "analysed"
    (waiting,) = Outbox(node.ledger.database).waits("job2")
    assert (waiting.peer, waiting.study_uid) == ("pacs", "1.2.2")
    assert run("forget", "A2", "--yes").status == 0
    assert Outbox(node.ledger.database).waits("job2") == []


def test_a_destination_that_there_is_not_gets_nothing(run: Callable[..., Said]) -> None:
    said = run("retry", "A1", "--peer", "nobody")
    assert said.status == 3
    assert run("retry", "A1", "--peer", "pacs", "--analyse").status == 1


def test_a_notice_does_not_pass_for_results_when_a_series_is_judged_again(
    run: Callable[..., Said], node: Node
) -> None:
    folder = node.settings.storage.results / "job3"
    (folder / "dicom").mkdir(parents=True)
    notice = {"file": "dicom/notice.dcm", "sop_instance_uid": "1.9", "sop_class_uid": "1.8"}
    (folder / "done.json").write_text(json.dumps({"study_uid": "1.2.3", "objects": {"notice": [notice]}}))
    assert run("retry", "1.2.3").status == 0
    assert not folder.exists()


def test_a_series_that_is_gone_is_not_judged_again(run: Callable[..., Said], node: Node) -> None:
    node.inbox.forget("1.2.3.1")
    said = run("retry", "job3")
    assert said.status == 3
    assert "has to be sent again" in said.err
    job = node.ledger.job("job3")
    assert job is not None
    assert job.state == "refused"


def test_what_a_delivered_study_has_is_not_made_again(run: Callable[..., Said]) -> None:
    said = run("retry", "A1", "--analyse")
    assert said.status == 3
    assert "the same instances would give the same results" in said.err


def test_a_study_that_is_over_is_forgotten_but_for_a_line(run: Callable[..., Said], node: Node) -> None:
    said = run("forget", "A1")
    assert said.status == 0
    assert (node.received, node.results) == ({2, 3, 5}, {2})
    told = run("study", "A1", "--json").json
    assert told["state"] == "deleted"
    assert "by an operator: 1 series, 1 instances, delivered; results at pacs" in told["reason"]


def test_a_study_may_be_forgotten_without_a_trace(run: Callable[..., Said], node: Node) -> None:
    assert run("forget", "1.2.1", "--rows").status == 0
    assert run("study", "1.2.1").status == 3
    with sqlite3.connect(node.settings.storage.database) as connection:
        assert "1.2.1." not in "\n".join(connection.iterdump())


def test_a_study_that_somebody_waits_for_is_forgotten_only_by_saying_so(
    run: Callable[..., Said], node: Node
) -> None:
    for name, words in (("A2", "its results did not arrive"), ("A5", "series 1.2.5.1 is arriving")):
        said = run("forget", name)
        assert said.status == 3
        assert words in said.err
        assert "Nothing was deleted" in said.err
    assert node.received == {1, 2, 3, 5}
    assert run("forget", "A2", "--yes").status == 0
    assert node.received == {1, 3, 5}


def test_what_is_being_analysed_is_not_forgotten_at_all(run: Callable[..., Said], node: Node) -> None:
    node.series(7)
    said = run("forget", "1.2.7", "--yes")
    assert said.status == 3
    assert "is being analysed" in said.err
    assert 7 in node.received


def test_two_studies_of_one_accession_number_are_both_told_and_neither_is_forgotten(
    run: Callable[..., Said], node: Node
) -> None:
    Arrivals(node.ledger.database).record("1.2.8.1", "1.2.8", "A1", "CT1", "10.0.0.7", 1, 0)
    assert len(run("study", "A1", "--json").json) == 2
    said = run("forget", "A1", "--yes")
    assert said.status == 3
    assert "names 2 studies: " in said.err
    assert 1 in node.received
