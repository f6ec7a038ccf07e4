"""Distances from points to a triangle mesh and to voxel faces."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from spine_node.imaging.volume import FloatArray

_CANDIDATES = (1, 6, 40)
"""Nearest samples whose triangles are measured exactly, as long as none is near enough."""

_AT_ONCE = 200_000
"""Points that are measured together: a bound on memory."""

_FACES = 6
"""Nearest middles whose voxel faces are measured exactly."""


class Surface:
    """A triangle mesh that distances are measured to.

    Samples of the surface lead to the triangles that may be nearest; those are measured exactly.

    Parameters
    ----------
    vertices, triangles : ndarrays, shapes (p, 3) and (q, 3)
    """

    def __init__(self, vertices: FloatArray, triangles: NDArray[np.int32]) -> None:
        self._corners = vertices[triangles]
        sides = np.linalg.norm(self._corners - np.roll(self._corners, 1, axis=1), axis=2)
        parts = np.ceil(sides.max(axis=1) / max(float(sides.mean()), 1e-9)).astype(np.int64)
        samples, owners = [], []
        for count in np.unique(parts):
            owner = np.flatnonzero(parts == count)
            inside = _spread(max(int(count), 1)) @ self._corners[owner]
            samples.append(inside.reshape(-1, 3))
            owners.append(np.repeat(owner, inside.shape[1]))
        self._owner = np.concatenate(owners)
        self._samples = cKDTree(np.concatenate(samples))

    def nearest(self, points: FloatArray, enough: float = 0.0) -> tuple[FloatArray, NDArray[np.int64]]:
        """Distance of each point, shape (n, 3) to (n,), never less than the true one; and to which triangle.

        A triangle within `enough` is near enough: no nearer one is looked for, and the distance is to that.
        """
        distance, triangle = np.full(len(points), np.inf), np.zeros(len(points), dtype=np.int64)
        for first in range(0, len(points), _AT_ONCE):
            some = slice(first, first + _AT_ONCE)
            distance[some], triangle[some] = self._nearest(points[some], enough)
        return distance, triangle

    def _nearest(self, points: FloatArray, enough: float) -> tuple[FloatArray, NDArray[np.int64]]:
        distance, triangle = np.full(len(points), np.inf), np.zeros(len(points), dtype=np.int64)
        for count in _CANDIDATES:
            far = np.flatnonzero(distance > enough)
            count = min(count, self._samples.n)
            _, near = self._samples.query(points[far], k=count)
            for candidate in near.reshape(len(far), count).T:
                owner = self._owner[candidate]
                found = to_triangles(points[far], self._corners[owner])
                nearer = found < distance[far]
                distance[far[nearer]], triangle[far[nearer]] = found[nearer], owner[nearer]
        return distance, triangle

    def distance(self, points: FloatArray, enough: float = 0.0) -> FloatArray:
        """The first of `nearest`."""
        return self.nearest(points, enough)[0]


def to_triangles(points: FloatArray, corners: FloatArray) -> FloatArray:
    """Distance of each point, shape (n, 3), to the triangle beside it, shape (n, 3, 3)."""
    import trimesh

    return np.linalg.norm(trimesh.triangles.closest_point(corners, points) - points, axis=1)


def _spread(parts: int) -> FloatArray:
    """Points over a triangle as parts of its corners, shape (n, 3): a lattice of `parts` along each side."""
    steps = [(i, j, parts - 1 - i - j) for i in range(parts) for j in range(parts - i)]
    return (np.array(steps) + 1 / 3) / parts


def from_voxel_faces(points: FloatArray, middles: FloatArray, scale: FloatArray | None = None) -> FloatArray:
    """The way from the nearest voxel face to each point.

    Parameters
    ----------
    points : ndarray, shape (n, 3)
        Array indices, fractional.
    middles : ndarray, shape (m, 3)
        Middles of the faces, array indices: the coordinate across a face ends in one half.
    scale : ndarray, shape (3, 3), optional
        Takes index differences to those in which "nearest" is meant, such as mm.

    Returns
    -------
    ndarray, shape (n, 3)
        Differences of array indices.
    """
    axes = np.eye(3) if scale is None else scale
    _, near = cKDTree(middles @ axes.T).query(points @ axes.T, k=min(_FACES, len(middles)))
    near = near.reshape(len(points), -1)
    away = points[:, None, :] - middles[near]
    across = middles[near] != np.rint(middles[near])
    beyond = np.where(across, away, np.sign(away) * np.maximum(np.abs(away) - 0.5, 0))
    best = np.linalg.norm(beyond @ axes.T, axis=2).argmin(axis=1)
    return beyond[np.arange(len(points)), best]
