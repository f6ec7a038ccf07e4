"""The report arrives as the file it was, and its heading says whose it is."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from spine_node.dicom.report_pdf import heading_of, write_report_pdf
from spine_node.dicom.series import ImageSeries, read_series
from tests.dicom.small_pictures import PDF, read, unsegmented
from tests.dicom.small_series import grid_of, write_series
from tests.dicom.test_identity import NAMES, with_name


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> ImageSeries:
    folder = tmp_path_factory.mktemp("ct")
    write_series(folder, grid_of())
    return read_series(folder)


@pytest.mark.parametrize("pdf", [PDF, PDF + b"\n"], ids=["odd", "even"])
def test_the_file_comes_out_as_it_went_in(series: ImageSeries, pdf: bytes) -> None:
    ds = read(write_report_pdf(series, pdf, unsegmented(series), software_version="9.9"))
    assert len(ds.EncapsulatedDocument) % 2 == 0
    assert ds.EncapsulatedDocument[: ds.EncapsulatedDocumentLength] == pdf
    assert ds.MIMETypeOfEncapsulatedDocument == "application/pdf"


@pytest.mark.dcmtk
def test_dcmtk_takes_the_same_file_out(series: ImageSeries, tmp_path: Path) -> None:
    ds = write_report_pdf(series, PDF, unsegmented(series), software_version="9.9")
    ds.save_as(tmp_path / "report.dcm", enforce_file_format=True)
    subprocess.run(["dcm2pdf", tmp_path / "report.dcm", tmp_path / "report.pdf"], check=True)
    assert (tmp_path / "report.pdf").read_bytes() == PDF


def test_it_is_an_unverified_document_with_a_name_on_it(series: ImageSeries) -> None:
    ds = write_report_pdf(series, PDF, unsegmented(series), software_version="9.9")
    assert (ds.Modality, ds.ConversionType) == ("DOC", "WSD")
    assert (ds.VerificationFlag, ds.BurnedInAnnotation) == ("UNVERIFIED", "YES")
    title = ds.ConceptNameCodeSequence[0]
    assert (title.CodeValue, title.CodingSchemeDesignator) == ("126000", "DCM")


@pytest.mark.parametrize("pdf", [b"", b"<html>"])
def test_what_is_no_pdf_is_refused(series: ImageSeries, pdf: bytes) -> None:
    with pytest.raises(ValueError, match=rf"begins with %PDF-, got .* \({len(pdf)} bytes\)"):
        write_report_pdf(series, pdf, unsegmented(series), software_version="9.9")


SHOWN = {
    "ISO_IR 100": {"Patient": "Müller, Jürgen"},
    "ISO_IR 192": {"Patient": "Wang, XiaoDong", "Ideographic name": "王, 小东"},
    "GB18030": {"Patient": "Wang, XiaoDong", "Ideographic name": "王, 小东"},
    "ISO_IR 144": {"Patient": "Люкceмбypг"},
    "\\ISO 2022 IR 87": {"Patient": "Yamada, Tarou", "Ideographic name": "山田, 太郎"},
}


@pytest.mark.parametrize("charset", list(NAMES))
def test_a_heading_spells_the_name_in_any_character_set(charset: str, tmp_path: Path) -> None:
    path = write_series(tmp_path, grid_of())[0]
    with_name(path, charset)
    heading = heading_of(pydicom.dcmread(path, stop_before_pixels=True))
    assert {k: v for k, v in heading.items() if k == "Patient" or "name" in k} == SHOWN[charset]


def test_a_heading_has_iso_dates_and_reads_in_order(series: ImageSeries) -> None:
    header = Dataset()
    header.update(series.headers[0])
    header.StudyDescription = "Ganz\x0cwirbelsäule"
    assert list(heading_of(header).items()) == [
        ("Patient", "Test, Series"),
        ("Patient ID", "T1"),
        ("Born", "1980-02-29"),
        ("Sex", "O"),
        ("Study date", "2026-01-02"),
        ("Accession", "A1"),
        ("Study", "Ganz wirbelsäule"),
        ("Series", "3 CBCT spine"),
    ]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("", {"Patient": ""}),
        ("=王^小东", {"Patient": "王, 小东"}),
        ("==やまだ^たろう", {"Patient": "やまだ, たろう"}),
        ("A^B=山田^太郎=やまだ^たろう", {"Patient": "A, B", "Ideographic name": "山田, 太郎",
                                  "Phonetic name": "やまだ, たろう"}),
        ("Adams^John Robert^Quincy^Rev.^B.A.", {"Patient": "Adams, Rev. John Robert Quincy B.A."}),
        ("^Jane", {"Patient": "Jane"}),
        ("Doe^^^Dr.", {"Patient": "Doe, Dr."}),
        ("A^B^C^D^E^F=X=Y=Z", {"Patient": "A, D B C E F", "Ideographic name": "X", "Phonetic name": "Y"}),
    ],
)  # fmt: skip
def test_names_of_all_shapes_are_spelled(name: str, shown: dict[str, str]) -> None:
    header = Dataset()
    header.SpecificCharacterSet, header.PatientName = "ISO_IR 192", name
    heading = heading_of(header)
    assert {k: v for k, v in heading.items() if k == "Patient" or "name" in k} == shown


@pytest.mark.parametrize(
    ("date", "shown"),
    [
        ("1980.02.29", "1980-02-29"),
        ("19810229", "19810229"),
        ("1980", "1980"),
        ("198022", "198022"),
        ("", ""),
    ],
)
def test_dates_that_are_none_stand_as_they_are(date: str, shown: str) -> None:
    header = Dataset()
    header.add_new(0x00100030, "LO", date)
    assert heading_of(header)["Born"] == shown


def test_an_empty_header_has_an_empty_heading() -> None:
    assert set(heading_of(Dataset()).values()) == {""}
