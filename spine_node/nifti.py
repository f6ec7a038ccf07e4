"""NIfTI files in and out: the format of researchers' label maps. Knows nothing of DICOM."""

from __future__ import annotations

import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from spine_node.errors import LabelMapRefused, SeriesRefused
from spine_node.imaging.affine import lps_from_ras, ras_from_lps
from spine_node.imaging.volume import Grid, LabelMap, Volume

_UNUSABLE = (OSError, EOFError, ValueError, TypeError, zlib.error, nib.filebasedimages.ImageFileError)
"""What reading raises for a file that is no image, is cut off, or holds colours."""


def _read(path: Path) -> tuple[Grid, nib.spatialimages.SpatialImage]:
    image = nib.load(path)
    if not isinstance(image, nib.spatialimages.SpatialImage) or len(image.shape) != 3:
        raise ValueError(f"expected a 3-D image, found shape {getattr(image, 'shape', None)}")
    i, j, k = image.shape
    return Grid((i, j, k), lps_from_ras(np.asarray(image.affine))), image


def read_volume(path: Path) -> Volume:
    """Grey values of a NIfTI file, scaled as its header says, float32.

    Raises
    ------
    SeriesRefused
        If the file is no three-dimensional NIfTI image with a usable affine.
    """
    try:
        grid, image = _read(path)
        values = np.asarray(image.dataobj, dtype=np.float32)
    except _UNUSABLE as error:
        raise SeriesRefused(f"{path} is not a NIfTI volume: {error}") from error
    return Volume(grid, values)


def read_label_map(path: Path) -> LabelMap:
    """Structure values of a NIfTI file.

    Raises
    ------
    LabelMapRefused
        If the file is no three-dimensional NIfTI image, or holds other values than whole 0..255.
    """
    grid, raw = _raw_labels(path)
    labels = raw.astype(np.uint8)
    if not np.array_equal(labels, raw):
        raise LabelMapRefused(
            f"{path} is not a label map: it holds values from {raw.min():g} to {raw.max():g}, "
            "whole numbers from 0 to 255 were expected. Is it the image itself?"
        )
    return LabelMap(grid, labels)


def read_whole_numbers(path: Path) -> tuple[Grid, NDArray[np.int64]]:
    """Label values of any scheme, which may go beyond 255.

    Raises
    ------
    LabelMapRefused
        If the file is no three-dimensional NIfTI image, or holds other values than whole ones from 0.
    """
    grid, raw = _raw_labels(path)
    labels = raw.astype(np.int64)
    if not np.array_equal(labels, raw) or labels.min() < 0 or labels.max() > 65535:
        raise LabelMapRefused(
            f"{path} is not a label map: it holds values from {raw.min():g} to {raw.max():g}, whole numbers "
            "from 0 to 65535 were expected. Is it the image itself?"
        )
    return grid, labels


def _raw_labels(path: Path) -> tuple[Grid, NDArray[np.generic]]:
    try:
        grid, image = _read(path)
        return grid, np.asarray(image.dataobj)
    except _UNUSABLE as error:
        raise LabelMapRefused(f"{path} is not a NIfTI label map: {error}") from error


def write_label_map(label_map: LabelMap, path: Path) -> None:
    """Write structure values as NIfTI uint8, compressed when the name ends in .gz."""
    # In the file the first index runs fastest. Only what is labelled need be turned round for that.
    labels = np.zeros(label_map.grid.shape, dtype=np.uint8, order="F")
    for index, of_slice in enumerate(label_map.labels):
        at = of_slice != 0
        labels[index][at] = of_slice[at]
    image = nib.Nifti1Image(labels, ras_from_lps(label_map.grid.affine))
    image.set_data_dtype(np.uint8)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)


def write_volume(volume: Volume, path: Path) -> None:
    """Write grey values as NIfTI in their own type."""
    image = nib.Nifti1Image(volume.values, ras_from_lps(volume.grid.affine))
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
