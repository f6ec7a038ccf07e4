"""The superior endplate of S1, found on the sacrum: an oval whose plane is fitted and whose edges are read.

After Vrtovec 2012 (Spine 37:E479): the plate is looked for where the vertebra above points and ends where
the surface turns away. Its centre is its centroid, which on an oval is the middle of its front, back, left
and right edges. The oval lies on the sacrum's own mirror plane: wings and articular processes then do not
draw it aside.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from spine_node.anatomy.endplates import CUT_FRACTION, column_step_mm
from spine_node.anatomy.landmarks import Endplate
from spine_node.anatomy.plate_edges import edge_mm
from spine_node.anatomy.plate_outline import HeightMap, Oval, find_oval
from spine_node.anatomy.rims import along_mm
from spine_node.anatomy.sacral_axis import MirrorPlane, plate_axes
from spine_node.anatomy.sacrum_seed import Seed, flat_place, mirror_of, onto, seed_of_shape, upright
from spine_node.anatomy.stairs import heights_without_stairs, unresolved_mm
from spine_node.geometry.angles import angle_between_deg
from spine_node.geometry.directions import DegenerateGeometry, axes_from, unit
from spine_node.geometry.fitting import HeightPlane, bowl_terms, robust_height_bowl
from spine_node.imaging.components import Blob
from spine_node.imaging.surface import Field, column_ends
from spine_node.imaging.volume import FloatArray

__all__ = ["Seed", "find_s1", "seed_of_shape"]

RIM = 0.85
"""Fraction of the plate's oval that the plane is fitted to: outside the rim is rounded."""

SURFACE_RIM, SURFACE_MM = 0.92, 6.0
"""The surface itself is kept up to here, where it lies within this of the plane."""

LOOSE_MM = 1.0
"""Usual distance of a plate's surface from its own bowl; what is four times as far off is something else."""

REACH_MM = (50.0, 36.0)
"""How far from its middle the plate is looked for, to the sides and front to back."""

DEEPEST_MM = 24.0
"""Further below the plate the sacrum's surface is of no interest."""

EDGE_AGREES_MM = 6.0
"""How far a corner of the bone may lie from the oval and still be the plate's, to the sides."""

CHORD_AGREES_MM = 3.0
"""The same on chords beside the middle, where articular processes rise from the plate's corners."""

DEPTH_AGREES_MM = 20.0
"""The same in front and behind, where nothing goes on beside the plate."""

LEAST_CONTRAST = 0.1
"""Less than this the surface does not turn away around the plate: it is no plate. Real sacra reach 0.18
(wings level with the plate, bevelled front) to 0.55."""

BACK_AGREES_DEG = 8.0
"""Hip axis and sacrum differ in where left is by 1 to 4 degrees; by more, the given direction is a guess,
or nearly across the plate."""

AREA_MM2 = (250.0, 4500.0)
"""Endplates of S1, from a small child's to a large man's whose wings are level with it."""

_CHORDS = np.array([-0.6, -0.4, -0.2, 0.0, 0.2, 0.4, 0.6])
_PASSES = 5
_SETTLED_DEG, _SETTLED_MM = 0.1, 0.15


@dataclass(frozen=True, slots=True, eq=False)
class _Plate:
    """A plate as far as it was found: columns over it, its oval, the columns its plane is fitted to."""

    surface: HeightMap
    oval: Oval
    inner: np.ndarray
    plane: HeightPlane

    @property
    def normal(self) -> FloatArray:
        return _normal(self.surface, self.plane)

    @property
    def centre_mm(self) -> FloatArray:
        middle = self.oval.middle[None]
        return np.asarray(self.surface.to_lps(middle, self.plane.at(middle))[0])


def find_s1(blob: Blob, field: Field, seed: Seed) -> tuple[Endplate | None, str]:
    """The superior endplate of S1, or None and the reason.

    Parameters
    ----------
    blob : Blob
        The sacrum.
    field : Field
        Of the sacrum.
    seed : Seed
        From the vertebra above, or from `seed_of_shape`. Its normal may be off by 25 degrees and its
        point by half a plate (a slipped L5); `posterior` decides where the edges are read.
    """
    mirror = mirror_of(blob, field, seed)
    plate, reason = _settle(blob, field, seed, mirror)
    if plate is None or plate.oval.contrast < LEAST_CONTRAST:
        # The vertebra above points past the plate.
        own_seed = flat_place(blob, field, upright(seed), seed.posterior, mirror)
        if own_seed is not None:
            plate, reason = _settle(blob, field, own_seed, mirror)
    if plate is None:
        return None, f"S1 endplate: {reason}"
    if plate.oval.contrast < LEAST_CONTRAST:
        return None, "S1 endplate: the sacrum shows no place that is flat and ends all around"
    surface, base = plate.surface, plate.surface.base
    within = plate.oval.radius(base) < 1
    area = float((within & np.isfinite(surface.heights.ravel())).sum()) * surface.step_mm**2
    if not AREA_MM2[0] <= area <= AREA_MM2[1]:
        return None, f"S1 endplate: the flat place on the sacrum has {area:.0f} mm2, no endplate has"
    try:
        heights = surface.heights.ravel()
        off = np.abs(np.nan_to_num(heights, nan=np.inf) - plate.plane.at(base))
        kept = (plate.oval.radius(base) < SURFACE_RIM) & (off < SURFACE_MM)
        uv = base[kept]
        freed = heights_without_stairs(
            blob.grid, surface.centre_mm, surface.axes, uv, heights[kept], bone_below=True
        )
        central = plate.inner[kept]
        finely = _at_mean_height(plate.oval, uv, freed, _plane(uv[central], freed[central]))
    except DegenerateGeometry as error:
        return None, f"S1 endplate: {error}"
    plate = replace(plate, plane=finely)
    if _cut(blob, plate):
        return None, "S1 endplate is cut by the field's edge"
    bare = plate.centre_mm
    voxel = along_mm(blob.grid, plate.normal)
    top = surface.to_lps(uv, freed)
    endplate = Endplate(
        bare,
        plate.normal,
        finely.residual_mm,
        bare,
        bare,
        bare,
        bare,
        voxel_mm=voxel,
        scatter_mm=_scatter_mm(uv[central], freed[central]),
        unresolved_mm=unresolved_mm(blob.grid, top, plate.normal),
        surface_mm=top,
    )
    return _with_edges(endplate, plate, field, seed.posterior, mirror), ""


def _backward(normal: FloatArray, seed: Seed, mirror: MirrorPlane | None) -> FloatArray:
    if mirror is None:
        return np.asarray(plate_axes(normal, seed.posterior)[:, 1])
    return np.asarray(np.cross(normal, mirror.left))


def _settle(blob: Blob, field: Field, seed: Seed, mirror: MirrorPlane | None) -> tuple[_Plate | None, str]:
    """Oval and plane, each from the other until they stand still."""
    point, normal = seed.point_mm, seed.normal
    plate: _Plate | None = None
    try:
        for k in range(_PASSES):
            origin, known = onto(mirror, point)
            axes = axes_from(normal, _backward(normal, seed, mirror))
            step = column_step_mm(blob) if k else 1.5
            surface = _upper_surface(blob, field, origin, axes, step)
            plate = _fit(field, surface, known=known, before=None if plate is None else plate.oval)
            moved = float(np.linalg.norm(plate.centre_mm - point))
            turned = angle_between_deg(plate.normal, normal)
            point, normal = plate.centre_mm, plate.normal
            if k and moved < _SETTLED_MM and turned < _SETTLED_DEG:
                break
    except DegenerateGeometry as error:
        return None, str(error)
    return plate, ""


def _upper_surface(
    blob: Blob, field: Field, centre_mm: FloatArray, axes: FloatArray, step: float
) -> HeightMap:
    u, v = (np.arange(-round(r / step), round(r / step) + 1) * step for r in REACH_MM)
    base = np.stack(np.meshgrid(u, v, indexing="ij"), axis=-1).reshape(-1, 2)
    rise = max(0.5 * float(blob.grid.spacing_mm.min()), 0.4)
    top = float(((blob.points_mm[::5] - centre_mm) @ axes[:, 2]).max()) + 2 * float(
        blob.grid.spacing_mm.max()
    )
    heights = np.arange(-DEEPEST_MM, min(top, 40.0) + rise, rise)
    if len(heights) < 3:
        raise DegenerateGeometry(f"the sacrum begins {-top:.0f} mm below the last vertebra, no plate near it")
    found = column_ends(field, centre_mm + base @ axes[:, :2].T, axes[:, 2], heights, upper=True)
    return HeightMap(centre_mm, axes, (np.asarray(u), np.asarray(v)), found.reshape(len(u), len(v)))


def _fit(field: Field, surface: HeightMap, *, known: bool, before: Oval | None) -> _Plate:
    start = (
        None
        if before is None
        else replace(before, middle=np.array([0.0 if known else before.middle[0], 0.0]))
    )
    oval = find_oval(surface, middle_known=known, start=start)
    plane, inner = _plane_within(surface, oval)
    # Front and back are where the bone ends, also where its edge is bevelled: the oval follows them.
    front, back = (oval.middle[1] + sign * _reach(field, surface, oval, plane, sign) for sign in (-1.0, 1.0))
    whole = find_oval(surface, middle_known=known, ends_mm=(front, back), start=oval)
    # A bevelled end is the plate's but no sharp border: how sure the plate is was known before.
    whole = replace(whole, contrast=oval.contrast)
    plane, inner = _plane_within(surface, whole)
    return _Plate(surface, whole, inner, plane)


def _plane_within(surface: HeightMap, oval: Oval) -> tuple[HeightPlane, np.ndarray]:
    base, heights = surface.base, surface.heights.ravel()
    inner = (oval.radius(base) < RIM) & np.isfinite(heights)
    return _plane(base[inner], heights[inner]), inner


def _plane(base: FloatArray, heights: FloatArray) -> HeightPlane:
    """The least-squares plane of everything that belongs to the plate's own bowl.

    A plane's own outliers would be the rims of a dish, and which of them chance decides.
    """
    bowl = robust_height_bowl(base, heights, scale_floor_mm=LOOSE_MM)
    kept = np.abs(heights - bowl_terms(base) @ bowl) < 4 * LOOSE_MM
    if kept.sum() < 12:
        raise DegenerateGeometry("too few columns meet a plate")
    design = np.column_stack([np.ones(int(kept.sum())), base[kept]])
    solution, *_ = np.linalg.lstsq(design, heights[kept], rcond=None)
    residual = float(np.sqrt(np.mean((heights[kept] - design @ solution) ** 2)))
    return HeightPlane(float(solution[0]), np.asarray(solution[1:]), residual, kept.astype(float))


def _at_mean_height(oval: Oval, uv: FloatArray, heights: FloatArray, plane: HeightPlane) -> HeightPlane:
    """The same plane at the mean height of the whole plate: the middle of a dome is above it."""
    bowl = robust_height_bowl(uv, heights, scale_floor_mm=LOOSE_MM)
    # Over an oval only the squares of a bowl centred on it have a mean.
    mean = bowl_terms(oval.middle) @ bowl + bowl[[3, 5]] @ (oval.mean_square * oval.half**2)
    higher = float(mean - plane.at(oval.middle[None])[0])
    return replace(plane, offset_mm=plane.offset_mm + float(np.clip(higher, -LOOSE_MM, LOOSE_MM)))


def _scatter_mm(base: FloatArray, heights: FloatArray) -> float:
    """RMS distance of the surface to its own bowl."""
    rough = heights - bowl_terms(base) @ robust_height_bowl(base, heights, scale_floor_mm=LOOSE_MM)
    return float(np.sqrt(np.mean(np.minimum(np.abs(rough), 4 * LOOSE_MM) ** 2)))


def _normal(surface: HeightMap, plane: HeightPlane) -> FloatArray:
    return unit(surface.axes @ np.array([-plane.slope[0], -plane.slope[1], 1.0]))


def _reach(field: Field, surface: HeightMap, oval: Oval, plane: HeightPlane, sign: float) -> float:
    """How far the plate goes from the oval's middle along the map's second direction, or against it."""
    normal = _normal(surface, plane)
    middle = oval.middle[None]
    along = sign * surface.axes[:, 1]
    along = unit(along - (along @ normal) * normal)
    edge = edge_mm(field, surface.to_lps(middle, plane.at(middle))[0], normal, along)
    half = float(oval.half[1])
    return edge.reach_mm if edge is not None and abs(edge.reach_mm - half) <= DEPTH_AGREES_MM else half


def _cut(blob: Blob, plate: _Plate) -> bool:
    """Whether the volume ends within the plate or at its outline."""
    surface = plate.surface
    heights = surface.heights.ravel()
    base = surface.base[plate.inner]
    on_top = blob.at_edge(blob.grid.to_index(surface.to_lps(base, heights[plate.inner])))
    turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    rim = plate.oval.middle + plate.oval.half * np.column_stack([np.cos(turn), np.sin(turn)])
    depth = 2 * float(blob.grid.spacing_mm.max())
    beside = blob.at_edge(blob.grid.to_index(surface.to_lps(rim, plate.plane.at(rim) - depth)))
    return bool(on_top.mean() > CUT_FRACTION or beside.mean() > CUT_FRACTION)


def _with_edges(
    bare: Endplate,
    plate: _Plate,
    field: Field,
    posterior: FloatArray,
    mirror: MirrorPlane | None,
) -> Endplate:
    """The plate with its centroid, and the edges on the chords through it."""
    axes = axes_from(bare.normal, _back_along(bare.normal, posterior, mirror))
    x, y = axes[:, 0], axes[:, 1]
    centre = bare.centre_mm
    if mirror is None:
        left, right = (
            _reach_along(plate, field, centre, bare.normal, way, EDGE_AGREES_MM) for way in (x, -x)
        )
        centre = centre + (left - right) / 2 * x
    # Each chord's middle counts by its length: a plate hollowed by the canal has its centroid in front.
    middles, lengths = [], []
    for aside in _CHORDS * plate.oval.half[0]:
        start = centre + aside * x
        agrees = DEPTH_AGREES_MM if aside == 0 else CHORD_AGREES_MM
        front, back = (_reach_along(plate, field, start, bare.normal, way, agrees) for way in (-y, y))
        middles.append((back - front) / 2)
        lengths.append(back + front)
        if aside == 0:
            ends = (front, back)
    ahead = float(np.average(middles, weights=lengths))
    centre = centre + ahead * y
    left, right = (_reach_along(plate, field, centre, bare.normal, way, EDGE_AGREES_MM) for way in (x, -x))
    return replace(
        bare,
        centre_mm=centre,
        anterior_mm=centre - (ends[0] + ahead) * y,
        posterior_mm=centre + (ends[1] - ahead) * y,
        left_mm=centre + left * x,
        right_mm=centre - right * x,
    )


def _reach_along(
    plate: _Plate, field: Field, start_mm: FloatArray, normal: FloatArray, along: FloatArray, agrees_mm: float
) -> float:
    """Distance of the bone's corner in a direction; that of the oval where no corner is near it."""
    expected = _oval_reach(plate, start_mm, along)
    edge = edge_mm(field, start_mm, normal, along)
    return edge.reach_mm if edge is not None and abs(edge.reach_mm - expected) <= agrees_mm else expected


def _back_along(normal: FloatArray, posterior: FloatArray, mirror: MirrorPlane | None) -> FloatArray:
    """The given way back where the sacrum's own shape agrees with it, else the sacrum's own."""
    given = np.asarray(plate_axes(normal, posterior)[:, 1])
    if mirror is None:
        return given
    own = np.asarray(np.cross(normal, mirror.left))
    return given if angle_between_deg(own, given) <= BACK_AGREES_DEG else own


def _oval_reach(plate: _Plate, centre_mm: FloatArray, along: FloatArray) -> float:
    """Distance from a point to the oval in a direction."""
    steps = np.arange(0.0, 60.0, 0.25)
    local = (centre_mm + steps[:, None] * along - plate.surface.centre_mm) @ plate.surface.axes
    outside = plate.oval.radius(local[:, :2]) >= 1
    return float(steps[int(np.argmax(outside))]) if outside.any() else float(steps[-1])
