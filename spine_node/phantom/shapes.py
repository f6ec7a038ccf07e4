"""Signed distances of the solids that bones are made of: negative inside, millimetres.

Distances are exact at a surface and close to it; far from it they only keep their sign.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spine_node.phantom.lattice import Field, Lattice

Point = NDArray[np.float64]


def unit(vector: Sequence[float] | Point) -> Point:
    """The direction of a vector."""
    v = np.asarray(vector, dtype=np.float64)
    return np.asarray(v / np.linalg.norm(v))


def cross(a: Point, b: Point) -> Point:
    """Vector product of two (3,) vectors, without the overhead of the general one."""
    return np.array([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])


def smooth_min(a: Field, b: Field, radius_mm: float) -> Field:
    """Union of two distances with a fillet of about `radius_mm`."""
    h = np.maximum(np.float32(4 * radius_mm) - np.abs(a - b), 0)
    h *= h
    h *= np.float32(1 / (16 * radius_mm))
    out = np.minimum(a, b)
    out -= h
    return out


@dataclass(frozen=True, slots=True, eq=False)
class Limb:
    """An ellipsoid swept along a segment, growing or tapering on the way.

    Attributes
    ----------
    start_mm, end_mm : ndarray, shape (3,)
        Centres of the ellipsoid at either end.
    radii_mm : tuple of float
        Along the segment (at its ends), along `side`, along the third direction.
    side : ndarray, shape (3,)
        Any direction that is not along the segment; its part across the segment is used.
    taper : float
        Size at `end_mm` over that at `start_mm`.
    """

    start_mm: Point
    end_mm: Point
    radii_mm: tuple[float, float, float]
    side: Point
    taper: float = 1.0

    def box(self) -> tuple[Point, Point]:
        """Two corners of a box in mm that holds the limb."""
        reach = max(self.radii_mm) * max(1.0, self.taper)
        return np.minimum(self.start_mm, self.end_mm) - reach, np.maximum(self.start_mm, self.end_mm) + reach

    def volume_mm3(self) -> float:
        """About how much the limb holds."""
        a, b, c = self.radii_mm
        length = float(np.linalg.norm(self.end_mm - self.start_mm))
        return float(np.pi * b * c * (length + 4 / 3 * a) * (1 + self.taper**2) / 2)

    def distance(self, at: Lattice) -> Field:
        """Signed distance at each voxel."""
        along = self.end_mm - self.start_mm
        length = float(np.linalg.norm(along))
        u = along / length if length > 1e-9 else unit(cross(self.side, np.array([0.31, 0.77, 0.56])))
        v = unit(self.side - (self.side @ u) * u)
        w = cross(u, v)
        x = at.along(u, self.start_mm)
        t = np.clip(x, 0, length)
        x -= t
        y, z = at.along(v, self.start_mm), at.along(w, self.start_mm)
        size: Field | None = None
        if self.taper != 1.0 and length > 1e-9:
            size = 1 + t * np.float32((self.taper - 1) / length)
            for c in (x, y, z):
                c /= size
        k0 = np.zeros_like(x)
        k1 = np.zeros_like(x)
        for c, r in zip((x, y, z), self.radii_mm, strict=True):
            c *= np.float32(1 / r)
            c *= c
            k0 += c
            c *= np.float32(1 / r**2)
            k1 += c
        np.sqrt(k0, out=k0)
        np.sqrt(k1, out=k1)
        np.maximum(k1, np.float32(1e-3), out=k1)
        out = k0 * (k0 - 1)
        out /= k1
        return out if size is None else np.asarray(out * size)


def ball(centre_mm: Point, radius_mm: float) -> Limb:
    """A sphere."""
    return Limb(centre_mm, centre_mm, (radius_mm, radius_mm, radius_mm), np.array([1.0, 0.0, 0.0]))


def ellipsoid(centre_mm: Point, axes: NDArray[np.float64], radii_mm: tuple[float, float, float]) -> Limb:
    """An ellipsoid with its radii along the columns of `axes`."""
    centre = np.asarray(centre_mm, dtype=np.float64)
    tiny = 1e-6 * axes[:, 0]
    return Limb(centre - tiny, centre + tiny, radii_mm, axes[:, 1])


def rod(start_mm: Point, end_mm: Point, radius_mm: float, taper: float = 1.0) -> Limb:
    """A round rod with round ends."""
    d = np.asarray(end_mm, dtype=np.float64) - start_mm
    side = np.eye(3)[int(np.argmin(np.abs(d)))]
    return Limb(np.asarray(start_mm, float), np.asarray(end_mm, float), (radius_mm,) * 3, side, taper)


@dataclass(frozen=True, slots=True, eq=False)
class Plate:
    """A triangle with thickness.

    Attributes
    ----------
    corners_mm : ndarray, shape (3, 3)
        One corner per row.
    radius_mm : float
        Half the thickness.
    """

    corners_mm: NDArray[np.float64]
    radius_mm: float

    def box(self) -> tuple[Point, Point]:
        """Two corners of a box in mm that holds the plate."""
        return self.corners_mm.min(axis=0) - self.radius_mm, self.corners_mm.max(axis=0) + self.radius_mm

    def volume_mm3(self) -> float:
        """About how much the plate holds."""
        a, b, c = self.corners_mm
        return float(np.linalg.norm(cross(b - a, c - a)) * self.radius_mm)

    def distance(self, at: Lattice) -> Field:
        """Signed distance at each voxel."""
        a, b, c = self.corners_mm
        u = unit(b - a)
        n = unit(cross(b - a, c - a))
        v = cross(n, u)
        flat = np.array([[0.0, 0.0], [float((b - a) @ u), 0.0], [float((c - a) @ u), float((c - a) @ v)]])
        x, y = at.along(u, a), at.along(v, a)
        beside: Field | None = None
        inside = np.ones(at.shape, dtype=bool)
        for k in range(3):
            p, e = flat[k], flat[(k + 1) % 3] - flat[k]
            px, py = x - np.float32(p[0]), y - np.float32(p[1])
            inside &= (e[0] * py - e[1] * px) >= 0
            t = np.clip((px * np.float32(e[0]) + py * np.float32(e[1])) / np.float32(e @ e), 0, 1)
            px -= t * np.float32(e[0])
            py -= t * np.float32(e[1])
            d2 = px * px + py * py
            beside = d2 if beside is None else np.minimum(beside, d2)
        assert beside is not None
        beside[inside] = 0
        z = at.along(n, a)
        beside += z * z
        return np.asarray(np.sqrt(beside) - np.float32(self.radius_mm))


def union(parts: Sequence[Limb | Plate], at: Lattice, fillet_mm: float, far_mm: float = 12.0) -> Field:
    """Smooth union of parts, each evaluated only near itself; at most `far_mm`."""
    out = np.full(at.shape, far_mm, dtype=np.float32)
    margin = 4 * fillet_mm + 2 * float(at.spacing_mm.max())
    for part in parts:
        low, high = part.box()
        where = at.around(low - margin, high + margin)
        if where is not None:
            out[where] = smooth_min(out[where], part.distance(at.block(where)), fillet_mm)
    return out


def bounds(parts: Sequence[Limb | Plate], margin_mm: float) -> tuple[Point, Point]:
    """Two corners of a box that holds all parts and a margin."""
    boxes = [part.box() for part in parts]
    low = np.min([b[0] for b in boxes], axis=0) - margin_mm
    high = np.max([b[1] for b in boxes], axis=0) + margin_mm
    return low, high
