"""Structures as closed surfaces in patient space, for printing and planning: binary STL, LPS mm."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spine_node.dicom.codes import STRUCTURE_OF_VALUE, STRUCTURES
from spine_node.imaging.volume import Grid, LabelMap

if TYPE_CHECKING:
    import trimesh

SMOOTHING = 0.7
"""Standard deviation of the smoothing, in units of the smallest spacing."""

ISLAND_FRACTION = 0.05
"""Pieces smaller than this part of a structure's largest piece are left out."""

MIN_VOXELS = 8
"""Structures with fewer voxels have no surface worth the name."""

Box = tuple[slice, slice, slice]

_MARGIN = 3
_NEIGHBOURS = np.ones((3, 3, 3), dtype=bool)


def meshes(label_map: LabelMap, structures: Sequence[str] | None = None) -> dict[str, trimesh.Trimesh]:
    """Watertight surface of each structure, in LPS mm, normals outwards.

    The mask is smoothed by less than a voxel and cut at the level that keeps its volume: at one half a
    convex shape would shrink.

    Parameters
    ----------
    label_map : LabelMap
    structures : sequence of str, optional
        Names of `codes.STRUCTURES`; by default all that are present.

    Returns
    -------
    dict of str to Trimesh
        In the order of `codes.STRUCTURES`; without structures that are absent or too small.
    """
    boxes: dict[str, Box] = {}
    for value, box in enumerate(ndimage.find_objects(label_map.labels), start=1):
        if box is not None:
            name = STRUCTURE_OF_VALUE[value]
            boxes[name] = _joined(boxes[name], box) if name in boxes else box
    wanted = [name for name in STRUCTURES if name in boxes and (structures is None or name in structures)]
    found = {}
    for name in wanted:
        mask = _without_islands(np.isin(label_map.labels[boxes[name]], STRUCTURES[name].values))
        if mask.sum() >= MIN_VOXELS:
            found[name] = _surface(mask, np.array([s.start for s in boxes[name]]), label_map.grid)
    return found


def write_stl(label_map: LabelMap, out: Path) -> list[Path]:
    """Write one binary STL a structure into `out`, named after it ("L1.stl", "hip_left.stl")."""
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, mesh in meshes(label_map).items():
        path = out / f"{name}.stl"
        path.write_bytes(mesh.export(file_type="stl"))
        paths.append(path)
    return paths


def _joined(one: Box, other: Box) -> Box:
    a, b, c = (slice(min(s.start, t.start), max(s.stop, t.stop)) for s, t in zip(one, other, strict=True))
    return a, b, c


def _without_islands(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    pieces, count = ndimage.label(mask, structure=_NEIGHBOURS)
    if count < 2:
        return mask
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return np.asarray((sizes >= ISLAND_FRACTION * sizes.max())[pieces] & mask)


def _surface(mask: NDArray[np.bool_], start: NDArray[np.int64], grid: Grid) -> trimesh.Trimesh:
    import trimesh

    sigma_mm = SMOOTHING * float(grid.spacing_mm.min())
    field = np.pad(mask, _MARGIN).astype(np.float32)
    ndimage.gaussian_filter(field, sigma_mm / grid.spacing_mm, truncate=3.0, output=field)
    vertices, faces = _crossing(field, 0.5, grid)
    missing_mm3 = int(mask.sum()) * grid.voxel_mm3 - _volume_mm3(vertices[faces])
    # A blurred edge falls from 1 to 0 with this slope, so a level lower by d lies d / slope further out.
    slope = 1 / (np.sqrt(2 * np.pi) * sigma_mm)
    lower = missing_mm3 * slope / _area_mm2(vertices[faces])
    vertices, faces = _crossing(field, float(np.clip(0.5 - lower, 0.2, 0.8)), grid)
    mesh = trimesh.Trimesh(vertices + grid.affine[:3, :3] @ (start - _MARGIN) + grid.affine[:3, 3], faces)
    if mesh.volume < 0:
        mesh.invert()
    return mesh


def _crossing(
    field: NDArray[np.float32], level: float, grid: Grid
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Vertices in mm from the first voxel of `field`, and triangles."""
    from skimage.measure import marching_cubes

    vertices, faces, _, _ = marching_cubes(field, level=level)
    return vertices.astype(np.float64) @ grid.affine[:3, :3].T, faces


def _volume_mm3(triangles: NDArray[np.float64]) -> float:
    a, b, c = triangles.transpose(1, 0, 2)
    return abs(float(np.einsum("ij,ij->", a, np.cross(b, c)))) / 6


def _area_mm2(triangles: NDArray[np.float64]) -> float:
    a, b, c = triangles.transpose(1, 0, 2)
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum()) / 2
