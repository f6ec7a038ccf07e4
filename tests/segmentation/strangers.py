"""Volumes that show no spine: what a node gets by mistake. Upright grids, Hounsfield-like values."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from scipy import ndimage

from spine_node.imaging.volume import Volume
from tests.segmentation.toy_spine import toy_grid

AIR, SOFT, FAT, MARROW, SHELL, METAL = -1000.0, 45.0, -100.0, 150.0, 1100.0, 5000.0


class Scene:
    """Shapes painted one over the other in (z, y, x) millimetres from the middle of the field."""

    def __init__(self, size_mm: tuple[float, float, float], spacing_mm: float) -> None:
        self.grid = toy_grid(spacing_mm, size_mm)
        points = self.grid.to_mm(np.moveaxis(np.indices(self.grid.shape), 0, -1))
        self.x, self.y, self.z = (points[..., a] for a in range(3))
        self.values = np.full(self.grid.shape, AIR)

    def away(self, *path: tuple[float, float, float]) -> np.ndarray:
        """Distance to a line through these points (x, y, z), mm."""
        here = np.stack([self.x, self.y, self.z], axis=-1)
        best = np.full(self.values.shape, np.inf)
        for a, b in pairwise(path):
            start, step = np.array(a), np.subtract(b, a)
            along = np.clip((here - start) @ step / (step @ step), 0, 1)
            best = np.minimum(best, np.linalg.norm(here - start - along[..., None] * step, axis=-1))
        return best

    def tube(self, radius: float, wall: float, *path: tuple[float, float, float]) -> None:
        """A long bone: a shell about marrow."""
        away = self.away(*path)
        self.values[away < radius] = SHELL
        self.values[away < radius - wall] = MARROW

    def flesh(self, half_x: float, half_y: float, x: float = 0.0) -> None:
        """A cylinder of muscle under fat."""
        r = np.hypot((self.x - x) / half_x, self.y / half_y)
        self.values[r < 1] = FAT
        self.values[r < 0.88] = SOFT

    def volume(self, seed: int, noise: float = 30.0) -> Volume:
        """As a scanner would show it: a little blurred and noisy."""
        rng = np.random.default_rng(seed)
        soft = ndimage.gaussian_filter(self.values, 1.0 / self.grid.spacing_mm[0])
        values = soft + rng.normal(0, noise, soft.shape)
        return Volume(self.grid, values.astype(np.float32))


def water(scene: Scene, _rng: np.random.Generator) -> None:
    scene.values[np.hypot(scene.x, scene.y) < 70] = 0.0


def air(_scene: Scene, _rng: np.random.Generator) -> None:
    pass


def white_noise(scene: Scene, rng: np.random.Generator) -> None:
    scene.values = rng.normal(0, 300, scene.values.shape)


def cloudy_noise(scene: Scene, rng: np.random.Generator) -> None:
    cloud = ndimage.gaussian_filter(rng.normal(0, 1, scene.values.shape), 8.0 / scene.grid.spacing_mm[0])
    scene.values = cloud / cloud.std() * 300


def blobs(scene: Scene, rng: np.random.Generator) -> None:
    """Bright lumps of a vertebra's size, nowhere in line."""
    scene.flesh(75, 70)
    for _ in range(14):
        centre = rng.uniform([-50, -45, -95], [50, 45, 95])
        r = np.sqrt(
            sum(
                ((a - c) / s) ** 2
                for a, c, s in zip((scene.x, scene.y, scene.z), centre, rng.uniform(7, 18, 3), strict=True)
            )
        )
        scene.values[r < 1] = rng.uniform(150, 700)


def thigh(scene: Scene, _rng: np.random.Generator) -> None:
    scene.flesh(72, 70)
    scene.tube(14, 4.5, (5, -5, -200), (-5, 0, 200))


def knee(scene: Scene, _rng: np.random.Generator) -> None:
    scene.flesh(65, 62)
    for x in (-22.0, 22.0):
        scene.tube(24, 2.0, (x, 0, 22), (x * 0.8, 0, 30))
        scene.tube(22, 2.0, (x, 0, -24), (x * 0.8, 0, -30))
    scene.tube(15, 4.0, (0, -4, 45), (0, -6, 200))
    scene.tube(14, 4.0, (0, 2, -45), (0, 2, -200))
    scene.tube(6, 2.0, (-38, 18, -40), (-38, 18, -200))
    scene.tube(19, 2.0, (0, -42, 20), (0, -42, 26))


def forearm(scene: Scene, _rng: np.random.Generator) -> None:
    scene.flesh(40, 30)
    scene.tube(7, 2.5, (-14, 0, -200), (-10, 0, 200))
    scene.tube(7, 2.5, (12, 2, -200), (14, 2, 200))


def hand(scene: Scene, _rng: np.random.Generator) -> None:
    """Phalanges in line, with joints between: the nearest to a column of bodies a limb has."""
    scene.flesh(60, 16)
    for x in (-40.0, -20.0, 0.0, 20.0, 40.0):
        for low, high, radius in ((-100, -50, 6.5), (-45, -12, 5.5), (-8, 14, 5.0), (18, 34, 4.5)):
            scene.tube(radius, 1.5, (x * 0.8, 0, low + radius), (x, 0, high - radius))


def head(scene: Scene, _rng: np.random.Generator) -> None:
    """A skull as a shell, sinuses and a jaw; no neck."""
    r = np.sqrt((scene.x / 72) ** 2 + (scene.y / 76) ** 2 + ((scene.z - 5) / 90) ** 2)
    scene.values[r < 1.0] = SOFT
    scene.values[(r < 0.95) & (r > 0.86)] = SHELL
    scene.values[(abs(scene.x) < 16) & (abs(scene.y + 45) < 14) & (abs(scene.z + 25) < 14)] = AIR
    jaw = [(50 * np.sin(t), -62 * np.cos(t) + 5, -68.0) for t in np.linspace(-1.2, 1.2, 8)]
    scene.tube(8, 2.5, *jaw)


def ribs(scene: Scene, _rng: np.random.Generator) -> None:
    """The side of a chest: lung within, ribs about it, the spine not in the field."""
    scene.flesh(76, 76)
    scene.values[np.hypot(scene.x / 58, scene.y / 58) < 1] = -850.0
    for top in range(-120, 160, 26):
        arc = [(64 * np.cos(t), 64 * np.sin(t), top - 22 * t) for t in np.linspace(-1.4, 1.4, 10)]
        scene.tube(5.0, 1.5, *arc)


def rod(scene: Scene, _rng: np.random.Generator) -> None:
    """A metal rod with screw heads in water."""
    scene.values[np.hypot(scene.x, scene.y) < 70] = 20.0
    scene.values[scene.away((8, 10, -90), (0, 0, 90)) < 3.5] = METAL
    for z in (-60.0, -25.0, 10.0, 45.0):
        scene.values[scene.away((4, 0, z), (4, 18, z)) < 4] = METAL


def tins(scene: Scene, _rng: np.random.Generator) -> None:
    """Cylinders of bone's density piled up in water as bodies are, without anything behind them."""
    scene.values[np.hypot(scene.x, scene.y) < 70] = 20.0
    for z in range(-85, 100, 32):
        scene.values[(np.hypot(scene.x / 22, scene.y / 17) < 1) & (abs(scene.z - z) < 12)] = 350.0


def pelvis(scene: Scene, _rng: np.random.Generator) -> None:
    """One hip joint and its femur, as a field about the hip shows them."""
    scene.flesh(78, 76)
    scene.values[scene.away((-10, 0, 25), (-10.1, 0, 25)) < 23] = 350.0
    scene.tube(12, 3.0, (-10, 0, 25), (30, 5, -15))
    scene.tube(14, 4.0, (32, 5, -20), (28, 8, -200))
    cup = scene.away((-10, 0, 25), (-10.1, 0, 25))
    scene.values[(cup > 27) & (cup < 33) & (scene.x < 0)] = SHELL
    wing = (abs(scene.x + 40 + 0.3 * (scene.z - 40)) < 5) & (scene.z > 50) & (abs(scene.y - 5) < 45)
    scene.values[wing] = 600.0
    scene.tube(9, 2.5, (-30, -25, 0), (-70, -45, -25))
    scene.tube(10, 2.5, (-28, 25, 5), (-45, 40, -45))


STRANGERS: dict[str, Callable[[Scene, np.random.Generator], None]] = {
    f.__name__: f
    for f in (water, air, white_noise, cloudy_noise, blobs, thigh, knee, forearm, hand, head, ribs, rod, tins,
              pelvis)
}  # fmt: skip


def stranger(
    name: str,
    seed: int = 1,
    size_mm: tuple[float, float, float] = (220, 158, 158),
    spacing_mm: float = 2.0,
) -> Volume:
    """One of `STRANGERS`; the default field is one window of the bundled net."""
    scene = Scene(size_mm, spacing_mm)
    STRANGERS[name](scene, np.random.default_rng(seed))
    return scene.volume(seed)
