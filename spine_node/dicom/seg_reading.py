"""A DICOM Segmentation, ours or another's, as a label map on the grid of its source.

Frames are placed by their own position and directions; nothing is taken from their order or number.
A pixel that is not on a voxel of the grid is refused, never resampled. `seg_meaning` says which segment
is which structure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.pixels import iter_pixels

from spine_node.anatomy.levels import POSTERIOR_OFFSET
from spine_node.anatomy.names import Named
from spine_node.dicom.checks import frame_bits
from spine_node.dicom.seg_meaning import meanings_of
from spine_node.dicom.voxels import UNDECODABLE
from spine_node.errors import LabelMapRefused
from spine_node.imaging.volume import FloatArray, Grid, LabelMap

SEG_CLASSES = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
"""Segmentation Storage and Label Map Segmentation Storage."""

OFF_GRID_VOXELS = 0.1
"""How far a pixel may be from its voxel's centre; a grid mistaken by half a voxel is far beyond."""

FRACTION = 0.5
"""A FRACTIONAL pixel of at least this share of its maximum is inside."""


@dataclass(frozen=True, slots=True, eq=False)
class SegReading:
    """What a Segmentation holds, on the grid of its source.

    Attributes
    ----------
    label_map : LabelMap
    notes : tuple of str
        What a person should know: names that contradict codes, segments passed over, overlaps.
    """

    label_map: LabelMap
    notes: tuple[str, ...]


def is_seg(path: Path) -> bool:
    """Whether this file is a DICOM Segmentation."""
    try:
        found = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SOPClassUID"])
    except (InvalidDicomError, OSError, EOFError):
        return False
    return str(found.get("SOPClassUID")) in SEG_CLASSES


def read_seg(
    source: Path | Sequence[Path],
    grid: Grid,
    *,
    frame_of_reference_uid: str | None = None,
    unknown: Literal["refuse", "ignore"] = "refuse",
    whole: Literal["refuse", "body"] = "refuse",
) -> LabelMap:
    """The label map of one Segmentation, or of several together; see `seg_reading`."""
    return seg_reading(
        source, grid, frame_of_reference_uid=frame_of_reference_uid, unknown=unknown, whole=whole
    ).label_map


def seg_reading(
    source: Path | Sequence[Path],
    grid: Grid,
    *,
    frame_of_reference_uid: str | None = None,
    unknown: Literal["refuse", "ignore"] = "refuse",
    whole: Literal["refuse", "body"] = "refuse",
) -> SegReading:
    """Read Segmentations (BINARY, FRACTIONAL, LABELMAP) onto the grid of their source.

    Frames that are missing are empty. Frames may be cropped, turned over or cut across another axis
    than the source, as long as their pixels are voxels of the grid. Where segments overlap, posterior
    elements come before all else, then the later segment before the earlier.

    Parameters
    ----------
    source : Path or sequence of Path
        Segmentation files; of a folder, every one in it.
    grid : Grid
        Of the source series (`ImageSeries.grid`) or of any label map in the same space.
    frame_of_reference_uid : str, optional
        Of the source series; a Segmentation in another space is refused.
    unknown : str
        "refuse" segments that name no structure of ours, or "ignore" them with a note.
    whole : str
        What to do with a vertebra whose posterior elements are no segment of their own: "refuse", or give
        all of it the value of its "body" (to be split afterwards).

    Raises
    ------
    LabelMapRefused
        If a file is no Segmentation or damaged, is in another space or off the grid, a segment is not
        understood, or nothing is labelled.
    """
    labels = np.zeros(grid.shape, dtype=np.uint8)
    rank = np.zeros(256, dtype=np.int32)
    notes: list[str] = []
    files = [(path, _header(path)) for path in _files(source)]
    named = []
    for path, ds in files:
        _check_space(path, ds, frame_of_reference_uid)
        meaning, more = meanings_of(ds.SegmentSequence, path.name, ignore_unknown=unknown == "ignore")
        named.append(meaning)
        notes += more
    notes += _check_parts(named, whole)
    contested = 0
    for place, ((path, _), meaning) in enumerate(zip(files, named, strict=True)):
        for number, found in meaning.items():
            later = 1 + place * 65536 + number
            rank[found.value] = later + (2**30 if found.value > POSTERIOR_OFFSET else 0)
        contested += _paint(labels, rank, grid, path, {n: f.value for n, f in meaning.items()})
    if not labels.any():
        raise LabelMapRefused(f"{_names(files)}: no voxel of the grid is in a segment that we know.")
    if contested:
        notes.append(
            f"{contested} voxels lay in two segments; posterior elements have them, else the later segment."
        )
    return SegReading(LabelMap(grid, labels), tuple(notes))


def _files(source: Path | Sequence[Path]) -> list[Path]:
    if not isinstance(source, Path):
        return list(source)
    if not source.is_dir():
        return [source]
    found = sorted(p for p in source.rglob("*") if p.is_file() and is_seg(p))
    if not found:
        raise LabelMapRefused(f"{source} holds no DICOM Segmentation.")
    return found


def _header(path: Path) -> Dataset:
    try:
        ds = pydicom.dcmread(path, stop_before_pixels=True)
    except (InvalidDicomError, *UNDECODABLE) as problem:
        raise LabelMapRefused(f"{path} is no DICOM file that can be read: {problem}") from problem
    kind = str(ds.get("SOPClassUID") or "")
    if kind not in SEG_CLASSES:
        what = pydicom.uid.UID(kind).name or "of no class"
        raise LabelMapRefused(f"{path} is {what}; a DICOM Segmentation was expected.")
    missing = [
        keyword
        for keyword in ("SegmentSequence", "SegmentationType", "PerFrameFunctionalGroupsSequence", "Rows")
        if not ds.get(keyword)
    ]
    if missing:
        raise LabelMapRefused(f"{path} is a damaged Segmentation: {', '.join(missing)} missing or empty.")
    return ds


def _names(files: Sequence[tuple[Path, Dataset]]) -> str:
    return ", ".join(path.name for path, _ in files)


def _check_space(path: Path, ds: Dataset, frame_of_reference_uid: str | None) -> None:
    own = str(ds.get("FrameOfReferenceUID") or "")
    if frame_of_reference_uid and own and own != frame_of_reference_uid:
        raise LabelMapRefused(
            f"{path.name} is in the frame of reference {own}, the image in {frame_of_reference_uid}: "
            "it was drawn on another scan."
        )


def _check_parts(named: Sequence[dict[int, Named]], whole: str) -> list[str]:
    """See that every vertebra comes with its posterior elements apart, unless whole ones are wanted."""
    every = [found for meaning in named for found in meaning.values()]
    apart = {found.structure for found in every if found.part == "posterior"}
    alone = [f.structure for f in every if f.whole_vertebra and f.structure not in apart]
    if alone and whole == "refuse":
        raise LabelMapRefused(
            f"body and posterior elements are one segment in {', '.join(alone)}; two were expected "
            f'("{alone[0]} body" and "{alone[0]} posterior elements").'
        )
    return [f"body and posterior elements are one segment in {', '.join(alone)}."] if alone else []


def _paint(
    labels: NDArray[np.uint8], rank: NDArray[np.int32], grid: Grid, path: Path, values: dict[int, int]
) -> int:
    """Write one file's frames into the labels; returns how many voxels were contested."""
    ds = pydicom.dcmread(path)
    table = np.zeros(65536, dtype=np.uint8)
    table[list(values)] = list(values.values())
    groups = list(ds.PerFrameFunctionalGroupsSequence)
    kind = str(ds.SegmentationType)
    contested = count = 0
    try:
        for group, stored in zip(groups, _frames(ds), strict=True):
            count += 1
            if kind == "LABELMAP":
                frame = table[stored]
            else:
                value = table[int(_group(ds, group, "SegmentIdentificationSequence").ReferencedSegmentNumber)]
                inside = (
                    stored > 0
                    if kind == "BINARY"
                    else stored >= FRACTION * int(ds.get("MaximumFractionalValue", 255))
                )
                frame = np.where(inside, value, 0).astype(np.uint8)
            contested += _place(labels, rank, grid, ds, group, frame, path)
    except UNDECODABLE as problem:
        raise LabelMapRefused(
            f"{path.name}: frame {count + 1} of {len(groups)} cannot be read: {problem}"
        ) from problem
    return contested


def _frames(ds: Dataset) -> Iterator[NDArray[np.generic]]:
    """Stored pixels of each frame, shape (rows, columns)."""
    syntax = ds.file_meta.TransferSyntaxUID
    if int(ds.BitsAllocated) != 1 or syntax.is_compressed or not syntax.is_little_endian:
        yield from iter_pixels(ds, raw=True)
        return
    # The library's own iterator loses its place where frames begin inside a byte.
    packed, shape = np.frombuffer(ds.PixelData, dtype=np.uint8), (int(ds.Rows), int(ds.Columns))
    for number in range(int(ds.NumberOfFrames)):
        yield frame_bits(packed, number, shape[0] * shape[1]).reshape(shape)


def _place(
    labels: NDArray[np.uint8],
    rank: NDArray[np.int32],
    grid: Grid,
    ds: Dataset,
    group: Dataset,
    frame: NDArray[np.uint8],
    path: Path,
) -> int:
    pixels = np.argwhere(frame)
    if len(pixels) == 0:
        return 0
    start, steps = _on_grid(grid, ds, group, frame.shape, path)
    voxels = start + pixels @ steps
    if (voxels < 0).any() or (voxels >= grid.shape).any():
        raise LabelMapRefused(
            f"{path.name} marks voxels outside the image: up to index {voxels.max(axis=0).tolist()} from "
            f"{voxels.min(axis=0).tolist()}, the image has {list(grid.shape)}. It was drawn on another scan."
        )
    at = tuple(voxels.T)
    new, old = frame[tuple(pixels.T)], labels[at]
    other = (old > 0) & (old != new)
    # Posterior elements inside their own whole vertebra are no contest.
    contested = other & (np.abs(old.astype(int) - new) != POSTERIOR_OFFSET)
    labels[at] = np.where(rank[new] >= rank[old], new, old)
    return int(contested.sum())


def _on_grid(
    grid: Grid, ds: Dataset, group: Dataset, shape: tuple[int, ...], path: Path
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Grid index of a frame's first pixel, and the steps (2, 3) in index of its rows and columns."""
    position = np.array(_group(ds, group, "PlanePositionSequence").ImagePositionPatient, dtype=float)
    cosines = np.array(_group(ds, group, "PlaneOrientationSequence").ImageOrientationPatient, dtype=float)
    between = np.array(_group(ds, group, "PixelMeasuresSequence").PixelSpacing, dtype=float)
    # PS3.3 C.7.6.2.1.1: the first three cosines are the way the column index grows.
    steps_mm = np.stack([cosines[3:] * between[0], cosines[:3] * between[1]])
    start: FloatArray = grid.to_index(position)
    steps: FloatArray = grid.to_index(position + steps_mm) - start
    whole_start, whole_steps = np.rint(start), np.rint(steps)
    corners = np.array([(0, 0), (0, shape[1] - 1), (shape[0] - 1, 0), (shape[0] - 1, shape[1] - 1)])
    off = np.abs((start - whole_start) + corners @ (steps - whole_steps)).max()
    if off > OFF_GRID_VOXELS or not np.array_equal(np.sort(np.abs(whole_steps).sum(axis=1)), [1, 1]):
        raise LabelMapRefused(
            f"{path.name} is not on the grid of the image: a frame of {between[0]:.3f} x {between[1]:.3f} mm "
            f"pixels at {np.round(position, 3).tolist()} mm lies up to {off:.2f} voxels beside the voxels "
            f"of {' x '.join(f'{s:.3f}' for s in grid.spacing_mm)} mm ({OFF_GRID_VOXELS} allowed). "
            "Export it with the image as its geometry."
        )
    return whole_start.astype(np.int64), whole_steps.astype(np.int64)


def _group(ds: Dataset, group: Dataset, keyword: str) -> Dataset:
    """The functional group of a frame, or the one that all frames share."""
    shared = ds.get("SharedFunctionalGroupsSequence") or [Dataset()]
    found = group.get(keyword) or shared[0].get(keyword)
    if not found:
        raise KeyError(f"{keyword} is missing")
    item: Dataset = found[0]
    return item
