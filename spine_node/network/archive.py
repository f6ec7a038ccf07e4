"""What is sought in an archive, and what an archive can do, whichever way it is asked (DIMSE, DICOMweb).

Imports no pynetdicom, so that the commands can hold a query.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from pydicom import Dataset

from spine_node.errors import ReportRefused

MOST_STUDIES = 200
"""A query that matches more is refused, unless told otherwise: each study costs further questions."""


@dataclass(frozen=True, slots=True)
class Query:
    """Which studies: all that is given must match. Empty means any.

    Attributes
    ----------
    study_uid, accession, patient_id : str
        Whole values; wild cards are refused, because they could bring another patient's report.
    first_date, last_date : str
        Study Date, YYYYMMDD, both included.
    """

    study_uid: str = ""
    accession: str = ""
    patient_id: str = ""
    first_date: str = ""
    last_date: str = ""

    def __post_init__(self) -> None:
        for what, value in (("accession number", self.accession), ("patient ID", self.patient_id)):
            if re.search(r"[*?\\]", value):
                raise ValueError(f"the {what} must be given whole, without * ? or backslash")
        if self.study_uid and not re.fullmatch(r"[0-9.]{1,64}", self.study_uid):
            raise ValueError(f"{self.study_uid!r} is no Study Instance UID: digits and dots, 64 at most")
        for date in (self.first_date, self.last_date):
            if date and not re.fullmatch(r"\d{8}", date):
                raise ValueError(f"{date!r} is no date: write YYYYMMDD")

    @property
    def is_empty(self) -> bool:
        """Whether everything matches."""
        return not any((self.study_uid, self.accession, self.patient_id, self.first_date, self.last_date))

    @property
    def keys(self) -> dict[str, str]:
        """As matching keys of C-FIND and QIDO-RS; empty ones ask for the value (PS3.4 C.2.2.2)."""
        dates = f"{self.first_date}-{self.last_date}" if self.first_date or self.last_date else ""
        return {
            "StudyInstanceUID": self.study_uid,
            "AccessionNumber": self.accession,
            "PatientID": self.patient_id,
            "StudyDate": dates,
        }

    def matches(self, header: Mapping[str, str]) -> bool:
        """Whether a study is one of those sought; an archive may not know a key, and then ignores it.

        Parameters
        ----------
        header : mapping of str to str
            By the keywords of `keys`; one that is absent or empty does not match what is given.
        """
        asked = (
            ("StudyInstanceUID", self.study_uid),
            ("AccessionNumber", self.accession),
            ("PatientID", self.patient_id),
        )
        if any(value and header.get(keyword, "").strip() != value.strip() for keyword, value in asked):
            return False
        date = header.get("StudyDate", "")
        if not (self.first_date or self.last_date):
            return True
        return bool(date) and self.first_date <= date <= (self.last_date or "99999999")


@dataclass(frozen=True, slots=True, order=True)
class Document:
    """An instance of modality SR that an archive holds; `sop_class_uid` is "" where it does not tell."""

    study_uid: str
    series_uid: str
    sop_instance_uid: str
    sop_class_uid: str = ""


class Archive(Protocol):
    """A PACS or a DICOMweb server.

    Every method raises PeerUnavailable when it cannot be reached, does not answer in time, or answers
    that it cannot or will not; the message says what, and never whom it was asked about.
    """

    def studies(self, query: Query, most: int = MOST_STUDIES) -> list[str]:
        """Study Instance UIDs that match, sorted; ReportRefused if there are more than `most`."""
        ...

    def documents(self, study_uid: str) -> list[Document]:
        """Every instance of modality SR in a study, sorted."""
        ...

    def fetch(self, documents: Sequence[Document]) -> list[Dataset]:
        """These documents, read from the bytes that the archive sends, in their order."""
        ...


def studies_of(answers: Iterable[Mapping[str, str]], query: Query) -> list[str]:
    """Study Instance UIDs of the answers, sorted, but for those that do not match after all.

    An answer without a value counts as matching: the report itself will show.
    """
    assumed = query.keys | {"StudyDate": query.first_date or query.last_date}
    found = set()
    for answer in answers:
        told = {keyword: answer.get(keyword) or value for keyword, value in assumed.items()}
        if query.matches(told):
            found.add(told["StudyInstanceUID"])
    return sorted(found - {""})


def too_many(most: int) -> ReportRefused:
    """When a query matches more than one may want to wait for."""
    return ReportRefused(
        f"more than {most} studies match: narrow the query (--study, --accession, --patient, --from, --to), "
        "or raise --most"
    )
