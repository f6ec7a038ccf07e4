"""Pixels of a Segmentation straight from a label map: one bit each, or run-length encoded numbers.

Both go through the label map one slice at a time, and never hold a mask of the whole volume.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spine_node.imaging.volume import LabelMap

LONGEST_RUN = 128
"""Pixels that one run of PackBits may have (PS3.5 G.3.1)."""


def values_in_slices(label_map: LabelMap) -> NDArray[np.bool_]:
    """Which label values occur in which slice, shape (slices, 256)."""
    there = np.zeros((label_map.grid.shape[0], 256), dtype=bool)
    for present, labels in zip(there, label_map.labels, strict=True):
        line = labels.ravel()
        # Every value but that of the first voxel appears where the line changes: far fewer places to look.
        present[line[0]] = True
        present[line[1:][line[1:] != line[:-1]]] = True
    return there


def packed_bits(label_map: LabelMap, frames: Sequence[tuple[int, Sequence[int]]]) -> bytes:
    """BINARY pixels: frames follow each other without a gap, wherever in a byte that is (PS3.5 8.1.1).

    Parameters
    ----------
    label_map : LabelMap
    frames : sequence of (int, sequence of int)
        For each frame its slice, and the label values that are inside the segment.

    Returns
    -------
    bytes
        Of even length; bits beyond the last frame are zero.
    """
    _, rows, columns = label_map.grid.shape
    pixels = rows * columns
    packed = np.zeros(-(-len(frames) * pixels // 16) * 2, dtype=np.uint8)
    window, other = np.zeros(pixels + 7, dtype=bool), np.empty(pixels, dtype=bool)
    marked = {index: _marked_rows(label_map.labels[index]) for index in {index for index, _ in frames}}
    for number, (index, values) in enumerate(frames):
        first, labels = marked[index]
        byte, bit = divmod(number * pixels + first * columns, 8)
        window[:bit] = False
        inside = window[bit : bit + labels.size]
        np.equal(labels, values[0], out=inside)
        for value in values[1:]:
            inside |= np.equal(labels, value, out=other[: labels.size])
        bits = np.packbits(window[: bit + labels.size], bitorder="little")
        packed[byte : byte + len(bits)] |= bits
    return packed.tobytes()


def run_lengths(labels: NDArray[np.uint8], numbers: NDArray[np.uint8]) -> bytes:
    """One frame of segment numbers, RLE Lossless (PS3.5 G).

    A label map is runs of equal pixels and little else. A run of 2 to 128 pixels is the byte 257 - length
    and the pixel; a single one is a literal run of one, the byte 0 and the pixel: the same formula, modulo
    256. No run goes on into the next row.

    Parameters
    ----------
    labels : ndarray, shape (rows, columns)
        One slice of a label map.
    numbers : ndarray, shape (256,)
        Segment number of each label value.
    """
    line, columns = labels.ravel(), labels.shape[1]
    must = (np.arange(columns) % LONGEST_RUN == 0)[None, :].repeat(len(labels), axis=0).ravel()
    begins = must.copy()
    begins[1:] |= line[1:] != line[:-1]
    starts = np.flatnonzero(begins)
    pixels = numbers[line[starts]]
    # Two label values may be one segment: there a run goes on.
    kept = must[starts]
    kept[1:] |= pixels[1:] != pixels[:-1]
    starts, pixels = starts[kept], pixels[kept]
    runs = np.empty((len(starts), 2), dtype=np.uint8)
    runs[:, 0] = (257 - np.diff(starts, append=len(line))) % 256
    runs[:, 1] = pixels
    header = np.zeros(16, dtype="<u4")
    header[:2] = 1, header.nbytes  # one segment, and where it begins
    return header.tobytes() + runs.tobytes()


def _marked_rows(labels: NDArray[np.uint8]) -> tuple[int, NDArray[np.uint8]]:
    """The first row in which anything is labelled, and the labels from there to the last, as one line."""
    rows = np.flatnonzero(labels.any(axis=1))
    first, last = (int(rows[0]), int(rows[-1])) if len(rows) else (0, -1)
    return first, labels[first : last + 1].ravel()
