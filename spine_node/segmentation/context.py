"""What the context net says about a whole volume: where the spine and pelvis are, which level is where.

It works at coarse voxels and sees 384 mm of the patient at once: enough to tell T7 from T8, and a
spine from an elbow. Outlines are not its business: the fine net draws them, and looks only where this
one saw something.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cc3d
import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from spine_node.imaging.volume import FloatArray, Grid, Volume
from spine_node.segmentation.bundle import Net
from spine_node.segmentation.canonical import canonical
from spine_node.segmentation.classes import BODY, HEAD, HIP, POSTERIOR, SACRUM
from spine_node.segmentation.instances import LEAST_BODY_MM3
from spine_node.segmentation.networks import SpineNet
from spine_node.segmentation.windows import infer

SEEN = 0.2
"""Probability of any structure from which a voxel counts as seen: low, so that nothing is lost."""

MARGIN_MM = 27.0
"""Around what was seen the fine net looks too: a whole vertebra that was missed between two others."""

PELVIS_ABOVE_MM = 120.0
"""Highest that the middle of a hip bone or femoral head may lie above the lowest end of the spine that
is in view, a sacrum's length: what looks like one higher up is a rib, a shoulder blade or an arm."""

BESIDE_MM = 50.0
"""Furthest that a piece of spine may lie from the rest of it at its own height: further out it is a
shoulder, a rib or an arm."""

STEP_MM = 9.0
"""Pieces of spine with less than twice this between them go on one from the other: a tall disc is 15 mm."""

SPECK_MM3 = 1000.0
"""Smaller things that were seen are noise (the body of C5 has 3000 mm3)."""

BODY_SEEN = 0.3
"""Probability of a vertebral body from which a voxel speaks for a spine in the volume."""

LEVEL_FLOOR = -6.0
"""Log probabilities of levels are cut here: below it they say only "surely not"."""


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """The context net's view of a volume.

    Attributes
    ----------
    grid : Grid
        Canonical, at the net's spacing.
    near : ndarray of bool, shape of the grid
        Within `MARGIN_MM` (in each axis) of a bone that was seen.
    level : ndarray, shape (levels, z/2, y/2, x/2) (rounded up)
        Log probabilities, meaningful inside bodies.
    body_mm3 : float
        How much of the volume looks like vertebral bodies.
    """

    grid: Grid
    near: NDArray[np.bool_]
    level: NDArray[np.float32]
    body_mm3: float

    @property
    def shows_spine(self) -> bool:
        """Whether at least one vertebral body may be in view."""
        return self.body_mm3 >= LEAST_BODY_MM3

    def near_on(self, grid: Grid) -> NDArray[np.bool_]:
        """`near` at the voxels of another canonical grid."""
        index = []
        for axis, n in enumerate(grid.shape):
            points = np.zeros((n, 3))
            points[:, axis] = np.arange(n)
            here = np.rint(self.grid.to_index(grid.to_mm(points))[:, axis]).astype(int)
            index.append(np.clip(here, 0, self.grid.shape[axis] - 1))
        return self.near[np.ix_(*index)]

    def level_of(self, grid: Grid, bodies: NDArray[np.uint8], count: int) -> FloatArray:
        """Mean log probability of each level inside each body; even odds where a body has no voxel.

        Parameters
        ----------
        grid : Grid
            Of `bodies`.
        bodies : ndarray, shape of the grid
            1 to `count` for the voxels of a body, 0 elsewhere.

        Returns
        -------
        ndarray, shape (count, levels)
        """
        where = np.argwhere(bodies)
        half = np.rint((self.grid.to_index(grid.to_mm(where)) - 0.5) / 2).astype(int)
        half = np.clip(half, 0, np.array(self.level.shape[1:]) - 1)
        said = np.maximum(self.level[:, half[:, 0], half[:, 1], half[:, 2]], LEVEL_FLOOR)
        which = bodies[tuple(where.T)]
        levels = len(self.level)
        total = np.array([np.bincount(which, weights=row, minlength=count + 1)[1:] for row in said]).T
        size = np.bincount(which, minlength=count + 1)[1:, None]
        return np.where(size > 0, total / np.maximum(size, 1), -np.log(levels))


def look(
    network: SpineNet, net: Net, volume: Volume, device: torch.device, tick: Callable[[float], None]
) -> Context:
    """Ask the context net about a whole volume.

    Raises
    ------
    SeriesRefused
        If the volume is too small or constant.
    """
    view = canonical(volume, net.spacing_mm)
    heads = infer(network, view.values, net.patch, net.overlap, device, tick)
    assert heads.level is not None  # a bundle's context net has levels: its architecture was verified
    chance = np.exp(heads.semantic.numpy())
    chance[:, ~view.inside] = 0.0
    seen = _seen(chance, net.spacing_mm)
    width = 2 * round(MARGIN_MM / net.spacing_mm) + 1
    near = ndimage.maximum_filter(seen, width)
    bodies = (chance[BODY] > BODY_SEEN) & seen
    return Context(view.grid, near, heads.level.numpy(), float(bodies.sum() * net.spacing_mm**3))


def _seen(chance: NDArray[np.float32], spacing_mm: float) -> NDArray[np.bool_]:
    """Where bone of spine and pelvis may be: no specks, no pelvis beside the chest, no spine in an arm."""
    spine = chance[[BODY, POSTERIOR, SACRUM]].sum(axis=0)
    pelvis = chance[[HIP, HEAD]].sum(axis=0)
    bone = spine + pelvis > SEEN
    speck = round(SPECK_MM3 / spacing_mm**3)
    column = cc3d.dust(bone & (spine >= pelvis), threshold=speck, connectivity=26)
    hips = cc3d.dust(bone & (spine < pelvis), threshold=speck, connectivity=26)
    if not column.any():
        return np.asarray(hips)
    main = _longest(column, spacing_mm)
    lowest = int(np.flatnonzero(main.any(axis=(1, 2)))[0])
    pieces = cc3d.connected_components(hips, connectivity=26)
    low = cc3d.statistics(pieces)["centroids"][:, 0] <= lowest + PELVIS_ABOVE_MM / spacing_mm
    return np.asarray(_lined_up(column, main, spacing_mm) | (hips & low[pieces]))


def _lined_up(column: NDArray[np.bool_], main: NDArray[np.bool_], spacing_mm: float) -> NDArray[np.bool_]:
    """The main piece of a column, with what lies above, below or close beside it."""
    pieces, count = cc3d.connected_components(column & ~main, connectivity=26, return_N=True)
    found = cc3d.statistics(pieces)
    keep = np.zeros(count + 1, bool)
    for index in range(1, count + 1):
        rows = found["bounding_boxes"][index][0]
        beside = np.argwhere(main[rows].any(axis=0))
        gap = np.linalg.norm(beside - found["centroids"][index][1:], axis=1) * spacing_mm
        keep[index] = len(gap) == 0 or gap.min() <= BESIDE_MM
    return main | keep[pieces]


def _longest(column: NDArray[np.bool_], spacing_mm: float) -> NDArray[np.bool_]:
    """The most of a column that goes on without a wide gap."""
    joined = ndimage.maximum_filter(column, 2 * round(STEP_MM / spacing_mm) + 1)
    pieces = cc3d.connected_components(joined, connectivity=26)
    sizes = np.bincount(pieces[column])
    return column & (pieces == sizes.argmax())
