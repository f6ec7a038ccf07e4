"""Who and what a result belongs to: UIDs derived from its sources, and the patient copied verbatim."""

from __future__ import annotations

import copy
import re
import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime

from pydicom.charset import convert_encodings, default_encoding
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filewriter import correct_ambiguous_vr
from pydicom.tag import BaseTag, Tag
from pydicom.valuerep import STR_VR, VR

IMPLEMENTATION_CLASS_UID = "2.25.86709032417595826808043638794250351919"
"""(0002,0012) of every file of this node; `network` sends the same one."""

IMPLEMENTATION_VERSION = "SPINE_NODE"
"""(0002,0013); the same in every release, so that an upgrade does not change a result's bytes."""

DEVICE_UID = "2.25.253753020151839368704576003988281494460"
"""Names this software as the observer of a report."""

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


def undecoded(source: Dataset, keywords: Iterable[str] = ()) -> Dataset:
    """These elements (all without `keywords`) in a data set of their own, to look at.

    pydicom replaces an element that somebody looks at by what it could decode, and bytes that are no text
    in the declared character set are lost. Looked at in here, they are still there in `source`.
    """
    tags = [Tag(keyword) for keyword in ("SpecificCharacterSet", *keywords)] if keywords else source.keys()
    seen = Dataset({tag: source.get_item(tag) for tag in tags if tag in source})
    implicit, little = source.original_encoding
    seen.set_original_encoding(implicit, little, source.original_character_set)
    return seen


def copy_identity(source: Dataset, target: Dataset) -> None:
    """Give `target` the patient and study of `source`, strings and their character set untouched.

    What was read from a file and not looked at since (`undecoded`) goes out with the same bytes, also
    where they are no text in the declared character set; only an odd length is padded.
    """
    seen = undecoded(source, COPIED)
    encodings = _encodings(seen, default_encoding)
    for keyword in COPIED:
        tag = Tag(keyword)
        if tag in target:
            del target[tag]
        if tag in seen:
            target[tag] = _verbatim(seen, tag, encodings)
    for keyword in _EMPTY_WHEN_UNKNOWN:
        if keyword not in target:
            setattr(target, keyword, "")


def _verbatim(seen: Dataset, tag: BaseTag, encodings: str | list[str]) -> DataElement | RawDataElement:
    """A copy of an element as Explicit VR Little Endian has it; text that is still bytes stays bytes."""
    element = seen.get_item(tag)
    if isinstance(element, RawDataElement):
        vr = element.VR if element.VR in STR_VR else _dictionary_vr(tag)
        if vr in STR_VR:
            value = element.value or b""
            value += (b"\0" if vr == VR.UI else b" ") * (len(value) % 2)
            return RawDataElement(tag, vr, len(value), value, 0, False, True)
        element = seen[tag]
    if element.VR != VR.SQ:
        return copy.deepcopy(element)
    return DataElement(tag, VR.SQ, [_item(item, encodings) for item in element.value])


def _item(item: Dataset, above: str | list[str]) -> Dataset:
    seen = undecoded(item)
    encodings = _encodings(seen, above)
    made = Dataset(parent_encoding=above)
    for tag in tuple(seen.keys()):
        made[tag] = _verbatim(seen, tag, encodings)
    made.set_original_encoding(False, True, encodings)
    return made


def _dictionary_vr(tag: BaseTag) -> str:
    try:
        return dictionary_VR(tag)
    except KeyError:
        return VR.UN


def _encodings(seen: Dataset, above: str | list[str]) -> str | list[str]:
    charset = seen.get("SpecificCharacterSet")
    return convert_encodings(charset) if charset else above


def content_moment(source: Dataset) -> tuple[str, str]:
    """Date and time that a result carries: those of its source, so that two runs agree.

    The first date of the content, acquisition, series and study that the header has and the calendar
    knows. A time that is none (PS3.5 6.2, TM) is taken for unknown: midnight.
    """
    prefixes = ("Content", "Acquisition", "Series", "Study")
    stamped = "AcquisitionDateTime"
    seen = undecoded(
        source, [f"{prefix}{what}" for prefix in prefixes for what in ("Date", "Time")] + [stamped]
    )
    for prefix in prefixes:
        date = str(seen.get(f"{prefix}Date") or "").strip()
        if _is_date(date):
            return date, _time(str(seen.get(f"{prefix}Time") or ""))
    stamp = re.match(r"([0-9]{8})([0-9]{0,6})", str(seen.get(stamped) or ""))
    if stamp and _is_date(stamp[1]):
        return stamp[1], _time(stamp[2].ljust(6, "0"))
    return UNKNOWN_DATE, UNKNOWN_TIME


def _is_date(text: str) -> bool:
    try:
        return bool(re.fullmatch("[0-9]{8}", text)) and bool(datetime.strptime(text, "%Y%m%d"))
    except ValueError:
        return False


_TIME = re.compile(r"([01][0-9]|2[0-3])([0-5][0-9](([0-5][0-9]|60)(\.[0-9]{1,6})?)?)?")
"""60 is a leap second."""


def _time(text: str) -> str:
    """A TM; colons are of the retired form."""
    digits = text.strip().replace(":", "")
    return digits if _TIME.fullmatch(digits) else UNKNOWN_TIME


def series_description(words: str, variant: str) -> str:
    """Series Description of a result (at most 64 characters), other where a person has fixed levels."""
    return f"{words}, levels fixed by a person" if variant else words


def series_number(source: Dataset, offset: int) -> int:
    """Series Number of a result: that of the source times 100 plus `offset`, 9000 + offset without one."""
    try:
        number = int(source.get("SeriesNumber") or 0)
    except (ValueError, TypeError, OverflowError):  # no number, or several
        number = 0
    return number * 100 + offset if 0 < number < 1_000_000 else 9000 + offset


def finish(target: Dataset, source: Dataset) -> None:
    """What every result has in common: identity, times of the source, and whose implementation wrote it.

    `target` is then written as it is: an element set later must not have an ambiguous VR.
    """
    # Now, as pydicom does neither when it writes what it takes for read: it would decode the patient.
    correct_ambiguous_vr(target, True)
    copy_identity(source, target)
    target.set_original_encoding(False, True, _encodings(target, default_encoding))
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
