"""The axis (C2) parted into its body and the dens that stands on it; where the dens ends.

Seen along the vertebra's axis the dens is narrow and the body wide. The body ends where the section
has grown to midway between the two, from the waist of the dens down.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from spine_node.geometry.directions import DegenerateGeometry
from spine_node.geometry.fitting import robust_height_bowl
from spine_node.imaging.components import Blob
from spine_node.imaging.surface import SMOOTHING_VOXELS, Field, column_crossings
from spine_node.imaging.volume import FloatArray

NARROW = 0.7
"""The dens' section is less than this part of the body's."""

LEAST_DENS_MM = 5.0
"""What is narrow for less than this is the rounded top of a body."""

CAP_MM = 2.5
"""The tip is read from a bowl through the surface this near to its highest place."""

_PROFILE_MM = 0.5
_COLUMN_MM = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Dens:
    """What `find_dens` found.

    Attributes
    ----------
    body_centre_mm : ndarray, shape (3,)
        Centroid of C2's body without its dens, LPS.
    tip_mm : ndarray, shape (3,), or None
        Most cranial point of the dens, LPS.
    """

    body_centre_mm: FloatArray
    tip_mm: FloatArray | None

    def __post_init__(self) -> None:
        for array in (self.body_centre_mm, self.tip_mm):
            if array is not None:
                array.setflags(write=False)


def find_dens(body: Blob, field: Field, axes: FloatArray) -> tuple[Dens, dict[str, str]]:
    """Body centroid without the dens, and the dens' tip.

    Parameters
    ----------
    body : Blob
        C2 without its posterior elements, with the dens.
    field : Field
        Of the same.
    axes : ndarray, shape (3, 3)
        Columns left, posterior, cranial, LPS; own axes of C2, or a guess within some 20 degrees.

    Returns
    -------
    dens : Dens
        Without a dens, the centroid is that of all there is.
    reasons : dict
        Why there is no tip, under the key "C2.dens".
    """
    points = body.points_mm
    middle = points.mean(axis=0)
    height = (points - middle) @ axes[:, 2]
    voxel = float(np.linalg.norm(body.grid.affine[:3, :3].T @ axes[:, 2]))
    base = _base_mm(height, body.grid.voxel_mm3, voxel)
    if base is None:
        return Dens(middle, None), {"C2.dens": "no dens stands on the body of C2 in the label map"}
    weight = np.clip((base - height) / voxel + 0.5, 0, 1)
    centre = (points * weight[:, None]).sum(axis=0) / weight.sum()
    dens = points[height > base]
    top = dens[(dens - middle) @ axes[:, 2] > height.max() - CAP_MM]
    tip = _tip(field, axes, top.mean(axis=0))
    if tip is None:
        return Dens(centre, None), {"C2.dens": "the tip of the dens of C2 has no clear top"}
    near = dens[np.linalg.norm(dens - tip, axis=1) < 2 * CAP_MM]
    index = np.rint(body.grid.to_index(near))
    at_border = ((index <= body.volume_low) | (index >= body.volume_high)).any(axis=1)
    if at_border.any():
        return Dens(centre, None), {"C2.dens": "the dens of C2 is cut by the field's edge"}
    return Dens(centre, tip), {}


def _base_mm(height: FloatArray, voxel_mm3: float, voxel_mm: float) -> float | None:
    """Height at which the body ends and the dens begins; None where there is no dens."""
    low, high = float(height.min()), float(height.max())
    edges = np.arange(low - 3 * voxel_mm, high + 3 * voxel_mm + _PROFILE_MM, _PROFILE_MM)
    counts = np.histogram(height, edges)[0].astype(np.float64)
    area = ndimage.gaussian_filter1d(counts * voxel_mm3 / _PROFILE_MM, max(0.7 * voxel_mm, 0.7) / _PROFILE_MM)
    places = (edges[:-1] + edges[1:]) / 2
    inside = np.flatnonzero(area > 0.05 * area.max())
    lower = inside[places[inside] < (low + high) / 2]
    if len(lower) == 0:
        return None
    wide = float(np.percentile(area[lower], 75))
    top = int(inside[-1])
    k = top
    while k > lower[0] and area[k] < NARROW * wide:
        k -= 1
    if k == lower[0] or (top - k) * _PROFILE_MM < LEAST_DENS_MM:
        return None
    # The waist: the narrowest place of the lower two thirds of what is narrow.
    waist = k + int(np.argmin(area[k : k + 1 + 2 * (top - k) // 3]))
    midway = (float(area[waist]) + wide) / 2
    k = waist
    while k > lower[0] and area[k] < midway:
        k -= 1
    if area[k] < midway:
        return None
    return float(places[k] + _PROFILE_MM * (area[k] - midway) / (area[k] - area[k + 1]))


def _tip(field: Field, axes: FloatArray, near_mm: FloatArray) -> FloatArray | None:
    """The highest place along Z of a bowl through the top of the surface around a point."""
    reach = np.arange(-2 * CAP_MM, 2 * CAP_MM + _COLUMN_MM, _COLUMN_MM)
    base = np.stack(np.meshgrid(reach, reach, indexing="ij"), axis=-1).reshape(-1, 2)
    heights = np.arange(-8.0, 8.0, 0.4)
    _, top = column_crossings(field, near_mm + base @ axes[:, :2].T, axes[:, 2], heights)
    calm = np.where(np.isfinite(top), top, -np.inf)
    if not np.isfinite(calm).any():
        return None
    best = base[int(np.argmax(calm))]
    for _ in range(3):
        used = (np.linalg.norm(base - best, axis=1) <= CAP_MM) & (calm > calm.max() - CAP_MM)
        uv = base[used]
        try:
            bowl = robust_height_bowl(uv - best, top[used])
        except DegenerateGeometry:
            return None
        hesse = np.array([[2 * bowl[3], bowl[4]], [bowl[4], 2 * bowl[5]]])
        if np.linalg.eigvalsh(hesse)[-1] > -0.01:  # flat on top: its middle
            at = uv[calm[used] > calm[used].max() - 0.3].mean(axis=0) - best
        else:
            at = -np.linalg.solve(hesse, bowl[1:3])
            at *= min(1.0, CAP_MM / max(float(np.linalg.norm(at)), 1e-9))
        rise = float(bowl[0] + bowl[1:3] @ at + at @ hesse @ at / 2)
        best = best + at
    # Smoothing has lowered a cap of this curvature (see `imaging.surface`).
    spread = SMOOTHING_VOXELS * field.grid.voxel_mm3 ** (1 / 3)
    rise += spread**2 * float(np.clip(-np.trace(hesse) / 2, 0, 0.5))
    return np.asarray(near_mm + axes @ np.array([*best, rise]))
