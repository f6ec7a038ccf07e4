"""The header of one file, read within bounds, with every element that this package looks at found readable.

pydicom reads lazily: bytes that are no number raise where the number is wanted, as whatever they happen to
raise. Here they raise, or are left out, once and by name; what is behind may look at a header in peace.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, cast

from pydicom.datadict import dictionary_VM, dictionary_VR, keyword_for_tag
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_dataset, read_partial
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as DicomSequence
from pydicom.tag import BaseTag, Tag
from pydicom.valuerep import VR

from spine_node.bounded import Bounded, Inflating, UnboundedReadError, in_words
from spine_node.dicom.identity import COPIED, undecoded
from spine_node.errors import SeriesRefused

MAX_HEADER_BYTES = 32 << 20
"""Of what precedes the pixels, long values aside. The functional groups of 5000 frames, rich in private
elements, take 20 MB."""

LONG_VALUE_BYTES = 1 << 20
"""A longer value is not read, and left out of the header unless voxels depend on it: raw data, or a document,
that a device keeps in private elements."""

MAX_DEPTH = 16
"""How deep sequences nest in what is looked at; four levels are the deepest that a CT header has."""

REQUIRED = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID",
    "Modality", "ImageType", "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel",
    "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept",
    "PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence",
)  # fmt: skip
"""What decides where voxels lie and what they are: unreadable, the series is refused."""

OPTIONAL = (
    "AcquisitionContextSequence", "AcquisitionDate", "AcquisitionDateTime", "AcquisitionNumber",
    "AcquisitionTime", "BodyPartExamined", "BurnedInAnnotation", "ConcatenationUID", "ContentDate",
    "ContentTime", "DeviceSerialNumber", "ImageComments", "ImagesInAcquisition",
    "InConcatenationTotalNumber", "InstanceNumber", "LossyImageCompression", "LossyImageCompressionMethod",
    "LossyImageCompressionRatio", "Manufacturer", "ManufacturerModelName",
    "NumberOfSeriesRelatedInstances", "PatientEquipmentRelationshipCodeSequence",
    "PatientOrientationCodeSequence", "PatientOrientationModifierCodeSequence", "PatientPosition",
    "PixelPaddingRangeLimit", "PixelPaddingValue", "PositionReferenceIndicator", "ProtocolName",
    "SeriesDate", "SeriesDescription", "SeriesNumber", "SeriesTime", "SliceLocation", "SliceThickness",
    "SoftwareVersions", "SpacingBetweenSlices", "StationName", "VOILUTFunction", "VOILUTSequence",
    "WindowCenter", "WindowWidth",
)  # fmt: skip
"""What is looked at where it is there: unreadable, it is as good as absent."""

_PIXELS = (Tag("FloatPixelData"), Tag("DoubleFloatPixelData"), Tag("PixelData"))
_ANY_PIXELS = frozenset(_PIXELS)
_REQUIRED, _OPTIONAL, _COPIED = (frozenset(map(Tag, keywords)) for keywords in (REQUIRED, OPTIONAL, COPIED))
_TEXT = {"AE", "AS", "CS", "DA", "DT", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"}
_NUMBER: dict[str, Callable[[Any], object]] = {VR.US: operator.index, VR.IS: int, VR.DS: float}
_UID = re.compile(r"(?=.{1,64}$)[0-9]+(\.[0-9]+)*")
_UID_BYTES = re.compile(rb"(?=.{1,64}$)[0-9]+(\.[0-9]+)*\0?")
_DS_BYTES = re.compile(rb"( *[+-]?[0-9]{1,9}(\.[0-9]{0,12})? *(\\|$))+")
_IS_BYTES = re.compile(rb" *[+-]?[0-9]{1,9} *")
_PLAIN_TEXT = _TEXT - {"UI"}
_EXPECTED = {tag: (dictionary_VR(tag), dictionary_VM(tag) == "1") for tag in _REQUIRED | _OPTIONAL | _COPIED}
"""VR, and whether there is one value at most."""

_REMEMBERED_BYTES = 4096

_DICOM_FILE = b"DICM"


def read_header(path: Path) -> Dataset:
    """All of a file that precedes its pixels; its `stopped_at` says where in the file that ends, None where
    the file is deflated.

    Raises
    ------
    InvalidDicomError
        If it is no DICOM file.
    SeriesRefused
        If it is one that cannot be followed as far as its pixels, or an element that decides about voxels
        is unreadable.
    """
    return _readable(_read(path, lambda tag, _vr, _length: tag in _ANY_PIXELS, MAX_HEADER_BYTES), path)


def read_with_pixels(path: Path, pixel_bytes: int, *, piecewise: bool = False) -> Dataset:
    """A whole file as far as the end of its pixels, which have at most this many bytes when inflated.

    Parameters
    ----------
    path : Path
    pixel_bytes : int
    piecewise : bool
        Leave long pixels in the file: the element then says where they are (`value_tell`).

    Raises
    ------
    SeriesRefused
        If it cannot be read so.
    """
    pixels = _PIXELS[-1]
    limit = MAX_HEADER_BYTES + max(pixel_bytes, path.stat().st_size)
    return _read(
        path,
        lambda tag, _vr, _length: tag > pixels,
        limit,
        long_value=LONG_VALUE_BYTES if piecewise else None,
    )


def _read(
    path: Path,
    stop_when: Callable[[BaseTag, str | None, int], bool],
    limit: int,
    long_value: int | None = LONG_VALUE_BYTES,
) -> Dataset:
    try:
        with path.open("rb") as file:
            if file.read(132)[128:] != _DICOM_FILE:
                raise InvalidDicomError(f"{path.name} has no DICM behind a preamble of 128 bytes")
            file.seek(0)
            source = Bounded(file, limit)
            try:
                found: Dataset = read_partial(cast(BinaryIO, source), stop_when, defer_size=long_value)
                found.stopped_at = source.tell()
                found.filename, found.buffer = str(path), None
                found.fileobj_type, found.timestamp = open, None
            except UnboundedReadError:  # to inflate it whole
                meta, source = _inflating(file, limit)
                inside = read_dataset(
                    cast(BinaryIO, source), False, True, stop_when=stop_when, defer_size=long_value
                )
                found = FileDataset(str(path), inside, b"\0" * 128, meta, False, True)
                found.stopped_at = None
                found.set_original_encoding(False, True, inside._character_set)
            _fetch(found, source)
    except InvalidDicomError:
        raise
    except Exception as problem:  # a parser of damaged bytes raises whatever they lead it to
        raise SeriesRefused(
            f"{path.name} is a DICOM file that cannot be read: {in_words(problem)}. It is "
            "damaged, or not what its transfer syntax says; nothing of it was used."
        ) from problem
    return found


def _inflating(file: BinaryIO, limit: int) -> tuple[FileMetaDataset, Inflating]:
    """File Meta Information, and what follows it inflated."""

    def past_meta(tag: BaseTag, _vr: str | None, _length: int) -> bool:
        return tag.group != 2

    file.seek(132)
    fence = cast(BinaryIO, Bounded(file, MAX_HEADER_BYTES))
    meta = FileMetaDataset(read_dataset(fence, False, True, stop_when=past_meta))
    return meta, Inflating(file, limit)


def _fetch(found: Dataset, source: Bounded) -> None:
    """Read long values that are needed; leave the others out."""
    for tag in [t for t in tuple(found.keys()) if _is_deferred(found.get_item(t))]:
        raw = found.get_item(tag)
        if tag in _PIXELS:
            continue
        if tag not in _REQUIRED:
            del found[tag]
            continue
        source.seek(raw.value_tell)
        found[tag] = raw._replace(value=source.read(raw.length))


def _is_deferred(element: object) -> bool:
    return getattr(element, "value", b"") is None and getattr(element, "length", 0) > LONG_VALUE_BYTES


def _readable(header: Dataset, path: Path) -> Dataset:
    for tag in [t for t in tuple(header.keys()) if t in _REQUIRED or t in _OPTIONAL or t in _COPIED]:
        problem = _problem(header, tag)
        if problem is None:
            continue
        if tag in _REQUIRED:
            raise SeriesRefused(
                f"{keyword_for_tag(tag)} in {path.name} {problem}: the header is damaged, and where the "
                "voxels lie or what they are cannot be told; the sender must send the series again."
            )
        del header[tag]
    return header


def _problem(header: Dataset, tag: BaseTag) -> str | None:
    """What keeps an element from being used, in words without its value; None when nothing does.

    Text that is copied to results as it is stays undecoded.
    """
    wanted, single = _EXPECTED[tag]
    raw = header.get_item(tag)
    if isinstance(raw, RawDataElement):
        if _plain(raw, wanted, single):
            return None
        if wanted == VR.SQ and tag in _OPTIONAL and len(raw.value or b"") <= _REMEMBERED_BYTES:
            charset = header.original_character_set
            charset = charset if isinstance(charset, str) else tuple(charset)
            return _problem_of_many(raw._replace(value_tell=0), charset)
    return _problem_inside(header, tag)


@lru_cache(maxsize=128)
def _problem_of_many(raw: RawDataElement, charset: str | tuple[str, ...]) -> str | None:
    """Of a sequence that is the same in all slices, it is asked once."""
    encoding = charset if isinstance(charset, str) else list(charset)
    return _problem_inside(Dataset({raw.tag: raw}, parent_encoding=encoding), raw.tag)


def _problem_inside(header: Dataset, tag: BaseTag) -> str | None:
    wanted, single = _EXPECTED[tag]
    copied = tag in _COPIED
    try:
        element = (undecoded(header, [tag]) if copied else header)[tag]
        if copied and element.VR != VR.SQ:
            str(element.value)
        if (element.VR == VR.SQ) != (wanted == VR.SQ):
            return f"has the VR {element.VR}, {wanted} was expected"
        if wanted == VR.SQ:
            return _depth_problem(element.value, 1, deep=tag not in _REQUIRED)
        if wanted not in _TEXT and isinstance(element.value, bytes):
            return f"has the VR {element.VR}, {wanted} was expected"
        values = element.value if isinstance(element.value, MultiValue | list) else [element.value]
        if single and len(values) > 1:
            return f"has {len(values)} values, one was expected"
        given = [value for value in values if value not in (None, "")]
        if wanted in _NUMBER:
            [_NUMBER[wanted](value) for value in given]
        if wanted == VR.UI and not all(_UID.fullmatch(str(value)) for value in given):
            return "is no UID (digits and dots, at most 64)"
    except Exception as problem:  # noqa: BLE001 - a decoder of damaged bytes raises whatever they lead it to
        return f"cannot be decoded ({type(problem).__name__})"
    return None


def _plain(raw: RawDataElement, wanted: str, single: bool) -> bool:
    """Whether bytes are so simple that no decoder can fail on them: most are, and decoding takes longer."""
    value, vr = raw.value, raw.VR or wanted
    if not isinstance(value, bytes) or vr != wanted:
        return False
    if vr == VR.US:
        return len(value) == 2 and raw.is_little_endian
    if (single and b"\\" in value) or not value.isascii():
        return False
    if vr == VR.UI:
        return _UID_BYTES.fullmatch(value) is not None
    if vr == VR.DS:
        return _DS_BYTES.fullmatch(value) is not None
    return vr in _PLAIN_TEXT or (vr == VR.IS and _IS_BYTES.fullmatch(value) is not None)


def _depth_problem(items: DicomSequence, depth: int, *, deep: bool) -> str | None:
    if depth > MAX_DEPTH:
        return f"nests more than {MAX_DEPTH} sequences"
    if deep:
        for item in items:
            for element in item:
                if element.VR == VR.SQ and (problem := _depth_problem(element.value, depth + 1, deep=True)):
                    return problem
    return None
