"""Signed distances of the solids that bones are made of: negative inside, millimetres.

Distances are exact at a surface and close to it; far from it they only keep their sign.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
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
    return fillet_(a.clone(), b, radius_mm)


def fillet_(into: Field, other: Field, radius_mm: float) -> Field:
    """As `smooth_min`, written to the first distance."""
    h = (into - other).abs_().neg_().add_(4 * radius_mm).clamp_min_(0)
    torch.minimum(into, other, out=into)
    return into.addcmul_(h, h, value=-1 / (16 * radius_mm))


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
        length = math.sqrt(float(along @ along))
        ra, rb, rc = self.radii_mm
        u = along / length if length > 1e-9 else unit(cross(self.side, np.array([0.31, 0.77, 0.56])))
        v = unit(self.side - (self.side @ u) * u)
        w = cross(u, v)
        round_ = ra == rb == rc
        scaled = np.stack([u, v, w]) if round_ else np.stack([u / ra, v / rb, w / rc])
        p = at.coordinates(scaled, self.start_mm)
        x, y, z = p.unbind(0)
        t = x.clamp(0, length if round_ else length / ra)
        x.sub_(t)
        size: Field | None = None
        if self.taper != 1.0 and length > 1e-9:
            size = t.mul_((self.taper - 1) / length * (1.0 if round_ else ra)).add_(1)
        p.square_()
        if round_:  # the distance is exact
            d = x.add_(y).add_(z).sqrt_()
            return d.sub_(ra) if size is None else d.sub_(size, alpha=ra)
        k1 = (x * ra**-2).add_(y, alpha=rb**-2).add_(z, alpha=rc**-2).sqrt_()
        k0 = x.add_(y).add_(z).sqrt_()
        if size is not None:
            k0.div_(size)
            k1.div_(size)
        out = (k0 * k0).sub_(k0).div_(k1.clamp_min_(1e-3))
        return out if size is None else out.mul_(size)


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
        x, y, z = at.coordinates(np.stack([u, v, n]), a).unbind(0)
        beside: Field | None = None
        inside: Field | None = None
        for k in range(3):
            p, e = flat[k].tolist(), (flat[(k + 1) % 3] - flat[k]).tolist()
            px, py = x - p[0], y - p[1]
            left = torch.sub(py * e[0], px, alpha=e[1])
            inside = left if inside is None else torch.minimum(inside, left)
            t = (px * e[0]).add_(py, alpha=e[1]).div_(e[0] ** 2 + e[1] ** 2).clamp_(0, 1)
            px.sub_(t, alpha=e[0])
            py.sub_(t, alpha=e[1])
            d2 = px.square_().addcmul_(py, py)
            beside = d2 if beside is None else torch.minimum(beside, d2)
        assert beside is not None
        assert inside is not None
        beside.mul_(inside < 0)
        return beside.addcmul_(z, z).sqrt_().sub_(self.radius_mm)


def union(parts: Sequence[Limb | Plate], at: Lattice, fillet_mm: float, far_mm: float = 12.0) -> Field:
    """Smooth union of parts, each evaluated only near itself; at most `far_mm`."""
    out = at.full(far_mm)
    margin = 4 * fillet_mm + 2 * float(at.spacing_mm.max())
    for part in parts:
        low, high = part.box()
        where = at.around(low - margin, high + margin)
        if where is not None:
            fillet_(out[where], part.distance(at.block(where)), fillet_mm)
    return out


def bounds(parts: Sequence[Limb | Plate], margin_mm: float) -> tuple[Point, Point]:
    """Two corners of a box that holds all parts and a margin."""
    boxes = [part.box() for part in parts]
    low = np.min([b[0] for b in boxes], axis=0) - margin_mm
    high = np.max([b[1] for b in boxes], axis=0) + margin_mm
    return low, high
