"""What a correction changed: voxels, structures, names."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spine_node.anatomy.levels import CHANNELS, LEVEL_OF_VALUE, LEVELS
from spine_node.annotation.checks import UNKNOWN, Finding, findings
from spine_node.errors import LabelMapRefused
from spine_node.evaluation.surfaces import surface_distances
from spine_node.imaging.volume import LabelMap

RENAMED_SHARE = 0.8
"""A structure of which this share now has another name, and whose name now means something else, was
renamed as a whole."""

SCHEMA = "spine-node/annotation-changes/1"


@dataclass(frozen=True, slots=True)
class StructureChange:
    """One structure, by its name in either label map.

    `dice` is 1 where nothing changed; surface distances are None where one side has no voxel. Pieces are
    those of the corrected map.
    """

    name: str
    draft_ml: float
    corrected_ml: float
    added_voxels: int
    removed_voxels: int
    added_ml: float
    removed_ml: float
    dice: float
    surface_mean_mm: float | None
    surface_max_mm: float | None
    pieces: int
    outside_largest_ml: float


@dataclass(frozen=True, slots=True)
class Relabelled:
    """Voxels that were one structure and are another."""

    source: str
    target: str
    voxels: int
    ml: float


@dataclass(frozen=True, slots=True, eq=False)
class Changes:
    """Everything that differs between a draft and its correction.

    Attributes
    ----------
    structures : tuple of StructureChange
        Those that changed, in the order of label values.
    unchanged : tuple of str
    relabelled : tuple of Relabelled
        Largest first.
    new, gone : tuple of str
    renamed : dict of str to str
        Structures that were given another name as a whole.
    shift : str
        The same in words, where it is one step along the spine; else empty.
    findings : tuple of Finding
        Of the corrected map.
    added, removed, changed : ndarray of bool
        Voxels newly labelled, no longer labelled, and with another label.
    """

    structures: tuple[StructureChange, ...]
    unchanged: tuple[str, ...]
    relabelled: tuple[Relabelled, ...]
    new: tuple[str, ...]
    gone: tuple[str, ...]
    renamed: dict[str, str]
    shift: str
    findings: tuple[Finding, ...]
    added: NDArray[np.bool_]
    removed: NDArray[np.bool_]
    changed: NDArray[np.bool_]

    @property
    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "schema": SCHEMA,
            "added_voxels": int(self.added.sum()),
            "removed_voxels": int(self.removed.sum()),
            "relabelled_voxels": int(self.changed.sum()),
            "structures": [asdict(change) for change in self.structures],
            "unchanged": list(self.unchanged),
            "relabelled": [asdict(r) for r in self.relabelled],
            "new": list(self.new),
            "gone": list(self.gone),
            "renamed": self.renamed,
            "shift": self.shift,
            "findings": [asdict(finding) for finding in self.findings],
        }


def compare(draft: LabelMap, corrected: LabelMap) -> Changes:
    """Compare two label maps on the same grid.

    Raises
    ------
    LabelMapRefused
        If they are not on the same grid.
    """
    if not draft.grid.matches(corrected.grid, tolerance_mm=0.01):
        raise LabelMapRefused("draft and correction are not on the same grid.")
    before, after = draft.labels, corrected.labels
    joint = np.zeros((256, 256), dtype=np.int64)
    for old, new in zip(before, after, strict=True):  # slab by slab: an index array would be large
        joint += np.bincount(old.ravel().astype(np.int32) * 256 + new.ravel(), minlength=65536).reshape(
            256, 256
        )
    ml = draft.grid.voxel_mm3 / 1000
    was, is_now = joint.sum(axis=1), joint.sum(axis=0)
    values = [v for v in range(1, 256) if was[v] or is_now[v]]
    touched = [v for v in values if not (was[v] == is_now[v] == joint[v, v])]
    moved = [(v, w) for v in values for w in values if v != w and joint[v, w]]
    renamed = _renamed(joint, values)
    return Changes(
        structures=tuple(_structure(draft, corrected, v, joint, ml) for v in touched),
        unchanged=tuple(_name(v) for v in values if v not in touched),
        relabelled=tuple(
            Relabelled(_name(v), _name(w), int(joint[v, w]), float(joint[v, w] * ml))
            for v, w in sorted(moved, key=lambda pair: -joint[pair])
        ),
        new=tuple(_name(v) for v in values if not was[v]),
        gone=tuple(_name(v) for v in values if not is_now[v]),
        renamed={_name(v): _name(w) for v, w in renamed.items()},
        shift=_shift(renamed),
        findings=tuple(findings(corrected)),
        added=(before == 0) & (after > 0),
        removed=(before > 0) & (after == 0),
        changed=(before > 0) & (after > 0) & (before != after),
    )


def _name(value: int) -> str:
    return "unknown" if value == UNKNOWN else CHANNELS.get(value, f"value {value}")


def _structure(
    draft: LabelMap, corrected: LabelMap, value: int, joint: NDArray[np.int64], ml: float
) -> StructureChange:
    both = (draft.labels == value) | (corrected.labels == value)
    box = ndimage.find_objects(both.astype(np.uint8))[0]
    before, after = draft.labels[box] == value, corrected.labels[box] == value
    was, is_now, kept = int(joint[value].sum()), int(joint[:, value].sum()), int(joint[value, value])
    gaps = surface_distances(before, after, draft.grid.spacing_mm.tolist())
    pieces, count = ndimage.label(after, structure=np.ones((3, 3, 3)))
    sizes = np.bincount(pieces.ravel())[1:] if count else np.zeros(1)
    return StructureChange(
        name=_name(value),
        draft_ml=was * ml,
        corrected_ml=is_now * ml,
        added_voxels=is_now - kept,
        removed_voxels=was - kept,
        added_ml=(is_now - kept) * ml,
        removed_ml=(was - kept) * ml,
        dice=2 * kept / (was + is_now),
        surface_mean_mm=None if gaps is None else gaps.average_mm(),
        surface_max_mm=None if gaps is None else gaps.hausdorff_mm(100),
        pieces=int(count),
        outside_largest_ml=float(sizes.sum() - sizes.max()) * ml,
    )


def _renamed(joint: NDArray[np.int64], values: list[int]) -> dict[int, int]:
    out = {}
    for value in values:
        total = int(joint[value].sum())
        if not total:
            continue
        target = int(np.argmax(joint[value]))
        if target not in (0, value, UNKNOWN) and joint[value, target] >= RENAMED_SHARE * total:
            out[value] = target
    return out


def _shift(renamed: dict[int, int]) -> str:
    """ "L1 -> T12 and everything above by one level", where bodies moved together by one step."""
    bodies = {
        LEVEL_OF_VALUE[v]: LEVEL_OF_VALUE[w] for v, w in renamed.items() if {v, w} <= LEVEL_OF_VALUE.keys()
    }
    usual = [level for level in LEVELS if level not in ("T13", "L6")]
    steps = {usual.index(new) - usual.index(old) for old, new in bodies.items() if {old, new} <= set(usual)}
    if len(bodies) < 2 or len(steps) != 1:
        return ""
    step = steps.pop()
    ordered = sorted(bodies, key=LEVELS.index)
    way = "caudally" if step > 0 else "cranially"
    count = f"{abs(step)} level" + ("s" if abs(step) > 1 else "")
    return (
        f"the names of {ordered[0]} to {ordered[-1]} moved {way} by {count} "
        f"({ordered[0]} -> {bodies[ordered[0]]}, {ordered[-1]} -> {bodies[ordered[-1]]})"
    )
