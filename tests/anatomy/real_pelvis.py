"""Sacra whose first endplate is known in closed form, as real ones differ from simple solids.

Wings level with the plate or below it, domed and dished plates, articular processes, a canal, a curved
lower part with coccyx, an S1 that stands apart; and plain slabs. Each part is a function of points in the
plate's own frame (left, posterior, cranial; origin at the plate's centre), so that any pose is exact.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from spine_node.anatomy.levels import SACRUM
from spine_node.geometry.directions import axes_from
from spine_node.imaging.components import Blob, boxes, cut_out
from spine_node.imaging.volume import Grid, LabelMap

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class SacrumShape:
    """What a sacrum looks like; lengths in mm in the plate's frame.

    Attributes
    ----------
    half_mm : tuple of float
        Half width and half depth of the plate.
    power : float
        2 for an ellipse, more for a rounded rectangle.
    dome_mm : float
        Rise of the middle over the rim; negative for a dish.
    wing_mm : float
        How far the wings' root lies below the plate (0: level with it); NaN for none.
    """

    half_mm: tuple[float, float] = (25.0, 16.5)
    power: float = 2.3
    dome_mm: float = 0.0
    wing_mm: float = 6.0
    wing_fall: float = 0.25
    processes: bool = True
    canal: bool = True
    coccyx: bool = True
    gap_below_s1_mm: float = 0.0
    lower: bool = True
    slab: bool = False

    def inside(self, p: Array) -> Mask:
        """Which points, shape (..., 3), in the plate's frame, are bone."""
        return self._slab(p) if self.slab else self._sacrum(p)

    def _slab(self, p: Array) -> Mask:
        x, y, z = np.moveaxis(p, -1, 0)
        a, b = self.half_mm
        return (np.abs(x) < a) & (np.abs(y) < b) & (z < 0) & (z > -95)

    def _sacrum(self, p: Array) -> Mask:
        x, y, z = np.moveaxis(p, -1, 0)
        s = np.abs(x)
        a, b = self.half_mm
        r = ((s / a) ** self.power + np.abs(y / b) ** self.power) ** (1 / self.power)
        # a dome whose least-squares plane over an ellipse is the plate itself
        top = self.dome_mm * (1 - r**2 - 0.5)
        body = (r < 1 + 0.006 * np.minimum(z, 0)) & (z < top) & (z > -28)
        # from S2 on the sacrum turns back and then forward, ever smaller
        t = np.clip((-z - 20) / 90, 0, 1.2)
        back = 34 * t - 10 * t**2
        lower = (z < -24) & (z > (-125 if self.coccyx else -95))
        lower &= ((s / (22 - 15 * t)) ** 2 + ((y - back) / (13 - 8 * t)) ** 2) < 1
        if self.gap_below_s1_mm:
            lower &= z < -28 - self.gap_below_s1_mm
        bone = body | lower if self.lower else body
        if np.isfinite(self.wing_mm):
            edge = np.clip(s - (a - 6), 0, None)
            wing = (s < 54) & (s > 6) & (y > -0.55 * b + 0.12 * edge) & (y < b + 8 - 0.1 * edge)
            wing &= (z < -self.wing_mm - self.wing_fall * edge) & (z > -26 - 0.9 * (54 - s))
            bone |= wing & (z > -60)
        if self.processes:
            bone |= (np.hypot(x - np.sign(x) * 21, y - b - 8) < 6.0) & (z < 13) & (z > -40)
        roof = (s < 21) & (np.abs(y - b - 18) < 3.5) & (z < -7) & (z > -60)
        if self.processes or self.canal:
            bone |= roof
        if self.canal:
            bone &= ~(
                (((s / 13) ** 2 + ((y - b - 7.5 - np.clip(-z, 0, 40) * 0.3) / 6.5) ** 2) < 1) & (z > -60)
            )
        return bone


@dataclass(frozen=True)
class Pose:
    """How the plate faces in LPS: slope, tilt of the whole pelvis to the side, turn about the vertical."""

    slope_deg: float = 40.0
    obliquity_deg: float = 0.0
    yaw_deg: float = 0.0
    centre_mm: Array = field(default_factory=lambda: np.array([3.2, -11.7, 42.3]))

    @property
    def axes(self) -> Array:
        """Left, posterior, cranial of the plate; columns, LPS."""
        turn = Rotation.from_euler("ZYX", [self.yaw_deg, self.obliquity_deg, self.slope_deg], degrees=True)
        return turn.as_matrix()

    @property
    def backward(self) -> Array:
        """The patient's back: across the pelvis's own left-right axis, level."""
        return np.asarray(axes_from([0.0, 0.0, 1.0], np.cross([0.0, 0.0, 1.0], self.axes[:, 0]))[:, 1])


def voxelised(
    shape: SacrumShape,
    pose: Pose,
    spacing_mm: float | tuple[float, float, float] = 1.0,
    *,
    cut_mm: tuple[int, float] | None = None,
    noise_mm: float = 0.0,
) -> LabelMap:
    """The sacrum's label map; `cut_mm` ends the field at (axis, LPS coordinate), what is above it is lost."""
    spacing = np.broadcast_to(np.asarray(spacing_mm, dtype=float), 3)
    corners = np.stack(np.meshgrid([-60, 60], [-35, 70], [-130, 20], indexing="ij"), -1).reshape(-1, 3)
    reach = corners @ pose.axes.T + pose.centre_mm
    low, high = reach.min(axis=0), reach.max(axis=0)
    if cut_mm is not None:
        high[cut_mm[0]] = cut_mm[1]
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = low + 0.37 * spacing
    size = np.floor((high - affine[:3, 3]) / spacing).astype(int)
    grid = Grid((int(size[0]), int(size[1]), int(size[2])), affine)
    points = (grid.to_mm(np.moveaxis(np.indices(grid.shape), 0, -1)) - pose.centre_mm) @ pose.axes
    if noise_mm:
        waves = np.sin(points[..., [1, 2, 0]] / 3.1 + 0.7) + np.sin(points[..., [2, 0, 1]] / 4.3 + 1.9)
        points = points + noise_mm * waves / np.sqrt(3)
    return LabelMap(grid, (shape.inside(points) * SACRUM).astype(np.uint8))


def blob_of(label_map: LabelMap, *, keep_fraction: float = 1.0) -> Blob:
    """The sacrum, cut out."""
    return cut_out(label_map, SACRUM, boxes(label_map)[SACRUM], keep_fraction=keep_fraction)
