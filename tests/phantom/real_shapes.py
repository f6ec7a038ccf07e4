"""A label map and a template with exactly known endplates, lopsided so that no side can be confused."""

from __future__ import annotations

from functools import cache

import numpy as np

from spine_node.anatomy.levels import POSTERIOR_OFFSET
from spine_node.imaging.volume import Grid, LabelMap
from spine_node.phantom import scene
from spine_node.phantom.lattice import Lattice
from spine_node.phantom.pose import standing_spec
from spine_node.phantom.skeleton import Skeleton, build
from spine_node.phantom.templates import QUANTUM_MM, REACH_MM, STEP_MM, Rim, Source, Template

ONE = Source("one", "CC0", "Nobody 2020")
OTHER = Source("other", "CC BY 4.0", "Somebody 2021", "test")

SUPERIOR = np.array([0.06, -0.10, 1.0]) / np.linalg.norm([0.06, -0.10, 1.0])
INFERIOR = np.array([-0.04, 0.08, 1.0]) / np.linalg.norm([-0.04, 0.08, 1.0])
HALF_MM = (22.0, 16.0, 13.0)
"""Half width, depth and height of the block that stands for a body."""


@cache
def block_template(level: str = "L2", source: Source = ONE) -> Template:
    """A block between two slanting planes, and a rod that runs back, to the left and down."""
    low = np.array([-30.0, -24.0, -34.0])
    shape = tuple(int(n) for n in np.ceil((np.array([60.0, 84.0, 62.0])) / STEP_MM))
    index = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1)
    p = low + STEP_MM * index
    above = (p - [0, 0, HALF_MM[2]]) @ SUPERIOR
    below = -(p - [0, 0, -HALF_MM[2]]) @ INFERIOR
    sides = np.maximum(np.abs(p[..., 0]) - HALF_MM[0], np.abs(p[..., 1]) - HALF_MM[1])
    body = np.maximum(np.maximum(above, below), sides)
    start, end = np.array([0.0, 14.0, 2.0]), np.array([9.0, 52.0, -20.0])
    along = np.clip((p - start) @ (end - start) / ((end - start) @ (end - start)), 0, 1)
    rod = np.linalg.norm(p - start - along[..., None] * (end - start), axis=-1) - 5.0
    both = np.clip(np.stack([body, np.minimum(body, rod)]), -REACH_MM, REACH_MM)
    distances = np.round(both / QUANTUM_MM).astype(np.int8)
    rims = [_rim(z, n) for z, n in ((HALF_MM[2], SUPERIOR), (-HALF_MM[2], INFERIOR))]
    return Template(level, distances, low, rims[0], rims[1], np.array([0.0, 24.0, 0.0]), source)


def _rim(z: float, normal: np.ndarray) -> Rim:
    plane = Rim(np.array([0.0, 0.0, z]), normal, np.zeros((4, 3)))
    x, y = np.array([0, 0, HALF_MM[0], -HALF_MM[0]]), np.array([-HALF_MM[1], HALF_MM[1], 0, 0])
    return Rim(plane.centre_mm, normal, np.column_stack([x, y, plane.height_mm(x, y)]))


@cache
def person() -> Skeleton:
    """An upright adult."""
    return build(standing_spec())


@cache
def lumbar_labels(step_mm: float = 1.5) -> LabelMap:
    """T12 to L3 of that adult as a label map; T12 and L3 are cut by its edges."""
    skeleton = person()
    bodies = {b.level: b.body for b in skeleton.bones}
    low = np.subtract(bodies["L3"].middle_mm, (60, 45, 0))
    high = np.add(bodies["T12"].middle_mm, (60, 75, 0))
    shape = tuple(int(n) for n in (high - low) / step_mm)
    affine = np.diag([step_mm, step_mm, step_mm, 1.0])
    affine[:3, 3] = low
    drawn = scene.draw(skeleton, Lattice(shape, affine)).labels  # type: ignore[arg-type]
    return LabelMap(Grid(shape, affine), np.ascontiguousarray(drawn.numpy()))  # type: ignore[arg-type]


def in_one_piece(label_map: LabelMap) -> LabelMap:
    """Vertebrae without the border between body and posterior elements."""
    labels = label_map.labels
    return LabelMap(label_map.grid, np.where(labels > POSTERIOR_OFFSET, labels - POSTERIOR_OFFSET, labels))
