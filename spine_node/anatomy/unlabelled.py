"""What nobody annotated in a reference label map: neither bone nor background, but unknown.

Real annotations have ends: a vertebra cut by the field, arches that nobody drew well, the spine beyond
the labelled part. Taken as background, these would punish whoever finds the bone that is there.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spine_node.anatomy.levels import IGNORED, LEVEL_OF_VALUE, SACRUM
from spine_node.imaging.volume import Grid

MARGIN_MM = 10.0
"""How far around an ignored structure the background is unknown too: what was drawn badly has no border."""


def mask_unknown(
    labels: NDArray[np.uint8], grid: Grid, ignore: Collection[int] = (), partial_ends: bool = False
) -> NDArray[np.uint8]:
    """Labels with `levels.IGNORED` where nothing is known.

    Parameters
    ----------
    labels : ndarray of uint8, shape of the grid
        Values of `anatomy.levels`; not changed.
    grid : Grid
    ignore : collection of int
        Values that are not to be trusted: they become unknown, and so does background within `MARGIN_MM`.
    partial_ends : bool
        Only a part of the spine in the image is labelled: background above (by LPS z) the centre of the
        highest labelled body that is not ignored becomes unknown, and background below the centre of the
        lowest one unless the sacrum is labelled.

    Returns
    -------
    ndarray of uint8

    Examples
    --------
    >>> column = np.array([0, 23, 0, 22, 0, 121], np.uint8).reshape(6, 1, 1)  # L4, L3 and an arch of L2
    >>> z_up = Grid((6, 1, 1), np.array([[0, 1, 0, 0], [0, 0, 1, 0], [20, 0, 0, 0], [0, 0, 0, 1]]))
    >>> mask_unknown(column, z_up, ignore=[121], partial_ends=True).ravel().tolist()
    [255, 23, 0, 22, 255, 255]
    """
    known = labels.copy()
    spacing = grid.spacing_mm
    reach = np.ceil(MARGIN_MM / spacing).astype(int)
    boxes = ndimage.find_objects(labels, 255) if len(ignore) else []
    for value in set(ignore) - {0}:
        box = boxes[value - 1]
        if box is None:
            continue
        near = tuple(slice(max(0, s.start - r), s.stop + r) for s, r in zip(box, reach, strict=True))
        away = ndimage.distance_transform_edt(labels[near] != value, sampling=spacing)
        unknown = (away == 0) | ((away <= MARGIN_MM) & (labels[near] == 0))
        known[near][unknown] = IGNORED
    if partial_ends:
        low, high = _ends(known, grid)
        z = _heights(grid)
        beyond = z > high
        if not (labels == SACRUM).any():
            beyond |= z < low
        known[beyond & (known == 0)] = IGNORED
    return known


def _ends(labels: NDArray[np.uint8], grid: Grid) -> tuple[float, float]:
    """LPS z of the lowest and the highest centre of a body; everything is between where there is none."""
    bodies = np.isin(labels, list(LEVEL_OF_VALUE))
    where = np.nonzero(bodies)
    if not len(where[0]):
        return -np.inf, np.inf
    values = labels[where]
    heights = np.column_stack(where) @ grid.affine[2, :3] + grid.affine[2, 3]
    counts = np.bincount(values, minlength=256)
    sums = np.bincount(values, weights=heights, minlength=256)
    centres = sums[counts > 0] / counts[counts > 0]
    return float(centres.min()), float(centres.max())


def _heights(grid: Grid) -> NDArray[np.float32]:
    """LPS z of every voxel, mm."""
    i, j, k = np.ogrid[tuple(slice(n) for n in grid.shape)]
    along = grid.affine[2]
    return np.asarray(along[0] * i + along[1] * j + along[2] * k + along[3], dtype=np.float32)
