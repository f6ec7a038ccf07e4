"""What a cone-beam scanner does to an image: blur, noise, shading, rings, truncation, motion.

Fast image-domain approximations, each drawn with its own probability. Nothing here moves a structure by
more than a fraction of a voxel of the blur, so that the label map stays exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spine_node.phantom.lattice import Field, Lattice
from spine_node.phantom.skeleton import Skeleton


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
        )


def grain(
    seed: int,
    rows: tuple[int, int],
    plane: tuple[int, int],
    sigma_voxels: NDArray[np.float64],
    halo: int,
    total: int,
) -> Field:
    """Unit noise with this correlation on the slices rows[0]..rows[1], the same however it is cut up."""
    first, last = max(rows[0] - halo, 0), min(rows[1] + halo, total)
    white = np.empty((last - first, *plane), np.float32)
    for k in range(first, last):
        np.random.default_rng([seed, k]).standard_normal(out=white[k - first], dtype=np.float32)
    if sigma_voxels.max() > 0.25:
        white = ndimage.gaussian_filter(white, sigma_voxels, truncate=3.0, mode="reflect")
        # gaussian smoothing lowers the spread by the square root of its support
        white *= np.float32(np.prod([_spread_loss(float(s)) for s in sigma_voxels]))
    return np.asarray(white[rows[0] - first : rows[1] - first])


def coarse_noise(seed: int, at: Lattice) -> Field:
    """Unit noise on a coarse lattice, correlated over its neighbours."""
    white = np.random.default_rng([seed, 815]).standard_normal(at.shape, dtype=np.float32)
    return np.asarray(ndimage.gaussian_filter(white, 0.6) * np.float32(_spread_loss(0.6) ** 3))


def _spread_loss(sigma: float) -> float:
    x = np.arange(-max(1, int(3 * sigma + 0.5)), max(1, int(3 * sigma + 0.5)) + 1)
    kernel = np.exp(-0.5 * (x / max(sigma, 1e-3)) ** 2)
    kernel /= kernel.sum()
    return float(1 / np.sqrt((kernel**2).sum()))


def shading(
    scanner: Scanner, skeleton: Skeleton, body: Field, bone: Field, at: Lattice
) -> tuple[Field, Field]:
    """Additive shading and relative noise on a coarse lattice.

    `body` is the share (0..1) of patient there, `bone` how much bone, in any unit.
    """
    step = float(at.spacing_mm.mean())
    x, y = at.along([1, 0, 0], np.zeros(3)), at.along([0, 1, 0], np.zeros(3))
    z = at.along([0, 0, 1], np.zeros(3))
    out = np.zeros(at.shape, np.float32)
    thick = ndimage.gaussian_filter(body, 45 / step)
    thick /= max(float(thick.max()), 1e-3)
    hard = ndimage.gaussian_filter(bone, 22 / step)
    hard /= max(float(hard.max()), 1e-3)
    if scanner.cupping:
        out -= np.float32(scanner.cupping) * thick**2
    if scanner.veil:
        out -= np.float32(scanner.veil) * hard
    if scanner.cone:
        middle, half = float(z.mean()), float(np.ptp(z)) / 2
        out += (
            np.float32(scanner.cone)
            * ((np.abs(z - middle) / half) ** 4)
            * np.sign(np.sin(scanner.blur_mm * 100))
        )
    if scanner.hardening:
        left, right = (skeleton.heads[s][0] for s in ("left", "right"))
        across = np.hypot((y - (left[1] + right[1]) / 2) / 16, (z - (left[2] + right[2]) / 2) / 24)
        reach = float(np.linalg.norm(left - right)) / 2
        out -= np.float32(scanner.hardening) * np.exp(-(across**2)) / (1 + np.exp((np.abs(x) - reach) / 8))
    noise = (0.55 + 0.6 * thick + 0.5 * hard).astype(np.float32)
    return out, noise


def axial_pattern(
    seed: int, scanner: Scanner, plane: tuple[int, int], spacing_mm: tuple[float, float]
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
    return pattern, rim


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
    """Blurred tissue to scanner values; `heights` is each slice's place between bottom (0) and top (1)."""
    weight, dx, dy = scanner.ghost
    if weight:
        swayed = ndimage.shift(image, (0, dy / spacing_mm[0], dx / spacing_mm[1]), order=1, mode="nearest")
        image = (1 - weight) * image + weight * swayed
    image = image + shade
    image += np.float32(scanner.noise) * noise * relative_noise
    if rim is not None:
        image += rim * (image > -600)
    if pattern is not None:
        image += pattern
    at, step, gain = scanner.seam
    if step or gain:
        upper = np.clip((heights - at) * 60 + 0.5, 0, 1).astype(np.float32)[:, None, None]
        image *= 1 + np.float32(gain) * upper
        image += np.float32(step) * upper
    np.maximum(image, -1024, out=image)
    image *= np.float32(scanner.gain)
    image += np.float32(scanner.offset)
    return np.asarray(image)
