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
from spine_node.segmentation.classes import BACKGROUND, BODY
from spine_node.segmentation.instances import LEAST_BODY_MM3
from spine_node.segmentation.networks import SpineNet
from spine_node.segmentation.windows import infer

SEEN = 0.2
"""Probability of any structure from which a voxel counts as seen: low, so that nothing is lost."""

MARGIN_MM = 27.0
"""Around what was seen the fine net looks too: a whole vertebra that was missed between two others."""

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
    semantic = heads.semantic.numpy()
    bodies = (semantic[BODY] > np.log(BODY_SEEN)) & view.inside
    seen = (semantic[BACKGROUND] < np.log(1 - SEEN)) & view.inside
    voxel_mm3 = net.spacing_mm**3
    seen = cc3d.dust(seen, threshold=round(SPECK_MM3 / voxel_mm3), connectivity=26)
    width = 2 * round(MARGIN_MM / net.spacing_mm) + 1
    near = ndimage.maximum_filter(seen, width)
    return Context(view.grid, near, heads.level.numpy(), float(bodies.sum() * voxel_mm3))
