"""What of an image lies in the coronal and the sagittal view, through a slab that follows the spine.

Numbers only: `pictures` draws them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spine_node.anatomy.landmarks import Endplate, Spine
from spine_node.anatomy.levels import (
    FEMORAL_HEAD_LEFT,
    FEMORAL_HEAD_RIGHT,
    HIP_LEFT,
    HIP_RIGHT,
    POSTERIOR_OFFSET,
)
from spine_node.dicom.codes import STRUCTURE_OF_VALUE, STRUCTURES
from spine_node.imaging.volume import FloatArray, Grid, LabelMap, Volume
from spine_node.parameters.view import View

STRUCTURE_NUMBERS: dict[str, int] = {name: i for i, name in enumerate(STRUCTURES, start=1)}
"""What a projected pixel holds for each structure; 0 is none."""

Extent = tuple[float, float, float, float]
"""Range of the outer pixel edges, mm: left, right, bottom, top."""


@dataclass(frozen=True, slots=True, eq=False)
class Axes:
    """How the patient is looked at: unit vectors in LPS.

    Attributes
    ----------
    left, posterior, up : ndarray, shape (3,)
    """

    left: FloatArray
    posterior: FloatArray
    up: FloatArray

    @classmethod
    def of(cls, spine: Spine) -> Axes:
        """Those of the frame that the numbers were measured in."""
        return cls(*View(spine).axes[0].T)

    def turned(self, vectors: FloatArray) -> FloatArray:
        """LPS points or directions, shape (..., 3), as (left, posterior, up)."""
        return np.asarray(vectors @ np.column_stack([self.left, self.posterior, self.up]))

    def lps(self, points: FloatArray) -> FloatArray:
        """The way back."""
        return np.asarray(points @ np.stack([self.left, self.posterior, self.up]))

    def trace(self, plate: Endplate, horizontal: int) -> FloatArray | None:
        """An endplate's plane as a line in a view: two points, shape (2, 2), (across, up) mm.

        Angles between such lines are the projected angles. The plate's own chord would show another one
        when the vertebra is turned: it leaves the plane of the picture.

        Parameters
        ----------
        plate : Endplate
        horizontal : int
            0 for the coronal, 1 for the sagittal view.

        Returns
        -------
        ndarray or None
            As long as the plate's chord, about its centre; None for a plate in the plane of the picture.
        """
        across, up = self.turned(plate.normal)[[horizontal, 2]]
        size = float(np.hypot(across, up))
        if size < 1e-6:
            return None
        along = np.array([up, -across]) / size
        first, last = (
            (plate.right_mm, plate.left_mm) if horizontal == 0 else (plate.anterior_mm, plate.posterior_mm)
        )
        half = float(np.linalg.norm(last - first)) / 2
        centre = self.turned(plate.centre_mm)[[horizontal, 2]]
        return np.stack([centre - half * along, centre + half * along])


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """One view.

    Attributes
    ----------
    grey : ndarray of float32, shape (rows, columns), or None
        Mean grey value through the slab, top row cranial, NaN outside the image; None without an image.
    structures : ndarray of uint8, shape (rows, columns)
        `STRUCTURE_NUMBERS` of what fills most of the slab; without an image, of what is seen there.
    shade : ndarray of float32, shape (rows, columns), or None
        Without an image: how bright a structure is, 0..1.
    extent_mm : tuple of float
        The horizontal axis is left (coronal view) or posterior (sagittal view).
    """

    grey: NDArray[np.float32] | None
    structures: NDArray[np.uint8]
    shade: NDArray[np.float32] | None
    extent_mm: Extent


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """Where the structures are, as seen along `axes`.

    Attributes
    ----------
    centres : dict of int to ndarray, shape (3,)
        (left, posterior, up) of each value's centroid, mm.
    low, high : ndarray, shape (3,)
        Bounds of all structures.
    """

    centres: dict[int, FloatArray]
    low: FloatArray
    high: FloatArray

    def depth_at(self, heights_mm: FloatArray, axis: int) -> FloatArray:
        """Left (axis 0) or posterior (axis 1) position of the spine at these heights.

        The posterior course goes on to the femoral heads; the left one ends at the sacrum, in the middle.
        """
        asides = (HIP_LEFT, HIP_RIGHT, *((FEMORAL_HEAD_LEFT, FEMORAL_HEAD_RIGHT) if axis == 0 else ()))
        path = np.array([c for v, c in self.centres.items() if v < POSTERIOR_OFFSET and v not in asides])
        if not len(path):
            path = np.array([(self.low + self.high) / 2])
        order = np.argsort(path[:, 2])
        return np.asarray(np.interp(heights_mm, path[order, 2], path[order, axis]))


def course(label_map: LabelMap, axes: Axes) -> Course:
    """Centroids and bounds of every structure.

    Raises
    ------
    ValueError
        If nothing is labelled.
    """
    centres: dict[int, FloatArray] = {}
    corners = []
    for value, box in label_map.boxes.items():
        if value not in STRUCTURE_OF_VALUE:
            continue
        start = [s.start for s in box]
        mask = label_map.labels[box] == value
        if value < POSTERIOR_OFFSET:
            middle = [np.average(np.arange(n), weights=mask.sum(axis=other)) for n, other in _sides(mask)]
            centres[value] = axes.turned(label_map.grid.to_mm(np.add(middle, start)))
        ends = np.array(np.meshgrid(*[(s.start, s.stop - 1) for s in box])).reshape(3, -1).T
        corners.append(axes.turned(label_map.grid.to_mm(ends)))
    if not corners:
        raise ValueError("nothing is labelled: there is nothing to draw")
    points = np.concatenate(corners)
    return Course(centres, points.min(axis=0), points.max(axis=0))


def pixels(extent_mm: Extent, pixel_mm: float) -> tuple[FloatArray, FloatArray, Extent]:
    """Middles of the columns and rows that fill an extent, and the extent that they have, mm."""
    left, right, bottom, top = extent_mm
    across = left + pixel_mm * (np.arange(max(round((right - left) / pixel_mm), 1)) + 0.5)
    heights = top - pixel_mm * (np.arange(max(round((top - bottom) / pixel_mm), 1)) + 0.5)
    half = pixel_mm / 2
    edges = (left, float(across[-1]) + half, float(heights[-1]) - half, top)
    return np.asarray(across, float), np.asarray(heights, float), edges


def project(
    volume: Volume,
    label_map: LabelMap,
    axes: Axes,
    spine: Course,
    *,
    horizontal: int,
    extent_mm: Extent,
    half_thickness_mm: float,
    pixel_mm: float,
) -> Projection:
    """Look through a slab around the spine's course.

    Parameters
    ----------
    volume, label_map : Volume, LabelMap
        On the same grid, of any orientation.
    axes : Axes
    spine : Course
        From the same label map and axes.
    horizontal : int
        0 for the coronal view (left on the right side), 1 for the sagittal view (posterior on the right).
    extent_mm : tuple of float
        What is shown.
    half_thickness_mm : float
        Of the slab.
    pixel_mm : float
        Of the picture; also the distance between samples in depth, doubled.
    """
    across, heights, extent_mm = pixels(extent_mm, pixel_mm)
    depth = 1 - horizontal
    place = np.zeros((len(heights), len(across), 3))
    place[..., horizontal], place[..., 2] = across, heights[:, None]
    place[..., depth] = spine.depth_at(heights, depth)[:, None]
    offsets = np.arange(-half_thickness_mm, half_thickness_mm + pixel_mm, 2 * pixel_mm)
    away = axes.lps(np.eye(3)[depth])
    grey, structures = slab(volume, label_map, axes.lps(place), away, offsets)
    return Projection(grey, structures, None, extent_mm)


def slab(
    volume: Volume, label_map: LabelMap, place_mm: FloatArray, direction: FloatArray, offsets: FloatArray
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Mean grey value and most frequent structure along a direction.

    Parameters
    ----------
    volume, label_map : Volume, LabelMap
        On the same grid.
    place_mm : ndarray, shape (rows, columns, 3)
        LPS place of each pixel.
    direction : ndarray, shape (3,)
        Unit vector, LPS.
    offsets : ndarray
        Where to sample along it, mm.

    Returns
    -------
    grey : ndarray of float32, shape (rows, columns)
        NaN where there is no image.
    structures : ndarray of uint8, shape (rows, columns)
    """
    grid, shape = volume.grid, place_mm.shape[:2]
    first, step = index_of(grid, place_mm, direction)
    first = first.reshape(3, -1)
    # whole numbers are taken as they are: a copy of the volume would cost more than all samples
    values = volume.values
    if values.dtype.kind not in "iu":
        values = values.astype(np.float32, copy=False)
    grey, seen = np.zeros(first.shape[1], np.float32), np.zeros(first.shape[1], np.float32)
    votes = np.zeros((len(STRUCTURE_NUMBERS) + 1, first.shape[1]), dtype=np.uint8)
    for offset in offsets:
        index = first + np.float32(offset) * step[:, None]
        inside = within(grid, index)
        seen += inside
        there = np.flatnonzero(inside)
        if len(there) < len(inside):
            index = index.take(there, axis=1)
        grey[there] += ndimage.map_coordinates(values, index, output=np.float32, order=1, mode="nearest")
        i, j, k = np.rint(index).astype(np.int32)
        labels = label_map.labels[i, j, k]
        labelled = np.flatnonzero(labels)  # few: most of an image is background, which has no vote
        votes[NUMBER_OF_VALUE[labels[labelled]], there[labelled]] += 1
    votes[0] = 0
    voted = np.flatnonzero(votes.any(axis=0))
    votes = votes[:, voted]
    structures = np.zeros(first.shape[1], np.uint8)
    structures[voted] = np.where(votes.max(axis=0) < min(2, len(offsets)), 0, votes.argmax(axis=0))
    mean = np.divide(grey, seen, out=np.full_like(grey, np.nan), where=seen > 0)
    return mean.reshape(shape), structures.reshape(shape)


def index_of(
    grid: Grid, place_mm: FloatArray, direction: FloatArray
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Array indices of places, shape (3, rows, columns), and what a millimetre along a direction adds."""
    first = np.moveaxis(grid.to_index(place_mm), -1, 0).astype(np.float32)
    step = grid.to_index(direction) - grid.to_index(np.zeros(3))
    return first, step.astype(np.float32)


def within(grid: Grid, index: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Whether indices, shape (3, ...), are those of voxels."""
    inside = [(i > -0.5) & (i < n - 0.5) for i, n in zip(index, grid.shape, strict=True)]
    return np.asarray(np.logical_and.reduce(inside))


def _sides(mask: NDArray[np.bool_]) -> list[tuple[int, tuple[int, int]]]:
    return [(n, tuple(k for k in range(3) if k != axis)) for axis, n in enumerate(mask.shape)]  # type: ignore[misc]


def _numbers() -> NDArray[np.uint8]:
    table = np.zeros(256, dtype=np.uint8)
    for value, name in STRUCTURE_OF_VALUE.items():
        table[value] = STRUCTURE_NUMBERS[name]
    return table


NUMBER_OF_VALUE = _numbers()
"""`STRUCTURE_NUMBERS` of each value of a label map, by index."""
