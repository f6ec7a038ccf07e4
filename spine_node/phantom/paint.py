"""Grey values for tissues and bones: attenuation as CT would show it, or contrast at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from spine_node.phantom.lattice import Field
from spine_node.phantom.scene import SEMANTIC, Drawing
from spine_node.phantom.tissue import Layer, refine_block

AIR = -1000.0

_SOFT: dict[str, tuple[float, float]] = {
    "skin": (10, 25),
    "fat": (-100, 15),
    "muscle": (55, 15),
    "visceral_fat": (-95, 20),
    "liver": (60, 20),
    "spleen": (50, 15),
    "kidney": (45, 25),
    "bowel": (25, 25),
    "bladder": (8, 8),
    "gas": (-950, 40),
    "vessel": (60, 40),
    "heart": (50, 25),
    "lung": (-800, 60),
    "airway": (-990, 10),
    "disc": (90, 25),
    "canal": (35, 12),
}
"""Mean and spread of attenuation between people, in CT-like units."""


@dataclass(frozen=True, slots=True)
class Palette:
    """Which value each tissue has in one image.

    Attributes
    ----------
    soft : dict of tissue to value
    cortex, marrow : dict of `SEMANTIC` value to value
    shell_mm : dict of `SEMANTIC` value to thickness of the cortex
    texture : float
        Spread of the marrow's texture.
    """

    soft: dict[str, float]
    cortex: dict[int, float]
    marrow: dict[int, float]
    shell_mm: dict[int, float]
    texture: float
    background: float = AIR
    random: bool = field(default=False)


_SHELL = {"body": 1.0, "arch": 1.9, "sacrum": 1.2, "hip": 1.7, "femoral_head": 1.1, "other_bone": 1.8}


def ct_palette(rng: np.random.Generator, *, clean: bool) -> Palette:
    """Attenuation of a person: cortex around 900, marrow 60 to 350."""
    spread = 0.5 if clean else 1.0
    soft = {name: float(rng.normal(mean, spread * sd)) for name, (mean, sd) in _SOFT.items()}
    density = float(rng.uniform(140, 280) if clean else rng.uniform(50, 350))
    hard = float(np.clip(rng.normal(900, 150 * spread), 450, 1500))
    cortex, marrow, shell = {}, {}, {}
    for name, mm in _SHELL.items():
        value = SEMANTIC[name]
        factor = {"body": 0.8, "femoral_head": 0.9, "other_bone": 1.05, "arch": 1.0}.get(name, 0.9)
        cortex[value] = hard * factor * float(np.exp(rng.normal(0, 0.05 * spread)))
        extra = {"body": 0, "arch": 110, "femoral_head": 130, "sacrum": -40, "hip": 20, "other_bone": 20}[
            name
        ]
        marrow[value] = density + extra + float(rng.normal(0, 25 * spread))
        shell[value] = mm * float(np.exp(rng.normal(0, 0.2 * spread)))
    return Palette(
        soft, cortex, marrow, shell, texture=float(rng.uniform(20, 45) if clean else rng.uniform(15, 90))
    )


def random_palette(rng: np.random.Generator) -> Palette:
    """Any contrast, also impossible ones: a network then learns shape rather than attenuation."""
    soft = {name: float(rng.uniform(-300, 700)) for name in _SOFT}
    cortex = {SEMANTIC[n]: float(rng.uniform(-300, 1200)) for n in _SHELL}
    marrow = {SEMANTIC[n]: float(rng.uniform(-300, 900)) for n in _SHELL}
    one_bone = rng.random() < 0.6
    if one_bone:  # bones mostly look alike
        c, m = float(rng.uniform(0, 1200)), float(rng.uniform(-200, 900))
        cortex = {k: c + float(rng.normal(0, 60)) for k in cortex}
        marrow = {k: m + float(rng.normal(0, 60)) for k in marrow}
    shell = {SEMANTIC[n]: mm * float(np.exp(rng.normal(0, 0.5))) for n, mm in _SHELL.items()}
    return Palette(
        soft, cortex, marrow, shell, float(rng.uniform(5, 120)), float(rng.uniform(-1000, 0)), True
    )


def _fill(image: Field, share: Field, value: float | Field) -> None:
    """Move `image` towards `value` where `share` (0..1) says so, in place."""
    image += share * (value - image)


def _inside(distance: Field, voxel_mm: float) -> Field:
    """Share of a voxel that lies inside a surface at this signed distance."""
    return np.clip(np.float32(0.5) - distance * np.float32(1 / voxel_mm), 0, 1)


def paint(
    drawing: Drawing,
    layers: Sequence[Layer],
    palette: Palette,
    texture: Field,
    *,
    coarse_shape: tuple[int, int, int],
    full_shape: tuple[int, int, int],
    rows: tuple[int, int],
    voxel_mm: float,
) -> Field:
    """Grey values of the slices rows[0]..rows[1], without noise; `texture` is unit noise on them."""
    image = np.full(drawing.labels.shape, palette.background, np.float32)
    for layer in layers:
        fine = refine_block(layer.distance_mm, layer.where, coarse_shape, full_shape, rows)
        if fine is None:
            continue
        where, distance = fine
        _fill(image[where], _inside(distance, voxel_mm), palette.soft[layer.name])
    for name in ("disc", "canal"):
        image[drawing.semantic == SEMANTIC[name]] = palette.soft[name]
    near = drawing.depth_mm < voxel_mm
    depth, kind = drawing.depth_mm[near], drawing.kind[near]
    shell, cortex, marrow = (
        np.array([table.get(k, 0.0) for k in range(9)], np.float32)[kind]
        for table in (palette.shell_mm, palette.cortex, palette.marrow)
    )
    whole, core = _inside(depth, voxel_mm), _inside(depth + shell, voxel_mm)
    marrow = marrow + texture[near] * np.float32(palette.texture)
    bone = (whole - core) * cortex + core * marrow
    image[near] = (1 - whole) * image[near] + bone
    return image
