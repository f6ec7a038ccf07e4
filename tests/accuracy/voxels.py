"""Label maps of a skeleton: inside-functions evaluated at voxel centres, bone by bone, in their boxes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from spine_node.imaging.volume import Grid, LabelMap
from tests.accuracy.dimensions import ARCH, LABELS
from tests.accuracy.frames import Array
from tests.accuracy.pelvis import Sacrum
from tests.accuracy.skeleton import Placed, Skeleton
from tests.accuracy.solids import Bone, Solid

MARGIN_MM = 12.0
"""Empty space about the person in a whole scan."""


def structures(skeleton: Skeleton) -> Iterator[tuple[int, Placed]]:
    """Label value and bone, in the order in which voxels are claimed: bodies before all else."""
    for level in skeleton.levels:
        yield LABELS[level], skeleton.bodies[level]
    yield LABELS["S1"], skeleton.sacrum
    for side in ("left", "right"):
        yield LABELS[f"head {side}"], skeleton.heads[side]
    for level in skeleton.levels[::-1]:
        yield LABELS[level] + ARCH, skeleton.arches[level]
    yield LABELS["C1"], skeleton.atlas[0]
    yield LABELS["C1"] + ARCH, skeleton.atlas[1]
    for side in ("left", "right"):
        yield LABELS[f"hip {side}"], skeleton.hips[side]


def _corners(box: tuple[Array, Array]) -> Array:
    return np.array(np.meshgrid(*np.column_stack(box))).reshape(3, -1).T


def grid_around(skeleton: Skeleton, spacing_mm: Array, axes: Array) -> Grid:
    """A grid that holds everyone of the skeleton's bones.

    Parameters
    ----------
    spacing_mm : ndarray, shape (3,)
        Along each array axis.
    axes : ndarray, shape (3, 3)
        Columns: where each array axis points in LPS, unit vectors at right angles.
    """
    points = [placed.out(_corners(placed.shape.box)) for _, placed in structures(skeleton)]
    along = np.concatenate(points) @ axes
    low, high = along.min(axis=0) - MARGIN_MM, along.max(axis=0) + MARGIN_MM
    shape = np.ceil((high - low) / spacing_mm).astype(int) + 1
    affine = np.eye(4)
    affine[:3, :3] = axes * spacing_mm
    affine[:3, 3] = axes @ low
    return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine)


@dataclass(frozen=True, eq=False)
class Roughness:
    """A smooth random displacement of a bone's surface, every component with the same RMS.

    `length_mm` is where the autocorrelation has fallen to 1/e.
    """

    seed: int
    rms_mm: float = 0.5
    length_mm: float = 8.0

    def displacement(self, value: int, box: tuple[Array, Array]) -> _Field:
        """The displacement of the bone with this label value."""
        step = 2.5
        low = box[0] - 10
        shape = np.ceil((box[1] + 10 - low) / step).astype(int) + 1
        rng = np.random.default_rng([self.seed, value])
        sigma = self.length_mm / 2 / step
        white = rng.standard_normal((3, *shape))
        smooth = ndimage.gaussian_filter(white, (0, sigma, sigma, sigma), mode="wrap")
        # the gain of the filter, not of this draw: a bone may be rougher or smoother by chance
        gain = (2 * np.sqrt(np.pi) * sigma) ** -1.5
        return _Field((smooth * self.rms_mm / gain).astype(np.float32), low, step)


@dataclass(frozen=True, eq=False)
class _Field:
    lattice: Array
    low: Array
    step: float

    def __call__(self, x: Array, y: Array, z: Array) -> list[Array]:
        at = np.stack([(c - o) / self.step for c, o in zip((x, y, z), self.low, strict=True)])
        return [
            ndimage.map_coordinates(part, at, order=1, mode="nearest", output=np.float32)
            for part in self.lattice
        ]


def _pieces(placed: Placed) -> Iterator[tuple[Solid, tuple[Array, Array]]]:
    """Parts that are cheaper in their own boxes."""
    shape = placed.shape
    if isinstance(shape, Bone):
        yield from shape.pieces()
    elif isinstance(shape, Sacrum):
        yield shape.segment, shape.segment.box
        yield from shape.rest.pieces()
    else:
        yield shape, shape.box


def rasterise(skeleton: Skeleton, grid: Grid, rough: Roughness | None = None) -> LabelMap:
    """The label map of a skeleton on a grid; a voxel belongs to the bone that claims its centre first."""
    labels = np.zeros(grid.shape, dtype=np.uint8)
    for value, placed in structures(skeleton):
        field = None if rough is None else rough.displacement(value, placed.shape.box)
        to_local = placed.turn.T @ grid.affine[:3, :3]
        base = placed.turn.T @ (grid.affine[:3, 3] - placed.origin)
        for part, (low, high) in _pieces(placed):
            grow = 0.0 if field is None else 2.5
            index = grid.to_index(placed.out(_corners((low - grow, high + grow))))
            start = np.maximum(np.floor(index.min(axis=0)).astype(int), 0)
            stop = np.minimum(np.ceil(index.max(axis=0)).astype(int) + 1, grid.shape)
            if (stop <= start).any():
                continue
            i, j, k = (np.arange(a, b, dtype=float) for a, b in zip(start, stop, strict=True))
            local = []
            for row, b in zip(to_local, base, strict=True):
                first, second = (row[0] * i + b).astype(np.float32), (row[1] * j).astype(np.float32)
                third = (row[2] * k).astype(np.float32)
                local.append(first[:, None, None] + second[:, None] + third)
            window = labels[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))]
            near = window == 0
            for c, a, b in zip(local, low - grow, high + grow, strict=True):
                near &= (c >= a) & (c <= b)
            x, y, z = (c[near] for c in local)
            if field is not None:
                ux, uy, uz = field(x, y, z)
                x, y, z = x + ux, y + uy, z + uz
            window[near] = np.where(part.contains(x, y, z), np.uint8(value), np.uint8(0))
    return LabelMap(grid, labels)
