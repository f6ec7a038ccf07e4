"""Every bone drawn on a grid: which structure each voxel is, and how deep inside bone it lies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spine_node.anatomy import levels
from spine_node.phantom import arch, pelvis, thorax
from spine_node.phantom.body import Body
from spine_node.phantom.lattice import Field, Lattice
from spine_node.phantom.shapes import Limb, Plate, bounds, smooth_min, union
from spine_node.phantom.skeleton import Bone, Skeleton

SEMANTIC: dict[str, int] = {
    "background": 0,
    "body": 1,
    "arch": 2,
    "sacrum": 3,
    "hip": 4,
    "femoral_head": 5,
    "other_bone": 6,
    "disc": 7,
    "canal": 8,
}
"""Kind of tissue per voxel, beside the label map: what a network may learn in addition."""

FAR_MM = 12.0
"""Distances to bone are not followed further than this."""

MARGIN_MM = 4.0
"""How far around a bone its distance is needed (partial volume, blur)."""


@dataclass(frozen=True, slots=True, eq=False)
class Drawing:
    """What the bones look like on a block of voxels, all of one shape.

    Attributes
    ----------
    labels : ndarray of uint8
        Values of `anatomy.levels`.
    semantic : ndarray of uint8
        Values of `SEMANTIC`.
    depth_mm : ndarray of float32
        Signed distance to the nearest bone surface, negative inside.
    kind : ndarray of uint8
        `SEMANTIC` value of that nearest bone, inside and close to it.
    """

    labels: NDArray[np.uint8]
    semantic: NDArray[np.uint8]
    depth_mm: Field
    kind: NDArray[np.uint8]


def draw(skeleton: Skeleton, at: Lattice) -> Drawing:
    """Draw all bones, discs and the canal on a block of voxels."""
    out = Drawing(
        np.zeros(at.shape, np.uint8),
        np.zeros(at.shape, np.uint8),
        np.full(at.shape, FAR_MM, np.float32),
        np.zeros(at.shape, np.uint8),
    )
    for k, bone in enumerate(skeleton.bones):
        _draw_vertebra(out, skeleton.bones, k, bone, at)
    _draw_sacrum(out, skeleton, at)
    for side, head, hip in (
        ("left", levels.FEMORAL_HEAD_LEFT, levels.HIP_LEFT),
        ("right", levels.FEMORAL_HEAD_RIGHT, levels.HIP_RIGHT),
    ):
        _draw_hip(out, skeleton, side, hip, at)
        centre, radius = skeleton.heads[side]
        _merge(out, [pelvis.ball(centre, radius)], at, head, SEMANTIC["femoral_head"], fillet_mm=0.5)
        _merge(out, pelvis.femur(skeleton, side), at, 0, SEMANTIC["other_bone"], fillet_mm=3.0)
    _merge(out, pelvis.Sacrum(skeleton).coccyx(), at, 0, SEMANTIC["other_bone"], fillet_mm=1.0)
    ribs = thorax.ribs(skeleton)
    for start in range(0, len(ribs), 16):
        _merge(out, ribs[start : start + 16], at, 0, SEMANTIC["other_bone"], fillet_mm=1.0)
    for part in thorax.shoulder_and_sternum(skeleton):
        _merge(out, [part], at, 0, SEMANTIC["other_bone"], fillet_mm=1.5)
    _draw_skull(out, skeleton, at)
    _draw_discs(out, skeleton, at)
    return out


def bone_mass(skeleton: Skeleton, at: Lattice) -> Field:
    """Roughly how much bone lies about each voxel of a coarse lattice, mm3: for shading, not for drawing."""
    parts: list[Limb | Plate] = [
        limb for b in skeleton.bones for limb in (*arch.arch(b), *arch.body_extras(b))
    ]
    parts += [*pelvis.Sacrum(skeleton).solid(), *thorax.ribs(skeleton)]
    for side in skeleton.heads:
        parts += [*pelvis.hip_bone(skeleton, side)[0][:-1], *pelvis.femur(skeleton, side)]
    points = [np.mean(part.box(), axis=0) for part in parts]
    mass = [part.volume_mm3() for part in parts]
    for body in (skeleton.s1, *(b.body for b in skeleton.bones)):
        points.append(body.middle_mm)
        mass.append(np.pi * body.half_width_mm[0] * body.half_depth_mm[0] * body.height_mm)
    for centre, radius in skeleton.heads.values():
        points.append(centre)
        mass.append(4 / 3 * np.pi * radius**3)
    assert at.to_index is not None
    index = np.round((np.array(points) - at.affine[:3, 3]) @ at.to_index.T).astype(int)
    inside = ((index >= 0) & (index < at.shape)).all(axis=1)
    out = np.zeros(at.shape, np.float32)
    np.add.at(out, tuple(index[inside].T), np.array(mass, np.float32)[inside])
    return out


def _blend(
    out: Drawing,
    where: tuple[slice, slice, slice],
    d: Field,
    label: NDArray[np.uint8] | int,
    kind: NDArray[np.uint8] | int,
) -> None:
    """Let a bone take the voxels that are deeper in it than in any bone before."""
    depth = out.depth_mm[where]
    closer = d < depth
    inside = closer & (d < 0)
    np.minimum(depth, d, out=depth)
    for target, value, mask in (
        (out.kind, kind, closer),
        (out.labels, label, inside),
        (out.semantic, kind, inside),
    ):
        block = target[where]
        block[mask] = value[mask] if isinstance(value, np.ndarray) else value


def _merge(
    out: Drawing,
    parts: list[Limb] | list[Limb | Plate] | list[Plate],
    at: Lattice,
    label: int,
    kind: int,
    *,
    fillet_mm: float,
) -> None:
    where = at.around(*bounds(parts, MARGIN_MM))
    if where is None:
        return
    d = union(parts, at.block(where), fillet_mm, FAR_MM)
    if label == 0:  # what is not labelled never eats into what is
        labelled = out.labels[where] > 0
        d = np.where(labelled, np.maximum(d, np.float32(0.01)), d)
    _blend(out, where, d, label, kind)


def _draw_vertebra(out: Drawing, bones: tuple[Bone, ...], k: int, bone: Bone, at: Lattice) -> None:
    behind = arch.arch(bone)
    extras = arch.body_extras(bone)
    low, high = bounds([*behind, *extras], MARGIN_MM)
    body_low, body_high = bone.body.box()
    where = at.around(np.minimum(low, body_low - MARGIN_MM), np.maximum(high, body_high + MARGIN_MM))
    if where is None:
        return
    block = at.block(where)
    front = np.full(block.shape, FAR_MM, np.float32)
    if bone.level != "C1":
        inner = block.around(body_low - MARGIN_MM, body_high + MARGIN_MM)
        if inner is not None:
            front[inner] = bone.body.distance(block.block(inner))
    if extras:
        front = smooth_min(front, union(extras, block, arch.FILLET_MM, FAR_MM), 1.0)
    back = union(behind, block, arch.FILLET_MM, FAR_MM)
    for hole in canal_limbs(bones, k):
        inner = block.around(*(c + s * 2.0 for c, s in zip(hole.box(), (-1, 1), strict=True)))
        if inner is not None:
            back[inner] = np.maximum(back[inner], -hole.distance(block.block(inner)))
    # the fillet between arch and body belongs to the arch: the body keeps its exact shape
    whole = np.minimum(front, smooth_min(front, back, arch.FILLET_MM))
    is_body = front < 0
    level = levels.VERTEBRA_VALUES[bone.level]
    label = np.where(is_body, np.uint8(level), np.uint8(level + levels.POSTERIOR_OFFSET))
    nearer_body = front <= back
    kind = np.where(nearer_body, np.uint8(SEMANTIC["body"]), np.uint8(SEMANTIC["arch"]))
    kind[is_body] = SEMANTIC["body"]
    kind[(whole < 0) & ~is_body] = SEMANTIC["arch"]
    _blend(out, where, whole, label, kind)


def canal_limbs(bones: tuple[Bone, ...], k: int) -> list[Limb]:
    """The spinal canal from half-way to the vertebra above to half-way to the one below."""
    bone = bones[k]
    size = bone.segment.size
    limbs = []
    for other in (k - 1, k + 1):
        if 0 <= other < len(bones):
            end = (bone.canal_mm + bones[other].canal_mm) / 2
        else:
            end = bone.canal_mm + bone.axes[:, 2] * (16 if other < k else -size.height_mm / 2 - size.disc_mm)
        radii = (1.0, 0.5 * size.canal_width_mm, 0.5 * size.canal_depth_mm)
        limbs.append(Limb(bone.canal_mm, end, radii, bone.axes[:, 0]))
    return limbs


def _draw_sacrum(out: Drawing, skeleton: Skeleton, at: Lattice) -> None:
    sacrum = pelvis.Sacrum(skeleton)
    solid, holes = sacrum.solid(), sacrum.holes()
    low, high = bounds(solid, MARGIN_MM)
    body_low, body_high = skeleton.s1.box()
    where = at.around(np.minimum(low, body_low), np.maximum(high, body_high))
    if where is None:
        return
    block = at.block(where)
    d = union(solid, block, 2.5, FAR_MM)
    above = block.along(skeleton.s1.superior_normal, skeleton.s1.superior_mm)
    # nothing of the wings reaches over the plane of the endplate in front of the articular processes
    y = block.along(skeleton.s1.axes[:, 1], skeleton.s1.superior_mm)
    front = y < np.float32(skeleton.s1.half_depth_mm[1])
    d[front] = np.maximum(d, above + np.float32(1.5))[front]
    d = smooth_min(d, skeleton.s1.distance(block), 1.5)
    d[front] = np.maximum(d, _plate(skeleton.s1, block, above))[front]
    for hole in holes:
        inner = block.around(*(c + s * 2.0 for c, s in zip(hole.box(), (-1, 1), strict=True)))
        if inner is not None:
            d[inner] = np.maximum(d[inner], -hole.distance(block.block(inner)))
    _blend(out, where, d, levels.SACRUM, SEMANTIC["sacrum"])


def _plate(s1: Body, block: Lattice, above: Field) -> Field:
    """Distance over the S1 endplate's own dished surface; the plane itself outside its outline."""
    return np.maximum(above, np.minimum(s1.distance(block), above + np.float32(2.0)))


def _draw_hip(out: Drawing, skeleton: Skeleton, side: str, label: int, at: Lattice) -> None:
    parts, joint, (point, outward) = pelvis.hip_bone(skeleton, side)
    where = at.around(*bounds(parts, MARGIN_MM))
    if where is None:
        return
    block = at.block(where)
    cup = parts[-1]
    d = union(parts[:-1], block, 3.0, FAR_MM)
    inner = block.around(*(c + s * 4.0 for c, s in zip(cup.box(), (-1, 1), strict=True)))
    if inner is not None:
        near = block.block(inner)
        opening = near.along(outward, point)
        d[inner] = smooth_min(d[inner], np.maximum(cup.distance(near), opening), 2.0)
        d[inner] = np.maximum(d[inner], -joint.distance(near))
    sacral = out.labels[where] == levels.SACRUM
    # the sacro-iliac joint: a gap of about two millimetres
    gap = np.where(
        out.kind[where] == SEMANTIC["sacrum"], np.float32(2.2) - out.depth_mm[where], np.float32(-FAR_MM)
    )
    d = np.maximum(d, gap)
    d[sacral] = np.maximum(d[sacral], np.float32(0.5))
    _blend(out, where, d, label, SEMANTIC["hip"])


def _draw_skull(out: Drawing, skeleton: Skeleton, at: Lattice) -> None:
    if skeleton.bones[0].level != "C1":
        return
    solid, hole = thorax.skull(skeleton)
    where = at.around(*bounds(solid, MARGIN_MM))
    if where is None:
        return
    block = at.block(where)
    d = union(solid, block, 2.0, FAR_MM)
    d = np.maximum(d, -hole.distance(block))
    labelled = out.labels[where] > 0
    d[labelled] = np.maximum(d[labelled], np.float32(0.01))
    _blend(out, where, d, 0, SEMANTIC["other_bone"])


def _draw_discs(out: Drawing, skeleton: Skeleton, at: Lattice) -> None:
    """Discs between endplates and the canal behind them, in the semantic map only."""
    bones = skeleton.bones
    for k, bone in enumerate(bones):
        for limb in canal_limbs(bones, k):
            where = at.around(*limb.box())
            if where is not None:
                free = (limb.distance(at.block(where)) < 0) & (out.semantic[where] == 0)
                out.semantic[where][free] = SEMANTIC["canal"]
        if bone.level == "C1":
            continue
        below = bones[k + 1].body if k + 1 < len(bones) else skeleton.s1
        disc = disc_between(bone.body, below)
        where = at.around(*disc.box())
        if where is not None:
            free = (disc.distance(at.block(where)) < 0) & (out.semantic[where] == 0)
            out.semantic[where][free] = SEMANTIC["disc"]


def disc_between(upper: Body, lower: Body) -> Body:
    """The disc as a body of its own, bulging by a fiftieth."""
    cranial = upper.inferior_mm - lower.superior_mm
    cranial = cranial / np.linalg.norm(cranial)
    left = upper.axes[:, 0] - (upper.axes[:, 0] @ cranial) * cranial
    left /= np.linalg.norm(left)
    axes = np.stack([left, np.cross(cranial, left), cranial], axis=1)
    return Body(
        superior_mm=upper.inferior_mm,
        inferior_mm=lower.superior_mm,
        superior_normal=upper.inferior_normal,
        inferior_normal=lower.superior_normal,
        axes=axes,
        half_width_mm=(lower.half_width_mm[1], upper.half_width_mm[0]),
        half_depth_mm=(lower.half_depth_mm[1], upper.half_depth_mm[0]),
        waist=-0.02,
        concavity_mm=(-lower.concavity_mm[1], -upper.concavity_mm[0]),
        outline=upper.outline,
    )
