"""The vertebral canal at the height of the pedicles: how deep and how wide it is.

Everything is read along lines in the vertebra's own axes: back from the posterior wall to the
spinolaminar line, and aside from the middle of the canal to the pedicles. Laminae often lie lower than
the pedicles: then the place of the spinolaminar line nearest to the pedicles counts, carried up
along the vertebra's axis.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spine_node.anatomy.landmarks import Canal
from spine_node.geometry.directions import DegenerateGeometry
from spine_node.geometry.fitting import robust_height_plane
from spine_node.imaging.surface import SMOOTHING_VOXELS, Field
from spine_node.imaging.volume import FloatArray

ODD_FACING_DEG = 5.0
"""Canal and mirror plane that differ by more than this point to a wrong rotation."""

REACH_MM = 32.0
"""No canal is deeper."""

HALF_REACH_MM = 22.0
"""No pedicle begins further from the middle of the canal."""

PEDICLE_BAND_MM = 2.0
"""A pedicle is where bone is this little further aside than where it is nearest."""

LEAST_PEDICLE_MM = 2.0
"""Height from which bone beside the canal is a pedicle and no spur."""

ONE_SIDED_MM = 6.0
"""Bone that begins this much further aside than on the other side is no pedicle."""

FURTHEST_LAMINA_MM = 22.0
"""So far below the pedicles the spinolaminar line is looked for."""

MET = 0.6
"""Part of the lines beside the midline that must meet the arch: fewer pass through a gap."""

STEEP = 0.4
"""Where a width grows faster than this from front to back (mm per mm) a pedicle ends: it is not read."""

_STEP_MM, _ROW_MM = 0.5, 0.75
_BONE = 0.5
_BESIDE = np.array([-3.0, -2.25, -1.5, -0.75, 0.75, 1.5, 2.25, 3.0])
"""Places beside the midline where walls are read, mm; in the midline itself smoothing fills a corner."""


@dataclass(frozen=True, slots=True, eq=False)
class _Vertebra:
    """Bone, body and arch together, in the vertebra's own axes: (x, y, z) in mm from the body's centre."""

    fields: tuple[Field, ...]
    centre_mm: FloatArray
    axes: FloatArray

    @property
    def smoothing_mm(self) -> float:
        """Standard deviation of the smoothing of the fields."""
        return SMOOTHING_VOXELS * float(self.fields[0].grid.voxel_mm3 ** (1 / 3))

    def first_bone(self, start: FloatArray, direction: tuple[int, int, int], reach_mm: float) -> FloatArray:
        """Way from each start, shape (n, 3), to the first bone; NaN where there is none, or at the start."""
        return self._first(start, direction, reach_mm, into=True)

    def first_gap(self, start: FloatArray, direction: tuple[int, int, int], reach_mm: float) -> FloatArray:
        """Way from each start inside bone to where it ends; NaN where it does not, or has not begun."""
        return self._first(start, direction, reach_mm, into=False)

    def _first(
        self, start: FloatArray, direction: tuple[int, int, int], reach_mm: float, *, into: bool
    ) -> FloatArray:
        way = np.arange(0.0, reach_mm + _STEP_MM, _STEP_MM)
        places = start[:, None, :] + way[:, None] * np.array(direction, dtype=float)
        lps = self.centre_mm + places @ self.axes.T
        bone = np.sum([f.at(lps) for f in self.fields], axis=0)
        there = bone >= _BONE if into else bone < _BONE
        met = there.any(axis=1) & ~there[:, 0]
        after = np.where(met, there.argmax(axis=1), 1)
        rows = np.arange(len(start))
        a, b = bone[rows, after - 1], bone[rows, after]
        with np.errstate(invalid="ignore", divide="ignore"):
            between = way[after - 1] + _STEP_MM * (_BONE - a) / (b - a)
        return np.where(met, between, np.nan)

    def lps(self, x: float, y: float, z: float) -> FloatArray:
        return np.asarray(self.centre_mm + self.axes @ np.array([x, y, z]))


@dataclass(frozen=True, slots=True)
class _Wall:
    """The posterior wall of the body in the midline: y = offset + slope z."""

    offset: float
    slope: float
    residual: float

    def at(self, z: FloatArray | float) -> FloatArray:
        return np.asarray(self.offset + self.slope * np.asarray(z))


def find_canal(
    level: str, body: Field, posterior: Field, axes: FloatArray, centre_mm: FloatArray
) -> tuple[Canal | None, dict[str, str]]:
    """The canal of one vertebra.

    Parameters
    ----------
    level : str
    body, posterior : Field
        Its body and its posterior elements.
    axes : ndarray, shape (3, 3)
        Its own axes; columns left, posterior, cranial, LPS.
    centre_mm : ndarray, shape (3,)
        Centroid of the body, LPS.

    Returns
    -------
    canal : Canal or None
        None when neither depth nor width can be told.
    reasons : dict
        Why a diameter is not there: keys "<level>.canal_ap" and "<level>.canal_w".
    """
    bone = _Vertebra((body, posterior), centre_mm, axes)
    low, high = _heights_mm(body, centre_mm, axes)
    wall = _wall(bone, low, high)
    if wall is None:
        return None, _both(level, f"the posterior wall of {level} is not seen")
    pedicles = _pedicles(bone, wall, low, high)
    if not pedicles:
        return None, _both(level, f"no pedicle of {level} is seen beside its canal")
    z = float(np.mean([height for height, _ in pedicles.values()]))
    reasons: dict[str, str] = {}
    front = float(wall.at(z))
    width = _width(bone, front, z, pedicles) if len(pedicles) == 2 else None
    if len(pedicles) == 1:
        unseen = "right" if 1 in pedicles else "left"
        reasons[f"{level}.canal_w"] = f"the {unseen} pedicle of {level} is not seen"
    elif width is None:
        reasons[f"{level}.canal_w"] = f"the pedicles of {level} do not face each other across its canal"
    x = float(np.clip((pedicles[1][1] - pedicles[-1][1]) / 2, -3, 3)) if len(pedicles) == 2 else 0.0
    wall = _wall(bone, low, high, x, z) or wall
    front = float(wall.at(z))
    back = _spinolaminar(bone, x, front, z)
    if back is None:
        reasons[f"{level}.canal_ap"] = (
            f"the arch of {level} is open behind its canal: no spinolaminar line is met"
        )
    if width is None and back is None:
        return None, reasons
    residuals = [wall.residual, *([] if width is None else [width[3]]), *([] if back is None else [back[1]])]
    depth = back[0] - front if back is not None else (width[1] - width[0]) * 0.7 if width is not None else 0.0
    across = None if width is None else [bone.lps(side, width[2], z) for side in width[:2]]
    canal = Canal(
        centre_mm=bone.lps(x, front + depth / 2, z),
        anterior_mm=None if back is None else bone.lps(x, front, z),
        posterior_mm=None if back is None else bone.lps(x, back[0], z),
        left_mm=None if across is None else across[1],
        right_mm=None if across is None else across[0],
        residual_mm=float(np.sqrt(np.mean(np.square(residuals)))),
    )
    return canal, reasons


def facing_deg(canal: Canal, centre_mm: FloatArray, axes: FloatArray) -> float:
    """Turn about Z from the posterior axis to the way from body to canal, left positive, degrees.

    Parameters
    ----------
    canal : Canal
    centre_mm : ndarray, shape (3,)
        Centroid of the body, LPS.
    axes : ndarray, shape (3, 3)
        Columns left, posterior, cranial, LPS.
    """
    x, y, _ = (canal.centre_mm - centre_mm) @ axes
    return float(np.degrees(np.arctan2(x, y)))


def _both(level: str, why: str) -> dict[str, str]:
    return {f"{level}.canal_ap": why, f"{level}.canal_w": why}


def _heights_mm(body: Field, centre_mm: FloatArray, axes: FloatArray) -> tuple[float, float]:
    """Lowest and highest z of the body, without its rims."""
    every = np.maximum(1, 2 // body.grid.spacing_mm).astype(int)
    a, b, c = every
    inside = body.grid.to_mm(np.argwhere(body.values[::a, ::b, ::c] >= _BONE) * every)
    low, high = np.percentile((inside - centre_mm) @ axes[:, 2], [4, 96])
    return float(low), float(high)


def _wall(
    bone: _Vertebra, low: float, high: float, x: float = 0.0, about: float | None = None
) -> _Wall | None:
    """The wall beside x: over most of the body's height, or only near the height `about`."""
    heights = np.linspace(0.7 * low, 0.7 * high, 15) if about is None else about + np.linspace(-3, 3, 7)
    gx, gz = (g.ravel() for g in np.meshgrid(x + _BESIDE[2:-2], heights, indexing="ij"))
    y = bone.first_gap(np.column_stack([gx, np.zeros_like(gx), gz]), (0, 1, 0), REACH_MM)
    seen = np.isfinite(y)
    if seen.sum() < 0.4 * len(y):
        return None
    try:
        plane = robust_height_plane(np.column_stack([gx - x, gz])[seen], y[seen])
    except DegenerateGeometry:
        return None
    return _Wall(plane.offset_mm, float(plane.slope[1]), plane.residual_mm)


def _pedicles(bone: _Vertebra, wall: _Wall, low: float, high: float) -> dict[int, tuple[float, float]]:
    """Height z of each pedicle's middle and how far aside it begins; 1 for the left, -1 for the right."""
    heights = np.arange(low - 2, high + 2, 1.0)
    behind = np.array([2.0, 3.5, 5.0, 6.5])  # bulges of a crushed body hide a pedicle from the first
    gz, gy = np.meshgrid(heights, behind, indexing="ij")
    starts = np.column_stack([np.zeros(gz.size), (wall.at(gz) + gy).ravel(), gz.ravel()])
    found = {}
    for side in (1, -1):
        aside = bone.first_bone(starts, (side, 0, 0), HALF_REACH_MM).reshape(gz.shape)
        middle = np.sort(aside, axis=1)[:, 2]  # NaN, not seen, comes last
        if np.isnan(_calm(middle)).all():
            continue
        nearest = int(np.nanargmin(_calm(middle)))
        run = _run_around(middle <= middle[nearest] + PEDICLE_BAND_MM, nearest)
        if run.stop - run.start >= LEAST_PEDICLE_MM:
            found[side] = (float(heights[run].mean()), float(np.nanmin(_calm(middle)[run])))
    if len(found) == 2:
        further = max(found, key=lambda side: found[side][1])
        if found[further][1] > found[-further][1] + ONE_SIDED_MM:
            del found[further]
    return found


def _calm(line: FloatArray) -> FloatArray:
    """Median of three neighbours."""
    padded = np.pad(line, 1, mode="edge")
    return np.asarray(np.median([padded[:-2], padded[1:-1], padded[2:]], axis=0))


def _run_around(mask: NDArray[np.bool_], at: int) -> slice:
    """The unbroken run of a mask that holds an index, or an empty one."""
    start = stop = at
    if not mask[at]:
        return slice(at, at)
    while start > 0 and mask[start - 1]:
        start -= 1
    while stop < len(mask) and mask[stop]:
        stop += 1
    return slice(start, stop)


def _width(
    bone: _Vertebra, front: float, z: float, pedicles: dict[int, tuple[float, float]]
) -> tuple[float, float, float, float] | None:
    """x of the right and the left wall, the y where they are furthest apart, and their scatter."""
    rows = front + np.arange(1.0, 0.5 * REACH_MM, _ROW_MM)
    heights = z + np.linspace(-2.0, 2.0, 7)
    gy, gz = np.meshgrid(rows, heights, indexing="ij")
    starts = np.column_stack([np.zeros(gy.size), gy.ravel(), gz.ravel()])
    walls = {}
    for side in (1, -1):
        shifted = starts + np.array([0, 0, pedicles[side][0] - z])  # each pedicle at its own height
        aside = bone.first_bone(shifted, (side, 0, 0), HALF_REACH_MM).reshape(gy.shape)
        walls[side] = _nearest(
            np.where(aside <= pedicles[side][1] + 4, aside, np.nan), heights - z, bone.smoothing_mm
        )
    apart = walls[1] + walls[-1]
    seen = np.isfinite(apart)
    run = max((_run_around(seen, i) for i in range(len(rows))), key=lambda r: r.stop - r.start)
    if run.stop - run.start < 3:
        return None
    # The largest of many widths that scatter would be too large: it is looked for in a running mean.
    mean = ndimage.uniform_filter1d(apart[run], 3, mode="nearest")
    level = np.gradient(_calm(apart[run]), _ROW_MM) <= STEEP
    at = run.start + int(np.argmax(np.where(level, mean, 0.0))) if level.any() else run.start + 1
    near = slice(max(run.start, at - 1), min(run.stop, at + 2))
    left, right = (float(np.median(walls[side][near])) for side in (1, -1))
    scatter = float(np.sqrt(np.mean((apart[near] - left - right) ** 2)))
    return -right, left, float(rows[at]), scatter


def _nearest(aside: FloatArray, dz: FloatArray, smoothing_mm: float) -> FloatArray:
    """How far aside each row's wall is where it is nearest: a pedicle is round, its wall a parabola in z."""
    nearest = np.full(len(aside), np.nan)
    for i, row in enumerate(aside):
        seen = np.isfinite(row)
        if seen.mean() < MET:
            continue
        terms = np.column_stack([np.ones(int(seen.sum())), dz[seen], dz[seen] ** 2])
        offset, slope, bend = np.linalg.lstsq(terms, row[seen], rcond=None)[0]
        lowest = float(np.clip(-slope / (2 * bend), dz[0], dz[-1])) if bend > 0.01 else 0.0
        # Smoothing has made what is round thinner (see `imaging.surface`).
        thinner = smoothing_mm**2 * float(np.clip(bend, 0, 0.25))
        nearest[i] = offset + slope * lowest + bend * lowest**2 - thinner
    return nearest


def _spinolaminar(bone: _Vertebra, x: float, front: float, z: float) -> tuple[float, float] | None:
    """y of the arch's front in the midline, at the pedicles or nearest to them, and its scatter."""
    heights = z + np.arange(6.0, -FURTHEST_LAMINA_MM, -1.0)
    gz, gx = np.meshgrid(heights, x + _BESIDE, indexing="ij")
    starts = np.column_stack([gx.ravel(), np.full(gx.size, front + 3.0), gz.ravel()])
    y = bone.first_bone(starts, (0, 1, 0), REACH_MM).reshape(gz.shape)
    apex, scatter = _apex(y)
    met = np.isfinite(apex)
    here = met & (np.abs(heights - z) <= 2.5)
    if here.sum() < 3:
        order = np.flatnonzero(met)
        if len(order) < 3:
            return None
        nearest = order[np.argmin(np.abs(heights[order] - z))]
        run = _run_around(met, int(nearest))
        along = np.arange(run.start, run.stop)
        along = along[np.argsort(np.abs(heights[along] - z), kind="stable")][1:5]  # its edge is rounded
        if len(along) < 2:
            return None
        return float(front + 3.0 + np.median(apex[along])), float(np.sqrt(np.mean(scatter[along] ** 2)))
    return float(front + 3.0 + np.median(apex[here])), float(np.sqrt(np.mean(scatter[here] ** 2)))


def _apex(y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Where two laminae meet in the midline, for each row of ways, shape (n, 8): y and scatter, (n,).

    Laminae run back to the midline like a roof: y = apex - slope |x|.
    """
    apex, scatter = np.full(len(y), np.nan), np.full(len(y), np.nan)
    for i, row in enumerate(y):
        seen = np.isfinite(row)
        if seen.mean() < MET:
            continue
        terms = np.column_stack([np.ones(int(seen.sum())), np.abs(_BESIDE[seen])])
        solution = np.linalg.lstsq(terms, row[seen], rcond=None)[0]
        if solution[1] > 0:  # no roof: a keel in the midline, or a flat arch
            solution = np.array([np.median(row[seen]), 0.0])
        apex[i] = solution[0]
        scatter[i] = np.sqrt(np.mean((row[seen] - terms @ solution) ** 2))
    return apex, scatter
