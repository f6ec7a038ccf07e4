"""Femoral heads cut from whole femora: the ball in the hip bone's socket."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import ndimage

from spine_node.anatomy.heads import RADIUS_MM
from spine_node.anatomy.levels import STRUCTURE_VALUES
from spine_node.geometry.directions import DegenerateGeometry
from spine_node.geometry.fitting import robust_sphere
from spine_node.imaging.components import boxes, cut_out
from spine_node.imaging.surface import surface_points
from spine_node.imaging.volume import FloatArray, LabelMap

NEAR_SOCKET_MM = 10.0
"""The head's surface lies this near to the hip bone: joint space, cartilage and outlines' errors."""

BAND_MM = 1.5
"""Surface this near to the sphere belongs to the head."""

LEAST_POINTS = 60
"""Fewer points of a head's surface near a socket make no sphere."""

_MOST_POINTS = 4000


def keep_heads(label_map: LabelMap, femora: Mapping[str, int]) -> tuple[LabelMap, tuple[str, ...]]:
    """The map with whole femora replaced by their heads, whose values are `anatomy.levels`'s.

    Parameters
    ----------
    label_map : LabelMap
        Values of `anatomy.levels`, and whole femora.
    femora : mapping of str to int
        Value of "femur_left" and "femur_right".

    Returns
    -------
    LabelMap
    tuple of str
        Sentences on femora whose head could not be told.
    """
    found = boxes(label_map)
    if not set(femora.values()) & set(found):
        return label_map, ()
    labels = label_map.labels.copy()
    quality = []
    for side in ("left", "right"):
        value = femora[f"femur_{side}"]
        if value not in found:
            continue
        labels[labels == value] = 0
        hip = STRUCTURE_VALUES[f"hip_{side}"]
        head = _head(label_map, value, hip) if hip in found else None
        if head is None:
            quality.append(
                f"{side} femur: its head could not be told from the rest (no ball near the hip bone); it was "
                "left out."
            )
            continue
        centre, radius = head
        where = np.argwhere(label_map.labels[found[value]] == value) + [s.start for s in found[value]]
        away = np.linalg.norm(label_map.grid.to_mm(where) - centre, axis=1)
        labels[tuple(where[away <= radius + BAND_MM / 2].T)] = STRUCTURE_VALUES[f"femoral_head_{side}"]
    return LabelMap(label_map.grid, labels), tuple(quality)


def _head(label_map: LabelMap, femur: int, hip: int) -> tuple[FloatArray, float] | None:
    """Centre, LPS mm, and radius of the ball near the socket."""
    grid = label_map.grid
    blob = cut_out(label_map, femur, boxes(label_map)[femur])
    points, at_edge = surface_points(blob)
    points = points[~at_edge]
    # Distance to the hip bone, in the femur's own box.
    shape = blob.grid.shape
    start = np.rint(grid.to_index(blob.grid.to_mm((0, 0, 0)))).astype(int)
    inside = tuple(
        slice(max(int(a), 0), min(int(a) + n, m)) for a, n, m in zip(start, shape, grid.shape, strict=True)
    )
    socket = np.zeros(shape, bool)
    own = tuple(slice(s.start - int(a), s.stop - int(a)) for s, a in zip(inside, start, strict=True))
    socket[own] = label_map.labels[inside] == hip
    if not socket.any():
        return None
    distance = ndimage.distance_transform_edt(~socket, sampling=grid.spacing_mm)
    at = np.clip(np.rint(blob.grid.to_index(points)).astype(int), 0, np.array(shape) - 1)
    near = points[distance[tuple(at.T)] <= NEAR_SOCKET_MM]
    if len(near) < LEAST_POINTS:
        return None
    if len(near) > _MOST_POINTS:
        near = np.random.default_rng(0).permutation(near)[:_MOST_POINTS]
    try:
        sphere = robust_sphere(near, radius_range_mm=RADIUS_MM, band_mm=BAND_MM)
    except DegenerateGeometry:
        return None
    if not RADIUS_MM[0] <= sphere.radius_mm <= RADIUS_MM[1] or sphere.inliers.mean() < 0.5:
        return None
    return sphere.centre_mm, sphere.radius_mm
