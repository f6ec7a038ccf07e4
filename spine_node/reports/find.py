"""Reports of ours among whatever lies in a folder or an archive; what is none is counted, not read."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.dataelem import RawDataElement
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info, read_partial
from pydicom.tag import Tag

from spine_node.dicom.code_overrides import NO_OVERRIDES, CodeOverrides
from spine_node.errors import ReportRefused
from spine_node.network.archive import Archive, Query
from spine_node.network.contexts import REPORT_CLASSES
from spine_node.reports.newest import in_order, newest, once
from spine_node.reports.report import Report, header_of, is_ours, report_of

NOT_DICOM = "files that are no DICOM"
OTHER_OBJECTS = "other DICOM objects"
OTHERS_REPORTS = "structured reports that are not ours"
COPIES = "copies"
NOT_SOUGHT = "reports of other studies than those sought"
SUPERSEDED = "superseded reports (--all shows them)"
UNREADABLE = "files that cannot be read"

_ANY_REPORT = "1.2.840.10008.5.1.4.1.1.88."
"""Begins the SOP class of every structured report."""

_UNDEFINED = 0xFFFFFFFF
"""Length of an element that a delimiter ends; of one that is cut off pydicom says so itself."""

_UNREADABLE = (
    InvalidDicomError,
    EOFError,
    OSError,
    ValueError,
    KeyError,
    NotImplementedError,
    AttributeError,
)
"""What pydicom raises on a file that is cut short or none."""

Progress = Callable[[float, str], None]


@dataclass(slots=True)
class Found:
    """Reports, and what was passed over on the way.

    Attributes
    ----------
    reports : list of Report
        By patient and time.
    studies : int
        Those that an archive has answered with.
    passed_over : Counter of str
        By kind, in words.
    unreadable : list of str
        Reports of ours, or files, that could not be read, and why.
    """

    reports: list[Report] = field(default_factory=list)
    studies: int = 0
    passed_over: Counter[str] = field(default_factory=Counter)
    unreadable: list[str] = field(default_factory=list)

    @property
    def passed_over_in_words(self) -> str:
        """Empty when nothing was."""
        return ", ".join(f"{kind}: {count}" for kind, count in sorted(self.passed_over.items()))


def find_in_files(
    path: Path,
    query: Query,
    *,
    every: bool = False,
    overrides: CodeOverrides = NO_OVERRIDES,
    progress: Progress | None = None,
) -> Found:
    """Reports in a file, or anywhere below a folder.

    Parameters
    ----------
    path : Path
    query : Query
        Only reports of these studies.
    every : bool
        Superseded ones too.
    overrides : CodeOverrides
        A hospital's own codes, that the reports were written with.
    progress : callable, optional
        Told how many files have been looked at.

    Raises
    ------
    ReportRefused
        If a single file is no report of ours, or the only report cannot be read.
    """
    found = Found()

    def documents() -> Iterator[Dataset]:
        for number, file in enumerate(_files(path)):
            if progress is not None and number % 100 == 0:
                progress(0.0, f"{number} files")
            kind = _kind(file)
            if kind is not None:
                found.passed_over[kind] += 1
                continue
            try:
                document = dcmread(file)
                require_whole(document)
                yield document
            except _UNREADABLE as problem:
                found.unreadable.append(f"{file}: {problem}")

    _read(documents(), query, overrides, found)
    if path.is_file() and not found.reports:
        what = found.unreadable[0] if found.unreadable else found.passed_over_in_words
        raise ReportRefused(f"{path} is no structured report of ours that was sought ({what})")
    return _counting(found, every)


def find_in_archive(
    archive: Archive,
    query: Query,
    most: int,
    *,
    every: bool = False,
    overrides: CodeOverrides = NO_OVERRIDES,
    progress: Progress | None = None,
) -> Found:
    """Reports in a PACS or on a DICOMweb server.

    Raises
    ------
    ReportRefused
        If more studies match than `most`.
    PeerUnavailable
        If the archive does not answer, or not with what it was asked for.
    """
    found = Found()
    studies = archive.studies(query, most)
    found.studies = len(studies)
    for number, study_uid in enumerate(studies):
        if progress is not None:
            progress(number / len(studies), f"study {number + 1} of {len(studies)}")
        held = archive.documents(study_uid)
        wanted = [document for document in held if document.sop_class_uid in ("", *REPORT_CLASSES)]
        found.passed_over[OTHERS_REPORTS] += len(held) - len(wanted)
        _read(archive.fetch(wanted), query, overrides, found)
    return _counting(found, every)


def _read(documents: Iterable[Dataset], query: Query, overrides: CodeOverrides, found: Found) -> None:
    for document in documents:
        try:
            if not is_ours(document):
                found.passed_over[OTHERS_REPORTS] += 1
            elif not query.matches(header_of(document)):
                found.passed_over[NOT_SOUGHT] += 1
            else:
                found.reports.append(report_of(document, overrides))
        except ReportRefused as problem:
            found.unreadable.append(str(problem))
        except _UNREADABLE as problem:
            found.unreadable.append(f"{document.get('SOPInstanceUID', '')}: {problem}")


def require_whole(document: Dataset) -> None:
    """Look whether every element, as it was read, has the bytes that it announces.

    pydicom takes a sequence that the end of the file cuts off for a shorter one: numbers would be missing.

    Raises
    ------
    EOFError
        If one lacks some.
    """
    for tag in document.keys():  # noqa: SIM118 - iterating the data set itself would decode it
        element = document.get_item(tag)
        if isinstance(element, RawDataElement) and element.length != _UNDEFINED:
            held = len(element.value or b"")
            if held < element.length:
                raise EOFError(f"cut short: {element.tag} has {held} of {element.length} bytes")


def _counting(found: Found, every: bool) -> Found:
    """Copies and superseded ones out, the rest in order."""
    reports = in_order(once(found.reports))
    found.passed_over[COPIES] += len(found.reports) - len(reports)
    found.reports = reports if every else newest(reports)
    found.passed_over[SUPERSEDED] += len(reports) - len(found.reports)
    found.passed_over = +found.passed_over
    return found


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    for folder, below, names in os.walk(path):
        below.sort()
        for name in sorted(names):
            yield Path(folder, name)


def _kind(file: Path) -> str | None:
    """What a file is passed over as; None for what may be a report of ours. Reads its first bytes only."""
    try:
        if not file.is_file():  # a pipe, a dangling link
            return NOT_DICOM
        sop_class_uid = str(read_file_meta_info(file).get("MediaStorageSOPClassUID") or "")
        if not sop_class_uid:
            with file.open("rb") as opened:
                head = read_partial(opened, stop_when=lambda tag, *_: tag > Tag("SOPInstanceUID"))
            sop_class_uid = str(head.get("SOPClassUID", ""))
    except (InvalidDicomError, EOFError):
        return NOT_DICOM
    except _UNREADABLE:
        return UNREADABLE
    if sop_class_uid in REPORT_CLASSES:
        return None
    return OTHERS_REPORTS if sop_class_uid.startswith(_ANY_REPORT) else OTHER_OBJECTS
