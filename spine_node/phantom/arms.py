"""Arms as people hold them in a standing scanner: hanging, raised, or with the hands on a bar."""

from __future__ import annotations

from typing import Literal

import numpy as np

from spine_node.phantom.drawing import Solid
from spine_node.phantom.shapes import Limb, Point, ball, ellipsoid, rod, unit
from spine_node.phantom.skeleton import Skeleton

ArmPosture = Literal["hanging", "raised", "bar"]

_DIRECTIONS: dict[ArmPosture, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "hanging": ((0.06, 0.0, -1.0), (0.03, -0.2, -1.0)),
    "raised": ((0.35, -0.15, 0.9), (-0.5, -0.2, 0.85)),
    "bar": ((0.12, -0.75, -0.6), (-0.25, -0.85, 0.45)),
}
"""Upper arm and forearm of the left side: left, posterior, cranial."""

UPPER_MM, FORE_MM = 300.0, 250.0
"""Lengths of upper arm and forearm at scale 1."""


class Arm:
    """One arm: where its joints are.

    Attributes
    ----------
    shoulder, elbow, hand : ndarray, shape (3,)
        Patient frame, mm.
    """

    def __init__(self, skeleton: Skeleton, posture: ArmPosture, side: float) -> None:
        k = skeleton.spec.scale
        t2 = next(b for b in skeleton.bones if b.level == "T2").body.middle_mm
        mirror = np.array([side, 1.0, 1.0])
        upper, fore = (unit(np.array(d) * mirror) for d in _DIRECTIONS[posture])
        self.scale = k
        self.shoulder: Point = t2 + np.array([side * (138 * k + 20), 18 * k - 6, -20.0])
        self.elbow: Point = self.shoulder + UPPER_MM * k * upper
        self.hand: Point = self.elbow + FORE_MM * k * fore

    def bones(self) -> list[Limb]:
        """Humerus, radius, ulna."""
        k = self.scale
        apart = np.array([0.0, 9.0 * k, 0.0])
        return [
            ellipsoid(self.shoulder, np.eye(3), (23.0 * k, 23.0 * k, 23.0 * k)),
            rod(self.shoulder, self.elbow, 12.5 * k, 0.9),
            rod(self.elbow + apart, self.hand + apart, 7.0 * k),
            rod(self.elbow - apart, self.hand - apart, 6.0 * k, 1.2),
        ]

    def flesh(self, girth: float, fat_mm: float) -> list[Limb]:
        """What holds the skin of the arm."""
        k = self.scale * girth
        more = min(0.3 * fat_mm, 10.0)
        return [
            ball(self.shoulder, 48 * k + more),
            rod(self.shoulder, self.elbow, 44 * k + more, 0.85),
            rod(self.elbow, self.hand, 37 * k + more, 0.75),
            ball(self.hand, 38 * k),
        ]


def arms(skeleton: Skeleton, posture: ArmPosture) -> list[Arm]:
    """The left and the right arm."""
    return [Arm(skeleton, posture, side) for side in (1.0, -1.0)]


def arm_bones(skeleton: Skeleton, posture: ArmPosture) -> list[Solid]:
    """Bones of both arms, seen but not labelled."""
    return [Solid.of([bone], 0, "other_bone", 1.5) for arm in arms(skeleton, posture) for bone in arm.bones()]
