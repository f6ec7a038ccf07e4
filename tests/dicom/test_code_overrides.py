"""A hospital may write its own codes; ours are listed, all of them, in a table beside the configuration."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from spine_node.dicom.code_overrides import NO_OVERRIDES, CodeOverrides, load_overrides
from spine_node.dicom.private_codes import private_codes, replaceable, table
from spine_node.dicom.series import ImageSeries, read_series
from spine_node.dicom.sr import read_sr
from spine_node.errors import ConfigRefused
from spine_node.parameters.catalogue import DEFINITIONS
from tests.dicom.small_reports import items, report, stored
from tests.dicom.small_series import grid_of, write_series
from tests.dicom.test_sr import MEASUREMENTS
from tests.dicom.test_sr_panel import every_row

CONFIG = Path(__file__).parents[2] / "config"
OURS = """
[codes]
PI = { value = "PI-1", scheme = "99HOSPITAL", meaning = "Incidence of the pelvis" }
COBB = { value = "COBB-1", scheme = "99HOSPITAL", meaning = "Angle of the curve" }
SCHWAB_PI_LL = { value = "MOD-1", scheme = "99HOSPITAL", meaning = "Modifier one" }
SRS_PILL_P = { value = "MOD-1-B", scheme = "99OTHER", meaning = "Moderate" }
M_PFRAME = { value = "4711", scheme = "SCT", meaning = "Standing frame" }
QC_FRAME = { value = "FRAME-1", scheme = "99HOSPITAL", meaning = "Frame" }

[schemes.99HOSPITAL]
name = "Codes of our hospital"
uid = "1.2.826.0.1.3680043.2.1125.1"
organisation = "Our hospital"
url = "https://codes.example.org/list"

[schemes.99SPINE3D]
url = "https://codes.example.org/99SPINE3D.csv"
"""


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> ImageSeries:
    folder = tmp_path_factory.mktemp("ct")
    write_series(folder, grid_of())
    return read_series(folder)


@pytest.fixture(scope="module")
def overrides(tmp_path_factory: pytest.TempPathFactory) -> CodeOverrides:
    path = tmp_path_factory.mktemp("codes") / "codes.toml"
    path.write_text(OURS)
    return load_overrides(path)


@pytest.fixture(scope="module")
def document(series: ImageSeries, overrides: CodeOverrides) -> Dataset:
    return stored(report(series, MEASUREMENTS, overrides=overrides))


def written_codes(document: Dataset) -> set[tuple[str, str, str]]:
    """Value, scheme and meaning of every code in the content."""
    return {
        (code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning)
        for item in items(document)
        for keyword in ("ConceptNameCodeSequence", "ConceptCodeSequence")
        for code in item.get(keyword) or ()
    }


def test_the_table_in_the_repository_is_the_one_in_the_code() -> None:
    """`python -m spine_node.dicom.private_codes > config/codes/99SPINE3D.csv` writes it anew."""
    assert (CONFIG / "codes" / "99SPINE3D.csv").read_text() == table()


def test_every_private_code_of_a_report_is_in_the_table(series: ImageSeries) -> None:
    listed = {(row.value, row.meaning) for row in private_codes()}
    written = written_codes(report(series, every_row(), form="sr-enhanced"))
    assert {(value, meaning) for value, scheme, meaning in written if scheme == "99SPINE3D"} <= listed


def test_a_line_of_the_table_says_what_a_reader_needs() -> None:
    with (CONFIG / "codes" / "99SPINE3D.csv").open(newline="") as file:
        rows = {row["value"]: row for row in csv.DictReader(file)}
    assert len(rows) == len(private_codes()), "a value stands for one thing"
    assert all(row["meaning"] and row["definition"] and row["kind"] for row in rows.values())
    assert {key: rows[key]["unit"] for key in ("PI", "SVA")} == {
        key: DEFINITIONS[key].unit for key in ("PI", "SVA")
    }
    assert "S1 endplate" in rows["PI"]["definition"]


def test_a_report_holds_the_hospitals_codes_in_the_place_of_ours(document: Dataset) -> None:
    written = written_codes(document)
    assert written >= {
        ("PI-1", "99HOSPITAL", "Incidence of the pelvis"),
        ("COBB-1", "99HOSPITAL", "Angle of the curve"),
        ("MOD-1", "99HOSPITAL", "Modifier one"),
        ("MOD-1-B", "99OTHER", "Moderate"),
        ("4711", "SCT", "Standing frame"),
        ("FRAME-1", "99HOSPITAL", "Frame"),
    }
    replaced = {("PI", "99SPINE3D"), ("285285000", "SCT"), ("M_PFRAME", "99SPINE3D")}
    assert not {code[:2] for code in written} & replaced


def test_a_report_with_other_codes_reads_back_exactly(document: Dataset, overrides: CodeOverrides) -> None:
    assert read_sr(document, overrides).to_dict() == MEASUREMENTS.to_dict()
    assert {p.key for p in read_sr(document).parameters} >= {"PI-1", "PT"}, "only where they are given"


def test_other_codes_give_another_report(series: ImageSeries, document: Dataset) -> None:
    assert document.SOPInstanceUID != report(series, MEASUREMENTS).SOPInstanceUID


def test_the_schemes_of_a_report_are_identified_as_far_as_known(document: Dataset) -> None:
    """PS3.3 C.12.1.1.6; SNOMED CT needs no word."""
    schemes = {s.CodingSchemeDesignator: s for s in document.CodingSchemeIdentificationSequence}
    assert set(schemes) == {"99SPINE3D", "99HOSPITAL", "99OTHER"}
    hospital = schemes["99HOSPITAL"]
    assert (hospital.CodingSchemeName, hospital.CodingSchemeUID) == (
        "Codes of our hospital", "1.2.826.0.1.3680043.2.1125.1",
    )  # fmt: skip
    resources = {
        designator: (s.CodingSchemeResourcesSequence[0].CodingSchemeURLType, url)
        for designator, s in schemes.items()
        for url in [i.CodingSchemeURL for i in s.get("CodingSchemeResourcesSequence") or ()]
    }
    assert resources == {
        "99SPINE3D": ("CSV", "https://codes.example.org/99SPINE3D.csv"),
        "99HOSPITAL": ("DOC", "https://codes.example.org/list"),
    }
    assert "CodingSchemeName" not in schemes["99OTHER"]


def test_the_example_replaces_nothing_until_somebody_edits_it(tmp_path: Path) -> None:
    example = (CONFIG / "codes.example.toml").read_text()
    path = tmp_path / "codes.toml"
    path.write_text(example)
    assert load_overrides(path) == NO_OVERRIDES
    path.write_text(re.sub(r"^# (\w+ = |\[)", r"\1", example, flags=re.MULTILINE))
    used = load_overrides(path)
    assert len(used.codes) == 3
    assert set(used.schemes) == {"99HOSPITAL", "99SPINE3D"}


def test_what_seg_and_report_share_cannot_be_replaced_in_one() -> None:
    assert not {"T13", "L6", "L5/L6", "VERTEBRAL_BODY"} & set(replaceable())


ENTRY = '{{ value = "{}", scheme = "{}", meaning = "{}" }}'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[codes]\nLL_L1S = " + ENTRY.format("1", "99X", "x"), "Did you mean LL_L1S1"),
        ("[codes]\nT13 = " + ENTRY.format("1", "99X", "x"), "no code of ours that can be replaced"),
        ("[codes]\nPI = 3", "expected is { value"),
        ("[codes]\nPI = " + ENTRY.format("1" * 17, "99X", "x"), "1 to 16 characters"),
        ("[codes]\nPI = " + ENTRY.format("1", "99X", ""), "1 to 64 characters"),
        ("[codes]\nPI = " + ENTRY.format("1", "99X", "Größe"), "only signs of ASCII"),
        ("[codes]\nPI = " + ENTRY.format("1", "99SPINE3D", "x"), "is ours"),
        ("[codes]\nPI = " + ENTRY.format("121106", "DCM", "x"), "in the standard"),
        ("[codes]\nPI = " + ENTRY.format("285285000", "SCT", "x"), "and also COBB"),
        (
            f"[codes]\nPI = {ENTRY.format('1', '99X', 'one')}\nPT = {ENTRY.format('1', '99X', 'two')}",
            "'two' and also 'one'",
        ),
        ("[schemes.99SPINE3D]\nname = 'mine'", "only its url"),
        ("[schemes.99X]\nhome = 'mine'", "expected are texts in ASCII"),
        ("[code]\n", r"expected are \[codes\]"),
        ("[codes\n", "cannot be read"),
    ],
)
def test_a_code_that_cannot_be_used_is_refused_with_the_reason(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "codes.toml"
    path.write_text(text)
    with pytest.raises(ConfigRefused, match=said):
        load_overrides(path)


def test_two_keys_may_swap_their_codes(series: ImageSeries, tmp_path: Path) -> None:
    """Reading back must not translate twice."""
    path = tmp_path / "codes.toml"
    path.write_text(
        f"[codes]\nCOBB = {ENTRY.format('1', '99X', 'a')}\nPI = {ENTRY.format('285285000', 'SCT', 'b')}"
    )
    swapped = load_overrides(path)
    document = stored(report(series, MEASUREMENTS, overrides=swapped))
    assert read_sr(document, swapped).to_dict() == MEASUREMENTS.to_dict()
