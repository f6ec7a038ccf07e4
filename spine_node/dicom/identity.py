"""Who and what a result belongs to: UIDs derived from its sources, and the patient copied verbatim."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Sequence

from pydicom.dataset import Dataset
from pydicom.tag import Tag

IMPLEMENTATION_CLASS_UID = "2.25.86709032417595826808043638794250351919"
"""(0002,0012) of every file of this node; `network` sends the same one."""

IMPLEMENTATION_VERSION = "SPINE_NODE"
"""(0002,0013); the same in every release, so that an upgrade does not change a result's bytes."""

MANUFACTURER = "Spine Node"
MODEL_NAME = "Spine Node"

_NAMESPACE = uuid.UUID("8636526d-b260-4d73-9c60-cab07c8a83d2")
"""Of the name-based UUIDs below (RFC 9562 5.5)."""

UNKNOWN_DATE, UNKNOWN_TIME = "19000101", "000000"
"""When no header tells a date; a clock would make two runs differ."""

COPIED = (
    "SpecificCharacterSet",
    "PatientName", "PatientID", "IssuerOfPatientID", "IssuerOfPatientIDQualifiersSequence",
    "TypeOfPatientID", "OtherPatientIDs", "OtherPatientIDsSequence", "OtherPatientNames",
    "PatientBirthDate", "PatientBirthTime", "PatientSex", "PatientAge", "PatientSize", "PatientWeight",
    "PatientSpeciesDescription", "PatientSpeciesCodeSequence", "PatientIdentityRemoved",
    "DeidentificationMethod", "DeidentificationMethodCodeSequence", "LongitudinalTemporalInformationModified",
    "EthnicGroup", "QualityControlSubject",
    "StudyInstanceUID", "StudyID", "StudyDate", "StudyTime", "StudyDescription", "AccessionNumber",
    "IssuerOfAccessionNumberSequence", "ReferringPhysicianName", "ReferringPhysicianIdentificationSequence",
    "ProcedureCodeSequence", "AdmissionID", "IssuerOfAdmissionIDSequence", "TimezoneOffsetFromUTC",
)  # fmt: skip
"""Attributes of patient and study that a result shares with its source, and the character set of both."""

_EMPTY_WHEN_UNKNOWN = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate", "StudyTime",
    "AccessionNumber", "ReferringPhysicianName",
)  # fmt: skip
"""Type 2: present, if only empty (PS3.3 C.7.1.1 and C.7.2.1)."""


def result_uid(
    kind: str, source_sop_uids: Sequence[str], model_sha256: str, software_version: str, *extra: str
) -> str:
    """The UID of a result: the same inputs give the same UID, any other input another.

    Parameters
    ----------
    kind : str
        What it names: "seg", "seg series", "tracking", ...
    source_sop_uids : sequence of str
        SOP Instance UIDs of the source, in any order.
    model_sha256, software_version : str
        What made the result.
    extra : str
        Whatever else distinguishes it, such as a structure's name.

    References
    ----------
    PS3.5 B.2: a UUID as an integer under the root 2.25.
    """
    text = "\n".join([kind, model_sha256, software_version, *extra, "sources", *sorted(source_sop_uids)])
    return f"2.25.{uuid.uuid5(_NAMESPACE, text).int}"


def copy_identity(source: Dataset, target: Dataset) -> None:
    """Give `target` the patient and study of `source`, strings and their character set untouched."""
    for keyword in COPIED:
        tag = Tag(keyword)
        if tag in target:
            del target[tag]
        if tag in source:
            # get_item does not decode: the bytes go out as they came in.
            target[tag] = copy.deepcopy(source.get_item(tag))
    for keyword in _EMPTY_WHEN_UNKNOWN:
        if keyword not in target:
            setattr(target, keyword, "")


def content_moment(source: Dataset) -> tuple[str, str]:
    """Date and time that a result carries: those of its source, so that two runs agree.

    The first date of the content, acquisition, series and study that the header has.
    """
    for prefix in ("Content", "Acquisition", "Series", "Study"):
        date = str(source.get(f"{prefix}Date") or "")
        if len(date) == 8 and date.isdigit():
            return date, str(source.get(f"{prefix}Time") or UNKNOWN_TIME)
    stamp = str(source.get("AcquisitionDateTime") or "")
    if stamp[:8].isdigit() and len(stamp) >= 8:
        return stamp[:8], stamp[8:14].ljust(6, "0")
    return UNKNOWN_DATE, UNKNOWN_TIME


def series_description(words: str, variant: str) -> str:
    """Series Description of a result (at most 64 characters), other where a person has fixed levels."""
    return f"{words}, levels fixed by a person" if variant else words


def series_number(source: Dataset, offset: int) -> int:
    """Series Number of a result: that of the source times 100 plus `offset`, 9000 + offset without one."""
    number = source.get("SeriesNumber")
    known = number not in (None, "") and 0 < int(number) < 1_000_000
    return int(number) * 100 + offset if known else 9000 + offset


def finish(target: Dataset, source: Dataset) -> None:
    """What every result has in common: identity, times of the source, and whose implementation wrote it."""
    copy_identity(source, target)
    date, time = content_moment(source)
    target.ContentDate, target.ContentTime = date, time
    target.SeriesDate, target.SeriesTime = date, time
    for keyword in ("InstanceCreationDate", "InstanceCreationTime"):
        if keyword in target:
            delattr(target, keyword)
    for item in target.get("ContributingEquipmentSequence") or ():
        if "ContributionDateTime" in item:
            del item.ContributionDateTime
    target.file_meta.ImplementationClassUID = IMPLEMENTATION_CLASS_UID
    target.file_meta.ImplementationVersionName = IMPLEMENTATION_VERSION
