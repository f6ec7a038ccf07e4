"""The superior endplate of S1, found on the sacrum: the flat place that faces the last vertebra.

Steps as Vrtovec 2012 (Spine 37:E479): the plate grows from where the vertebra above looks, stops where
the surface turns away. Its centre is its centroid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from spine_node.anatomy.endplates import CUT_FRACTION, column_step_mm
from spine_node.anatomy.landmarks import Endplate
from spine_node.anatomy.rims import along_mm, probe_depth_mm, rim_mm
from spine_node.anatomy.stairs import plane_without_stairs
from spine_node.geometry.angles import angle_between_deg
from spine_node.geometry.directions import DegenerateGeometry, axes_from, unit
from spine_node.geometry.fitting import HeightPlane, robust_height_plane
from spine_node.imaging.components import Blob
from spine_node.imaging.surface import Field, column_crossings
from spine_node.imaging.volume import FloatArray

BAND_MM = 2.0
"""Surface nearer to the plane belongs to the plate (a dome or dish is less deep)."""

RIM_BAND_MM = 1.0
"""The same at the rim, where laminae and wings begin just below the plate; more if the plate is domed."""

TURN_DEG = 28.0
"""Surface that leans more against the plane does not belong to the plate."""

SEED_MM = 9.0
"""Radius around the foot of the vertebra above in which the plate is first looked for."""

RIM = 0.88
"""Fraction of the plate's ellipse that the final plane is fitted to."""

AREA_MM2 = (250.0, 3600.0)
"""Endplates of S1, from a small child's to a large man's."""

REACH_MM = (36.0, 34.0)
"""How far from its middle the plate is looked for, to the sides and front to back."""

RIM_AGREES_MM = 4.0
"""Where the bone ends further than this from where the flat surface does, it is another bone's end."""

USUAL_SLOPE_DEG = 40.0
"""Slope from which the plate is looked for when no lumbar vertebra points to it."""

_PASSES = 4


@dataclass(frozen=True, slots=True, eq=False)
class Seed:
    """Where the plate is expected: a point above or on it, its cranial normal, the way back."""

    point_mm: FloatArray
    normal: FloatArray
    posterior: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class _Surface:
    """The sacrum's upper surface as heights over a plane of columns."""

    centre_mm: FloatArray
    axes: FloatArray
    shape: tuple[int, int]
    base: FloatArray
    heights: FloatArray
    step_mm: float


def find_s1(blob: Blob, field: Field, seed: Seed) -> tuple[Endplate | None, str]:
    """The superior endplate of S1, or None and the reason.

    Parameters
    ----------
    blob : Blob
        The sacrum.
    field : Field
        Of the sacrum.
    seed : Seed
        From the vertebra above, or from `seed_of_shape`.
    """
    point, axes = seed.point_mm, axes_from(seed.normal, seed.posterior)
    try:
        for _ in range(_PASSES):
            surface = _upper_surface(blob, field, point, axes)
            plane, region, inner = _grow(surface)
            base = surface.base[region].mean(axis=0)
            point = surface.centre_mm + surface.axes @ np.array([*base, float(plane.at(base))])
            axes = axes_from(_normal(surface, plane), seed.posterior)
        plane = plane_without_stairs(
            blob.grid,
            surface.centre_mm,
            surface.axes,
            surface.base[inner],
            surface.heights[inner],
            bone_below=True,
        )
    except DegenerateGeometry as error:
        return None, f"S1 endplate: {error}"
    normal = _normal(surface, plane)
    region = _to_the_rim(surface, plane, region)
    points = surface.centre_mm + np.column_stack([surface.base, surface.heights]) @ surface.axes.T
    if blob.at_edge(blob.grid.to_index(points[region])).mean() > CUT_FRACTION:
        return None, "S1 endplate is cut by the field's edge"
    area = float(region.sum()) * surface.step_mm**2
    if not AREA_MM2[0] <= area <= AREA_MM2[1]:
        return None, f"S1 endplate: the flat place on the sacrum has {area:.0f} mm2, no endplate has"
    return _with_edges(blob, field, surface, plane, region, normal, seed.posterior), ""


def seed_of_shape(blob: Blob, field: Field, vertical: FloatArray, posterior: FloatArray) -> Seed | None:
    """Where the plate is when no lumbar vertebra is seen: the highest flat place facing up and forward."""
    slope = np.radians(USUAL_SLOPE_DEG)
    level_back = axes_from(vertical, posterior)[:, 1]
    up = unit(np.cos(slope) * vertical - np.sin(slope) * level_back)
    axes = axes_from(up, posterior)
    centre = blob.points_mm.mean(axis=0)
    surface = _upper_surface(blob, field, centre, axes, reach=(15.0, 70.0))
    best: tuple[float, Seed] | None = None
    for middle in surface.base[:: max(len(surface.base) // 400, 1)]:
        near = np.linalg.norm(surface.base - middle, axis=1) < SEED_MM
        seen = near & np.isfinite(surface.heights)
        if seen.sum() < 0.9 * near.sum() or near.sum() < 0.8 * np.pi * (SEED_MM / surface.step_mm) ** 2:
            continue
        plane = robust_height_plane(surface.base[seen] - middle, surface.heights[seen])
        normal = unit(axes @ np.array([-plane.slope[0], -plane.slope[1], 1.0]))
        scatter = float(np.median(np.abs(surface.heights[seen] - plane.at(surface.base[seen] - middle))))
        if scatter > 1.0 or angle_between_deg(normal, up) > 35:
            continue
        if best is None or plane.offset_mm > best[0]:
            point = centre + axes @ np.array([*middle, plane.offset_mm])
            best = (plane.offset_mm, Seed(point, normal, posterior))
    return None if best is None else best[1]


def _upper_surface(
    blob: Blob,
    field: Field,
    centre_mm: FloatArray,
    axes: FloatArray,
    reach: tuple[float, float] = REACH_MM,
) -> _Surface:
    step = column_step_mm(blob)
    u, v = (np.arange(-r, r + step / 2, step) for r in reach)
    base = np.stack(np.meshgrid(u, v, indexing="ij"), axis=-1).reshape(-1, 2)
    rise = max(0.5 * float(blob.grid.spacing_mm.min()), 0.4)
    top = float(((blob.points_mm - centre_mm) @ axes[:, 2]).max()) + 2 * float(blob.grid.spacing_mm.max())
    heights = np.arange(-30.0, min(top, 60.0) + rise, rise)
    if len(heights) < 3:
        raise DegenerateGeometry(f"the sacrum begins {-top:.0f} mm below the last vertebra, no plate near it")
    _, highest = column_crossings(field, centre_mm + base @ axes[:, :2].T, axes[:, 2], heights)
    return _Surface(centre_mm, axes, (len(u), len(v)), base, highest, step)


def _grow(surface: _Surface) -> tuple[HeightPlane, np.ndarray, np.ndarray]:
    """The plate's plane, its columns and those away from its rim, grown from the middle."""
    distance = np.linalg.norm(surface.base, axis=1)
    seen = np.isfinite(surface.heights)
    seeds = seen & (distance < SEED_MM)
    if seeds.sum() < 20:
        raise DegenerateGeometry("the sacrum does not lie below the last vertebra")
    plane = robust_height_plane(surface.base[seeds], surface.heights[seeds])
    heights = surface.heights.reshape(surface.shape)
    smooth = ndimage.gaussian_filter(np.nan_to_num(heights, nan=-60.0), 1.0)
    du, dv = np.gradient(smooth, surface.step_mm)
    region = inner = seeds
    for _ in range(4):
        lean = np.degrees(np.arctan(np.hypot(du - plane.slope[0], dv - plane.slope[1]))).ravel()
        near = np.abs(surface.heights - plane.at(surface.base)) < BAND_MM
        flat = (seen & near & (lean < TURN_DEG)).reshape(surface.shape)
        flat = ndimage.binary_opening(flat, iterations=max(1, round(1.5 / surface.step_mm)))
        labels, _ = ndimage.label(flat)
        votes = np.bincount(labels.ravel()[seeds.ravel()], minlength=2)
        votes[0] = 0
        if not votes.any():
            raise DegenerateGeometry("the sacrum has no flat place below the last vertebra")
        region = ndimage.binary_fill_holes(labels == int(np.argmax(votes))).ravel() & seen
        base = surface.base[region]
        away = surface.base - base.mean(axis=0)
        radius = np.sqrt(np.einsum("ni,ij,nj->n", away, np.linalg.inv(np.cov(base.T)), away)) / 2
        inner = region & (radius < RIM)
        plane = robust_height_plane(surface.base[inner], surface.heights[inner])
    return plane, region, inner


def _normal(surface: _Surface, plane: HeightPlane) -> FloatArray:
    return unit(surface.axes @ np.array([-plane.slope[0], -plane.slope[1], 1.0]))


def _to_the_rim(surface: _Surface, plane: HeightPlane, region: np.ndarray) -> np.ndarray:
    """The region with the strip at its edge that smoothing made look steep."""
    near = np.abs(surface.heights - plane.at(surface.base)) < max(RIM_BAND_MM, 3 * plane.residual_mm)
    wider = ndimage.binary_dilation(
        region.reshape(surface.shape),
        structure=np.ones((3, 3)),
        iterations=round(4 / surface.step_mm),
        mask=near.reshape(surface.shape),
    )
    return np.asarray(wider.ravel() & near)


def _with_edges(
    blob: Blob,
    field: Field,
    surface: _Surface,
    plane: HeightPlane,
    region: np.ndarray,
    normal: FloatArray,
    posterior: FloatArray,
) -> Endplate:
    """The plate with its centroid, and its edges on the chords through it.

    Front and back end where the bone does; the wings go on beside the plate, so left and right end
    where the surface leaves the plane.
    """
    axes = axes_from(normal, posterior)
    base = surface.base[region]
    middle = base.mean(axis=0)
    centre = surface.centre_mm + surface.axes @ np.array([*middle, float(plane.at(middle))])
    flat = surface.centre_mm + np.column_stack([base, plane.at(base)]) @ surface.axes.T
    half = surface.step_mm / 2
    depth = probe_depth_mm(blob.grid, normal)

    def chord_end(direction: FloatArray) -> float:
        """Where the flat surface ends on a chord of 4 mm width."""
        along, aside = (flat - centre) @ direction, (flat - centre) @ np.cross(normal, direction)
        row = np.abs(aside) < 2.0
        return float(along[row].max()) + half if row.any() else 0.0

    def front_or_back(direction: FloatArray) -> FloatArray:
        bone, flat_end = rim_mm(field, centre, -normal, direction, depth, "first"), chord_end(direction)
        reach = bone if abs(bone - flat_end) <= RIM_AGREES_MM else flat_end
        return np.asarray(centre + reach * direction)

    return Endplate(
        centre,
        normal,
        plane.residual_mm,
        front_or_back(-axes[:, 1]),
        front_or_back(axes[:, 1]),
        centre + chord_end(axes[:, 0]) * axes[:, 0],
        centre - chord_end(-axes[:, 0]) * axes[:, 0],
        voxel_mm=along_mm(blob.grid, normal),
    )
