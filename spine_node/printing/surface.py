"""The smooth closed surface of a mask, in its index space. Knows no millimetres and no anatomy.

Marching cubes on a bare mask puts one vertex into the middle of every voxel face between inside and outside.
Smoothing moves the vertices, none further than `reach` voxels from the middle where it began. So the
surface stays within that distance of the mask, and every voxel face has a vertex that near: nothing thin
vanishes, breaks or merges, whatever the smoothing does. Planes, ratios of volumes and the smoothing itself
do not depend on the axes, so that all this holds for any voxel shape, oblique or mirrored.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

FloatArray = NDArray[np.float64]
Triangles = NDArray[np.int32]
Stage = tuple[int, int]

STAGES: tuple[Stage, ...] = ((60, 30), (2, 6), (2, 6))
"""Steps of smoothing, and of averaging what they took off; the first against the wide stairs of planes that
lie nearly in the slices, the others against creases where vertices had reached their limit."""

STEP, STEPS_TO_LIMIT = 0.5, 5
"""How far a step moves a vertex to the mean of its neighbours, and after how many it is held to the reach."""

REACH_VOXELS = 0.4
"""How far a vertex may move; 0.5 would leave nothing for the decimation within half a voxel."""

_CHAMFER_AVERAGING, _LEAST_AREA, _SHIFTS = 4, 0.1, 3

_SLAB = 32
"""Slices that marching cubes sees at once: it wants four bytes a voxel."""

_OUTSIDE = -0.9
"""Value of voxels outside, of those inside 1: where two touch by an edge they are joined, never torn in one
cell and joined in the next, as a tie would allow."""


def voxel_faces(mask: NDArray[np.bool_]) -> tuple[FloatArray, Triangles]:
    """Middles of the voxel faces between inside and outside, and the triangles that join them.

    Parameters
    ----------
    mask : ndarray of bool, shape (i, j, k)
        Not empty. Beyond the array is outside: a structure cut off by the image is closed there.

    Returns
    -------
    middles : ndarray, shape (n, 3)
        Array indices: one coordinate ends in one half, the others are whole.
    triangles : ndarray, shape (m, 3)
        A closed surface, counter-clockwise from outside in a right-handed index space.
    """
    from skimage.measure import marching_cubes

    padded = np.pad(mask, 1)
    size = 2 * np.array(padded.shape)
    keys = []
    for first in range(0, len(padded) - 1, _SLAB):
        slab = padded[first : first + _SLAB + 1]
        if slab.any() and not slab.all():
            field = np.where(slab, np.float32(1), np.float32(_OUTSIDE))
            vertices, faces, *_ = marching_cubes(field, 0.0)
            # The crossing lies where the two values put it; its edge is what counts.
            whole = np.rint(vertices)
            doubled = np.where(np.abs(vertices - whole) < 0.01, 2 * whole, 2 * np.floor(vertices) + 1)
            doubled[:, 0] += 2 * first
            key = np.ravel_multi_index(tuple(doubled.astype(np.int64).T), tuple(size))
            keys.append(key[faces[:, ::-1]])
    unique, triangles = np.unique(np.concatenate(keys), return_inverse=True)
    middles = np.stack(np.unravel_index(unique, tuple(size)), axis=1) / 2 - 1
    return middles, triangles.reshape(-1, 3).astype(np.int32)


def smoothed(
    mask: NDArray[np.bool_],
    middles: FloatArray,
    triangles: Triangles,
    reach: float = REACH_VOXELS,
    stages: tuple[Stage, ...] = STAGES,
) -> FloatArray:
    """Where the vertices of `voxel_faces` go: a smooth surface with the volume of the voxels.

    Parameters
    ----------
    mask : ndarray of bool, shape (i, j, k)
    middles, triangles : ndarrays, shapes (n, 3) and (m, 3)
        Its voxel faces.
    reach : float
        How far a vertex may be from the middle of its face, in voxels.
    stages : tuple of (int, int)
        Steps of smoothing, and of averaging what they took off.

    Returns
    -------
    ndarray, shape (n, 3)
        Array indices; voxel centres are whole numbers.
    """
    mean = _mean_of_neighbours(len(middles), triangles)
    moved = middles
    for steps, averaging in stages:
        moved = _limited(_stage(moved, middles, triangles, mean, reach, steps, averaging), middles, reach)
    given = _chamfer(mask, middles) / np.maximum(_areas(moved, triangles), _LEAST_AREA)
    for _ in range(_CHAMFER_AVERAGING):
        given = mean @ given
    moved = _limited(moved + given[:, None] * normals(moved, triangles), middles, reach)
    target = float(np.count_nonzero(mask))
    for _ in range(_SHIFTS):
        moved = _limited(moved + shift_to(moved, triangles, target), middles, reach)
    return moved


def volume(vertices: FloatArray, triangles: Triangles) -> float:
    """What the surface encloses; negative where it is inside out."""
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    return float(np.einsum("ij,ij->", a, np.cross(b, c))) / 6


def shift_to(vertices: FloatArray, triangles: Triangles, target: float) -> FloatArray:
    """Displacement of each vertex along its normal, equal for all, that brings the volume to `target`."""
    area = float(np.linalg.norm(_doubled_normals(vertices, triangles), axis=1).sum()) / 2
    return (target - volume(vertices, triangles)) / area * normals(vertices, triangles)


def normals(vertices: FloatArray, triangles: Triangles) -> FloatArray:
    """Outward unit normal at each vertex, triangles weighing by area."""
    sums = _sums_at_vertices(_doubled_normals(vertices, triangles), triangles, len(vertices))
    return sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)


def _stage(
    vertices: FloatArray,
    middles: FloatArray,
    triangles: Triangles,
    mean: sparse.csr_array,
    reach: float,
    steps: int,
    averaging: int,
) -> FloatArray:
    """Steps towards the mean of the neighbours; what they took off a place on the whole is given back.

    Plain smoothing shrinks: a ball a little, a rod to its axis. Stairs lose as much as they gain, so that
    the loss averaged over the neighbourhood is the shrinking alone.
    """
    smooth = vertices
    for step in range(1, steps + 1):
        smooth = smooth + STEP * (mean @ smooth - smooth)
        if step % STEPS_TO_LIMIT == 0:
            smooth = _limited(smooth, middles, reach)
    outwards = normals(smooth, triangles)
    lost = np.einsum("ij,ij->i", outwards, vertices - smooth)
    for _ in range(averaging):
        lost = mean @ lost
    return smooth + lost[:, None] * outwards


def _chamfer(mask: NDArray[np.bool_], middles: FloatArray) -> FloatArray:
    """Volume in voxels that the triangles cut off around each voxel face, negative where they fill.

    A triangle cuts a convex edge of the mask at 45 degrees through the middles of its faces: an eighth of a
    voxel for each edge as long as a voxel, half of it for each of the two faces. On the whole that is little,
    of a rod one voxel thick it is half.
    """
    padded = np.pad(mask, 2).astype(np.int8)
    low, high = (np.asarray(bound(middles), dtype=np.int64) + 2 for bound in (np.floor, np.ceil))
    axis = (low != high).argmax(axis=1)
    beside = np.zeros(len(middles), dtype=np.int64)
    for along in range(3):
        for step in (-1, 1):
            offset = np.zeros(3, dtype=np.int64)
            offset[along] = step
            filled = padded[tuple((low + offset).T)] + padded[tuple((high + offset).T)]
            beside += np.where(axis == along, 0, 1 - filled)
    return beside / 16


def _limited(vertices: FloatArray, middles: FloatArray, reach: float) -> FloatArray:
    """The same vertices, none further than `reach` from its middle."""
    away = vertices - middles
    distance = np.linalg.norm(away, axis=1, keepdims=True)
    return middles + away * np.minimum(1, reach / np.maximum(distance, 1e-12))


def _mean_of_neighbours(count: int, triangles: Triangles) -> sparse.csr_array:
    """Matrix that gives each vertex the mean of those it shares an edge with."""
    # Closed and consistent: each edge stands in two triangles, once in each direction.
    ends = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    edges = sparse.csr_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(count, count))
    edges.data /= np.repeat(np.diff(edges.indptr), np.diff(edges.indptr))
    return edges


def _areas(vertices: FloatArray, triangles: Triangles) -> FloatArray:
    """A third of the area of the triangles at each vertex."""
    sizes = np.linalg.norm(_doubled_normals(vertices, triangles), axis=1) / 6
    return _sums_at_vertices(sizes[:, None], triangles, len(vertices))[:, 0]


def _doubled_normals(vertices: FloatArray, triangles: Triangles) -> FloatArray:
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    return np.cross(b - a, c - a)


def _sums_at_vertices(values: FloatArray, triangles: Triangles, count: int) -> FloatArray:
    """Sum of a value of each triangle, shape (m, d), over those at each vertex, shape (n, d)."""
    corners = triangles.ravel()
    spread = np.repeat(values, 3, axis=0)
    columns = [np.bincount(corners, spread[:, k], count) for k in range(values.shape[1])]
    return np.stack(columns, axis=1)
