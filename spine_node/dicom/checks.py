"""Guards: what a source must have before the GPU starts, whose a SEG is, and where it really lies.

`check_geometry` reads the raw functional groups and pixels of a SEG with no help of the library that
wrote it, so that an error of either is seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels import iter_pixels
from pydicom.tag import Tag

from spine_node.dicom.codes import PARTS, STRUCTURES, Structure
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

    def add(self, voxels: int, total_mm: FloatArray) -> None:
        self.voxels += voxels
        self.total_mm = self.total_mm + total_mm

    @property
    def centroid_mm(self) -> FloatArray:
        return self.total_mm / max(self.voxels, 1)


def check_geometry(
    segs: Dataset | Sequence[Dataset], label_map: LabelMap, tolerance_voxels: float = 0.5
) -> None:
    """Compare each structure's centroid and size, from the SEG's own pixels, with the label map's.

    Parameters
    ----------
    segs : Dataset or sequence of Dataset
        As written by `seg.write_segs`, BINARY or LABELMAP, all instances together; segments are told apart
        by Tracking ID.
    label_map : LabelMap
    tolerance_voxels : float
        In units of the label map's smallest spacing.

    Raises
    ------
    SegGeometryError
        If a structure is missing from either side, lies elsewhere or has another number of voxels.
    """
    segs = [segs] if isinstance(segs, Dataset) else segs
    what = f"SEG {segs[0].SOPInstanceUID}" + (f" with {len(segs) - 1} more" if len(segs) > 1 else "")
    tolerance_mm = tolerance_voxels * float(label_map.grid.spacing_mm.min())
    found = _from_segs(segs)
    expected = _from_label_map(label_map, PARTS if found.keys() & (PARTS.keys() - STRUCTURES) else STRUCTURES)
    if found.keys() != expected.keys():
        raise SegGeometryError(f"{what} holds {sorted(found)}, the label map {sorted(expected)}.")
    for name, there in found.items():
        here = expected[name]
        distance = float(np.linalg.norm(there.centroid_mm - here.centroid_mm))
        if distance > tolerance_mm:
            raise SegGeometryError(
                f"{name} in {what} lies at {_text(there.centroid_mm)} mm, in the label map "
                f"at {_text(here.centroid_mm)} mm: {distance:.2f} mm apart, {tolerance_mm:.2f} mm allowed."
            )
        if there.voxels != here.voxels:
            raise SegGeometryError(f"{name} has {there.voxels} voxels in {what}, {here.voxels} on the grid.")


def _from_segs(segs: Sequence[Dataset]) -> dict[str, _Sum]:
    sums: dict[str, _Sum] = {}
    for seg in segs:
        names = {int(item.SegmentNumber): str(item.TrackingID) for item in seg.SegmentSequence}
        sums |= {name: _Sum() for name in names.values() if name not in sums}
        macros, columns = _Macros(seg.SharedFunctionalGroupsSequence[0]), int(seg.Columns)
        for group, (numbers, at) in zip(_groups(seg), _marked(seg), strict=True):
            position = macros.of(group, "PlanePositionSequence", "ImagePositionPatient")
            cosines = macros.of(group, "PlaneOrientationSequence", "ImageOrientationPatient")
            between_rows, between_columns = macros.of(group, "PixelMeasuresSequence", "PixelSpacing")
            if numbers is None:
                (segment,) = macros.of(group, "SegmentIdentificationSequence", "ReferencedSegmentNumber")
                row, column = np.divmod(at, columns)
                moments = {int(segment): (len(at), float(row.sum()), float(column.sum()))} if len(at) else {}
            else:
                moments = _moments(numbers, at, columns)
            for number, (voxels, row_sum, column_sum) in moments.items():
                if number not in names:
                    raise SegGeometryError(
                        f"SEG {seg.SOPInstanceUID} marks segment {number}, which it does not describe."
                    )
                # PS3.3 C.7.6.2.1.1: the first three cosines are the way the column index grows.
                along = column_sum * between_columns * cosines[:3] + row_sum * between_rows * cosines[3:]
                sums[names[number]].add(voxels, voxels * position + along)
    return sums


class _Macros:
    """Numbers in the functional groups of one SEG. Most frames say the same as others: read once for all."""

    def __init__(self, shared: Dataset) -> None:
        self._shared = shared
        self._read: dict[tuple[str, bytes], FloatArray] = {}

    def of(self, group: Dataset, macro: str, keyword: str) -> FloatArray:
        """What a frame says itself, or else what is shared."""
        own = group.get_item(macro) if macro in group else None
        encoded = b"" if own is None else own.value
        if isinstance(encoded, bytes) and (macro, encoded) in self._read:
            return self._read[macro, encoded]
        value = (self._shared if own is None else group)[macro].value[0][keyword].value
        numbers = np.atleast_1d(np.array(value, dtype=np.float64))
        if isinstance(encoded, bytes):
            self._read[macro, encoded] = numbers
        return numbers


def _groups(seg: Dataset) -> Sequence[Dataset]:
    """Its per-frame groups, parsed beside it: where they are encoded, they stay so until it is saved."""
    tag = Tag("PerFrameFunctionalGroupsSequence")
    groups: Sequence[Dataset] = Dataset({tag: seg.get_item(tag)})[tag].value
    return groups


def _marked(seg: Dataset) -> Iterator[tuple[NDArray[np.integer] | None, NDArray[np.intp]]]:
    """For each frame its pixels that are not zero: segment numbers (LABELMAP), and places in the frame."""
    if seg.SegmentationType == "LABELMAP":
        for frame in iter_pixels(seg, raw=True):
            at = np.flatnonzero(frame != 0)
            yield frame.ravel()[at], at
        return
    packed, pixels = np.frombuffer(seg.PixelData, dtype=np.uint8), int(seg.Rows) * int(seg.Columns)
    for number in range(int(seg.NumberOfFrames)):
        first = number * pixels
        begin, end = first // 8, -(-(first + pixels) // 8)
        some = np.flatnonzero(packed[begin:end] != 0)
        if len(some) == 0:
            yield None, some
            continue
        bits = np.unpackbits(packed[begin + some[0] : begin + some[-1] + 1], bitorder="little")
        at = np.flatnonzero(bits) + 8 * (begin + some[0]) - first
        # Frames need not begin at a byte: the first and last may hold bits of the neighbours.
        yield None, at[(at >= 0) & (at < pixels)]


def _moments(
    numbers: NDArray[np.integer], at: NDArray[np.intp], columns: int
) -> dict[int, tuple[int, float, float]]:
    """How many pixels each number has, and the sums of their row and column indices."""
    row, column = np.divmod(at, columns)
    voxels, rows, all_columns = (np.bincount(numbers, weights) for weights in (None, row, column))
    return {int(n): (int(voxels[n]), float(rows[n]), float(all_columns[n])) for n in np.flatnonzero(voxels)}


def frame_bits(packed: NDArray[np.uint8], number: int, pixels: int) -> NDArray[np.uint8]:
    """One frame of a bit-packed array, in which frames need not begin at a byte (PS3.5 8.1.1)."""
    first = number * pixels
    start, end = first // 8, -(-(first + pixels) // 8)
    bits = np.unpackbits(packed[start:end], bitorder="little")
    return np.asarray(bits[first - 8 * start :][:pixels])


def _from_label_map(label_map: LabelMap, table: Mapping[str, Structure]) -> dict[str, _Sum]:
    name_of = {value: name for name, structure in table.items() for value in structure.values}
    sums: dict[str, _Sum] = {}
    for index, labels in enumerate(label_map.labels):
        line = labels.ravel()
        at = np.flatnonzero(line != 0)
        for value, (voxels, row, column) in _moments(line[at], at, labels.shape[1]).items():
            centre_mm = label_map.grid.to_mm((index, row / voxels, column / voxels))
            sums.setdefault(name_of[value], _Sum()).add(voxels, voxels * centre_mm)
    return sums


def _text(point_mm: FloatArray) -> str:
    return "(" + ", ".join(f"{v:.2f}" for v in point_mm) + ")"
