"""From a label map to the landmarks of a spine. Each structure is worked on in its own box."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from spine_node.anatomy.axis import POSTERIOR, rough_axes
from spine_node.anatomy.endplates import find_plates, with_edges
from spine_node.anatomy.heads import fit_head
from spine_node.anatomy.landmarks import Endplate, FemoralHead, Spine, Vertebra, Vertical
from spine_node.anatomy.levels import (
    CHANNELS,
    FEMORAL_HEAD_LEFT,
    FEMORAL_HEAD_RIGHT,
    LEVEL_OF_VALUE,
    SACRUM,
)
from spine_node.anatomy.pieces import EDGE_AREA_MM2, WORTH_SAYING, Pieces, absent_levels, vertebrae_in
from spine_node.anatomy.sacrum import Seed, find_s1, seed_of_shape
from spine_node.anatomy.symmetry import mirrored_axes
from spine_node.errors import LabelMapRefused
from spine_node.geometry.angles import angle_between_deg
from spine_node.geometry.directions import axes_from
from spine_node.imaging.components import Box, boxes, cut_out
from spine_node.imaging.surface import field_of
from spine_node.imaging.volume import FloatArray, LabelMap

POSTERIOR_CUT_MM2 = 100.0
"""Posterior elements that end on the volume's border with more than this no longer show symmetry."""

ROUGH_PLATE_MM = 1.5
"""Scatter of an endplate from which it is called uneven (dome, erosion, poor segmentation)."""

FURTHEST_FROM_S1_MM = 75.0
"""A last vertebra further from the sacrum than this (its height and a disc) does not point to S1."""


def locate(label_map: LabelMap, vertical: Vertical | None = None) -> Spine:
    """Every landmark that the label map shows; what is not there is listed with its reason.

    Parameters
    ----------
    label_map : LabelMap
        Values of `anatomy.levels`, any orientation and spacing.
    vertical : Vertical, optional
        Direction against gravity; the image z axis with undeclared posture when not given.

    Raises
    ------
    LabelMapRefused
        If it shows no vertebra and no sacrum, or if left and right contradict front and back
        (a mirrored label map).
    """
    vertical = vertical or Vertical()
    found = boxes(label_map)
    pieces, missing, islands = vertebrae_in(label_map, found)
    if not pieces and SACRUM not in found:
        raise LabelMapRefused(
            f"the label map shows no vertebra and no sacrum: it holds the values {sorted(found) or 'none'}, "
            f"bodies are {min(LEVEL_OF_VALUE)} to {max(LEVEL_OF_VALUE)}, the sacrum is {SACRUM}. "
            "Nothing was measured."
        )
    missing |= absent_levels(pieces)
    quality = [*islands, *_unknown(found), *_disorder(pieces, vertical)]
    guesses = rough_axes(pieces, vertical.direction)
    vertebrae = []
    for piece in pieces:
        vertebra, reasons, said = _vertebra(piece, guesses[piece.level])
        vertebrae.append(vertebra)
        missing |= reasons
        quality += said
    heads, head_reasons, said = _heads(label_map, found)
    missing |= head_reasons
    quality += said
    _refuse_mirrored(vertebrae, heads)
    s1, reason, said = _s1(label_map, found, vertebrae, guesses, heads, vertical)
    quality += said
    if s1 is None:
        missing["s1"] = reason
    return Spine(tuple(vertebrae), s1, heads, vertical, missing, tuple(quality))


def _vertebra(piece: Pieces, guess: FloatArray) -> tuple[Vertebra, dict[str, str], list[str]]:
    level, body = piece.level, piece.body
    field = field_of(body)
    plates = find_plates(level, body, field, piece.centre_mm, guess)
    reasons = {f"{level}.{which}": why for which, why in plates.reasons.items()}
    said: list[str] = []
    if body.edge_area_mm2 > EDGE_AREA_MM2:
        reasons[f"{level}.body"] = f"{level} body is cut by the field's edge"
    axes: FloatArray | None = None
    if piece.posterior is None:
        reasons[f"{level}.axes"] = f"posterior elements of {level} are not labelled: a body shows no rotation"
    elif plates.cranial is None:
        reasons[f"{level}.axes"] = f"no endplate of {level} is seen"
    elif piece.posterior.edge_area_mm2 > POSTERIOR_CUT_MM2:
        reasons[f"{level}.axes"] = f"posterior elements of {level} are cut by the field's edge"
    else:
        corners = np.vstack([body.points_mm[::7], piece.posterior.points_mm[::3]])
        start = axes_from(plates.cranial, guess[:, 1])
        axes, _ = mirrored_axes([field, field_of(piece.posterior)], corners, piece.centre_mm, start)
    posterior = guess[:, 1] if axes is None else axes[:, 1]
    edged: dict[str, Endplate | None] = {}
    for which, plate in (("superior", plates.superior), ("inferior", plates.inferior)):
        edged[which] = None if plate is None else with_edges(plate, which, body, field, posterior)
        if plate is not None and plate.residual_mm > ROUGH_PLATE_MM:
            said.append(
                f"{level} {which} endplate is uneven: its surface scatters by {plate.residual_mm:.1f} mm."
            )
    return Vertebra(level, piece.centre_mm, edged["superior"], edged["inferior"], axes), reasons, said


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


def _disorder(pieces: tuple[Pieces, ...], vertical: Vertical) -> list[str]:
    """Levels that do not follow each other from the head down."""
    heights = [float(p.centre_mm @ vertical.direction) for p in pieces]
    return [
        f"{upper.level} does not lie above {lower.level}: the levels are not in order."
        for upper, lower, a, b in zip(pieces, pieces[1:], heights, heights[1:], strict=False)
        if a <= b
    ]
