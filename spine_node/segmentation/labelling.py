"""From log probabilities on the net's grid to a label map on the grid of the series.

Which values there are was decided on the net's grid; here outlines become smooth. It knows no anatomy.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from spine_node.imaging.volume import Grid
from spine_node.segmentation.canonical import Canonical, indices_by_slab, interpolated


def drawn(
    target: Grid,
    view: Canonical,
    semantic: NDArray[np.float32],
    kept: NDArray[np.uint8],
    marks: NDArray[np.uint8],
) -> NDArray[np.uint8]:
    """Values at the voxels of `target`, slab by slab from interpolated log probabilities.

    Parameters
    ----------
    target : Grid
        Of the series.
    view : Canonical
        What the net saw.
    semantic : ndarray, shape (classes, z, y, x)
        Log probabilities on the net's grid.
    kept : ndarray, shape (z, y, x)
        Class of every voxel that was kept, 0 elsewhere.
    marks : ndarray, shape (z, y, x)
        Value of every voxel that was kept, 0 elsewhere.
    """
    labels = np.zeros(target.shape, np.uint8)
    if not kept.any():
        return labels
    box = _source_box(kept > 0, view, target)
    nearest = _spread(marks, kept, len(semantic))
    image = torch.from_numpy(semantic)[None]
    size = np.array(view.grid.shape)
    for rows, index in indices_by_slab(target, view.grid, box):
        picked = interpolated(image, index).argmax(axis=0).astype(np.uint8)
        near = np.clip(np.rint(index), 0, size - 1).astype(np.int32)
        at = (near[..., 0], near[..., 1], near[..., 2])
        out = np.zeros(picked.shape, np.uint8)
        for kind, values in nearest.items():
            here = picked == kind
            out[here] = values[at[0][here], at[1][here], at[2][here]]
        labels[rows] = out
    return labels


def _spread(marks: NDArray[np.uint8], kept: NDArray[np.uint8], classes: int) -> dict[int, NDArray[np.uint8]]:
    """For each tissue, the value that a voxel of it gets anywhere within two voxels of what was kept.

    Interpolated outlines may end up to a voxel outside the net's own; further away is an island
    that was dropped, and stays dropped.
    """
    result = {}
    for kind in range(1, classes):
        seeds = kept == kind
        values = np.zeros(marks.shape, np.uint8)
        if seeds.any():
            box = tuple(slice(max(0, int(a.min()) - 3), int(a.max()) + 4) for a in np.nonzero(seeds))
            away, index = ndimage.distance_transform_edt(~seeds[box], return_indices=True)
            values[box] = np.where(away <= 2.0, marks[box][tuple(index)], 0)
        result[kind] = values
    return result


def _source_box(kept: NDArray[np.bool_], view: Canonical, target: Grid) -> tuple[slice, slice, slice]:
    """The part of the series that can hold anything: index ranges along its axes."""
    spans = [np.flatnonzero(kept.any(axis=tuple(b for b in range(3) if b != a))) for a in range(3)]
    corners = np.array(np.meshgrid(*[(s[0] - 2, s[-1] + 2) for s in spans])).reshape(3, -1).T
    index = target.to_index(view.grid.to_mm(corners))
    low = np.clip(np.floor(index.min(axis=0)), 0, target.shape).astype(int)
    high = np.clip(np.ceil(index.max(axis=0)) + 1, 0, target.shape).astype(int)
    return slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2])
