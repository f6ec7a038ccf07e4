"""A corrected scan becomes a training case: the folder that `training` reads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from spine_node import __version__, nifti
from spine_node.anatomy.levels import LEVEL_OF_VALUE, POSTERIOR_OFFSET, VERTEBRA_VALUES
from spine_node.anatomy.names import structure_named
from spine_node.anatomy.split import split
from spine_node.annotation.checks import UNKNOWN, Finding, findings
from spine_node.annotation.draft import volumes_ml
from spine_node.annotation.scans import Scan
from spine_node.errors import LabelMapRefused
from spine_node.imaging.volume import LabelMap

SCHEMA = "spine-node/annotated-case/1"


def accept(
    scan: Scan, label_map: LabelMap, out: Path, *, unknown: Sequence[str] = (), force: bool = False
) -> list[Finding]:
    """Write image.nii.gz, labels.nii.gz and case.json into `out`; returns what looked odd.

    Vertebrae whose body and posterior elements are one are parted by their shape.

    Parameters
    ----------
    scan : Scan
    label_map : LabelMap
        On the grid of the image; 255 where nobody annotated.
    out : Path
        The folder of this case, inside the folder of all cases.
    unknown : sequence of str
        Structures that are there but not well annotated: their voxels become 255 and are not learned from.
        A level means body and posterior elements.
    force : bool
        Accept in spite of errors.

    Raises
    ------
    LabelMapRefused
        If the labels cannot be anatomy, the folder has a case already, or a name is not understood.
    """
    parted = split(label_map)
    labels = masked(parted, unknown)
    odd = findings(labels) + _parted(label_map, parted)
    errors = [f"{f.structure}: {f.words}" for f in odd if f.severity == "error"]
    if errors and not force:
        raise LabelMapRefused(
            f"the labels cannot be right: {'; '.join(errors)}. Correct them, mark a structure with "
            "--unknown, or accept them all the same with --force. Nothing was written."
        )
    if any(out.glob("*.nii*")):
        raise LabelMapRefused(f"{out} holds a case already; nothing was written over it.")
    out.mkdir(parents=True, exist_ok=True)
    nifti.write_volume(scan.volume, out / "image.nii.gz")
    nifti.write_label_map(labels, out / "labels.nii.gz")
    record = {
        "schema": SCHEMA,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "software": f"spine-node {__version__}",
        "source": scan.source,
        "unknown": list(unknown),
        "volumes_ml": volumes_ml(labels),
        "findings": [f"{f.severity}: {f.structure}: {f.words}" for f in odd],
    }
    (out / "case.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return odd


def _parted(before: LabelMap, after: LabelMap) -> list[Finding]:
    words = "body and posterior elements were one, and were parted by shape: look at it"
    values = np.unique(after.labels[before.labels != after.labels]).tolist()
    return [Finding("warning", LEVEL_OF_VALUE[v - POSTERIOR_OFFSET], words) for v in values]


def masked(label_map: LabelMap, unknown: Sequence[str]) -> LabelMap:
    """The same with these structures at 255.

    Raises
    ------
    LabelMapRefused
        If a name is not understood.
    """
    values: list[int] = []
    for name in unknown:
        named = structure_named(name)
        if named is None:
            raise LabelMapRefused(
                f"{name!r} names no structure; a level or sacrum, hip_left, ... was expected."
            )
        values.append(named.value)
        if named.structure in VERTEBRA_VALUES and named.part == "whole":
            values.append(named.value + POSTERIOR_OFFSET)
    labels = np.where(np.isin(label_map.labels, values), np.uint8(UNKNOWN), label_map.labels)
    return LabelMap(label_map.grid, labels)
