"""From tissue and votes to vertebrae, one by one, and to sides. Works on the canonical grid.

Every voxel of a vertebra points at its body's centre: the votes pile up once per vertebra, also
where neighbours touch. Array order is (z, y, x), sizes in mm. No torch, no names of levels.
"""

from __future__ import annotations

from dataclasses import dataclass

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial import cKDTree

from spine_node.imaging.volume import FloatArray
from spine_node.segmentation.borders import joined, settle_borders
from spine_node.segmentation.classes import BODY, HEAD, HIP, POSTERIOR, SACRUM

VOTE_BIN_MM = 2.0
"""Edge of the cells that votes are counted in."""

VOTE_BLUR_MM = 3.0
"""Scatter of the votes of one body."""

PEAK_DISTANCE_MM = 9.0
"""Closest that two centres may be: cervical neighbours are 14 mm apart, or more."""

LEAST_BODY_MM3 = 700.0
"""Smallest piece that counts as a body: a quarter of a child's cervical one."""

BODY_REACH_MM = 14.0
"""How far a body voxel's vote may land from the centre it is given to."""

POSTERIOR_REACH_MM = 22.0
"""The same for posterior elements, whose votes travel further."""

NEIGHBOUR_MM = 70.0
"""Furthest that a vertebra may be from the next one found: one between them may have been missed."""


@dataclass(frozen=True, slots=True, eq=False)
class Instances:
    """Vertebrae, cranial to caudal.

    Attributes
    ----------
    parts : ndarray of uint8, shape (z, y, x)
        1.. for the voxels of a vertebra (body and posterior elements), 0 elsewhere.
    centres : ndarray, shape (n, 3)
        Body centroids, array index.
    """

    parts: NDArray[np.uint8]
    centres: FloatArray


def find_vertebrae(
    tissue: NDArray[np.uint8],
    offset_mm: NDArray[np.float32],
    spacing_mm: float,
    values: NDArray[np.float32] | None = None,
) -> Instances:
    """Tell the vertebrae apart.

    Parameters
    ----------
    tissue : ndarray, shape (z, y, x)
        Classes of `classes.TISSUES`.
    offset_mm : ndarray, shape (3, z/2, y/2, x/2) (rounded up)
        From each place to its body's centre, array axes.
    spacing_mm : float
        Edge of a voxel of `tissue`.
    values : ndarray, shape (z, y, x), optional
        Scaled grey values: they show discs where the net does not.
    """
    grey = np.zeros(tissue.shape, np.float32) if values is None else values
    column = (tissue == BODY) | (tissue == POSTERIOR)
    spans = [np.flatnonzero(column.any(axis=tuple(b for b in range(3) if b != a))) for a in range(3)]
    if len(spans[0]) == 0:
        return Instances(np.zeros(tissue.shape, np.uint8), np.zeros((0, 3)))
    # The spine is a small part of the field; even first voxels, so that the votes stay with theirs.
    start = [max(0, int(s[0]) - 4) // 2 * 2 for s in spans]
    stop = [min(n, int(s[-1]) + 5) for s, n in zip(spans, tissue.shape, strict=True)]
    box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    half = tuple(slice(a // 2, (b + 1) // 2) for a, b in zip(start, stop, strict=True))
    found = _in_box(tissue[box], offset_mm[(slice(None), *half)], spacing_mm, grey[box])
    parts = np.zeros(tissue.shape, np.uint8)
    parts[box] = found.parts
    return Instances(parts, found.centres + np.array(start))


def _in_box(
    tissue: NDArray[np.uint8],
    offset_mm: NDArray[np.float32],
    spacing_mm: float,
    grey: NDArray[np.float32],
) -> Instances:
    where = np.argwhere(tissue == BODY)
    empty = Instances(np.zeros(tissue.shape, np.uint8), np.zeros((0, 3)))
    if len(where) * spacing_mm**3 < LEAST_BODY_MM3:
        return empty
    votes = votes_of(where, offset_mm, spacing_mm)
    peaks = _peaks(votes, spacing_mm)
    if len(peaks) == 0:
        return empty
    distance, nearest = cKDTree(peaks).query(votes)
    parts = np.zeros(tissue.shape, np.uint8)
    good = distance <= BODY_REACH_MM
    parts[tuple(where[good].T)] = nearest[good] + 1
    parts = _largest_pieces(parts, len(peaks), spacing_mm)
    centres, parts = _ordered(_column(parts, spacing_mm))
    if len(centres) == 0:
        return empty
    heaps = _attach_posterior(tissue, centres, offset_mm, spacing_mm)
    number = _joined(tissue, parts, centres, grey, spacing_mm)
    parts, heaps = number[parts], number[heaps]
    centres, _ = _ordered(parts)
    settle_borders(parts, grey, centres, spacing_mm)
    parts = _largest_pieces(parts, len(centres), spacing_mm, least=0.0)
    centres, _ = _ordered(parts)
    return Instances(np.maximum(parts, heaps), centres)


def _joined(
    tissue: NDArray[np.uint8],
    parts: NDArray[np.uint8],
    centres: FloatArray,
    values: NDArray[np.float32],
    spacing_mm: float,
) -> NDArray[np.uint8]:
    """Number of the body that each heap of votes belongs to, indexed by the number of the heap."""
    sizes = np.bincount(parts.ravel(), minlength=len(centres) + 1)[1:].astype(np.float64)
    edge = np.zeros(parts.shape, bool)
    for axis in range(3):
        np.moveaxis(edge, axis, 0)[[0, 1, -2, -1]] = True
    cut = np.isin(np.arange(1, len(centres) + 1), parts[edge])
    number = np.zeros(256, np.uint8)
    for index, group in enumerate(joined(tissue == BODY, values, centres, sizes, ~cut, spacing_mm), start=1):
        number[np.array(group) + 1] = index
    return number


def votes_of(where: NDArray[np.intp], offset_mm: NDArray[np.float32], spacing_mm: float) -> FloatArray:
    """Where voxels point, mm from the array's first voxel."""
    half = tuple(np.minimum(where[:, a] // 2, offset_mm.shape[1 + a] - 1) for a in range(3))
    middle = np.stack([h * 2 + 0.5 for h in half], axis=1)
    return np.asarray(middle * spacing_mm + offset_mm[:, half[0], half[1], half[2]].T, dtype=np.float64)


def _peaks(votes: FloatArray, spacing_mm: float) -> FloatArray:
    low = votes.min(axis=0) - 4 * VOTE_BLUR_MM
    cell = np.rint((votes - low) / VOTE_BIN_MM).astype(int)
    counts = np.zeros(cell.max(axis=0) + 1 + round(4 * VOTE_BLUR_MM / VOTE_BIN_MM), np.float32)
    np.add.at(counts, tuple(cell.T), np.float32(spacing_mm**3))
    heap = ndimage.gaussian_filter(counts, VOTE_BLUR_MM / VOTE_BIN_MM)
    size = 2 * int(PEAK_DISTANCE_MM / VOTE_BIN_MM / 2) + 1
    # The least body, if its votes scattered as the blur does, would make a heap this high.
    least = LEAST_BODY_MM3 / ((2 * np.pi) ** 1.5 * (2 * VOTE_BLUR_MM / VOTE_BIN_MM) ** 3)
    tops = np.argwhere((heap == ndimage.maximum_filter(heap, size)) & (heap > least))
    tops = tops[np.argsort(-heap[tuple(tops.T)], kind="stable")]
    kept: list[NDArray[np.intp]] = []
    for top in tops:
        if all(np.linalg.norm(top - k) * VOTE_BIN_MM >= PEAK_DISTANCE_MM for k in kept):
            kept.append(top)
    # Nobody has forty vertebrae; more heaps are noise, and the numbers must fit in eight bits.
    return np.asarray(kept[:40], dtype=np.float64).reshape(-1, 3) * VOTE_BIN_MM + low


def _largest_pieces(
    parts: NDArray[np.uint8], count: int, spacing_mm: float, least: float = LEAST_BODY_MM3
) -> NDArray[np.uint8]:
    result = np.zeros_like(parts)
    for index, box in enumerate(ndimage.find_objects(parts, count), start=1):
        if box is None:
            continue
        piece = cc3d.largest_k(parts[box] == index, k=1, connectivity=6) > 0
        if piece.sum() * spacing_mm**3 >= least:
            result[box][piece] = index
    return result


def _column(parts: NDArray[np.uint8], spacing_mm: float) -> NDArray[np.uint8]:
    """The largest group of bodies in which each has a neighbour: an elbow that looks like one has none."""
    present, sizes = np.unique(parts[parts > 0], return_counts=True)
    if len(present) < 2:
        return parts
    centres = np.array(ndimage.center_of_mass(parts > 0, parts, present)) * spacing_mm
    group = fcluster(linkage(centres, "single"), NEIGHBOUR_MM, "distance")
    heaviest = np.bincount(group, weights=sizes).argmax()
    keep = np.zeros(256, bool)
    keep[present[group == heaviest]] = True
    return np.where(keep[parts], parts, 0).astype(np.uint8)


def _ordered(parts: NDArray[np.uint8]) -> tuple[FloatArray, NDArray[np.uint8]]:
    """Number the parts from the head down; a standing spine's bodies do not change places in height."""
    present = np.unique(parts[parts > 0])
    if len(present) == 0:
        return np.zeros((0, 3)), parts
    centres = np.array(ndimage.center_of_mass(parts > 0, parts, present)).reshape(-1, 3)
    down = np.argsort(-centres[:, 0], kind="stable")
    table = np.zeros(256, np.uint8)
    table[present[down]] = np.arange(1, len(down) + 1)
    return centres[down], table[parts]


def _attach_posterior(
    tissue: NDArray[np.uint8],
    centres: FloatArray,
    offset_mm: NDArray[np.float32],
    spacing_mm: float,
) -> NDArray[np.uint8]:
    """Number of the body, 1.., that each voxel of posterior elements votes for; 0 elsewhere."""
    result = np.zeros(tissue.shape, np.uint8)
    where = np.argwhere(tissue == POSTERIOR)
    if len(where):
        votes = votes_of(where, offset_mm, spacing_mm)
        distance, nearest = cKDTree(centres * spacing_mm).query(votes)
        good = distance <= POSTERIOR_REACH_MM
        result[tuple(where[good].T)] = nearest[good] + 1
    return result


@dataclass(frozen=True, slots=True, eq=False)
class Midline:
    """The plane between left and right of the pelvis; `left_of` is positive on the patient's left."""

    point: FloatArray
    normal: FloatArray

    def left_of(self, index: FloatArray) -> FloatArray:
        """Signed distance of array indices (..., 3) (z, y, x), in voxels."""
        return np.asarray((index - self.point) @ self.normal)


def pelvic_midline(
    tissue: NDArray[np.uint8], lowest_body: FloatArray | None, spacing_mm: float
) -> Midline | None:
    """Where left meets right, from what is in view; None without anything to tell it by.

    Two femoral heads at least 80 mm apart give both place and direction; else the plane stands
    across the x axis at the sacrum, at the lowest vertebra, or midway between two hip bones.
    """
    across = np.array([0.0, 0.0, 1.0])
    pieces, count = cc3d.connected_components(tissue == HEAD, connectivity=6, return_N=True)
    if count >= 2:
        middles = np.array(ndimage.center_of_mass(pieces > 0, pieces, range(1, count + 1)))
        middles = middles[np.argsort(middles[:, 2])]
        apart = middles[-1] - middles[0]
        if np.linalg.norm(apart) * spacing_mm > 80.0 and apart[2] > 0.7 * np.linalg.norm(apart):
            return Midline(middles[[0, -1]].mean(axis=0), apart / np.linalg.norm(apart))
    sacrum = np.argwhere(tissue == SACRUM)
    if len(sacrum):
        return Midline(sacrum.mean(axis=0), across)
    if lowest_body is not None:
        return Midline(lowest_body, across)
    hips = np.argwhere(tissue == HIP)
    return Midline((hips.min(axis=0) + hips.max(axis=0)) / 2, across) if len(hips) else None
