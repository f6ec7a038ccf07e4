"""Every bone drawn on a grid: which structure each voxel is, and how deep inside bone it lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from spine_node.anatomy import levels
from spine_node.phantom import arch, pelvis, thorax
from spine_node.phantom.body import Body
from spine_node.phantom.lattice import Field, Lattice, Slices
from spine_node.phantom.shapes import Limb, Plate, Point, bounds, fillet_, smooth_min, union
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
    labels : tensor of uint8
        Values of `anatomy.levels`.
    semantic : tensor of uint8
        Values of `SEMANTIC`.
    depth_mm : tensor of float32
        Signed distance to the nearest bone surface, negative inside.
    kind : tensor of uint8
        `SEMANTIC` value of that nearest bone, inside and close to it.
    """

    labels: torch.Tensor
    semantic: torch.Tensor
    depth_mm: Field
    kind: torch.Tensor


def draw(skeleton: Skeleton, at: Lattice) -> Drawing:
    """Draw all bones, discs and the canal on a block of voxels."""
    labels, semantic, kind = torch.zeros((3, *at.shape), dtype=torch.uint8, device=at.device).unbind(0)
    out = Drawing(labels, semantic, at.full(FAR_MM), kind)
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
    return torch.from_numpy(out).to(at.device)


def _blend(
    out: Drawing,
    where: Slices,
    d: Field,
    label: torch.Tensor | int,
    kind: torch.Tensor | int,
) -> None:
    """Let a bone take the voxels that are deeper in it than in any bone before."""
    depth = out.depth_mm[where]
    closer = d < depth
    inside = closer & (d < 0)
    torch.minimum(depth, d, out=depth)
    for target, value, mask in (
        (out.kind, kind, closer),
        (out.labels, label, inside),
        (out.semantic, kind, inside),
    ):
        block = target[where]
        if isinstance(value, int):
            block.masked_fill_(mask, value)
        else:
            block.copy_(torch.where(mask, value, block))


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
        d = torch.where(out.labels[where] > 0, d.clamp_min(0.01), d)
    _blend(out, where, d, label, kind)


class Template(Protocol):
    """A vertebra's shape from elsewhere (a mesh, a labelled scan), in place of the analytic one."""

    def box(self, bone: Bone) -> tuple[Point, Point]:
        """Two corners of a box in mm, patient frame, that holds the vertebra."""
        ...

    def distances(self, bone: Bone, block: Lattice) -> tuple[Field, Field]:
        """Signed distances, mm, of the body and of the posterior elements at each voxel of `block`."""
        ...


def _draw_vertebra(out: Drawing, bones: tuple[Bone, ...], k: int, bone: Bone, at: Lattice) -> None:
    low, high = bone.template.box(bone) if bone.template else _box(bone)
    where = at.around(low - MARGIN_MM, high + MARGIN_MM)
    if where is None:
        return
    block = at.block(where)
    if bone.template:
        front, back = bone.template.distances(bone, block)
    else:
        front, back = _distances(bones, k, block)
    # the fillet between arch and body belongs to the arch: the body keeps its exact shape
    whole = torch.minimum(front, smooth_min(front, back, arch.FILLET_MM))
    body, behind = SEMANTIC["body"], SEMANTIC["arch"]
    level = levels.VERTEBRA_VALUES[bone.level]
    is_body = front < 0
    label = torch.where(is_body, level, level + levels.POSTERIOR_OFFSET).to(torch.uint8)
    # within bone what is not body is arch; outside, the nearer of the two
    nearer_body = is_body | ((front <= back) & (whole >= 0))
    _blend(out, where, whole, label, torch.where(nearer_body, body, behind).to(torch.uint8))


def _box(bone: Bone) -> tuple[Point, Point]:
    low, high = bounds([*arch.arch(bone), *arch.body_extras(bone)], 0.0)
    body_low, body_high = bone.body.box()
    return np.minimum(low, body_low), np.maximum(high, body_high)


def _distances(bones: tuple[Bone, ...], k: int, block: Lattice) -> tuple[Field, Field]:
    """Of an analytic vertebra: signed distances of its body, of its posterior elements."""
    bone = bones[k]
    extras = arch.body_extras(bone)
    front = block.full(FAR_MM)
    low, high = bone.body.box()
    inner = block.around(low - MARGIN_MM, high + MARGIN_MM)
    if bone.level != "C1" and inner is not None:
        front[inner] = bone.body.distance(block.block(inner))
    if extras:
        fillet_(front, union(extras, block, arch.FILLET_MM, FAR_MM), 1.0)
    back = union(arch.arch(bone), block, arch.FILLET_MM, FAR_MM)
    for hole in canal_limbs(bones, k):
        _take_out(back, hole, block, 2.0)
    return front, back


def _take_out(d: Field, hole: Limb, block: Lattice, margin_mm: float) -> None:
    """Remove a hole from a solid, in place."""
    low, high = hole.box()
    inner = block.around(low - margin_mm, high + margin_mm)
    if inner is not None:
        torch.maximum(d[inner], -hole.distance(block.block(inner)), out=d[inner])


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
    front = y < float(skeleton.s1.half_depth_mm[1])
    first = skeleton.s1.distance(block)
    d = torch.where(front, torch.maximum(d, above + 1.5), d)
    d = fillet_(d, first, 1.5)
    # over the endplate's outline its own dished surface bounds the bone, outside it the plane itself
    plate = torch.maximum(above, torch.minimum(first, above + 2.0))
    d = torch.where(front, torch.maximum(d, plate), d)
    for hole in holes:
        _take_out(d, hole, block, 2.0)
    _blend(out, where, d, levels.SACRUM, SEMANTIC["sacrum"])


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
        fillet_(d[inner], torch.maximum(cup.distance(near), opening), 2.0)
        torch.maximum(d[inner], -joint.distance(near), out=d[inner])
    # the sacro-iliac joint: a gap of about two millimetres
    sacral = out.kind[where] == SEMANTIC["sacrum"]
    d = torch.where(sacral, torch.maximum(d, 2.2 - out.depth_mm[where]), d)
    d = torch.where(out.labels[where] == levels.SACRUM, d.clamp_min(0.5), d)
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
    d = torch.maximum(d, -hole.distance(block))
    d = torch.where(out.labels[where] > 0, d.clamp_min(0.01), d)
    _blend(out, where, d, 0, SEMANTIC["other_bone"])


def _draw_discs(out: Drawing, skeleton: Skeleton, at: Lattice) -> None:
    """Discs between endplates and the canal behind them, in the semantic map only."""
    bones = skeleton.bones
    for k, bone in enumerate(bones):
        for limb in canal_limbs(bones, k):
            where = at.around(*limb.box())
            if where is not None:
                _fill_free(out, where, limb.distance(at.block(where)), SEMANTIC["canal"])
        if bone.level == "C1":
            continue
        below = bones[k + 1].body if k + 1 < len(bones) else skeleton.s1
        disc = disc_between(bone.body, below)
        where = at.around(*disc.box())
        if where is not None:
            _fill_free(out, where, disc.distance(at.block(where)), SEMANTIC["disc"])


def _fill_free(out: Drawing, where: Slices, d: Field, kind: int) -> None:
    """Give what lies inside and is nothing yet this kind."""
    block = out.semantic[where]
    block.masked_fill_((d < 0) & (block == 0), kind)


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
