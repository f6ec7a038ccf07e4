"""A label map without its image: the bones as solid bodies in the light of a lamp beside the observer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spine_node.imaging.volume import FloatArray, LabelMap
from spine_node.pictures.projection import (
    NUMBER_OF_VALUE,
    Axes,
    Course,
    Extent,
    Projection,
    index_of,
    pixels,
    within,
)

LAMP = np.array([-0.35, 0.45, 0.82])
"""Direction to the lamp: to the left of the picture, up, towards the observer."""

AMBIENT = 0.35
"""Brightness of a surface that the lamp does not reach."""

CUT, BEHIND = 0.9, 0.5
"""Brightness of a cut, and of what lies behind it."""

FADE_MM = 160.0
"""Depth at which brightness has halved."""

STEP_MM = 1.4
"""Between looks in depth: bone is nowhere thinner on a label map."""

SMOOTH_MM = 1.2
"""Stairs of voxels are smoothed over this distance before they meet the light."""


def from_the_front(
    label_map: LabelMap, axes: Axes, extent_mm: Extent, spine: Course, mm: float
) -> Projection:
    """The whole spine and pelvis, seen from the front; the patient's left is on the right.

    Parameters
    ----------
    label_map : LabelMap
    axes : Axes
    extent_mm : tuple of float
        What is shown.
    spine : Course
        From the same label map and axes.
    mm : float
        Size of a pixel.
    """
    across, heights, extent_mm = pixels(extent_mm, mm)
    place = np.zeros((len(heights), len(across), 3))
    place[..., 0], place[..., 2] = across, heights[:, None]
    place[..., 1] = spine.low[1] - 1
    offsets = np.arange(0, spine.high[1] - spine.low[1] + 2, STEP_MM)
    where = _outline_of_all(label_map, axes, 0, extent_mm, (len(heights), len(across)), mm)
    number, depth = first_met(label_map, axes.lps(place), axes.posterior, offsets, where)
    return Projection(None, number, _lit(depth, number, mm), extent_mm)


def from_the_left(label_map: LabelMap, axes: Axes, extent_mm: Extent, spine: Course, mm: float) -> Projection:
    """The right half, cut along the spine's course and seen from the left; posterior is on the right.

    The cut itself is bright and flat, what lies behind it is darker. Parameters as of `from_the_front`.
    """
    across, heights, extent_mm = pixels(extent_mm, mm)
    place = np.zeros((len(heights), len(across), 3))
    place[..., 1], place[..., 2] = across, heights[:, None]
    place[..., 0] = spine.depth_at(heights, 0)[:, None]
    furthest = float(place[..., 0].max() - spine.low[0])
    offsets = np.arange(0, furthest + STEP_MM, STEP_MM)
    where = _outline_of_all(label_map, axes, 1, extent_mm, (len(heights), len(across)), mm)
    number, depth = first_met(label_map, axes.lps(place), -axes.left, offsets, where)
    cut = ndimage.gaussian_filter((depth == 0).astype(np.float32), 0.7)
    shade = BEHIND * _lit(depth, number, mm)
    return Projection(None, number, np.where(number > 0, shade + cut * (CUT - shade), 0), extent_mm)


def first_met(
    label_map: LabelMap,
    place_mm: FloatArray,
    direction: FloatArray,
    offsets: FloatArray,
    where: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The first structure along a direction from each pixel, and how far away it is.

    Parameters
    ----------
    label_map : LabelMap
    place_mm : ndarray, shape (rows, columns, 3)
        LPS.
    direction : ndarray, shape (3,)
        Unit vector, LPS.
    offsets : ndarray
        Where to look along it, mm, rising.
    where : ndarray of bool, shape (rows, columns), optional
        Pixels that can meet anything; all when not given.

    Returns
    -------
    structures : ndarray of uint8, shape (rows, columns)
        `projection.STRUCTURE_NUMBERS`; 0 where nothing is met.
    depth_mm : ndarray of float32, shape (rows, columns)
        NaN where nothing is met.
    """
    shape = place_mm.shape[:2]
    index, step = index_of(label_map.grid, place_mm, direction)
    index = index.reshape(3, -1)
    number = np.zeros(index.shape[1], np.uint8)
    depth = np.full(index.shape[1], np.nan, np.float32)
    waiting = np.arange(index.shape[1]) if where is None else np.flatnonzero(where)
    for offset in offsets:
        at = index[:, waiting] + np.float32(offset) * step[:, None]
        inside = np.flatnonzero(within(label_map.grid, at))
        met = NUMBER_OF_VALUE[label_map.labels[tuple(np.rint(at[:, inside]).astype(np.intp))]]
        hit = waiting[inside[met > 0]]
        number[hit], depth[hit] = met[met > 0], offset
        waiting = waiting[number[waiting] == 0]
    return number.reshape(shape), depth.reshape(shape)


def _outline_of_all(
    label_map: LabelMap, axes: Axes, horizontal: int, extent_mm: Extent, shape: tuple[int, int], mm: float
) -> NDArray[np.bool_]:
    """Pixels behind which something is labelled: most of a picture is empty and need not be searched."""
    places = axes.turned(label_map.grid.to_mm(np.argwhere(label_map.labels)))
    columns = np.floor((places[:, horizontal] - extent_mm[0]) / mm).astype(np.intp)
    rows = np.floor((extent_mm[3] - places[:, 2]) / mm).astype(np.intp)
    inside = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
    outline = np.zeros(shape, bool)
    outline[rows[inside], columns[inside]] = True
    reach = int(np.ceil(np.linalg.norm(label_map.grid.spacing_mm) / 2 / mm)) + 1
    return np.asarray(ndimage.binary_dilation(outline, np.ones((3, 3)), iterations=reach))


def smoothed(structures: NDArray[np.uint8], voxel: float) -> NDArray[np.uint8]:
    """Outlines without the stairs of voxels that are so many pixels wide."""
    best = np.full(structures.shape, 0.5, np.float32)
    smooth = np.zeros_like(structures)
    for number in np.unique(structures[structures > 0]):
        share = ndimage.gaussian_filter((structures == number).astype(np.float32), 0.4 * voxel)
        nearer = share > best
        smooth[nearer], best[nearer] = number, share[nearer]
    return smooth


def _lit(depth: NDArray[np.float32], number: NDArray[np.uint8], pixel_mm: float) -> NDArray[np.float32]:
    """Brightness of each pixel by the slope of its surface; structures are smoothed each by itself."""
    shade = np.zeros_like(depth)
    lamp = LAMP / np.linalg.norm(LAMP)
    sigma = SMOOTH_MM / pixel_mm
    nearest = float(np.nanmin(depth)) if np.isfinite(depth).any() else 0.0
    for value, box in enumerate(ndimage.find_objects(number), start=1):
        if box is None:
            continue
        around = tuple(slice(max(s.start - 4, 0), s.stop + 4) for s in box)
        mask = number[around] == value
        weight = ndimage.gaussian_filter(mask.astype(np.float32), sigma)
        sums = ndimage.gaussian_filter(np.where(mask, depth[around], 0).astype(np.float32), sigma)
        smooth = np.divide(sums, weight, out=np.zeros_like(sums), where=weight > 1e-3)
        down, right = np.gradient(smooth, pixel_mm)
        # a surface that recedes to the right faces the right; rows count downwards
        facing = np.stack([right, -down, np.ones_like(right)])
        light = np.clip(np.tensordot(lamp, facing, 1) / np.linalg.norm(facing, axis=0), 0, 1)
        fade = 0.5 ** ((smooth - nearest) / FADE_MM)
        shade[around][mask] = ((AMBIENT + (1 - AMBIENT) * light) * fade)[mask]
    return shade
