"""A vertebra, its canal and the disc below it on a block of voxels."""

from __future__ import annotations

import itertools

import numpy as np
import torch

from spine_node.anatomy import levels
from spine_node.phantom import arch
from spine_node.phantom.body import Body
from spine_node.phantom.drawing import (
    FAR_MM,
    MARGIN_MM,
    SEMANTIC,
    Drawing,
    Solid,
    blend,
    fill_free,
    take_out,
)
from spine_node.phantom.lattice import Field, Lattice
from spine_node.phantom.shapes import Limb, Point, bounds, fillet_, rod, smooth_min, union, unit
from spine_node.phantom.skeleton import Bone, Skeleton

BORDER_MM = 0.1
"""Beside a real vertebra its body is the nearest where nothing is nearer by more than this."""


class VertebraShape:
    """One vertebra of a skeleton, ready to be drawn on any block."""

    def __init__(self, skeleton: Skeleton, k: int) -> None:
        self.bone = bone = skeleton.bones[k]
        self._front, self._behind = arch.body_extras(bone), arch.arch(bone)
        self._canal = canal_limbs(skeleton.bones, k)
        low, high = bone.template.box() if bone.template else self._box()
        self._low, self._high = low - MARGIN_MM, high + MARGIN_MM
        self._disc: Body | None = None
        if bone.level != "C1":
            below = skeleton.bones[k + 1].body if k + 1 < len(skeleton.bones) else skeleton.s1
            self._disc = disc_between(bone.body, below)

    def _box(self) -> tuple[Point, Point]:
        low, high = bounds([*self._front, *self._behind], 0.0)
        body_low, body_high = self.bone.body.box()
        return np.minimum(low, body_low), np.maximum(high, body_high)

    def draw(self, out: Drawing, at: Lattice) -> None:
        """Add the bone to a drawing."""
        where = at.around(self._low, self._high)
        if where is None:
            return
        block = at.block(where)
        if self.bone.template:
            front, whole = self.bone.template.distances(block)
            back = whole + BORDER_MM
        else:
            front, back = self._distances(block)
            # the fillet between arch and body belongs to the arch: the body keeps its exact shape
            whole = torch.minimum(front, smooth_min(front, back, arch.FILLET_MM))
        body, behind = SEMANTIC["body"], SEMANTIC["arch"]
        level = levels.VERTEBRA_VALUES[self.bone.level]
        is_body = front < 0
        label = torch.where(is_body, level, level + levels.POSTERIOR_OFFSET).to(torch.uint8)
        # within bone what is not body is arch; outside, the nearer of the two
        nearer_body = is_body | ((front <= back) & (whole >= 0))
        blend(out, where, whole, label, torch.where(nearer_body, body, behind).to(torch.uint8))

    def _distances(self, block: Lattice) -> tuple[Field, Field]:
        """Signed distances of the analytic body, of the posterior elements."""
        front = block.full(FAR_MM)
        low, high = self.bone.body.box()
        inner = block.around(low - MARGIN_MM, high + MARGIN_MM)
        if self.bone.level != "C1" and inner is not None:
            front[inner] = self.bone.body.distance(block.block(inner))
        if self._front:
            fillet_(front, union(self._front, block, arch.FILLET_MM, FAR_MM), 1.0)
        back = union(self._behind, block, arch.FILLET_MM, FAR_MM)
        for hole in self._canal:
            take_out(back, hole, block, 2.0)
        return front, back

    def draw_soft(self, out: Drawing, at: Lattice) -> None:
        """Add canal and disc, in the semantic map only, once every bone is drawn."""
        shapes: list[tuple[Limb | Body, str]] = [(limb, "canal") for limb in self._canal]
        if self._disc is not None:
            shapes.append((self._disc, "disc"))
        for shape, kind in shapes:
            where = at.around(*shape.box())
            if where is not None:
                fill_free(out, where, shape.distance(at.block(where)), SEMANTIC[kind])


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


def bridges(skeleton: Skeleton, rng: np.random.Generator, chance: float = 0.02) -> list[Solid]:
    """Bone grown across some discs, beside and before them: each half belongs to its own vertebra.

    It is no part of the body whose centroid the landmarks give: a label's own centroid moves by up to
    0.5 mm.
    """
    out: list[Solid] = []
    for upper, lower in itertools.pairwise(skeleton.bones):
        if upper.level == "C1" or rng.random() > chance:
            continue
        sides = ((upper, "inferior"), (lower, "superior"))
        ends = [np.array((b.template or b.body).plate_edges(which)) for b, which in sides]
        for a, b in zip(*(e[[0, 2, 3]] for e in ends), strict=True):  # front, left, right
            middle = (a + b) / 2
            outward = unit(middle - (upper.body.inferior_mm + lower.body.superior_mm) / 2)
            bulge = middle + outward * float(rng.uniform(0.5, 3.0))
            thick = float(rng.uniform(1.5, 3.5))
            for rim, bone in ((a, upper), (b, lower)):
                value = levels.VERTEBRA_VALUES[bone.level]
                out.append(Solid.of([rod(rim - 2 * outward, bulge, thick)], value, "body", 1.0))
    return out
