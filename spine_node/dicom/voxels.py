"""Pixels of a series as grey values on its grid, one slice in memory at a time beside the result."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.pixels import iter_pixels
from pydicom.uid import DeflatedExplicitVRLittleEndian

from spine_node.dicom.frames import Frame, is_multiframe
from spine_node.dicom.series import ImageSeries
from spine_node.errors import SeriesRefused
from spine_node.imaging.volume import Volume

_INT16 = np.iinfo(np.int16)

UNDECODABLE = (
    AttributeError, EOFError, IndexError, KeyError, NotImplementedError, OSError, RuntimeError, TypeError,
    ValueError,
)  # fmt: skip
"""What pydicom and its decoders raise on damaged or unknown pixel data."""


def read_volume(series: ImageSeries) -> Volume:
    """Grey values = slope * stored + intercept; int16 when that is exact, else float32.

    Raises
    ------
    SeriesRefused
        If a slice has no pixels, is not grey, or cannot be decoded.
    """
    place = {(frame.header, frame.number): index for index, frame in enumerate(series.frames)}
    whole = all(f.slope.is_integer() and f.intercept.is_integer() for f in series.frames)
    values: NDArray[np.generic] = np.empty(series.grid.shape, dtype=np.int16 if whole else np.float32)
    for header, number, stored in _slices(series):
        index = place[header, number]
        grey = _grey(stored, series.frames[index])
        if values.dtype == np.int16 and not (_INT16.min <= grey.min() and grey.max() <= _INT16.max):
            values = values.astype(np.float32)
        values[index] = grey
    return Volume(series.grid, values)


def _grey(stored: NDArray[np.generic], frame: Frame) -> NDArray[np.generic]:
    if frame.slope == 1 and frame.intercept == 0:
        return stored
    if frame.slope.is_integer() and frame.intercept.is_integer() and stored.dtype.kind in "iu":
        return np.asarray(stored.astype(np.int64) * int(frame.slope) + int(frame.intercept))
    return np.asarray(stored * np.float64(frame.slope) + frame.intercept)


def _slices(series: ImageSeries) -> Iterator[tuple[int, int, NDArray[np.generic]]]:
    """Index of header, index of frame and stored values of every slice, in file order."""
    for index, (header, path) in enumerate(zip(series.headers, series.paths, strict=True)):
        uid = header.SOPInstanceUID
        if header.get("SamplesPerPixel", 1) != 1 or header.get("PhotometricInterpretation") != "MONOCHROME2":
            raise SeriesRefused(
                f"instance {uid} is {header.get('PhotometricInterpretation')} with "
                f"{header.get('SamplesPerPixel')} samples a pixel; MONOCHROME2 with one was expected."
            )
        expected = series.frames[0].shape
        numbers = (
            {frame.number for frame in series.frames if frame.header == index} if series.multiframe else {0}
        )
        seen = 0
        try:
            for number, stored in enumerate(iter_pixels(_source(header, path), raw=True)):
                if number in numbers:
                    if stored.shape != expected:
                        raise ValueError(f"{stored.shape} pixels decoded, {expected} expected")
                    yield index, number, stored
                    seen += 1
        except UNDECODABLE as problem:
            syntax = _transfer_syntax(header)
            raise SeriesRefused(
                f"pixels of instance {uid} ({syntax}) cannot be decoded: {problem}"
            ) from problem
        if seen != len(numbers):
            raise SeriesRefused(
                f"instance {uid} holds {seen} frames of pixels, {len(numbers)} were expected."
            )


def _source(header: pydicom.Dataset, path: Path) -> Path | pydicom.Dataset:
    """What to decode from: a large file piece by piece, any other whole.

    Raises
    ------
    EOFError
        If the file ends before its pixels do; a decoder would fill up what is missing.
    """
    piecewise = is_multiframe(header) and header.file_meta.TransferSyntaxUID != DeflatedExplicitVRLittleEndian
    whole = pydicom.dcmread(path, defer_size="1 MB" if piecewise else None)
    if "PixelData" not in whole:
        raise EOFError("it has no pixel data, or ends before they do")
    return path if piecewise else whole


def _transfer_syntax(header: pydicom.Dataset) -> str:
    meta = getattr(header, "file_meta", None)
    return (
        str(meta.TransferSyntaxUID.name)
        if meta and "TransferSyntaxUID" in meta
        else "unknown transfer syntax"
    )
