"""Pixels of a series as grey values on its grid, one slice in memory at a time beside the result."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import DTypeLike, NDArray

from spine_node.dicom.frames import Frame
from spine_node.dicom.pixels import MAX_VOLUME_BYTES, stored_frames, transfer_syntax
from spine_node.dicom.series import ImageSeries
from spine_node.errors import SeriesRefused
from spine_node.imaging.volume import Volume

_INT16, _FLOAT32 = np.iinfo(np.int16), np.finfo(np.float32)

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
        If a slice has no pixels, cannot be decoded, or has other pixels than its header says; if the
        grey values are no finite numbers, or all the same.
    """
    place = {(frame.header, frame.number): index for index, frame in enumerate(series.frames)}
    whole = all(f.slope.is_integer() and f.intercept.is_integer() for f in series.frames)
    values = _room(series, np.int16 if whole else np.float32)
    least, most = np.inf, -np.inf
    for header, number, stored in _slices(series):
        index = place[header, number]
        frame = series.frames[index]
        # slopes are positive: the extremes stay the extremes
        low, high = map(float, _grey(np.array([stored.min(), stored.max()]), frame))
        if not (np.isfinite([low, high]).all() and max(abs(low), abs(high)) <= _FLOAT32.max):
            raise SeriesRefused(
                f"{frame.name} of series {series.series_uid} has grey values from {low:g} to "
                f"{high:g}: its pixels, Rescale Slope or Rescale Intercept are wrong."
            )
        least, most = min(least, low), max(most, high)
        if values.dtype == np.int16 and not (_INT16.min <= low and high <= _INT16.max):
            wider = _room(series, np.float32)
            wider[...] = values
            values = wider
        values[index] = _words(stored, frame) if values.dtype == np.int16 else _grey(stored, frame)
    if least == most:
        raise SeriesRefused(
            f"every voxel of series {series.series_uid} has the grey value {least:g}: there is no image "
            "in it. The pixels were blanked or never written."
        )
    return Volume(series.grid, values)


def _room(series: ImageSeries, dtype: DTypeLike) -> NDArray[np.generic]:
    needed = int(np.prod(series.grid.shape, dtype=object)) * np.dtype(dtype).itemsize
    if needed > MAX_VOLUME_BYTES:
        raise SeriesRefused(
            f"series {series.series_uid} needs {needed / 2**30:.1f} GiB as {np.dtype(dtype)}, which its grey "
            f"values ask for; at most {MAX_VOLUME_BYTES / 2**30:g} GiB are read."
        )
    return np.zeros(series.grid.shape, dtype=dtype)


def _grey(stored: NDArray[np.generic], frame: Frame) -> NDArray[np.generic]:
    if frame.slope == 1 and frame.intercept == 0:
        return stored
    if frame.slope.is_integer() and frame.intercept.is_integer() and stored.dtype.kind in "iu":
        return np.asarray(stored.astype(np.int64) * int(frame.slope) + int(frame.intercept))
    return np.asarray(stored * np.float64(frame.slope) + frame.intercept)


def _words(stored: NDArray[np.generic], frame: Frame) -> NDArray[np.int16]:
    """Grey values that are known to fit int16: modulo 65536 they are exact, whatever is on the way."""
    slope, intercept = (np.array(int(n)).astype(np.int16) for n in (frame.slope, frame.intercept))
    words = stored.astype(np.int16, copy=False)
    return words if slope == 1 and intercept == 0 else np.asarray(words * slope + intercept)


def _slices(series: ImageSeries) -> Iterator[tuple[int, int, NDArray[np.generic]]]:
    """Index of header, index of frame and stored values of every slice, in file order."""
    shape = series.frames[0].shape
    for index, (header, path) in enumerate(zip(series.headers, series.paths, strict=True)):
        numbers = (
            {frame.number for frame in series.frames if frame.header == index} if series.multiframe else {0}
        )
        seen = 0
        frames = stored_frames(header, path, shape)
        while True:
            try:
                stored = next(frames, None)
            except BaseException as problem:  # a panic of a decoder in Rust is no Exception
                if isinstance(problem, KeyboardInterrupt | SystemExit):
                    raise
                seen_there = " ".join(str(problem).split())[:300] or type(problem).__name__
                syntax = transfer_syntax(header).name or "unknown transfer syntax"
                raise SeriesRefused(
                    f"pixels of instance {header.SOPInstanceUID} ({syntax}) cannot be decoded: "
                    f"{seen_there}. The instance is damaged, or its header wrong; the "
                    "sender must send it again."
                ) from problem
            if stored is None:
                break
            if seen in numbers:
                yield index, seen, stored
            seen += 1
        if seen != len(numbers):
            raise SeriesRefused(
                f"instance {header.SOPInstanceUID} holds {seen} frames of pixels, "
                f"{len(numbers)} were expected."
            )
