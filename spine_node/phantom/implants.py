"""Screws with rods, cages, cement, a hip prosthesis, a forgotten button; and the streaks of metal."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage

from spine_node.phantom.lattice import Field, Lattice
from spine_node.phantom.shapes import Limb, ball, ellipsoid, rod
from spine_node.phantom.skeleton import Bone, Skeleton


@dataclass(frozen=True, slots=True, eq=False)
class Metal:
    """What surgeons left, patient frame.

    Attributes
    ----------
    parts : tuple of Limb
        Metal, with its grey value and the strength of its streaks.
    cement : tuple of Limb
        Bone cement, and plastic cages filled with bone: denser than bone, without streaks.
    """

    parts: tuple[Limb, ...] = ()
    value: float = 3500.0
    streaks: float = 300.0
    cement: tuple[Limb, ...] = ()
    cement_value: float = 1500.0

    @classmethod
    def draw(cls, skeleton: Skeleton, rng: np.random.Generator) -> Metal:
        """Nothing in 81 % of people."""
        kind = rng.random()
        parts: list[Limb] = []
        cement: list[Limb] = []
        if kind < 0.07:
            parts, cement = _fusion(skeleton, rng)
        elif kind < 0.11:
            parts = _prosthesis(skeleton, "left" if rng.random() < 0.5 else "right")
        elif kind < 0.15:
            bone = skeleton.bones[int(rng.integers(len(skeleton.bones)))]
            away = np.array([rng.uniform(-60, 60), -rng.uniform(95, 125), 0.0])
            parts = [ball(bone.body.middle_mm + away, float(rng.uniform(2, 6)))]
        elif kind < 0.19:
            cement = _cemented(skeleton, rng)
        metal, streaks = float(rng.uniform(2200, 6000)), float(rng.uniform(100, 500))
        return cls(tuple(parts), metal, streaks, tuple(cement), float(rng.uniform(900, 2200)))


def _screw(bone: Bone, side: float) -> tuple[Limb, np.ndarray]:
    """A screw through one pedicle, and the centre of its head."""
    size, body = bone.segment.size, bone.body
    x = size.canal_width_mm / 2 + size.pedicle_width_mm / 2
    z = 0.18 * size.height_mm

    def at(dx: float, dy: float, dz: float) -> np.ndarray:
        return np.asarray(body.middle_mm + bone.axes @ np.array([dx, dy, dz]))

    head = at(side * (x + 6), body.back_mm + size.canal_depth_mm + 6, z + 1)
    tip = at(side * 0.3 * size.width_mm / 2, -0.35 * body.half_depth_mm[1], 0.6 * z)
    return rod(head, tip, min(3.1, 0.42 * size.pedicle_width_mm)), head


def _fusion(skeleton: Skeleton, rng: np.random.Generator) -> tuple[list[Limb], list[Limb]]:
    """Screws and rods; in half of them cages between the bodies."""
    bones = [b for b in skeleton.bones if b.level[0] in "TL"]
    count = int(rng.integers(2, 7))
    last = len(bones) - int(rng.integers(0, 8))
    held = bones[max(last - count, 0) : last]
    metal: list[Limb] = []
    for side in (-1.0, 1.0):
        heads = []
        for bone in held:
            screw, head = _screw(bone, side)
            metal += [screw, ball(head, 5.5)]
            heads.append(head)
        metal += [rod(a, b, 2.75) for a, b in itertools.pairwise(heads)]
    plastic: list[Limb] = []
    if rng.random() < 0.5:
        titanium = rng.random() < 0.5
        for upper, lower in itertools.pairwise(held):
            cage, markers = _cage(upper, lower)
            (metal if titanium else plastic).append(cage)
            metal += [] if titanium else markers
    return metal, plastic


def _cage(upper: Bone, lower: Bone) -> tuple[Limb, list[Limb]]:
    """A spacer between two bodies, as high as the disc, and the beads that mark its ends."""
    centre = (upper.body.inferior_mm + lower.body.superior_mm) / 2
    gap = float(np.linalg.norm(upper.body.inferior_mm - lower.body.superior_mm))
    left, _, up = upper.axes.T
    reach = 0.45 * upper.body.half_width_mm[0] * left
    tall = max(0.5 * gap, 2.0)
    spacer = Limb(centre - reach, centre + reach, (3.0, tall, 6.5), up)
    return spacer, [ball(centre - 1.1 * reach, 1.0), ball(centre + 1.1 * reach, 1.0)]


def _cemented(skeleton: Skeleton, rng: np.random.Generator) -> list[Limb]:
    """One to three neighbouring bodies filled with lumps of cement."""
    bones = [b for b in skeleton.bones if b.level[0] in "TL"]
    first = int(rng.integers(4, len(bones)))
    lumps: list[Limb] = []
    for bone in bones[first : first + int(rng.integers(1, 4))]:
        size = np.array([bone.body.half_width_mm[0], bone.body.half_depth_mm[0], bone.body.height_mm / 2])
        for _ in range(int(rng.integers(2, 6))):
            away = bone.axes @ (rng.uniform(-0.45, 0.45, 3) * size)
            radii = tuple(float(r) for r in rng.uniform(0.15, 0.4, 3) * size)
            lumps.append(ellipsoid(bone.body.middle_mm + away, bone.axes, radii))  # type: ignore[arg-type]
    return lumps


def _prosthesis(skeleton: Skeleton, side: str) -> list[Limb]:
    centre, radius = skeleton.heads[side]
    out = skeleton.hip_axis * (1.0 if side == "left" else -1.0)
    neck, stem = centre + 38 * out + [0, 6, -30], centre + 34 * out + [0, 4, -150]
    return [ball(centre, 0.92 * radius), rod(centre, neck, 7.5), rod(neck, stem, 8.5, 0.6)]


def density(parts: Sequence[Limb], at: Lattice) -> Field:
    """Share of each voxel (0..1) that is within these parts."""
    out = at.full(0)
    voxel = float(at.spacing_mm.mean())
    for part in parts:
        low, high = part.box()
        where = at.around(low - voxel, high + voxel)
        if where is not None:
            share = part.distance(at.block(where)).div_(-voxel).add_(0.5).clamp_(0, 1)
            torch.maximum(out[where], share, out=out[where])
    return out


def streaks(metal: Metal, at: Lattice, seed: int) -> Field:
    """Bright and dark rays from metal within its slices, on a coarse lattice.

    Each direction of a slice's spectrum is weighted at random: what a missing or wrong view does.
    """
    share = density(metal.parts, at)
    out = at.full(0)
    rows = torch.nonzero(share.amax((1, 2)) > 0.02).flatten()
    if len(rows) == 0:
        return out
    ky, kx = np.meshgrid(*(np.fft.fftfreq(n) for n in at.shape[1:]), indexing="ij")
    angle = ((np.degrees(np.arctan2(ky, kx)) % 180) / 180 * 256).astype(int) % 256
    rng = np.random.default_rng([seed, 99])
    gain = ndimage.gaussian_filter1d(rng.standard_normal(256), 2.0, mode="wrap")[angle]
    gain = gain / np.abs(gain).max() * (np.hypot(ky, kx) > 0)
    weights = torch.from_numpy(gain.astype(np.float32)).to(at.device)
    ray = torch.fft.ifft2(torch.fft.fft2(share[rows]) * weights).real
    out[rows] = metal.streaks * ray / ray.abs().amax((1, 2), keepdim=True).clamp_min_(1e-6)
    return out
