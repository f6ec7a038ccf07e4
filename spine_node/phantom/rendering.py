"""From a person and a scanner to voxels, a few slices at a time.

On a CPU each thread works its way up a part of the image: slabs fit the caches, and no thread waits for
another. What lies next to a slab is needed for its blur; it is handed on from slab to slab.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray

from spine_node.phantom import implants, paint, physics, scene, tissue
from spine_node.phantom import layers as fields
from spine_node.phantom.arms import arm_bones
from spine_node.phantom.drawing import Solid
from spine_node.phantom.habitus import Habitus
from spine_node.phantom.lattice import Field, Lattice
from spine_node.phantom.skeleton import Skeleton
from spine_node.phantom.smoothing import halo, smooth, taps, weigh

SLAB_VOXELS = {"cpu": 3_000_000, "cuda": 60_000_000}
"""How many voxels are painted at once, per thread: bounds the memory beside the result."""

SWAY_STEP = 0.05
"""Fraction of a voxel to which the patient's sway is rounded."""

BIAS_MM = 50.0
"""Width of the smooth field that random contrast is multiplied with."""


@contextmanager
def one_thread_per_operation() -> Iterator[int]:
    """How many threads torch may use, each operation having one of them meanwhile.

    Threads that share an operation wait for each other at its end. There are thousands of small ones
    here, and on a machine with other work that waiting takes longer than the operations.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)


class Rendering:
    """One image in the making: everything that its slabs have in common."""

    def __init__(
        self,
        skeleton: Skeleton,
        at: Lattice,
        scanner: physics.Scanner,
        habitus: Habitus,
        palette: paint.Palette,
        metal: implants.Metal,
        seed: int,
        rng: np.random.Generator,
        more: Sequence[Solid] = (),
    ) -> None:
        self.at, self.scanner, self.palette, self.metal = at, scanner, palette, metal
        self.scene = scene.Scene(skeleton, [*more, *arm_bones(skeleton, habitus.arms)])
        n, rows, columns = at.shape
        self.blur = scanner.blur_voxels(at.spacing_mm)
        grain = scanner.grain_mm / at.spacing_mm
        plane = (float(at.spacing_mm[1]), float(at.spacing_mm[2]))
        j, i = np.ogrid[:rows, :columns]
        radius = np.hypot((j - (rows - 1) / 2) * plane[0], (i - (columns - 1) / 2) * plane[1])
        z = at.affine[2, 0] * np.arange(n)
        self.heights = (z - z.min()) / max(float(np.ptp(z)), 1e-6)
        # displacement in steps too small to see, so that most slices share theirs
        fine = SWAY_STEP * np.array(plane[::-1])
        self.sway_mm = np.round(scanner.sway_mm(self.heights) / fine) * fine
        with torch.inference_mode():
            self.wide = fields.coarse(at)
            self.layers = tissue.Surroundings(skeleton, self.wide, habitus, rng).build()
            skin = self.layers[0]
            body = self.wide.full(0)
            body[skin.where] = (0.5 - skin.distance_mm / fields.COARSE_MM).clamp_(0, 1)
            bone = scene.bone_mass(skeleton, self.wide)
            self.shade, self.relative_noise = physics.shading(scanner, body, bone, self.wide)
            self.shade += implants.streaks(metal, self.wide, seed)
            self.lumps = physics.coarse_noise(seed, self.wide)
            self.bias: Field | None = None
            if palette.bias:
                waves = smooth(physics.coarse_noise(seed + 2, self.wide), (BIAS_MM / fields.COARSE_MM,) * 3)
                self.bias = torch.exp(waves * (palette.bias / float(waves.std())))
            self.textures = physics.Grain(seed, (rows, columns), 1.1 * grain + 0.3, at.device)
            self.noises = physics.Grain(seed + 1, (rows, columns), grain, at.device)
            self.pattern, self.rim = physics.axial_pattern(seed, scanner, (rows, columns), plane, at.device)
            self.outside = torch.from_numpy(radius > scanner.field_radius_mm).to(at.device)

    def voxels(self, threads: int = 1) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.uint8]]:
        """Grey values, labels and tissue kinds of the whole image; `threads` share a CPU's work."""
        n = self.at.shape[0]
        self._values = torch.empty(self.at.shape, dtype=torch.float32)
        self._labels, self._semantic = torch.empty((2, *self.at.shape), dtype=torch.uint8).unbind(0)
        if self.at.device.type == "cpu" and threads > 1:
            parts = max(1, min(2 * threads, n // 16))  # the pelvis takes longer than the chest
            cuts = [n * k // parts for k in range(parts + 1)]
            with ThreadPoolExecutor(threads) as pool:
                for _ in pool.map(self._part, cuts, cuts[1:]):
                    pass
        else:
            self._part(0, n)
        return self._values.numpy(), self._labels.numpy(), self._semantic.numpy()

    @torch.inference_mode()
    def _part(self, start: int, stop: int) -> None:
        """Make the slices from `start` to `stop`, slab by slab."""
        n, rows, columns = self.at.shape
        step = max(4, SLAB_VOXELS[self.at.device.type] // (rows * columns))
        weights = taps(self.blur[0]) if halo(self.blur[0]) else [1.0]
        reach = len(weights) - 1
        painted = torch.empty((0, rows, columns), device=self.at.device)
        bottom = top = max(start - reach, 0)  # which slices are in `painted`
        for first in range(start, stop, step):
            last = min(first + step, stop)
            pieces = [painted[max(first - reach, 0) - bottom :]]
            while top < min(last + reach, n):  # what moved together is painted together
                end = min(self._together(top), last + reach)
                pieces.append(self._painted(top, end, (start, stop)))
                top = end
            painted, bottom = torch.cat(pieces), max(first - reach, 0)
            image = painted
            if reach:
                below = image[:1].expand(max(reach - first, 0), -1, -1)
                above = image[-1:].expand(max(last + reach - n, 0), -1, -1)
                image = weigh(torch.cat((below, image, above)), 0, weights)
            self._expose(image, first, last)

    def _together(self, first: int) -> int:
        """End of the run of slices that are displaced as this one is."""
        other = np.flatnonzero((self.sway_mm[first:] != self.sway_mm[first]).any(axis=1))
        return first + int(other[0]) if len(other) else self.at.shape[0]

    def _painted(self, first: int, last: int, keep: tuple[int, int]) -> Field:
        """Tissues of the slices first..last, blurred in their planes; labels of those within `keep`."""
        _, rows, columns = self.at.shape
        block = self.at.block((slice(first, last), slice(0, rows), slice(0, columns)))
        down, right = self.sway_mm[first][::-1] / self.at.spacing_mm[1:]
        block.affine[:3, 3] -= block.affine[:3, 1] * down + block.affine[:3, 2] * right
        drawing = self.scene.draw(block)
        image = paint.paint(
            drawing,
            self.layers,
            self.palette,
            self.textures.slices(first, last),
            fields.refine(self.lumps, self.at.shape, (first, last)),
            coarse_shape=self.wide.shape,
            full_shape=self.at.shape,
            rows=(first, last),
            voxel_mm=float(np.cbrt(np.prod(self.at.spacing_mm))),
            moved=(float(down), float(right)),
        )
        for parts, value in (
            (self.metal.cement, self.metal.cement_value),
            (self.metal.parts, self.metal.value),
        ):
            if parts:
                share = implants.density(parts, block)
                image.lerp_(torch.full((), value, device=image.device), share)
        if self.bias is not None:
            image *= fields.refine(self.bias, self.at.shape, (first, last))
        low, high = max(first, keep[0]), min(last, keep[1])
        if high > low:
            mine = slice(low - first, high - first)
            self._labels[low:high] = drawing.labels[mine].masked_fill_(self.outside, 0)
            self._semantic[low:high] = drawing.semantic[mine].masked_fill_(self.outside, 0)
        return smooth(image, (0.0, self.blur[1], self.blur[2]))

    def _expose(self, image: Field, first: int, last: int) -> None:
        values = physics.expose(
            image,
            self.scanner,
            noise=self.noises.slices(first, last),
            shade=fields.refine(self.shade, self.at.shape, (first, last)),
            relative_noise=fields.refine(self.relative_noise, self.at.shape, (first, last)),
            pattern=self.pattern,
            rim=self.rim,
            heights=self.heights[first:last],
            spacing_mm=(float(self.at.spacing_mm[1]), float(self.at.spacing_mm[2])),
        )
        outside = self.scanner.offset - 1000 * self.scanner.gain
        self._values[first:last] = values.masked_fill_(self.outside, outside)
