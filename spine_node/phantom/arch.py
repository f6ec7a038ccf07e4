"""Posterior elements: pedicles, laminae, spinous, transverse and articular processes as limbs."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from spine_node.phantom.shapes import Limb, ball, ellipsoid, rod
from spine_node.phantom.skeleton import Bone

Point = NDArray[np.float64]
Place = Callable[[float, float, float], Point]

FILLET_MM = 1.5
"""Radius of the transitions between the parts of a vertebra."""


def _place(bone: Bone) -> Place:
    """Points from a vertebra's own coordinates (left, posterior, cranial of the mid body, mm)."""
    origin, axes = bone.body.middle_mm, bone.axes
    return lambda x, y, z: np.asarray(origin + axes @ np.array([x, y, z]))


def arch(bone: Bone) -> list[Limb]:
    """The posterior elements of a vertebra, overlapping the back of its body."""
    if bone.level == "C1":
        return _atlas_behind(bone)
    parts = {"C": _cervical, "T": _thoracic, "L": _lumbar}[bone.level[0]](bone)
    return _with_quirks(parts, bone.segment.quirk)


def _with_quirks(parts: list[Limb], seed: int) -> list[Limb]:
    """No process is quite where and as thick as its mirror image."""
    if not seed:
        return parts
    rng = np.random.default_rng(seed)
    return [
        replace(
            part,
            end_mm=part.end_mm + rng.normal(0, 1.0, 3),
            radii_mm=tuple(float(r * np.exp(rng.normal(0, 0.1))) for r in part.radii_mm),  # type: ignore[arg-type]
        )
        for part in parts
    ]


def body_extras(bone: Bone) -> list[Limb]:
    """What belongs to the body besides its cylinder: the dens, the front of the atlas."""
    at, size = _place(bone), bone.segment.size
    if bone.level == "C2":
        h = size.height_mm
        return [rod(at(0, 0, 0.3 * h), at(0, -1, 0.5 * h + 15), 5.2, 0.9)]
    if bone.level == "C1":
        side = size.canal_width_mm / 2 + 4
        front = [at(-side, 4, 0), at(-10, -5, 0), at(0, -7.5, 0), at(10, -5, 0), at(side, 4, 0)]
        arc = [rod(a, b, 3.2) for a, b in itertools.pairwise(front)]
        masses = [ellipsoid(at(s * (side + 1), 6, 0), bone.axes, (7.0, 9.0, 9.5)) for s in (-1, 1)]
        return arc + masses
    return []


def _pedicles(bone: Bone, z: float, splay: float) -> list[Limb]:
    at, s, back = _place(bone), bone.segment.size, bone.body.back_mm
    half = s.pedicle_width_mm / 2
    inner = s.canal_width_mm / 2 + half
    return [
        Limb(
            at(side * (inner - splay), back - 3, z),
            at(side * inner, back + 0.45 * s.canal_depth_mm, z),
            (half, half, s.pedicle_height_mm / 2),
            bone.axes[:, 0],
        )
        for side in (-1, 1)
    ]


def _laminae(bone: Bone, *, top: float, bottom: float, thick: float) -> list[Limb]:
    """Two plates from the pedicles to the midline behind the canal."""
    at, s, back = _place(bone), bone.segment.size, bone.body.back_mm
    x = s.canal_width_mm / 2 + 0.35 * s.pedicle_width_mm
    z, tall = (top + bottom) / 2, (top - bottom) / 2
    behind = back + s.canal_depth_mm + thick / 2
    return [
        Limb(
            at(side * x, back + 0.55 * s.canal_depth_mm, z + 1.5),
            at(side * 1.0, behind, z - 1.5),
            (thick / 2, tall, thick / 2),
            bone.axes[:, 2],
        )
        for side in (-1, 1)
    ]


def _spinous(bone: Bone, z: float, *, thick: float, tip: float = 1.0) -> list[Limb]:
    """The blade behind the laminae, sloping down; its knob at the tip."""
    at, s = _place(bone), bone.segment.size
    drop = np.radians(s.spinous_drop_deg)
    start = bone.body.back_mm + s.canal_depth_mm + 2
    length = s.spinous_mm
    end = (start + length * np.cos(drop), z - length * np.sin(drop))
    return [
        Limb(
            at(0, start, z),
            at(0, *end),
            (thick, s.spinous_height_mm / 2, thick),
            bone.axes[:, 2],
            taper=0.8 * tip,
        ),
        ellipsoid(at(0, *end), bone.axes, (thick * 1.25, 3.2, s.spinous_height_mm * 0.42 * tip)),
    ]


def _lumbar(bone: Bone) -> list[Limb]:
    at, s, back = _place(bone), bone.segment.size, bone.body.back_mm
    h, reach = s.height_mm, s.height_mm + s.disc_mm
    z = 0.16 * h
    x = s.canal_width_mm / 2 + 0.6 * s.pedicle_width_mm
    y = back + 0.75 * s.canal_depth_mm
    parts = _pedicles(bone, z, splay=2.0)
    parts += _laminae(bone, top=0.16 * h, bottom=-0.52 * h, thick=6.5)
    parts += _spinous(bone, -0.24 * h, thick=3.2)
    for side in (-1, 1):
        root = at(side * (x + 1), y - 4, z - 1)
        parts += [
            Limb(root, at(side * s.span_mm, y + 3, z + 3), (4, 6.2, 3.2), bone.axes[:, 2], taper=0.62),
            # superior process holds the inferior one of the vertebra above from outside
            Limb(
                at(side * x, y - 3, z),
                at(side * (x + 1.5), y, 0.36 * reach),
                (4.0, 4.2, 6.0),
                bone.axes[:, 0],
            ),
            Limb(
                at(side * (x - 3.5), y + 4, -0.1 * h),
                at(side * (x - 5.0), y + 5, -0.62 * reach),
                (4.0, 4.0, 5.5),
                bone.axes[:, 0],
                taper=0.85,
            ),
        ]
    return parts


def _thoracic(bone: Bone) -> list[Limb]:
    at, s, back = _place(bone), bone.segment.size, bone.body.back_mm
    number = int(bone.level[1:])
    h, reach = s.height_mm, s.height_mm + s.disc_mm
    z = 0.2 * h
    x = s.canal_width_mm / 2 + 0.6 * s.pedicle_width_mm
    y = back + 0.8 * s.canal_depth_mm
    parts = _pedicles(bone, z, splay=1.0)
    parts += _laminae(bone, top=0.26 * h, bottom=-0.62 * h, thick=5.5)
    parts += _spinous(bone, -0.22 * h, thick=2.8, tip=0.85)
    back_turn = 0.75 if number < 11 else 0.35
    for side in (-1, 1):
        run = s.span_mm - x
        tip = at(side * s.span_mm, y + back_turn * run, z + 2)
        parts += [
            Limb(at(side * x, y, z), tip, (3.6, 4.8, 3.6), bone.axes[:, 2], taper=0.85),
            ball(tip, 5.0 if number < 11 else 3.8),
            Limb(
                at(side * (x - 0.5), y - 1, z),
                at(side * (x - 0.5), y + 0.5, 0.42 * reach),
                (2.8, 4.4, 2.3),
                bone.axes[:, 0],
            ),
            Limb(
                at(side * (x - 2.5), y + 5, 0),
                at(side * (x - 2.5), y + 5.8, -0.58 * reach),
                (2.8, 4.4, 2.3),
                bone.axes[:, 0],
            ),
        ]
    return parts


def _cervical(bone: Bone) -> list[Limb]:
    at, s, back = _place(bone), bone.segment.size, bone.body.back_mm
    h, reach = s.height_mm, s.height_mm + s.disc_mm
    x = s.canal_width_mm / 2 + 3.5
    y = back + 0.35 * s.canal_depth_mm
    parts = _pedicles(bone, 0.0, splay=2.5)
    parts += _laminae(bone, top=0.3 * h, bottom=-0.45 * h, thick=4.5)
    long_tail = bone.level == "C7"
    parts += _spinous(bone, -0.1 * h, thick=2.8, tip=1.0 if long_tail else 0.95)
    if bone.level in ("C2", "C3", "C4", "C5", "C6"):  # bifid tips
        drop = np.radians(s.spinous_drop_deg)
        end_y = back + s.canal_depth_mm + 2 + s.spinous_mm * np.cos(drop)
        end_z = -0.1 * h - s.spinous_mm * np.sin(drop)
        parts += [rod(at(0, end_y - 3, end_z), at(side * 4.5, end_y + 3, end_z - 2), 2.6) for side in (-1, 1)]
    for side in (-1, 1):
        parts += [
            # articular pillar, leaning back as its facets do
            Limb(
                at(side * x, y + 4.5, -0.42 * reach),
                at(side * x, y - 0.5, 0.36 * reach),
                (2.5, 5.5, 4.8),
                bone.axes[:, 0],
            ),
            Limb(
                at(side * (x - 4), back - 5, -1),
                at(side * s.span_mm, back - 1, -3),
                (3, 3.6, 3.2),
                bone.axes[:, 2],
            ),
            Limb(
                at(side * (x - 1), y, -1),
                at(side * s.span_mm, back + 1, -3),
                (2.5, 3.0, 2.8),
                bone.axes[:, 2],
            ),
        ]
    return parts


def _atlas_behind(bone: Bone) -> list[Limb]:
    at, s = _place(bone), bone.segment.size
    side = s.canal_width_mm / 2 + 4
    depth = s.canal_depth_mm
    ring = [
        at(-side, 10, 0),
        at(-0.75 * side, 0.7 * depth, 0),
        at(0, 1.0 * depth, 0),
        at(0.75 * side, 0.7 * depth, 0),
        at(side, 10, 0),
    ]
    parts = [rod(a, b, 3.0) for a, b in itertools.pairwise(ring)]
    parts += [rod(at(k * side, 6, 0), at(k * s.span_mm, 8, -1), 4.2, 0.8) for k in (-1, 1)]
    return parts
