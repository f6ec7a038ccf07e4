"""One structured report of ours as plain values: whose, of what, by what, and its measurements."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydicom.dataset import Dataset

from spine_node.dicom.code_overrides import NO_OVERRIDES, CodeOverrides
from spine_node.dicom.codes import PRIVATE_SCHEME_UID
from spine_node.dicom.identity import MANUFACTURER, MODEL_NAME, UNKNOWN_DATE
from spine_node.dicom.posture import standing_of
from spine_node.dicom.sr import read_sr
from spine_node.errors import ReportRefused
from spine_node.network.contexts import IMAGE_CLASSES, REPORT_CLASSES
from spine_node.parameters.model import Measurements

_TEMPLATE = "1500"
_MODALITIES = {
    "1.2.840.10008.5.1.4.1.1.13.1.1": "XA",
    "1.2.840.10008.5.1.4.1.1.13.1.2": "DX",
}
"""Modality of the image classes that are not CT (PS3.3 C.8.19 and C.8.21)."""


@dataclass(frozen=True, slots=True, order=True)
class Source:
    """An image series that was measured."""

    series_uid: str
    modality: str


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """A report, as far as a reader of numbers needs it; never a patient's name.

    Attributes
    ----------
    study_uid, series_uid, sop_instance_uid, sop_class_uid : str
    study_date, study_time, content_date, content_time, timezone : str
        As DICOM writes them; "" where unknown. The content's are those of the source series.
    accession, patient_id, issuer : str
        The issuer is that of the patient ID.
    sources : tuple of Source
        The image series that were measured.
    images : int
        How many instances they were.
    manufacturer, model, software : str
        What made it.
    supersedes : tuple of str
        SOP Instance UIDs of the reports that it replaces.
    preliminary, verified : bool
    standing : bool
        Whether the patient is declared to have stood: normal ranges are those of standing adults.
    measurements : Measurements
    """

    study_uid: str
    series_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    study_date: str
    study_time: str
    content_date: str
    content_time: str
    timezone: str
    accession: str
    patient_id: str
    issuer: str
    sources: tuple[Source, ...]
    images: int
    manufacturer: str
    model: str
    software: str
    supersedes: tuple[str, ...]
    preliminary: bool
    verified: bool
    standing: bool
    measurements: Measurements


def header_of(document: Dataset) -> dict[str, str]:
    """What a query matches, by keyword; costs nothing beside the report itself."""
    return {
        "StudyInstanceUID": _text(document, "StudyInstanceUID"),
        "AccessionNumber": _text(document, "AccessionNumber"),
        "PatientID": _text(document, "PatientID"),
        "StudyDate": _date(document, "StudyDate"),
    }


def is_ours(document: Dataset) -> bool:
    """Whether a data set is a report of this software: class, template, and whose codes it uses."""
    if str(document.get("SOPClassUID")) not in REPORT_CLASSES:
        return False
    templates = document.get("ContentTemplateSequence") or ()
    if not any(str(item.get("TemplateIdentifier")) == _TEMPLATE for item in templates):
        return False
    schemes = document.get("CodingSchemeIdentificationSequence") or ()
    if any(str(item.get("CodingSchemeUID")) == PRIVATE_SCHEME_UID for item in schemes):
        return True
    return (str(document.get("Manufacturer")), str(document.get("ManufacturerModelName"))) == (
        MANUFACTURER,
        MODEL_NAME,
    )


def report_of(document: Dataset, overrides: CodeOverrides = NO_OVERRIDES) -> Report:
    """A report of ours as plain values; `overrides` are the codes that it was written with.

    Raises
    ------
    ReportRefused
        If it cannot be read: cut short, changed by somebody, or written by a later version.
    """
    sop_instance_uid = str(document.get("SOPInstanceUID", "(without UID)"))
    try:
        images = list(_images(document))
        return Report(
            study_uid=_text(document, "StudyInstanceUID"),
            series_uid=_text(document, "SeriesInstanceUID"),
            sop_instance_uid=sop_instance_uid,
            sop_class_uid=_text(document, "SOPClassUID"),
            study_date=_date(document, "StudyDate"),
            study_time=_text(document, "StudyTime"),
            content_date=_date(document, "ContentDate"),
            content_time=_text(document, "ContentTime"),
            timezone=_text(document, "TimezoneOffsetFromUTC"),
            accession=_text(document, "AccessionNumber"),
            patient_id=_text(document, "PatientID"),
            issuer=_text(document, "IssuerOfPatientID"),
            sources=tuple(dict.fromkeys(images)),
            images=len(images),
            manufacturer=_text(document, "Manufacturer"),
            model=_text(document, "ManufacturerModelName"),
            software=_text(document, "SoftwareVersions"),
            supersedes=_predecessors(document),
            preliminary=_text(document, "PreliminaryFlag") != "FINAL",
            verified=_text(document, "VerificationFlag") == "VERIFIED",
            standing=_standing(document),
            measurements=read_sr(document, overrides),
        )
    except (AttributeError, KeyError, IndexError, TypeError, ValueError, NotImplementedError) as problem:
        raise ReportRefused(
            f"report {sop_instance_uid}, written by version {document.get('SoftwareVersions', '(unknown)')}, "
            f"cannot be read: {type(problem).__name__}: {problem}"
        ) from problem


def _text(item: Dataset, keyword: str) -> str:
    value = item.get(keyword)
    return "" if value is None else str(value).strip()


def _date(item: Dataset, keyword: str) -> str:
    date = _text(item, keyword)
    return "" if date == UNKNOWN_DATE else date


def _images(document: Dataset) -> Iterator[Source]:
    """The series of each image instance that was measured."""
    for evidence in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence"):
        for series, sop in _references(document, evidence):
            sop_class_uid = _text(sop, "ReferencedSOPClassUID")
            if sop_class_uid in IMAGE_CLASSES:
                yield Source(_text(series, "SeriesInstanceUID"), _MODALITIES.get(sop_class_uid, "CT"))


def _predecessors(document: Dataset) -> tuple[str, ...]:
    referenced = _references(document, "PredecessorDocumentsSequence")
    return tuple(_text(sop, "ReferencedSOPInstanceUID") for _, sop in referenced)


def _references(document: Dataset, sequence: str) -> Iterator[tuple[Dataset, Dataset]]:
    """Series and instance items of a hierarchical reference (PS3.3 C.17.2.1)."""
    for study in document.get(sequence) or ():
        for series in study.get("ReferencedSeriesSequence") or ():
            for sop in series.get("ReferencedSOPSequence") or ():
                yield series, sop


def _standing(document: Dataset) -> bool:
    """Whether the report's own evaluations say so together; those of groups are about numbers."""
    said = [
        _pair(item.get("ConceptCodeSequence"))
        for container in document.get("ContentSequence") or ()
        for item in container.get("ContentSequence") or ()
    ]
    return standing_of(said) is True


def _pair(codes: list[Dataset] | None) -> tuple[str, str]:
    return (_text(codes[0], "CodeValue"), _text(codes[0], "CodingSchemeDesignator")) if codes else ("", "")
