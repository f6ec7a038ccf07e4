"""Where one vertebral body ends and the next begins, once votes have said roughly where bodies are.

Votes of a net that is not sure fall apart into two heaps for one body, or lean to a neighbour. A
spine is regular, and between two bodies there is a disc: darker than bone, or left out by the net.
Array order is (z, y, x), sizes in mm; no names of levels.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spine_node.imaging.volume import FloatArray

GROWTH, IRREGULAR = 0.03, 0.14
"""Logarithm of a distance of neighbours over the one above it: mean, and scatter."""

JOIN = 2.0
"""Price (nats) of taking two heaps of votes for one body."""

GAP_SAYS, DARK_SAYS, PLATES_SAY = 12.0, 6.0, 6.0
"""Price of joining across a disc that the net leaves out, across one as dark as soft tissue, and across
endplates twice as bright as marrow."""

PLATES_MM = (1, 2, 3, 4)
"""Half the distances that are tried between the endplates beside a disc."""

BRIGHT = 0.12
"""Scaled grey value from which a body is bright enough beside soft tissue (0) for a disc to show."""

MOST_HEAPS = 3
"""Heaps that votes for one body may fall into."""

CORE_MM = 8.0
"""Radius of the core of the column in which discs are looked for."""

SHIFT_MM = 7.0
"""How far a border may be moved from where the votes put it, in either direction."""


def profile(
    bodies: NDArray[np.bool_],
    values: NDArray[np.float32],
    upper: FloatArray,
    lower: FloatArray,
    spacing_mm: float,
) -> tuple[FloatArray, FloatArray]:
    """Share of body and mean grey value across the core, at every millimetre from one centre to the next.

    Parameters
    ----------
    bodies, values : ndarray, shape (z, y, x)
    upper, lower : ndarray, shape (3,)
        Array index of the centres.
    spacing_mm : float
    """
    way = lower - upper
    length = float(np.linalg.norm(way)) * spacing_mm
    steps = np.linspace(0, 1, max(round(length), 2) + 1)
    along = way / np.linalg.norm(way)
    across = np.linalg.svd(along[None])[2][1:]
    reach = np.arange(-CORE_MM, CORE_MM + 0.1, 2.0)
    a, b = (g.ravel() for g in np.meshgrid(reach, reach))
    core = np.hypot(a, b) <= CORE_MM
    disc = (a[core, None] * across[0] + b[core, None] * across[1]) / spacing_mm
    points = np.rint(upper + steps[:, None, None] * way + disc).astype(int)
    where = tuple(np.clip(points[..., k], 0, bodies.shape[k] - 1) for k in range(3))
    return bodies[where].mean(axis=1), values[where].mean(axis=1, dtype=np.float64)


def discness(share: FloatArray, grey: FloatArray) -> FloatArray:
    """How much speaks for a disc at each step of a `profile`, nats.

    The net leaves it out; or it is darker than the marrow, or lies between two bright endplates that
    at coarse voxels are one bright band.
    """
    bone = float(np.median(np.r_[grey[:4], grey[-4:]]))
    if bone <= BRIGHT:
        return np.asarray(GAP_SAYS * (1 - share))
    dark = np.clip((bone - grey) / bone, 0, 1)
    plates = np.zeros_like(grey)
    for half in PLATES_MM:
        beside = np.full_like(grey, bone)
        beside[half:-half] = np.minimum(grey[: -2 * half], grey[2 * half :])
        plates = np.maximum(plates, np.clip(beside / bone - 1, 0, 1))
    return np.asarray(GAP_SAYS * (1 - share) + DARK_SAYS * dark + PLATES_SAY * plates)


def joined(
    bodies: NDArray[np.bool_],
    values: NDArray[np.float32],
    centres: FloatArray,
    sizes: FloatArray,
    whole: NDArray[np.bool_],
    spacing_mm: float,
) -> list[list[int]]:
    """Which heaps of votes are one body: the most regular spine that joins across no disc.

    Parameters
    ----------
    bodies, values : ndarray, shape (z, y, x)
    centres : ndarray, shape (n, 3)
        Array index, cranial to caudal.
    sizes : ndarray, shape (n,)
        Weight of each in the centre of a group.
    whole : ndarray of bool, shape (n,)
        False for a body that the field cuts: its distance says nothing.
    spacing_mm : float

    Returns
    -------
    list of lists of int
        Consecutive indices, one list a body.
    """
    n = len(centres)
    price = [
        JOIN + float(discness(*profile(bodies, values, a, b, spacing_mm)).max()) for a, b in pairwise(centres)
    ]
    groups = [(i, j) for j in range(1, n + 1) for i in range(max(0, j - MOST_HEAPS), j)]
    cost = {g: sum(price[g[0] : g[1] - 1]) for g in groups}
    middle = {(i, j): np.average(centres[i:j], axis=0, weights=sizes[i:j]) for i, j in groups}
    complete = {(i, j): bool(whole[i:j].all()) for i, j in groups}

    # best[(one, next)]: cheapest way to end with these two groups, and the group before them.
    Pair = tuple[tuple[int, int], tuple[int, int]]
    best: dict[Pair, tuple[float, tuple[int, int] | None]] = {}
    ends: dict[tuple[int, int], float] = {}
    for group in groups:
        if group[0] == 0:
            ends[group] = cost[group]
            continue
        for before in (g for g in groups if g[1] == group[0]):
            here = np.linalg.norm(middle[group] - middle[before])
            found: tuple[float, tuple[int, int] | None] = (np.inf, None)
            if before[0] == 0:
                found = cost[before], None
            for first in (g for g in groups if g[1] == before[0]):
                total = best[first, before][0]
                if complete[first] and complete[before] and complete[group]:
                    ratio = np.log(here / np.linalg.norm(middle[before] - middle[first]))
                    total += min(0.5 * ((ratio - GROWTH) / IRREGULAR) ** 2, 8.0)
                if total < found[0]:
                    found = total, first
            best[before, group] = found[0] + cost[group], found[1]
    last = [(value[0], pair) for pair, value in best.items() if pair[1][1] == n]
    alone = ends.get((0, n), np.inf)
    if not last or alone <= min(v for v, _ in last):
        return [list(range(n))] if alone < np.inf else [[i] for i in range(n)]
    _, pair = min(last)
    chain: list[tuple[int, int]] = [pair[1]]
    step: tuple[int, int] | None = pair[0]
    while step is not None:
        chain.append(step)
        step = best[chain[-1], chain[-2]][1]
    return [list(range(i, j)) for i, j in reversed(chain)]


def settle_borders(
    parts: NDArray[np.uint8],
    values: NDArray[np.float32],
    centres: FloatArray,
    spacing_mm: float,
) -> None:
    """Move the border of neighbours that touch to the disc between them, in place.

    Parameters
    ----------
    parts : ndarray, shape (z, y, x)
        1.. for the bodies, cranial to caudal.
    values : ndarray, shape (z, y, x)
    centres : ndarray, shape (n, 3)
        Array index.
    spacing_mm : float
    """
    boxes = ndimage.find_objects(parts)
    for index, (upper, lower) in enumerate(pairwise(centres), start=1):
        first, second = boxes[index - 1], boxes[index]
        ends = zip(first, second, strict=True)
        box = tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in ends)
        corner = np.array([s.start for s in box])
        pair = np.isin(parts[box], (index, index + 1))
        where = np.argwhere(pair) + corner
        way = lower - upper
        length = float(np.linalg.norm(way)) * spacing_mm
        along = (where - upper) @ (way / np.linalg.norm(way)) * spacing_mm
        below = parts[tuple(where.T)] == index + 1
        between = (along > 0) & (along < length)
        if not (below & between).any() or not (~below & between).any():
            continue
        score = discness(*profile(pair, values[box], upper - corner, lower - corner, spacing_mm))
        place = np.linspace(0, length, len(score))
        # Where the votes' own border lies: half of what is on either side of it is on the wrong one.
        border = (np.percentile(along[~below], 99) + np.percentile(along[below], 1)) / 2
        score = score - 0.5 * ((place - border) / (SHIFT_MM / 2)) ** 2
        score[np.abs(place - border) > SHIFT_MM] = -np.inf
        if not np.isfinite(score).any():
            continue
        cut = float(place[int(np.argmax(score))])
        mine = where[between & (along <= cut)]
        other = where[between & (along > cut)]
        parts[tuple(mine.T)] = index
        parts[tuple(other.T)] = index + 1
