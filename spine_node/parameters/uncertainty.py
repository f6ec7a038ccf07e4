"""How well fitted landmarks are known, from the scatter of the surfaces they were fitted to.

Surface errors of a segmentation are smooth: neighbouring points err together, so their number says
little. They are counted as one independent point for each patch of `PATCH_MM` squared, which gives the
1.6 to 2.3 degrees that a smooth error of 0.5 mm RMS was seen to cost on a lumbar endplate.
The vertical, the posture and a wrong level are not in these figures.
"""

from __future__ import annotations

import math

import numpy as np

from spine_node.anatomy.landmarks import Endplate, FemoralHead, Vertebra

PATCH_MM = 12.0
"""Side of the patch in which surface errors go together."""

SURFACE_MM = 0.25
"""No segmentation is known to follow bone more closely than this, however smooth its surface is."""

VOXEL_PART = 0.25
"""Scatter of a surface within its voxels, in voxels: all that is known of a plate along thick slices."""

RIM_MM = 0.5
"""The same along a plate, where its edge is rounded and its outline a matter of a voxel."""

Z_95 = 1.96


def tilt_sigma_deg(plate: Endplate, plane: str) -> float:
    """Standard deviation of an endplate's angle, as seen in the "sagittal" or "coronal" plane."""
    depth = float(np.linalg.norm(plate.anterior_mm - plate.posterior_mm))
    width = float(np.linalg.norm(plate.left_mm - plate.right_mm))
    patches = max(math.pi / 4 * depth * width / PATCH_MM**2, 3.0)
    spread = (depth if plane == "sagittal" else width) / 4  # standard deviation over an ellipse
    scatter = _scatter_mm(plate)
    return math.degrees(math.atan2(scatter, spread * math.sqrt(patches)))


def edge_sigma_mm(plate: Endplate) -> float:
    """Standard deviation of an endplate's centre or edge within its plane."""
    return _at_least(plate.residual_mm, max(RIM_MM, VOXEL_PART * plate.voxel_mm))


def centroid_sigma_mm(vertebra: Vertebra) -> float:
    """Standard deviation of a body's centroid, from the scatter of the endplates it lies between."""
    seen = [_scatter_mm(p) for p in (vertebra.superior, vertebra.inferior) if p is not None]
    return float(np.mean(seen)) / math.sqrt(2) if seen else 0.0


def head_sigma_mm(head: FemoralHead) -> float:
    """Standard deviation of a femoral head's centre along any one direction."""
    patches = max(4 * math.pi * head.radius_mm**2 / 2 / PATCH_MM**2, 4.0)
    return _at_least(head.residual_mm, SURFACE_MM) * math.sqrt(3 / patches)


def combined(*sigmas: float) -> float:
    """Standard deviation of a sum of independent terms."""
    return math.sqrt(sum(s * s for s in sigmas))


def lean_sigma_deg(offset_sigma_mm: float, length_mm: float) -> float:
    """Standard deviation of the direction of a line whose ends scatter sideways."""
    return math.degrees(math.atan2(offset_sigma_mm, length_mm))


def _scatter_mm(plate: Endplate) -> float:
    return _at_least(plate.residual_mm, max(SURFACE_MM, VOXEL_PART * plate.voxel_mm))


def _at_least(residual_mm: float, floor_mm: float) -> float:
    """A given landmark (residual 0) has no scatter; a fitted one never less than the floor."""
    return max(residual_mm, floor_mm) if residual_mm > 0 else 0.0
