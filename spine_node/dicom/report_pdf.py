"""The one-page report as an Encapsulated PDF, and the words at its head that say whose it is."""

from __future__ import annotations

import warnings
from datetime import datetime

from pydicom.dataset import Dataset

from spine_node.dicom.blanks import blank, put_source_references
from spine_node.dicom.codes import code_item
from spine_node.dicom.identity import finish, series_description, series_number, undecoded
from spine_node.dicom.result_uids import digest_of, result_uids
from spine_node.dicom.series import ImageSeries
from spine_node.parameters.definitions import Code
from spine_node.segmentation.segmenter import Segmentation

ENCAPSULATED_PDF = "1.2.840.10008.5.1.4.1.1.104.1"

SERIES_OFFSET = 4
"""After the key images (`identity.series_number`)."""

MEASUREMENT_REPORT = Code("126000", "DCM", "Imaging Measurement Report")
"""The title of the SR as well: both hold the same numbers. LOINC 18748-4, "Diagnostic imaging report",
would name the report that a physician writes."""


def write_report_pdf(
    series: ImageSeries, pdf: bytes, segmentation: Segmentation, *, software_version: str
) -> Dataset:
    """A PDF as an object of its own series, unverified.

    Parameters
    ----------
    series : ImageSeries
        What the report is about; the document refers to all its images.
    pdf : bytes
        The file.
    segmentation : Segmentation
        For the model that made it.
    software_version : str

    Raises
    ------
    ValueError
        If `pdf` is no PDF file.

    References
    ----------
    PS3.3 A.45.1 and C.24: the value is padded to an even length, and Encapsulated Document Length says
    how much of it is the file.
    """
    if not pdf.startswith(b"%PDF-"):
        raise ValueError(f"a PDF begins with %PDF-, got {bytes(pdf[:8])!r} ({len(pdf)} bytes)")
    uid = result_uids(series, segmentation, software_version)
    own = uid("report pdf", digest_of(pdf))
    target = blank(ENCAPSULATED_PDF, own, uid("report pdf series"), software_version)
    target.Modality, target.ConversionType = "DOC", "WSD"
    target.SeriesNumber = series_number(series.headers[0], SERIES_OFFSET)
    target.SeriesDescription = series_description("Spine report PDF (computed)", segmentation.variant)
    target.InstanceNumber = 1
    target.AcquisitionDateTime = None
    target.BurnedInAnnotation = "YES"
    target.DocumentTitle = "Spine measurements (computed, not verified)"
    target.ConceptNameCodeSequence = [code_item(MEASUREMENT_REPORT)]
    target.VerificationFlag = "UNVERIFIED"
    target.MIMETypeOfEncapsulatedDocument = "application/pdf"
    target.EncapsulatedDocument = bytes(pdf) + b"\0" * (len(pdf) % 2)
    target.EncapsulatedDocumentLength = len(pdf)
    finish(target, series.headers[0])
    put_source_references(target, "SourceInstanceSequence", series)
    return target


def heading_of(header: Dataset) -> dict[str, str]:
    """Whose report it is and of which examination, for the head of a page.

    Parameters
    ----------
    header : Dataset
        Of the source.

    Returns
    -------
    dict of str to str
        In reading order: "Patient", "Patient ID", "Born", "Sex", "Study date", "Accession", "Study" and
        "Series", always all of them, "" where the header says nothing; after "Patient" also "Ideographic
        name" and "Phonetic name" where the name has these groups (PS3.5 6.2.1.1). Text is Unicode,
        whatever the character set was; names are "Family, Given"; dates are ISO, and stand as they are
        where they are none.
    """
    header = undecoded(header)
    with warnings.catch_warnings():
        # A warning about an odd value would show it.
        warnings.simplefilter("ignore")
        groups = _name_groups(header)
        first = next(iter(groups), "")
        heading = {"Patient": groups.pop(first, "")} | groups
        heading |= {
            "Patient ID": _text(header, "PatientID"),
            "Born": _date(header, "PatientBirthDate"),
            "Sex": _text(header, "PatientSex"),
            "Study date": _date(header, "StudyDate"),
            "Accession": _text(header, "AccessionNumber"),
            "Study": _text(header, "StudyDescription"),
            "Series": _series(header),
        }
    return heading


def _name_groups(header: Dataset) -> dict[str, str]:
    """The component groups of the name that are not empty."""
    try:
        groups = str(header.get("PatientName") or "").split("=")
    except (ValueError, LookupError):
        return {}
    words = ("Alphabetic name", "Ideographic name", "Phonetic name")
    named = {word: _components(group) for word, group in zip(words, groups, strict=False)}
    return {word: name for word, name in named.items() if name}


def _components(group: str) -> str:
    """ "Family^Given^Middle^Prefix^Suffix" as "Family, Prefix Given Middle Suffix"."""
    parts = [_printable(part) for part in group.split("^")]
    family, given, middle, prefix, suffix = [*parts, *[""] * 5][:5]
    rest = " ".join(part for part in (prefix, given, middle, suffix, *parts[5:]) if part)
    return ", ".join(part for part in (family, rest) if part)


def _series(header: Dataset) -> str:
    number = _text(header, "SeriesNumber")
    return " ".join(part for part in (number, _text(header, "SeriesDescription")) if part)


def _date(header: Dataset, keyword: str) -> str:
    """A DA, or the retired form with dots (PS3.5 6.2), as ISO 8601."""
    text = _text(header, keyword)
    digits = text.replace(".", "")
    try:
        return datetime.strptime(digits if len(digits) == 8 else "", "%Y%m%d").date().isoformat()
    except ValueError:
        return text


def _text(header: Dataset, keyword: str) -> str:
    try:
        value = header.get(keyword)
    except (ValueError, TypeError, LookupError, OverflowError):
        return ""
    return "" if value is None else _printable(str(value))


def _printable(text: str) -> str:
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
