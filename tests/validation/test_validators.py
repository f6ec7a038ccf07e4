"""The validators see what is wrong: a validator that cannot fail would make the other tests worthless."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from spine_node.dicom.forms import Form, Product
from tests.validation import validators
from tests.validation.everything import Study
from tests.validation.validators import above_noise, dcentvfy, findings

pytestmark = pytest.mark.dcmtk


def _no_segments(ds: Dataset) -> None:
    del ds.SegmentSequence


def _half_the_pixels(ds: Dataset) -> None:
    ds.PixelData = ds.PixelData[: len(ds.PixelData) // 4 * 2]


def _no_rows(ds: Dataset) -> None:
    del ds.Rows


def _unknown_value_type(ds: Dataset) -> None:
    ds.ContentSequence[0].ValueType = "ROMAN"


def _no_study(ds: Dataset) -> None:
    del ds.StudyInstanceUID


DEFECTS: list[tuple[str, Form, Callable[[Dataset], None]]] = [
    ("dciodvfy", "seg-binary", _no_segments),
    ("dciodvfy", "seg-labelmap", _no_rows),
    ("dciodvfy", "sr-3d", _no_study),
    ("dciodvfy", "report-pdf", _no_study),
    ("dsrdump", "sr-3d", _unknown_value_type),
    ("dsr2html", "sr-3d", _unknown_value_type),
    ("dsrdump", "key-object", _unknown_value_type),
    ("dcm2pnm", "key-images", _no_rows),
    ("segimage2itkimage", "seg-binary", _half_the_pixels),
    ("tid1500reader", "sr-3d", _unknown_value_type),
    ("highdicom", "seg-binary", _no_segments),
]


@pytest.mark.parametrize(
    ("name", "form", "spoil"), DEFECTS, ids=lambda value: getattr(value, "__name__", value)
)
def test_a_defect_is_found(
    study_of: Callable[[str], Study],
    name: str,
    form: Form,
    spoil: Callable[[Dataset], None],
    tmp_path: Path,
) -> None:
    ds = pydicom.dcmread(study_of("multi-frame").objects(Product(form))[0])
    spoil(ds)
    ds.save_as(tmp_path / "spoiled.dcm")
    assert above_noise(name, getattr(validators, name)(tmp_path / "spoiled.dcm"))


@pytest.mark.parametrize("name", ["dcmftest", "dcmdump"])
def test_half_a_file_is_found(study_of: Callable[[str], Study], name: str, tmp_path: Path) -> None:
    whole = study_of("multi-frame").objects(Product("seg-binary"))[0].read_bytes()
    half = tmp_path / "half.dcm"
    half.write_bytes(whole[: 100 if name == "dcmftest" else len(whole) // 2])
    assert getattr(validators, name)(half)


def test_another_patient_is_found(study_of: Callable[[str], Study], tmp_path: Path) -> None:
    study = study_of("multi-frame")
    (path,) = study.objects(Product("report-pdf"))
    ds = pydicom.dcmread(path)
    ds.PatientID = "SOMEBODY-ELSE"
    ds.save_as(tmp_path / "other.dcm")
    found = above_noise("dcentvfy", dcentvfy([tmp_path / "other.dcm", *study.images]))
    assert any("PatientID" in line for line in found)


def test_an_object_that_nobody_knows_is_no_clean_object(phantom: Study, tmp_path: Path) -> None:
    path = tmp_path / "image.dcm"
    shutil.copy(phantom.images[0], path)
    with pytest.raises(ValueError, match="no validator for the modality CT"):
        findings(path)
