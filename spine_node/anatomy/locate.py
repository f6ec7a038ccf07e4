"""From a label map to the landmarks of a spine. Each structure is worked on in its own box."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from spine_node.anatomy.axis import POSTERIOR, rough_axes
from spine_node.anatomy.contacts import touching
from spine_node.anatomy.grey import metal
from spine_node.anatomy.heads import fit_head
from spine_node.anatomy.landmarks import Endplate, FemoralHead, Spine, Vertebra, Vertical
from spine_node.anatomy.levels import (
    CHANNELS,
    FEMORAL_HEAD_LEFT,
    FEMORAL_HEAD_RIGHT,
    LEVEL_OF_VALUE,
    SACRUM,
)
from spine_node.anatomy.pieces import WORTH_SAYING, Pieces, absent_levels, vertebrae_in
from spine_node.anatomy.sacrum import Seed, find_s1, seed_of_shape
from spine_node.anatomy.split import BY_SHAPE, split
from spine_node.anatomy.vertebra import ROUGH_PLATE_MM, locate_vertebra
from spine_node.errors import LabelMapRefused
from spine_node.geometry.angles import angle_between_deg
from spine_node.imaging.components import Box, boxes, cut_out
from spine_node.imaging.surface import field_of
from spine_node.imaging.volume import FloatArray, LabelMap, Volume

REMNANT = 0.7
"""An end vertebra lower than this part of its neighbour's height was cut, or is crushed."""

THICK_MM = 2.2
"""Slices thicker than this leave small endplates along them undetermined by a few degrees."""

FURTHEST_FROM_S1_MM = 75.0
"""A last vertebra further from the sacrum than this (its height and a disc) does not point to S1."""


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
    for piece in pieces:
        located = locate_vertebra(piece, guesses[piece.level], image)
        vertebrae.append(located.vertebra)
        missing |= located.missing
        quality += located.quality
        dens_tip = dens_tip if located.dens_tip_mm is None else located.dens_tip_mm
    vertebrae, cut = _without_cut_ends(vertebrae, sacrum_seen=SACRUM in found)
    missing |= cut
    heads, head_reasons, said = _heads(label_map, found)
    missing |= head_reasons
    quality += said
    _refuse_mirrored(vertebrae, heads)
    s1, reason, said = _s1(label_map, found, vertebrae, guesses, heads, vertical)
    quality += said
    if s1 is None:
        missing["s1"] = reason
    return Spine(tuple(vertebrae), s1, heads, vertical, missing, tuple(quality), dens_tip_mm=dens_tip)


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


def _heads(
    label_map: LabelMap, found: Mapping[int, Box]
) -> tuple[dict[str, FemoralHead], dict[str, str], list[str]]:
    heads: dict[str, FemoralHead] = {}
    reasons: dict[str, str] = {}
    said: list[str] = []
    for side, value in (("left", FEMORAL_HEAD_LEFT), ("right", FEMORAL_HEAD_RIGHT)):
        if value not in found:
            reasons[f"femoral_head_{side}"] = f"{side} femoral head is not in the label map"
            continue
        blob = cut_out(label_map, value, found[value])
        head, reason = fit_head(side, blob)
        if head is None:
            reasons[f"femoral_head_{side}"] = reason
            continue
        heads[side] = head
        if blob.dropped > WORTH_SAYING:
            said.append(
                f"{side} femoral head: {100 * blob.dropped:.0f} % of its voxels lie apart and were left out."
            )
    if len(heads) == 2:
        difference = heads["left"].radius_mm - heads["right"].radius_mm
        if abs(difference) > 3:
            said.append(f"The femoral heads differ in radius by {abs(difference):.1f} mm.")
    return heads, reasons, said


def _s1(
    label_map: LabelMap,
    found: Mapping[int, Box],
    vertebrae: list[Vertebra],
    guesses: Mapping[str, FloatArray],
    heads: Mapping[str, FemoralHead],
    vertical: Vertical,
) -> tuple[Endplate | None, str, list[str]]:
    if SACRUM not in found:
        return None, "sacrum is not in the label map", []
    blob = cut_out(label_map, SACRUM, found[SACRUM])
    field = field_of(blob)
    last = vertebrae[-1] if vertebrae else None
    plate = last and (last.inferior or last.superior)
    seed: Seed | None = None
    if last and plate and _near(blob.points_mm, last.body_centre_mm):
        # Sacrum and hips are one piece: the hip axis shows its front better than a turned L5 does.
        own = guesses[last.level] if last.axes is None else last.axes
        back = _backward(heads, vertical) if len(heads) == 2 else own[:, 1]
        seed = Seed(plate.centre_mm, plate.normal, back)
    else:
        seed = seed_of_shape(blob, field, vertical.direction, _backward(heads, vertical))
    if seed is None:
        return None, "S1 endplate: no lumbar vertebra points to it and the sacrum shows no flat place", []
    s1, reason = find_s1(blob, field, seed)
    said = []
    if blob.dropped > WORTH_SAYING:
        said.append(f"sacrum: {100 * blob.dropped:.0f} % of its voxels lie apart and were left out.")
    if s1 is not None:
        if s1.residual_mm > ROUGH_PLATE_MM:
            said.append(f"S1 endplate is domed or uneven: its surface scatters by {s1.residual_mm:.1f} mm.")
        if last and last.inferior and _near(blob.points_mm, last.body_centre_mm):
            opening = angle_between_deg(last.inferior.normal, s1.normal)
            if opening > 35:
                said.append(
                    f"{last.level} and S1 face each other at {opening:.0f} degrees: check S1 and the level."
                )
        else:
            said.append("S1 endplate was found without a lumbar vertebra above it: its level is assumed.")
    return s1, reason, said


def _near(sacrum_mm: FloatArray, body_centre_mm: FloatArray) -> bool:
    return bool(np.linalg.norm(sacrum_mm[::5] - body_centre_mm, axis=1).min() < FURTHEST_FROM_S1_MM)


def _backward(heads: Mapping[str, FemoralHead], vertical: Vertical) -> FloatArray:
    if len(heads) == 2:
        left = heads["left"].centre_mm - heads["right"].centre_mm
        return np.asarray(np.cross(vertical.direction, left))
    return POSTERIOR


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
