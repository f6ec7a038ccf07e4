"""Sacrum, hip bones and upper femora around the skeleton's exact S1 endplate and femoral heads."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from spine_node.phantom.shapes import Limb, Plate, ball, ellipsoid, rod, unit
from spine_node.phantom.skeleton import Skeleton

Point = NDArray[np.float64]

NEUTRAL_PT_DEG = 12.0
"""Pelvic tilt in which the hip bones' control points below are written."""

JOINT_MM = 3.0
"""Femoral head to acetabular bone."""


def warp(seed: int, amplitude_mm: float) -> Callable[[Point], Point]:
    """A smooth displacement over centimetres: no two pelves, and no two sides, are alike. Seed 0 has none."""
    if not seed:
        return lambda point: point
    rng = np.random.default_rng([seed, round(amplitude_mm * 100)])
    waves = rng.normal(0, 1 / 28, (3, 3))
    phase = rng.uniform(0, 2 * np.pi, 3)
    return lambda point: point + amplitude_mm * np.sin(waves @ point + phase)


class Sacrum:
    """The sacrum below its first endplate: fused bodies along a curve, wings, crest, canal."""

    def __init__(self, skeleton: Skeleton) -> None:
        self.s1 = skeleton.s1
        self._scale = skeleton.spec.scale
        self._warp = warp(skeleton.spec.quirk, 1.5)
        axes = self.s1.axes
        heights = np.array([29.0, 25.0, 22.0, 19.0, 17.0]) * self._scale
        turns = np.radians([0.0, 14.0, 29.0, 46.0, 64.0])
        points, frames = [self.s1.superior_mm], []
        for height, turn in zip(heights, turns, strict=True):
            # turning forward on the way down: the pelvic face is hollow
            cranial = axes[:, 2] * np.cos(turn) + axes[:, 1] * np.sin(turn)
            posterior = np.cross(cranial, axes[:, 0])
            frames.append(np.stack([axes[:, 0], posterior, cranial], axis=1))
            points.append(points[-1] - height * cranial)
        self.points, self.frames, self.heights = points, frames, heights

    def at(self, level: int, x: float, y: float, z: float) -> Point:
        """A point: left, posterior, cranial of the middle of sacral body `level` (1..5), mm at scale 1."""
        middle = (self.points[level - 1] + self.points[level]) / 2
        return self._warp(middle + self.frames[level - 1] @ (np.array([x, y, z]) * self._scale))

    def limb(
        self, level: int, start: Point, end: Point, radii: tuple[float, float, float], taper: float = 1.0
    ) -> Limb:
        """A limb whose second radius is cranial, at this person's size."""
        a, b, c = (r * self._scale for r in radii)
        return Limb(start, end, (a, b, c), self.frames[level - 1][:, 2], taper)

    def solid(self) -> list[Limb]:
        """Everything but the first body and the holes."""
        at, limb = self.at, self.limb
        parts: list[Limb] = []
        size = {2: (17.5, 10.5), 3: (14.5, 8.5), 4: (12.5, 6.5), 5: (10.0, 5.0)}
        for level, (half_width, half_depth) in size.items():
            tall = self.heights[level - 1] / self._scale / 2 + 1.5
            parts.append(
                ellipsoid(
                    at(level, 0, 0, 0),
                    self.frames[level - 1],
                    tuple(r * self._scale * 1.22 for r in (half_width, half_depth, tall)),  # type: ignore[arg-type]
                )
            )
        for s in (-1, 1):
            parts += [
                limb(1, at(1, s * 20, 4, -2), at(1, s * 42, 13, -6), (8, 9.5, 9.5), 1.25),
                limb(1, at(1, s * 22, 8, -10), at(1, s * 44, 20, -14), (8, 13, 8)),
                limb(2, at(2, s * 12, 5, 0), at(2, s * 40, 12, 0), (7, 11, 8)),
                limb(3, at(3, s * 10, 4, 0), at(3, s * 33, 9, 2), (6, 10, 5.5)),
                limb(4, at(4, s * 8, 2, 0), at(4, s * 25, 5, 2), (5, 8.5, 4.5)),
                limb(5, at(5, s * 6, 1, 2), at(5, s * 14, 2, 3), (4, 7, 4)),
                # lateral crest joins the wings
                limb(2, at(1, s * 40, 22, -14), at(3, s * 29, 11, -4), (6, 7, 6)),
                # laminae roof the sacral canal
                limb(1, at(1, s * 18, 24, -2), at(1, 0, 33, -6), (3, 9, 3)),
                limb(2, at(2, s * 15, 16, 0), at(2, 0, 24, -2), (3, 11, 3)),
                limb(3, at(3, s * 11, 11, 0), at(3, 0, 17, -1), (3, 10, 3)),
                # superior articular processes of S1
                Limb(
                    at(1, s * 19, 20, 2),
                    at(1, s * 20.5, 22, 20),
                    (4.0 * self._scale, 4.5 * self._scale, 5.5 * self._scale),
                    self.frames[0][:, 0],
                ),
            ]
        parts += [
            rod(at(1, 0, 36, -8), at(2, 0, 28, -4), 4.0 * self._scale),
            rod(at(2, 0, 28, -4), at(3, 0, 20, -4), 3.6 * self._scale),
        ]
        return parts

    def holes(self) -> list[Limb]:
        """Sacral canal and foramina, to be taken out of the solid."""
        at, scale = self.at, self._scale
        side = self.frames[0][:, 0]
        canal = [at(1, 0, 24, 16), at(1, 0, 22.5, 0), at(2, 0, 16, 0), at(3, 0, 10.5, 0), at(4, 0, 6.5, 4)]
        width = [11.5, 10.5, 8.5, 6.0]
        deep = [6.0, 5.2, 4.2, 3.0]
        parts = [
            Limb(a, b, (4 * scale, w * scale, d * scale), side)
            for a, b, w, d in zip(canal, canal[1:], width, deep, strict=False)
        ]
        for level, x, r in ((1, 23.0, 5.0), (2, 18.5, 4.6), (3, 15.0, 4.0)):
            for s in (-1, 1):
                parts.append(rod(at(level, s * (x - 3), 2, -15), at(level, s * (x + 4), -14, -17), r * scale))
        return parts

    def coccyx(self) -> list[Limb]:
        """Three small beads below S5, not part of the sacrum."""
        frame, tip = self.frames[-1], self.points[-1]
        down, front = -frame[:, 2], -frame[:, 1]
        beads = [tip + self._scale * (down * d + front * f) for d, f in ((7, 1), (15, 5), (21, 10))]
        return [ellipsoid(p, frame, (6.5 - k, 3.5, 4.5)) for k, p in enumerate(beads)]


def _pelvic_point(skeleton: Skeleton, *, bent: bool = True) -> Callable[[float, float, float, float], Point]:
    """Points of the hip bones from side (+1 left) and mm in the neutral pelvis, turned as it stands."""
    spec = skeleton.spec
    axis = skeleton.hip_axis
    centre = skeleton.s1.superior_mm
    pt = np.degrees(np.arctan2(centre[1], centre[2]))
    turn = np.radians(pt - NEUTRAL_PT_DEG)
    up = unit(np.array([0.0, 0.0, 1.0]) - axis[2] * axis)
    back = np.cross(up, axis)
    turned_up = up * np.cos(turn) + back * np.sin(turn)
    turned_back = back * np.cos(turn) - up * np.sin(turn)
    widen = spec.hip_half_width_mm / 88.0
    tall = spec.pelvic_thickness_mm / 108.0
    bend = warp(spec.quirk if bent else 0, 3.5)

    def at(side: float, x: float, y: float, z: float) -> Point:
        return bend(side * widen * x * axis + tall * (y * turned_back + z * turned_up))

    return at


def hip_bone(skeleton: Skeleton, side: str) -> tuple[list[Limb | Plate], Limb, tuple[Point, Point]]:
    """One hip bone: its parts; the ball to take out for the joint; a point and direction of its opening.

    Everything in front of the opening (within the acetabular ball) is not bone.
    """
    at = _pelvic_point(skeleton)
    s = 1.0 if side == "left" else -1.0
    centre, radius = skeleton.heads[side]
    k = radius / 23.5
    sacrum = Sacrum(skeleton)
    joint = [sacrum.at(1, s * 55, 22, -8), sacrum.at(1, s * 54, 32, -14), sacrum.at(2, s * 47, 24, -4)]
    psis = (sacrum.at(1, s * 48, 50, -14) + 2 * at(s, 47, 100, 88)) / 3
    roof = at(s, 90, 6, 36)
    crest = [
        at(s, 122, -46, 84),
        at(s, 134, -34, 112),
        at(s, 137, -8, 130),
        at(s, 128, 24, 138),
        at(s, 106, 56, 133),
        at(s, 76, 84, 116),
        psis,
    ]
    fossa = [at(s, 108, -22, 72), at(s, 112, 2, 88), at(s, 104, 28, 92), at(s, 82, 50, 86)]
    parts: list[Limb | Plate] = [rod(a, b, 5.6) for a, b in itertools.pairwise(crest)]
    for a, b in itertools.pairwise(fossa):
        parts.append(Plate(np.stack([roof, a, b]), 4.2))
    edge = [at(s, 116, -40, 62), *fossa, joint[0]]
    rim = crest
    for k_, (a, b) in enumerate(itertools.pairwise(rim)):
        inner = edge[min(k_, len(edge) - 2)], edge[min(k_ + 1, len(edge) - 1)]
        parts.append(Plate(np.stack([a, b, inner[0]]), 3.2))
        if not np.allclose(inner[0], inner[1]):
            parts.append(Plate(np.stack([b, inner[0], inner[1]]), 3.2))
    spine, line, notch = at(s, 112, -40, 58), at(s, 72, 34, 70), at(s, 70, 44, 42)
    for corners in (
        (roof, spine, fossa[0]),
        (roof, spine, at(s, 98, -26, 34)),
        (roof, line, fossa[3]),
        (roof, line, notch),
        (roof, notch, at(s, 76, 26, 18)),
        (line, notch, joint[2] + 8 * s * skeleton.hip_axis),
        (line, fossa[3], joint[0] + 7 * s * skeleton.hip_axis),
    ):
        parts.append(Plate(np.stack(corners), 4.6))
    parts += [
        # front edge down to the anterior inferior spine
        rod(crest[0], spine, 6.0),
        rod(spine, at(s, 98, -26, 34), 7.0),
        # arcuate line: roof to the sacro-iliac joint
        rod(at(s, 86, 4, 38), line, 10.0, 0.85),
        rod(line, joint[0] + 7 * s * skeleton.hip_axis, 8.5),
        rod(joint[0] + 6 * s * skeleton.hip_axis, joint[1] + 6 * s * skeleton.hip_axis, 8.0),
        rod(joint[1] + 6 * s * skeleton.hip_axis, joint[2] + 8 * s * skeleton.hip_axis, 7.0),
        rod(joint[1] + 6 * s * skeleton.hip_axis, psis, 8.5, 0.9),
        # behind the joint to the greater sciatic notch
        rod(joint[2] + 8 * s * skeleton.hip_axis, notch, 6.5),
        rod(notch, at(s, 76, 26, 18), 8.0),
        # columns before and behind the joint, and the plate on its inner side
        rod(at(s, 98, -26, 34), at(s, 74, -18, 8), 8.5),
        rod(notch, at(s, 78, 24, -10), 9.5, 1.1),
        Plate(np.stack([at(s, 66, -16, 8), at(s, 66, 20, 4), at(s, 66, 16, -22)]), 3.4),
        # pubis
        rod(at(s, 72, -14, 10), at(s, 36, -40, 4), 9.0, 0.8),
        rod(at(s, 36, -40, 4), at(s, 9, -48, -10), 7.5),
        rod(at(s, 9, -48, -10), at(s, 8, -42, -34), 6.5),
        rod(at(s, 9, -42, -34), at(s, 34, -14, -58), 5.8),
        rod(at(s, 34, -14, -58), at(s, 52, 12, -72), 7.0),
        # ischium
        rod(at(s, 78, 22, -14), at(s, 62, 24, -62), 13.0),
        rod(at(s, 62, 24, -62), at(s, 54, 14, -76), 12.0, 0.9),
        rod(at(s, 74, 32, -6), at(s, 58, 46, -6), 5.0, 0.6),
        ball(centre, radius + JOINT_MM + 7.5 * k),
    ]
    still = _pelvic_point(skeleton, bent=False)
    outward = unit(still(s, 0.78, -0.28, -0.5))
    return parts, ball(centre, radius + JOINT_MM), (centre + (0.30 * radius) * outward, outward)


def femur(skeleton: Skeleton, side: str) -> list[Limb]:
    """Neck, trochanters and shaft of one femur, without its head."""
    s = 1.0 if side == "left" else -1.0
    centre, radius = skeleton.heads[side]
    k = radius / 23.5
    axis = skeleton.hip_axis * s
    down, back = np.array([0.0, 0.0, -1.0]), np.array([0.0, 1.0, 0.0])

    def at(out: float, rear: float, low: float) -> Point:
        return np.asarray(centre + k * (out * axis + rear * back + low * down))

    return [
        rod(at(8, 0, 5), at(40, 9, 30), 14.0 * k, 1.1),
        ellipsoid(at(49, 12, 24), np.eye(3), (14 * k, 17 * k, 22 * k)),
        ellipsoid(at(26, 20, 62), np.eye(3), (9 * k, 9 * k, 12 * k)),
        rod(at(42, 10, 40), at(38, 8, 90), 17.5 * k, 0.85),
        rod(at(38, 8, 90), at(30, 2, 260), 14.5 * k),
    ]
