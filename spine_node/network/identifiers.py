"""Identifiers of Query/Retrieve: the levels of its models, their keys, and what may be asked (PS3.4 C.6).

Hierarchical, unless relational queries were agreed upon: the unique key of each level above the one asked
at names one entity, and the questions go from patient to study to series to instance.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pydicom import Dataset
from pydicom.datadict import dictionary_VR, keyword_for_tag

from spine_node.network.contexts import PATIENT_ROOT, STUDY_ROOT
from spine_node.network.held import Selection
from spine_node.network.matching import Criterion, criterion, is_exact, span
from spine_node.network.texts import texts

UNIQUE_KEY = {
    "PATIENT": "PatientID",
    "STUDY": "StudyInstanceUID",
    "SERIES": "SeriesInstanceUID",
    "IMAGE": "SOPInstanceUID",
}
"""By level, from the top."""

_PATIENT = (
    "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientBirthTime", "PatientSex",
    "OtherPatientIDs", "OtherPatientNames", "EthnicGroup",
)  # fmt: skip
_STUDY = (
    "StudyDate", "StudyTime", "AccessionNumber", "StudyID", "StudyInstanceUID", "StudyDescription",
    "ReferringPhysicianName", "ProcedureCodeSequence", "PatientAge", "PatientSize", "PatientWeight",
)  # fmt: skip
_SERIES = (
    "Modality", "SeriesNumber", "SeriesInstanceUID", "SeriesDate", "SeriesTime", "SeriesDescription",
    "BodyPartExamined", "Laterality", "ProtocolName", "Manufacturer", "ManufacturerModelName",
)  # fmt: skip
_IMAGE = (
    "InstanceNumber", "SOPInstanceUID", "SOPClassUID", "ContentDate", "ContentTime", "InstanceCreationDate",
    "InstanceCreationTime", "ImageType", "Rows", "Columns", "BitsAllocated", "NumberOfFrames",
    "ConceptNameCodeSequence", "CompletionFlag", "VerificationFlag", "PreliminaryFlag", "DocumentTitle",
    "ContentLabel", "ContentDescription",
)  # fmt: skip

KEPT = ("SpecificCharacterSet", *_PATIENT, *_STUDY, *_SERIES, *_IMAGE)
"""Attributes of an instance that may be asked for; required and unique keys of all levels are among them."""

COUNTED = {
    "PATIENT": (
        "NumberOfPatientRelatedStudies", "NumberOfPatientRelatedSeries", "NumberOfPatientRelatedInstances",
    ),
    "STUDY": (
        "NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances", "ModalitiesInStudy",
        "SOPClassesInStudy",
    ),
    "SERIES": ("NumberOfSeriesRelatedInstances",),
    "IMAGE": (),
}  # fmt: skip
"""Attributes of an entity that are counted or gathered from what lies in it; by level."""

TOLD = ("QueryRetrieveLevel", "SpecificCharacterSet", "RetrieveAETitle", "InstanceAvailability")
"""Attributes of every answer; what an identifier says of them demands nothing."""

_AT = {"PATIENT": _PATIENT, "STUDY": _STUDY, "SERIES": _SERIES, "IMAGE": _IMAGE}
_LEVELS = {PATIENT_ROOT: tuple(UNIQUE_KEY), STUDY_ROOT: tuple(UNIQUE_KEY)[1:]}
_MOST_KEYS, _MOST_VALUES, _LONGEST = 200, 20_000, 1024
_MOST_ALTERNATIVES = 100  # values of another key than a UID, each of which every entity is held against


class IdentifierRefusedError(Exception):
    """The identifier does not say what may be asked (status 0xA900)."""


@dataclass(frozen=True, slots=True)
class Key:
    """One attribute that is asked for, and what it must match; None is anything."""

    keyword: str
    test: Criterion | None = None
    items: tuple[Key, ...] = ()
    """Of a sequence: what an item must match."""

    def matches(self, entity: Dataset) -> bool:
        """Whether this entity has what is asked for."""
        if self.items:
            held = entity.get(self.keyword) or ()
            return any(all(key.matches(item) for key in self.items) for item in held)
        return self.test is None or self.test(texts(entity, self.keyword))


@dataclass(frozen=True, slots=True)
class Asked:
    """A query that makes sense.

    Attributes
    ----------
    level : str
    keys : tuple of Key
        What we can match and tell, at this level and above.
    unsupported : bool
        Whether the identifier has optional keys that we do not support.
    selection : Selection
        What of it an index can answer: no more than `keys` say.
    """

    level: str
    keys: tuple[Key, ...]
    unsupported: bool
    selection: Selection


def query(identifier: Dataset, root: str, *, relational: bool) -> Asked:
    """What a C-FIND identifier asks.

    Raises
    ------
    IdentifierRefusedError
        If it lacks a level of this model or a unique key above it, or a value is none of its kind.
    """
    level, above = _level(identifier, root)
    if not relational:
        for name in above:
            _one(identifier, UNIQUE_KEY[name], level)
    open_levels = [*(("PATIENT",) if root == STUDY_ROOT else ()), *above, level]
    supported = {*(k for name in open_levels for k in _AT[name]), *COUNTED[level]}
    keys, unsupported = [], False
    if len(identifier) > _MOST_KEYS:
        raise IdentifierRefusedError(f"{len(identifier)} keys, at most {_MOST_KEYS} are taken")
    for tag in identifier.keys():  # noqa: SIM118 - iteration would decode the elements
        keyword = keyword_for_tag(tag)
        if keyword in supported:
            keys.append(_key(identifier, keyword))
        elif keyword not in TOLD and tag.element != 0:
            unsupported = True
    return Asked(level, tuple(keys), unsupported, _selection(identifier, {k.keyword for k in keys}))


def retrieval(identifier: Dataset, root: str, *, relational: bool) -> tuple[str, Selection]:
    """Level of a C-MOVE or C-GET identifier, and what it selects.

    Raises
    ------
    IdentifierRefusedError
        If it names nothing at its level, lacks a unique key above it, or has patterns for UIDs.
    """
    level, above = _level(identifier, root)
    for name in above:
        if not relational or texts(identifier, UNIQUE_KEY[name]):
            _one(identifier, UNIQUE_KEY[name], level)
    wanted = texts(identifier, UNIQUE_KEY[level])
    if not wanted:
        raise IdentifierRefusedError(f"a retrieval at {level} level names {UNIQUE_KEY[level]}")
    if level == "PATIENT":
        _one(identifier, "PatientID", level)
    if len(wanted) > _MOST_VALUES:
        raise IdentifierRefusedError(f"{len(wanted)} values, at most {_MOST_VALUES} are taken")
    return level, _selection(identifier, {UNIQUE_KEY[name] for name in (*above, level)})


def relational_agreed(proposed: Mapping[str, bytes], supported: Iterable[str]) -> dict[str, bytes]:
    """Answers to SOP Class Extended Negotiation (PS3.4 C.5.1.1): relational ones, nothing else.

    Byte 1 is relational; the others (combined date and time, fuzzy names, time zones, conversion of
    multi-frame images, matching of empty and of several values) are not supported.
    """
    known = set(supported)
    return {
        uid: bytes([information[0] & 1]) + bytes(len(information) - 1)
        for uid, information in proposed.items()
        if uid in known and information
    }


def _level(identifier: Dataset, root: str) -> tuple[str, tuple[str, ...]]:
    """The level asked at, and those above it."""
    levels = _LEVELS[root]
    (level, *more) = texts(identifier, "QueryRetrieveLevel") or [""]
    if more or level not in levels:
        raise IdentifierRefusedError(f"Query/Retrieve Level is one of {', '.join(levels)} in this model")
    return level, levels[: levels.index(level)]


def _one(identifier: Dataset, keyword: str, level: str) -> str:
    found = texts(identifier, keyword)
    if len(found) != 1:
        words = "has no" if not found else "has several values of"
        raise IdentifierRefusedError(f"{words} {keyword}, needed at {level} level unless relational")
    if any(c in found[0] for c in "*?"):
        raise IdentifierRefusedError(f"{keyword} names one entity at {level} level, without wild cards")
    return found[0]


def _key(identifier: Dataset, keyword: str) -> Key:
    vr = dictionary_VR(keyword)
    if vr == "SQ":
        items: Sequence[Dataset] = identifier[keyword].value or ()
        if len(items) > 1:
            raise IdentifierRefusedError(f"{keyword} may have one item")
        known = [word for tag in items[0].keys() if (word := keyword_for_tag(tag))] if items else []  # noqa: SIM118
        inner = [_key(items[0], word) for word in known]
        return Key(keyword, items=tuple(key for key in inner if key.test or key.items))
    asked = texts(identifier, keyword)
    if len(asked) > (_MOST_VALUES if vr == "UI" else _MOST_ALTERNATIVES):
        raise IdentifierRefusedError(f"{keyword} has {len(asked)} values, too many to match")
    if any(len(value) > _LONGEST for value in asked):
        raise IdentifierRefusedError(f"{keyword} is longer than {_LONGEST} characters")
    try:
        return Key(keyword, criterion(vr, asked))
    except ValueError as problem:
        raise IdentifierRefusedError(f"{keyword}: {problem}") from None


def _selection(identifier: Dataset, keywords: set[str]) -> Selection:
    def whole(keyword: str, vr: str) -> tuple[str, ...]:
        asked = texts(identifier, keyword) if keyword in keywords else []
        return tuple(dict.fromkeys(asked)) if is_exact(vr, asked) else ()

    dates = texts(identifier, "StudyDate") if "StudyDate" in keywords else []
    first, last = span("DA", dates[0]) if len(dates) == 1 else ("", "")
    return Selection(
        whole("PatientID", "LO"),
        whole("StudyInstanceUID", "UI"),
        whole("SeriesInstanceUID", "UI"),
        whole("SOPInstanceUID", "UI"),
        whole("AccessionNumber", "SH"),
        first,
        last,
    )
