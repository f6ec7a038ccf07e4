"""A first label map from centres: markers in every vertebra, and watershed or random walker between them.

The body first, between its end plates and around its clicked centre; then the bone behind it, shared out
from pedicles and laminae with ribs as competitors; then sacrum, hip bones and femoral heads where they
have a centre. A draft for correction, not a segmentation to measure on.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spine_node.anatomy.levels import POSTERIOR_OFFSET, VERTEBRA_VALUES
from spine_node.annotation.pelvis import mark_pelvis
from spine_node.annotation.sites import Site, sites
from spine_node.annotation.working import on_grid, window_of, working_volume
from spine_node.errors import LabelMapRefused
from spine_node.imaging.volume import FloatArray, Grid, LabelMap, Volume

Method = Literal["watershed", "random-walker"]

REACH = 1.15
"""Largest body, as a multiple of the outline found."""

CORE = 0.6
"""Size of the marker in a body, as a fraction of the outline."""

BONE_SHARE = 0.95
"""Grey value of posterior bone, as a fraction of the way from soft tissue to the body."""

COMPACT = 0.01
"""How much the flood of posterior elements minds the way (skimage's compactness): bright bone alone would
carry it through a facet joint into the neighbour, or along a rib."""

BETA = 90.0
"""How sharply the random walker stops at an edge."""

_OWN, _OTHER = 1, 2


def seeded(
    volume: Volume,
    centres: Mapping[str, FloatArray],
    method: Method = "watershed",
    progress: Callable[[float, str], None] | None = None,
) -> LabelMap:
    """Label map on the grid of `volume`.

    Parameters
    ----------
    volume : Volume
        Any orientation and spacing; bone brighter than what is around it.
    centres : mapping of str to ndarray, shape (3,)
        LPS mm of body centres by level; optionally of "sacrum", "hip_left", "femoral_head_left", ...
    method : str
    progress : callable, optional

    Raises
    ------
    LabelMapRefused
        If no level has a centre.
    """
    if not any(name in VERTEBRA_VALUES for name in centres):
        raise LabelMapRefused("no vertebra has a centre: one body centre at least was expected.")
    say = progress or (lambda _fraction, _words: None)
    work = working_volume(volume, centres)
    found = sites(work, centres)
    labels = np.zeros(work.grid.shape, np.uint8)
    for i, site in enumerate(found):
        if site.clicked:
            say(0.05 + 0.4 * i / len(found), f"body of {site.level}")
            _mark_body(work, labels, site, method)
    for i, site in enumerate(found):
        if site.clicked:
            say(0.45 + 0.4 * i / len(found), f"posterior elements of {site.level}")
            _mark_posterior(work, labels, found, i, method)
    if not centres.keys() <= VERTEBRA_VALUES.keys():
        say(0.85, "pelvis")
        mark_pelvis(work, labels, [site for site in found if site.clicked][-1], centres)
    say(0.95, "back to the grid of the image")
    return LabelMap(volume.grid, on_grid(labels, work.grid, volume.grid))


def divided(
    values: NDArray[np.floating],
    markers: NDArray[np.int8],
    mask: NDArray[np.bool_],
    method: Method,
    edges: NDArray[np.floating],
    compactness: float = 0.0,
) -> NDArray[np.bool_]:
    """Where marker 1 wins against marker 2 inside the mask.

    The watershed floods `edges` from the markers; the random walker walks on `values`, about 0..1.
    """
    from skimage.segmentation import random_walker, watershed

    markers = np.where(mask, markers, 0).astype(np.int32)
    if not (markers == _OWN).any():
        return np.zeros(values.shape, bool)
    if method == "watershed" or not (markers == _OTHER).any():
        return np.asarray(watershed(edges, markers, mask=mask, compactness=compactness) == _OWN)
    reached = _reached(mask, markers)
    walk = np.where(reached, markers, -1)
    with warnings.catch_warnings():
        # Far from every marker a probability may miss 0..1 by rounding; only which is larger counts.
        warnings.filterwarnings("ignore", message="The probability range is outside")
        return np.asarray(random_walker(values, walk, beta=BETA, mode="cg_j") == _OWN)


def _reached(mask: NDArray[np.bool_], markers: NDArray[np.int32]) -> NDArray[np.bool_]:
    """The pieces of the mask that hold a marker: a walker elsewhere would never arrive."""
    pieces, count = ndimage.label(mask)
    held = np.zeros(count + 1, bool)
    held[np.unique(pieces[markers > 0])] = True
    # A voxel without neighbours has no way to walk, and the equations no solution.
    held &= np.bincount(pieces.ravel(), minlength=count + 1) > 8
    held[0] = False
    return np.asarray(held[pieces])


def _mark_body(work: Volume, labels: NDArray[np.uint8], site: Site, method: Method) -> None:
    reach = np.array([site.width_mm, site.depth_mm, 1.6 * site.size.height_mm * site.scale]) * 0.9
    window, points = window_of(work.grid, site.centre_mm - reach, site.centre_mm + reach)
    local = site.local(points)
    values = (work.values[window] - site.soft) / max(site.bone - site.soft, 1e-6)
    values = np.clip(values, -0.5, 2.0)
    radius = _radius(site, local)
    spacing, height = float(work.grid.spacing_mm[0]), float((site.top[0] - site.bottom[0]) @ site.axes[:, 2])
    front = ~_behind_wall(site, local)
    core = (radius < CORE) & site.between_endplates(points, 0.22 * height) & front
    allowed = (radius < REACH) & site.between_endplates(points, -0.5 * spacing) & front
    near = (radius < REACH + 0.1) & site.between_endplates(points, -2.0)
    markers = np.where(core, _OWN, np.where(near, 0, _OTHER)).astype(np.int8)
    edges = _falling_edge(values, site, local, work.grid, height)
    # The outline found is the likeliest border: an edge far within it is marrow or a vessel.
    edges *= 0.4 + 0.6 * np.exp(-0.5 * ((radius - 1.0) / 0.15) ** 2)
    room = (radius < REACH + 0.3) & site.between_endplates(points, -2.0 - 2 * spacing)
    # For the walker the outline found is an edge too: it would stop at the cortex's inner face.
    expected = ndimage.gaussian_filter(((radius < 1.0) & site.between_endplates(points)) * 1.0, 0.7)
    body = divided(0.25 * np.clip(values, 0.0, 1.5) + 0.5 * expected, markers, room, method, edges) & allowed
    body = _smooth(body)
    own = labels[window]
    own[body & (own == 0)] = VERTEBRA_VALUES[site.level]


def _falling_edge(
    values: NDArray[np.floating], site: Site, local: FloatArray, grid: Grid, height_mm: float
) -> NDArray[np.float64]:
    """How steeply grey values fall away from the body's centre, per voxel.

    Only the outer face of the cortex falls outwards; its inner face, as steep, rises.
    """
    half = np.array([site.width_mm, site.depth_mm, height_mm]) / 2
    outwards = local / half**2
    outwards /= np.linalg.norm(outwards, axis=-1, keepdims=True) + 1e-9
    turn = site.axes.T @ (grid.affine[:3, :3] / grid.spacing_mm)
    slope = np.stack(
        [ndimage.gaussian_filter(values, 0.8, order=np.eye(3, dtype=int)[axis]) for axis in range(3)], axis=-1
    )
    return np.maximum(-np.einsum("...a,ba,...b->...", slope, turn, outwards), 0.0)


def _radius(site: Site, local: FloatArray) -> NDArray[np.float64]:
    """Distance from the body's axis, 1 on its outline: a superellipse, as bodies are not round."""
    x, y = 2 * local[..., 0] / site.width_mm, 2 * local[..., 1] / site.depth_mm
    return np.asarray((np.abs(x) ** 2.3 + np.abs(y) ** 2.3) ** (1 / 2.3))


def _behind_wall(site: Site, local: FloatArray) -> NDArray[np.bool_]:
    """Behind the front of the canal: there pedicles begin."""
    canal = site.local(site.canal_mm)
    return np.asarray(local[..., 1] > canal[1] - site.canal_depth_mm / 2)


def _mark_posterior(
    work: Volume, labels: NDArray[np.uint8], found: Sequence[Site], i: int, method: Method
) -> None:
    site = found[i]
    size, scale = site.size, site.scale
    canal = site.local(site.canal_mm)
    drop = size.spinous_mm * np.sin(np.deg2rad(size.spinous_drop_deg)) + size.spinous_height_mm / 2
    behind = canal[1] + (site.canal_depth_mm / 2) + (size.spinous_mm + 12) * scale
    side = (size.span_mm + 8) * scale
    corners = [
        site.centre_mm + site.axes @ np.array([x, y, z])
        for x in (-side, side)
        for y in (canal[1] - site.canal_depth_mm, behind)
        for z in (-(0.5 * size.height_mm + size.disc_mm + drop + 8) * scale, 0.9 * size.height_mm * scale)
    ]
    window, points = window_of(work.grid, np.min(corners, axis=0), np.max(corners, axis=0))
    values = (work.values[window] - site.soft) / max(site.bone - site.soft, 1e-6)
    values = np.clip(values, -1.0, 3.0)
    own = labels[window]
    local = site.local(points)
    canal_hole = np.zeros(values.shape, bool)
    markers = np.zeros(values.shape, np.int8)
    bone = _smooth_bone(values > BONE_SHARE) & (own == 0)
    for k in range(max(0, i - 2), min(len(found), i + 3)):
        other = found[k]
        there = other.local(points)
        seeds, hole, ribs = _posterior_marks(other, there)
        canal_hole |= hole
        markers[seeds & bone & (markers == 0)] = _OWN if k == i else _OTHER
        markers[ribs & bone & (markers == 0)] = _OTHER
    bone &= ~canal_hole
    # Bone in front of the wall and beside the bodies belongs to ribs, not to an arch.
    bone &= local[..., 1] > canal[1] - 0.5 * site.canal_depth_mm - 1.0
    reach = np.abs(local[..., 0]) < side
    bone &= reach & (local[..., 1] < behind)
    edges = -ndimage.gaussian_filter(np.minimum(values, 2.0), 0.6)
    mine = divided(np.clip(values / 2, 0, 1), markers, bone, method, edges, COMPACT)
    mine = _largest_near(mine, markers == _OWN)
    own[mine & (own == 0)] = VERTEBRA_VALUES[site.level] + POSTERIOR_OFFSET


def _posterior_marks(
    site: Site, local: FloatArray
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Pedicles and laminae of a site; the canal at its height; where only ribs are."""
    x, y, z = np.moveaxis(local - site.local(site.canal_mm), -1, 0)
    width, depth = site.canal_width_mm / 2, site.canal_depth_mm / 2
    height, thick = site.size.height_mm * site.scale, site.size.pedicle_width_mm
    beside = np.abs(np.abs(x) - width - 0.4 * thick) < 0.6 * thick
    pedicle = beside & (np.abs(y) < depth) & (np.abs(z) < 0.22 * height)
    # Laminae slope from the pedicles down and back to the midline.
    lamina = (np.abs(x) < width) & (y > depth) & (y < depth + 8.0)
    lamina &= np.abs(z + 0.45 * height) < 0.22 * height
    hole = ((x / width) ** 2 + (y / depth) ** 2 < 0.8) & (np.abs(z + 0.2 * height) < 0.7 * height)
    thoracic = site.level.startswith("T")
    ribs = (
        (np.abs(x) > (site.size.span_mm + 3.0) * site.scale)
        | ((np.abs(x) > width + 1.6 * thick) & (y < depth) & thoracic)
    ) & (np.abs(z) < 0.6 * height)
    return pedicle | lamina, hole, ribs


def _smooth_bone(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Bone with its marrow: small holes closed."""
    return np.asarray(ndimage.binary_closing(mask, iterations=1) | mask)


def _smooth(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Holes filled, spurs rounded off, the largest piece."""
    filled = ndimage.binary_fill_holes(mask)
    rounded = ndimage.gaussian_filter(filled.astype(np.float32), 0.8) > 0.5
    pieces, count = ndimage.label(rounded)
    if count == 0:
        return mask
    return np.asarray(pieces == 1 + int(np.argmax(np.bincount(pieces.ravel())[1:])))


def _largest_near(mask: NDArray[np.bool_], seeds: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pieces that hold a fair part of the seeds: an arch may be cut in two by a thin pedicle."""
    pieces, count = ndimage.label(mask, structure=np.ones((3, 3, 3)))
    if count == 0:
        return mask
    inside = np.bincount(pieces[seeds & mask], minlength=count + 1)
    inside[0] = 0
    sizes = np.bincount(pieces.ravel())
    kept = (inside > 0) & (sizes > 0.1 * sizes[1:].max())
    kept[0] = False
    return np.asarray(kept[pieces])
