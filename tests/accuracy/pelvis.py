"""Sacra, hip bones and femoral heads with known plates, crests and centres.

A sacrum lives in its own frame: origin at the centre of the S1 plate, Z the plate's cranial normal,
Y posterior, X left, and is symmetric in x = 0. Hip bones and heads live in the pelvic frame: origin in
the middle between the head centres, X along the hip axis to the left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tests.accuracy.bodies import Body, Plate
from tests.accuracy.frames import UP, Array, unit
from tests.accuracy.outlines import Outline
from tests.accuracy.solids import Block, Bone, Canal, Ellipsoid, Lamina, Solid


@dataclass(frozen=True, eq=False)
class Sacrum:
    """The S1 plate and the bone below it.

    `segment` is the first sacral body, whose superior plate is the S1 plate; `rest` are the alae,
    arch and tail.
    """

    segment: Body
    rest: Bone

    @property
    def plate(self) -> Plate:
        return self.segment.superior

    def contains(self, x: Array, y: Array, z: Array) -> Array:
        """Whether points of the sacral frame, mm, lie in the bone."""
        return self.segment.contains(x, y, z) | self.rest.contains(x, y, z)

    @property
    def box(self) -> tuple[Array, Array]:
        (low, high), (low2, high2) = self.segment.box, self.rest.box
        return np.minimum(low, low2), np.maximum(high, high2)


def _segment(outline: Outline, a: float, b: float, bulge: float, depth: float, narrow: float) -> Body:
    top = Plate(outline, 0.0, UP, a, b, bulge)
    return Body(top, Plate(outline, -depth, UP, a * narrow, b * narrow))


def shaped_sacrum(
    outline: Outline,
    a: float,
    b: float,
    bulge: float,
    ala_drop: float,
    ala_lean: float,
    processes: float,
    canal_ap: float,
    curve: float,
) -> Sacrum:
    """A sacrum with alae, canal, articular processes and a curved tail.

    Parameters
    ----------
    bulge : float
        Dome (+) or dish (-) of the S1 plate, mm.
    ala_drop : float
        How far the alae's tops lie below the plate, mm.
    ala_lean : float
        Lean of the alae, mm of y per mm of z.
    processes : float
        Height of the articular processes above the plate, mm.
    curve : float
        How strongly the tail is curved, 0 to 1.
    """
    segment = _segment(outline, a, b, bulge, 30.0, 0.8)
    wall = segment.back_wall(-8.0)
    hole = Canal(front=wall - 0.5, back=wall + canal_ap, width=26.0, roof=0.35 * canal_ap)
    tail: list[Solid] = []
    for k, (wide, deep) in enumerate(((30.0, 13.0), (25.0, 11.0), (20.0, 9.0), (14.0, 7.0))):
        s = (k + 1) / 4
        y = 4 + curve * (26 * s - 30 * s * s)
        tail.append(Ellipsoid((0, y, -36 - 17 * k), (wide, deep, 15.0), 2.5))
    solids: tuple[Solid, ...] = (
        Ellipsoid((a + 10, 2.0, -ala_drop - 20), (26.0, 15.0, 20.0), 3.0, lean=ala_lean),
        Ellipsoid((24.0, wall + 3, -26.0), (13.0, 12.0, 20.0), 2.5),
        Ellipsoid((19.5, wall + 0.55 * canal_ap + 3, -8.0), (5.5, 4.5, 8 + processes), 2.5),
        Lamina(hole, 5.0, 24.0, -50.0, -7.0),
        Ellipsoid((0, wall + canal_ap + 6, -30.0), (4.0, 7.0, 20.0)),
        *tail,
    )
    # The canal is carved from the arch only down to S2, and never from the S1 body.
    return Sacrum(segment, Bone(solids, (_Deep(hole, -52.0),)))


@dataclass(frozen=True, eq=False)
class _Deep:
    hole: Canal
    floor: float

    def contains(self, x: Array, y: Array, z: Array) -> Array:
        return self.hole.contains(x, y, z) & (z > self.floor)


def plain_sacrum(a: float, b: float) -> Sacrum:
    """The simplest: an elliptic slab fused to a block that narrows downwards."""
    slab = _segment(Outline(), a, b, 0.0, 10.0, 1.0)
    return Sacrum(slab, Bone((Block((0, 0, -54.0), (54.0, 0.8 * b, 45.0), taper=0.6),)))


@dataclass(frozen=True, eq=False)
class Head:
    """A femoral head: a ball about `centre`, cut where the neck leaves it, perhaps with some of the neck.

    Attributes
    ----------
    kept : float
        The ball is cut at this share of the radius along the neck; 1 keeps it whole.
    neck : float
        Length of the neck that is painted as head beyond the cut, mm; 0 for none.
    """

    centre: Array
    radius: float
    neck_direction: Array
    kept: float = 1.0
    neck: float = 0.0

    def contains(self, x: Array, y: Array, z: Array) -> Array:
        dx, dy, dz = x - self.centre[0], y - self.centre[1], z - self.centre[2]
        d = self.neck_direction
        along = dx * d[0] + dy * d[1] + dz * d[2]
        r2 = dx * dx + dy * dy + dz * dz
        inside = (r2 <= self.radius**2) & (along <= self.kept * self.radius)
        if self.neck:
            axis2 = r2 - along * along
            root = 0.8 * self.radius
            inside |= (along > 0) & (along <= root + self.neck) & (axis2 <= (0.62 * self.radius) ** 2)
        return inside

    @property
    def box(self) -> tuple[Array, Array]:
        reach = self.radius * 1.2 + self.neck + 0.5
        return self.centre - reach, self.centre + reach


@dataclass(frozen=True, eq=False)
class HipBone:
    """A wing with a known highest point, a socket and an ischium; `side` is +1 left, -1 right."""

    wing_centre: Array
    wing_turn: Array
    wing_semi: Array
    socket: Head
    side: int

    def contains(self, x: Array, y: Array, z: Array) -> Array:
        c, t = self.wing_centre, self.wing_turn
        dx, dy, dz = x - c[0], y - c[1], z - c[2]
        inside = np.zeros(np.broadcast_shapes(x.shape, y.shape, z.shape), dtype=bool)
        total = np.zeros(inside.shape, dtype=x.dtype)
        for k in range(3):
            total += ((dx * t[0, k] + dy * t[1, k] + dz * t[2, k]) / self.wing_semi[k]) ** 2
        inside |= total <= 1
        h, r = self.socket.centre, self.socket.radius
        hx, hy, hz = (x - h[0]) * self.side, y - h[1], z - h[2]
        inside |= ((hx + 4) / 30) ** 2 + ((hy + 2) / 33) ** 2 + ((hz - 8) / 36) ** 2 <= 1
        inside |= ((hx + 12) / 13) ** 2 + ((hy - 14) / 14) ** 2 + ((hz + 40) / 34) ** 2 <= 1
        free = (hx * hx + hy * hy + hz * hz < (r + 2.5) ** 2) | ((hx > -2) & (hz < 12))
        return inside & ~free

    def highest(self, up: Array) -> Array:
        """The wing's most cranial point along `up` (pelvic frame): the support point of an ellipsoid."""
        u = unit(up)
        local = self.wing_turn.T @ u * self.wing_semi
        return self.wing_centre + self.wing_turn @ (self.wing_semi * local) / np.linalg.norm(local)

    @property
    def box(self) -> tuple[Array, Array]:
        half = np.sqrt(((self.wing_turn * self.wing_semi) ** 2).sum(axis=1))
        low, high = self.wing_centre - half, self.wing_centre + half
        h = self.socket.centre
        return np.minimum(low, h - np.array([36, 38, 78])) - 0.5, np.maximum(
            high, h + np.array([36, 38, 46])
        ) + 0.5
