"""A spine of blocks and balls: quick to make, asymmetric, every structure present. For tests only."""

from __future__ import annotations

import numpy as np

from spine_node.anatomy import levels
from spine_node.imaging.volume import Grid, LabelMap, Volume

SPACING_MM = 4.0


def toy_grid(spacing_mm: float = SPACING_MM, size_mm: tuple[float, float, float] = (400, 200, 280)) -> Grid:
    """Upright grid, array order (z, y, x), its middle at the LPS origin."""
    shape = tuple(round(s / spacing_mm) for s in size_mm)
    affine = np.zeros((4, 4))
    affine[2, 0] = affine[1, 1] = affine[0, 2] = spacing_mm
    affine[3, 3] = 1
    affine[[2, 1, 0], 3] = -(np.array(shape) - 1) / 2 * spacing_mm
    return Grid((shape[0], shape[1], shape[2]), affine)


def toy_case(seed: int, spacing_mm: float = SPACING_MM) -> tuple[Volume, LabelMap]:
    """T8 to L5, sacrum, hips and femoral heads: bright in grey tissue, in air."""
    rng = np.random.default_rng(seed)
    grid = toy_grid(spacing_mm)
    z, y, x = (grid.to_mm(np.moveaxis(np.indices(grid.shape), 0, -1))[..., a] for a in (2, 1, 0))
    labels = np.zeros(grid.shape, np.uint8)
    sway, bend = rng.uniform(-15, 15), rng.uniform(-20, 20)
    height = -90.0

    def put(value: int, where: np.ndarray) -> None:
        labels[where & (labels == 0)] = value

    centre_y = 10.0
    put(levels.SACRUM, (abs(x) < 35) & (abs(y - centre_y - 20) < 22) & (abs(z - height + 25) < 20))
    for side, hip, head in ((1, levels.HIP_LEFT, levels.FEMORAL_HEAD_LEFT), (-1, 30, 32)):
        put(head, (x - side * 85) ** 2 + (y + 5) ** 2 + (z + 165) ** 2 < 22**2)
        put(hip, (abs(x - side * 75) < 25) & (abs(y - 5) < 30) & (abs(z + 110) < 28))
    for index, level in enumerate(reversed(levels.LEVELS[levels.order("T8") : levels.order("L5") + 1])):
        if level == "T13":
            continue
        tall = 24.0 if level.startswith("L") else 18.0
        middle = height + tall / 2 + 4
        cx = sway * np.sin(index / 3)
        cy = bend * np.sin(index / 4)
        value = levels.VERTEBRA_VALUES[level]
        put(value, (((x - cx) / 21) ** 2 + ((y - cy) / 16) ** 2 < 1) & (abs(z - middle) < tall / 2))
        put(
            value + levels.POSTERIOR_OFFSET,
            (abs(x - cx) < 8) & (y - cy > 16) & (y - cy < 44) & (abs(z - middle + 3) < tall / 2 - 2),
        )
        height = middle + tall / 2
    body = (x / 130) ** 2 + (y / 92) ** 2 < 1
    values = np.where(body, 40.0, -1000.0) + np.where(labels > 0, 500.0, 0.0)
    values = values + rng.normal(0, 25, grid.shape)
    return Volume(grid, values.astype(np.float32)), LabelMap(grid, labels)
