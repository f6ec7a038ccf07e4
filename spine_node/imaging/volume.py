"""Grid, Volume and LabelMap: arrays that know where in the patient they are.

Every coordinate in this package is LPS millimetres (DICOM PS3.3 C.7.6.2.1.1: +x to the patient's
left, +y posterior, +z superior). Index order is array order; for a DICOM series that is
(slice, row, column).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]


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
    """One structure value per voxel (`anatomy.levels` names them); 0 is background."""

    grid: Grid
    labels: NDArray[np.uint8]

    def __post_init__(self) -> None:
        if self.labels.shape != self.grid.shape:
            raise ValueError(f"labels have shape {self.labels.shape}, the grid {self.grid.shape}")
        if self.labels.dtype != np.uint8:
            raise ValueError(f"labels must be uint8, got {self.labels.dtype}")
