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

SMOOTHING_MM = 0.7
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

    The mask is smoothed by less than a voxel and cut at the level that keeps its volume.

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
    from skimage.measure import marching_cubes

    sigma = SMOOTHING_MM * grid.spacing_mm.min() / grid.spacing_mm
    field = ndimage.gaussian_filter(np.pad(mask, _MARGIN).astype(np.float32), sigma, truncate=3.0)
    vertices, faces, _, _ = marching_cubes(field, level=_level_of_same_volume(field, int(mask.sum())))
    mesh = trimesh.Trimesh(grid.to_mm(vertices + start - _MARGIN), faces)
    if mesh.volume < 0:
        mesh.invert()
    return mesh


def _level_of_same_volume(field: NDArray[np.float32], voxels: int) -> float:
    """The value that `voxels` of the field exceed: at one half a convex shape would shrink."""
    values = field.ravel()
    around = np.partition(values, (values.size - voxels - 1, values.size - voxels))
    low, high = around[values.size - voxels - 1], around[values.size - voxels]
    # Between two values of the field no vertex falls on a voxel, and no triangle is degenerate.
    return float(np.clip((float(low) + float(high)) / 2, 0.05, 0.95))
