"""Where the first sacral plate may be, before it is measured: said by a vertebra above, or by its shape."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spine_node.anatomy.sacral_axis import MirrorPlane, mirror_plane, plate_axes
from spine_node.geometry.angles import angle_between_deg
from spine_node.geometry.directions import across, axes_from, unit
from spine_node.geometry.fitting import robust_height_plane
from spine_node.imaging.components import Blob
from spine_node.imaging.surface import Field, column_ends
from spine_node.imaging.volume import FloatArray

USUAL_SLOPE_DEG = 40.0
"""Sacral slope of adults in the mean (Vialle 2005: 41)."""

LONG_RATIO, ALONG_DEG = 1.5, 45.0
"""A sacrum so much longer than deep shows where its end plate faces: lengthwise, within some 45 degrees."""

LEAST_POINTS = 100
"""Of fewer voxels (of those looked at) nothing is said about a sacrum's length."""

_SLOPES_DEG = tuple(range(-15, 106, 15))
_SEED_MM = 9.0
_FURTHEST_ASIDE_MM = 15.0


@dataclass(frozen=True, slots=True, eq=False)
class Seed:
    """Where the plate is expected: a point above or on it, its cranial normal, the way back."""

    point_mm: FloatArray
    normal: FloatArray
    posterior: FloatArray


def seed_of_shape(blob: Blob, field: Field, vertical: FloatArray, posterior: FloatArray) -> Seed | None:
    """Where the plate is when no lumbar vertebra is seen: the flat place at the sacrum's upper end.

    Slopes from -15 to 105 degrees against the vertical are tried.
    """
    guess = Seed(
        blob.points_mm.mean(axis=0), _facing_axes(vertical, posterior, USUAL_SLOPE_DEG)[:, 2], posterior
    )
    return flat_place(blob, field, vertical, posterior, mirror_of(blob, field, guess))


def mirror_of(blob: Blob, field: Field, seed: Seed) -> MirrorPlane | None:
    """The sacrum's mirror plane, or None when its shape does not show one."""
    mirror = mirror_plane(blob, field, plate_axes(seed.normal, seed.posterior))
    return mirror if mirror is not None and mirror.sure else None


def onto(mirror: MirrorPlane | None, point_mm: FloatArray) -> tuple[FloatArray, bool]:
    """The point moved onto the mirror plane, and whether it was near enough to be."""
    if mirror is None:
        return point_mm, False
    aside = float(point_mm @ mirror.left) - mirror.offset_mm
    if abs(aside) > _FURTHEST_ASIDE_MM:
        return point_mm, False
    return np.asarray(point_mm - aside * mirror.left), True


def upright(seed: Seed) -> FloatArray:
    """The vertical of somebody whose plate has the usual slope and this normal."""
    back, slope = plate_axes(seed.normal, seed.posterior)[:, 1], np.radians(USUAL_SLOPE_DEG)
    return unit(np.cos(slope) * seed.normal + np.sin(slope) * back)


def flat_place(
    blob: Blob, field: Field, vertical: FloatArray, posterior: FloatArray, mirror: MirrorPlane | None
) -> Seed | None:
    """The flat place on the midline that lies furthest out and best along the bone, as a seed; or None."""
    points = blob.points_mm[::11]
    centre, _ = onto(mirror, points.mean(axis=0))
    back = posterior
    if mirror is not None:
        # An oblique pelvis: its own midsagittal plane is searched, not that of the room.
        vertical = across(vertical, mirror.left)
        back = np.asarray(np.cross(vertical, mirror.left))
    lengthwise = _lengthwise(points, vertical, back)
    step = 2.0
    u = np.arange(-10, 11) * step
    v = np.arange(-40, 41) * step
    base = np.stack(np.meshgrid(u, v, indexing="ij"), axis=-1).reshape(-1, 2)
    best: tuple[float, Seed] | None = None
    for slope in _SLOPES_DEG:
        axes = _facing_axes(vertical, back, slope)
        top = float(((points - centre) @ axes[:, 2]).max()) + 2.0
        feet, heights = centre + base @ axes[:, :2].T, np.arange(0.0, top + 1.0, 1.0)
        highest = column_ends(field, feet, axes[:, 2], heights, upper=True)
        for middle in np.column_stack([np.zeros(len(v)), v])[2:-2:2]:
            near = np.linalg.norm(base - middle, axis=1) < _SEED_MM
            seen = near & np.isfinite(highest)
            if seen.sum() < 0.9 * near.sum():
                continue
            plane = robust_height_plane(base[seen] - middle, highest[seen], scale_floor_mm=0.5)
            normal = unit(axes @ np.array([-plane.slope[0], -plane.slope[1], 1.0]))
            if angle_between_deg(normal, axes[:, 2]) > 15 or plane.residual_mm > 1.5:
                continue
            point = centre + axes @ np.array([*middle, plane.offset_mm])
            above = float(((points - point) @ normal > 2.0).mean())
            outward = float((point - centre) @ normal)
            unusual = 0.5 * ((slope - USUAL_SLOPE_DEG) / 40.0) ** 2
            if lengthwise is not None:
                off_axis = np.arccos(np.clip(abs(float(normal @ lengthwise)), 0.0, 1.0))
                unusual += (np.degrees(off_axis) / ALONG_DEG) ** 2
            worth = outward / 30.0 - plane.residual_mm - above / 0.05 - unusual
            if best is None or worth > best[0]:
                best = (worth, Seed(point, normal, posterior))
    return None if best is None else best[1]


def _facing_axes(vertical: FloatArray, posterior: FloatArray, slope_deg: float) -> FloatArray:
    """Axes of a plate of this slope: left, along the plate to the back, cranial normal."""
    level, slope = axes_from(vertical, posterior), np.radians(slope_deg)
    turn = np.array([[1, 0, 0], [0, np.cos(slope), -np.sin(slope)], [0, np.sin(slope), np.cos(slope)]])
    return np.asarray(level @ turn)


def _lengthwise(points_mm: FloatArray, vertical: FloatArray, back: FloatArray) -> FloatArray | None:
    """The sacrum's long direction in its midsagittal plane; None for one that is short or cut."""
    if len(points_mm) < LEAST_POINTS:
        return None
    axes = axes_from(vertical, back)[:, 1:]
    spread, directions = np.linalg.eigh(np.cov(((points_mm - points_mm.mean(axis=0)) @ axes).T))
    return np.asarray(axes @ directions[:, 1]) if spread[1] > LONG_RATIO**2 * spread[0] else None
