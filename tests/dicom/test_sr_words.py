"""The patient's name as it came, whatever its character set; and why a number is not there."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest
from pydicom.filebase import DicomBytesIO
from pydicom.uid import ImplicitVRLittleEndian

from spine_node.anatomy.landmarks import Spine, Vertical
from spine_node.dicom.series import ImageSeries, read_series
from spine_node.dicom.sr import read_sr
from spine_node.dicom.sr_missing import qualifier_of
from spine_node.parameters.catalogue import CATALOGUE
from spine_node.parameters.measure import measure
from spine_node.parameters.model import Measurements, NotMeasured
from tests.dicom.small_reports import concept, items, report, stored, value
from tests.dicom.small_series import grid_of, write_series
from tests.dicom.test_identity import NAMES, element, with_name
from tests.dicom.test_sr import MEASUREMENTS

NOT_ATTEMPTED, FAILED, INDETERMINATE = "114007", "114006", "114011"
"""Of the numeric value qualifiers (PS3.16 CID 42)."""


@pytest.mark.parametrize("charset", list(NAMES))
@pytest.mark.parametrize("implicit", [False, True], ids=["explicit", "implicit"])
def test_a_name_in_any_character_set_arrives_in_a_report_as_it_was(
    charset: str, implicit: bool, tmp_path: Path
) -> None:
    """Its bytes, and what they stand for; our own words beside it stay legible."""
    paths = write_series(tmp_path, grid_of())
    planted = {with_name(path, charset) for path in paths}.pop()
    name = str(pydicom.dcmread(paths[0]).PatientName)
    if implicit:
        for path in paths:
            ds = pydicom.dcmread(path)
            ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
            ds.save_as(path, enforce_file_format=True)
    file = DicomBytesIO()
    report(read_series(tmp_path), MEASUREMENTS).save_as(file, enforce_file_format=True)
    written = bytes(file.getvalue())
    assert planted in written
    assert element((8, 5), b"CS", charset.encode()) in written
    document = pydicom.dcmread(DicomBytesIO(written))
    assert str(document.PatientName) == name
    assert read_sr(document).to_dict() == MEASUREMENTS.to_dict()


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> ImageSeries:
    folder = tmp_path_factory.mktemp("ct")
    write_series(folder, grid_of())
    return read_series(folder)


@pytest.mark.parametrize(
    ("reason", "qualifier"),
    [
        ("L4 is not in the label map", NOT_ATTEMPTED),
        ("C3 superior endplate is cut by the field's edge", NOT_ATTEMPTED),
        ("ribs are not segmented", NOT_ATTEMPTED),
        ("withheld: without both femoral heads the patient frame is not known", NOT_ATTEMPTED),
        ("T4 inferior endplate: the points lie on a line and determine no surface", FAILED),
        ("S1 endplate: the sacrum shows no place that is flat and ends all around", FAILED),
        ("left femoral head is not round in the label map: no sphere of 14 to 36 mm fits", FAILED),
        ("T7 inferior endplate stands 71 degrees off the line of vertebrae: it is none", FAILED),
        ("the posterior wall of L2 is not seen", FAILED),
        ("L3 has no height there: its endplates meet", FAILED),
        ("lordosis L1-S1 is 3.1 degrees: parts of so little say nothing", INDETERMINATE),
        ("the patient's age is not known: 4 points without it, one more from 60 years", INDETERMINATE),
        ("right iliac crest: has no crest in the label map; left hip bone is not in the label map", FAILED),
    ],
)
def test_what_is_not_there_says_whether_it_was_tried(
    reason: str, qualifier: str, series: ImageSeries
) -> None:
    assert qualifier_of(reason).value == qualifier
    missing = Measurements("PATIENT", "given", (), (NotMeasured("PI", reason),))
    document = stored(report(series, missing))
    (told,) = [i for i in items(document) if concept(i) == "PI"]
    assert (told.ValueType, value(told)) == ("CODE", qualifier)
    assert read_sr(document).to_dict() == missing.to_dict()


def test_a_spine_without_landmarks_is_a_report_of_what_was_not_attempted(series: ImageSeries) -> None:
    nothing = measure(Spine((), None, {}, Vertical()))
    once = {row.key for row in CATALOGUE if row.per == "spine"}
    document = report(series, nothing)
    told = {concept(i): value(i) for i in items(document) if i.ValueType == "CODE" and concept(i) in once}
    assert set(told) == once
    assert set(told.values()) == {NOT_ATTEMPTED}
    assert read_sr(document).to_dict() == nothing.to_dict()
