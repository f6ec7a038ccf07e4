"""Bones that are seen but not labelled: ribs, sternum, shoulder girdle, skull."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from spine_node.phantom.shapes import Limb, Plate, ellipsoid, rod
from spine_node.phantom.skeleton import Bone, Skeleton

Point = NDArray[np.float64]

RIB_REACH = {
    1: 60,
    2: 84,
    3: 102,
    4: 114,
    5: 122,
    6: 127,
    7: 130,
    8: 130,
    9: 127,
    10: 120,
    11: 108,
    12: 88,
    13: 70,
}
"""Widest distance of a rib from the midline, mm, at scale 1."""


def ribs(skeleton: Skeleton) -> list[Limb]:
    """Arcs from the costovertebral joints round the chest, sloping down; the floating ones end early."""
    parts: list[Limb] = []
    for bone in skeleton.bones:
        if bone.level[0] == "T":
            for side in (-1.0, 1.0):
                parts += _rib(bone, side, skeleton.spec.scale)
    return parts


def _rib(bone: Bone, side: float, scale: float) -> list[Limb]:
    number = int(bone.level[1:])
    X, Y, Z = bone.axes.T
    # the chest turns with the vertebra but stays closer to upright than it does
    left = X
    down = -(0.35 * Z + 0.65 * np.array([0.0, 0.0, 1.0]))
    down /= np.linalg.norm(down)
    size = bone.segment.size
    head = bone.body.middle_mm + side * X * (size.width_mm / 2 + 2) + Y * (bone.body.back_mm - 2)
    # T2 to T9 share their rib with the disc above
    head = head + Z * ({1: 0.25, 10: 0.3, 11: 0.1, 12: 0.05, 13: 0.0}.get(number, 0.45) * size.height_mm)
    reach = RIB_REACH[number] * scale
    depth = reach * (0.80 if number > 2 else 0.72)
    slope = np.radians(22 if number > 2 else 14)
    last = {11: 0.42, 12: 0.28, 13: 0.2}.get(number, 0.80 if number > 1 else 0.85)
    angle = np.linspace(-0.38, last, 15) * np.pi
    centre_y = -0.62 * depth + 20 * scale
    path: list[Point] = [head]
    for a in angle:
        x = reach * np.cos(a * 0.97)
        y = centre_y - depth * np.sin(a) * (0.86 if a > 0 else 0.82)
        fall = (a - angle[0]) / np.pi * reach * 1.5 * np.tan(slope)
        point = bone.body.middle_mm + side * left * x + Y * y + down * fall
        path.append(point)
    # neck of the rib runs behind the transverse process before it swings out
    path.insert(1, head + side * X * 12 * scale + Y * 11 * scale)
    radius = 3.4 * scale
    return [
        Limb(a, b, (radius, 5.6 * scale if k > 1 else 3.6 * scale, radius * 0.8), down)
        for k, (a, b) in enumerate(itertools.pairwise(path))
    ]


def shoulder_and_sternum(skeleton: Skeleton) -> list[Limb | Plate]:
    """Sternum, clavicles, shoulder blades: plates and rods hung on the upper thoracic vertebrae."""
    by_level = {bone.level: bone for bone in skeleton.bones}
    t2, t7 = by_level["T2"].body.middle_mm, by_level["T7"].body.middle_mm
    k = skeleton.spec.scale
    front = np.array([0.0, -1.0, 0.0])
    notch = t2 + front * 62 * k + np.array([0, 0, -12.0])
    low = np.array([t7[0], t7[1] - 128 * k, t7[2] - 25])
    side = np.array([1.0, 0, 0])
    parts: list[Limb | Plate] = [
        Limb(notch, notch + (low - notch) * 0.3, (5, 22 * k, 5.5), side, 0.8),
        Limb(notch + (low - notch) * 0.32, low, (5, 15 * k, 5.0), side),
    ]
    for s in (-1.0, 1.0):
        inner = notch + s * side * 24 * k + np.array([0, 0, 8.0])
        outer = t2 + np.array([s * 150 * k, -5 * k, 12.0])
        bend = (inner + outer) / 2 + np.array([0, -8.0, 4.0])
        top = t2 + np.array([s * 78 * k, 52 * k, 5.0])
        tip = t7 + np.array([s * 78 * k, 62 * k, -10.0])
        socket = t2 + np.array([s * 138 * k, 18 * k, -22.0])
        parts += [
            rod(inner, bend, 6.0),
            rod(bend, outer, 5.5),
            Plate(np.stack([top, tip, socket]), 2.4),
            rod(top, tip, 3.6),
            rod(tip, socket, 5.0),
            rod(top + np.array([0, 6.0, -30.0]), socket + np.array([s * 8, 12.0, 22.0]), 4.5),
        ]
    return parts


def skull(skeleton: Skeleton) -> tuple[list[Limb], Limb]:
    """Head bones around a brain-sized hole: solid parts, and what is taken out of the vault."""
    top = skeleton.bones[0]
    base = top.body.middle_mm + top.axes @ np.array([0.0, 8.0, 14.0])
    k = skeleton.spec.scale
    vault = base + np.array([0.0, -12.0 * k, 68 * k])
    chin = base + np.array([0.0, -88.0 * k, -34 * k])
    solid = [ellipsoid(vault, np.eye(3), (76 * k, 92 * k, 72 * k))]
    for s in (-1.0, 1.0):
        angle = base + np.array([s * 46.0 * k, -28 * k, -18 * k])
        solid += [
            rod(angle, chin + np.array([s * 10.0, 6, 0]), 7.0),
            rod(angle, angle + np.array([s * 4, 10, 52.0]), 6),
        ]
    solid.append(ellipsoid(base + np.array([0, -66.0 * k, 14 * k]), np.eye(3), (34 * k, 26 * k, 30 * k)))
    return solid, ellipsoid(vault, np.eye(3), (69 * k, 85 * k, 65 * k))
