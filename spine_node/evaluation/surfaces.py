"""Distances between two surfaces in voxels: HD95, ASSD, NSD. Knows masks and spacings, no anatomy.

HD95 and ASSD go between the outermost voxels of both masks, as MONAI and most papers count them. NSD
weighs by area: there a surface lies in every 2 x 2 x 2 block of voxels that the mask fills in part, with
the area of the block's marching-cubes triangles (Nikolov et al., JMIR 2021, 23:e26151), so that thin
voxels and oblique surfaces count no more than they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import marching_cubes, mesh_surface_area

from spine_node.imaging.volume import FloatArray

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class SurfaceDistances:
    """From one surface to another and back.

    Attributes
    ----------
    edges_mm : tuple of two ndarrays, shape (n,) and (m,)
        Distance of each outermost voxel of the first mask to the nearest one of the second, and back.
    blocks_mm, blocks_mm2 : tuples of two ndarrays
        The same for blocks that hold a surface, and the area in each.
    """

    edges_mm: tuple[FloatArray, FloatArray]
    blocks_mm: tuple[FloatArray, FloatArray]
    blocks_mm2: tuple[FloatArray, FloatArray]

    def hausdorff_mm(self, percent: float = 95.0) -> float:
        """The larger of this percentile of the distances there and of those back."""
        return float(max(np.percentile(gap, percent) for gap in self.edges_mm))

    def average_mm(self) -> float:
        """Average symmetric surface distance (ASSD)."""
        return float(np.concatenate(self.edges_mm).mean())

    def dice(self, tolerance_mm: float) -> float:
        """Normalised surface Dice (NSD): share of both areas within the tolerance of the other surface."""
        pairs = tuple(zip(self.blocks_mm, self.blocks_mm2, strict=True))
        near = sum(area[gap <= tolerance_mm].sum() for gap, area in pairs)
        return float(near / sum(area.sum() for _, area in pairs))


def surface_distances(first: Mask, second: Mask, spacing_mm: Sequence[float]) -> SurfaceDistances | None:
    """Distances between the surfaces of two masks on one grid; None where one of them is empty.

    Parameters
    ----------
    first, second : ndarray of bool, shape (i, j, k)
        Outside the array both are empty: a structure cut off by the image has a surface there.
    spacing_mm : sequence of float, length 3
        Along each array axis; the axes stand at right angles.
    """
    if not first.any() or not second.any():
        return None
    box = ndimage.find_objects((first | second).astype(np.uint8))[0]
    spacing = (float(spacing_mm[0]), float(spacing_mm[1]), float(spacing_mm[2]))
    masks = [np.pad(mask[box], 1) for mask in (first, second)]
    edges = [mask & ~ndimage.binary_erosion(mask) for mask in masks]
    areas = [block_areas(spacing)[_blocks(mask)] for mask in masks]
    return SurfaceDistances(
        _both_ways(edges, spacing),
        _both_ways([area > 0 for area in areas], spacing),
        (areas[0][areas[0] > 0], areas[1][areas[1] > 0]),
    )


def _both_ways(
    places: Sequence[Mask], spacing_mm: tuple[float, float, float]
) -> tuple[FloatArray, FloatArray]:
    one, other = (ndimage.distance_transform_edt(~place, sampling=spacing_mm) for place in places)
    return other[places[0]], one[places[1]]


def _blocks(mask: Mask) -> NDArray[np.uint8]:
    """Which corners of each 2 x 2 x 2 block are filled, one bit each."""
    code = np.zeros([n - 1 for n in mask.shape], np.uint8)
    for bit, (i, j, k) in enumerate(np.ndindex(2, 2, 2)):
        corner = mask[i : i + code.shape[0], j : j + code.shape[1], k : k + code.shape[2]]
        code |= corner.astype(np.uint8) << bit
    return code


@lru_cache
def block_areas(spacing_mm: tuple[float, float, float]) -> FloatArray:
    """Area of the surface in each of the 256 kinds of block, mm2, shape (256,)."""
    areas = np.zeros(256)
    for code in range(1, 255):
        block = (code >> np.arange(8) & 1).reshape(2, 2, 2).astype(np.float32)
        corners, triangles, *_ = marching_cubes(block, 0.5, spacing=spacing_mm)
        areas[code] = mesh_surface_area(corners, triangles)
    return areas
