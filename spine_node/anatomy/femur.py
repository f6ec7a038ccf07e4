"""Femoral heads cut from whole femora: the ball in the socket, or the roundest place."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spine_node.anatomy.heads import LEAST_COVER, RADIUS_MM, Ball, find_ball
from spine_node.anatomy.levels import STRUCTURE_VALUES
from spine_node.imaging.components import Blob, boxes, cut_out
from spine_node.imaging.surface import field_of, surface_points
from spine_node.imaging.volume import FloatArray, LabelMap

NEAR_SOCKET_MM = 10.0
"""The head's surface lies this near to the hip bone: joint space, cartilage and outlines' errors."""

BAND_MM = 1.5
"""Bone this far outside the sphere still belongs to the head."""

LEAST_POINTS = 60
"""Fewer points of a head's surface near a socket make no sphere."""

_MOST_POINTS = 12000


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
        head = _head(label_map, value, hip if hip in found else None)
        if head is None:
            quality.append(
                f"{side} femur: its head could not be told from the rest (no ball of a head's size); it was "
                "left out."
            )
            continue
        where = np.argwhere(label_map.labels[found[value]] == value) + [s.start for s in found[value]]
        away = np.linalg.norm(label_map.grid.to_mm(where) - head.centre_mm, axis=1)
        labels[tuple(where[away <= head.radius_mm + BAND_MM / 2].T)] = STRUCTURE_VALUES[
            f"femoral_head_{side}"
        ]
    return LabelMap(label_map.grid, labels), tuple(quality)


def _head(label_map: LabelMap, femur: int, hip: int | None) -> Ball | None:
    """The ball near the socket; the roundest one of the whole femur where no socket is near."""
    blob = cut_out(label_map, femur, boxes(label_map)[femur])
    field = field_of(blob)
    points, at_edge = surface_points(blob)
    points = points[~at_edge]
    near = np.zeros(len(points), bool) if hip is None else _near_socket(label_map, blob, hip, points)
    for some in (points[near], points) if near.sum() >= LEAST_POINTS else (points,):
        if len(some) > _MOST_POINTS:
            some = np.random.default_rng(0).permutation(some)[:_MOST_POINTS]
        ball = find_ball(field, some)
        if ball and ball.cover >= LEAST_COVER and RADIUS_MM[0] <= ball.radius_mm <= RADIUS_MM[1]:
            return ball
    return None


def _near_socket(label_map: LabelMap, blob: Blob, hip: int, points_mm: FloatArray) -> NDArray[np.bool_]:
    """Which points of the femur's surface the hip bone is near to."""
    grid = label_map.grid
    shape = blob.grid.shape
    start = np.rint(grid.to_index(blob.grid.to_mm((0, 0, 0)))).astype(int)
    inside = tuple(
        slice(max(int(a), 0), min(int(a) + n, m)) for a, n, m in zip(start, shape, grid.shape, strict=True)
    )
    socket = np.zeros(shape, bool)
    own = tuple(slice(s.start - int(a), s.stop - int(a)) for s, a in zip(inside, start, strict=True))
    socket[own] = label_map.labels[inside] == hip
    if not socket.any():
        return np.zeros(len(points_mm), bool)
    distance = ndimage.distance_transform_edt(~socket, sampling=grid.spacing_mm)
    at = np.clip(np.rint(blob.grid.to_index(points_mm)).astype(int), 0, np.array(shape) - 1)
    return np.asarray(distance[tuple(at.T)] <= NEAR_SOCKET_MM)
