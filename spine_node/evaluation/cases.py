"""What a segmenter is evaluated on: one scan and what is known of it.

Phantoms have an exact truth. Labelled scans have a reference that somebody drew, or only body centres
that somebody marked: a figure on them says how far two readers agree, not how right one is.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spine_node.anatomy.levels import VERTEBRA_VALUES
from spine_node.anatomy.locate import locate
from spine_node.errors import LabelMapRefused, Refused
from spine_node.evaluation.identification import body_centres
from spine_node.imaging.volume import FloatArray, LabelMap, Volume
from spine_node.nifti import read_label_map, read_volume
from spine_node.parameters.measure import measure
from spine_node.parameters.model import Measurements
from spine_node.scans import nifti_files, stamp_of
from spine_node.segmentation.classes import IGNORED

TEST_SEED, STRESS_SEED, TEMPLATE_SEED = 2_000_000, 3_000_000, 4_000_000
"""First seeds of the phantoms that nobody trains on; training and validation stay below."""


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """One examination with what is known of it.

    Attributes
    ----------
    volume : Volume
    truth : LabelMap, optional
        On the grid of the volume, 255 where nobody annotated; None where only centres are known.
    centres : dict of level to ndarray, shape (3,)
        Marked body centres, LPS mm, where there is no label map.
    parameters : Measurements, optional
        Exact for phantoms, measured on the reference labels for scans.
    """

    volume: Volume
    truth: LabelMap | None
    centres: dict[str, FloatArray]
    parameters: Measurements | None


@dataclass(frozen=True, slots=True)
class Case:
    """A scan that is made or read when its turn comes.

    Attributes
    ----------
    group : str
        Its set, one of `sets.WHAT`.
    name : str
        Unique in its set; names files.
    make : callable
    stamp : str
        Changes with the files it is read from.
    """

    group: str
    name: str
    make: Callable[[], Scan]
    stamp: str = ""


def labelled(folder: Path, group: str) -> list[Case]:
    """Scans of a folder, or of each of its sub-folders.

    A scan is one NIfTI image beside one `labels*.nii.gz`, or beside one JSON file with
    {"landmarks": {level: {"lps": [x, y, z]}}}, body centres in LPS mm.

    Raises
    ------
    LabelMapRefused
        If there is no such scan.
    """

    def scan(image: Path, labels: Path | None, marks: Path | None) -> Callable[[], Scan]:
        return lambda: _read(image, labels, marks)

    cases = []
    for place in [folder, *sorted(p for p in folder.iterdir() if p.is_dir())]:
        images, labels = nifti_files(place)
        marks = sorted(place.glob("*.json"))
        if len(images) == 1 and (len(labels) == 1 or (not labels and len(marks) == 1)):
            reader = scan(images[0], labels[0] if labels else None, None if labels else marks[0])
            cases.append(Case(group, place.name, reader, stamp_of(*images, *(labels or marks))))
        elif labels:
            raise LabelMapRefused(
                f"{place} holds {len(images)} images and {len(labels)} labels*.nii.gz: one of each was "
                "expected, or nobody knows what belongs together. Nothing was evaluated."
            )
    if not cases:
        raise LabelMapRefused(
            f"{folder} holds no scan to evaluate on: one image (.nii.gz) beside one labels*.nii.gz, or "
            "beside one JSON file of body centres, was expected there or in its sub-folders."
        )
    return cases


def _read(image: Path, labels: Path | None, marks: Path | None) -> Scan:
    volume = read_volume(image)
    if labels is None:
        assert marks is not None
        return Scan(volume, None, _marked(marks), None)
    truth = read_label_map(labels)
    if not volume.grid.matches(truth.grid):
        raise LabelMapRefused(f"{labels} is not on the grid of {image.name}: they cannot be compared.")
    known = LabelMap(truth.grid, np.where(truth.labels == IGNORED, 0, truth.labels).astype(np.uint8))
    try:
        parameters = measure(locate(known))
    except Refused:
        parameters = None  # too little in view: outlines and names are compared all the same
    return Scan(volume, truth, {}, parameters)


def _marked(path: Path) -> dict[str, FloatArray]:
    try:
        marks = json.loads(path.read_text(encoding="utf-8"))["landmarks"]
        centres = {level: np.array(mark["lps"], dtype=np.float64) for level, mark in marks.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LabelMapRefused(
            f"{path} does not hold body centres: {{'landmarks': {{'L1': {{'lps': [x, y, z]}}}}}} was "
            f"expected ({type(error).__name__}: {error})."
        ) from error
    known = {level: c for level, c in centres.items() if level in VERTEBRA_VALUES and c.shape == (3,)}
    if not known:
        raise LabelMapRefused(f"{path} marks no vertebra (C1 to L6) with three coordinates.")
    return known


def true_centres(scan: Scan, labels: np.ndarray | None) -> dict[str, FloatArray]:
    """Body centres of a scan: of its (scored) labels where it has some, else as marked."""
    return dict(scan.centres) if labels is None else body_centres(labels, scan.volume.grid)
