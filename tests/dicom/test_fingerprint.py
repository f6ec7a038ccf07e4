"""A re-encoded instance is the same one; a corrected one is not."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest
from pydicom import Dataset
from pydicom.uid import ImplicitVRLittleEndian

from spine_node.dicom.fingerprint import fingerprint, identity_fingerprint
from spine_node.dicom.series import read_headers
from tests.dicom.small_series import grid_of, write_series


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    write_series(tmp_path, grid_of())
    return sorted(tmp_path.rglob("*.dcm"))


def _changed(paths: list[Path], **attributes: object) -> str:
    headers = read_headers(paths)
    for keyword, value in attributes.items():
        setattr(headers[3], keyword, value)
    return fingerprint(headers)


def test_order_and_transfer_syntax_do_not_matter(paths: list[Path], tmp_path: Path) -> None:
    """Odd lengths are padded by other senders otherwise, and VRs are written or not."""
    before = fingerprint(read_headers(paths))
    assert fingerprint(read_headers(paths[::-1])) == before
    for path in paths:
        image = pydicom.dcmread(path)
        image.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        image.save_as(path, implicit_vr=True)
    assert fingerprint(read_headers(paths)) == before


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientID", "OTHER"),
        ("PatientName", "Other^Name"),
        ("AccessionNumber", "A2"),
        ("IssuerOfPatientID", "HOSPITAL2"),
        ("ImagePositionPatient", [0.0, 0.0, 0.5]),
        ("RescaleSlope", "2"),
    ],
)
def test_one_corrected_header_of_many_is_seen(paths: list[Path], keyword: str, value: object) -> None:
    assert _changed(paths, **{keyword: value}) != fingerprint(read_headers(paths))


def test_what_says_nothing_of_patient_or_image_is_not_seen(paths: list[Path]) -> None:
    """A PACS adds its own words to what it forwards."""
    assert _changed(paths, RetrieveAETitle="PACS") == fingerprint(read_headers(paths))


def test_the_identity_is_the_same_whether_somebody_looked_at_it_or_not(paths: list[Path]) -> None:
    fresh, seen = read_headers(paths[:1])[0], read_headers(paths[:1])[0]
    for element in seen:
        assert element is not None  # pydicom decodes what is looked at
    assert identity_fingerprint(fresh) == identity_fingerprint(seen)


def test_values_that_are_none_of_their_vr_are_fingerprinted_all_the_same() -> None:
    header = Dataset()
    header.add_new("PatientWeight", "DS", "70")
    header["PatientWeight"]._value = object()
    assert identity_fingerprint(header)
