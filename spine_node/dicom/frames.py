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

MODALITIES = ("CT", "XA", "DX", "CR", "RF", "DG", "IO", "PX", "OT")
"""What a device that uses X-rays says it is in these classes (PS3.3 C.7.3.1.1.1); OT says nothing."""

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


MAX_FRAMES = 100_000
"""In one series; at 0.1 mm they are 10 m."""

_FAR_MM, _SPACING_MM = 1e5, (1e-3, 1e2)
"""Further than 100 m from the origin, or pixels smaller than 1 um or larger than 10 cm: no patient."""


_RESCALE_MOST = 1e6
"""Of slope and intercept: those of CT are near 1 and -1000."""


def frame_count(header: Dataset) -> int:
    """Frames that the image has; 1 for a single-frame image."""
    return int(header.get("NumberOfFrames") or 1)


def image_type_of(header: Dataset) -> list[str]:
    """The values of Image Type; one alone is a value too, not its letters."""
    value = header.get("ImageType") or ()
    return [value] if isinstance(value, str) else [str(v) for v in value]


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
    frames: list[Frame] = []
    for index, header in enumerate(headers):
        announced = frame_count(header)
        if len(frames) + announced > MAX_FRAMES or announced < 1:
            raise SeriesRefused(
                f"instance {header.get('SOPInstanceUID')} announces {announced} frames; from 1 to "
                f"{MAX_FRAMES} in a series were expected: Number of Frames is wrong."
            )
        if is_multiframe(header):
            groups = header.get("PerFrameFunctionalGroupsSequence") or []
            if len(groups) != frame_count(header):
                raise SeriesRefused(
                    f"instance {header.get('SOPInstanceUID')} announces {frame_count(header)} frames and "
                    f"describes {len(groups)}: the image is damaged."
                )
            frames += [_enhanced_frame(header, index, number) for number in range(len(groups))]
        elif announced > 1:
            raise SeriesRefused(
                f"instance {header.get('SOPInstanceUID')} announces {announced} frames and no functional "
                "groups that say where they lie; one frame was expected."
            )
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
        slope=_slope(header, header),
        intercept=_intercept(header, header),
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
        slope=_slope(header, rescale),
        intercept=_intercept(header, rescale),
    )


def functional_group(header: Dataset, number: int, keyword: str) -> Dataset:
    """A functional group macro of a frame: its own, else the shared one, else empty."""
    try:
        shared = (header.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
        own = header.PerFrameFunctionalGroupsSequence[number]
        found = own.get(keyword) or shared.get(keyword)
        group: Dataset = found[0] if found else Dataset()
        if not isinstance(group, Dataset):
            raise TypeError("no sequence")
        for _ in group:  # decodes what is in it
            pass
    except Exception as problem:  # a decoder of damaged bytes raises whatever they lead it to
        raise SeriesRefused(
            f"{keyword} of frame {number + 1} of instance {header.get('SOPInstanceUID')} cannot be read "
            f"({type(problem).__name__}): the functional groups are damaged."
        ) from problem
    return group


def _shape(header: Dataset, source: Dataset) -> tuple[int, int]:
    rows, columns = (int(_numbers(header, source, k, 1)[0]) for k in ("Rows", "Columns"))
    if rows < 1 or columns < 1:
        raise SeriesRefused(
            f"instance {header.get('SOPInstanceUID')} has {rows} rows of {columns} pixels: there is no image "
            "in it; the image is damaged."
        )
    return rows, columns


def _spacing(header: Dataset, source: Dataset) -> tuple[float, float]:
    rows, columns = _numbers(header, source, "PixelSpacing", 2)
    if rows <= 0 or columns <= 0:
        raise SeriesRefused(
            f"PixelSpacing of instance {header.get('SOPInstanceUID')} is {rows:g} x {columns:g} mm; "
            "two positive numbers were expected."
        )
    if min(rows, columns) < _SPACING_MM[0] or max(rows, columns) > _SPACING_MM[1]:
        raise SeriesRefused(
            f"PixelSpacing of instance {header.get('SOPInstanceUID')} is {rows:g} x {columns:g} mm; from "
            f"{_SPACING_MM[0]:g} to {_SPACING_MM[1]:g} mm were expected: it is damaged, or not in mm."
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
            f"{keyword} of instance {header.get('SOPInstanceUID')} is {str(value)[:80]}; "
            f"{count} finite numbers were expected."
        )
    if keyword == "ImagePositionPatient" and np.abs(numbers).max() > _FAR_MM:
        raise SeriesRefused(
            f"{keyword} of instance {header.get('SOPInstanceUID')} is {value}: further than "
            f"{_FAR_MM / 1000:g} m from the origin; millimetres in a patient were expected."
        )
    return numbers


def _slope(header: Dataset, source: Dataset) -> float:
    slope = _number(header, source, "RescaleSlope", 1.0)
    if not 0 < slope <= _RESCALE_MOST:
        raise SeriesRefused(
            f"RescaleSlope of instance {header.get('SOPInstanceUID')} is {slope:g}; a positive number, "
            f"at most {_RESCALE_MOST:g}, was expected: else bone is as dark as air, or darker."
        )
    return slope


def _intercept(header: Dataset, source: Dataset) -> float:
    intercept = _number(header, source, "RescaleIntercept", 0.0)
    if abs(intercept) > _RESCALE_MOST:
        raise SeriesRefused(
            f"RescaleIntercept of instance {header.get('SOPInstanceUID')} is {intercept:g}; at most "
            f"{_RESCALE_MOST:g} either way was expected: the header is wrong."
        )
    return intercept


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
