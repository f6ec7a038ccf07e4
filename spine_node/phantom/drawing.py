"""What bones look like on a block of voxels, and how one more bone joins those drawn before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from spine_node.phantom.lattice import Field, Lattice, Slices
from spine_node.phantom.shapes import Limb, Plate, Point, bounds, union

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

    @classmethod
    def blank(cls, at: Lattice) -> Drawing:
        """Nothing but soft tissue."""
        labels, semantic, kind = torch.zeros((3, *at.shape), dtype=torch.uint8, device=at.device).unbind(0)
        return cls(labels, semantic, at.full(FAR_MM), kind)


def blend(
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


@dataclass(frozen=True, slots=True, eq=False)
class Solid:
    """Parts that make one bone, and the box that holds it.

    Attributes
    ----------
    parts : sequence of Limb or Plate
    box_mm : tuple of ndarray
        Two corners, with a margin.
    label, kind : int
        Value in the label map (0 for bones that are seen but not labelled), value of `SEMANTIC`.
    fillet_mm : float
    """

    parts: Sequence[Limb | Plate]
    box_mm: tuple[Point, Point]
    label: int
    kind: int
    fillet_mm: float

    @classmethod
    def of(cls, parts: Sequence[Limb | Plate], label: int, kind: str, fillet_mm: float) -> Solid:
        """A bone of these parts; `kind` by its name."""
        return cls(parts, bounds(parts, MARGIN_MM), label, SEMANTIC[kind], fillet_mm)

    def draw(self, out: Drawing, at: Lattice) -> None:
        """Add the bone to a drawing; one without a label never eats into one that has."""
        where = at.around(*self.box_mm)
        if where is None:
            return
        d = union(self.parts, at.block(where), self.fillet_mm, FAR_MM)
        if self.label == 0:
            d = spare(out, where, d)
        blend(out, where, d, self.label, self.kind)


def spare(out: Drawing, where: Slices, d: Field) -> Field:
    """The distance of a bone that leaves all voxels with a label to their owners."""
    return torch.where(out.labels[where] > 0, d.clamp_min(0.01), d)


def take_out(d: Field, hole: Limb, block: Lattice, margin_mm: float) -> None:
    """Remove a hole from a solid, in place."""
    low, high = hole.box()
    inner = block.around(low - margin_mm, high + margin_mm)
    if inner is not None:
        torch.maximum(d[inner], -hole.distance(block.block(inner)), out=d[inner])


def fill_free(out: Drawing, where: Slices, d: Field, kind: int) -> None:
    """Give what lies inside and is nothing yet this kind."""
    block = out.semantic[where]
    block.masked_fill_((d < 0) & (block == 0), kind)
