"""Scans that somebody annotated: which files, which parts of them nobody drew, and what is scored.

Reading is what it does; what a figure on such a scan is worth, `sets` says.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from spine_node.anatomy.levels import CHANNELS, IGNORED, VERTEBRA_VALUES
from spine_node.anatomy.locate import locate
from spine_node.anatomy.schemes import VERSE, from_scheme, from_subregions
from spine_node.anatomy.unlabelled import mask_unknown
from spine_node.errors import ConfigRefused, LabelMapRefused, Refused
from spine_node.evaluation.cases import Case, Scan
from spine_node.imaging.volume import FloatArray, LabelMap
from spine_node.nifti import read_label_map, read_volume, read_whole_numbers
from spine_node.parameters.measure import measure
from spine_node.scans import nifti_files, stamp_of, verse_files


class Notes(BaseModel):
    """What of one scan's labels is not to be scored; a table of a file of notes.

    Attributes
    ----------
    ignore : tuple of int
        Label values that are not to be trusted; the background within 10 mm of them neither.
    partial_ends : bool
        The spine goes on beyond the labelled bodies: nothing is known there.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    ignore: tuple[int, ...] = Field(default=())
    partial_ends: bool = False

    def words(self) -> str:
        """As a sentence; empty where everything is scored."""
        names = [CHANNELS.get(value, str(value)) for value in self.ignore]
        parts = [f"not scored: {', '.join(names)}"] if names else []
        parts += ["nothing known beyond the labelled bodies"] if self.partial_ends else []
        return "; ".join(parts)


def read_notes(path: Path | None) -> dict[str, Notes]:
    """Notes by name of scan (its folder): a TOML file with a table for each; config/real-scans.toml is one.

    Raises
    ------
    ConfigRefused
        If it is no such file.
    """
    if path is None:
        return {}
    try:
        return TypeAdapter(dict[str, Notes]).validate_python(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigRefused(f"{path} is not a TOML file: {error}.") from error
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigRefused(
            f"{path}: {wrong}. A table for each scan was expected, named like its folder, with "
            "ignore = [label values] and partial_ends = true or false."
        ) from error


def labelled(folder: Path, group: str, notes: Mapping[str, Notes] | None = None) -> list[Case]:
    """Scans of a folder, or of each of its sub-folders.

    A scan is one NIfTI image beside one `labels*.nii.gz`; or beside masks named as VerSe and TPTBox do
    (`scans.verse_files`); or beside one JSON file with {"landmarks": {level: {"lps": [x, y, z]}}}, body
    centres in LPS mm.

    Parameters
    ----------
    folder : Path
    group : str
        Set that the cases belong to.
    notes : mapping of scan to Notes, optional

    Raises
    ------
    LabelMapRefused
        If there is no such scan.
    """
    cases = []
    for place in [folder, *sorted(p for p in folder.iterdir() if p.is_dir())]:
        own = (notes or {}).get(place.name, Notes())
        if (found := _files(place, own)) is not None:
            make, files = found
            stamp = f"{stamp_of(*files)} {own.model_dump_json()}"
            cases.append(Case(group, place.name, make, stamp, own.words()))
    if not cases:
        raise LabelMapRefused(
            f"{folder} holds no scan to evaluate on: one image (.nii.gz) beside one labels*.nii.gz, or "
            "beside one JSON file of body centres, was expected there or in its sub-folders."
        )
    return cases


def _files(place: Path, notes: Notes) -> tuple[Callable[[], Scan], list[Path]] | None:
    """How to read the scan of a folder, and from which files; None where there is none."""
    images, labels = nifti_files(place)
    marks = sorted(place.glob("*.json"))
    if (masks := verse_files(place)) is not None:
        image, vertebrae, parts = masks
        used = [p for p in masks if p is not None]
        return lambda: _with_labels(image, vertebrae, _verse(vertebrae, parts), notes), used
    if len(images) == 1 and len(labels) == 1:
        image, drawn = images[0], labels[0]
        return lambda: _with_labels(image, drawn, read_label_map(drawn), notes), [image, drawn]
    if len(images) == 1 and not labels and len(marks) == 1:
        image, marked = images[0], marks[0]
        return lambda: Scan(read_volume(image), None, _marked(marked), None), [image, marked]
    if labels:
        raise LabelMapRefused(
            f"{place} holds {len(images)} images and {len(labels)} labels*.nii.gz: one of each was "
            "expected, or nobody knows what belongs together. Nothing was evaluated."
        )
    return None


def _verse(vertebrae: Path, parts: Path | None) -> LabelMap:
    grid, values = read_whole_numbers(vertebrae)
    if parts is None:
        named = np.where(np.isin(values, list(VERSE)), values, 0)  # discs and endplates stand at 100 and on
        return from_scheme(grid, named, VERSE)[0]
    other, subregions = read_whole_numbers(parts)
    if not grid.matches(other):
        raise LabelMapRefused(f"{parts} is not on the grid of {vertebrae.name}: they cannot be joined.")
    return from_subregions(grid, values, subregions)


def _with_labels(image: Path, labels: Path, drawn: LabelMap, notes: Notes) -> Scan:
    volume, grid = read_volume(image), drawn.grid
    if not volume.grid.matches(grid):
        raise LabelMapRefused(f"{labels} is not on the grid of {image.name}: they cannot be compared.")
    truth = LabelMap(grid, mask_unknown(drawn.labels, grid, notes.ignore, notes.partial_ends))
    known = LabelMap(grid, np.where(truth.labels == IGNORED, 0, truth.labels).astype(np.uint8))
    try:
        parameters = measure(locate(known))
    except Refused:
        parameters = None  # too little in view: outlines and names are compared all the same
    return Scan(volume, truth, {}, parameters, frozenset(notes.ignore))


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
