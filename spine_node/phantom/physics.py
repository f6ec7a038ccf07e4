"""What a cone-beam scanner does to an image: blur, noise, shading, rings, truncation, motion.

Fast image-domain approximations, each drawn with its own probability. Where a patient sways, labels and
landmarks go along (`Scanner.sway_mm`); nothing else here moves a structure by more than a fraction of its
blur, so that the label map stays exact.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from spine_node.phantom.lattice import Field, Lattice
from spine_node.phantom.smoothing import halo, shifted, smooth, taps, weigh


@dataclass(frozen=True, slots=True)
class Scanner:
    """One acquisition.

    Attributes
    ----------
    blur_mm : float
        Sigma of the point spread.
    noise, grain_mm : float
        Standard deviation of the noise (CT-like units), and its correlation length.
    cupping, veil, cone, hardening : float
        Depth of the shading terms, CT-like units.
    rings, rays : float
        Amplitude of ring artefacts, and of streaks from too few views.
    field_radius_mm : float
        Radius of the reconstructed cylinder; what lies outside it was not imaged.
    rim : float
        Brightness of the truncated body at the cylinder's edge.
    ghost : tuple of float
        Weight and shift (x, y) in mm of a second, swayed image.
    seam : tuple of float
        Height (fraction of the image), step of offset and of gain where two rotations are stitched.
    gain, offset : float
        Uncalibrated scale of the grey values.
    slice_blur : float
        Point spread across the slices, relative to that within them.
    drift_mm : tuple of float
        How far the patient sways to the left and backwards while the scanner goes from bottom to top
        (half a turn of a cosine: out and not back).
    seam_shift_mm : tuple of float
        How far the patient has moved, left and backwards, between two stitched rotations.
    """

    blur_mm: float
    noise: float
    grain_mm: float
    cupping: float = 0.0
    veil: float = 0.0
    cone: float = 0.0
    hardening: float = 0.0
    rings: float = 0.0
    rays: float = 0.0
    rim: float = 0.0
    field_radius_mm: float = np.inf
    ghost: tuple[float, float, float] = (0.0, 0.0, 0.0)
    seam: tuple[float, float, float] = (0.5, 0.0, 0.0)
    gain: float = 1.0
    offset: float = 0.0
    slice_blur: float = 1.0
    drift_mm: tuple[float, float] = (0.0, 0.0)
    seam_shift_mm: tuple[float, float] = (0.0, 0.0)

    def blur_voxels(self, spacing_mm: NDArray[np.float64]) -> tuple[float, float, float]:
        """Sigma of the point spread along each axis of an image, in voxels."""
        across, down, right = (self.blur_mm / spacing_mm).tolist()
        return across * self.slice_blur, down, right

    def sway_mm(self, height: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Displacement (left, posterior) of what is shown at a height between bottom (0) and top (1).

        Image, labels, landmarks and true values all have it: they describe what the image shows.
        """
        h = np.clip(np.asarray(height, dtype=np.float64), 0, 1)[..., None]
        drift = (1 - np.cos(np.pi * h)) / 2 * np.array(self.drift_mm)
        return np.asarray(drift + (h > self.seam[0]) * np.array(self.seam_shift_mm))

    @classmethod
    def draw(cls, rng: np.random.Generator, *, clean: bool) -> Scanner:
        """A scanner and its day; a clean one has little noise and cuts nothing off."""
        if clean:
            return cls(
                blur_mm=float(rng.uniform(0.4, 0.9)),
                noise=float(rng.uniform(8, 20)),
                grain_mm=float(rng.uniform(0.4, 0.8)),
                cupping=float(rng.uniform(0, 40)),
                gain=float(rng.uniform(0.95, 1.05)),
                offset=float(rng.uniform(-30, 30)),
            )

        def maybe(chance: float, low: float, high: float) -> float:
            return float(rng.uniform(low, high)) if rng.random() < chance else 0.0

        return cls(
            blur_mm=float(rng.uniform(0.3, 1.6)),
            noise=float(np.exp(rng.uniform(np.log(8), np.log(140)))),
            grain_mm=float(rng.uniform(0.3, 1.6)),
            cupping=maybe(0.7, 30, 300),
            veil=maybe(0.6, 20, 200),
            cone=maybe(0.4, 20, 180),
            hardening=maybe(0.5, 40, 250),
            rings=maybe(0.25, 8, 60),
            rays=maybe(0.2, 5, 40),
            rim=maybe(0.5, 50, 400),
            field_radius_mm=float(rng.uniform(120, 210)) if rng.random() < 0.45 else np.inf,
            ghost=(float(rng.uniform(0.1, 0.4)), *(float(v) for v in rng.normal(0, 1.2, 2)))
            if rng.random() < 0.3
            else (0.0, 0.0, 0.0),
            seam=(float(rng.uniform(0.25, 0.75)), float(rng.normal(0, 40)), float(rng.normal(0, 0.04)))
            if rng.random() < 0.35
            else (0.5, 0.0, 0.0),
            gain=float(rng.uniform(0.7, 1.3)),
            offset=float(rng.uniform(-250, 250)),
        )._moving(rng)

    def _moving(self, rng: np.random.Generator) -> Scanner:
        """The same scanner, its patient not quite still."""
        drift = rng.normal(0, 0.8, 2) if rng.random() < 0.3 else np.zeros(2)
        stitched = self.seam[1] != 0
        step = rng.normal(0, 1.0, 2) if stitched and rng.random() < 0.5 else np.zeros(2)
        step *= min(1.0, 3.0 / max(float(np.linalg.norm(step)), 1e-6))
        return replace(
            self,
            slice_blur=float(rng.uniform(0.7, 2.0)),
            drift_mm=(float(drift[0]), float(drift[1])),
            seam_shift_mm=(float(step[0]), float(step[1])),
        )


POOL = 32
"""Slices of white noise that are drawn; every slice of an image is one of them, rolled at random."""


class Grain:
    """Unit noise with one correlation length, for any slices of an image, the same however it is cut up.

    White noise has no seams, so that a slice rolled round by a random offset is a new one for the price
    of a copy. Smoothing in the plane is done before rolling, smoothing across the slices after it.
    """

    def __init__(
        self, seed: int, plane: tuple[int, int], sigma_voxels: NDArray[np.float64], device: torch.device
    ) -> None:
        rng = np.random.default_rng([seed, 2])
        white = torch.from_numpy(rng.standard_normal((POOL, *plane), dtype=np.float32)).to(device)
        across, *within = (float(s) for s in sigma_voxels)
        self._pool = smooth(white, (0.0, *within), wrap=True).mul_(_gain(within[0]) * _gain(within[1]))
        self._taps = [w * _gain(across) for w in taps(across)] if halo(across) else [1.0]
        self._seed = seed

    def slices(self, start: int, stop: int) -> Field:
        """The noise of these slices, shape (stop - start, rows, columns)."""
        reach = len(self._taps) - 1
        rows, columns = self._pool.shape[1:]
        white = torch.empty((stop - start + 2 * reach, rows, columns), device=self._pool.device)
        for k in range(start - reach, stop + reach):
            which, down, right = np.random.default_rng([self._seed, k + 10_000]).integers(
                [POOL, rows, columns]
            )
            source, target = self._pool[which], white[k - start + reach]
            target[down:, right:] = source[: rows - down, : columns - right]
            target[:down, right:] = source[rows - down :, : columns - right]
            target[down:, :right] = source[: rows - down, columns - right :]
            target[:down, :right] = source[rows - down :, columns - right :]
        return weigh(white, 0, self._taps) if reach else white


def coarse_noise(seed: int, at: Lattice) -> Field:
    """Unit noise on a coarse lattice, correlated over its neighbours."""
    white = np.random.default_rng([seed, 815]).standard_normal(at.shape, dtype=np.float32)
    return smooth(torch.from_numpy(white).to(at.device), (0.6, 0.6, 0.6)).mul_(_gain(0.6) ** 3)


def _gain(sigma: float) -> float:
    """What smoothing white noise with this sigma (voxels) takes from its spread."""
    if not halo(sigma):
        return 1.0
    middle, *side = taps(sigma)
    return float((middle**2 + 2 * sum(w**2 for w in side)) ** -0.5)


def shading(scanner: Scanner, body: Field, bone: Field, at: Lattice) -> tuple[Field, Field]:
    """Additive shading and relative noise on a coarse lattice.

    `body` is the share (0..1) of patient there, `bone` how much bone, in any unit.
    """
    step = float(at.spacing_mm.mean())
    out = at.full(0)
    thick = smooth(body, (45 / step,) * 3)
    thick.div_(thick.max().clamp_min_(1e-3))
    hard = smooth(bone, (22 / step,) * 3)
    hard.div_(hard.max().clamp_min_(1e-3))
    if scanner.cupping:
        out.addcmul_(thick, thick, value=-scanner.cupping)
    if scanner.veil:
        out.sub_(hard, alpha=scanner.veil)
    if scanner.cone:
        z = at.thin([0, 0, 1], np.zeros(3))
        low, high = float(z.min()), float(z.max())
        sign = float(np.sign(np.sin(scanner.blur_mm * 100)))
        out += scanner.cone * sign * ((z - (low + high) / 2) / ((high - low) / 2)) ** 4
    if scanner.hardening:
        out.sub_(_between(bone, step), alpha=scanner.hardening)
    return out, (thick * 0.6).add_(hard, alpha=0.5).add_(0.55)


def _between(bone: Field, step_mm: float) -> Field:
    """How much bone lies on both sides of a voxel in its slice, 0..1: where hardened beams cross.

    Dark bands join the femoral heads, the shoulders, a vertebra and the hip bones beside it.
    """
    dense = smooth(bone, (4 / step_mm, 5 / step_mm, 5 / step_mm))
    out = torch.zeros_like(dense)
    for axis, share in ((2, 1.0), (1, 0.4)):
        before = dense.cumsum(axis)
        after = before.narrow(axis, dense.shape[axis] - 1, 1) - before
        out.add_((before * after).clamp_min_(0).sqrt_(), alpha=share)
    out.sub_(dense * (out.mean() / dense.mean().clamp_min(1e-6))).clamp_min_(0)
    return out.div_(out.max().clamp_min_(1e-3))


def axial_pattern(
    seed: int, scanner: Scanner, plane: tuple[int, int], spacing_mm: tuple[float, float], device: torch.device
) -> tuple[Field | None, Field | None]:
    """Rings and view streaks about the axis of rotation; and the rim, which only a body shows.

    Both are the same in every slice; None where there are none.
    """
    j, i = np.ogrid[: plane[0], : plane[1]]
    y, x = (j - (plane[0] - 1) / 2) * spacing_mm[0], (i - (plane[1] - 1) / 2) * spacing_mm[1]
    radius = np.hypot(x, y)
    pattern = rim = None
    if scanner.rings or scanner.rays:
        rng = np.random.default_rng([seed, 4711])
        profile = rng.standard_normal(2048)
        profile = np.where(rng.random(2048) < 0.12, profile * 2.5, 0.2 * profile)
        rings = ndimage.gaussian_filter1d(profile, 0.7)[np.minimum((radius / 0.8).astype(int), 2047)]
        views, phase = int(rng.integers(80, 220)), rng.uniform(0, 6.28)
        rays = np.sin(views * np.arctan2(y, x) + phase) * np.clip(radius / 150, 0, 1) ** 2
        pattern = (scanner.rings * rings / (1 + radius / 120) + scanner.rays * rays).astype(np.float32)
    if scanner.rim and np.isfinite(scanner.field_radius_mm):
        beyond = np.minimum(radius - scanner.field_radius_mm, 0)
        rim = (scanner.rim * np.exp(beyond / 9)).astype(np.float32)
    on_device = [None if p is None else torch.from_numpy(p).to(device) for p in (pattern, rim)]
    return on_device[0], on_device[1]


def expose(
    image: Field,
    scanner: Scanner,
    *,
    noise: Field,
    shade: Field,
    relative_noise: Field,
    pattern: Field | None,
    rim: Field | None,
    heights: NDArray[np.float64],
    spacing_mm: tuple[float, float],
) -> Field:
    """Blurred tissue to scanner values, in place; `noise` is used up.

    `heights` is each slice's place between bottom (0) and top (1).
    """
    weight, dx, dy = scanner.ghost
    if weight:
        swayed = shifted(shifted(image, 1, dy / spacing_mm[0]), 2, dx / spacing_mm[1])
        image.lerp_(swayed, weight)
    image += shade
    image.addcmul_(noise, relative_noise, value=scanner.noise)
    if rim is not None:
        image += rim * (image > -600)
    if pattern is not None:
        image += pattern
    at, step, gain = scanner.seam
    if step or gain:
        upper = torch.from_numpy(np.clip((heights - at) * 60 + 0.5, 0, 1).astype(np.float32))
        upper = upper.to(image.device)[:, None, None]
        image *= 1 + gain * upper
        image += step * upper
    return image.clamp_min_(-1024).mul_(scanner.gain).add_(scanner.offset)
