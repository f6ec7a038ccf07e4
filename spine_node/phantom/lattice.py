"""Boxes of a grid, and the coordinates of their voxels along any direction.

A signed distance needs coordinates only near its shape, and on a regular grid a coordinate is the sum
of three one-dimensional ones: that is why drawing a spine takes seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spine_node.imaging.volume import Grid

Field = NDArray[np.float32]
Slices = tuple[slice, slice, slice]


@dataclass(frozen=True, slots=True, eq=False)
class Lattice:
    """A block of voxels in the frame that shapes are given in.

    Attributes
    ----------
    shape : tuple of int, length 3
    affine : ndarray, shape (4, 4)
        Array index to mm in the shapes' frame.
    to_index : ndarray, shape (3, 3)
        Inverse of the affine's directions; blocks share it.
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    to_index: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        if self.to_index is None:
            object.__setattr__(self, "to_index", np.linalg.inv(self.affine[:3, :3]))

    @classmethod
    def of(cls, grid: Grid, to_shapes: NDArray[np.float64]) -> Lattice:
        """The voxels of `grid`; `to_shapes` (4, 4) maps its mm to the shapes' frame."""
        return cls(grid.shape, to_shapes @ grid.affine)

    @property
    def spacing_mm(self) -> NDArray[np.float64]:
        """Distance between neighbours along each axis, shape (3,)."""
        return np.asarray(np.linalg.norm(self.affine[:3, :3], axis=0))

    def block(self, where: Slices) -> Lattice:
        """The voxels of these slices (with explicit bounds)."""
        affine = self.affine.copy()
        affine[:3, 3] += affine[:3, :3] @ np.array([s.start for s in where], dtype=np.float64)
        shape = tuple(s.stop - s.start for s in where)
        return Lattice(shape, affine, self.to_index)  # type: ignore[arg-type]

    def around(self, low_mm: ArrayLike, high_mm: ArrayLike) -> Slices | None:
        """Slices that hold the box between two corners; None when it is outside."""
        low, high = np.asarray(low_mm, dtype=np.float64), np.asarray(high_mm, dtype=np.float64)
        assert self.to_index is not None
        middle = self.to_index @ ((low + high) / 2 - self.affine[:3, 3])
        reach = np.abs(self.to_index) @ ((high - low) / 2)
        start = np.maximum(np.floor(middle - reach).astype(int), 0)
        stop = np.minimum(np.ceil(middle + reach).astype(int) + 1, self.shape)
        if (stop <= start).any():
            return None
        a, b, c = (slice(int(i), int(j)) for i, j in zip(start, stop, strict=True))
        return a, b, c

    def along(self, direction: ArrayLike, origin_mm: ArrayLike) -> Field:
        """Coordinate of each voxel along `direction`, from `origin_mm`; float32, shape `self.shape`."""
        d = np.asarray(direction, dtype=np.float64)
        step = d @ self.affine[:3, :3]
        start = float(d @ (self.affine[:3, 3] - np.asarray(origin_mm, dtype=np.float64)))
        i, j, k = (np.arange(n) * s for n, s in zip(self.shape, step, strict=True))
        row = (i[:, None] + (start + j)[None, :]).astype(np.float32)
        return np.asarray(row[:, :, None] + k.astype(np.float32))
