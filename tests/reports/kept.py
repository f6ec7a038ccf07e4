"""Reports as a hospital keeps them: ours of several studies, and what lies beside them."""

from __future__ import annotations

import copy
import io
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from pydicom.dataset import Dataset

from spine_node.dicom.series import read_series
from spine_node.parameters.model import Measurements
from spine_node.reports.report import Report, report_of
from tests.dicom.small_reports import measured, report, stored
from tests.dicom.small_series import grid_of, write_series
from tests.dicom.test_sr_panel import erect, every_row

PI_ALONE = Measurements("PATIENT", "image z axis", (measured("PI", 52.016, uncertainty=1.142),))


def ours(
    measurements: Measurements = PI_ALONE,
    *,
    sop: str = "",
    source: str = "",
    predecessor: str = "",
    **header: str,
) -> Dataset:
    """A report of ours; without changes always the same one, not to be changed.

    Parameters
    ----------
    measurements : Measurements
    sop : str
        Its SOP Instance UID, and with .1 behind it that of its series.
    source : str
        UID of the series measured, another than usual.
    predecessor : str
        SOP Instance UID of the report it replaces.
    header : str
        Attributes by keyword.
    """
    if not (sop or source or predecessor or header):
        return _written(measurements)
    document = copy.deepcopy(_written(measurements))
    if sop:
        document.SOPInstanceUID = document.file_meta.MediaStorageSOPInstanceUID = sop
        document.SeriesInstanceUID = f"{sop}.1"
    for keyword, value in header.items():
        setattr(document, keyword, value)
    if source:
        for study in document.CurrentRequestedProcedureEvidenceSequence:
            for series in study.ReferencedSeriesSequence:
                series.SeriesInstanceUID = source
    if predecessor:
        sop_item, series_item, study_item = Dataset(), Dataset(), Dataset()
        sop_item.ReferencedSOPClassUID = document.SOPClassUID
        sop_item.ReferencedSOPInstanceUID = predecessor
        series_item.SeriesInstanceUID, series_item.ReferencedSOPSequence = f"{predecessor}.1", [sop_item]
        study_item.StudyInstanceUID = document.StudyInstanceUID
        study_item.ReferencedSeriesSequence = [series_item]
        document.PredecessorDocumentsSequence = [study_item]
    return document


def others(sop: str, sop_class: str = "1.2.840.10008.5.1.4.1.1.88.34", **header: str) -> Dataset:
    """A structured report by somebody else, of our usual study."""
    document = ours(sop=sop, **header)
    document.SOPClassUID = document.file_meta.MediaStorageSOPClassUID = sop_class
    document.Manufacturer, document.ManufacturerModelName = "Somebody", "Somebody's"
    del document.CodingSchemeIdentificationSequence
    return document


def keep(document: Dataset, path: Path) -> Path:
    """Write a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    document.save_as(path, enforce_file_format=True)
    return path


def encoded(document: Dataset) -> bytes:
    """A data set as it travels, without File Meta Information."""
    file = io.BytesIO()
    document.save_as(file, enforce_file_format=True)
    whole = file.getvalue()
    meta_length = int.from_bytes(whole[140:144], "little")  # (0002,0000), behind preamble and DICM
    return whole[144 + meta_length :]


@cache
def whole_panel() -> Report:
    """Every row of both catalogues at every kind of place, read back from a file's bytes."""
    return report_of(stored(ours(every_row())))


@cache
def _written(measurements: Measurements) -> Dataset:
    with TemporaryDirectory() as folder:
        write_series(Path(folder), grid_of(), change=erect)
        return report(read_series(Path(folder)), measurements)
