"""Scans and label maps as annotators have them: a DICOM folder or NIfTI, a corrected SEG or NIfTI."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spine_node import nifti
from spine_node.dicom.seg_reading import OFF_GRID_VOXELS, is_seg, seg_reading
from spine_node.dicom.series import ImageSeries, read_series
from spine_node.dicom.voxels import read_volume
from spine_node.errors import LabelMapRefused
from spine_node.imaging.volume import Grid, LabelMap, Volume


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """An image and where it came from; `series` is None for NIfTI."""

    volume: Volume
    path: Path
    series: ImageSeries | None

    @property
    def source(self) -> dict[str, object]:
        """What names the image for ever, without a patient: UIDs, or the SHA-256 of the file."""
        if self.series is None:
            return {"file": self.path.name, "sha256": hashlib.sha256(self.path.read_bytes()).hexdigest()}
        return {
            "StudyInstanceUID": self.series.study_uid,
            "SeriesInstanceUID": self.series.series_uid,
            "FrameOfReferenceUID": self.series.frame_of_reference_uid,
            "instances": len(self.series.headers),
        }


def read_scan(path: Path) -> Scan:
    """A DICOM folder or a NIfTI file.

    Raises
    ------
    SeriesRefused
        If it is neither, or cannot become a volume.
    """
    if not path.is_dir():
        return Scan(nifti.read_volume(path), path, None)
    series = read_series(path)
    return Scan(read_volume(series), path, series)


def read_labels(path: Path, grid: Grid | None = None, frame_of_reference_uid: str | None = None) -> Labels:
    """A corrected label map: NIfTI, a DICOM Segmentation, or a folder of them.

    Vertebrae that are one segment have the value of their body all over; `anatomy.split` parts them.

    Parameters
    ----------
    path : Path
    grid : Grid, optional
        The grid wanted. NIfTI may be turned or cropped, its voxels must be the grid's; a Segmentation has
        no grid of its own and needs one.
    frame_of_reference_uid : str, optional
        Of the image; a Segmentation in another space is refused.

    Raises
    ------
    LabelMapRefused
        If it cannot be read, lies on other voxels, or needs a grid and none is given.
    """
    if path.is_dir() or is_seg(path):
        if grid is None:
            raise LabelMapRefused(
                f"{path} is DICOM, which has no grid of its own: give its image with --series."
            )
        reading = seg_reading(path, grid, frame_of_reference_uid=frame_of_reference_uid, whole="body")
        return Labels(reading.label_map, reading.notes)
    label_map = nifti.read_label_map(path)
    return Labels(label_map if grid is None else onto(label_map, grid, path.name), ())


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """A label map that was read, and what its reader has to say."""

    label_map: LabelMap
    notes: tuple[str, ...]


def onto(label_map: LabelMap, grid: Grid, name: str) -> LabelMap:
    """The same voxels in the array order of another grid; nothing is resampled.

    Raises
    ------
    LabelMapRefused
        If the voxels are not the same, or labels lie beyond the grid.
    """
    if label_map.grid.matches(grid):
        return label_map
    exact = np.linalg.inv(grid.affine) @ label_map.grid.affine
    turn, start = np.rint(exact[:3, :3]), np.rint(exact[:3, 3])
    reach = np.array(label_map.grid.shape) - 1
    off = float((np.abs(exact[:3, :3] - turn) @ reach + np.abs(exact[:3, 3] - start)).max())
    permutes = (np.abs(turn).sum(axis=0) == 1).all() and (np.abs(turn).sum(axis=1) == 1).all()
    if not permutes or off > OFF_GRID_VOXELS:
        raise LabelMapRefused(
            f"{name} has {_words(label_map.grid)}, the image {_words(grid)}: they are not the same voxels "
            f"({off:.2f} apart, {OFF_GRID_VOXELS} allowed). Save the correction on the grid of the image."
        )
    source = np.argmax(np.abs(turn), axis=1)  # which axis of the label map runs along each of the grid's
    turned: NDArray[np.uint8] = np.transpose(label_map.labels, source)
    first = start.astype(int)
    for axis in range(3):
        if turn[axis, source[axis]] < 0:
            turned = np.flip(turned, axis)
            first[axis] -= turned.shape[axis] - 1
    out = np.zeros(grid.shape, np.uint8)
    low, high = np.maximum(first, 0), np.minimum(first + turned.shape, grid.shape)
    inner = turned[
        tuple(slice(max(b - a, 0), max(c - a, 0)) for a, b, c in zip(first, low, high, strict=True))
    ]
    if np.count_nonzero(inner) != np.count_nonzero(turned):
        raise LabelMapRefused(f"{name} labels voxels outside the image: it was drawn on another one.")
    if inner.size:
        out[tuple(slice(b, c) for b, c in zip(low, high, strict=True))] = inner
    return LabelMap(grid, out)


def _words(grid: Grid) -> str:
    shape = " x ".join(str(n) for n in grid.shape)
    return f"{shape} voxels of {' x '.join(f'{s:.3f}' for s in grid.spacing_mm)} mm"
