"""How well landmarks are known, and what else they may as well have been.

Every landmark carries the scatter of the surface it was fitted to. From it follows the standard
deviation of its place and direction; a stack of draws of all landmarks then goes through the very
formulas that measure, so that each number, however it is made, has its own spread.

Surface errors of a segmentation are smooth: neighbouring points err together, so their number says
little. They are counted as one independent point for each patch of `PATCH_MM` squared. The vertical, the
posture and a wrong level are not in these figures.
"""

from __future__ import annotations

import math
import zlib

import numpy as np

from spine_node.anatomy.landmarks import Canal, Endplate, FemoralHead, Spine, Vertebra
from spine_node.imaging.volume import FloatArray

DRAWS = 100
"""Pairs of draws: what is drawn is drawn with both signs, so that the mean is what was located."""

PATCH_MM = 12.0
"""Side of the patch in which surface errors go together."""

SURFACE_MM = 0.12
"""No surface is known more closely than this, however smooth it is, where the voxels are small."""

VOXEL_PART = 0.12
"""The same in voxels: what is left of the stairs of a plate along thick slices."""

RIM_MM, RIM_PART = 0.25, 0.2
"""The same along a plate, in mm and in voxels: its edge is rounded, its outline a matter of a voxel."""

CREST_MM = 0.4
"""A highest point is one place on a surface, not the mean of many."""

FRAME_DEG = 0.3
"""A vertebra's mirror plane is never known more closely about its axis."""

Z_95 = 1.96


def known_exactly(spine: Spine) -> bool:
    """Whether every landmark is given, none fitted: then there is nothing to draw."""
    plates = [p for v in spine.vertebrae for p in (v.superior, v.inferior)] + [spine.s1]
    scatter = [p.residual_mm for p in (*plates, *spine.heads.values()) if p is not None]
    return not any(scatter)


def draws(name: str, columns: int) -> FloatArray:
    """Standard normal numbers for one landmark, shape (1 + 2 DRAWS, columns); the first row is 0.

    The name is the seed: a vertebra that is missing changes nothing for the others.
    """
    drawn = np.random.default_rng(zlib.crc32(name.encode())).standard_normal((DRAWS, columns))
    drawn /= np.sqrt((drawn**2).mean(axis=0))
    return np.vstack([np.zeros((1, columns)), drawn, -drawn])


def spread(values: FloatArray) -> float:
    """Standard deviation of a stack about its first row, which is the measured value."""
    if len(values) == 1:
        return 0.0
    return float(np.sqrt(np.mean((values[1:] - values[0]) ** 2)))


def tilt_sigma_deg(plate: Endplate, plane: str) -> float:
    """Standard deviation of an endplate's angle, as seen in its own "sagittal" or "coronal" plane."""
    depth, width = _extent_mm(plate)
    along = (depth if plane == "sagittal" else width) / 4  # standard deviation over an ellipse
    return math.degrees(math.atan2(_scatter_mm(plate), along * math.sqrt(_patches(plate))))


def height_sigma_mm(plate: Endplate) -> float:
    """Standard deviation of an endplate's place along its normal."""
    return _scatter_mm(plate) / math.sqrt(_patches(plate))


def surface_sigma_mm(plate: Endplate) -> float:
    """Standard deviation of the surface's place at one point of an endplate, beside that of its plane."""
    return _scatter_mm(plate) / math.sqrt(2)


def edge_sigma_mm(plate: Endplate) -> float:
    """Standard deviation of an endplate's edge within its plane."""
    floor = math.hypot(RIM_MM, RIM_PART * plate.voxel_mm)
    return math.hypot(plate.residual_mm, floor) if plate.residual_mm > 0 else 0.0


def centroid_sigma_mm(vertebra: Vertebra) -> float:
    """Standard deviation of a body's centroid along any direction."""
    seen = [p for p in (vertebra.superior, vertebra.inferior) if p is not None]
    return float(np.mean([_scatter_mm(p) for p in seen])) / 2 if seen else 0.0


def head_sigma_mm(head: FemoralHead) -> float:
    """Standard deviation of a femoral head's centre along any one direction."""
    if head.residual_mm == 0:
        return 0.0
    patches = max(2 * math.pi * head.radius_mm**2 / PATCH_MM**2, 4.0)
    return math.hypot(head.residual_mm, SURFACE_MM) * math.sqrt(3 / patches)


def axial_sigma_deg(vertebra: Vertebra) -> float:
    """Standard deviation of a vertebra's axes about its own Z."""
    return math.hypot(vertebra.axes_deg, FRAME_DEG) if vertebra.axes_deg > 0 else 0.0


def canal_sigma_mm(canal: Canal) -> float:
    """Standard deviation of a point on the canal's walls."""
    return math.hypot(canal.residual_mm, RIM_MM) if canal.residual_mm > 0 else 0.0


def volume_sigma_mm3(vertebra: Vertebra) -> float:
    """Standard deviation of a body's volume: an outline that errs as a whole by a part of a voxel."""
    return SURFACE_MM * vertebra.surface_mm2 / 2


def _extent_mm(plate: Endplate) -> tuple[float, float]:
    depth = float(np.linalg.norm(plate.anterior_mm - plate.posterior_mm))
    return depth, float(np.linalg.norm(plate.left_mm - plate.right_mm))


def _patches(plate: Endplate) -> float:
    depth, width = _extent_mm(plate)
    return max(math.pi / 4 * depth * width / PATCH_MM**2, 2.0)


def _scatter_mm(plate: Endplate) -> float:
    """A given landmark (residual 0) has no scatter; a fitted one never less than the floor."""
    if plate.residual_mm == 0:
        return 0.0
    return math.hypot(plate.residual_mm, SURFACE_MM, VOXEL_PART * plate.voxel_mm)
