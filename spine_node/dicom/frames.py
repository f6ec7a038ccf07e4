"""One slice as its header describes it, the same for single-frame and multi-frame images.

Reads attributes and converts nothing: whether slices form a volume is `stacking`'s question.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from spine_node.errors import SeriesRefused
from spine_node.imaging.volume import FloatArray

CT, ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1"
LEGACY_ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.2"
XRAY_3D_ANGIOGRAPHIC = "1.2.840.10008.5.1.4.1.1.13.1.1"
XRAY_3D_CRANIOFACIAL = "1.2.840.10008.5.1.4.1.1.13.1.2"

SUPPORTED_CLASSES: dict[str, str] = {
    CT: "CT",
    ENHANCED_CT: "Enhanced CT",
    LEGACY_ENHANCED_CT: "Legacy Converted Enhanced CT",
    XRAY_3D_ANGIOGRAPHIC: "X-Ray 3D Angiographic",
    XRAY_3D_CRANIOFACIAL: "X-Ray 3D Craniofacial",
}
"""Image classes that hold a CT-like volume."""

_FIX = {
    "ImagePositionPatient": "the sender must keep the image plane module",
    "ImageOrientationPatient": "the sender must keep the image plane module",
    "PixelSpacing": "the sender must keep the image plane module",
    "Rows": "the image is damaged",
    "Columns": "the image is damaged",
}


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One slice.

    Attributes
    ----------
    header : int
        Index of its header in the list it was read from.
    number : int
        Index of the frame in its file, from 0.
    name : str
        For messages: its instance number, and frame number where there are several.
    shape : tuple of int
        Rows, columns.
    position_mm : ndarray, shape (3,)
        Centre of the first pixel, LPS.
    orientation : ndarray, shape (6,)
        Direction of increasing column index, then of increasing row index, LPS.
    spacing_mm : tuple of float
        Between rows, between columns.
    slope, intercept : float
        Grey value = slope * stored value + intercept.
    """

    header: int
    number: int
    name: str
    shape: tuple[int, int]
    position_mm: FloatArray
    orientation: FloatArray
    spacing_mm: tuple[float, float]
    slope: float
    intercept: float

    @property
    def normal(self) -> FloatArray:
        """Cross product of the two directions: the way in which slices are counted."""
        return np.asarray(np.cross(self.orientation[:3], self.orientation[3:]))


def frame_count(header: Dataset) -> int:
    """Frames that the image has; 1 for a single-frame image."""
    return int(header.get("NumberOfFrames") or 1)


def is_multiframe(header: Dataset) -> bool:
    """Whether geometry is in functional groups (PS3.3 C.7.6.16)."""
    return "PerFrameFunctionalGroupsSequence" in header or "SharedFunctionalGroupsSequence" in header


def frames_of(headers: Sequence[Dataset]) -> list[Frame]:
    """Every slice of these images, in the order of the headers.

    Raises
    ------
    SeriesRefused
        If an attribute that places a slice is missing or not a number; names it and the fix.
    """
    frames = []
    for index, header in enumerate(headers):
        if is_multiframe(header):
            groups = header.get("PerFrameFunctionalGroupsSequence") or []
            if len(groups) != frame_count(header):
                raise SeriesRefused(
                    f"instance {header.get('SOPInstanceUID')} announces {frame_count(header)} frames and "
                    f"describes {len(groups)}: the image is damaged."
                )
            frames += [_enhanced_frame(header, index, number) for number in range(len(groups))]
        else:
            frames.append(_single_frame(header, index))
    return frames


def _single_frame(header: Dataset, index: int) -> Frame:
    name = f"instance {header.get('InstanceNumber') or header.get('SOPInstanceUID')}"
    return Frame(
        header=index,
        number=0,
        name=name,
        shape=_shape(header, header),
        position_mm=_numbers(header, header, "ImagePositionPatient", 3),
        orientation=_numbers(header, header, "ImageOrientationPatient", 6),
        spacing_mm=_spacing(header, header),
        slope=_number(header, header, "RescaleSlope", 1.0),
        intercept=_number(header, header, "RescaleIntercept", 0.0),
    )


def _enhanced_frame(header: Dataset, index: int, number: int) -> Frame:
    position = functional_group(header, number, "PlanePositionSequence")
    orientation = functional_group(header, number, "PlaneOrientationSequence")
    measures = functional_group(header, number, "PixelMeasuresSequence")
    rescale = functional_group(header, number, "PixelValueTransformationSequence")
    return Frame(
        header=index,
        number=number,
        name=f"frame {number + 1}",
        shape=_shape(header, header),
        position_mm=_numbers(header, position, "ImagePositionPatient", 3),
        orientation=_numbers(header, orientation, "ImageOrientationPatient", 6),
        spacing_mm=_spacing(header, measures),
        slope=_number(header, rescale, "RescaleSlope", 1.0),
        intercept=_number(header, rescale, "RescaleIntercept", 0.0),
    )


def functional_group(header: Dataset, number: int, keyword: str) -> Dataset:
    """A functional group macro of a frame: its own, else the shared one, else empty."""
    own = header.PerFrameFunctionalGroupsSequence[number].get(keyword)
    if own:
        return own[0]
    shared = (header.get("SharedFunctionalGroupsSequence") or [Dataset()])[0].get(keyword)
    return shared[0] if shared else Dataset()


def _shape(header: Dataset, source: Dataset) -> tuple[int, int]:
    rows, columns = (int(_value(header, source, k)) for k in ("Rows", "Columns"))
    return rows, columns


def _spacing(header: Dataset, source: Dataset) -> tuple[float, float]:
    rows, columns = _numbers(header, source, "PixelSpacing", 2)
    if rows <= 0 or columns <= 0:
        raise SeriesRefused(
            f"PixelSpacing of instance {header.get('SOPInstanceUID')} is {rows:g} x {columns:g} mm; "
            "two positive numbers were expected."
        )
    return float(rows), float(columns)


def _numbers(header: Dataset, source: Dataset, keyword: str, count: int) -> FloatArray:
    value = _value(header, source, keyword)
    try:
        numbers = np.array(value, dtype=np.float64).reshape(-1)
    except (TypeError, ValueError):
        numbers = np.array([])
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        raise SeriesRefused(
            f"{keyword} of instance {header.get('SOPInstanceUID')} is {value}; "
            f"{count} finite numbers were expected."
        )
    return numbers


def _number(header: Dataset, source: Dataset, keyword: str, default: float) -> float:
    if source.get(keyword) in (None, ""):
        return default
    return float(_numbers(header, source, keyword, 1)[0])


def _value(header: Dataset, source: Dataset, keyword: str) -> Any:
    value = source.get(keyword)
    if value in (None, ""):
        where = "multi-frame functional groups" if is_multiframe(header) else "header"
        raise SeriesRefused(
            f"{keyword} is missing from the {where} of instance {header.get('SOPInstanceUID')}: "
            f"without it the image has no place in the patient; {_FIX[keyword]}."
        )
    return value
