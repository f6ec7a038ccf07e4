"""Whole vertebrae parted into body and posterior elements, by their shape alone.

Many label maps (VerSe, TotalSegmentator) give a vertebra one value. The canal tells front from back:
seen along the spine it is the place that bone surrounds. What lies in front of the canal's front wall
is body, without what sticks out of it sideways.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import interpolate, ndimage

from spine_node.anatomy.body_shape import HALF_CANAL_MM, STEP_MM, body_of
from spine_node.anatomy.foramen import find_foramen
from spine_node.anatomy.levels import LEVEL_OF_VALUE, POSTERIOR_OFFSET, VERTEBRA_VALUES, order
from spine_node.geometry.directions import DegenerateGeometry, axes_from, unit
from spine_node.imaging.components import Blob, boxes, cut_out
from spine_node.imaging.surface import Field, field_of
from spine_node.imaging.volume import Box, FloatArray, LabelMap

BY_SHAPE = "Vertebrae labelled in one piece were parted into body and posterior elements by their shape."
"""Sentence for a report on a label map that `split` changed."""

ODD_DEPTH_MM = 4.0
"""A canal this much nearer or further than those of the levels around it was not the canal."""

CALM = 200.0
"""Smoothing of the canal's curve (penalty on its curvature, mm3): moves single levels by some 0.5 mm."""

SOLID = 0.85
"""Where a ball at the thickest place reaches more than this part of a bone, there is no arch."""

KEEP_FRACTION = 0.15
"""Laminae come apart in coarse label maps; smaller splinters say nothing about the shape."""

CORE_STEP_MM = 2.0
"""Sampling in which the thick places are looked for, at most."""

LATERAL_MM = 32.0
"""No body reaches further aside."""

BEHIND_CANAL_MM = 6.0
"""Nothing of a body lies so far behind the middle of its canal."""

_ROUNDS = 2
_CORE = 0.55
_REGROW_MM = 3.5
_BONE = 0.5
_UP = np.array([0.0, 0.0, 1.0])
_BACK = np.array([0.0, 1.0, 0.0])


@dataclass(slots=True, eq=False)
class _Whole:
    """A vertebra in one piece and what is known of it so far; all in LPS mm.

    `axes` has the columns left, posterior, cranial; `centre_mm` is the middle of the body.
    """

    level: str
    field: Field
    points_mm: FloatArray
    centre_mm: FloatArray
    axes: FloatArray
    compact: bool
    radius_mm: float
    canal_mm: FloatArray | None = None
    canal_half_width_mm: float = 8.0

    def sampled(
        self, step_z_mm: float = STEP_MM, furthest: tuple[float, float] = (np.inf, np.inf)
    ) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Its field in its own axes: x, y, z in mm from the centre, and values (nx, ny, nz).

        Not further than `furthest` to either side and to the back.
        """
        local = (self.points_mm - self.centre_mm) @ self.axes
        low, high = np.floor(local.min(axis=0)) - 3, local.max(axis=0) + 3
        low[0], high[:2] = max(low[0], -np.ceil(furthest[0])), np.minimum(high[:2], furthest)
        steps = (STEP_MM, STEP_MM, step_z_mm)
        x, y, z = (np.arange(a, b + s, s) for a, b, s in zip(low, high, steps, strict=True))
        places = np.stack(np.meshgrid(x, y, z, indexing="ij"), axis=-1)
        return x, y, z, self.field.at(self.centre_mm + places @ self.axes.T)


def split(label_map: LabelMap, found: dict[int, Box] | None = None) -> LabelMap:
    """The same map with posterior elements at their level's value + 100.

    Vertebrae that are parted already, the atlas, which has no body, and bones without an arch (a body
    alone) stay as they are. The dens stays with the body of C2.

    Parameters
    ----------
    label_map : LabelMap
        Values of `anatomy.levels`; any orientation and spacing.
    found : dict, optional
        Its `boxes`, where they are known.

    Returns
    -------
    LabelMap
        A new one, or the same where nothing is to be parted.
    """
    found = boxes(label_map) if found is None else found
    wholes = _find_canals(_wholes(label_map, found))
    if not wholes:
        return label_map
    labels = label_map.labels.copy()
    for whole in wholes:
        value = VERTEBRA_VALUES[whole.level]
        box = found[value]
        where = np.argwhere(label_map.labels[box] == value) + [s.start for s in box]
        behind = where[~_in_body(whole, label_map.grid.to_mm(where))]
        labels[tuple(behind.T)] = value + POSTERIOR_OFFSET
    return LabelMap(label_map.grid, labels)


def _wholes(label_map: LabelMap, found: dict[int, Box]) -> list[_Whole]:
    """Vertebrae that may need parting, cranial to caudal, with a first guess of their axes."""
    seen: list[tuple[str, Blob, FloatArray, float, bool]] = []
    for value in sorted(set(found) & set(LEVEL_OF_VALUE), key=lambda v: order(LEVEL_OF_VALUE[v])):
        if LEVEL_OF_VALUE[value] != "C1" and value + POSTERIOR_OFFSET not in found:
            blob = cut_out(label_map, value, found[value], keep_fraction=KEEP_FRACTION)
            seen.append((LEVEL_OF_VALUE[value], blob, *_core(blob)))
    if not seen:
        return []
    cranial = _tangents(np.array([centre for _, _, centre, _, _ in seen]))
    wholes = []
    for (level, blob, centre, radius, compact), up in zip(seen, cranial, strict=True):
        points = blob.points_mm
        axes = _axes(up, points.mean(axis=0) - centre)
        wholes.append(_Whole(level, field_of(blob), points, centre, axes, compact, radius))
    behind = np.array([w.axes[:, 1] for w in wholes])
    for i, whole in enumerate(wholes):
        whole.axes = _axes(whole.axes[:, 2], behind[max(0, i - 2) : i + 3].sum(axis=0))
    return wholes


def _core(blob: Blob) -> tuple[FloatArray, float, bool]:
    """Middle and radius of the thick places, and whether nearly all lies around the largest."""
    every = np.maximum(1, CORE_STEP_MM // blob.grid.spacing_mm).astype(int)
    a, b, c = every
    mask, spacing = blob.mask[::a, ::b, ::c], every * blob.grid.spacing_mm
    depth = ndimage.distance_transform_edt(mask, sampling=spacing)
    radius = float(depth.max())
    cores, _ = ndimage.label(depth >= _CORE * radius)
    largest = cores == 1 + int(np.argmax(np.bincount(cores.ravel())[1:]))
    reach = ndimage.distance_transform_edt(~largest, sampling=spacing)
    around = mask & (reach <= _CORE * radius + _REGROW_MM)
    centre = blob.grid.to_mm(np.argwhere(cores > 0).mean(axis=0) * every)
    return centre, radius, bool(around.sum() > SOLID * mask.sum())


def _axes(cranial: FloatArray, posterior: FloatArray) -> FloatArray:
    """Axes towards `posterior`, or towards the back of the patient where that says nothing."""
    for towards in (posterior, _BACK):
        try:
            return axes_from(cranial, towards)
        except DegenerateGeometry:
            continue
    return axes_from(cranial, _UP)


def _tangents(line_mm: FloatArray) -> FloatArray:
    """Cranial directions, shape (n, 3), of points cranial to caudal; calm at the ends."""
    if len(line_mm) == 1:
        return _UP[None]
    above = [line_mm[max(0, i - 2) : max(1, i)].mean(axis=0) for i in range(len(line_mm))]
    below = [line_mm[i + 1 : i + 3].mean(axis=0) for i in range(len(line_mm) - 1)] + [line_mm[-1]]
    away = np.array(above) - np.array(below)
    away[np.linalg.norm(away, axis=1) < 1e-6] = _UP  # two levels at one place: a mistaken label map
    return unit(away)


def _find_canals(wholes: list[_Whole]) -> list[_Whole]:
    """Those that have an arch, with their canals, level by level and then made to agree."""
    for _ in range(_ROUNDS):
        for whole in wholes:
            _look(whole)
        wholes = [w for w in wholes if w.canal_mm is not None or not w.compact]
        _agree(wholes)
    return wholes


def _look(whole: _Whole) -> None:
    """Canal and middle of the body of one vertebra, as its axes show them."""
    step_z = 2 * STEP_MM
    x, y, z, values = whole.sampled(step_z)
    whole.canal_mm = None
    found = find_foramen(x, y, values)
    if found is None:
        return
    low, high = found
    # Lateral masses may be as thick as the body, but they lie beside the canal, not before it.
    front = int(np.searchsorted(y, low[1] + 1.0))
    near = np.abs(x - (low[0] + high[0]) / 2) <= LATERAL_MM
    bone = values[near, : front + 4] > _BONE
    depth = ndimage.distance_transform_edt(bone, sampling=(STEP_MM, STEP_MM, step_z))[:, :front]
    x = x[near]
    aside = np.abs(x - (low[0] + high[0]) / 2)
    half_width = max(float(high[0] - low[0]) / 2, STEP_MM)
    before = depth[aside <= half_width]
    if before.size == 0 or not before.any():
        return
    radius = float(before.max())
    depth[aside > max(half_width, 1.2 * radius)] = 0
    middle = np.argwhere(depth >= _CORE * radius).mean(axis=0) * [STEP_MM, STEP_MM, step_z]
    middle += [x[0], y[0], z[0]]
    whole.radius_mm, whole.canal_half_width_mm = radius, half_width
    whole.canal_mm = whole.centre_mm + whole.axes @ [*(low + high) / 2, middle[2]]
    whole.centre_mm = whole.centre_mm + whole.axes @ middle


def _agree(wholes: list[_Whole]) -> None:
    """One smooth canal through all levels; each vertebra's axes are turned towards it."""
    if not any(w.canal_mm is not None for w in wholes):  # no arch is seen from behind: go by thickness
        for w in wholes:
            w.canal_mm = w.centre_mm + (w.radius_mm + HALF_CANAL_MM) * w.axes[:, 1]
    if not wholes:
        return
    place = np.arange(len(wholes))
    centres = np.array([w.centre_mm for w in wholes])
    behind = np.array(
        [np.full(3, np.nan) if w.canal_mm is None else w.canal_mm - w.centre_mm for w in wholes]
    )
    depth = np.linalg.norm(behind, axis=1)
    known = np.isfinite(depth)
    if known.sum() >= 3:
        usual = [np.median(depth[known & (np.abs(place - i) <= 2)]) if known[i] else 0.0 for i in place]
        known &= np.abs(depth - usual) <= ODD_DEPTH_MM
    if not known.any():
        known = np.isfinite(depth)
    for axis in range(3):
        behind[~known, axis] = np.interp(place[~known], place[known], behind[known, axis])
    canal = centres + behind
    if len(wholes) > 4:
        along = np.cumsum([0.0, *np.linalg.norm(np.diff(canal, axis=0), axis=1) + 1e-3])
        canal = np.asarray(interpolate.make_smoothing_spline(along, canal, lam=CALM)(along))
    up = _tangents(centres) + _tangents(canal)
    for whole, cranial, point in zip(wholes, up, canal, strict=True):
        whole.axes = _axes(cranial, point - whole.centre_mm)
        whole.canal_mm = point


def _in_body(whole: _Whole, points_mm: FloatArray) -> NDArray[np.bool_]:
    """Whether points, LPS (n, 3), of a vertebra belong to its body; shape (n,)."""
    assert whole.canal_mm is not None  # _agree gives every level one
    canal = (whole.canal_mm - whole.centre_mm) @ whole.axes
    x, y, z, values = whole.sampled(furthest=(LATERAL_MM, float(canal[1]) + BEHIND_CANAL_MM))
    body = body_of(
        x,
        y,
        z,
        values > _BONE,
        canal_xy=(float(canal[0]), float(canal[1])),
        canal_half_width_mm=whole.canal_half_width_mm,
        radius_mm=whole.radius_mm,
        level=whole.level,
    )
    index = ((points_mm - whole.centre_mm) @ whole.axes - [x[0], y[0], z[0]]) / STEP_MM
    nearest = np.rint(index).astype(np.intp)
    within = ((nearest >= 0) & (nearest < body.shape)).all(axis=1)
    within[within] = body[tuple(nearest[within].T)]
    return np.asarray(within)
