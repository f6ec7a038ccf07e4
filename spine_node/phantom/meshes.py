"""Triangle meshes of bones as a label map, from which templates are cut like from any other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spine_node.anatomy.levels import POSTERIOR_OFFSET, SACRUM, VERTEBRA_VALUES
from spine_node.errors import LabelMapRefused
from spine_node.imaging.volume import FloatArray, Grid, LabelMap
from spine_node.phantom.layouts import BONES, LAYOUT_FILE, Layout

VOXEL_MM = 0.75
"""Meshes are filled with voxels of this size before bones are cut out of them."""

SUFFIXES = (".stl", ".obj", ".ply")

_PAD = 4


def bones_in(folder: Path, layout: Layout) -> dict[str, Path]:
    """The mesh of each bone: as the layout says, else by the files' names ("L3.stl", "L3_body.stl")."""
    if layout.files:
        return {bone: folder / name for name, bone in layout.files.items()}
    meshes = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
    return {p.stem: p for p in meshes if p.stem in BONES}


def fill_folder(folder: Path, layout: Layout, voxel_mm: float = VOXEL_MM) -> LabelMap:
    """A label map of the bones of a folder; vertebrae without a body of their own are in one piece.

    Raises
    ------
    LabelMapRefused
        If no file is a bone, or a file is no closed surface.
    ConfigRefused
        If the layout's axes or unit cannot be.
    """
    turn = layout.to_lps()
    surfaces = {bone: _triangles(path) @ turn.T for bone, path in bones_in(folder, layout).items()}
    if not surfaces:
        raise LabelMapRefused(
            f"{folder} holds no mesh of a bone: files named by level were expected (L3.stl, L3_body.stl, "
            f"sacrum.stl), or a {LAYOUT_FILE} that says which file is which."
        )
    corners = np.array([f(t, axis=(0, 1)) for t in surfaces.values() for f in (np.min, np.max)])
    low = corners.min(axis=0) - (_PAD + 0.5) * voxel_mm
    shape = np.ceil((corners.max(axis=0) - low) / voxel_mm).astype(int) + _PAD
    affine = np.diag([voxel_mm, voxel_mm, voxel_mm, 1.0])
    affine[:3, 3] = low
    grid = Grid(tuple(shape), affine)  # type: ignore[arg-type]
    labels = np.zeros(grid.shape, np.uint8)
    for bone in sorted(surfaces, key=lambda name: name.endswith("_body")):  # bodies over their vertebrae
        level = bone.removesuffix("_body")
        value = SACRUM if bone == "sacrum" else VERTEBRA_VALUES[level]
        if bone == level and f"{level}_body" in surfaces:
            value += POSTERIOR_OFFSET
        index = grid.to_index(surfaces[bone])
        start = np.floor(index.min(axis=(0, 1))).astype(int)
        stop = np.ceil(index.max(axis=(0, 1))).astype(int) + 1
        inside = filled(index - start, tuple(stop - start))
        if not inside.any():
            raise LabelMapRefused(
                f"the mesh of {bone} in {folder} encloses nothing: it is no closed surface."
            )
        labels[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))][inside] = value
    return LabelMap(grid, labels)


def _triangles(path: Path) -> FloatArray:
    """Corners of a mesh file's triangles, shape (n, 3, 3)."""
    import trimesh

    try:
        mesh = trimesh.load_mesh(path)
        return np.asarray(mesh.triangles, dtype=np.float64)
    except (OSError, ValueError, AttributeError, IndexError) as error:
        raise LabelMapRefused(f"{path} is no triangle mesh that can be read: {error}") from error


def filled(triangles: FloatArray, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Voxels whose centres a surface encloses.

    Along each axis the surface is crossed by lines through the voxels' centres; two of three
    directions must agree, so that small holes of a surface do not matter.

    Parameters
    ----------
    triangles : ndarray, shape (n, 3, 3)
        Corners in array indices, consistently turned.
    shape : tuple of int
    """
    votes = np.zeros(shape, np.uint8)
    for axis in range(3):
        order = [(axis + 1) % 3, (axis + 2) % 3, axis]
        inside = _crossed(triangles[:, :, order], [shape[k] for k in order])
        votes += np.transpose(inside, np.argsort(order))
    return votes >= 2


def _crossed(triangles: FloatArray, shape: list[int]) -> NDArray[np.bool_]:
    """The same along the last axis only."""
    # a line through a shared edge would meet two triangles or none: no line does after this shift
    flat = triangles[:, :, :2] + [1.7e-5, 2.9e-5]
    a, b, c = flat[:, 0], flat[:, 1], flat[:, 2]
    double = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    first = np.maximum(np.ceil(flat.min(axis=1)).astype(int), 0)
    count = np.maximum(
        np.minimum(np.floor(flat.max(axis=1)).astype(int), [s - 1 for s in shape[:2]]) - first + 1, 0
    )
    lines = count.prod(axis=1)
    which = np.repeat(np.arange(len(flat)), lines)
    within = np.arange(len(which)) - np.repeat(np.cumsum(lines) - lines, lines)
    p = first[which] + np.stack([within // count[which, 1], within % count[which, 1]], axis=1)
    a, b, c, double = a[which], b[which], c[which], double[which]

    def twice(u: FloatArray, v: FloatArray) -> FloatArray:
        """Twice the area of (p, u, v)."""
        return np.asarray(
            (u[:, 0] - p[:, 0]) * (v[:, 1] - p[:, 1]) - (u[:, 1] - p[:, 1]) * (v[:, 0] - p[:, 0])
        )

    with np.errstate(divide="ignore", invalid="ignore"):
        weights = np.stack([twice(b, c), twice(c, a), twice(a, b)], axis=1) / double[:, None]
    met = (weights >= 0).all(axis=1) & (double != 0)
    height = (weights[met] * triangles[which[met], :, 2]).sum(axis=1)
    step = np.zeros((shape[0], shape[1], shape[2] + 1), np.int16)
    k = np.clip(np.ceil(height).astype(int), 0, shape[2])
    np.add.at(step, (p[met, 0], p[met, 1], k), -np.sign(double[met]).astype(np.int16))
    return np.asarray(np.cumsum(step, axis=2)[:, :, :-1] > 0)
