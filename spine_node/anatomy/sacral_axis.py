"""Left and right of the sacrum: the plane in which it is its own mirror image.

Where a femoral head is missing this is the next best sign of where the patient's left is; and the middle
of S1 lies on this plane also when wings pass into the plate without a border.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, optimize

from spine_node.geometry.directions import DegenerateGeometry, across, axes_from, unit
from spine_node.imaging.components import Blob
from spine_node.imaging.surface import Field
from spine_node.imaging.volume import FloatArray

BLUR_MM = 2.0
"""Standard deviation of the smoothing before mirroring: lets a coarse search see the way."""

SEARCH_DEG = 24.0
"""How far the mirror plane may lie from the first guess, about the cranial and the posterior direction."""

SEARCH_MM = 12.0
"""How far the mirror plane may lie beside the bone's centroid: a piece of a hip bone may hang on it."""

LEAST_LIKENESS = 0.6
"""Part of the bone that must lie where its mirror image does; whole sacra reach 0.8 to 0.95."""

LEAST_LOSS = 0.01
"""Turned by `_PROBE_DEG` the likeness must fall by this much: a round bone has no left and right."""

LEAST_SEEN = 0.6
"""Part of the bone whose mirror image must lie within the volume."""

LEAST_SINE = 0.6
"""Two directions nearer to parallel (37 degrees) say little about what is across both."""

UP = np.array([0.0, 0.0, 1.0])

_PROBE_DEG = 8.0
_MOST_POINTS = 2500


@dataclass(frozen=True, slots=True, eq=False)
class MirrorPlane:
    """Where a bone is its own mirror image.

    Attributes
    ----------
    left : ndarray, shape (3,)
        Unit normal of the plane, LPS, on the side of the guess it was found from.
    offset_mm : float
        The plane holds the points p with p . left = offset.
    likeness : float
        Part of the bone that lies where its mirror image does, up to 1.
    loss : float
        By how much that falls when the plane is turned by 8 degrees, the lesser of two ways.
    """

    left: FloatArray
    offset_mm: float
    likeness: float
    loss: float

    @property
    def sure(self) -> bool:
        """Whether the bone shows a left and a right."""
        return self.likeness >= LEAST_LIKENESS and self.loss >= LEAST_LOSS


def sacral_axes(blob: Blob, field: Field, cranial: FloatArray, posterior: FloatArray) -> FloatArray | None:
    """The sacrum's own left, posterior and cranial directions, or None when its shape does not tell.

    Parameters
    ----------
    blob : Blob
        The sacrum.
    field : Field
        Of the sacrum.
    cranial : ndarray, shape (3,)
        Normal of the superior endplate of S1, LPS.
    posterior : ndarray, shape (3,)
        Where the back is, within some 25 degrees, LPS.

    Returns
    -------
    ndarray, shape (3, 3), or None
        Columns, LPS: left is across the mirror plane, cranial as near as possible to `cranial`.
    """
    mirror = mirror_plane(blob, field, plate_axes(cranial, posterior))
    if mirror is None or not mirror.sure:
        return None
    try:
        return axes_from(cranial - (cranial @ mirror.left) * mirror.left, np.cross(cranial, mirror.left))
    except DegenerateGeometry:
        return None


def plate_axes(cranial: FloatArray, posterior: FloatArray) -> FloatArray:
    """Left, posterior and cranial of a plate with this normal, columns, LPS.

    The back of somebody whose plate faces forward is nearly the plate's own normal: left is then taken as
    across the back and the image's z axis, which errs by less.

    Raises
    ------
    DegenerateGeometry
        If the two directions are parallel, and parallel to z or to left.
    """
    z, back = unit(cranial), unit(posterior)
    left = np.cross(back, z)
    if np.linalg.norm(left) < LEAST_SINE:
        level = np.cross(back, UP)
        left = level if np.linalg.norm(level) > LEAST_SINE else left
    x = across(left, z)
    return np.column_stack([x, np.cross(z, x), z])


def mirror_plane(blob: Blob, field: Field, axes: FloatArray) -> MirrorPlane | None:
    """The plane in which a bone is most like its mirror image; None when too little of it is seen.

    Parameters
    ----------
    blob : Blob
    field : Field
        Of the bone.
    axes : ndarray, shape (3, 3)
        First guess; columns left, posterior, cranial, LPS.
    """
    points = blob.points_mm
    # the same points are drawn whichever way the array is stored and wherever the patient is
    own = (points - points.mean(axis=0)) @ axes
    step = max(len(points) // _MOST_POINTS, 1)
    # A stride that shares no factor with the rows would still follow them: chance does not.
    chosen = np.random.default_rng(0).permutation(len(points))[::step][:_MOST_POINTS]
    points = points[_in_order(own)[chosen]]
    middle = points.mean(axis=0)
    away = points - middle
    blurred = field.blurred(BLUR_MM)
    to_index = np.linalg.inv(blob.grid.affine[:3, :3])

    def likeness(parameters: FloatArray, every: int = 1) -> float:
        """Mean of the bone at the mirrored points, those beyond the volume left out."""
        left = _turned(axes, parameters[0], parameters[1])
        some = away[::every]
        mirrored = some - 2 * np.outer(some @ left - parameters[2], left)
        index = (mirrored + middle - blob.grid.affine[:3, 3]) @ to_index.T
        seen = ~blob.at_edge(index)
        if seen.mean() < LEAST_SEEN:
            return 0.0
        values = ndimage.map_coordinates(blurred, index[seen].T, order=1, mode="constant")
        return round(float(values.mean()), 9)  # a mirrored bone has ties: noise must not decide them

    turns = np.arange(-SEARCH_DEG, SEARCH_DEG + 1, 8.0)
    starts = [np.array([a, b, c]) for a in turns for b in turns[1:-1] for c in (-6.0, 0.0, 6.0)]
    start = max(starts, key=lambda p: likeness(p, every=4))
    found = optimize.minimize(
        lambda p: -likeness(p),
        start,
        method="Nelder-Mead",
        options={
            "initial_simplex": start + np.vstack([np.zeros(3), np.diag([4.0, 4.0, 2.0])]),
            "xatol": 0.1,
            "fatol": 2e-5,
            "maxfev": 110,
        },
    )
    best, value = found.x, -float(found.fun)
    if value <= 0 or abs(best[2]) > SEARCH_MM or np.abs(best[:2]).max() > SEARCH_DEG + _PROBE_DEG:
        return None
    losses = []
    for axis in (0, 1):
        turned = []
        for turn in (-_PROBE_DEG, _PROBE_DEG):
            probe = best.copy()
            probe[axis] += turn
            turned.append(likeness(probe))
        losses.append(value - max(turned))
    left = _turned(axes, best[0], best[1])
    return MirrorPlane(left, float(middle @ left + best[2]), value, min(losses))


def _in_order(own_mm: FloatArray) -> NDArray[np.int64]:
    """What sorts points by their third, then second, then first coordinate, in steps of 0.1 mm."""
    tenths = np.rint(10 * (own_mm + 0.0137)).astype(np.int64)
    tenths -= tenths.min(axis=0)
    sizes = tenths.max(axis=0) + 1
    number = len(own_mm)
    # one whole number says all of a point, its place in the row last: sorting those is ten times as fast
    keys = ((tenths[:, 2] * sizes[1] + tenths[:, 1]) * sizes[0] + tenths[:, 0]) * number + np.arange(number)
    return np.asarray(np.sort(keys) % number)


def _turned(axes: FloatArray, about_cranial_deg: float, about_posterior_deg: float) -> FloatArray:
    """The left direction after two small turns."""
    a, b = np.tan(np.radians([about_cranial_deg, about_posterior_deg]))
    return unit(axes @ np.array([1.0, a, b]))
