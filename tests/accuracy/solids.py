"""Plain solids for everything that is not a plate: ellipsoids, capsules, blocks, and what is carved away.

A solid is evaluated in the frame of the bone it belongs to, at (|x|, y, z) when the bone is symmetric.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tests.accuracy.frames import Array


class Solid(Protocol):
    """Something with an inside and a box around it."""

    def contains(self, x: Array, y: Array, z: Array) -> Array: ...

    @property
    def box(self) -> tuple[Array, Array]: ...


@dataclass(frozen=True, eq=False)
class Ellipsoid:
    """|dx/sx|^n + |dy/sy|^n + |dz/sz|^n <= 1, leaning by `lean` mm of y per mm of z."""

    centre: tuple[float, float, float]
    semi: tuple[float, float, float]
    power: float = 2.0
    lean: float = 0.0

    def contains(self, x: Array, y: Array, z: Array) -> Array:
        dz = z - self.centre[2]
        dx = np.abs(x - self.centre[0]) / self.semi[0]
        dy = np.abs(y - self.centre[1] - self.lean * dz) / self.semi[1]
        dz = np.abs(dz) / self.semi[2]
        if self.power == 2:
            return dx * dx + dy * dy + dz * dz <= 1
        return dx**self.power + dy**self.power + dz**self.power <= 1

    @property
    def box(self) -> tuple[Array, Array]:
        centre, half = np.array(self.centre), np.array(self.semi, dtype=float)
        half[1] += abs(self.lean) * half[2]
        return centre - half, centre + half


@dataclass(frozen=True, eq=False)
class Capsule:
    """All points within `radius` of a segment; `flat` stretches the distance along z (2 = half as high)."""

    start: tuple[float, float, float]
    end: tuple[float, float, float]
    radius: float
    flat: float = 1.0

    def contains(self, x: Array, y: Array, z: Array) -> Array:
        scale = np.array([1, 1, self.flat])
        p, q = np.array(self.start) * scale, np.array(self.end) * scale
        d = q - p
        px, py, pz = x - p[0], y - p[1], z * self.flat - p[2]
        along = np.clip((px * d[0] + py * d[1] + pz * d[2]) / (d @ d), 0, 1)
        dx, dy, dz = px - along * d[0], py - along * d[1], pz - along * d[2]
        return dx * dx + dy * dy + dz * dz <= self.radius**2

    @property
    def box(self) -> tuple[Array, Array]:
        ends = np.array([self.start, self.end])
        margin = self.radius * np.array([1, 1, 1 / self.flat])
        return ends.min(axis=0) - margin, ends.max(axis=0) + margin


@dataclass(frozen=True, eq=False)
class Block:
    """A box that may narrow towards its lower end: half width `half[0] * (1 - taper)` there."""

    centre: tuple[float, float, float]
    half: tuple[float, float, float]
    taper: float = 0.0

    def contains(self, x: Array, y: Array, z: Array) -> Array:
        dz = z - self.centre[2]
        down = np.clip((self.half[2] - dz) / (2 * self.half[2]), 0, 1)
        inside = np.abs(x - self.centre[0]) <= self.half[0] * (1 - self.taper * down)
        return inside & (np.abs(y - self.centre[1]) <= self.half[1]) & (np.abs(dz) <= self.half[2])

    @property
    def box(self) -> tuple[Array, Array]:
        return np.array(self.centre) - self.half, np.array(self.centre) + self.half


@dataclass(frozen=True, eq=False)
class Canal:
    """The vertebral canal, carved out of the posterior elements along Z.

    `width` between the pedicles; the back lies at `back` in the midline and comes forward by
    `roof` mm at the sides. Carved only behind `front`.
    """

    front: float
    back: float
    width: float
    roof: float
    power: float = 2.0

    def roof_y(self, x: Array) -> Array:
        """y of the canal's back at |x|."""
        return self.back - self.roof * np.clip(2 * np.abs(x) / self.width, 0, 1.6) ** self.power

    def contains(self, x: Array, y: Array, z: Array) -> Array:
        return (np.abs(x) < self.width / 2) & (y > self.front) & (y < self.roof_y(x))


@dataclass(frozen=True, eq=False)
class Lamina:
    """The roof of the canal: `thickness` mm behind it, out to |x| = `reach`, between two heights."""

    canal: Canal
    thickness: float
    reach: float
    low: float
    high: float

    def contains(self, x: Array, y: Array, z: Array) -> Array:
        behind = y - self.canal.roof_y(x)
        inside = (behind >= 0) & (behind <= self.thickness) & (np.abs(x) <= self.reach)
        return inside & (z >= self.low) & (z <= self.high)

    @property
    def box(self) -> tuple[Array, Array]:
        front = float(self.canal.roof_y(np.array(self.reach)))
        return (
            np.array([-self.reach, front, self.low]),
            np.array([self.reach, self.canal.back + self.thickness, self.high]),
        )


@dataclass(frozen=True, eq=False)
class Bone:
    """A union of solids less what is carved, mirrored in x = 0 when `mirrored`."""

    solids: tuple[Solid, ...]
    carved: tuple[object, ...] = ()
    mirrored: bool = True

    def contains(self, x: Array, y: Array, z: Array) -> Array:
        """Whether points of the bone's frame, mm, lie in the bone."""
        if self.mirrored:
            x = np.abs(x)
        inside = np.zeros(np.broadcast_shapes(x.shape, y.shape, z.shape), dtype=bool)
        for solid in self.solids:
            inside |= solid.contains(x, y, z)
        for hole in self.carved:
            inside &= ~hole.contains(x, y, z)  # type: ignore[attr-defined]
        return inside

    def pieces(self) -> Iterator[tuple[Bone, tuple[Array, Array]]]:
        """The bone solid by solid, each in its own box: cheaper to evaluate than all in one."""
        for solid in self.solids:
            part = Bone((solid,), self.carved, self.mirrored)
            low, high = solid.box
            if self.mirrored and low[0] > 0:
                yield part, (low, high)
                left, right = np.array([-high[0], *low[1:]]), np.array([-low[0], *high[1:]])
                yield part, (left, right)
            else:
                yield part, part.box

    @property
    def box(self) -> tuple[Array, Array]:
        lows, highs = zip(*(solid.box for solid in self.solids), strict=True)
        low, high = np.min(lows, axis=0), np.max(highs, axis=0)
        if self.mirrored:
            reach = max(abs(low[0]), abs(high[0]))
            low, high = np.array([-reach, *low[1:]]), np.array([reach, *high[1:]])
        return low - 0.5, high + 0.5
