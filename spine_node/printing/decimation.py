"""Fewer triangles for the same surface, to a tolerance that is measured and not hoped for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from spine_node.imaging.volume import FloatArray
from spine_node.printing.distances import Surface, to_triangles
from spine_node.printing.surface import Triangles

Settle = Callable[[FloatArray, Triangles], FloatArray]
"""Moves the vertices of a lighter surface before it is judged."""

_KEPT_AT_ONE_VOXEL = 0.03
"""First guess: part of the triangles that a tolerance of one voxel keeps; half of it keeps twice as many."""

_LEAST_KEPT, _MOST_KEPT, _TRIES, _WELL_USED, _CLOSE = 0.02, 0.9, 5, 0.6, 1.25

_MENDED = 0.005
"""Part of the points that may have come too far and are put back; where there are more, more is kept."""

_MENDINGS, _SAMPLED = 8, 50

_AGGRESSION = 5
"""Of the quadric edge collapse: how fast its threshold rises. Higher is faster and less even."""


def decimated(
    vertices: FloatArray, triangles: Triangles, tolerance_mm: float, voxel_mm: float, settle: Settle
) -> tuple[FloatArray, Triangles]:
    """As few triangles as keep each surface within the tolerance of the other.

    That holds for the vertices of both and for the middles of all edges of the given one.

    The edge collapse takes a number of triangles, no distance; so it is tried, measured and tried again.
    A few points that came too far are put back as vertices, each into the triangle that is nearest to it.
    A result that is not closed is not taken. Where nothing lighter will do, the surface stays.

    Parameters
    ----------
    vertices, triangles : ndarrays, shapes (n, 3) and (m, 3)
        A closed surface, mm.
    tolerance_mm : float
        Above 0.
    voxel_mm : float
        Smallest spacing of the voxels that it was made of.
    settle : callable
        What is done to the vertices of each lighter surface before it is measured.
    """
    best, before = (vertices, triangles), Surface(vertices, triangles)
    points = np.concatenate([vertices, _edge_middles(vertices, triangles)])
    too_few, enough = 0.0, 1.0
    keep = _KEPT_AT_ONE_VOXEL * voxel_mm / tolerance_mm
    for _ in range(_TRIES):
        keep = min(max(keep, _LEAST_KEPT), _MOST_KEPT)
        lighter = _collapsed(vertices, triangles, round(keep * len(triangles)), voxel_mm)
        used = np.inf
        if len(lighter[1]) and is_closed(lighter[1]):
            lighter, used = _mended((settle(*lighter), lighter[1]), points, tolerance_mm)
            used = max(used, float(before.distance(lighter[0], tolerance_mm).max()) / tolerance_mm)
        if used <= 1:
            best, enough = lighter, keep
        else:
            too_few = keep
        at_the_end = too_few == _MOST_KEPT or enough == _LEAST_KEPT
        if _WELL_USED < used <= 1 or enough < _CLOSE * too_few or at_the_end:
            break
        if too_few and enough < 1:
            keep = float(np.sqrt(too_few * enough))
        else:
            keep *= min(max(1.1 * used, 0.5), 1.5)
    return best


def _mended(
    lighter: tuple[FloatArray, Triangles], points: FloatArray, tolerance_mm: float
) -> tuple[tuple[FloatArray, Triangles], float]:
    """The lighter surface with the few points back that it left too far away.

    Returns
    -------
    tuple of ndarray
        Vertices and triangles.
    float
        How much of the tolerance it uses, but for those few; above 1 where it could not be mended.
    """
    vertices, corners = lighter
    surface = Surface(vertices, corners)
    if np.mean(surface.distance(points[::_SAMPLED], tolerance_mm) > tolerance_mm) > 10 * _MENDED:
        return lighter, 2.0
    distance, triangle = surface.nearest(points, tolerance_mm)
    used = float(np.quantile(distance, 1 - _MENDED)) / tolerance_mm
    if used > 1:
        return lighter, used
    for _ in range(_MENDINGS):
        far = np.flatnonzero(distance > tolerance_mm)
        if not len(far):
            return (vertices, corners), used
        # One for each triangle, the farthest: others there may be near one of the three that it becomes.
        far = far[np.argsort(-distance[far], kind="stable")]
        split, first = np.unique(triangle[far], return_index=True)
        corners, children = _split(corners, split, len(vertices) + np.arange(len(split)))
        vertices = np.concatenate([vertices, points[far[first]]])
        moved = np.flatnonzero(np.isin(triangle, split))
        choices = children[:, np.searchsorted(split, triangle[moved])]
        to_each = np.stack([to_triangles(points[moved], vertices[corners[choice]]) for choice in choices])
        nearest = to_each.argmin(axis=0)
        distance[moved] = to_each[nearest, np.arange(len(moved))]
        triangle[moved] = choices[nearest, np.arange(len(moved))]
    return (vertices, corners), max(used, float(distance.max()) / tolerance_mm)


def _split(
    triangles: Triangles, which: NDArray[np.int64], inside: NDArray[np.int64]
) -> tuple[Triangles, NDArray[np.int64]]:
    """Each of these triangles as three about a vertex, and their numbers, shape (3, n)."""
    a, b, c = triangles[which].T
    parts = [np.stack([*side, inside], axis=1) for side in ((a, b), (b, c), (c, a))]
    split = np.concatenate([triangles, *parts[1:]]).astype(np.int32)
    split[which] = parts[0]
    added = len(triangles) + np.arange(2 * len(which)).reshape(2, -1)
    return split, np.concatenate([which[None], added])


def is_closed(triangles: Triangles) -> bool:
    """Whether each edge stands in exactly two triangles, once in each direction."""
    ends = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]).astype(np.int64)
    count = int(triangles.max()) + 1
    there, back = np.sort(ends[:, 0] * count + ends[:, 1]), np.sort(ends[:, 1] * count + ends[:, 0])
    return bool(np.array_equal(there, back) and (np.diff(there) > 0).all())


def _edge_middles(vertices: FloatArray, triangles: Triangles) -> FloatArray:
    """Middle of each edge of a closed surface."""
    ends = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    return vertices[ends[ends[:, 0] < ends[:, 1]]].mean(axis=1)


def _collapsed(
    vertices: FloatArray, triangles: Triangles, count: int, voxel_mm: float
) -> tuple[FloatArray, Triangles]:
    """About `count` triangles by quadric edge collapse (Garland and Heckbert 1997)."""
    from fast_simplification import simplify

    # Its thresholds are absolute: in voxels and from the middle they mean the same for every scan.
    middle = vertices.mean(axis=0)
    points, faces = simplify(
        (vertices - middle) / voxel_mm,
        np.ascontiguousarray(triangles),
        target_count=max(count, 4),
        agg=_AGGRESSION,
    )
    return np.asarray(points, dtype=np.float64) * voxel_mm + middle, np.asarray(faces, dtype=np.int32)
