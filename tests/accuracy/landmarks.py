"""Exact landmarks of a skeleton in its patient frame P: plates, edges, axes, centroids, head centres.

P: z against gravity, x the horizontal part of right to left femoral head centre, y = z x x; origin in
the middle between the head centres. All mm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tests.accuracy.bodies import Body, Plate
from tests.accuracy.frames import Array, across, unit
from tests.accuracy.skeleton import Placed, Skeleton


@dataclass(frozen=True, eq=False)
class PlateMarks:
    """One plate in P: its plane, its edges, and its surface for the heights.

    `back` and `left` are the directions of the chords, in the plane.
    """

    centre: Array
    normal: Array
    back: Array
    left: Array
    anterior_edge: Array
    posterior_edge: Array
    left_edge: Array
    right_edge: Array
    plate: Plate
    turn: Array
    origin: Array

    @property
    def width(self) -> float:
        return float(np.linalg.norm(self.left_edge - self.right_edge))

    @property
    def depth(self) -> float:
        return float(np.linalg.norm(self.posterior_edge - self.anterior_edge))

    def height_along(self, start: Array, direction: Array) -> float:
        """How far the surface lies from `start` along the unit `direction`, mm."""
        p, d = (start - self.origin) @ self.turn, direction @ self.turn
        low, high = -60.0, 60.0
        sign = np.sign(d[2])
        for _ in range(60):
            s = (low + high) / 2
            x, y, z = p + s * d
            above = z - self.plate.surface(np.array([x]), np.array([y]))[0]
            low, high = (low, s) if sign * above > 0 else (s, high)
        return (low + high) / 2


@dataclass(frozen=True, eq=False)
class VertebraMarks:
    """One vertebra in P. `axes` are the columns X, Y, Z of V; C2 has no superior plate."""

    level: str
    axes: Array
    inferior: PlateMarks
    superior: PlateMarks | None
    centroid: Array
    body: Body
    origin: Array


@dataclass(frozen=True, eq=False)
class Marks:
    """All landmarks of one person in P; `frame` and `origin` lead back: world = frame @ p + origin."""

    frame: Array
    origin: Array
    vertebrae: dict[str, VertebraMarks]
    s1: PlateMarks
    heads: dict[str, Array]
    crests: dict[str, Array]
    dens_tip: Array

    def world(self, point: Array) -> Array:
        """P mm to scanner mm."""
        return self.frame @ point + self.origin


def _plate(placed: Placed, plate: Plate, back: Array, left: Array) -> PlateMarks:
    def edge(direction: Array) -> Array:
        return placed.out(plate.edge(placed.turn.T @ direction))

    normal = placed.turn @ plate.normal
    return PlateMarks(
        centre=placed.out(plate.centre),
        normal=normal,
        back=across(back, normal),
        left=across(left, normal),
        anterior_edge=edge(-back),
        posterior_edge=edge(back),
        left_edge=edge(left),
        right_edge=edge(-left),
        plate=plate,
        turn=placed.turn,
        origin=placed.origin,
    )


def marks(skeleton: Skeleton) -> Marks:
    """The landmarks of a skeleton wherever it stands."""
    centres = {side: part.out(part.shape.centre) for side, part in skeleton.heads.items()}  # type: ignore[union-attr]
    origin = (centres["left"] + centres["right"]) / 2
    x = across(centres["left"] - centres["right"], skeleton.up)
    frame = np.column_stack([x, np.cross(skeleton.up, x), skeleton.up])
    # everything below is in P
    here = skeleton.moved(frame.T, -frame.T @ origin)
    vertebrae = {}
    for level, placed in here.bodies.items():
        body = placed.shape
        assert isinstance(body, Body)
        back, left = placed.turn[:, 1], placed.turn[:, 0]
        vertebrae[level] = VertebraMarks(
            level,
            placed.turn,
            _plate(placed, body.inferior, back, left),
            None if level == "C2" else _plate(placed, body.superior, back, left),
            placed.out(body.centroid),
            body,
            placed.origin,
        )
    normal = here.sacrum.turn[:, 2]
    back = across(np.array([0.0, 1.0, 0.0]), normal)
    up = np.array([0.0, 0.0, 1.0])
    return Marks(
        frame=frame,
        origin=origin,
        vertebrae=vertebrae,
        s1=_plate(here.sacrum, here.sacrum.shape.plate, back, unit(np.cross(back, normal))),  # type: ignore[union-attr]
        heads={side: part.out(part.shape.centre) for side, part in here.heads.items()},  # type: ignore[union-attr]
        crests={
            side: part.out(part.shape.highest(part.turn.T @ up))  # type: ignore[union-attr]
            for side, part in here.hips.items()
        },
        dens_tip=here.bodies["C2"].out(here.bodies["C2"].shape.dens_tip),  # type: ignore[union-attr]
    )
