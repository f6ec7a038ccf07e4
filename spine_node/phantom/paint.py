"""Grey values for tissues and bones: attenuation as CT would show it, or contrast at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from spine_node.phantom.lattice import Field
from spine_node.phantom.layers import Layer, refine_block
from spine_node.phantom.scene import SEMANTIC, Drawing

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
    "stomach": (30, 15),
    "stand": (0, 150),
}
"""Mean and spread of attenuation between people, in CT-like units."""

DISTRACTORS = tuple(f"blob{k}" for k in range(6))
"""Tissues that nobody has: shapes a network must not take for bone."""


@dataclass(frozen=True, slots=True)
class BonePaint:
    """One kind of bone.

    Attributes
    ----------
    cortex, marrow : float
        Value of the shell and of what it holds.
    shell_mm : float
        Thickness of the shell.
    rim : float
        How much denser the marrow is right under the shell; fades over `RIM_MM`.
    mottle : float
        Spread of the marrow over centimetres, of the shell's thickness in proportion.
    texture : float
        Spread of the marrow over millimetres.
    """

    cortex: float
    marrow: float
    shell_mm: float
    rim: float
    mottle: float
    texture: float


RIM_MM = 3.0
"""Depth over which bone thins out under its shell."""

_BONE: dict[str, tuple[float, float, float, float, float]] = {
    "body": (0.8, 0.5, 0, 190, 35),
    "arch": (0.95, 2.0, 130, 170, 130),
    "sacrum": (0.8, 0.8, -60, 170, 90),
    "hip": (0.9, 1.5, 20, 190, 110),
    "femoral_head": (0.75, 0.6, 150, 60, 60),
    "other_bone": (1.0, 1.9, 40, 80, 90),
}
"""Cortex (relative), shell mm, marrow against that of the bodies, rim, mottle; after four labelled CTs."""


@dataclass(frozen=True, slots=True)
class Palette:
    """Which value each tissue has in one image.

    Attributes
    ----------
    soft : mapping of tissue to value
    bone : mapping of `SEMANTIC` value to its paint
    grain : float
        Spread of soft tissue over centimetres.
    background : float
        Value of air.
    spread : mapping of tissue to value
        Spread of each soft tissue over millimetres; 0 for those not named.
    bias : float
        Spread of a smooth field that the image is multiplied with, relative.
    """

    soft: dict[str, float]
    bone: dict[int, BonePaint]
    grain: float
    background: float = AIR
    spread: dict[str, float] = field(default_factory=dict)
    bias: float = 0.0


def ct_palette(rng: np.random.Generator, *, clean: bool) -> Palette:
    """Attenuation of a person: cortex around 850, marrow of the bodies 60 to 320."""
    spread = 0.5 if clean else 1.0
    soft = {name: float(rng.normal(mean, spread * sd)) for name, (mean, sd) in _SOFT.items()}
    density = float(rng.uniform(120, 260) if clean else rng.uniform(60, 320))
    hard = float(np.clip(rng.normal(880, 150 * spread), 450, 1500))

    def vary(value: float, sd: float) -> float:
        return value * float(np.exp(rng.normal(0, sd * spread)))

    bone = {
        SEMANTIC[name]: BonePaint(
            cortex=vary(hard * relative, 0.08),
            marrow=density + extra + float(rng.normal(0, 25 * spread)),
            shell_mm=vary(shell, 0.3),
            rim=vary(rim, 0.4),
            mottle=vary(mottle, 0.4),
            texture=vary(35 if clean else 45, 0.4),
        )
        for name, (relative, shell, extra, rim, mottle) in _BONE.items()
    }
    return Palette(soft, bone, grain=float(rng.uniform(4, 10) if clean else rng.uniform(3, 22)))


def random_palette(rng: np.random.Generator) -> Palette:
    """Any contrast, also impossible ones: a network then learns shape rather than attenuation."""
    names = [*_SOFT, *DISTRACTORS]
    soft = {name: float(rng.uniform(-300, 700)) for name in names}
    spread = {name: float(rng.gamma(1.0, 30)) for name in names}
    alike = rng.random() < 0.6  # mostly all bones look much the same
    cortex, marrow = float(rng.uniform(-100, 1200)), float(rng.uniform(-200, 900))
    bone = {}
    for name, (_, shell, _, rim, mottle) in _BONE.items():
        c = cortex + float(rng.normal(0, 60)) if alike else float(rng.uniform(-300, 1200))
        m = marrow + float(rng.normal(0, 60)) if alike else float(rng.uniform(-300, 900))
        bone[SEMANTIC[name]] = BonePaint(
            c,
            m,
            shell * float(np.exp(rng.normal(0, 0.5))),
            rim * float(rng.uniform(-1, 1.5)),
            mottle * float(rng.uniform(0.2, 1.5)),
            float(rng.uniform(5, 120)),
        )
    grain, background = float(rng.uniform(3, 40)), float(rng.uniform(-1000, 0))
    return Palette(soft, bone, grain, background, spread, float(rng.uniform(0, 0.25)))


def _fill(image: Field, share: Field, value: float | Field) -> None:
    """Move `image` towards `value` where `share` (0..1) says so, in place."""
    if isinstance(value, float):
        image.lerp_(torch.full((), value, device=image.device), share)
    else:
        image.lerp_(value, share)


def _inside(distance: Field, voxel_mm: float) -> Field:
    """Share of a voxel that lies inside a surface at this signed distance."""
    return (distance * (-1 / voxel_mm)).add_(0.5).clamp_(0, 1)


def paint(
    drawing: Drawing,
    layers: Sequence[Layer],
    palette: Palette,
    texture: Field,
    lumps: Field,
    *,
    coarse_shape: tuple[int, int, int],
    full_shape: tuple[int, int, int],
    rows: tuple[int, int],
    voxel_mm: float,
    moved: tuple[float, float] = (0.0, 0.0),
) -> Field:
    """Grey values of the slices rows[0]..rows[1], without noise.

    `texture` and `lumps` are unit noise on them: over millimetres, over a centimetre.
    """
    image = torch.full_like(drawing.depth_mm, palette.background)
    for layer in layers:
        fine = refine_block(layer.distance_mm, layer.where, coarse_shape, full_shape, rows, moved)
        if fine is None:
            continue
        where, distance = fine
        value: float | Field = palette.soft[layer.name]
        if layer.name == "lung":  # vessels
            vessels = torch.add(lumps[where], texture[where], alpha=0.5).sub_(1.2).clamp_min_(0)
            value = vessels.mul_(450).add_(value)
        elif layer.name not in ("gas", "airway"):
            value = (lumps[where] * palette.grain).add_(value)
            if layer.name in palette.spread:
                value.add_(texture[where], alpha=palette.spread[layer.name])
        _fill(image[where], _inside(distance, voxel_mm), value)
    for name in ("disc", "canal"):
        image.masked_fill_(drawing.semantic == SEMANTIC[name], palette.soft[name])
    paint_bone(image, drawing, palette, texture, lumps, voxel_mm)
    return image


def paint_bone(
    image: Field, drawing: Drawing, palette: Palette, texture: Field, lumps: Field, voxel_mm: float
) -> None:
    """Paint shell and marrow over soft tissue, in place."""
    flat = torch.nonzero((drawing.depth_mm < voxel_mm).view(-1)).squeeze(1)
    depth, kind = drawing.depth_mm.view(-1)[flat], drawing.kind.view(-1)[flat].int()
    fine, wide = texture.reshape(-1)[flat], lumps.reshape(-1)[flat]

    def of(name: str) -> Field:
        table = [getattr(palette.bone[k], name) if k in palette.bone else 0.0 for k in range(len(SEMANTIC))]
        return torch.tensor(table, device=image.device).index_select(0, kind)

    mottle = of("mottle")
    shell = (wide * mottle).mul_(0.004).add_(1).clamp_min_(0.25).mul_(of("shell_mm"))
    below = depth + shell
    whole, core = _inside(depth, voxel_mm), _inside(below, voxel_mm)
    marrow = of("marrow").addcmul_(fine, of("texture")).addcmul_(wide, mottle)
    marrow.addcmul_(of("rim"), below.clamp_max_(0).mul_(1 / RIM_MM).exp_())
    bone = (whole - core).mul_(of("cortex")).addcmul_(core, marrow)
    greys = image.view(-1)
    greys[flat] = greys[flat].mul_(1 - whole).add_(bone)
