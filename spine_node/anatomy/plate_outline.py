"""The outline of a plate on a map of heights: the rounded oval across which the surface turns away.

A border need not be there all around. Wings pass into the first sacral plate at its own height, and its
articular processes rise from its corners: a region that grows runs out there, an oval does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import ndimage, optimize, special

from spine_node.geometry.directions import DegenerateGeometry
from spine_node.geometry.fitting import bowl_terms, robust_height_bowl, robust_height_plane
from spine_node.imaging.volume import FloatArray

FULL_LEAN_DEG = 45.0
"""Surface that leans this much against the plate, or lies off it, is no part of it at all."""

OFF_MM = 3.0
"""Surface further from the plate's own bowl is no part of it at all."""

USUAL_RATIO, RATIO_SPREAD = 1.5, 0.4
"""Width over depth of S1's endplate (50 and 33 mm in adults), and how freely it may differ: it decides
where no border is seen, not where one is."""

USUAL_DEPTH_MM, DEPTH_SPREAD = 16.0, 0.4
"""Half of that depth, and how freely its logarithm may differ."""

ASIDE_MM = 4.0
"""How freely the oval's middle may lie beside the bone's mirror plane."""

DEPTH_MM, WIDTH_MM = (8.0, 27.0), (10.0, 48.0)
"""Half axes, from a small child's to a large man's."""

_OUTSIDE, _INSIDE, _INTERIOR = (1.0, 2.0, 3.0), (-1.0, -2.0, -3.5), (0.25, 0.5, 0.75)
_PRIOR = 0.06
_ANGLES = 32
_SEED_RADIUS_MM = 9.0
_ROUND, _SQUARE = 2.2, 5.0


@dataclass(frozen=True, slots=True, eq=False)
class HeightMap:
    """A surface as heights over a plane of columns.

    Attributes
    ----------
    centre_mm, axes : ndarray, shape (3,) and (3, 3)
        Origin of the columns' plane and, as columns, its two directions and that of height, LPS.
    ticks : tuple of ndarray
        Evenly spaced places along the two directions, mm.
    heights : ndarray, shape (nu, nv)
        NaN where a column meets nothing.
    """

    centre_mm: FloatArray
    axes: FloatArray
    ticks: tuple[FloatArray, FloatArray]
    heights: FloatArray

    @property
    def step_mm(self) -> float:
        """Distance of neighbouring columns."""
        return float(self.ticks[0][1] - self.ticks[0][0])

    @property
    def base(self) -> FloatArray:
        """Columns in their plane, shape (nu * nv, 2), mm."""
        return np.stack(np.meshgrid(*self.ticks, indexing="ij"), axis=-1).reshape(-1, 2)

    def to_lps(self, uv: FloatArray, height: FloatArray | float) -> FloatArray:
        """Points over base points, shape (n, 2) to (n, 3), LPS mm."""
        local = np.column_stack([uv, np.broadcast_to(height, len(uv))])
        return np.asarray(self.centre_mm + local @ self.axes.T)


@dataclass(frozen=True, slots=True, eq=False)
class Oval:
    """A superellipse along the axes of a height map: middle, half axes (mm) and how square it is.

    `contrast` is how much more the surface turns away just outside than just inside, 0 to 1.
    """

    middle: FloatArray
    half: FloatArray
    power: float
    contrast: float

    @property
    def mean_square(self) -> float:
        """Mean of (u / half width) squared over the oval: a quarter for an ellipse, a third for a square."""
        third, first = 3 / self.power, 1 / self.power
        return float(special.beta(third, first + 1) / special.beta(first, first + 1))

    def radius(self, uv: FloatArray) -> FloatArray:
        """1 on the outline, less inside, shape (n, 2) to (n,)."""
        scaled = np.abs((uv - self.middle) / self.half) ** self.power
        return np.asarray(scaled.sum(axis=1) ** (1 / self.power))


def find_oval(
    surface: HeightMap,
    *,
    middle_known: bool,
    ends_mm: tuple[float, float] | None = None,
    start: Oval | None = None,
) -> Oval:
    """The plate near the map's origin.

    Parameters
    ----------
    surface : HeightMap
        Nearly along the plate, its second direction along the plate's depth.
    middle_known : bool
        Whether the first direction's 0 lies on the bone's mirror plane.
    ends_mm : tuple of float, optional
        Front and back along the second direction, where they are known.
    start : Oval, optional
        A first guess; the whole neighbourhood of the origin is searched without.

    Raises
    ------
    DegenerateGeometry
        If there is no surface near the origin.
    """
    base = surface.base
    heights = surface.heights.ravel()
    seen = np.isfinite(heights)
    smooth = _smoothed(surface.heights)
    oval = start
    for _ in range(1 if start else 2):
        near = np.linalg.norm(base, axis=1) < _SEED_RADIUS_MM if oval is None else oval.radius(base) < 0.8
        used = seen & near
        if used.sum() < 20:
            raise DegenerateGeometry("there is no bone where the plate should be")
        plane = robust_height_plane(base[used], heights[used], scale_floor_mm=0.3)
        fits = [np.array([plane.offset_mm, *plane.slope, 0.0, 0.0, 0.0])]
        if oval is not None:
            # A bowl through a small disc would say nothing away from it.
            fits.append(robust_height_bowl(base[used], heights[used], scale_floor_mm=0.3))
        strange = _strangeness(surface, smooth, fits)
        oval = _best(surface, strange, oval, middle_known=middle_known, ends_mm=ends_mm)
    assert oval is not None
    return oval


def _smoothed(heights: FloatArray) -> FloatArray:
    """Heights freed from the finest noise; NaN stays NaN and does not spread."""
    seen = np.isfinite(heights)
    weight = ndimage.gaussian_filter(seen.astype(float), 0.8)
    filled = ndimage.gaussian_filter(np.where(seen, heights, 0.0), 0.8)
    return np.where(seen, filled / np.maximum(weight, 1e-6), np.nan)


def _strangeness(surface: HeightMap, smooth: FloatArray, fits: list[FloatArray]) -> FloatArray:
    """How little each place is like the plate, 0 to 1, shape (nu, nv), by the kindest of these bowls.

    A dome must not be called steep, and a small hollow in the middle must not be continued to the rim.
    """
    u, v = np.meshgrid(*surface.ticks, indexing="ij")
    du, dv = np.gradient(smooth, surface.step_mm)
    kindest = np.full(smooth.shape, np.inf)
    for bowl in fits:
        off = np.abs(smooth - bowl_terms(np.stack([u, v], axis=-1)) @ bowl)
        lean = np.hypot(
            du - bowl[1] - 2 * bowl[3] * u - bowl[4] * v, dv - bowl[2] - bowl[4] * u - 2 * bowl[5] * v
        )
        strange = np.maximum(np.degrees(np.arctan(lean)) / FULL_LEAN_DEG, (off / OFF_MM) ** 2)
        kindest = np.fmin(kindest, strange)
    return np.asarray(np.clip(np.where(np.isfinite(smooth), kindest, 1.0), 0.0, 1.0))


@cache
def _rays() -> tuple[FloatArray, FloatArray]:
    angle = (np.arange(_ANGLES) + 0.5) * 2 * np.pi / _ANGLES
    return np.cos(angle), np.sin(angle)


def _contrast(surface: HeightMap, strange: FloatArray, ovals: FloatArray, power: float) -> FloatArray:
    """How well each oval (rows u, v, a, b) parts the plate from the rest, shape (n,)."""
    cos, sin = _rays()
    u, v, a, b = (ovals[:, k, None] for k in range(4))
    # Radius of the outline in each direction of the circle squeezed to the oval.
    outline = (np.abs(cos) ** power + np.abs(sin) ** power) ** (-1 / power)
    x, y = a * outline * cos, b * outline * sin
    length = np.hypot(x, y)

    scales = np.stack(
        [1 + d / length for d in (*_OUTSIDE, *_INSIDE)] + [np.full_like(length, r) for r in _INTERIOR]
    )
    i = (u + scales * x - surface.ticks[0][0]) / surface.step_mm
    j = (v + scales * y - surface.ticks[1][0]) / surface.step_mm
    found = ndimage.map_coordinates(
        strange, np.stack([i.ravel(), j.ravel()]), order=1, mode="constant", cval=1.0
    )
    rings = found.reshape(scales.shape).mean(axis=2)
    outside, inside, interior = (part.mean(axis=0) for part in np.split(rings, (3, 6)))
    return np.asarray(outside - inside - 0.7 * interior)


def _best(
    surface: HeightMap,
    strange: FloatArray,
    before: Oval | None,
    *,
    middle_known: bool,
    ends_mm: tuple[float, float] | None,
) -> Oval:
    if before is None:
        v, b, ratio = np.arange(-14.0, 14.1, 2.0), np.arange(10.0, 25.0, 2.0), np.array([1.1, 1.4, 1.7, 2.1])
        u = np.array([0.0]) if middle_known else np.arange(-12.0, 12.1, 4.0)
        grid = np.stack(np.meshgrid(u, v, b, ratio, indexing="ij"), axis=-1).reshape(-1, 4)
        grid[:, 3] *= grid[:, 2]
        starts = grid[:, [0, 1, 3, 2]]
        starts = starts[starts[:, 2] <= WIDTH_MM[1]]
    else:
        starts = np.array([[*before.middle, *before.half]])
    if ends_mm is not None:
        front, back = ends_mm
        starts = starts.copy()
        starts[:, 1], starts[:, 3] = (front + back) / 2, (back - front) / 2
        starts[:, 2] = np.maximum(starts[:, 2], 1.1 * starts[:, 3])

    def worth(ovals: FloatArray, power: float) -> FloatArray:
        """Contrast, less what is unusual; sizes that no plate has are worth nothing."""
        ratio = ovals[:, 2] / ovals[:, 3]
        unusual = ((ratio - USUAL_RATIO) / RATIO_SPREAD) ** 2
        unusual = np.minimum(unusual, 6.0) + (np.log(ovals[:, 3] / USUAL_DEPTH_MM) / DEPTH_SPREAD) ** 2
        aside = (ovals[:, 0] / ASIDE_MM) ** 2 if middle_known else 0.0
        allowed = (
            (ovals[:, 2] >= WIDTH_MM[0])
            & (ovals[:, 2] <= WIDTH_MM[1])
            & (ovals[:, 3] >= DEPTH_MM[0])
            & (ovals[:, 3] <= DEPTH_MM[1])
        )
        price = _PRIOR * (unusual + aside)
        if ends_mm is not None:
            off = (ovals[:, 1] - ovals[:, 3] - ends_mm[0]) ** 2 + (
                ovals[:, 1] + ovals[:, 3] - ends_mm[1]
            ) ** 2
            price = price + off
        return np.where(allowed, _contrast(surface, strange, ovals, power) - price, -1.0)

    if len(starts) > 1:
        starts = starts[[int(np.argmax(worth(starts, _ROUND)))]]
    best: tuple[float, FloatArray, float] | None = None
    for power in (_ROUND, _SQUARE) if before is None else (before.power,):
        found = optimize.minimize(
            # rounded, so that noise decides no tie
            lambda p, power=power: -round(float(worth(p[None], power)[0]), 9),
            starts[0],
            method="Nelder-Mead",
            options={
                "initial_simplex": starts[0] + np.vstack([np.zeros(4), np.diag([1.5, 1.5, 3.0, 2.0])]),
                "xatol": 0.1,
                "fatol": 5e-4,
                "maxfev": 70,
            },
        )
        if best is None or -found.fun > best[0] + 0.02:
            best = (-float(found.fun), found.x, power)
    assert best is not None
    _, p, power = best
    return Oval(p[:2], p[2:], power, float(_contrast(surface, strange, p[None], power)[0]))
