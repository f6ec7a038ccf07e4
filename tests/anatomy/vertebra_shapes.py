"""Single vertebrae as formulas in their own axes, turned, filled with voxels and cut out again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from spine_node.anatomy.levels import POSTERIOR_OFFSET, VERTEBRA_VALUES
from spine_node.imaging.components import Blob, boxes, cut_out
from spine_node.imaging.volume import Grid, LabelMap

Array = NDArray[np.float64]
Parts = Callable[[Array, Array, Array], tuple[NDArray[np.bool_], NDArray[np.bool_]]]
"""Body and posterior elements at places (x left, y posterior, z cranial), mm from the body's middle."""


@dataclass(frozen=True)
class Shape:
    """A vertebra within `reach_mm` of its body's middle."""

    level: str
    parts: Parts
    reach_mm: float

    def label_map(self, turn: Rotation, spacing_mm: float) -> LabelMap:
        """The vertebra turned in a grid along the LPS axes; its middle lies off the voxels' centres."""
        half = int(np.ceil(self.reach_mm / spacing_mm))
        affine = np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0])
        affine[:3, 3] = -half * spacing_mm + np.array([0.31, -0.17, 0.44]) * spacing_mm
        grid = Grid((2 * half, 2 * half, 2 * half), affine)
        index = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij"), axis=-1)
        local = grid.to_mm(index) @ turn.as_matrix()
        body, posterior = self.parts(local[..., 0], local[..., 1], local[..., 2])
        value = VERTEBRA_VALUES[self.level]
        labels = np.where(body, value, np.where(posterior, value + POSTERIOR_OFFSET, 0))
        return LabelMap(grid, labels.astype(np.uint8))

    def pieces(self, turn: Rotation, spacing_mm: float) -> tuple[Blob, Blob | None]:
        """Its body and its posterior elements, cut out."""
        label_map = self.label_map(turn, spacing_mm)
        found, value = boxes(label_map), VERTEBRA_VALUES[self.level]
        body = cut_out(label_map, value, found[value])
        behind = value + POSTERIOR_OFFSET
        if behind not in found:
            return body, None
        return body, cut_out(label_map, behind, found[behind], keep_fraction=0.15)


def box_arch(
    *, half_width: float = 11.0, depth: float = 16.0, lower: float = 0.0, wedge_deg: float = 0.0
) -> Shape:
    """An oval body and a plain box around the canal; `lower` moves the lamina down from the pedicles."""

    def parts(x: Array, y: Array, z: Array) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        top = 12 + np.tan(np.radians(wedge_deg)) * x
        body = ((x / 20) ** 2 + (y / 15) ** 2 < 1) & (np.abs(z) < 30) & (z < top) & (z > -12)
        pedicle = (np.abs(x) > half_width) & (np.abs(x) < half_width + 8) & (y > 0) & (y < 21 + depth)
        lamina = (np.abs(x) < half_width + 8) & (y > 15 + depth) & (y < 21 + depth)
        return body, (pedicle & (np.abs(z - 4) < 6)) | (lamina & (np.abs(z - 2 + lower) < 6))

    return Shape("L2", parts, 46.0)


def with_processes(level: str = "L2") -> Shape:
    """Round pedicles, laminae like a roof, transverse and spinous processes."""

    def parts(x: Array, y: Array, z: Array) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        body = ((x / 20) ** 2 + (y / 15) ** 2 < 1) & (np.abs(z) < 12)
        aside, w = np.abs(x), 13.0
        pedicle = (np.hypot(aside - w, z - 5) < 4) & (y > 7) & (y < 28)
        lamina = (np.abs(y - 30 + 0.4 * (aside - w)) < 3) & (aside < w + 2) & (np.abs(z) < 9)
        transverse = (np.hypot(y - 25 - 0.3 * (aside - w), z - 2) < 3.5) & (aside > w) & (aside < w + 20)
        spinous = (aside < 2.6) & (y > 32) & (y < 54) & (np.abs(z + 0.3 * (y - 32)) < 7)
        return body, pedicle | lamina | transverse | spinous

    return Shape(level, parts, 58.0)


def without(shape: Shape, gone: Callable[[Array, Array, Array], NDArray[np.bool_]]) -> Shape:
    """The same with some of its posterior elements cut away."""

    def parts(x: Array, y: Array, z: Array) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        body, posterior = shape.parts(x, y, z)
        return body, posterior & ~gone(x, y, z)

    return Shape(shape.level, parts, shape.reach_mm)


def uneven(shape: Shape, seed: int, rms_mm: float = 0.5) -> Shape:
    """The same with a smooth wavy surface: places are moved along slow waves before they are asked."""
    rng = np.random.default_rng(seed)
    waves = rng.normal(0, 2 * np.pi / 16, (12, 3))
    phases, sizes = rng.uniform(0, 2 * np.pi, 12), rng.normal(size=(12, 3))
    sizes *= rms_mm * np.sqrt(2 / 12)

    def parts(x: Array, y: Array, z: Array) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        moved = [np.array(x), np.array(y), np.array(z)]
        for (a, b, c), phase, size in zip(waves, phases, sizes, strict=True):
            wave = np.sin(a * x + b * y + c * z + phase)
            for axis in range(3):
                moved[axis] += size[axis] * wave
        return shape.parts(*moved)

    return Shape(shape.level, parts, shape.reach_mm)
