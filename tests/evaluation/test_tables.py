"""Tables, Markdown and CSV of an evaluation: each set by itself, the model beside floor and ceiling."""

import copy
import csv

import pytest
from rich.console import Console

from spine_node.evaluation.cases import Case, Scan
from spine_node.evaluation.markdown import markdown
from spine_node.evaluation.run import evaluate_sets
from spine_node.evaluation.tables import between, tables, write_csv
from spine_node.parameters.model import Measurements, Parameter
from tests.evaluation.test_run import Oracle
from tests.segmentation.toy_spine import toy_case


@pytest.fixture(scope="module")
def figures():
    volume, truth = toy_case(1)
    known = Measurements(
        "PATIENT", "", (Parameter("PI", 50.0, "deg", ""), Parameter("COBB", 30.0, "deg", "", apex="T8"))
    )
    sets = {
        name: [Case(name, f"{name}_1", lambda: Scan(volume, truth, {}, known))] for name in ("stress", "real")
    }
    return evaluate_sets(Oracle(truth), sets, device_words="a test")


def test_sets_are_never_in_one_table(figures):
    titles = " ".join(str(table.title) for table in tables(figures))
    assert titles.count("real: 1 scan") == titles.count("stress: 1 scan") == 1
    assert len(tables(figures)) == 10


def test_tables_show_model_floor_and_ceiling_side_by_side(figures):
    console = Console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    for table in tables(figures):
        console.print(table)
    text = console.export_text()
    text = text[text.index("Outlines") :]
    body = text[text.index("body") :].splitlines()
    assert [line.replace("│", " ").split()[0 if i else 1] for i, line in enumerate(body[:3])] == [
        "model", "floor", "ceiling",
    ]  # fmt: skip
    assert "100.0 %" in text


def test_a_card_says_what_its_figures_are_of(figures):
    text = markdown(figures)
    assert "### real: labelled scans: the labels are a reference, not the truth" in text
    assert "### stress" in text
    assert "| body | 1.00 |" in text
    assert "| Dice of bodies | 1.000 | - | at least 0.88 | met | 1 scan, 10 outlines |" in text
    assert "(3 mm)" in text
    widths = {line.count("|") for line in text.splitlines() if line.startswith(("| body", "| structure"))}
    assert len(widths) == 1
    assert "| COBB | 0/1 | - | - | - | - | deg |" in text


def test_an_error_of_some_says_of_how_many(figures):
    rows = copy.deepcopy(figures)
    floor = rows["sets"]["real"]["rows"]["floor"]["parameters"]["PI"]
    floor |= {"mae": 1.4, "measured": 1, "expected": 4}
    assert "| 1.4 (1/4) |" in markdown(rows)


def test_csv_has_a_line_for_every_structure_and_row(figures, tmp_path):
    outlines, levels, parameters = write_csv(figures, tmp_path)
    rows = list(csv.DictReader(outlines.open()))
    assert {row["row"] for row in rows} == {"model", "floor", "ceiling"}
    assert {row["set"] for row in rows} == {"stress", "real"}
    assert sum(1 for _ in levels.open()) == 1 + sum(
        len(c["identification"]["levels"]) for c in figures["cases"]
    )
    assert {row["key"] for row in csv.DictReader(parameters.open())} == {"PI", "COBB"}


def test_a_mean_is_written_with_its_interval_when_it_has_one():
    value = {"mean": 0.876, "low": 0.8, "high": 0.95, "scans": 4}
    assert between(value, bounds=True) == "0.876 [0.800, 0.950]"
    assert between(value, percent=True) == "87.6 %"
    assert between(value | {"low": None, "high": None}, bounds=True) == "0.876"
    assert between(None) == "-"
