"""The highest point of a hip bone: where a line across both iliac crests shows the pelvis's obliquity."""

from __future__ import annotations

import numpy as np

from spine_node.geometry.directions import unit
from spine_node.imaging.components import MARGIN, Blob
from spine_node.imaging.surface import surface_points
from spine_node.imaging.volume import FloatArray, Grid

CAP_MM = 2.0
"""The crest is read on the surface within this of its highest point: one voxel is no crest."""

LEAST_CAP_MM2 = 12.0
"""A tip with less surface than this is a spike or a single voxel, and is passed over."""

EDGE_MM = 2.0
"""Surface of the volume's own border this near below the highest point: the crest is cut."""

LEAST_HEIGHT_MM = 60.0
"""A piece of hip bone lower than this shows no crest of which it is the highest point."""

_STEP_MM = 0.25


def find_crest(blob: Blob, vertical: FloatArray) -> tuple[FloatArray | None, str]:
    """The highest point of a hip bone along a direction, or None and the reason.

    The height is that of the bone's smoothed surface where a spot of some square millimetres reaches it;
    the place is the middle of that spot.

    Parameters
    ----------
    blob : Blob
        The hip bone.
    vertical : ndarray, shape (3,)
        Direction against gravity, LPS.

    Returns
    -------
    point_mm : ndarray, shape (3,), or None
        LPS.
    reason : str
        Why there is none; without the bone's name.
    """
    up = unit(vertical)
    points, at_edge = surface_points(_upper_part(blob, up))
    heights = points @ up
    if float(heights.max() - heights.min()) < LEAST_HEIGHT_MM:
        return None, f"only {heights.max() - heights.min():.0f} mm of the bone's height are seen"
    if at_edge.any() and float(heights[at_edge].max()) > float(heights[~at_edge].max()) - EDGE_MM:
        return None, "is cut by the field's edge"
    points, heights = points[~at_edge], heights[~at_edge]
    # Every pair of voxels that the surface passes between has a point: area is what a point stands for.
    spacing = blob.grid.spacing_mm
    area = float(np.prod(spacing) ** (2 / 3)) / 1.5
    order = np.argsort(-heights)
    top = order[: max(20 * int(LEAST_CAP_MM2 / area), 50)]
    for first in top:
        spot = heights > heights[first] - CAP_MM
        spot &= np.linalg.norm(points - points[first], axis=1) < 12.0
        if spot.sum() * area >= LEAST_CAP_MM2:
            return _tip(points[spot], heights[spot], up), ""
    return None, "has no crest in the label map"


def _upper_part(blob: Blob, up: FloatArray) -> Blob:
    """The bone from well below `LEAST_HEIGHT_MM` under its top upwards; no crest is read further down.

    A hip bone is the largest structure of all, and the surface of its lower part would not be looked at.
    """
    planes, along = blob.grid.affine[:3, :3].T @ up, blob.grid.affine[:3, 3] @ up
    axis = int(np.argmax(np.abs(planes)))
    others = tuple(k for k in range(3) if k != axis)
    there = np.flatnonzero(blob.mask.any(axis=others))
    # how much higher or lower than its middle a plane of voxels may reach
    lean = sum(abs(float(planes[k])) * blob.mask.shape[k] for k in others)
    heights = along + planes[axis] * there
    kept = there[heights > heights.max() - 1.2 * LEAST_HEIGHT_MM - 2 * lean]
    first, last = max(int(kept.min()) - MARGIN, 0), int(kept.max()) + MARGIN + 1
    shift = np.where(np.arange(3) == axis, first, 0)
    mask = np.take(blob.mask, np.arange(first, min(last, blob.mask.shape[axis])), axis=axis)
    affine = np.array(blob.grid.affine)
    affine[:3, 3] = blob.grid.to_mm(shift)
    grid = Grid((mask.shape[0], mask.shape[1], mask.shape[2]), affine)
    return Blob(grid, mask, blob.dropped, blob.volume_low - shift, blob.volume_high - shift)


def _tip(points: FloatArray, heights: FloatArray, up: FloatArray) -> FloatArray:
    """The summit of the second-order surface over a spot; the highest point itself where that is none."""
    highest = points[int(np.argmax(heights))]
    axes = np.linalg.svd(np.eye(3) - np.outer(up, up))[0][:, :2]
    uv = (points - highest) @ axes
    above = heights - highest @ up
    design = np.column_stack([np.ones(len(uv)), uv, uv[:, 0] ** 2, uv[:, 0] * uv[:, 1], uv[:, 1] ** 2])
    try:
        c, *_ = np.linalg.lstsq(design, above, rcond=1e-6)
        hessian = np.array([[2 * c[3], c[4]], [c[4], 2 * c[5]]])
        at = np.linalg.solve(hessian, -c[1:3])
    except np.linalg.LinAlgError:
        return np.asarray(highest)
    reach = np.abs(uv).max(axis=0)
    if np.linalg.eigvalsh(hessian).max() >= 0 or (np.abs(at) > reach).any():
        return np.asarray(highest)
    height = float(c[0] + c[1:3] @ at / 2)
    return np.asarray(highest + axes @ at + float(np.clip(height, -1.0, 0.5)) * up)
