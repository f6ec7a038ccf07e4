"""What an encoder is told of the source: references and geometry, and no patient.

Libraries that write results log and warn about names they find odd. They are given these, and
`identity.finish` copies the patient afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag
from pydicom.valuerep import DSfloat

from spine_node.dicom.frames import Frame
from spine_node.dicom.series import ImageSeries

_REFERENCE = tuple(
    Tag(keyword)
    for keyword in (
        "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID",
        "PositionReferenceIndicator", "Modality", "LossyImageCompression", "LossyImageCompressionRatio",
        "LossyImageCompressionMethod",
    )
)  # fmt: skip

_BLANK = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID")


def standin(source: Dataset) -> Dataset:
    """References of one instance; everything of patient and study that must be present is empty."""
    return Dataset(_blank() | _references(source))


def standins(series: ImageSeries, most: int | None = None) -> list[Dataset]:
    """One for each slice, or the first `most`, in the order of the grid; of a multi-frame source one, frames
    in file order.

    Directions that differ within rounding become those of the first slice. What is the same in all slices
    is one object: who changes it changes all.
    """
    thickness_mm = float(series.grid.spacing_mm[0])
    if series.multiframe:
        frames = sorted(series.frames, key=lambda frame: frame.number)
        whole = standin(series.headers[0])
        whole.Rows, whole.Columns = frames[0].shape
        whole.NumberOfFrames = len(frames)
        shared, measures, plane = Dataset(), Dataset(), Dataset()
        _place(plane, measures, frames[0], thickness_mm)
        shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
        whole.SharedFunctionalGroupsSequence = [shared]
        whole.PerFrameFunctionalGroupsSequence = [_position_group(frame) for frame in frames]
        return [whole]
    same = Dataset(_blank())
    same.Rows, same.Columns = series.frames[0].shape
    _place(same, same, series.frames[0], thickness_mm)
    elements = {element.tag: element for element in same}
    slices = []
    for header, frame in zip(series.headers[:most], series.frames[:most], strict=True):
        single = Dataset(elements | _references(header))
        single.ImagePositionPatient = _ds(frame.position_mm)
        slices.append(single)
    return slices


def _references(source: Dataset) -> dict[BaseTag, DataElement]:
    return {source[tag].tag: source[tag] for tag in _REFERENCE if tag in source}


def _blank() -> dict[BaseTag, DataElement]:
    blank = Dataset()
    for keyword in _BLANK:
        setattr(blank, keyword, "")
    blank.StudyDate = blank.StudyTime = None
    return {element.tag: element for element in blank}


def _place(plane: Dataset, measures: Dataset, frame: Frame, thickness_mm: float) -> None:
    plane.ImageOrientationPatient = _ds(frame.orientation)
    measures.PixelSpacing = _ds(frame.spacing_mm)
    measures.SliceThickness = measures.SpacingBetweenSlices = _ds([thickness_mm])[0]


def _position_group(frame: Frame) -> Dataset:
    group, position = Dataset(), Dataset()
    position.ImagePositionPatient = _ds(frame.position_mm)
    group.PlanePositionSequence = [position]
    return group


def _ds(numbers: Iterable[float]) -> list[DSfloat]:
    return [DSfloat(float(n), auto_format=True) for n in numbers]
