"""Every bone of a person drawn on a grid: which structure each voxel is, and how deep inside bone it lies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from spine_node.anatomy import levels
from spine_node.phantom import arch, pelvis, thorax
from spine_node.phantom.drawing import (
    FAR_MM,
    MARGIN_MM,
    SEMANTIC,
    Drawing,
    Solid,
    blend,
    spare,
    take_out,
)
from spine_node.phantom.lattice import Field, Lattice
from spine_node.phantom.shapes import Limb, Plate, bounds, fillet_, union
from spine_node.phantom.skeleton import Skeleton
from spine_node.phantom.templates import Fitted
from spine_node.phantom.vertebra import VertebraShape

__all__ = ["SEMANTIC", "Drawing", "Scene", "bone_mass", "draw"]


class Scene:
    """The bones of one person, ready to be drawn on any block of voxels.

    Parameters
    ----------
    skeleton : Skeleton
    more : sequence of Solid, optional
        Bones that this person has besides.
    """

    def __init__(self, skeleton: Skeleton, more: Sequence[Solid] = ()) -> None:
        self._vertebrae = [VertebraShape(skeleton, k) for k in range(len(skeleton.bones))]
        other = "other_bone"
        self._bones: list[Solid | _SacrumShape | _RealSacrum | _HipShape | _SkullShape] = [
            _RealSacrum(skeleton.sacrum) if skeleton.sacrum else _SacrumShape(skeleton)
        ]
        for side, head, hip in (
            ("left", levels.FEMORAL_HEAD_LEFT, levels.HIP_LEFT),
            ("right", levels.FEMORAL_HEAD_RIGHT, levels.HIP_RIGHT),
        ):
            self._bones += [
                _HipShape(skeleton, side, hip),
                Solid.of([pelvis.ball(*skeleton.heads[side])], head, "femoral_head", 0.5),
                Solid.of(pelvis.femur(skeleton, side), 0, other, 3.0),
            ]
        if not skeleton.sacrum:  # a real one brings its own
            self._bones.append(Solid.of(pelvis.Sacrum(skeleton).coccyx(), 0, other, 1.0))
        ribs = thorax.ribs(skeleton)
        self._bones += [Solid.of(ribs[k : k + 16], 0, other, 1.0) for k in range(0, len(ribs), 16)]
        self._bones += [Solid.of([part], 0, other, 1.5) for part in thorax.shoulder_and_sternum(skeleton)]
        self._bones += more
        if skeleton.bones[0].level == "C1":
            self._bones.append(_SkullShape(skeleton))

    def draw(self, at: Lattice) -> Drawing:
        """All bones, discs and the canal on a block of voxels."""
        out = Drawing.blank(at)
        for vertebra in self._vertebrae:
            vertebra.draw(out, at)
        for bone in self._bones:
            bone.draw(out, at)
        for vertebra in self._vertebrae:
            vertebra.draw_soft(out, at)
        return out


def draw(skeleton: Skeleton, at: Lattice) -> Drawing:
    """Draw all bones, discs and the canal on a block of voxels."""
    return Scene(skeleton).draw(at)


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


class _SacrumShape:
    """The sacrum with its exact first endplate."""

    def __init__(self, skeleton: Skeleton) -> None:
        self.s1, sacrum = skeleton.s1, pelvis.Sacrum(skeleton)
        self._solid, self._holes = sacrum.solid(), sacrum.holes()
        low, high = bounds(self._solid, MARGIN_MM)
        body_low, body_high = self.s1.box()
        self._low, self._high = np.minimum(low, body_low), np.maximum(high, body_high)

    def draw(self, out: Drawing, at: Lattice) -> None:
        where = at.around(self._low, self._high)
        if where is None:
            return
        block, s1 = at.block(where), self.s1
        d = union(self._solid, block, 2.5, FAR_MM)
        above = block.along(s1.superior_normal, s1.superior_mm)
        # nothing of the wings reaches over the plane of the endplate in front of the articular processes
        front = block.along(s1.axes[:, 1], s1.superior_mm) < float(s1.half_depth_mm[1])
        first = s1.distance(block)
        d = torch.where(front, torch.maximum(d, above + 1.5), d)
        d = fillet_(d, first, 1.5)
        # over the endplate's outline its own dished surface bounds the bone, outside it the plane itself
        plate = torch.maximum(above, torch.minimum(first, above + 2.0))
        d = torch.where(front, torch.maximum(d, plate), d)
        for hole in self._holes:
            take_out(d, hole, block, 2.0)
        blend(out, where, d, levels.SACRUM, SEMANTIC["sacrum"])


class _RealSacrum:
    """A sacrum of a real shape on the exact first endplate."""

    def __init__(self, shape: Fitted) -> None:
        self._shape = shape
        low, high = shape.box()
        self._low, self._high = low - MARGIN_MM, high + MARGIN_MM

    def draw(self, out: Drawing, at: Lattice) -> None:
        where = at.around(self._low, self._high)
        if where is not None:
            _, whole = self._shape.distances(at.block(where))
            blend(out, where, whole, levels.SACRUM, SEMANTIC["sacrum"])


class _HipShape:
    """One hip bone with the socket for its femoral head."""

    def __init__(self, skeleton: Skeleton, side: str, label: int) -> None:
        (*self._parts, cup), self._joint, self._opening = pelvis.hip_bone(skeleton, side)
        self._cup, self._label = cup, label
        self._box = bounds([*self._parts, cup], MARGIN_MM)

    def draw(self, out: Drawing, at: Lattice) -> None:
        where = at.around(*self._box)
        if where is None:
            return
        block = at.block(where)
        d = union(self._parts, block, 3.0, FAR_MM)
        low, high = self._cup.box()
        inner = block.around(low - MARGIN_MM, high + MARGIN_MM)
        if inner is not None:
            near = block.block(inner)
            point, outward = self._opening
            cup = torch.maximum(self._cup.distance(near), near.along(outward, point))
            fillet_(d[inner], cup, 2.0)
            torch.maximum(d[inner], -self._joint.distance(near), out=d[inner])
        # the sacro-iliac joint: a gap of about two millimetres
        sacral = out.kind[where] == SEMANTIC["sacrum"]
        d = torch.where(sacral, torch.maximum(d, 2.2 - out.depth_mm[where]), d)
        d = torch.where(out.labels[where] == levels.SACRUM, d.clamp_min(0.5), d)
        blend(out, where, d, self._label, SEMANTIC["hip"])


class _SkullShape:
    """Head bones around a hollow vault."""

    def __init__(self, skeleton: Skeleton) -> None:
        self._solid, self._hole = thorax.skull(skeleton)
        self._box = bounds(self._solid, MARGIN_MM)

    def draw(self, out: Drawing, at: Lattice) -> None:
        where = at.around(*self._box)
        if where is None:
            return
        block = at.block(where)
        d = union(self._solid, block, 2.0, FAR_MM)
        take_out(d, self._hole, block, MARGIN_MM)
        blend(out, where, spare(out, where, d), 0, SEMANTIC["other_bone"])
