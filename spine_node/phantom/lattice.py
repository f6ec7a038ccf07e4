"""Boxes of a grid, and the coordinates of their voxels along any direction, on a device.

A signed distance needs coordinates only near its shape, and on a regular grid a coordinate is the sum
of three one-dimensional ones: that is why drawing a spine takes seconds. Points and directions are
numpy in double precision; whatever has a value per voxel is a torch tensor of 32-bit floats.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from spine_node.imaging.volume import Grid

Field = torch.Tensor
"""One 32-bit value per voxel, on the device of its lattice."""

Slices = tuple[slice, slice, slice]

CPU = torch.device("cpu")


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
    device : torch.device
        Where fields of this lattice are computed.
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    to_index: NDArray[np.float64] | None = None
    device: torch.device = CPU

    def __post_init__(self) -> None:
        if self.to_index is None:
            object.__setattr__(self, "to_index", np.linalg.inv(self.affine[:3, :3]))

    @classmethod
    def of(cls, grid: Grid, to_shapes: NDArray[np.float64], device: torch.device = CPU) -> Lattice:
        """The voxels of `grid`; `to_shapes` (4, 4) maps its mm to the shapes' frame."""
        return cls(grid.shape, to_shapes @ grid.affine, device=device)

    @property
    def spacing_mm(self) -> NDArray[np.float64]:
        """Distance between neighbours along each axis, shape (3,)."""
        return np.asarray(np.linalg.norm(self.affine[:3, :3], axis=0))

    def block(self, where: Slices) -> Lattice:
        """The voxels of these slices (with explicit bounds)."""
        affine = self.affine.copy()
        affine[:3, 3] += affine[:3, :3] @ np.array([s.start for s in where], dtype=np.float64)
        shape = tuple(s.stop - s.start for s in where)
        return Lattice(shape, affine, self.to_index, self.device)  # type: ignore[arg-type]

    def around(self, low_mm: ArrayLike, high_mm: ArrayLike) -> Slices | None:
        """Slices that hold the box between two corners; None when it is outside."""
        low, high = np.asarray(low_mm, dtype=np.float64), np.asarray(high_mm, dtype=np.float64)
        assert self.to_index is not None
        middle = self.to_index @ ((low + high) / 2 - self.affine[:3, 3])
        reach = np.abs(self.to_index) @ ((high - low) / 2)
        slices = []
        for m, r, n in zip(middle.tolist(), reach.tolist(), self.shape, strict=True):
            start, stop = max(math.floor(m - r), 0), min(math.ceil(m + r) + 1, n)
            if stop <= start:
                return None
            slices.append(slice(start, stop))
        return slices[0], slices[1], slices[2]

    def full(self, value: float) -> Field:
        """The same value in every voxel."""
        return torch.full(self.shape, value, dtype=torch.float32, device=self.device)

    def coordinates(self, directions: NDArray[np.float64], origin_mm: ArrayLike) -> Field:
        """Coordinate of each voxel along each row of `directions` (n, 3), from `origin_mm`.

        Returns a tensor of shape (n, *self.shape).
        """
        step = directions @ self.affine[:3, :3]
        start = directions @ (self.affine[:3, 3] - np.asarray(origin_mm, dtype=np.float64))
        a, b, c = self.shape
        lines = np.empty((len(directions), a + b + c), np.float32)
        np.multiply(step[:, 0:1], _COUNT[:a], out=lines[:, :a], casting="same_kind")
        lines[:, :a] += start[:, None]
        np.multiply(step[:, 1:2], _COUNT[:b], out=lines[:, a : a + b], casting="same_kind")
        np.multiply(step[:, 2:3], _COUNT[:c], out=lines[:, a + b :], casting="same_kind")
        return outer_sum(lines, self.shape, self.device)

    def along(self, direction: ArrayLike, origin_mm: ArrayLike) -> Field:
        """Coordinate of each voxel along `direction`, from `origin_mm`; shape `self.shape`."""
        return self.coordinates(np.asarray(direction, dtype=np.float64)[None], origin_mm)[0]

    def thin(self, direction: ArrayLike, origin_mm: ArrayLike) -> Field:
        """As `along`, of size 1 on every axis along which the coordinate does not change."""
        step = np.abs(np.asarray(direction, dtype=np.float64) @ self.affine[:3, :3])
        moves = step * np.array(self.shape) > 1e-6
        shape = tuple(n if m else 1 for n, m in zip(self.shape, moves, strict=True))
        return Lattice(shape, self.affine, self.to_index, self.device).along(direction, origin_mm)  # type: ignore[arg-type]


_COUNT = np.arange(1 << 14, dtype=np.float64)


def outer_sum(lines: NDArray[np.float32], shape: tuple[int, int, int], device: torch.device) -> Field:
    """Sums of one value per axis: `lines` (n, a + b + c) to a tensor of shape (n, a, b, c)."""
    n, width = lines.shape
    a, b, c = shape
    flat = torch.from_numpy(lines).to(device)
    rows = flat.as_strided((n, a, 1, 1), (width, 1, 1, 1))
    columns = flat.as_strided((n, 1, b, 1), (width, 1, 1, 1), a)
    last = flat.as_strided((n, 1, 1, c), (width, 1, 1, 1), a + b)
    return (rows + columns) + last
