"""Grid, Volume and LabelMap: arrays that know where in the patient they are.

Every coordinate in this package is LPS millimetres (DICOM PS3.3 C.7.6.2.1.1: +x to the patient's
left, +y posterior, +z superior). Index order is array order; for a DICOM series that is
(slice, row, column).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
Box = tuple[slice, slice, slice]
"""A part of an array."""


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Where voxels are.

    Attributes
    ----------
    shape : tuple of int, length 3
        Number of voxels along each array axis.
    affine : ndarray, shape (4, 4)
        Maps (i, j, k, 1), in array order, to the voxel's centre in LPS mm. Read-only float64.
    """

    shape: tuple[int, int, int]
    affine: FloatArray
    _inverse: FloatArray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        affine = np.array(self.affine, dtype=np.float64)
        if affine.shape != (4, 4) or not np.allclose(affine[3], (0, 0, 0, 1)):
            raise ValueError(f"affine must be 4x4 with last row 0 0 0 1, got {affine.tolist()}")
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise ValueError(f"shape must be three positive numbers, got {self.shape}")
        if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
            raise ValueError("affine is singular: its axes do not span space")
        affine.setflags(write=False)
        object.__setattr__(self, "affine", affine)
        object.__setattr__(self, "_inverse", np.linalg.inv(affine[:3, :3]).T)
        object.__setattr__(self, "shape", (int(self.shape[0]), int(self.shape[1]), int(self.shape[2])))

    @property
    def spacing_mm(self) -> FloatArray:
        """Distance between neighbouring voxel centres along each array axis, shape (3,), mm."""
        return np.asarray(np.linalg.norm(self.affine[:3, :3], axis=0))

    @property
    def voxel_mm3(self) -> float:
        """Volume of one voxel, mm3."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))

    @property
    def centre_mm(self) -> FloatArray:
        """Middle of the grid, LPS mm, shape (3,)."""
        return self.to_mm((np.array(self.shape) - 1) / 2)

    def to_mm(self, index: ArrayLike) -> FloatArray:
        """LPS mm of array indices, shape (..., 3); indices may be fractional."""
        i = np.asarray(index, dtype=np.float64)
        return np.asarray(i @ self.affine[:3, :3].T + self.affine[:3, 3])

    def to_index(self, point_mm: ArrayLike) -> FloatArray:
        """Fractional array index of LPS points, shape (..., 3)."""
        p = np.asarray(point_mm, dtype=np.float64)
        return np.asarray((p - self.affine[:3, 3]) @ self._inverse)

    def matches(self, other: Grid, tolerance_mm: float = 1e-3) -> bool:
        """Same voxels at the same places, every corner within `tolerance_mm`."""
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape])).reshape(3, -1).T
        return self.shape == other.shape and bool(
            np.abs(self.to_mm(corners) - other.to_mm(corners)).max() <= tolerance_mm
        )


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """Grey values on a grid. Those of cone-beam CT are not Hounsfield units."""

    grid: Grid
    values: NDArray[np.generic]

    def __post_init__(self) -> None:
        if self.values.shape != self.grid.shape:
            raise ValueError(f"values have shape {self.values.shape}, the grid {self.grid.shape}")


@dataclass(frozen=True, slots=True, eq=False)
class LabelMap:
    """One structure value per voxel (`anatomy.levels` names them); 0 is background.

    Its array is not changed any more once it is in here: where the structures are is found once.
    """

    grid: Grid
    labels: NDArray[np.uint8]
    _boxes: dict[int, Box] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.labels.shape != self.grid.shape:
            raise ValueError(f"labels have shape {self.labels.shape}, the grid {self.grid.shape}")
        if self.labels.dtype != np.uint8:
            raise ValueError(f"labels must be uint8, got {self.labels.dtype}")
        object.__setattr__(self, "_boxes", {})

    @property
    def boxes(self) -> Mapping[int, Box]:
        """Bounding box of every value above 0 that occurs, by value, in rising order.

        A dozen stages ask for them, and the whole array need be gone through once.
        """
        from scipy import ndimage  # here: grids are also for processes that only look at headers

        if not self._boxes:
            around = _labelled(self.labels)
            if around[0].start == around[0].stop:
                return {}
            start = [s.start for s in around]
            for value, box in enumerate(ndimage.find_objects(self.labels[around]), start=1):
                if box is not None:
                    a, b, c = (slice(s.start + n, s.stop + n) for s, n in zip(box, start, strict=True))
                    self._boxes[value] = a, b, c
        return self._boxes


def _labelled(labels: NDArray[np.uint8]) -> Box:
    """The box around all that is not 0; an empty one where there is nothing."""
    # eight voxels at a time: most of an image is background
    wide = labels.shape[2] % 8 == 0 and labels.flags.c_contiguous
    words = labels.view(np.uint64) if wide else labels
    sides = (
        np.bitwise_or.reduce(np.bitwise_or.reduce(words, axis=2), axis=1),
        np.bitwise_or.reduce(np.bitwise_or.reduce(words, axis=2), axis=0),
        np.bitwise_or.reduce(words.reshape(-1, words.shape[2]), axis=0),
    )
    ends = []
    for side in sides:
        at = np.flatnonzero(side)
        ends.append((int(at[0]), int(at[-1]) + 1) if len(at) else (0, 0))
    first, last = ends[2]
    ends[2] = (8 * first, 8 * last) if wide else (first, last)
    a, b, c = (slice(*end) for end in ends)
    return a, b, c
