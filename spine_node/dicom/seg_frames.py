"""Per-frame functional groups of a Segmentation: which slice each is of, and one for each segment in it."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element
from pydicom.tag import BaseTag, Tag

from spine_node.dicom.seg_shares import Occupancy
from spine_node.dicom.series import ImageSeries
from spine_node.dicom.sr_encoding import item

_GROUPS = Tag("PerFrameFunctionalGroupsSequence")
_DERIVATION, _POSITION = Tag("DerivationImageSequence"), Tag("PlanePositionSequence")
_CONTENT, _SEGMENT = Tag("FrameContentSequence"), Tag("SegmentIdentificationSequence")


def slices_of(groups: Sequence[Dataset], series: ImageSeries) -> list[int]:
    """The slice of the grid that each frame was drawn on, by the source image that it refers to."""
    numbered = series.multiframe
    index = {
        (str(series.headers[frame.header].SOPInstanceUID), frame.number + 1 if numbered else 1): i
        for i, frame in enumerate(series.frames)
    }
    found = []
    for group in groups:
        image = group.DerivationImageSequence[0].SourceImageSequence[0]
        number = int(image.ReferencedFrameNumber) if numbered else 1
        found.append(index[str(image.ReferencedSOPInstanceUID), number])
    return found


def groups_of_segments(
    groups: Sequence[Dataset], slices: Sequence[int], occupied: Occupancy
) -> tuple[bytes, list[tuple[int, int]]]:
    """From the groups of one segment's frames to those of all segments, encoded.

    Two attributes differ between the segments of a slice: the segment's number and the dimension index
    values. All else is encoded once a slice, not once a frame, of which there are thousands.

    Parameters
    ----------
    groups : sequence of Dataset
        One for each slice that any segment is in; its dimensions are segment and place.
    slices : sequence of int
        Slice of each.
    occupied : ndarray of bool, shape (slices, segments)

    Returns
    -------
    bytes
        Items of Per-Frame Functional Groups Sequence, segment by segment, Explicit VR Little Endian.
    list of (int, int)
        Slice and segment (from 0) of each.
    """
    sources = _Sources()
    same = [
        {e.tag: sources.encoded(e) for e in group if e.tag not in (_CONTENT, _SEGMENT)} for group in groups
    ]
    places = [int(group.FrameContentSequence[0].DimensionIndexValues[1]) for group in groups]
    # Both values are the last four bytes each.
    content = _encoded(groups[0][_CONTENT])[:-8]
    items, of = [], []
    for column, there in enumerate(occupied.T):
        named = Dataset()
        named.ReferencedSegmentNumber = column + 1
        segment = _encoded(DataElement(_SEGMENT, "SQ", [named]))
        for index, place, rest in zip(slices, places, same, strict=True):
            if there[index]:
                own = {_CONTENT: content + struct.pack("<II", column + 1, place), _SEGMENT: segment}
                items.append(_item(rest | own))
                of.append((index, column))
    return b"".join(items), of


class _Sources:
    """Encodes what differs between slices in the UID of their source image and in their position only."""

    def __init__(self) -> None:
        self._around: dict[int, tuple[bytes, bytes]] = {}

    def encoded(self, element: DataElement) -> bytes:
        if element.tag == _POSITION:
            return _position(element)
        if element.tag != _DERIVATION:
            return _encoded(element)
        source = element.value[0].SourceImageSequence[0]
        if "ReferencedFrameNumber" in source:
            return _encoded(element)
        uid = str(source.ReferencedSOPInstanceUID).encode("ascii")
        uid += b"\0" * (len(uid) % 2)
        if len(uid) not in self._around:
            before, after = _encoded(element).split(uid)
            self._around[len(uid)] = before, after
        before, after = self._around[len(uid)]
        return before + uid + after


def _position(element: DataElement) -> bytes:
    """Plane Position Sequence."""
    (plane,) = element.value
    there = item(ImagePositionPatient="\\".join(str(n) for n in plane.ImagePositionPatient))
    return struct.pack("<HH2s2xI", element.tag.group, element.tag.element, b"SQ", len(there)) + there


def put_encoded_groups(seg: Dataset, groups: bytes) -> None:
    """Give a Segmentation its per-frame groups as they will be in the file.

    pydicom parses them when somebody asks and else writes them as they are, as it does with what it has
    read: of 2500 frames in a tenth of the time. It does so in what `identity.finish` has gone through.
    """
    seg[_GROUPS] = RawDataElement(_GROUPS, "SQ", len(groups), groups, 0, False, True)


def _item(elements: dict[BaseTag, bytes]) -> bytes:
    """PS3.5 7.5: an item's tag and length, then its elements in the order of their tags."""
    body = b"".join(elements[tag] for tag in sorted(elements))
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(body)) + body


def _encoded(element: DataElement) -> bytes:
    file = DicomBytesIO()
    file.is_implicit_VR, file.is_little_endian = False, True
    write_data_element(file, element)
    return bytes(file.getvalue())
