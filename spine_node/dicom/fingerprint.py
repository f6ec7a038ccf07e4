"""What tells a corrected instance from the same one sent again.

A PACS that re-encodes sends other bytes of the same images; one that corrected a patient's identity sends
the same images of somebody else. The header decides: identity, geometry and grey scale, as their bytes say,
whatever the transfer syntax. Pixels are not compared: under one SOP Instance UID they may not change.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

from spine_node.dicom.identity import COPIED, undecoded

PADDING = b" \0"
"""Odd lengths are padded by whoever encodes."""

_OF_THE_IMAGE = (
    "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality",
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness",
    "SpacingBetweenSlices", "PatientPosition", "Rows", "Columns", "NumberOfFrames",
    "RescaleSlope", "RescaleIntercept", "PixelPaddingValue",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
)  # fmt: skip


def fingerprint(headers: Sequence[Dataset]) -> str:
    """The same for the same instances in any order and transfer syntax; another for any other header.

    Parameters
    ----------
    headers : sequence of Dataset
        Fresh from their files: what somebody has looked at since is no longer the file's bytes.
    """
    tags = _tags(*COPIED, *_OF_THE_IMAGE)
    return _digest(
        sorted(_digest([_raw(header, tag) for tag in tags if tag in header]) for header in headers)
    )


def identity_fingerprint(header: Dataset) -> str:
    """The same for the same patient and study, as a result copies them; looked at before or not."""
    seen = undecoded(header, COPIED)
    return _digest([_decoded(seen, tag) for tag in _tags(*COPIED) if tag in seen])


def _tags(*keywords: str) -> list[BaseTag]:
    return sorted(map(Tag, keywords))


def _raw(header: Dataset, tag: BaseTag) -> str:
    element = header.get_item(tag)
    value = element.value or b""  # of an empty element, None and b"" in different transfer syntaxes
    if isinstance(element, RawDataElement) and isinstance(value, bytes):
        return f"{tag} {value.rstrip(PADDING)!r}"
    return f"{tag} {value}"


def _decoded(seen: Dataset, tag: BaseTag) -> str:
    try:
        return f"{tag} {seen[tag].value}"
    except Exception:  # noqa: BLE001 - no value of its VR, which pydicom says in many ways
        return _raw(seen, tag)


def _digest(texts: Iterable[str]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for text in texts:
        encoded = text.encode("utf-8", "surrogateescape")
        digest.update(b"%d " % len(encoded) + encoded)
    return digest.hexdigest()
