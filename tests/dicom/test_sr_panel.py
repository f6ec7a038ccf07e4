"""A report carries every row of both catalogues, whatever was found, and reads back exactly."""

from __future__ import annotations

import itertools
import string
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sr import _concepts_dict

from spine_node.anatomy.levels import LEVELS
from spine_node.dicom.codes import level_code, level_of_code
from spine_node.dicom.series import ImageSeries, read_series
from spine_node.dicom.sr import read_sr
from spine_node.dicom.sr_classes import value_code
from spine_node.dicom.sr_codes import FRAMES, METHOD_OF_FRAME, UNITS, code_of
from spine_node.parameters.catalogue import CATALOGUE, DEFINITIONS
from spine_node.parameters.class_catalogue import CLASSES
from spine_node.parameters.definitions import LOCAL_FRAME, P_FRAME
from spine_node.parameters.model import Classification, Line, Measurements, NotMeasured, Parameter
from tests.dicom.small_reports import below, concept, items, measured, report, stored, value
from tests.dicom.small_series import grid_of, write_series

ROWS = (*CATALOGUE, *CLASSES)
VERTEBRAE = ("C2", "T12", "T13", "L1", "L6")
SEGMENTS = ("C2/C3", "T12/T13", "T13/L1", "L4/L5", "L6/S1")
ENDS = (
    {"upper": "T2", "apex": "T5", "lower": "T7"},
    {"upper": "T7", "apex": "T13", "lower": "L2"},
)
PLACES: dict[str, list[dict[str, str]]] = {
    "spine": [{}],
    "curve": list(ENDS),
    "vertebra": [{"level": level} for level in VERTEBRAE],
    "segment": [{"level": level} for level in SEGMENTS],
}
LINES = (Line("arm", [[-20, 3, 310], [20, 3, 320]]), Line("arm", [[-21, 4, 210], [22, 4, 205]]))

WORDS = st.text(string.ascii_letters + string.digits + " .,:;/=+-'%", min_size=1, max_size=60).map(
    lambda text: text.strip() or "x"
)
NUMBERS = st.floats(-99_999, 99_999).map(lambda number: round(number, 3))


def values_of(key: str) -> list[str]:
    """Every value of a class; of one that names a level, some levels."""
    row = next(row for row in CLASSES if row.key == key)
    return ["L3", "T13"] if row.values[0][0] == "level" else [value for value, _ in row.values]


def every_row() -> Measurements:
    """Each number and each class at each kind of place, marks and inputs in turn."""
    turn = itertools.cycle(range(12))
    return Measurements(
        frame="PATIENT",
        vertical="image z axis, posture declared erect",
        parameters=tuple(
            measured(
                row.key,
                -7.25 + 0.125 * k,
                side=(None, "left", "right")[k % 3],
                uncertainty=1.5 if k % 2 else None,
                imprecise=k % 4 == 1,
                lines=LINES,
                **place,
            )
            for row in CATALOGUE
            for place in PLACES[row.per]
            for k in (next(turn),)
        ),
        not_measured=tuple(NotMeasured(row.key, "T1: it is not in the image", level) for row in ROWS
                           for level in {"vertebra": ("C3",), "segment": ("C3/C4",)}.get(row.per, (None,))),
        quality=("Posture unverified.", "Posture unverified."),
        classes=tuple(
            Classification(
                row.key,
                value,
                (("COBB T5-T10", 40.5), ("half canal", -0.125))[: k % 3],
                borderline=k % 2 == 0,
                provisional=k % 3 == 0,
                remark="apex of the lordosis: L4" if k % 4 == 0 else "",
                **place,  # type: ignore[arg-type]
            )
            for row in CLASSES
            for place in PLACES[row.per]
            for value in values_of(row.key)
            for k in (next(turn),)
        ),
    )  # fmt: skip


@st.composite
def anything(draw: st.DrawFn) -> Measurements:
    """Some rows at some places, in reporting order."""
    parameters, classes, missing = [], [], []
    for row, place in _drawn(draw, CATALOGUE):
        parameters.append(
            measured(
                row.key,
                draw(NUMBERS),
                side=draw(st.sampled_from([None, "left", "right"])),
                uncertainty=draw(st.none() | NUMBERS.map(abs)),
                imprecise=draw(st.booleans()),
                **place,
            )
        )
    for row, place in _drawn(draw, CLASSES):
        inputs = draw(st.dictionaries(st.sampled_from(["PI", "COBB T5-T10", "age"]), NUMBERS))
        classes.append(
            Classification(
                row.key,
                draw(st.sampled_from(values_of(row.key))),
                tuple(inputs.items()),
                draw(st.booleans()),
                draw(st.booleans()),
                remark=draw(st.just("") | WORDS),
                **place,
            )
        )
    for row, place in _drawn(draw, ROWS):
        missing.append(NotMeasured(row.key, draw(WORDS), place.get("level")))
    return Measurements(
        draw(st.sampled_from(sorted(FRAMES))),
        draw(st.just("") | WORDS),
        tuple(parameters),
        tuple(missing),
        tuple(draw(st.lists(WORDS, max_size=3))),
        classes=tuple(classes),
    )


def _drawn(draw: st.DrawFn, rows: Iterable[Any]) -> Iterator[tuple[Any, dict[str, str]]]:
    places = [(row, place) for row in rows for place in PLACES[row.per]]
    chosen = draw(st.sets(st.sampled_from(range(len(places))), max_size=12))
    return (places[i] for i in sorted(chosen))


def erect(ds: Dataset, k: int) -> None:
    """The patient stood."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "C86043", "NCIt", "erect"
    ds.PatientOrientationCodeSequence = [item]


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> ImageSeries:
    folder = tmp_path_factory.mktemp("erect")
    write_series(folder, grid_of(), change=erect)
    return read_series(folder)


@pytest.fixture(scope="module")
def panel(series: ImageSeries) -> Dataset:
    return stored(report(series, every_row()))


def numbers(document: Dataset) -> Iterator[tuple[str, Dataset]]:
    """Key and item of each measured number."""
    keys = {code_of(row.key).value: row.key for row in CATALOGUE}
    for item in items(document):
        if item.ValueType == "NUM" and concept(item) in keys:
            yield keys[concept(item)], item


def dictionary(scheme: str) -> dict[str, tuple[str, list[int]]]:
    """Meaning and context groups of the codes of a scheme that DICOM's context groups know."""
    return {
        value: (meaning, groups)
        for concepts in _concepts_dict.concepts[scheme].values()
        for value, (meaning, groups) in concepts.items()
        if groups
    }


def test_every_row_of_both_catalogues_survives(panel: Dataset) -> None:
    assert read_sr(panel).to_dict() == every_row().to_dict()


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(anything())
def test_whatever_was_found_reads_back_exactly(series: ImageSeries, found: Measurements) -> None:
    assert read_sr(stored(report(series, found))).to_dict() == found.to_dict()


def test_two_curves_may_lack_the_same_number_for_different_reasons(series: ImageSeries) -> None:
    missing = (NotMeasured("TORSION", "T4: no posterior elements"), NotMeasured("TORSION", "L1: cut"))
    found = Measurements("PATIENT", "given", (), missing)
    assert read_sr(report(series, found)).not_measured == missing


def test_dciodvfy_finds_no_error(panel: Dataset, tmp_path: Path) -> None:
    panel.save_as(tmp_path / "sr.dcm")
    dciodvfy = Path(sys.executable).with_name("dciodvfy")
    told = subprocess.run(
        [dciodvfy, "-new", tmp_path / "sr.dcm"], capture_output=True, text=True, check=False
    ).stderr
    assert "Comprehensive3DSR" in told
    assert [line for line in told.splitlines() if line.startswith("Error")] == []


def test_every_unit_and_frame_of_the_catalogue_has_its_code(panel: Dataset) -> None:
    known = dictionary("UCUM")
    for key, item in numbers(panel):
        row = DEFINITIONS[key]
        measurement_unit = item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0]
        assert measurement_unit.CodeValue == row.unit
        assert measurement_unit.CodeMeaning == known[row.unit][0] == UNITS[row.unit].meaning
        assert [value(i) for i in below(item, "370129005")] == [METHOD_OF_FRAME[row.frame].value]


@pytest.mark.parametrize("frame", sorted(FRAMES))
def test_numbers_are_estimates_where_the_patient_frame_is_not_known(frame: str, series: ImageSeries) -> None:
    """What the vertebra or the space alone tells stays what it is."""
    found = Measurements(frame, "given", tuple(measured(row.key, 1.0) for row in CATALOGUE))
    estimated = {key for key, i in numbers(report(series, found)) if below(i, "121401")}
    lost = {row.key for row in CATALOGUE if row.frame in (P_FRAME, LOCAL_FRAME)}
    assert estimated == (set() if frame == "PATIENT" else lost)


def test_a_normal_range_stands_beside_numbers_of_people_who_stood(panel: Dataset, tmp_path: Path) -> None:
    limits = {
        key: [
            float(below(i, code)[0].MeasuredValueSequence[0].NumericValue)
            for code in ("385524004", "371933006")
        ]
        for key, i in numbers(panel)
        if below(i, "121408")
    }
    assert limits == {row.key: [row.norm.low, row.norm.high] for row in CATALOGUE if row.norm}
    write_series(tmp_path, grid_of())
    lying = report(read_series(tmp_path), every_row())
    assert not any(below(i, "121408") or below(i, "385524004") for _, i in numbers(lying))


def test_disc_codes_are_those_of_the_standard_dictionary() -> None:
    """A slip in one digit would name another disc without anybody seeing it."""
    known = dictionary("SCT")
    usual = [level for level in LEVELS if level not in ("C1", "T13", "L6")]
    for upper, lower in itertools.pairwise([*usual, "S1"]):
        code = level_code(f"{upper}/{lower}")
        assert known[code.value][0] == f"{upper}/{lower} disc"
        assert 7604 in known[code.value][1]
    for level in ("T12/T13", "T13/L1", "L5/L6", "L6/S1", "T11/L1", "L4/S1", "C1/C2"):
        assert level_code(level).scheme == "99SPINE3D"


def test_a_code_leads_back_to_its_segment() -> None:
    for upper, lower in itertools.pairwise([*LEVELS, "S1"]):
        level = f"{upper}/{lower}"
        code = level_code(level)
        assert level_of_code(code.value, code.scheme) == level
    assert level_of_code(level_code("S1").value, "SCT") == "S1"


def test_no_two_of_our_codes_have_the_same_value() -> None:
    codes = [row.code for row in ROWS if row.code.scheme == "99SPINE3D"]
    codes += [value_code(row.key, v) for row in CLASSES for v, _ in row.values if v != "level"]
    codes += [code for code in METHOD_OF_FRAME.values() if code.scheme == "99SPINE3D"]
    assert len({code.value for code in codes}) == len(codes)


def test_a_class_says_in_words_what_its_value_means(series: ImageSeries) -> None:
    found = Measurements("PATIENT", "given", (), classes=(Classification("SCHWAB_SVA", "++"),))
    (item,) = [i for i in items(report(series, found)) if concept(i) == "SCHWAB_SVA"]
    assert item.ConceptCodeSequence[0].CodeMeaning == "++: above 95 mm"


def test_an_unknown_number_is_kept_under_its_key(series: ImageSeries) -> None:
    """Measurements of a later version of this software."""
    found = Measurements("PATIENT", "given", (Parameter("NEW_ANGLE", 1.5, "deg", "as defined later"),))
    assert read_sr(report(series, found)).to_dict() == found.to_dict()
