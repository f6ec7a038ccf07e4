"""What was measured is what `spine-node report` prints, in each of its forms."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from spine_node.dicom.code_overrides import load_overrides
from spine_node.dicom.series import read_series
from spine_node.parameters.measure import measure
from spine_node.parameters.model import Measurements, NotMeasured, Parameter
from spine_node.reports.csv_rows import COLUMNS, csv_text
from spine_node.reports.json_objects import json_text
from spine_node.reports.report import Report, report_of
from spine_node.reports.table import print_table
from tests.anatomy.voxel_spine import LEVELS, voxel_spine
from tests.dicom.small_reports import report, stored
from tests.dicom.small_series import grid_of, write_series
from tests.dicom.test_sr_panel import anything, every_row
from tests.reports.kept import PI_ALONE, keep, ours, whole_panel


def in_a_shell(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "spine_node", "report", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module")
def phantom() -> Measurements:
    """A spine from T10 to the femoral heads, really measured."""
    from spine_node.anatomy.locate import locate
    from spine_node.anatomy.vertical import vertical_told

    return measure(
        locate(voxel_spine(LEVELS[-8:], dish_mm=1.0).label_map(3.0), vertical_told("standing")), 61.0
    )


@pytest.fixture(scope="module")
def panel() -> Report:
    return whole_panel()


def test_a_measured_phantom_comes_back_as_its_measurements_json(
    phantom: Measurements, tmp_path: Path
) -> None:
    """Through a file and a shell, as a hospital would: every number, class, reason and remark."""
    assert len(phantom.parameters) > 200
    assert phantom.classes
    assert phantom.not_measured
    path = keep(ours(phantom), tmp_path / "sr.dcm")
    done = in_a_shell(path, "--json")
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)
    assert found["measurements"] == json.loads(phantom.to_json())
    assert found["study"] == {
        "study_instance_uid": "2.25.101",
        "date": "20260102",
        "time": "101112",
        "accession": "A1",
        "patient_id": "T1",
        "issuer_of_patient_id": "",
    }
    assert found["source_series"] == ["2.25.102"]
    assert found["made_by"]["software"] == "9.9"
    assert (found["report"]["preliminary"], found["report"]["verified"]) == (True, False)
    assert "Test^Series" not in done.stdout + done.stderr


def test_a_report_in_a_hospitals_own_codes_comes_back_with_the_same_file(tmp_path: Path) -> None:
    codes = tmp_path / "codes.toml"
    codes.write_text('[codes]\nPI = { value = "HIP-1", scheme = "99HOSPITAL", meaning = "Incidence" }\n')
    write_series(tmp_path / "ct", grid_of())
    document = report(read_series(tmp_path / "ct"), PI_ALONE, overrides=load_overrides(codes))
    path = keep(document, tmp_path / "sr.dcm")
    keys = []
    for options in ((), ("--codes", codes)):
        done = in_a_shell(path, "--json", *options)
        assert done.returncode == 0, done.stderr
        (found,) = json.loads(done.stdout)
        keys.append([p["key"] for p in found["measurements"]["parameters"]])
    assert keys[1] == ["PI"]
    assert keys[0] != ["PI"]


@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(measurements=anything())
def test_whatever_was_measured_is_in_the_json(measurements: Measurements) -> None:
    (found,) = json.loads(json_text([report_of(stored(ours(measurements)))]))
    assert found["measurements"] == json.loads(measurements.to_json())


def test_the_csv_has_a_row_for_each_thing_and_loses_no_digit(panel: Report) -> None:
    rows = list(csv.DictReader(io.StringIO(csv_text([panel]))))
    assert tuple(rows[0]) == COLUMNS
    expected = every_row().to_dict()
    by_kind = {kind: [row for row in rows if row["kind"] == kind] for kind in
               ("parameter", "class", "not_measured", "quality")}  # fmt: skip
    assert len(rows) == sum(map(len, by_kind.values()))
    assert [_number(row) for row in by_kind["parameter"]] == expected["parameters"]
    assert [(r["key"], r["value"], r["level"], r["upper"], r["lower"]) for r in by_kind["class"]] == [
        (c["key"], c["value"], *(c.get(place, "") for place in ("level", "upper", "lower")))
        for c in expected["classes"]
    ]
    assert [(row["key"], row["remark"]) for row in by_kind["not_measured"]] == [
        (n["key"], n["reason"]) for n in expected["not_measured"]
    ]
    assert [row["remark"] for row in by_kind["quality"]] == expected["quality"]
    assert {(r["study_uid"], r["study_date"], r["patient_id"], r["accession"], r["frame"]) for r in rows} == {
        ("2.25.101", "20260102", "T1", "A1", "PATIENT")
    }


def _number(row: dict[str, str]) -> dict[str, object]:
    """A row of the CSV as measurements.json would have it."""
    texts = {name: row[name] for name in ("level", "upper", "apex", "lower", "side") if row[name]}
    return (
        {"key": row["key"], "value": float(row["value"]), "unit": row["unit"]}
        | texts
        | ({"uncertainty": float(row["uncertainty"])} if row["uncertainty"] else {})
        | ({"imprecise": True} if row["imprecise"] == "true" else {})
        | {"method": row["method"]}
    )


def test_the_table_says_whose_it_is_and_shows_numbers_classes_and_reasons(
    panel: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    print_table(panel)
    shown = capsys.readouterr().out
    for words in ("Study 2.25.101  2026-01-02  accession A1  patient T1", "preliminary, unverified",
                  "Of series 2.25.102", "Pelvic incidence", "Classes and grades", "Not measured:",
                  "T1: it is not in the image", "Posture unverified."):  # fmt: skip
        assert words in shown
    assert "Test^Series" not in shown


def test_what_a_later_version_has_measured_is_told_not_fatal(capsys: pytest.CaptureFixture[str]) -> None:
    later = Measurements(
        "PATIENT",
        "image z axis",
        (Parameter("NEW_ANGLE", 12.5, "deg", "a new one", level="L4"),),
        (NotMeasured("NEW_LENGTH", "not seen"),),
    )
    found = report_of(stored(ours(later)))
    assert found.measurements.parameters[0].key == "NEW_ANGLE"
    print_table(found)
    assert "Not known to this version of the software: NEW_ANGLE L4 12.5 deg." in capsys.readouterr().out
    (row, missing) = list(csv.DictReader(io.StringIO(csv_text([found]))))
    assert (row["key"], row["name"], missing["key"]) == ("NEW_ANGLE", "", "NEW_LENGTH")
