"""What a scanner shows of a person: grid orientation, field of view, surface noise, resampling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spine_node.imaging.volume import Grid, LabelMap
from tests.accuracy.bodies import Body
from tests.accuracy.frames import Array, about
from tests.accuracy.pelvis import Head, HipBone, Sacrum
from tests.accuracy.skeleton import Skeleton
from tests.accuracy.voxels import Roughness, grid_around, rasterise

VARIANTS = ("exact", "noise", "nearest")
CROPS = ("whole", "no C7", "one head", "no heads", "lumbar only", "pelvis only")


@dataclass(frozen=True, eq=False)
class View:
    """A label map of a person, and which bones are whole in it."""

    label_map: LabelMap
    crop: str
    seen: frozenset[str]


def crop_of(seed: int) -> str:
    """The field of view that goes with a person: three of five see everything."""
    rng = np.random.default_rng([77, seed])
    return "whole" if rng.random() < 0.6 else str(CROPS[1 + rng.integers(len(CROPS) - 1)])


def view(skeleton: Skeleton, spacing_mm: float, variant: str, crop: str) -> View:
    """The label map of a person as one scanner would give it; the person's seed settles the rest."""
    rng = np.random.default_rng([78, skeleton.person.seed, VARIANTS.index(variant)])
    axes = _axes(rng, oblique=rng.random() < 0.3)
    grid = _cropped(grid_around(skeleton, np.full(3, spacing_mm), axes), skeleton, crop, rng)
    if variant == "nearest":
        return View(_resampled(skeleton, grid, spacing_mm, rng), crop, seen(skeleton, grid))
    rough = Roughness(skeleton.person.seed) if variant == "noise" else None
    return View(rasterise(skeleton, grid, rough), crop, seen(skeleton, grid))


def _axes(rng: np.random.Generator, oblique: bool) -> Array:
    axes = np.eye(3)[:, rng.permutation(3)] * rng.choice([-1.0, 1.0], 3)
    if oblique:
        for axis in range(3):
            axes = about(axis, float(rng.uniform(-12, 12))) @ axes
    return axes


def _resampled(skeleton: Skeleton, grid: Grid, spacing_mm: float, rng: np.random.Generator) -> LabelMap:
    """Nearest neighbours of another map: turned by up to 15 degrees, with voxels that are no cubes."""
    axes = np.eye(3)
    for axis in range(3):
        axes = about(axis, float(rng.uniform(-15, 15))) @ axes
    source = rasterise(skeleton, grid_around(skeleton, spacing_mm * rng.uniform(0.7, 1.2, 3), axes))
    labels = np.zeros(grid.shape, dtype=np.uint8)
    step = np.linalg.solve(source.grid.affine, grid.affine)
    for i in range(grid.shape[0]):
        j, k = np.meshgrid(np.arange(grid.shape[1]), np.arange(grid.shape[2]), indexing="ij", sparse=True)
        at = [row[0] * i + row[1] * j + row[2] * k + row[3] for row in step[:3]]
        index = [np.rint(a).astype(np.int32) for a in at]
        inside = np.ones(index[0].shape, dtype=bool)
        for a, n in zip(index, source.grid.shape, strict=True):
            inside &= (a >= 0) & (a < n)
        labels[i][inside] = source.labels[tuple(a[inside] for a in index)]
    return LabelMap(grid, labels)


def _cropped(grid: Grid, skeleton: Skeleton, crop: str, rng: np.random.Generator) -> Grid:
    if crop == "whole":
        return grid
    centres = {n: part.origin for n, part in skeleton.bodies.items()}
    s1 = skeleton.sacrum.origin
    hips = [part.out(part.shape.centre) for part in skeleton.heads.values()]  # type: ignore[union-attr]
    low, high = np.full(3, -np.inf), np.full(3, np.inf)
    if crop == "no C7":
        high[2] = centres[("T1", "T2", "T4")[rng.integers(3)]][2] + rng.uniform(-8, 8)
    elif crop == "no heads":
        low[2] = max(h[2] for h in hips) + rng.uniform(0, 35)
    elif crop == "lumbar only":
        low[2], high[2] = s1[2] - rng.uniform(45, 65), centres["T12"][2] + rng.uniform(-10, 10)
    elif crop == "pelvis only":
        high[2] = centres[skeleton.levels[-1]][2] + rng.uniform(-10, 10)
    elif rng.random() < 0.5:
        high[0] = s1[0] + rng.uniform(48, 70)
    else:
        low[0] = s1[0] - rng.uniform(48, 70)
    # cut along the array axes that run most nearly along x and z, through the sacrum or the spine
    start, stop = np.zeros(3, dtype=int), np.array(grid.shape)
    middle = s1 if crop in ("pelvis only", "one head") else (s1 + centres["T12"]) / 2
    for world in range(3):
        for bound in (low[world], high[world]):
            if not np.isfinite(bound):
                continue
            axis = int(np.argmax(np.abs(grid.affine[world, :3])))
            point = middle.copy()
            point[world] = bound
            at = int(np.rint(grid.to_index(point)[axis]))
            upward = grid.affine[world, axis] > 0
            if (bound == low[world]) == upward:
                start[axis] = max(start[axis], at)
            else:
                stop[axis] = min(stop[axis], at + 1)
    affine = grid.affine.copy()
    affine[:3, 3] = grid.to_mm(start)
    shape = stop - start
    return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine)


def seen(skeleton: Skeleton, grid: Grid) -> frozenset[str]:
    """Bones that lie inside the grid with two voxels to spare; of the sacrum, the plate and 25 mm below."""

    def within(points: Array) -> bool:
        index = grid.to_index(points)
        return bool((index >= 2).all() and (index <= np.array(grid.shape) - 3).all())

    found = set()
    for level in skeleton.levels:
        placed = skeleton.bodies[level]
        body, bow = placed.shape, skeleton.arches[level]
        assert isinstance(body, Body)
        points = [body.superior.rim(), body.inferior.rim()]
        if level == "C2":
            points.append(body.dens_tip[None])
        low, high = bow.shape.box
        corners = np.array(np.meshgrid(*np.column_stack([low, high]))).reshape(3, -1).T
        if within(np.concatenate([placed.out(p) for p in points] + [bow.out(corners)])):
            found.add(level)
    sacrum = skeleton.sacrum
    assert isinstance(sacrum.shape, Sacrum)
    rim = sacrum.shape.plate.rim()
    if within(sacrum.out(np.concatenate([rim, rim - [0, 0, 25]]))):
        found.add("S1")
    for side in ("left", "right"):
        head, hip = skeleton.heads[side], skeleton.hips[side]
        assert isinstance(head.shape, Head)
        assert isinstance(hip.shape, HipBone)
        ball = head.shape.centre + head.shape.radius * np.concatenate([np.eye(3), -np.eye(3)])
        if within(head.out(ball)):
            found.add(f"head {side}")
        top = hip.out(hip.shape.highest(hip.turn.T @ skeleton.up))
        if within(top + 4 * np.concatenate([np.eye(3), -np.eye(3)])):
            found.add(f"hip {side}")
    return frozenset(found)
