"""Femoral heads as spheres."""

from __future__ import annotations

import numpy as np

from spine_node.anatomy.landmarks import FemoralHead
from spine_node.geometry.directions import DegenerateGeometry
from spine_node.geometry.fitting import robust_sphere
from spine_node.imaging.components import Blob
from spine_node.imaging.surface import surface_points
from spine_node.imaging.volume import FloatArray

RADIUS_MM = (15.0, 32.0)
"""Femoral heads of children and large men."""

BAND_MM = 1.0
"""Points nearer to the sphere count as head, the rest as neck."""

LEAST_COVER = 0.3
"""Part of the sphere that must be seen: a cap of 60 degrees (0.25) misses the centre by 0.5 mm."""

_MOST_POINTS = 4000


def fit_head(side: str, blob: Blob) -> tuple[FemoralHead | None, str]:
    """The sphere of one head, or None and the reason.

    Parameters
    ----------
    side : str
        "left" or "right".
    blob : Blob
        Voxels of the head.
    """
    name = f"{side} femoral head"
    points, at_edge = surface_points(blob)
    cut = bool(at_edge.any())
    points = points[~at_edge]
    if len(points) > _MOST_POINTS:
        points = np.random.default_rng(0).permutation(points)[:_MOST_POINTS]
    band = max(BAND_MM, 0.5 * float(blob.grid.spacing_mm.max()))
    try:
        sphere = robust_sphere(points, radius_range_mm=RADIUS_MM, band_mm=band)
    except (DegenerateGeometry, ValueError) as error:
        return None, f"{name} is not round in the label map: {error}"
    seen = _cover(points[sphere.inliers] - sphere.centre_mm)
    if seen < LEAST_COVER:
        why = "is cut by the field's edge" if cut else "is not round in the label map"
        return None, f"{name} {why}: only {100 * seen:.0f} % of its sphere is seen"
    if not RADIUS_MM[0] <= sphere.radius_mm <= RADIUS_MM[1]:
        return None, f"{name} has a radius of {sphere.radius_mm:.0f} mm, no femoral head"
    return FemoralHead(side, sphere.centre_mm, sphere.radius_mm, sphere.residual_mm), ""


def _cover(away: FloatArray) -> float:
    """Fraction of directions near which there is a point."""
    n = 200
    k = np.arange(n) + 0.5
    polar, turn = np.arccos(1 - 2 * k / n), np.pi * (1 + 5**0.5) * k
    even = np.column_stack([np.cos(turn) * np.sin(polar), np.sin(turn) * np.sin(polar), np.cos(polar)])
    directions = away / np.linalg.norm(away, axis=1, keepdims=True)
    return float(((even @ directions.T).max(axis=1) > np.cos(np.radians(10))).mean())
