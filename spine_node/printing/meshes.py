"""Structures of a label map as surfaces in the patient, to print: closed, exact to half a voxel, light."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spine_node.dicom.codes import STRUCTURE_OF_VALUE, STRUCTURES
from spine_node.imaging.volume import FloatArray, Grid, LabelMap
from spine_node.printing.decimation import decimated
from spine_node.printing.distances import from_voxel_faces
from spine_node.printing.surface import Triangles, normals, shift_to, smoothed, voxel_faces

if TYPE_CHECKING:
    import trimesh

TOLERANCE_VOXELS, MOST_TOLERANCE_VOXELS = 0.1, 0.2
"""How far the decimation may move a surface unless told otherwise, in units of the smallest spacing."""

FINE_ENOUGH_MM = 0.1
"""Hardly a printer shows less: where voxels are so fine that this is more, it is what the decimation gets."""

HALF_VOXEL = 0.5
LEAST_REACH_VOXELS, MOST_REACH_VOXELS = 0.25, 0.4
"""Smoothing gets what the decimation leaves of half a voxel, within these."""

SPECKS = 0.005
"""Small pieces are left out, the smallest first, as long as they are together less than this part of the
structure."""

MIN_VOXELS = 8
"""Structures with fewer voxels have no surface worth the name."""

APART_MM = 0.001
"""Vertices at the same place are moved apart this far: a file without topology would join them."""

Box = tuple[slice, slice, slice]

_SHARE_OF_SHIFT = 0.1
"""Part of the tolerance that giving the decimated surface its volume back may take."""

_SETTLED = 0.999
"""Of half a voxel: single precision may not carry a vertex beyond it."""

_NEIGHBOURS = np.ones((3, 3, 3), dtype=bool)


def default_tolerance_mm(grid: Grid) -> float:
    """How far the decimation may move a surface on this grid unless told otherwise, mm."""
    voxel_mm = float(grid.spacing_mm.min())
    return min(max(TOLERANCE_VOXELS * voxel_mm, FINE_ENOUGH_MM), MOST_TOLERANCE_VOXELS * voxel_mm)


def meshes(
    label_map: LabelMap, structures: Sequence[str] | None = None, *, tolerance_mm: float | None = None
) -> dict[str, trimesh.Trimesh]:
    """Watertight surface of each structure, in LPS mm, normals outwards.

    Each has the volume of its voxels. As long as the tolerance is at most a quarter of the smallest spacing,
    every vertex is within half a voxel of the label map's boundary and every boundary voxel face has the
    surface that near. Vertices are single precision and no two are at the same place, so that a file of one
    or of all is read back as closed as it was written. Neighbours in contact may overlap by less than a
    voxel: each is a shell of its own.

    Parameters
    ----------
    label_map : LabelMap
    structures : sequence of str, optional
        Names of `codes.STRUCTURES`; by default all that are present.
    tolerance_mm : float, optional
        How far the decimation may move the smooth surface; by default `default_tolerance_mm`. With 0 nothing
        is decimated.

    Returns
    -------
    dict of str to Trimesh
        In the order of `codes.STRUCTURES`; without structures that are absent or too small. Each says in
        `metadata["tolerance_mm"]` what it was decimated to.
    """
    import trimesh

    tolerance = default_tolerance_mm(label_map.grid) if tolerance_mm is None else tolerance_mm
    found: dict[str, tuple[FloatArray, Triangles]] = {}
    for name, box in boxes(label_map).items():
        if structures is None or name in structures:
            mask = structure_mask(label_map, name, box)
            if np.count_nonzero(mask) >= MIN_VOXELS:
                start = np.array([s.start for s in box])
                found[name] = _printable(mask, start, label_map.grid, tolerance)
    apart = _apart(list(found.values()))
    return {
        name: trimesh.Trimesh(
            vertices, triangles, process=False, metadata={"name": name, "tolerance_mm": tolerance}
        )
        for vertices, (name, (_, triangles)) in zip(apart, found.items(), strict=True)
    }


def boxes(label_map: LabelMap) -> dict[str, Box]:
    """Where each structure of a label map lies, in the order of `codes.STRUCTURES`."""
    found: dict[str, Box] = {}
    for value, box in label_map.boxes.items():
        if value in STRUCTURE_OF_VALUE:
            name = STRUCTURE_OF_VALUE[value]
            found[name] = _joined(found[name], box) if name in found else box
    return {name: found[name] for name in STRUCTURES if name in found}


def structure_mask(label_map: LabelMap, name: str, box: Box) -> NDArray[np.bool_]:
    """Voxels of a structure in its box, without specks."""
    return _without_specks(np.isin(label_map.labels[box], STRUCTURES[name].values))


def _joined(one: Box, other: Box) -> Box:
    a, b, c = (slice(min(s.start, t.start), max(s.stop, t.stop)) for s, t in zip(one, other, strict=True))
    return a, b, c


def _without_specks(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    pieces, count = ndimage.label(mask, structure=_NEIGHBOURS)
    if count < 2:
        return mask
    sizes = np.bincount(pieces.ravel())[1:]
    order = np.argsort(sizes, kind="stable")
    small = order[np.cumsum(sizes[order]) < SPECKS * sizes.sum()] + 1
    return np.asarray(mask & ~np.isin(pieces, small))


def _printable(
    mask: NDArray[np.bool_], start: NDArray[np.int64], grid: Grid, tolerance_mm: float
) -> tuple[FloatArray, Triangles]:
    """Vertices in LPS mm and triangles, smoothed and decimated."""
    voxel_mm = float(grid.spacing_mm.min())
    reach = min(max(HALF_VOXEL - tolerance_mm / voxel_mm, LEAST_REACH_VOXELS), MOST_REACH_VOXELS)
    middles, triangles = voxel_faces(mask)
    vertices = grid.to_mm(smoothed(mask, middles, triangles, reach) + start)
    middles += start
    if np.linalg.det(grid.affine[:3, :3]) < 0:
        triangles = triangles[:, ::-1]
    if tolerance_mm <= 0:
        return vertices, triangles
    target_mm3 = np.count_nonzero(mask) * grid.voxel_mm3

    def settle(moved: FloatArray, lighter: Triangles) -> FloatArray:
        """The volume as before, and no vertex further than half a voxel from the voxels."""
        shift = shift_to(moved, lighter, target_mm3)
        longest = max(float(np.abs(shift).max()), 1e-12)
        index = grid.to_index(moved + shift * min(1, _SHARE_OF_SHIFT * tolerance_mm / longest))
        away = from_voxel_faces(index, middles)
        distance = np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-12)
        return grid.to_mm(index - away * np.maximum(0, 1 - _SETTLED * HALF_VOXEL / distance))

    return decimated(vertices, triangles, tolerance_mm, voxel_mm, settle)


def _apart(solids: Sequence[tuple[FloatArray, Triangles]]) -> list[FloatArray]:
    """Vertices in single precision; where two would be at the same place, the later one is moved inwards."""
    rounded = [vertices.astype(np.float32).astype(np.float64) for vertices, _ in solids]
    if not rounded:
        return []
    inwards = np.concatenate([-normals(vertices, triangles) for vertices, triangles in solids])
    inwards[~inwards.any(axis=1)] = (1.0, 0.0, 0.0)
    every = np.concatenate(rounded)
    while True:
        _, first = np.unique(every, axis=0, return_index=True)
        later = np.ones(len(every), dtype=bool)
        later[first] = False
        if not later.any():
            break
        every[later] = (every[later] + APART_MM * inwards[later]).astype(np.float32)
    return np.split(every, np.cumsum([len(vertices) for vertices in rounded])[:-1])
