"""Which part of a vertebra, seen in its own axes, is its body.

The posterior wall is found where the canal meets bone and is carried on sideways; what sticks out of
the body in front of it is cut off. Everything is in mm from the body's middle: x to the left, y to the
back, z up along the spine.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spine_node.geometry.directions import DegenerateGeometry
from spine_node.geometry.fitting import robust_height_plane
from spine_node.imaging.volume import FloatArray

BoolArray = NDArray[np.bool_]

STEP_MM = 1.0
"""Sampling of a vertebra in its own axes."""

WALL_SEEN = 0.75
"""Part of the canal's width along which its front wall is the body's and not a pedicle's."""

HOLLOW_MM = 3.0
"""Posterior walls are hollow by up to this, from their middle to the pedicles."""

HALF_CANAL_MM = 8.0
"""Half the depth of a canal: where its wall is not seen at all, the body ends that far before its middle."""

MID_HEIGHT_MM, LEANING_MM = 5.0, 4.0
"""Over this much of its height the wall is surely wall; no more than this does it lean away from there."""

LEAST_WALL = 20
"""Fewer places of the wall than this determine no plane."""

LEAST_SIDE_MM = 3.0
"""A body is at least this deep at its sides; thinner bone beside it is a process or a spur."""

NARROW, WIDTH_MARGIN = 25.0, 0.12
"""Processes spring from some of a body's slices: its own sides are those of the narrow quarter (per
cent), and a waist gives this part of the body's inner radius beside them."""

FORWARD, WIDER = (1.0, 0.6), 1.04
"""Necks' transverse processes hide the sides of their bodies: how wide those are is seen this far before
their middle (parts of the inner radius), where an oval is that much narrower."""

CERVICAL_WIDTH, C7_WIDTH = (0.7, 0.85), (0.85, 1.25)
"""Half the width of a body lies between these parts of half the width of its canal as it is seen here, C3 to
C6 and C7 (Panjabi, Spine 1991: bodies of 16 to 18 and 22 mm, canals of 23 to 26 mm)."""

ROUND = 2.6
"""Thoracic bodies are nearly oval behind: beyond a superellipse of this exponent pedicles begin."""

THROUGH, GIVEN_BACK_MM = 0.8, 1.0
"""A column of the body is at least this part as tall as those before the canal, and this near to one."""

ROOTS = 0.4
"""Pedicles spring from what lies behind this part of the way from the body's middle to its wall."""

SIDEWAYS = 0.34
"""What is thinner than this part of the body's inner radius, in slices across the spine, is a process."""

RIM_MM = 2.0
"""Edges that the cutting rounded off are given back."""


def body_of(
    x: FloatArray,
    y: FloatArray,
    z: FloatArray,
    bone: BoolArray,
    *,
    canal_xy: tuple[float, float],
    canal_half_width_mm: float,
    radius_mm: float,
    level: str,
) -> BoolArray:
    """Where the body is, shape (nx, ny, nz); it may reach a little beyond the bone.

    Parameters
    ----------
    x, y, z : ndarray
        Places along each axis, `STEP_MM` apart.
    bone : ndarray of bool, shape (nx, ny, nz)
        The whole vertebra.
    canal_xy : tuple of float
        Middle of the canal.
    canal_half_width_mm : float
    radius_mm : float
        Of the largest ball in the body.
    level : str
    """
    cervical = level.startswith("C")
    front = _before_the_wall(x, y, z, bone, canal_xy, canal_half_width_mm)
    low, high = _sides(x, bone & front, WIDTH_MARGIN * radius_mm)
    if cervical:
        limits = np.multiply(C7_WIDTH if level == "C7" else CERVICAL_WIDTH, canal_half_width_mm)
        half = float(np.clip(_half_width_before(x, y, bone, canal_xy[0], radius_mm), *limits))
        low, high = max(low, canal_xy[0] - half), min(high, canal_xy[0] + half)
    # Before the middle of a thoracic or lumbar body there are no processes, only spurs: they are body.
    ahead = np.zeros(bone.shape, bool) if cervical else np.broadcast_to((y < 0)[None, :, None], bone.shape)
    front &= ahead | ((x >= low) & (x <= high))[:, None, None]
    front &= _right_through(x, y, bone & front, canal_xy[0], canal_half_width_mm)[:, :, None]
    if level.startswith("T"):
        front &= _oval_behind(x, y, bone & front, low, high)[:, :, None]
    found = np.zeros(bone.shape, bool)
    filled = np.argwhere(bone & front)
    if len(filled) == 0:
        return found
    margin = int(np.ceil(RIM_MM / STEP_MM)) + 1
    low_index, high_index = np.maximum(filled.min(axis=0) - margin, 0), filled.max(axis=0) + margin + 1
    box = tuple(slice(int(a), int(b)) for a, b in zip(low_index, high_index, strict=True))
    found[box] = _without_processes(bone[box], front[box], ahead[box], radius_mm)
    return found


def _without_processes(bone: BoolArray, front: BoolArray, ahead: BoolArray, radius_mm: float) -> BoolArray:
    """What is left of `front` when thin bone is cut off, except `ahead`."""
    # Opened within slices across the spine only: endplates keep their edges.
    flat = (STEP_MM, STEP_MM, 1e3)
    core = ndimage.distance_transform_edt(bone & front, sampling=flat) > SIDEWAYS * radius_mm
    opened = ndimage.distance_transform_edt(~core, sampling=flat) <= SIDEWAYS * radius_mm
    pieces, count = ndimage.label(opened)
    if count > 1:
        opened = pieces == 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
    near = ndimage.distance_transform_edt(~opened, sampling=STEP_MM) <= RIM_MM
    return np.asarray((near | ahead) & front)


def _right_through(
    x: FloatArray, y: FloatArray, candidate: BoolArray, middle: float, half_width_mm: float
) -> BoolArray:
    """Columns along the spine, shape (nx, ny), that may be body.

    The roots of pedicles lie before the wall, too, but bone does not fill their columns from endplate
    to endplate as it does in front of the canal.
    """
    tall = candidate.sum(axis=2) * STEP_MM
    strip = np.abs(x - middle) <= max(WALL_SEEN * half_width_mm, 3.0)
    usual = np.median(tall[strip], axis=0)  # (ny,)
    filled = np.flatnonzero(usual > 0)
    wall = float(y[filled[-1]]) if len(filled) else 0.0
    through = tall >= THROUGH * usual
    through = ndimage.binary_dilation(through, iterations=max(1, round(GIVEN_BACK_MM / STEP_MM)))
    return np.asarray(through | (y < ROOTS * wall) | strip[:, None])


def _half_width_before(
    x: FloatArray, y: FloatArray, bone: BoolArray, middle: float, radius_mm: float
) -> float:
    """Half the width of a cervical body, as it is seen before its transverse processes."""
    rows = (y >= -FORWARD[0] * radius_mm) & (y <= -FORWARD[1] * radius_mm)
    filled = bone[:, rows].mean(axis=(1, 2)) if rows.any() else np.zeros(len(x))
    aside = np.abs(x - middle)[filled > 0.5 * filled[np.abs(x - middle) <= 3].max(initial=0.0)]
    return WIDER * (float(aside.max(initial=0.0)) + STEP_MM / 2)


def _oval_behind(x: FloatArray, y: FloatArray, candidate: BoolArray, low: float, high: float) -> BoolArray:
    """Places, shape (nx, ny), that are not beyond the corners of a body that is round behind."""
    middle, half = (low + high) / 2, (high - low) / 2
    shadow = candidate[np.abs(x - middle) <= 3].sum(axis=(0, 2))
    filled = y[shadow > 0.5 * shadow.max()]
    if len(filled) == 0 or half <= 0:
        return np.ones((len(x), len(y)), bool)
    centre, depth = (filled[0] + filled[-1]) / 2, (filled[-1] - filled[0] + STEP_MM) / 2
    gx, gy = np.meshgrid(np.abs(x - middle) / half, (y - centre) / depth, indexing="ij")
    return np.asarray((gy <= 0) | (gx**ROUND + np.abs(gy) ** ROUND <= 1) | (np.abs(x - middle) <= 3)[:, None])


def _sides(x: FloatArray, candidate: BoolArray, margin_mm: float) -> tuple[float, float]:
    """How far the body reaches to the right and to the left."""
    area = candidate.sum(axis=(0, 1))
    deep = candidate[:, :, area >= 0.6 * area.max()].sum(axis=1) * STEP_MM > LEAST_SIDE_MM  # (nx, nz)
    ends = np.array([x[np.flatnonzero(column)[[0, -1]]] for column in deep.T if column.any()])
    if len(ends) == 0:
        return float(x[0]), float(x[-1])
    return (
        float(np.percentile(ends[:, 0], 100 - NARROW)) - margin_mm,
        float(np.percentile(ends[:, 1], NARROW)) + margin_mm,
    )


def _before_the_wall(
    x: FloatArray,
    y: FloatArray,
    z: FloatArray,
    bone: BoolArray,
    canal_xy: tuple[float, float],
    canal_half_width_mm: float,
) -> BoolArray:
    """What lies before the posterior wall: a plane, bent in the way that the wall is hollow."""
    aside = np.abs(x - canal_xy[0]) <= max(WALL_SEEN * canal_half_width_mm, 3.0)
    start, stop = (int(np.searchsorted(y, at)) for at in (0.0, canal_xy[1] + 3.0))
    strip = bone[aside, start:stop]  # from the body's middle back into the canal
    ends_before = np.full(bone.shape[0], canal_xy[1] - HALF_CANAL_MM)[:, None, None]
    if strip.shape[1] < 2:
        return np.asarray((y[None, :, None] <= ends_before) & np.ones_like(bone))
    ix, iz = np.nonzero(strip[:, 0] & ~strip.all(axis=1))
    wall = y[start + np.argmin(strip, axis=1)[ix, iz]] - STEP_MM / 2
    xz = np.column_stack([x[aside][ix] - canal_xy[0], z[iz]])
    # Where the axes lean, an endplate may be met first: it is far before the wall at mid height.
    middle = np.abs(xz[:, 1]) <= MID_HEIGHT_MM
    if middle.sum() >= LEAST_WALL:
        near = np.abs(wall - np.median(wall[middle])) <= LEANING_MM
        xz, wall = xz[near], wall[near]
    try:
        if len(wall) < LEAST_WALL:
            raise DegenerateGeometry("the wall is hardly seen")
        plane = robust_height_plane(xz, wall)
    except DegenerateGeometry:
        return np.asarray((y[None, :, None] <= ends_before) & np.ones_like(bone))
    good = plane.weights > 0.3
    terms = np.column_stack([np.ones(int(good.sum())), xz[good, 0] ** 2])
    offset, hollow = np.linalg.lstsq(terms, (wall - plane.at(xz))[good], rcond=None)[0]
    out = np.minimum(np.abs(x - canal_xy[0]), canal_half_width_mm)
    bend = np.clip(offset + max(hollow, 0.0) * out**2, -HOLLOW_MM, HOLLOW_MM)
    gx, gz = np.meshgrid(x - canal_xy[0], z, indexing="ij")
    depth = plane.at(np.stack([gx, gz], axis=-1)) + bend[:, None]
    return np.asarray(y[None, :, None] <= depth[:, None])
