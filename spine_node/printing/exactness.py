"""How exact a surface is, measured against the voxels it was made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from spine_node.imaging.volume import FloatArray, LabelMap
from spine_node.printing.distances import Surface, from_voxel_faces
from spine_node.printing.meshes import boxes, structure_mask

if TYPE_CHECKING:
    import trimesh


@dataclass(frozen=True, slots=True)
class Exactness:
    """A surface beside the label map it was made of.

    Attributes
    ----------
    triangles : int
    volume_mm3, labelled_mm3 : float
        What the surface encloses, and what is labelled.
    outside_mm : float
        Largest distance of a vertex to the boundary of the voxels.
    missed_mm : float
        Largest distance of the middle of a boundary voxel face to the surface.
    """

    triangles: int
    volume_mm3: float
    labelled_mm3: float
    outside_mm: float
    missed_mm: float

    @property
    def largest_mm(self) -> float:
        """Largest distance of the two."""
        return max(self.outside_mm, self.missed_mm)


def exactness(label_map: LabelMap, name: str, mesh: trimesh.Trimesh) -> Exactness:
    """Measure the surface of one structure of a label map; specks that have no surface do not count."""
    grid, box = label_map.grid, boxes(label_map)[name]
    mask = structure_mask(label_map, name, box)
    middles = face_middles(mask) + np.array([s.start for s in box])
    surface = Surface(np.asarray(mesh.vertices), np.asarray(mesh.faces))
    # Only the largest counts, and that is more than this; or this is what it is at most.
    enough_mm = float(grid.spacing_mm.min()) / 4
    axes, vertices = grid.affine[:3, :3], np.asarray(mesh.vertices)
    away = from_voxel_faces(grid.to_index(vertices), middles, axes)
    return Exactness(
        triangles=len(mesh.faces),
        volume_mm3=float(mesh.volume),
        labelled_mm3=np.count_nonzero(mask) * grid.voxel_mm3,
        outside_mm=float(np.linalg.norm(away @ axes.T, axis=1).max()),
        missed_mm=float(surface.distance(grid.to_mm(middles), enough_mm).max()),
    )


def face_middles(mask: NDArray[np.bool_]) -> FloatArray:
    """Middles of the voxel faces between inside and outside, as array indices, shape (n, 3)."""
    padded = np.pad(mask, 1)
    found = []
    for axis in range(3):
        between = np.argwhere(np.diff(padded.astype(np.int8), axis=axis)).astype(np.float64)
        between[:, axis] += 0.5
        found.append(between - 1)
    return np.concatenate(found)
