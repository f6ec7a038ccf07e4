"""Surfaces of all structures at once, light enough to be drawn within a second or two.

For the eye, not for printing: `printing.meshes` makes those surfaces, which keep volumes and cost more.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spine_node.dicom.codes import STRUCTURE_OF_VALUE, STRUCTURES
from spine_node.imaging.volume import FloatArray, Grid, LabelMap
from spine_node.pictures.projection import STRUCTURE_NUMBERS

FINE_MM, LARGE_MM, LARGE_CM3 = 1.2, 1.7, 60.0
"""Finer voxels are averaged to at least this size first, those of larger bones (hips, sacrum) to more:
a picture shows no more, and time grows with the triangles."""

SMOOTHING_MM = 1.3
"""Standard deviation of the smoothing that takes the stairs of voxels away."""

LEAST_VOXELS = 8
"""Structures with fewer voxels are not drawn."""

_MARGIN = 4
Box = tuple[slice, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Bones:
    """Triangles of every structure.

    Attributes
    ----------
    vertices_mm : ndarray of float32, shape (n, 3)
        LPS.
    normals : ndarray of float32, shape (n, 3)
        Unit vectors, LPS, outwards.
    faces : ndarray of int32, shape (m, 3)
    numbers : ndarray of uint8, shape (m,)
        `projection.STRUCTURE_NUMBERS` of each triangle.
    """

    vertices_mm: NDArray[np.float32]
    normals: NDArray[np.float32]
    faces: NDArray[np.int32]
    numbers: NDArray[np.uint8]

    def only(self, names: Collection[str]) -> Bones:
        """Those of some structures."""
        return self._kept(np.isin(self.numbers, [STRUCTURE_NUMBERS[name] for name in names]))

    def without(self, names: Collection[str]) -> Bones:
        """Those of all the others."""
        return self._kept(~np.isin(self.numbers, [STRUCTURE_NUMBERS[name] for name in names]))

    def _kept(self, kept: NDArray[np.bool_]) -> Bones:
        used = np.zeros(len(self.vertices_mm), bool)
        used[self.faces[kept]] = True
        faces = (np.cumsum(used) - 1)[self.faces[kept]].astype(np.int32)
        return Bones(self.vertices_mm[used], self.normals[used], faces, self.numbers[kept])


def bones(label_map: LabelMap) -> Bones:
    """Surface of each structure where its smoothed mask crosses one half.

    Raises
    ------
    ValueError
        If nothing is labelled.
    """
    found = []
    for name, box in _boxes(label_map).items():
        mask = np.isin(label_map.labels[box], STRUCTURES[name].values)
        if mask.sum() >= LEAST_VOXELS:
            found.append((name, *_surface(mask, np.array([s.start for s in box]), label_map.grid)))
    if not found:
        raise ValueError("nothing is labelled: there is nothing to draw")
    first = np.cumsum([0, *(len(vertices) for _, vertices, _, _ in found[:-1])])
    return Bones(
        np.concatenate([vertices for _, vertices, _, _ in found]),
        np.concatenate([normals for _, _, normals, _ in found]),
        np.concatenate([faces + n for (_, _, _, faces), n in zip(found, first, strict=True)]).astype(
            np.int32
        ),
        np.concatenate([np.full(len(f), STRUCTURE_NUMBERS[name], np.uint8) for name, _, _, f in found]),
    )


def _boxes(label_map: LabelMap) -> dict[str, Box]:
    """Where each structure lies, in the order of `codes.STRUCTURES`."""
    boxes: dict[str, list[Box]] = {}
    for value, box in label_map.boxes.items():
        if value in STRUCTURE_OF_VALUE:
            boxes.setdefault(STRUCTURE_OF_VALUE[value], []).append(box)
    return {
        name: tuple(
            slice(min(s.start for s in along), max(s.stop for s in along))
            for along in zip(*boxes[name], strict=True)
        )
        for name in STRUCTURES
        if name in boxes
    }


def _surface(
    mask: NDArray[np.bool_], start: NDArray[np.int64], grid: Grid
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int32]]:
    """Vertices and normals, LPS, and triangles."""
    from skimage.measure import marching_cubes

    large = int(mask.sum()) * grid.voxel_mm3 > 1000 * LARGE_CM3
    times = np.maximum(np.rint((LARGE_MM if large else FINE_MM) / grid.spacing_mm), 1).astype(int)
    field = np.pad(_averaged(mask, times), _MARGIN)
    sigma = np.maximum(SMOOTHING_MM / (times * grid.spacing_mm), 0.9)
    ndimage.gaussian_filter(field, sigma, truncate=3.0, output=field)
    # a splinter of some voxels can be smoothed below one half
    points, faces, normals, _ = marching_cubes(field, min(0.5, 0.6 * float(field.max())))
    index = (points - _MARGIN + 0.5) * times - 0.5 + start
    turn = np.linalg.inv(grid.affine[:3, :3]).T / times
    # skimage's normals point to where the field falls: outwards
    outwards = normals @ turn.T
    outwards /= np.maximum(np.linalg.norm(outwards, axis=1, keepdims=True), 1e-12)
    return grid.to_mm(index).astype(np.float32), outwards.astype(np.float32), faces.astype(np.int32)


def _averaged(mask: NDArray[np.bool_], times: FloatArray) -> NDArray[np.float32]:
    """Share of each block of voxels that is set."""
    field = np.pad(mask, [(0, int(-n % k)) for n, k in zip(mask.shape, times, strict=True)])
    for axis, k in enumerate(times):
        if k > 1:
            field = np.add.reduceat(field, np.arange(0, field.shape[axis], k), axis, dtype=np.float32) / k
    return np.asarray(field, np.float32)
