"""Vertebral bodies with closed-form surfaces, in their own frame V (X left, Y posterior, Z cranial).

The origin lies halfway between the centres of the two plates. A plate is a plane plus a dish; the
plane is the least-squares plane of the dished surface over the plate's outline, by construction.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from tests.accuracy.frames import Array, unit
from tests.accuracy.outlines import Outline


def _bowl(gauge: Array) -> Array:
    """1 in the middle, 0 from 0.9 of the rim outwards, smooth."""
    return np.clip(1 - (gauge / np.asarray(0.9, dtype=gauge.dtype)) ** 2, 0, None) ** 2


def _ramp(x: Array, start: float, end: float) -> Array:
    t = np.clip((x - start) / (end - start), 0, 1)
    return t * t * (3 - 2 * t)


@dataclass(frozen=True, eq=False)
class Plate:
    """One endplate as a surface z(x, y) over its outline.

    Attributes
    ----------
    height : float
        z of the plane at the plate's centre (x = y = 0), mm.
    normal : ndarray, shape (3,)
        Cranial unit normal of the plane, in V.
    a, b : float
        Half width and half depth of the outline as seen along Z, mm.
    bulge : float
        How far the middle stands above the rim along +Z, mm: a dish is negative on a superior plate
        and positive on an inferior one.
    uncus : float
        Height of the uncinate processes above the posterolateral rim, mm.
    """

    outline: Outline
    height: float
    normal: Array
    a: float
    b: float
    bulge: float = 0.0
    uncus: float = 0.0

    @cached_property
    def _tilted_mean(self) -> tuple[float, float]:
        """Offset and gradient along y (unit outline) of the bowl's own least-squares plane."""
        x, y, w = self.outline.nodes()
        bowl = _bowl(self.outline.gauge(x, y))
        return float((w * bowl).sum() / w.sum()), float((w * bowl * y).sum() / (w * y * y).sum())

    def plane(self, x: Array, y: Array) -> Array:
        """z of the plane at x, y (mm)."""
        gx, gy = -self.normal[0] / self.normal[2], -self.normal[1] / self.normal[2]
        kind = x.dtype.type
        return kind(self.height) + kind(gx) * x + kind(gy) * y

    def surface(self, x: Array, y: Array) -> Array:
        """z of the plate itself at x, y (mm)."""
        z = self.plane(x, y)
        kind = x.dtype.type
        if self.bulge:
            xu, yu = x / kind(self.a), y / kind(self.b)
            mean, gradient = self._tilted_mean
            z = z + kind(self.bulge) * (_bowl(self.outline.gauge(xu, yu)) - kind(mean) - kind(gradient) * yu)
        if self.uncus:
            sideways = _ramp(np.abs(x) / kind(self.a), 0.70, 0.88)
            z = z + kind(self.uncus) * sideways * _ramp(y / kind(self.b), 0.05, 0.35)
        return z

    @property
    def centre(self) -> Array:
        """Area centroid of the outline, on the plane."""
        return np.array([0.0, 0.0, self.height])

    def edge(self, direction: Array) -> Array:
        """Where the chord through the centre, along `direction` laid into the plane, leaves the outline."""
        along = unit(direction - self.normal * (direction @ self.normal))
        return self.centre + along * self.outline.reach(along[0] / self.a, along[1] / self.b)

    def rim(self, count: int = 48) -> Array:
        """Points on the plate's rim, shape (count, 3)."""
        angles = np.linspace(0, 2 * np.pi, count, endpoint=False)
        reach = 0.9999 * self.outline.reach(np.cos(angles), np.sin(angles))
        x, y = self.a * reach * np.cos(angles), self.b * reach * np.sin(angles)
        return np.column_stack([x, y, self.surface(x, y)])

    def samples(self) -> Array:
        """Points all over the plate with its rim, shape (n, 3)."""
        x, y, _ = self.outline.nodes()
        x, y = x[::5] * self.a, y[::5] * self.b
        return np.concatenate([np.column_stack([x, y, self.surface(x, y)]), self.rim()])


@dataclass(frozen=True, eq=False)
class Body:
    """What lies between two plates, inside a wall that may be waisted.

    `waist` is the part of the half width and depth that is missing at mid height.
    """

    superior: Plate
    inferior: Plate
    waist: float = 0.0
    knob: tuple[float, float, float, float] | None = field(default=None)
    """The dens of C2: radius, height above the superior plate, y of its axis, radius of its waist."""

    def _spread(self, t: Array) -> tuple[Array, Array]:
        up, down = (1 + t) / 2, (1 - t) / 2
        narrow = 1 - self.waist * (1 - t * t)
        return (
            (up * self.superior.a + down * self.inferior.a) * narrow,
            (up * self.superior.b + down * self.inferior.b) * narrow,
        )

    def contains(self, x: Array, y: Array, z: Array) -> Array:
        """Whether points of V, mm, lie in the body (with the dens)."""
        low, high = self.inferior.surface(x, y), self.superior.surface(x, y)
        inside = (z > low) & (z <= high)
        t = np.clip(2 * (z - low) / np.maximum(high - low, 1e-3) - 1, -1, 1)
        a, b = self._spread(t)
        inside &= self.superior.outline.contains(x / a, y / b)
        if self.knob is not None:
            inside |= self._in_knob(x, y, z)
        return inside

    def _in_knob(self, x: Array, y: Array, z: Array) -> Array:
        assert self.knob is not None
        radius, height, middle, waist = self.knob
        base = self.superior.height
        along = np.clip(z - base, 0, height - radius)
        r2 = x * x + (y - middle) ** 2 + (z - base - along) ** 2
        narrow = waist + (radius - waist) * _ramp((z - base) / height, 0.1, 0.45)
        return (z > base - 1) & (r2 <= narrow**2)

    @property
    def dens_tip(self) -> Array:
        """Most cranial point of the dens along its own axis, in V."""
        assert self.knob is not None
        return np.array([0.0, self.knob[2], self.superior.height + self.knob[1]])

    @property
    def knob_mm3(self) -> float:
        """Volume of the dens above the superior plate (which C2 has flat and level in V)."""
        if self.knob is None:
            return 0.0
        radius, height, _, waist = self.knob
        u, w = np.polynomial.legendre.leggauss(400)
        z = (u + 1) / 2 * height
        narrow = waist + (radius - waist) * _ramp(z / height, 0.1, 0.45)
        round_off = np.clip(z - (height - radius), 0, None)
        disc = np.pi * np.clip(narrow**2 - round_off**2, 0, None)
        return float((w * disc).sum() * height / 2)

    @cached_property
    def _moments(self) -> tuple[float, Array]:
        """Volume (mm3) and centroid (V, mm) of the body without dens, by quadrature of its surfaces."""
        xu, yu, w = self.superior.outline.nodes()
        ts, wt = np.polynomial.legendre.leggauss(12)
        volume, first = 0.0, np.zeros(3)
        for t, weight in zip(ts, wt, strict=True):
            a, b = self._spread(np.array(t))
            x, y = xu * a, yu * b
            low, high = self.inferior.surface(x, y), self.superior.surface(x, y)
            piece = weight * w * a * b * (high - low) / 2
            z = low + (t + 1) / 2 * (high - low)
            volume += piece.sum()
            first += [(piece * x).sum(), (piece * y).sum(), (piece * z).sum()]
        return float(volume), first / volume

    @property
    def volume_mm3(self) -> float:
        """Volume without the dens."""
        return self._moments[0]

    @property
    def centroid(self) -> Array:
        """Centroid without the dens, in V."""
        return self._moments[1]

    def back_wall(self, z: float) -> float:
        """y of the posterior wall in the midline at height z (V, mm)."""
        outline = self.superior.outline
        low, high = 0.0, 60.0
        for _ in range(50):
            y = (low + high) / 2
            here = np.array([y])
            bottom = self.inferior.surface(np.zeros(1), here)[0]
            top = self.superior.surface(np.zeros(1), here)[0]
            _, b = self._spread(np.clip(2 * (z - bottom) / max(top - bottom, 1e-3) - 1, -1, 1))
            inside = outline.contains(np.zeros(1), here / b)[0]
            low, high = (y, high) if inside else (low, y)
        return (low + high) / 2

    @property
    def box(self) -> tuple[Array, Array]:
        """Lower and upper corner of a box in V that holds it, mm."""
        points = np.concatenate([self.superior.rim(), self.inferior.rim()])
        a = max(self.superior.a, self.inferior.a)
        b = 1.15 * max(self.superior.b, self.inferior.b)
        margin = abs(self.superior.bulge) + abs(self.inferior.bulge) + 0.5
        top = points[:, 2].max() + margin
        if self.knob is not None:
            top = max(top, self.dens_tip[2] + 0.5)
        return np.array([-a, -b, points[:, 2].min() - margin]) - 0.5, np.array([a, b, top]) + 0.5
