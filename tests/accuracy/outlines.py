"""Outlines of vertebral plates: ellipse, superellipse, kidney, with their centroids and chords.

An outline is a unit shape (half width and half depth 1) with its centroid at the origin, stretched by
the half width `a` and half depth `b` in mm. +y is posterior.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from tests.accuracy.frames import Array


@dataclass(frozen=True, eq=False)
class Outline:
    """|x|^n + |y|^n <= 1, with the back pushed in by `dent` half depths at the midline.

    Attributes
    ----------
    power : float
        2 for an ellipse, 2.5 to 3.5 for the squarer bodies.
    dent : float
        0.05 to 0.12 flattens the posterior wall, more makes it concave.
    """

    power: float = 2.0
    dent: float = 0.0
    shift: float = field(init=False, default=0.0)
    """Where the centroid lies in the shape's own coordinates, along y."""
    area: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        _, y, w = self._raw_nodes()
        object.__setattr__(self, "area", float(w.sum()))
        object.__setattr__(self, "shift", float((w * y).sum() / w.sum()))

    def _back(self, x: Array) -> Array:
        inside = np.clip(1 - np.abs(x) ** self.power, 0, None) ** (1 / self.power)
        if not self.dent:
            return inside
        return inside - self.dent * np.clip(1 - x * x, 0, None) ** 2

    def _front(self, x: Array) -> Array:
        return -(np.clip(1 - np.abs(x) ** self.power, 0, None) ** (1 / self.power))

    def _raw_nodes(self, across: int = 48, along: int = 32) -> tuple[Array, Array, Array]:
        # x = sin(pi/2 u^..) clusters at the ends, where the wall stands upright
        u, wu = np.polynomial.legendre.leggauss(across)
        v, wv = np.polynomial.legendre.leggauss(along)
        x = np.sin(np.pi / 2 * u)
        wx = wu * np.pi / 2 * np.cos(np.pi / 2 * u)
        low, high = self._front(x), self._back(x)
        half = (high - low) / 2
        y = (high + low)[:, None] / 2 + half[:, None] * v
        return np.repeat(x, along), y.ravel(), (wx[:, None] * half[:, None] * wv).ravel()

    def nodes(self) -> tuple[Array, Array, Array]:
        """Points x, y of the unit shape about its centroid, and quadrature weights of its area."""
        x, y, w = self._raw_nodes()
        return x, y - self.shift, w

    def contains(self, x: Array, y: Array) -> Array:
        """Whether points of the unit shape, given about its centroid, lie inside."""
        y = y + np.asarray(self.shift, dtype=y.dtype)
        ax = np.abs(x)
        ellipse = self.power == 2
        inside = ax * ax + y * y <= 1 if ellipse else ax**self.power + np.abs(y) ** self.power <= 1
        if self.dent:
            inside &= y <= self._back(x)
        return inside

    def gauge(self, x: Array, y: Array) -> Array:
        """0 at the middle of the undented shape, 1 on its rim; for dishes and domes."""
        y = np.abs(y + np.asarray(self.shift, dtype=y.dtype))
        return (np.abs(x) ** self.power + y**self.power) ** (1 / self.power)

    def reach(self, x: ArrayLike, y: ArrayLike) -> Array:
        """How many times each vector (x, y) fits between the centroid and the outline."""
        x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
        low, high = np.zeros(x.shape), 4.0 / np.hypot(x, y)
        for _ in range(50):
            middle = (low + high) / 2
            inside = self.contains(x * middle, y * middle)
            low, high = np.where(inside, middle, low), np.where(inside, high, middle)
        return (low + high) / 2
