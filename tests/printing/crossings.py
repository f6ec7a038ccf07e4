"""Where a surface passes through itself."""

from __future__ import annotations

import numpy as np
import trimesh
from scipy.spatial import cKDTree


def crossings(mesh: trimesh.Trimesh) -> int:
    """Pairs of an edge and a triangle that meet and have no vertex in common."""
    faces, corners = np.asarray(mesh.faces), np.asarray(mesh.triangles)
    middles = corners.mean(axis=1)
    reach = np.linalg.norm(corners - middles[:, None], axis=2).max(axis=1)
    # Each triangle with all whose middle is within both their reaches, the larger of the two first.
    tree, order = cKDTree(middles), np.argsort(-reach)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    near = tree.query_ball_point(middles, 2 * reach)
    one = np.repeat(np.arange(len(near)), [len(n) for n in near])
    other = np.concatenate([np.asarray(n, dtype=np.int64) for n in near])
    keep = rank[one] < rank[other]
    one, other = one[keep], other[keep]
    apart = ~(faces[one][:, :, None] == faces[other][:, None, :]).any(axis=(1, 2))
    one, other = one[apart], other[apart]
    return sum(_pierced(corners[a], corners[b]) for a, b in ((one, other), (other, one)))


def _pierced(edges_of: np.ndarray, triangles: np.ndarray) -> int:
    a, b, c = triangles.transpose(1, 0, 2)
    normal = np.cross(b - a, c - a)
    found = 0
    for k in range(3):
        start, end = edges_of[:, k], edges_of[:, (k + 1) % 3]
        above, below = (np.einsum("ij,ij->i", normal, p - a) for p in (start, end))
        through = above * below < 0
        along = np.divide(above, above - below, out=np.zeros_like(above), where=through)
        at = start + along[:, None] * (end - start)
        for first, second in ((a, b), (b, c), (c, a)):
            through &= np.einsum("ij,ij->i", np.cross(second - first, at - first), normal) > 1e-12
        found += int(np.count_nonzero(through))
    return found
