"""A volume and its structures seen from one side, through a slab that follows the spine.

Numbers only: `pictures` draws them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spine_node.anatomy.levels import (
    FEMORAL_HEAD_LEFT,
    FEMORAL_HEAD_RIGHT,
    HIP_LEFT,
    HIP_RIGHT,
    POSTERIOR_OFFSET,
)
from spine_node.dicom.codes import STRUCTURE_OF_VALUE, STRUCTURES
from spine_node.imaging.volume import FloatArray, LabelMap, Volume

STRUCTURE_NUMBERS: dict[str, int] = {name: i for i, name in enumerate(STRUCTURES, start=1)}
"""What a projected pixel holds for each structure; 0 is none."""


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

    def turned(self, points_mm: FloatArray) -> FloatArray:
        """LPS points, shape (..., 3), as (left, posterior, up) mm."""
        return np.asarray(points_mm @ np.column_stack([self.left, self.posterior, self.up]))


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """One view.

    Attributes
    ----------
    grey : ndarray of float32, shape (rows, columns)
        Mean grey value through the slab, top row cranial.
    structures : ndarray of uint8, shape (rows, columns)
        `STRUCTURE_NUMBERS` of what fills most of the slab.
    extent_mm : tuple of float
        Horizontal and vertical range of the outer pixel edges: first column, last column, bottom, top;
        the horizontal axis is left (coronal view) or posterior (sagittal view).
    """

    grey: NDArray[np.float32]
    structures: NDArray[np.uint8]
    extent_mm: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """Where the structures are, as seen along `axes`.

    Attributes
    ----------
    centres : dict of int to ndarray, shape (3,)
        (left, posterior, up) of each value's centroid, mm.
    radii_mm : dict of int to float
        Radius of the sphere of the same volume.
    low, high : ndarray, shape (3,)
        Bounds of all structures.
    """

    centres: dict[int, FloatArray]
    radii_mm: dict[int, float]
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
    """Centroids and bounds of every value.

    Raises
    ------
    ValueError
        If nothing is labelled.
    """
    centres: dict[int, FloatArray] = {}
    radii_mm: dict[int, float] = {}
    corners = []
    for value, box in enumerate(ndimage.find_objects(label_map.labels), start=1):
        if box is None:
            continue
        index = np.argwhere(label_map.labels[box] == value) + [s.start for s in box]
        centres[value] = axes.turned(label_map.grid.to_mm(index.mean(axis=0)))
        radii_mm[value] = float((3 * len(index) * label_map.grid.voxel_mm3 / (4 * np.pi)) ** (1 / 3))
        ends = np.array(np.meshgrid(*[(s.start, s.stop - 1) for s in box])).reshape(3, -1).T
        corners.append(axes.turned(label_map.grid.to_mm(ends)))
    if not centres:
        raise ValueError("nothing is labelled: there is nothing to draw")
    points = np.concatenate(corners)
    return Course(centres, radii_mm, points.min(axis=0), points.max(axis=0))


def project(
    volume: Volume,
    label_map: LabelMap,
    axes: Axes,
    spine: Course,
    *,
    horizontal: int,
    margin_mm: float,
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
    margin_mm : float
        Shown around the structures.
    half_thickness_mm : float
        Of the slab.
    pixel_mm : float
        Of the picture; also the distance between samples in depth, doubled.
    """
    depth = 1 - horizontal
    across = np.arange(spine.low[horizontal] - margin_mm, spine.high[horizontal] + margin_mm, pixel_mm)
    heights = np.arange(spine.high[2] + margin_mm, spine.low[2] - margin_mm, -pixel_mm)
    middle = spine.depth_at(heights, depth)
    table = np.zeros(256, dtype=np.uint8)
    for value, name in STRUCTURE_OF_VALUE.items():
        table[value] = STRUCTURE_NUMBERS[name]

    grey = np.zeros((len(heights), len(across)), dtype=np.float32)
    seen = np.zeros_like(grey)
    votes = np.zeros((len(STRUCTURE_NUMBERS) + 1, *grey.shape), dtype=np.uint8)
    rows, columns = np.indices(grey.shape)
    basis = np.column_stack([axes.left, axes.posterior, axes.up])
    for offset in np.arange(-half_thickness_mm, half_thickness_mm + pixel_mm, 2 * pixel_mm):
        place = np.zeros((*grey.shape, 3))
        place[..., horizontal], place[..., depth] = across, (middle + offset)[:, None]
        place[..., 2] = heights[:, None]
        index = np.moveaxis(volume.grid.to_index(place @ basis.T), -1, 0)
        inside = np.all(
            [(i > -0.5) & (i < n - 0.5) for i, n in zip(index, volume.grid.shape, strict=True)], axis=0
        )
        sample = ndimage.map_coordinates(volume.values, index, output=np.float32, order=1, mode="nearest")
        grey += np.where(inside, sample, 0)
        seen += inside
        nearest = np.rint(index[:, inside]).astype(np.intp)
        labels = np.zeros(grey.shape, dtype=np.uint8)
        labels[inside] = table[label_map.labels[tuple(nearest)]]
        votes[labels, rows, columns] += 1
    votes[0] = 0
    structures = votes.argmax(axis=0).astype(np.uint8)
    structures[votes.max(axis=0) < 2] = 0
    mean = np.divide(grey, seen, out=np.full_like(grey, np.nan), where=seen > 0)
    half = pixel_mm / 2
    extent = (across[0] - half, across[-1] + half, heights[-1] - half, heights[0] + half)
    return Projection(mean, structures, tuple(float(e) for e in extent))  # type: ignore[arg-type]
