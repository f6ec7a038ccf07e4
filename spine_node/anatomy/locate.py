"""From a label map to the landmarks of a spine. Each structure is worked on in its own box."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from spine_node.anatomy.axis import rough_axes
from spine_node.anatomy.contacts import touching
from spine_node.anatomy.grey import metal
from spine_node.anatomy.landmarks import FemoralHead, Spine, Vertebra, Vertical
from spine_node.anatomy.levels import (
    CHANNELS,
    FEMORAL_HEAD_LEFT,
    LEVEL_OF_VALUE,
    SACRUM,
)
from spine_node.anatomy.pelvis import locate_hips, locate_pelvis
from spine_node.anatomy.pieces import Pieces, absent_levels, vertebrae_in
from spine_node.anatomy.split import BY_SHAPE, split
from spine_node.anatomy.vertebra import locate_vertebra
from spine_node.errors import LabelMapRefused
from spine_node.imaging.components import boxes
from spine_node.imaging.volume import Box, LabelMap, Volume

REMNANT = 0.7
"""An end vertebra lower than this part of its neighbour's height was cut, or is crushed."""

THICK_MM = 2.2
"""Slices thicker than this leave small endplates along them undetermined by a few degrees."""


def locate(label_map: LabelMap, vertical: Vertical | None = None, image: Volume | None = None) -> Spine:
    """Every landmark that the label map shows; what is not there is listed with its reason.

    Parameters
    ----------
    label_map : LabelMap
        Values of `anatomy.levels`, any orientation and spacing. Whole vertebrae are parted first.
    vertical : Vertical, optional
        Direction against gravity; the image z axis with undeclared posture when not given.
    image : Volume, optional
        On the same grid: for grey values of bodies, and to see metal.

    Raises
    ------
    LabelMapRefused
        If it shows no vertebra and no sacrum, or if left and right contradict front and back
        (a mirrored label map).
    """
    vertical = vertical or Vertical()
    found = boxes(label_map)
    parted = split(label_map, found)
    said_of_parts = []
    if parted is not label_map:
        label_map, found = parted, boxes(parted)
        said_of_parts = [BY_SHAPE]
    pieces, missing, islands = vertebrae_in(label_map, found)
    if not pieces and SACRUM not in found:
        raise LabelMapRefused(
            f"the label map shows no vertebra and no sacrum: it holds the values {sorted(found) or 'none'}, "
            f"bodies are {min(LEVEL_OF_VALUE)} to {max(LEVEL_OF_VALUE)}, the sacrum is {SACRUM}. "
            "Nothing was measured."
        )
    missing |= absent_levels(pieces)
    quality = [
        *said_of_parts,
        *islands,
        *_unknown(found),
        *_thick(label_map),
        *_disorder(pieces, vertical),
        *touching(label_map, found),
        *([] if image is None else metal(image, label_map, found)),
    ]
    guesses = rough_axes(pieces, vertical.direction)
    vertebrae, dens_tip = [], None
    with ThreadPoolExecutor(threads()) as aside:
        hips = aside.submit(locate_hips, label_map, found, vertical)
        every = list(aside.map(lambda piece: locate_vertebra(piece, guesses[piece.level], image), pieces))
    for located in every:
        vertebrae.append(located.vertebra)
        missing |= located.missing
        quality += located.quality
        dens_tip = dens_tip if located.dens_tip_mm is None else located.dens_tip_mm
    vertebrae, cut = _without_cut_ends(vertebrae, sacrum_seen=SACRUM in found)
    missing |= cut
    pelvis = locate_pelvis(hips.result(), label_map, found, vertebrae, guesses, vertical)
    _refuse_mirrored(vertebrae, pelvis.heads)
    return Spine(
        tuple(vertebrae),
        pelvis.s1,
        pelvis.heads,
        vertical,
        missing | pelvis.missing,
        (*quality, *pelvis.quality),
        dens_tip_mm=dens_tip,
        crests_mm=pelvis.crests_mm,
        sacral_left=pelvis.sacral_left,
    )


def threads() -> int:
    """How many structures are worked on at once: numpy and scipy leave the other cores free meanwhile."""
    return min(len(os.sched_getaffinity(0)), 4)


def _without_cut_ends(
    vertebrae: list[Vertebra], *, sacrum_seen: bool
) -> tuple[list[Vertebra], dict[str, str]]:
    """The vertebrae without the outer endplate of a first or last one that is only a remnant.

    Label maps often end within a vertebra though the volume goes on: its outer surface is then a cut.
    """
    reasons: dict[str, str] = {}
    kept = list(vertebrae)
    ends = [(0, 1, "superior")] + ([] if sacrum_seen else [(len(kept) - 1, len(kept) - 2, "inferior")])
    for end, neighbour, outer in ends if len(kept) > 1 else []:
        low, usual = (_height_mm(kept[k]) for k in (end, neighbour))
        if low is None or usual is None or low > REMNANT * usual:
            continue
        level, next_level = kept[end].level, kept[neighbour].level
        why = f"{level} seems to be cut: its body is {low:.0f} mm high, that of {next_level} {usual:.0f} mm"
        kept[end] = (
            replace(kept[end], superior=None) if outer == "superior" else replace(kept[end], inferior=None)
        )
        reasons[f"{level}.{outer}"] = reasons[f"{level}.body"] = why
    return kept, reasons


def _height_mm(vertebra: Vertebra) -> float | None:
    if vertebra.superior is None or vertebra.inferior is None:
        return None
    return float(np.linalg.norm(vertebra.superior.centre_mm - vertebra.inferior.centre_mm))


def _refuse_mirrored(vertebrae: list[Vertebra], heads: Mapping[str, FemoralHead]) -> None:
    lefts = [v.axes[:, 0] for v in vertebrae if v.axes is not None]
    if len(heads) < 2 or not lefts:
        return
    apart = heads["left"].centre_mm - heads["right"].centre_mm
    if float(np.mean(lefts, axis=0) @ apart) < 0:
        raise LabelMapRefused(
            "left and right contradict front and back: the spinous processes say that the femoral head "
            f"labelled left ({FEMORAL_HEAD_LEFT}) lies on the right. The label map is mirrored, or its "
            "femoral heads are swapped. Nothing was measured."
        )


def _unknown(found: Mapping[int, Box]) -> list[str]:
    unknown = sorted(set(found) - set(CHANNELS))
    return [f"The label map holds unknown values {unknown}; they were ignored."] if unknown else []


def _thick(label_map: LabelMap) -> list[str]:
    thick = float(label_map.grid.spacing_mm.max())
    if thick <= THICK_MM:
        return []
    return [f"Voxels reach {thick:.1f} mm: endplates that lie along the slices are uncertain by degrees."]


def _disorder(pieces: tuple[Pieces, ...], vertical: Vertical) -> list[str]:
    """Levels that do not follow each other from the head down."""
    heights = [float(p.centre_mm @ vertical.direction) for p in pieces]
    return [
        f"{upper.level} does not lie above {lower.level}: the levels are not in order."
        for upper, lower, a, b in zip(pieces, pieces[1:], heights, heights[1:], strict=False)
        if a <= b
    ]
