"""Whether a label map can be anatomy: pieces, order, sizes, sides. Finds slips of the hand, not errors
of a millimetre."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spine_node.anatomy.levels import (
    CHANNELS,
    FEMORAL_HEAD_LEFT,
    FEMORAL_HEAD_RIGHT,
    HIP_LEFT,
    HIP_RIGHT,
    LEVEL_OF_VALUE,
    LEVELS,
    POSTERIOR_OFFSET,
    SACRUM,
    VERTEBRA_VALUES,
)
from spine_node.imaging.components import boxes
from spine_node.imaging.volume import Box, FloatArray, LabelMap
from spine_node.phantom.dimensions import SIZES
from spine_node.segmentation.classes import IGNORED

UNKNOWN = IGNORED
"""Voxels that nobody annotated: no structure, and not background either."""

LARGE_PIECE, SMALL_PIECE_ML = 0.05, 0.02
"""A second piece of this share of its structure is an error; one above this volume is worth a word."""

BODY_SHARE = (0.35, 2.2), (0.12, 4.0)
"""Body volume over that of an average adult: outside the first worth a word, outside the second an error."""

ARCH_SHARE = (0.1, 2.5)
"""Posterior elements over their body, by volume."""

APART_MM = 3.0
"""Gap between a body and its posterior elements that is still a matter of outlines."""

BACKWARDS_MM = 3.0
"""How far a body may lie above the one that should be above it, before the order is wrong."""

_ALL = np.ones((3, 3, 3), dtype=bool)
_SUPERNUMERARY = ("T13", "L6")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong, or looks odd, with a structure."""

    severity: Literal["error", "warning"]
    structure: str
    words: str


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """One value of the label map."""

    ml: float
    centre_mm: FloatArray
    pieces_ml: tuple[float, ...]
    cut: bool


def findings(label_map: LabelMap) -> list[Finding]:
    """Everything that a person should look at, errors first."""
    every = boxes(label_map)
    strange = [v for v in every if v not in CHANNELS and v != UNKNOWN]
    out = [Finding("error", str(v), f"the value {v} names no structure") for v in strange]
    found = {v: _measured(label_map, v, box) for v, box in every.items() if v in CHANNELS}
    if not found:
        out.append(Finding("error", "everything", "nothing is labelled"))
    out += _pieces(found)
    out += _bodies_with_arches(label_map, found, every)
    out += _order(found)
    out += _sizes(found)
    out += _sides(found)
    return sorted(out, key=lambda finding: finding.severity != "error")


def _measured(label_map: LabelMap, value: int, box: Box) -> _Found:
    mask = label_map.labels[box] == value
    pieces, count = ndimage.label(mask, structure=_ALL)
    sizes = sorted(np.bincount(pieces.ravel())[1 : count + 1].tolist(), reverse=True)
    ml = label_map.grid.voxel_mm3 / 1000
    start = np.array([s.start for s in box])
    cut = any(s.start == 0 or s.stop == n for s, n in zip(box, label_map.grid.shape, strict=True))
    centre = label_map.grid.to_mm(start + np.argwhere(mask).mean(axis=0))
    return _Found(sum(sizes) * ml, centre, tuple(s * ml for s in sizes), cut)


def _pieces(found: dict[int, _Found]) -> list[Finding]:
    out = []
    for value, it in found.items():
        second = it.pieces_ml[1] if len(it.pieces_ml) > 1 else 0.0
        words = f"{len(it.pieces_ml)} pieces, the largest of {it.pieces_ml[0]:.2f} and {second:.2f} ml"
        large = second > LARGE_PIECE * it.ml and second > SMALL_PIECE_ML
        # An arch may be in two halves where its lamina is thin or the image ends.
        if large and value < POSTERIOR_OFFSET:
            out.append(Finding("error", CHANNELS[value], words))
        elif large or sum(it.pieces_ml[1:]) > SMALL_PIECE_ML:
            out.append(Finding("warning", CHANNELS[value], words))
    return out


def _bodies_with_arches(
    label_map: LabelMap, found: dict[int, _Found], every: dict[int, Box]
) -> list[Finding]:
    out = []
    for level, value in VERTEBRA_VALUES.items():
        body, arch = found.get(value), found.get(value + POSTERIOR_OFFSET)
        if body and not arch and not body.cut:
            out.append(Finding("warning", level, "a body without posterior elements"))
        elif arch and not body and not arch.cut:
            out.append(Finding("error", level, "posterior elements without a body"))
        elif body and arch and not (body.cut or arch.cut) and not _touch(label_map, value, every):
            out.append(Finding("error", level, "the posterior elements do not touch their body"))
    return out


def _touch(label_map: LabelMap, value: int, every: dict[int, Box]) -> bool:
    pair = every[value], every[value + POSTERIOR_OFFSET]
    steps = max(1, round(APART_MM / float(label_map.grid.spacing_mm.max())))
    box = tuple(
        slice(max(min(a.start, b.start) - steps, 0), max(a.stop, b.stop) + steps)
        for a, b in zip(*pair, strict=True)
    )
    here = label_map.labels[box]
    grown: NDArray[np.bool_] = ndimage.binary_dilation(here == value, _ALL, steps)
    return bool((grown & (here == value + POSTERIOR_OFFSET)).any())


def _order(found: dict[int, _Found]) -> list[Finding]:
    """Names follow each other down the spine, none skipped where there is no room for it."""
    levels = [level for level, value in VERTEBRA_VALUES.items() if value in found]
    out = []
    for upper, lower in pairwise(levels):
        above, below = (found[VERTEBRA_VALUES[name]] for name in (upper, lower))
        step = above.centre_mm - below.centre_mm
        if step[2] < -BACKWARDS_MM:
            out.append(Finding("error", lower, f"lies {-step[2]:.0f} mm above {upper}"))
            continue
        if above.cut or below.cut:
            continue
        skipped = [
            name
            for name in LEVELS[LEVELS.index(upper) + 1 : LEVELS.index(lower)]
            if name not in _SUPERNUMERARY
        ]
        far, usual = float(np.linalg.norm(step)), _pitch_mm(upper, lower)
        if skipped and far < 1.5 * usual:
            out.append(
                Finding(
                    "error", lower, f"{far:.0f} mm below {upper}: no room for {', '.join(skipped)} between"
                )
            )
        elif not skipped and far > 1.7 * usual:
            out.append(
                Finding("warning", lower, f"{far:.0f} mm below {upper}: is there a vertebra between them?")
            )
    if levels and SACRUM in found:
        lowest = found[VERTEBRA_VALUES[levels[-1]]]
        if lowest.centre_mm[2] < found[SACRUM].centre_mm[2] - BACKWARDS_MM:
            out.append(Finding("error", "sacrum", f"lies above {levels[-1]}"))
    return out


def _pitch_mm(upper: str, lower: str) -> float:
    """Usual distance between the centres of neighbours of these sizes."""
    return SIZES[upper].height_mm / 2 + SIZES[upper].disc_mm + SIZES[lower].height_mm / 2


def _sizes(found: dict[int, _Found]) -> list[Finding]:
    out = []
    for value, level in LEVEL_OF_VALUE.items():
        body, arch = found.get(value), found.get(value + POSTERIOR_OFFSET)
        if body is None or body.cut or level == "C1":
            continue
        size = SIZES[level]
        # An elliptic cylinder, its waist a little narrower.
        usual = 0.75 * size.width_mm * size.depth_mm * size.height_mm / 1000
        odd, wrong = BODY_SHARE
        words = f"the body has {body.ml:.1f} ml, {usual:.0f} ml are usual"
        if not wrong[0] <= body.ml / usual <= wrong[1]:
            out.append(Finding("error", level, words))
        elif not odd[0] <= body.ml / usual <= odd[1]:
            out.append(Finding("warning", level, words))
        if arch and not arch.cut and not ARCH_SHARE[0] <= arch.ml / body.ml <= ARCH_SHARE[1]:
            out.append(
                Finding(
                    "warning", level, f"posterior elements of {arch.ml:.1f} ml to a body of {body.ml:.1f} ml"
                )
            )
    return out


def _sides(found: dict[int, _Found]) -> list[Finding]:
    """LPS: the left is where x is larger."""
    out = []
    for left, right, what in (
        (HIP_LEFT, HIP_RIGHT, "hip bones"),
        (FEMORAL_HEAD_LEFT, FEMORAL_HEAD_RIGHT, "femoral heads"),
    ):
        if left in found and right in found and found[left].centre_mm[0] <= found[right].centre_mm[0]:
            out.append(Finding("error", what, "left and right are swapped"))
    for head, hip in ((FEMORAL_HEAD_LEFT, HIP_LEFT), (FEMORAL_HEAD_RIGHT, HIP_RIGHT)):
        other = HIP_LEFT + HIP_RIGHT - hip
        if head in found and hip in found and other in found:
            near, far = (np.linalg.norm(found[head].centre_mm - found[h].centre_mm) for h in (hip, other))
            if near > far:
                out.append(Finding("error", CHANNELS[head], f"lies nearer to {CHANNELS[other]}"))
    return out
