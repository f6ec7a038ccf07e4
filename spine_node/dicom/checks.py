"""Guards: what a source must have before the GPU starts, whose a SEG is, and where it really lies.

`check_geometry` reads the raw functional groups and bits of a SEG with no help of the library that
wrote it, so that an error of either is seen.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from scipy import ndimage

from spine_node.dicom.codes import STRUCTURE_OF_VALUE
from spine_node.dicom.series import ImageSeries
from spine_node.errors import LabelMapRefused, SeriesRefused
from spine_node.imaging.volume import FloatArray, LabelMap

_REQUIRED = {
    "SOPClassUID": "the anonymiser or sender must keep it",
    "SOPInstanceUID": "the anonymiser or sender must keep it",
    "StudyInstanceUID": "the anonymiser or sender must keep it",
    "SeriesInstanceUID": "the anonymiser or sender must keep it",
    "FrameOfReferenceUID": "the sender must keep the frame of reference module",
    "Modality": "the sender must keep the general series module",
    "Rows": "the image is damaged",
    "Columns": "the image is damaged",
}
"""Attributes of the source that are Type 1 in SEG or SR, or are referred to by them, and the fix."""

_UID = re.compile(r"[0-9]+(\.[0-9]+)*")


class SegGeometryError(Exception):
    """A SEG does not lie where its label map lies: a bug of this software, and nothing is sent."""


def preflight(headers: Sequence[Dataset]) -> None:
    """See that every attribute that SEG and SR cannot do without is there.

    Raises
    ------
    SeriesRefused
        Names every missing or invalid attribute, in how many instances, and the fix.
    """
    problems = []
    for keyword, fix in _REQUIRED.items():
        values = [header.get(keyword) for header in headers]
        missing = [v for v in values if v in (None, "")]
        if missing:
            problems.append(f"{keyword} is missing from {len(missing)} of {len(headers)} instances; {fix}")
        elif keyword.endswith("UID"):
            bad = [str(v) for v in values if len(str(v)) > 64 or not _UID.fullmatch(str(v))]
            if bad:
                problems.append(f"{keyword} {bad[0]!r} is no UID (digits and dots, at most 64); {fix}")
    names = [str(h.get("SOPInstanceUID") or "") for h in headers]
    if len(set(names)) < len(names) and all(names):
        problems.append(
            f"{len(names) - len(set(names))} SOP Instance UIDs occur twice; the sender must fix them"
        )
    if problems:
        raise SeriesRefused("results cannot be encoded: " + ". ".join(problems) + ".")


def check_source(seg: Dataset, series: ImageSeries) -> None:
    """See that a SEG was made of exactly the images of this series.

    Parameters
    ----------
    seg : Dataset
        As written by `seg.write_seg`; pixels are not needed.
    series : ImageSeries

    Raises
    ------
    LabelMapRefused
        If it was made of another series, or of other images of it: another patient's, perhaps.
    """
    made_of = {
        str(item.SeriesInstanceUID): {
            str(image.ReferencedSOPInstanceUID) for image in item.get("ReferencedInstanceSequence") or ()
        }
        for item in seg.get("ReferencedSeriesSequence") or ()
    }
    given = set(series.sop_instance_uids)
    if made_of == {series.series_uid: given}:
        return
    said = f"series {series.series_uid} with {len(given)} images"
    known = made_of.get(series.series_uid)
    if known is None:
        seen = f"they were made of series {' and '.join(made_of) or '(none named)'}, not of {said}"
    else:
        seen = f"of {said}, {len(given & known)} are among the {len(known)} that they were made of"
    raise LabelMapRefused(
        f"these are results of another series, perhaps of another patient: {seen}. Nothing was renamed."
    )


@dataclass(slots=True)
class _Sum:
    """Voxels seen of one structure, and the sum of their places in mm."""

    voxels: int = 0
    total_mm: FloatArray = field(default_factory=lambda: np.zeros(3))

    def add(self, points_mm: FloatArray) -> None:
        self.voxels += len(points_mm)
        self.total_mm = self.total_mm + points_mm.sum(axis=0)

    @property
    def centroid_mm(self) -> FloatArray:
        return self.total_mm / max(self.voxels, 1)


def check_geometry(seg: Dataset, label_map: LabelMap, tolerance_voxels: float = 0.5) -> None:
    """Compare each segment's centroid and size, from the SEG's own bits, with the label map's.

    Parameters
    ----------
    seg : Dataset
        As written by `seg.write_seg`; segments are told apart by Tracking ID.
    label_map : LabelMap
    tolerance_voxels : float
        In units of the label map's smallest spacing.

    Raises
    ------
    SegGeometryError
        If a structure is missing from either side, lies elsewhere or has another number of voxels.
    """
    tolerance_mm = tolerance_voxels * float(label_map.grid.spacing_mm.min())
    found, expected = _from_seg(seg), _from_label_map(label_map)
    if found.keys() != expected.keys():
        raise SegGeometryError(
            f"SEG {seg.SOPInstanceUID} holds {sorted(found)}, the label map {sorted(expected)}."
        )
    for name, there in found.items():
        here = expected[name]
        distance = float(np.linalg.norm(there.centroid_mm - here.centroid_mm))
        if distance > tolerance_mm:
            raise SegGeometryError(
                f"{name} in SEG {seg.SOPInstanceUID} lies at {_text(there.centroid_mm)} mm, in the label map "
                f"at {_text(here.centroid_mm)} mm: {distance:.2f} mm apart, {tolerance_mm:.2f} mm allowed."
            )
        if there.voxels != here.voxels:
            raise SegGeometryError(
                f"{name} has {there.voxels} voxels in SEG {seg.SOPInstanceUID}, {here.voxels} on the grid."
            )


def _from_seg(seg: Dataset) -> dict[str, _Sum]:
    names = {int(item.SegmentNumber): str(item.TrackingID) for item in seg.SegmentSequence}
    sums = {name: _Sum() for name in names.values()}
    rows, columns = int(seg.Rows), int(seg.Columns)
    shared = seg.SharedFunctionalGroupsSequence[0]
    packed = np.frombuffer(seg.PixelData, dtype=np.uint8)
    for number, group in enumerate(seg.PerFrameFunctionalGroupsSequence):
        mask = frame_bits(packed, number, rows * columns).reshape(rows, columns)
        row, column = np.nonzero(mask)

        def of(keyword: str, group: Dataset = group) -> Dataset:
            return (group.get(keyword) or shared.get(keyword))[0]

        position = np.array(of("PlanePositionSequence").ImagePositionPatient, dtype=np.float64)
        cosines = np.array(of("PlaneOrientationSequence").ImageOrientationPatient, dtype=np.float64)
        between_rows, between_columns = (float(v) for v in of("PixelMeasuresSequence").PixelSpacing)
        # PS3.3 C.7.6.2.1.1: the first three cosines are the way the column index grows.
        points = (
            position
            + column[:, None] * between_columns * cosines[:3]
            + row[:, None] * between_rows * cosines[3:]
        )
        segment = int(of("SegmentIdentificationSequence").ReferencedSegmentNumber)
        sums[names[segment]].add(points)
    return sums


def frame_bits(packed: NDArray[np.uint8], number: int, pixels: int) -> NDArray[np.uint8]:
    """One frame of a bit-packed array, in which frames need not begin at a byte (PS3.5 8.1.1)."""
    first = number * pixels
    start, end = first // 8, -(-(first + pixels) // 8)
    bits = np.unpackbits(packed[start:end], bitorder="little")
    return np.asarray(bits[first - 8 * start :][:pixels])


def _from_label_map(label_map: LabelMap) -> dict[str, _Sum]:
    sums: dict[str, _Sum] = {}
    for value, box in enumerate(ndimage.find_objects(label_map.labels), start=1):
        if box is None:
            continue
        index = np.argwhere(label_map.labels[box] == value) + [s.start for s in box]
        sums.setdefault(STRUCTURE_OF_VALUE[value], _Sum()).add(label_map.grid.to_mm(index))
    return sums


def _text(point_mm: FloatArray) -> str:
    return "(" + ", ".join(f"{v:.2f}" for v in point_mm) + ")"
