"""How well outlines and vertebrae were found in one scan, against a label map that is right.

Works on arrays of `anatomy.levels` values. A vertebra of which the image shows less than `LEAST_MM3`
of body is nobody's fault: it is left out on both sides.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

from spine_node.anatomy.levels import (
    LEVEL_OF_VALUE,
    POSTERIOR_OFFSET,
    STRUCTURE_VALUES,
    VERTEBRA_VALUES,
)
from spine_node.evaluation.surfaces import surface_distances
from spine_node.imaging.volume import LabelMap
from spine_node.segmentation.classes import IGNORED

Values = NDArray[np.uint8]
Row = dict[str, Any]

LEAST_MM3 = 700.0
"""A vertebra counts when this much of its body is in the image: a quarter of a child's cervical one."""

GROUPS = ("vertebra", "body", "posterior", *STRUCTURE_VALUES)
"""What outlines are averaged over: a whole vertebra (as VerSe), its body, its posterior elements, ..."""

MATCH_IOU = 0.5
"""Overlap from which a found vertebra is a true one, whatever its name (Kirillov et al., CVPR 2019)."""


@dataclass(frozen=True, slots=True, eq=False)
class Overlap:
    """Which values lie on which: `joint[f, t]` voxels were found as f and are t; shape (256, 256)."""

    joint: NDArray[np.int64]

    def of(self, values: list[int]) -> tuple[int, int, int]:
        """Voxels found as one of `values`, truly so, and both."""
        return (
            int(self.joint[values].sum()),
            int(self.joint[:, values].sum()),
            int(self.joint[np.ix_(values, values)].sum()),
        )


def scored(found: LabelMap, truth: LabelMap) -> tuple[Values, Values]:
    """Both label arrays without what is not scored: `IGNORED` places, and vertebrae at the image's edge.

    Raises
    ------
    ValueError
        If the two are not on one grid.
    """
    if not found.grid.matches(truth.grid):
        raise ValueError("what was found and what is true are not on one grid")
    one, other = found.labels.copy(), truth.labels.copy()
    one[other == IGNORED] = 0
    other[other == IGNORED] = 0
    joint = overlap(one, other).joint
    pairs = np.array([(v, v + POSTERIOR_OFFSET) for v in VERTEBRA_VALUES.values()])
    shared = np.array([[joint[np.ix_(f, t)].sum() for t in pairs] for f in pairs])
    bodies = joint.sum(axis=0)[pairs[:, 0]] * truth.grid.voxel_mm3
    slivers = (joint.sum(axis=0)[pairs].sum(axis=1) > 0) & (bodies < LEAST_MM3)
    # What was found of a sliver bears any name; it is what lies mostly there.
    of_sliver = shared[:, slivers].sum(axis=1) > shared[:, ~slivers].sum(axis=1)
    # What reaches well beyond the sliver is no find of it, but an invented vertebra.
    on_sliver = joint[np.ix_(pairs[:, 0], pairs[slivers].ravel())].sum(axis=1)
    beyond = (joint.sum(axis=1)[pairs[:, 0]] - on_sliver) * truth.grid.voxel_mm3
    of_sliver &= beyond < LEAST_MM3
    drop_true, drop_found = np.zeros(256, bool), np.zeros(256, bool)
    drop_true[pairs[slivers]] = drop_found[pairs[of_sliver]] = True
    out = drop_true[other]
    one[out | drop_found[one]] = 0
    other[out] = 0
    return one, other


def overlap(found: Values, truth: Values) -> Overlap:
    """Count pairs of values."""
    pairs = found.ravel().astype(np.int32) * 256 + truth.ravel()
    return Overlap(np.bincount(pairs, minlength=65536).reshape(256, 256))


def outlines(
    found: Values, truth: Values, spacing_mm: NDArray[np.float64], untrusted: Collection[int] = ()
) -> list[Row]:
    """One row for every structure in the truth: {"group", "name", the metrics of `outline`}.

    A vertebra of which a part is `untrusted` (made `IGNORED` in the truth) has no row as a whole.
    """
    counted = overlap(found, truth)
    boxes = [ndimage.find_objects(labels, 255) for labels in (found, truth)]
    rows = []
    for group, name, values in _structures():
        if counted.of(values)[1] == 0 or not set(values).isdisjoint(untrusted):
            continue
        box = _around([side[v - 1] for side in boxes for v in values])
        masks = (np.isin(found[box], values), np.isin(truth[box], values))
        rows.append({"group": group, "name": name} | outline(*masks, spacing_mm))
    return rows


def outline(found: NDArray[np.bool_], truth: NDArray[np.bool_], spacing_mm: NDArray[np.float64]) -> Row:
    """Dice, IoU, volume similarity, recall, NSD (0..1), HD95 and ASSD (mm; None if nothing was found).

    `truth` must not be empty. Volume similarity is 1 - |FN - FP| / (2 TP + FP + FN), recall TP / (TP + FN).
    """
    tp = int((found & truth).sum())
    fp, fn = int(found.sum()) - tp, int(truth.sum()) - tp
    gaps = surface_distances(found, truth, spacing_mm.tolist())
    return {
        "dice": 2 * tp / (2 * tp + fp + fn),
        "iou": tp / (tp + fp + fn),
        "volume_similarity": 1 - abs(fn - fp) / (2 * tp + fp + fn),
        "recall": tp / (tp + fn),
        "nsd_1mm": gaps.dice(1.0) if gaps else 0.0,
        "nsd_2mm": gaps.dice(2.0) if gaps else 0.0,
        "hd95_mm": gaps.hausdorff_mm() if gaps else None,
        "assd_mm": gaps.average_mm() if gaps else None,
    }


def without_names(counted: Overlap, untrusted: Collection[int] = ()) -> Row:
    """What is left when names are forgotten.

    Parameters
    ----------
    counted : Overlap
    untrusted : collection of int
        As for `outlines`.

    Returns
    -------
    dict
        "dice_any_body", "dice_any_posterior", "dice_anything": Dice of all of them together;
        "panoptic_quality", "instances_found" (F1), "instances_overlap" (mean IoU of matched ones): whole
        vertebrae, matched where their IoU exceeds `MATCH_IOU`; "matched_vertebra", "matched_body",
        "matched_posterior": mean Dice over true ones, each with one found one, so paired that the mean is
        highest. None where there is nothing of the kind.
    """
    bodies = list(VERTEBRA_VALUES.values())
    arches = [v + POSTERIOR_OFFSET for v in bodies]
    everything = bodies + arches + list(STRUCTURE_VALUES.values())
    row: Row = {}
    for key, values in (("body", bodies), ("posterior", arches)):
        row[f"dice_any_{key}"] = _dice(*counted.of(values))
    row["dice_anything"] = _dice(*counted.of(everything))
    of_vertebra = np.zeros((len(bodies), 256), np.int64)
    for index, value in enumerate(bodies):
        of_vertebra[index, [value, value + POSTERIOR_OFFSET]] = 1
    shared = of_vertebra @ counted.joint @ of_vertebra.T
    size_found = of_vertebra @ counted.joint.sum(axis=1)
    size_true = of_vertebra @ counted.joint.sum(axis=0)
    iou = shared / np.maximum(size_found[:, None] + size_true[None, :] - shared, 1)
    # Above one half each vertebra has at most one partner.
    matched = iou[iou > MATCH_IOU]
    both = (np.count_nonzero(size_found) + np.count_nonzero(size_true)) / 2
    row["panoptic_quality"] = float(matched.sum() / both) if both else None
    row["instances_found"] = len(matched) / both if both else None
    row["instances_overlap"] = float(matched.mean()) if len(matched) else None
    for group, offsets in (
        ("vertebra", (0, POSTERIOR_OFFSET)),
        ("body", (0,)),
        ("posterior", (POSTERIOR_OFFSET,)),
    ):
        row[f"matched_{group}"] = _matched(counted.joint, bodies, offsets, untrusted)
    return row


def _matched(
    joint: NDArray[np.int64], bodies: list[int], offsets: tuple[int, ...], untrusted: Collection[int]
) -> float | None:
    member = np.zeros((len(bodies), 256), np.int64)
    for index, value in enumerate(bodies):
        member[index, [value + offset for offset in offsets]] = 1
    shared, true = member @ joint @ member.T, member @ joint.sum(axis=0)
    sizes = (member @ joint.sum(axis=1))[:, None] + true
    known = (true > 0) & ~(member[:, list(untrusted)].any(axis=1))
    if not known.any():
        return None
    dice = (2 * shared / np.maximum(sizes, 1))[:, known]
    return float(dice[linear_sum_assignment(dice, maximize=True)].sum() / known.sum())


def _dice(found: int, true: int, shared: int) -> float | None:
    return 2 * shared / (found + true) if found + true else None


def _structures() -> list[tuple[str, str, list[int]]]:
    vertebrae = [
        (group, LEVEL_OF_VALUE[v], values)
        for v in VERTEBRA_VALUES.values()
        for group, values in (
            ("vertebra", [v, v + POSTERIOR_OFFSET]),
            ("body", [v]),
            ("posterior", [v + POSTERIOR_OFFSET]),
        )
    ]
    return vertebrae + [(name, name, [value]) for name, value in STRUCTURE_VALUES.items()]


def _around(boxes: list[tuple[slice, ...] | None]) -> tuple[slice, ...]:
    there = [box for box in boxes if box is not None]
    starts = (min(box[axis].start for box in there) for axis in range(3))
    stops = (max(box[axis].stop for box in there) for axis in range(3))
    return tuple(slice(start, stop) for start, stop in zip(starts, stops, strict=True))
