"""Where each vertebra lies around its clicked centre: axes, end plates, outline, canal.

A click is some millimetres off. The discs are looked for along the line of centres, the body's outline
and the canal in the plane across it; sizes are those of an average adult, scaled to the distances
between these centres.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spine_node.anatomy.levels import LEVELS
from spine_node.geometry.directions import unit
from spine_node.imaging.volume import FloatArray, Grid, Volume
from spine_node.phantom.dimensions import SIZES, LevelSize

STEP_MM = 0.5
"""Distance between samples along the line of centres."""

SHELL_MM = 2.5
"""Bone beside a disc that is compared with it: the end plates."""

DISC_SPREAD_MM = 2.5
"""How far a disc may be from where the two clicks and the average heights put it (one sigma)."""

_SCALES = (0.85, 0.93, 1.0, 1.08, 1.16)
_SHIFTS = np.arange(-0.2, 0.21, 0.05)
"""Of the outline against the click, in depths of the body."""


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """A vertebra in waiting.

    Attributes
    ----------
    level : str
    centre_mm : ndarray, shape (3,)
        LPS, after refinement.
    axes : ndarray, shape (3, 3)
        Columns left, posterior, cranial; LPS.
    top, bottom : tuple of ndarray
        Point and cranial normal of each end plate.
    width_mm, depth_mm : float
        Of the body.
    canal_mm : ndarray, shape (3,)
        Centre of the canal at the height of the pedicles.
    canal_width_mm, canal_depth_mm : float
    soft, bone : float
        Grey values of the tissue around and of the body.
    size : LevelSize
        Of the average adult.
    scale : float
        By which this person differs.
    clicked : bool
        False for a neighbour that is there only to keep its own bone.
    """

    level: str
    centre_mm: FloatArray
    axes: FloatArray
    top: tuple[FloatArray, FloatArray]
    bottom: tuple[FloatArray, FloatArray]
    width_mm: float
    depth_mm: float
    canal_mm: FloatArray
    canal_width_mm: float
    canal_depth_mm: float
    soft: float
    bone: float
    size: LevelSize
    scale: float
    clicked: bool

    def local(self, points_mm: FloatArray) -> FloatArray:
        """Left, posterior and cranial of the centre, mm, shape (..., 3)."""
        return np.asarray((points_mm - self.centre_mm) @ self.axes)

    def between_endplates(self, points_mm: FloatArray, margin_mm: float = 0.0) -> NDArray[np.bool_]:
        """Whether points lie below the upper and above the lower end plate by at least the margin."""
        below = (points_mm - self.top[0]) @ self.top[1] <= -margin_mm
        above = (points_mm - self.bottom[0]) @ self.bottom[1] >= margin_mm
        return np.asarray(below & above)


def sites(volume: Volume, centres: Mapping[str, FloatArray]) -> list[Site]:
    """One site for each vertebra that has a centre and for their neighbours, cranial to caudal.

    Parameters
    ----------
    volume : Volume
        About isotropic.
    centres : mapping of str to ndarray
        LPS mm by level; of other structures only the sacrum is used, as the neighbour of L5.
    """
    clicked, centres = centres.keys(), _with_neighbours(centres, volume.grid)
    found = [level for level in LEVELS if level in centres]
    image = _Image(volume)
    points = np.array([centres[level] for level in found])
    scale = _scale(found, points)
    cranial = _tangents(points)
    for i, level in enumerate(found):
        height = SIZES[level].height_mm * scale
        points[i] = _outline(image, points[i], _axes(cranial[i]), SIZES[level], scale, height)[0]
    cranial = _tangents(points)
    result = []
    for i, level in enumerate(found):
        size = SIZES[level]
        has_above, has_below = _neighbours(found, i)
        above = points[i - 1] if has_above else points[i] + cranial[i] * _pitch(level, -1) * scale
        below = points[i + 1] if has_below else points[i] - cranial[i] * _pitch(level, 1) * scale
        upper = SIZES[found[i - 1] if has_above else next_level(level, -1)]
        lower = SIZES[found[i + 1] if has_below else next_level(level, 1)]
        radius = 0.3 * size.depth_mm * scale
        top = _disc(image, above, points[i], upper, size, radius)[1]
        bottom = _disc(image, points[i], below, size, lower, radius)[0]
        up, down = unit(above - points[i]), unit(points[i] - below)
        axes = _axes(unit(up + down))
        height = float((top - bottom) @ axes[:, 2])
        centre, width, depth, bone = _outline(image, (top + bottom) / 2, axes, size, scale, height)
        canal, canal_width, canal_depth, soft = _canal(image, centre, axes, size, scale, depth)
        result.append(
            Site(
                level, centre, axes, (top, up), (bottom, down), width, depth, canal, canal_width,
                canal_depth, soft, bone, size, scale, level in clicked,
            )
        )  # fmt: skip
    return _with_steady_greys(result)


def _with_steady_greys(found: list[Site]) -> list[Site]:
    """Soft tissue is the same all along; bone changes slowly from one vertebra to the next."""
    sure = [i for i, site in enumerate(found) if site.clicked]
    soft = float(np.median([found[i].soft for i in sure]))
    steady = ndimage.median_filter([found[i].bone for i in sure], 3, mode="nearest")
    bone = np.interp(np.arange(len(found)), sure, steady)
    return [replace(site, soft=soft, bone=float(b)) for site, b in zip(found, bone, strict=True)]


def _with_neighbours(centres: Mapping[str, FloatArray], grid: Grid) -> dict[str, FloatArray]:
    """Centres of the vertebrae, and of their unclicked neighbours above and below as far as they are seen.

    A neighbour is not drawn, it keeps the last vertebra from growing into it. Below L5 it stands for
    S1, at the click for the sacrum if there is one.
    """
    levels = [level for level in LEVELS if level in centres]
    points = np.array([centres[level] for level in levels])
    scale, cranial = _scale(levels, points), _tangents(points)
    out = {level: centres[level] for level in levels}
    for end, step in ((0, -1), (-1, 1)):
        level = next_level(levels[end], step)
        if levels[end] in ("L5", "L6"):
            level = "L6" if step > 0 else level
        if level in out:
            continue
        point = points[end] - step * cranial[end] * _pitch(levels[end], step) * scale
        if step > 0 and level == "L6":
            point = centres.get("sacrum", point)
        index = grid.to_index(point)
        if (index > 0).all() and (index < np.array(grid.shape) - 1).all():
            out[level] = point
    return out


class _Image:
    """Grey values at points."""

    def __init__(self, volume: Volume) -> None:
        self.grid = volume.grid
        self.values = volume.values.astype(np.float32)

    def at(self, points_mm: FloatArray) -> FloatArray:
        index = np.moveaxis(self.grid.to_index(points_mm), -1, 0)
        return np.asarray(ndimage.map_coordinates(self.values, index, order=1, mode="nearest"), float)


def _scale(found: list[str], points: FloatArray) -> float:
    """This person's distances between neighbouring centres over the average ones."""
    ratios = [
        np.linalg.norm(points[i + 1] - points[i]) / _pitch(level, 1)
        for i, level in enumerate(found[:-1])
        if found[i + 1] in (next_level(level, 1), *LEVELS[LEVELS.index(level) + 1 :][:1])
    ]
    return float(np.clip(np.median(ratios), 0.75, 1.3)) if ratios else 1.0


def next_level(level: str, step: int) -> str:
    """The neighbour in a spine of the usual number."""
    usual = [name for name in LEVELS if name not in ("T13", "L6")]
    if level not in usual:
        return LEVELS[min(max(LEVELS.index(level) + step, 0), len(LEVELS) - 1)]
    return usual[min(max(usual.index(level) + step, 0), len(usual) - 1)]


def _pitch(level: str, step: int) -> float:
    """Average distance to the centre above (-1) or below (1), mm."""
    upper, lower = (level, next_level(level, 1)) if step > 0 else (next_level(level, -1), level)
    return SIZES[upper].height_mm / 2 + SIZES[upper].disc_mm + SIZES[lower].height_mm / 2


def _neighbours(found: list[str], i: int) -> tuple[bool, bool]:
    """Whether the levels above and below this one have a centre too."""

    def adjoining(upper: str, lower: str) -> bool:
        return lower == next_level(upper, 1) or LEVELS.index(lower) == LEVELS.index(upper) + 1

    above = i > 0 and adjoining(found[i - 1], found[i])
    return above, i + 1 < len(found) and adjoining(found[i], found[i + 1])


def _tangents(points: FloatArray) -> FloatArray:
    if len(points) == 1:
        return np.array([[0.0, 0.0, 1.0]])
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    return unit(-np.gradient(points, along, axis=0))


def _axes(cranial: FloatArray) -> FloatArray:
    posterior = np.array([0.0, 1.0, 0.0])
    posterior = unit(posterior - cranial * (posterior @ cranial))
    return np.stack([np.cross(posterior, cranial), posterior, cranial], axis=1)


def _disc(
    image: _Image, upper: FloatArray, lower: FloatArray, above: LevelSize, below: LevelSize, radius: float
) -> tuple[FloatArray, FloatArray]:
    """Upper and lower face of the disc between two centres, LPS mm: dark between two brighter shells."""
    length = float(np.linalg.norm(lower - upper))
    down = (lower - upper) / length
    axes = _axes(-down)
    ring = [(0.0, 0.0)] + [
        (r * np.cos(a), r * np.sin(a))
        for r in (radius / 2, radius)
        for a in np.arange(0, 2 * np.pi, np.pi / 4)
    ]
    across = np.array(ring) @ axes[:, :2].T
    s = np.arange(0, length + STEP_MM / 2, STEP_MM)
    profile = image.at(upper + s[:, None, None] * down + across[None]).mean(axis=1)
    profile = ndimage.gaussian_filter1d(profile, 1.0)
    total = np.concatenate([[0.0], np.cumsum(profile)])

    def mean(first: float, last: float) -> float:
        i, j = np.clip(np.rint(np.array([first, last]) / STEP_MM).astype(int), 0, len(profile))
        return (
            float((total[max(j, i + 1)] - total[i]) / max(j - i, 1))
            if i < len(profile)
            else float(profile[-1])
        )

    spread = max(float(profile.std()), 1e-6)
    pitch = above.height_mm / 2 + above.disc_mm + below.height_mm / 2
    usual = above.disc_mm * length / pitch
    expected = (above.height_mm / 2 + above.disc_mm / 2) * length / pitch
    best, faces = -np.inf, (expected - usual / 2, expected + usual / 2)
    for middle in np.arange(0.25 * length, 0.75 * length, STEP_MM):
        for half in np.arange(max(0.3 * usual, 1.0), 0.9 * usual + 0.1, STEP_MM / 2):
            shells = (
                mean(middle - half - SHELL_MM, middle - half),
                mean(middle + half, middle + half + SHELL_MM),
            )
            score = (min(shells) - mean(middle - half, middle + half)) / spread
            score -= 0.5 * ((middle - expected) / DISC_SPREAD_MM) ** 2
            score -= 0.5 * ((2 * half / usual - 1) / 0.35) ** 2
            if score > best:
                best, faces = score, (middle - half, middle + half)
    return upper + faces[0] * down, upper + faces[1] * down


def _outline(
    image: _Image, centre: FloatArray, axes: FloatArray, size: LevelSize, scale: float, height_mm: float
) -> tuple[FloatArray, float, float, float]:
    """Centre, width, depth and grey value of the ellipse that is bright inside and dark around.

    Only its front and sides count: behind are pedicles and canal.
    """
    angles = np.deg2rad(np.arange(-215, 36, 10))
    ring = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    inner = np.concatenate([r * ring for r in (0.5, 0.72, 0.9)])
    outer = np.concatenate([r * ring for r in (1.12, 1.28)])
    slices = np.array([-0.2, 0.0, 0.2])[:, None, None] * height_mm * axes[:, 2]
    half = np.array([size.width_mm, size.depth_mm]) * scale / 2
    best: tuple[float, ...] = (-np.inf,)
    for factor in _SCALES:
        inside, around = (r * half * factor @ axes[:, :2].T for r in (inner, outer))
        for left in _SHIFTS * size.depth_mm:
            for back in _SHIFTS * size.depth_mm:
                at = centre + left * axes[:, 0] + back * axes[:, 1] + slices
                bone, soft = image.at(at + inside), image.at(at + around)
                score = (bone.mean() - soft.mean()) / (bone.std() + soft.std() + 1e-6)
                score -= 2.0 * (left**2 + back**2) / size.depth_mm**2 + 1.5 * (factor - 1) ** 2
                if score > best[0]:
                    best = (float(score), left, back, factor, float(np.median(bone)))
    _, left, back, factor, grey = best
    width, depth = 2 * half * factor
    return centre + left * axes[:, 0] + back * axes[:, 1], float(width), float(depth), grey


def _canal(
    image: _Image, centre: FloatArray, axes: FloatArray, size: LevelSize, scale: float, depth: float
) -> tuple[FloatArray, float, float, float]:
    """Centre, width, depth and grey value of the canal at the pedicles: dark inside, bone around."""
    angles = np.deg2rad(np.arange(0, 360, 15))
    ring = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    inner = np.concatenate([r * ring for r in (0.0, 0.4, 0.75)])
    outer = np.concatenate([r * ring for r in (1.2, 1.4)])
    half = np.array([size.canal_width_mm, size.canal_depth_mm]) * scale / 2
    expected = depth / 2 + half[1]
    up = 0.22 * size.height_mm * scale * axes[:, 2]
    best: tuple[float, ...] = (-np.inf,)
    for factor in (0.85, 1.0, 1.15):
        inside, around = (r * half * factor @ axes[:, :2].T for r in (inner, outer))
        for left in np.arange(-4.0, 4.1, 1.0):
            for back in expected + np.arange(-6.0, 8.1, 1.0):
                at = centre + up + left * axes[:, 0] + back * axes[:, 1]
                dark, bone = image.at(at + inside), image.at(at + around)
                score = (np.percentile(bone, 40) - np.percentile(dark, 70)) / (bone.std() + dark.std() + 1e-6)
                score -= 0.004 * (left**2 + (back - expected) ** 2)
                if score > best[0]:
                    best = (float(score), left, back, factor, float(np.median(dark)))
    _, left, back, factor, grey = best
    return (
        centre + up + left * axes[:, 0] + back * axes[:, 1],
        float(2 * half[0] * factor),
        float(2 * half[1] * factor),
        grey,
    )
