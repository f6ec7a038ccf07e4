"""Femoral heads as spheres: the place that most of a bone's surface looks away from.

Surface normals vote for centres, so that the same code finds the head in a ball, a cap, a ball with its
neck, or a whole femur; the sphere is then fitted to the surface that faces away from its centre.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from spine_node.anatomy.landmarks import FemoralHead
from spine_node.geometry.directions import DegenerateGeometry
from spine_node.imaging.components import Blob
from spine_node.imaging.surface import Field, field_of, surface_points
from spine_node.imaging.volume import FloatArray

RADIUS_MM = (15.0, 32.0)
"""Femoral heads of children and large men."""

LEAST_COVER = 0.3
"""Part of the sphere that must be seen: a cap of 60 degrees (0.25) misses the centre by 0.5 mm."""

LITTLE_COVER = 0.4
"""Less than this and the centre is said to be uncertain."""

RADIAL_DEG = 25.0
"""A head's surface faces away from its centre within this; neck, trochanters and cut faces do not."""

WIDE_BAND_MM, LEAST_BAND_MM = 3.0, 0.5
"""Surface this near to the sphere counts: at first, and at last."""

UNROUND_MM = 0.8
"""Scatter about the sphere from which a head is called out of round; smooth outlines reach 0.1 to 0.5."""

UNUSUAL_RADIUS_MM = (18.0, 29.0)
"""Radii of adults' heads; implants, children and errors lie outside."""

_BIN_MM = 3.0
_MOST_VOTERS = 12000
_MOST_POINTS = 6000
_CANDIDATES = 4
_CUP_SHARE = 0.25


@dataclass(frozen=True, slots=True, eq=False)
class Ball:
    """A sphere through part of a surface.

    Attributes
    ----------
    centre_mm : ndarray, shape (3,)
        LPS.
    radius_mm : float
    residual_mm : float
        RMS distance to it of all surface that faces away from its centre and lies within 3 mm of it: not
        only of that which fits.
    cover : float
        Fraction of the sphere near which there is surface.
    """

    centre_mm: FloatArray
    radius_mm: float
    residual_mm: float
    cover: float


def fit_head(side: str, blob: Blob) -> tuple[FemoralHead | None, str]:
    """The sphere of one head.

    Parameters
    ----------
    side : str
        "left" or "right".
    blob : Blob
        Voxels of the head, with or without neck and shaft.

    Returns
    -------
    FemoralHead or None
    str
        Why there is none; or, with a head, a sentence on what is doubtful about it, "" if nothing.
    """
    name = f"{side} femoral head"
    field = field_of(blob)
    points, at_edge = surface_points(blob, field)
    cut = bool(at_edge.any())
    points = _thinned(points[~at_edge], _MOST_VOTERS)
    ball = find_ball(field, points)
    if ball is None:
        return None, f"{name} is not round in the label map: no sphere of {RADIUS_MM[0]:.0f} to " + (
            f"{RADIUS_MM[1]:.0f} mm fits its surface"
        )
    if ball.cover < LEAST_COVER:
        why = "is cut by the field's edge" if cut else "is not round in the label map"
        return None, f"{name} {why}: only {100 * ball.cover:.0f} % of its sphere is seen"
    if not RADIUS_MM[0] <= ball.radius_mm <= RADIUS_MM[1]:
        return None, f"{name} has a radius of {ball.radius_mm:.0f} mm, no femoral head"
    head = FemoralHead(side, ball.centre_mm, ball.radius_mm, ball.residual_mm)
    return head, _doubts(name, ball, field, points)


def find_ball(field: Field, points_mm: FloatArray) -> Ball | None:
    """The sphere that most of a surface lies on, facing away from its centre; None if none does.

    Parameters
    ----------
    field : Field
        Of the structure: it tells which way the surface faces.
    points_mm : ndarray, shape (n, 3)
        Points of its surface, LPS.
    """
    if len(points_mm) < 50:
        return None
    normals = _normals(field, points_mm)
    best: Ball | None = None
    voxel = float(field.grid.spacing_mm.max())
    for centre, radius in _votes(points_mm, normals):
        near = np.linalg.norm(points_mm - centre, axis=1) < radius + 2 * WIDE_BAND_MM
        some = np.flatnonzero(near)
        if len(some) > _MOST_POINTS:
            some = some[:: -(-len(some) // _MOST_POINTS)]
        try:
            ball = _settled(points_mm[some], normals[some], centre, radius, voxel)
        except DegenerateGeometry:
            continue
        if best is None or ball.cover > best.cover:
            best = ball
    return best


def _thinned(points_mm: FloatArray, most: int) -> FloatArray:
    if len(points_mm) <= most:
        return points_mm
    return np.asarray(np.random.default_rng(0).permutation(points_mm)[:most])


def _normals(field: Field, points_mm: FloatArray) -> FloatArray:
    """Outward unit normals, from the field's differences over three voxels."""
    reach = 1.5 * float(field.grid.spacing_mm.min())
    gradient = np.empty_like(points_mm)
    for axis in range(3):
        step = np.zeros(3)
        step[axis] = reach
        gradient[:, axis] = field.at(points_mm - step) - field.at(points_mm + step)
    return np.asarray(gradient / np.maximum(np.linalg.norm(gradient, axis=1, keepdims=True), 1e-9))


def _votes(points_mm: FloatArray, normals: FloatArray) -> list[tuple[FloatArray, float]]:
    """The likeliest centres and radii: where normals followed inwards meet."""
    low = points_mm.min(axis=0) - _BIN_MM
    shape = tuple(int(n) for n in np.ceil((points_mm.max(axis=0) - low) / _BIN_MM) + 1)
    radii = np.arange(RADIUS_MM[0], RADIUS_MM[1] + 0.1, 1.5)
    counts = np.zeros((len(radii), *shape), np.float32)
    for k, radius in enumerate(radii):
        index = np.floor((points_mm - radius * normals - low) / _BIN_MM).astype(int)
        inside = ((index >= 0) & (index < shape)).all(axis=1)
        flat = np.ravel_multi_index(tuple(index[inside].T), shape)
        votes = np.bincount(flat, minlength=int(np.prod(shape))).reshape(shape)
        # Votes are a part of the sphere, whose surface grows with the radius.
        counts[k] = ndimage.uniform_filter(votes.astype(np.float32), 3, mode="constant") / radius**2
    found: list[tuple[FloatArray, float]] = []
    most = counts.max(axis=0)
    places = np.argsort(most, axis=None)[::-1][:2000]
    for place in places:
        index = np.array(np.unravel_index(place, shape))
        centre = low + (index + 0.5) * _BIN_MM
        if all(np.linalg.norm(centre - other) > 10.0 for other, _ in found):
            found.append((centre, float(radii[int(counts[(slice(None), *index)].argmax())])))
        if len(found) == _CANDIDATES:
            break
    return found


def _settled(
    points_mm: FloatArray, normals: FloatArray, centre: FloatArray, radius: float, voxel_mm: float
) -> Ball:
    """The sphere through the surface that faces away from its centre, in an ever narrower band."""
    used = np.zeros(len(points_mm), bool)
    band = WIDE_BAND_MM
    for k in range(14):
        away = points_mm - centre
        distance = np.linalg.norm(away, axis=1)
        radial = np.einsum("ni,ni->n", away, normals) > np.cos(np.radians(RADIAL_DEG)) * distance
        used = radial & (np.abs(distance - radius) < band)
        if used.sum() < 30:
            raise DegenerateGeometry("too little of the surface lies on the sphere")
        before = centre
        centre, radius = _sphere_near(points_mm[used], centre)
        if not RADIUS_MM[0] - 3 < radius < RADIUS_MM[1] + 3:
            raise DegenerateGeometry("the sphere is no head's")
        if k >= 3:
            off = np.abs(np.linalg.norm(points_mm[used] - centre, axis=1) - radius)
            scatter = 1.4826 * float(np.median(off))
            band = float(np.clip(3.5 * scatter, max(LEAST_BAND_MM, 0.35 * voxel_mm), WIDE_BAND_MM))
            if k > 5 and np.linalg.norm(centre - before) < 0.005:
                break
    away = points_mm - centre
    distance = np.linalg.norm(away, axis=1)
    radial = np.einsum("ni,ni->n", away, normals) > np.cos(np.radians(RADIAL_DEG)) * distance
    facing = radial & (np.abs(distance - radius) < WIDE_BAND_MM)
    residual = float(np.sqrt(np.mean((distance[facing] - radius) ** 2)))
    return Ball(centre, radius, residual, _cover(away[used]))


def _sphere_near(points_mm: FloatArray, start_mm: FloatArray) -> tuple[FloatArray, float]:
    """Centre and radius by Gauss-Newton on distances, which does not shrink on a cap."""
    centre = start_mm
    for _ in range(6):
        away = points_mm - centre
        distance = np.linalg.norm(away, axis=1)
        design = np.column_stack([-away / distance[:, None], -np.ones(len(distance))])
        update = np.linalg.solve(design.T @ design + 1e-9 * np.eye(4), -design.T @ distance)
        centre = centre + update[:3]
        if np.linalg.norm(update[:3]) < 1e-6:
            break
    return np.asarray(centre), float(np.linalg.norm(points_mm - centre, axis=1).mean())


def _cover(away: FloatArray) -> float:
    """Fraction of directions near which there is a point."""
    n = 200
    k = np.arange(n) + 0.5
    polar, turn = np.arccos(1 - 2 * k / n), np.pi * (1 + 5**0.5) * k
    even = np.column_stack([np.cos(turn) * np.sin(polar), np.sin(turn) * np.sin(polar), np.cos(polar)])
    directions = away / np.linalg.norm(away, axis=1, keepdims=True)
    return float(((even @ directions.T).max(axis=1) > np.cos(np.radians(8))).mean())


def _doubts(name: str, ball: Ball, field: Field, points_mm: FloatArray) -> str:
    """What makes this head's centre less sure than usual, as a sentence; "" when nothing does."""
    away = points_mm - ball.centre_mm
    distance = np.linalg.norm(away, axis=1)
    normals = _normals(field, points_mm)
    radial = np.abs(np.einsum("ni,ni->n", away, normals)) > 0.9 * distance
    shell = radial & (np.abs(distance - ball.radius_mm) > WIDE_BAND_MM) & (distance < RADIUS_MM[1] + 4)
    doubts = []
    if ball.residual_mm > UNROUND_MM:
        doubts.append(f"its surface scatters by {ball.residual_mm:.1f} mm about the sphere (out of round)")
    if _cover(away[shell]) > _CUP_SHARE if shell.any() else False:
        doubts.append("a second shell lies about its centre (a cup or an implant)")
    if not UNUSUAL_RADIUS_MM[0] <= ball.radius_mm <= UNUSUAL_RADIUS_MM[1]:
        doubts.append(f"its radius is {ball.radius_mm:.1f} mm")
    if ball.cover < LITTLE_COVER:
        doubts.append(f"only {100 * ball.cover:.0f} % of its sphere is seen")
    return f"{name[0].upper()}{name[1:]}: {'; '.join(doubts)}." if doubts else ""
