"""The landmarks of the pelvis: femoral heads, S1, iliac crests, and where the sacrum has its left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from spine_node.anatomy.axis import POSTERIOR
from spine_node.anatomy.crests import find_crest
from spine_node.anatomy.heads import fit_head
from spine_node.anatomy.landmarks import Endplate, FemoralHead, Vertebra, Vertical
from spine_node.anatomy.levels import STRUCTURE_VALUES
from spine_node.anatomy.pieces import WORTH_SAYING
from spine_node.anatomy.sacral_axis import sacral_axes
from spine_node.anatomy.sacrum import Seed, find_s1, seed_of_shape
from spine_node.anatomy.vertebra import ROUGH_PLATE_MM
from spine_node.geometry.angles import angle_between_deg
from spine_node.imaging.components import cut_out
from spine_node.imaging.surface import field_of
from spine_node.imaging.volume import Box, FloatArray, LabelMap

FURTHEST_FROM_S1_MM = 75.0
"""A last vertebra further from the sacrum than this (its height and a disc) does not point to S1."""

WIDEST_DISC_DEG = 35.0
"""Neighbouring endplates that open wider are not the two sides of one disc."""

APART = 0.2
"""A piece of the sacrum with this part of the largest one's voxels is no island."""

UNEQUAL_MM = 3.0
"""Heads whose radii differ by more may be a prosthesis, a deformity or a poor outline."""


@dataclass(slots=True, eq=False)
class Pelvis:
    """What was located; reasons and sentences as in `Spine`."""

    s1: Endplate | None = None
    heads: dict[str, FemoralHead] = field(default_factory=dict)
    crests_mm: dict[str, FloatArray] = field(default_factory=dict)
    sacral_left: FloatArray | None = None
    missing: dict[str, str] = field(default_factory=dict)
    quality: list[str] = field(default_factory=list)


def locate_hips(label_map: LabelMap, found: Mapping[int, Box], vertical: Vertical) -> Pelvis:
    """Femoral heads and iliac crests, which need no vertebra; parameters as of `locate_pelvis`."""
    pelvis = Pelvis()
    for side in ("left", "right"):
        _head(pelvis, side, label_map, found)
        _crest(pelvis, side, label_map, found, vertical)
    if len(pelvis.heads) == 2:
        difference = abs(pelvis.heads["left"].radius_mm - pelvis.heads["right"].radius_mm)
        if difference > UNEQUAL_MM:
            pelvis.quality.append(f"The femoral heads differ in radius by {difference:.1f} mm.")
    return pelvis


def locate_pelvis(
    hips: Pelvis,
    label_map: LabelMap,
    found: Mapping[int, Box],
    vertebrae: Sequence[Vertebra],
    guesses: Mapping[str, FloatArray],
    vertical: Vertical,
) -> Pelvis:
    """Every landmark of the pelvis.

    Parameters
    ----------
    hips : Pelvis
        Of `locate_hips`; S1 and the sacrum are added to it.
    label_map : LabelMap
    found : mapping of int to box
        Its `boxes`.
    vertebrae : sequence of Vertebra
        Cranial to caudal: the last one points to S1.
    guesses : mapping of level to ndarray, shape (3, 3)
        First guesses of their axes, for those without own ones.
    vertical : Vertical
    """
    _sacrum(hips, label_map, found, vertebrae, guesses, vertical)
    return hips


def _head(pelvis: Pelvis, side: str, label_map: LabelMap, found: Mapping[int, Box]) -> None:
    key, name = f"femoral_head_{side}", f"{side} femoral head"
    value = STRUCTURE_VALUES[key]
    if value not in found:
        pelvis.missing[key] = f"{name} is not in the label map"
        return
    blob = cut_out(label_map, value, found[value])
    head, reason = fit_head(side, blob)
    if head is None:
        pelvis.missing[key] = reason
        return
    pelvis.heads[side] = head
    if reason:  # a head with a doubt: out of round, a cup around it, little of it seen
        pelvis.quality.append(reason)
    _mention_islands(pelvis, name, blob.dropped)


def _crest(
    pelvis: Pelvis, side: str, label_map: LabelMap, found: Mapping[int, Box], vertical: Vertical
) -> None:
    value = STRUCTURE_VALUES[f"hip_{side}"]
    if value not in found:
        pelvis.missing[f"crest_{side}"] = f"{side} hip bone is not in the label map"
        return
    point, reason = find_crest(cut_out(label_map, value, found[value]), vertical.direction)
    if point is None:
        pelvis.missing[f"crest_{side}"] = f"{side} iliac crest: {reason}"
    else:
        pelvis.crests_mm[side] = point


def _sacrum(
    pelvis: Pelvis,
    label_map: LabelMap,
    found: Mapping[int, Box],
    vertebrae: Sequence[Vertebra],
    guesses: Mapping[str, FloatArray],
    vertical: Vertical,
) -> None:
    value = STRUCTURE_VALUES["sacrum"]
    if value not in found:
        pelvis.missing["s1"] = "sacrum is not in the label map"
        return
    # S1 may stand apart from the rest, as a label of its own or in a poor outline
    blob = cut_out(label_map, value, found[value], keep_fraction=APART)
    bone = field_of(blob)
    _mention_islands(pelvis, "sacrum", blob.dropped)
    last = vertebrae[-1] if vertebrae else None
    plate = (last.inferior or last.superior) if last is not None else None
    near = last is not None and _near(blob.points_mm, last.body_centre_mm)
    above = last if near and plate is not None else None
    back = _backward(pelvis.heads, vertical)
    seed: Seed | None
    if above is not None and plate is not None:
        # Sacrum and hips are one piece: the hip axis shows its front better than a turned L5 does.
        own = guesses[above.level] if above.axes is None else above.axes
        seed = Seed(plate.centre_mm, plate.normal, own[:, 1] if back is None else back)
    else:
        seed = seed_of_shape(blob, bone, vertical.direction, POSTERIOR if back is None else back)
    if seed is None:
        why = "no lumbar vertebra points to it and the sacrum shows no flat place"
        pelvis.missing["s1"] = f"S1 endplate: {why}"
        return
    s1, reason = find_s1(blob, bone, seed)
    if s1 is None:
        pelvis.missing["s1"] = reason
        return
    pelvis.s1 = s1
    axes = sacral_axes(blob, bone, s1.normal, seed.posterior)
    pelvis.sacral_left = None if axes is None else axes[:, 0]
    if s1.residual_mm > ROUGH_PLATE_MM:
        pelvis.quality.append(
            f"S1 endplate is domed or uneven: its surface scatters by {s1.residual_mm:.1f} mm."
        )
    if above is None:
        pelvis.quality.append(
            "S1 endplate was found without a lumbar vertebra above it: its level is assumed."
        )
    elif above.inferior is not None:
        opening = float(angle_between_deg(above.inferior.normal, s1.normal))
        if opening > WIDEST_DISC_DEG:
            pelvis.quality.append(
                f"{above.level} and S1 face each other at {opening:.0f} degrees: check S1 and the level."
            )


def _mention_islands(pelvis: Pelvis, name: str, dropped: float) -> None:
    if dropped > WORTH_SAYING:
        pelvis.quality.append(f"{name}: {100 * dropped:.0f} % of its voxels lie apart and were left out.")


def _near(sacrum_mm: FloatArray, body_centre_mm: FloatArray) -> bool:
    return bool(np.linalg.norm(sacrum_mm[::5] - body_centre_mm, axis=1).min() < FURTHEST_FROM_S1_MM)


def _backward(heads: Mapping[str, FemoralHead], vertical: Vertical) -> FloatArray | None:
    if len(heads) < 2:
        return None
    return np.asarray(np.cross(vertical.direction, heads["left"].centre_mm - heads["right"].centre_mm))
