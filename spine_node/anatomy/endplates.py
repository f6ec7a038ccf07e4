"""Endplates of a vertebral body: planes through the ends of columns cast along its own axis.

Two corners are never used: they cost 3 to 10 degrees RMS, a plane over the plate costs 0.4.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from spine_node.anatomy.landmarks import Endplate
from spine_node.anatomy.rims import along_mm, probe_depth_mm, rim_mm
from spine_node.anatomy.stairs import (
    STAIR,
    heights_without_stairs,
    scatter_about_a_dish_mm,
    unresolved_mm,
)
from spine_node.geometry.directions import DegenerateGeometry, axes_from, unit
from spine_node.geometry.fitting import HeightPlane, robust_height_plane
from spine_node.imaging.components import Blob
from spine_node.imaging.surface import Field, column_crossings
from spine_node.imaging.volume import FloatArray

RIM = 0.9
"""Fraction of the plate's ellipse that counts: outside lie rims, osteophytes and pedicle roots."""

UNCUS = 0.8
"""Fraction of a cervical superior plate's width that counts: outside rise the uncinate processes."""

UNCINATE_LEVELS = ("C3", "C4", "C5", "C6", "C7")

LEAST_RIM = 0.5

EDGE_VOXELS = 1.0
"""Nearer to the rim than this the smoothing rounds it, on small bodies in coarse label maps."""

CUT_FRACTION = 0.02
"""A plate with more of its columns ending on the volume's border is cut by it."""

PLATE_BAND_MM = 2.5
"""Columns that end nearer to the plane belong to the plate, for its centroid."""

_PASSES = 4
_SETTLED_DEG = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Plates:
    """What was found of one body: plates or the reasons why not, and the cranial direction."""

    superior: Endplate | None
    inferior: Endplate | None
    cranial: FloatArray | None
    reasons: dict[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class _Cast:
    """Columns over a body: base points (n, 2) in its plane, heights (n,) where they leave it."""

    centre_mm: FloatArray
    axes: FloatArray
    base: FloatArray
    ends: dict[str, FloatArray]
    footprint: np.ndarray

    def points_mm(self, which: str) -> FloatArray:
        local = np.column_stack([self.base, self.ends[which]])
        return np.asarray(self.centre_mm + local @ self.axes.T)


def column_step_mm(blob: Blob) -> float:
    """Distance between columns: no finer than the voxels tell, no coarser than a plate needs."""
    return float(np.clip(blob.grid.spacing_mm.min(), 0.8, 1.2))


def find_plates(level: str, body: Blob, field: Field, centre_mm: FloatArray, axes: FloatArray) -> Plates:
    """Superior and inferior endplate of one body.

    Parameters
    ----------
    level : str
    body : Blob
    field : Field
        Of the body.
    centre_mm : ndarray, shape (3,)
        Centroid of the body, LPS.
    axes : ndarray, shape (3, 3)
        First guess of left, posterior, cranial; columns, LPS.
    """
    outer_mm = body.outer_mm
    cast = _cast(body, outer_mm, field, centre_mm, axes)
    for _ in range(_PASSES):
        used, reasons = _columns(level, body, cast)
        planes, degenerate = _coarse(level, body, cast, used)
        reasons |= degenerate
        if not planes:
            return Plates(None, None, None, reasons)
        cranial = unit(np.sum([_normal(cast, p) for p in planes.values()], axis=0))
        turn = np.degrees(np.arccos(np.clip(cranial @ cast.axes[:, 2], -1, 1)))
        if turn < _SETTLED_DEG:
            break
        cast = _cast(body, outer_mm, field, centre_mm, axes_from(cranial, cast.axes[:, 1]))
        used, reasons = _columns(level, body, cast)
    plates = {which: _plate(which, body, cast, used[which]) for which in planes if which in used}
    normals = [plate.normal for plate in plates.values()]
    return Plates(
        plates.get("superior"),
        plates.get("inferior"),
        unit(np.sum(normals, axis=0)) if normals else None,
        reasons,
    )


def with_edges(
    plate: Endplate, which: str, body: Blob, field: Field, centre_mm: FloatArray, posterior: FloatArray
) -> Endplate:
    """The same plate with its edges on the chords along and across this posterior direction.

    `centre_mm` is the centroid of the body, LPS.
    """
    axes = axes_from(plate.normal, posterior)
    inward = -plate.normal if which == "superior" else plate.normal
    depth = probe_depth_mm(body.grid, plate.normal)
    middle = float((centre_mm - plate.centre_mm) @ inward)
    anterior, back, left, right = (
        plate.centre_mm + rim_mm(field, plate.centre_mm, inward, direction, depth, middle) * direction
        for direction in (-axes[:, 1], axes[:, 1], axes[:, 0], -axes[:, 0])
    )
    return replace(plate, anterior_mm=anterior, posterior_mm=back, left_mm=left, right_mm=right)


def _cast(body: Blob, outer_mm: FloatArray, field: Field, centre_mm: FloatArray, axes: FloatArray) -> _Cast:
    local = (outer_mm - centre_mm) @ axes
    low, high = local.min(axis=0), local.max(axis=0)
    step = column_step_mm(body)
    u, v = (np.arange(low[k] - step, high[k] + 1.5 * step, step) for k in (0, 1))
    base = np.stack(np.meshgrid(u, v, indexing="ij"), axis=-1).reshape(-1, 2)
    margin = 2 * float(body.grid.spacing_mm.max())
    rise = 0.5 * float(body.grid.spacing_mm.min())
    heights = np.arange(low[2] - margin, high[2] + margin + rise, max(rise, 0.3))
    lowest, highest = column_crossings(field, centre_mm + base @ axes[:, :2].T, axes[:, 2], heights)
    length = np.nan_to_num(highest - lowest)
    tall = length > 0.5 * np.median(length[length > 0]) if (length > 0).any() else length > 0
    return _Cast(centre_mm, axes, base, {"superior": highest, "inferior": lowest}, tall)


def _columns(level: str, body: Blob, cast: _Cast) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The columns that each plate is fitted to, and reasons for plates without."""
    used: dict[str, np.ndarray] = {}
    reasons: dict[str, str] = {}
    if cast.footprint.sum() < 12:
        return {}, {w: f"{level} {w} endplate: too few columns cross the body" for w in cast.ends}
    base = cast.base[cast.footprint]
    middle, spread = base.mean(axis=0), np.cov(base.T)
    away = cast.base - middle
    # A uniform ellipse has a quarter of its squared half axes as covariance.
    radius = np.sqrt(np.einsum("ni,ij,nj->n", away, np.linalg.inv(spread), away)) / 2
    shorter = 2 * float(np.sqrt(np.linalg.eigvalsh(spread)[0]))
    rim = float(np.clip(1 - EDGE_VOXELS * body.grid.spacing_mm.max() / shorter, LEAST_RIM, RIM))
    for which in cast.ends:
        if which == "superior" and level == "C2":
            reasons[which] = "C2 has no superior endplate: the dens stands there"
            continue
        inner = cast.footprint & (radius < rim)
        if which == "superior" and level in UNCINATE_LEVELS:
            inner &= np.abs(away[:, 0]) < UNCUS * 2 * np.sqrt(spread[0, 0])
        cut = body.at_edge(body.grid.to_index(cast.points_mm(which)[inner])).mean()
        if cut > CUT_FRACTION:
            reasons[which] = f"{level} {which} endplate is cut by the field's edge"
            continue
        used[which] = inner
    return used, reasons


def _coarse(
    level: str, body: Blob, cast: _Cast, used: dict[str, np.ndarray]
) -> tuple[dict[str, HeightPlane], dict[str, str]]:
    """Planes through the columns' ends as they are: enough to turn the columns by."""
    planes: dict[str, HeightPlane] = {}
    reasons: dict[str, str] = {}
    step = STAIR * along_mm(body.grid, cast.axes[:, 2])
    for which, inner in used.items():
        try:
            planes[which] = robust_height_plane(
                cast.base[inner], cast.ends[which][inner], scale_floor_mm=step
            )
        except DegenerateGeometry as error:
            reasons[which] = f"{level} {which} endplate: {error}"
    return planes, reasons


def _normal(cast: _Cast, plane: HeightPlane) -> FloatArray:
    return unit(cast.axes @ np.array([-plane.slope[0], -plane.slope[1], 1.0]))


def _plate(which: str, body: Blob, cast: _Cast, used: np.ndarray) -> Endplate:
    """The plate through columns freed from stairs; its edges are still its centre."""
    step = STAIR * along_mm(body.grid, cast.axes[:, 2])
    ends, base = cast.ends[which], cast.base[used]
    freed = heights_without_stairs(
        body.grid, cast.centre_mm, cast.axes, base, ends[used], bone_below=which == "superior"
    )
    plane = robust_height_plane(base, freed, scale_floor_mm=step)
    near = cast.footprint & (np.abs(ends - plane.at(cast.base)) < PLATE_BAND_MM)
    middle = cast.base[near].mean(axis=0)
    centre = cast.centre_mm + cast.axes @ np.array([*middle, float(plane.at(middle))])
    normal = _normal(cast, plane)
    surface = cast.centre_mm + np.column_stack([base, freed]) @ cast.axes.T
    # The height leans against the normal by half the wedge at most: the residual is taken as it is.
    return Endplate(
        centre,
        normal,
        plane.residual_mm,
        centre,
        centre,
        centre,
        centre,
        voxel_mm=along_mm(body.grid, normal),
        scatter_mm=scatter_about_a_dish_mm(base, freed, step),
        unresolved_mm=unresolved_mm(body.grid, surface, normal),
        surface_mm=surface,
    )
