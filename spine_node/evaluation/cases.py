"""What segmenters are evaluated on: sets of cases that are never mixed in one table.

Phantoms have an exact truth. Labelled scans have a reference that somebody drew, or only body centres
that somebody marked: a figure on them says how far two readers agree, not how right one is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spine_node.anatomy.levels import VERTEBRA_VALUES
from spine_node.anatomy.locate import locate
from spine_node.errors import ConfigRefused, LabelMapRefused, Refused
from spine_node.evaluation.identification import body_centres
from spine_node.imaging.volume import FloatArray, LabelMap, Volume
from spine_node.nifti import read_label_map, read_volume
from spine_node.parameters.measure import measure
from spine_node.parameters.model import Measurements
from spine_node.segmentation.classes import IGNORED

if TYPE_CHECKING:
    from spine_node.phantom.generate import Phantom
    from spine_node.phantom.implants import Metal
    from spine_node.phantom.person import SpineSpec

TEST_SEED, STRESS_SEED, TEMPLATE_SEED = 2_000_000, 3_000_000, 4_000_000
"""First seeds of the phantoms that nobody trains on; training and validation stay below."""

STRESSES = ("scoliosis", "numbering", "implants", "truncation", "noise")
"""What the stress set has, in turn: a curve asked for over 40 degrees; a vertebra more or less than 24;
pedicle screws, rods or a hip prosthesis; a narrow field; noise stronger than any trained on."""

STRESS_CURVE_DEG = 45.0
STRESS_RADIUS_MM = (85.0, 110.0)
STRESS_NOISE = (180.0, 260.0)
"""Least curve; imaged radius (training: 120 mm or more); standard deviation (training: up to 140)."""

WHAT = {
    "synthetic": "unseen phantoms, drawn as the training ones are",
    "stress": "unseen phantoms with what is hard: " + ", ".join(STRESSES),
    "templates": "unseen phantoms with vertebrae from templates that were not trained on",
    "real": "labelled scans: the labels are a reference, not the truth",
    "standing": "labelled standing cone-beam scans of your own: the labels are a reference, not the truth",
}
"""The sets, in words."""


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
        Its set, one of `WHAT`.
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


def synthetic(seeds: range | list[int], **options: Any) -> list[Case]:
    """Phantoms of these seeds; options as in `phantom.generate.generate`."""
    words = [f"{options.get('spacing_mm', 1.0):g}mm", str(options.get("field_of_view", "whole"))]
    words += ["clean"] if options.get("clean") else []
    words += [p] if (p := str(options.get("painting", "cbct"))) != "cbct" else []

    def scan(seed: int) -> Callable[[], Scan]:
        return lambda: _scan_of(_generate(seed, **options))

    return [Case("synthetic", "_".join([f"seed_{seed}", *words]), scan(seed)) for seed in seeds]


def stress(count: int, spacing_mm: float) -> list[Case]:
    """The first `count` hard phantoms, one kind of `STRESSES` after the other."""

    def scan(index: int) -> Callable[[], Scan]:
        return lambda: _scan_of(_stressed(index, spacing_mm))

    return [
        Case("stress", f"{index:02d}_{STRESSES[index % len(STRESSES)]}_{spacing_mm:g}mm", scan(index))
        for index in range(count)
    ]


def templates(folder: Path, count: int, spacing_mm: float) -> list[Case]:
    """Phantoms whose vertebrae are those of a folder of templates that no training used."""
    from spine_node.phantom.templates import TemplateLibrary

    library = TemplateLibrary.from_folder(folder)

    def scan(seed: int) -> Callable[[], Scan]:
        return lambda: _scan_of(_generate(seed, spacing_mm=spacing_mm, templates=library))

    seeds = range(TEMPLATE_SEED, TEMPLATE_SEED + count)
    stamp = _stamp(sorted(p for p in folder.rglob("*") if p.is_file()))
    return [Case("templates", f"{folder.name}_seed_{s}_{spacing_mm:g}mm", scan(s), stamp) for s in seeds]


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
        files = sorted(place.glob("*.nii.gz")) + sorted(place.glob("*.nii"))
        labels = [f for f in files if f.name.startswith("labels")]
        images = [f for f in files if f not in labels]
        marks = sorted(place.glob("*.json"))
        if len(images) == 1 and (len(labels) == 1 or (not labels and len(marks) == 1)):
            reader = scan(images[0], labels[0] if labels else None, None if labels else marks[0])
            cases.append(Case(group, place.name, reader, _stamp([*images, *(labels or marks)])))
    if not cases:
        raise LabelMapRefused(
            f"{folder} holds no scan to evaluate on: one image (.nii.gz) beside one labels*.nii.gz, or "
            "beside one JSON file of body centres, was expected there or in its sub-folders."
        )
    return cases


def _stamp(files: list[Path]) -> str:
    return " ".join(f"{f.name}:{f.stat().st_size}:{f.stat().st_mtime_ns}" for f in files)


def _generate(seed: int, **options: Any) -> Phantom:
    from spine_node.phantom.generate import generate

    return generate(seed, **options)


def _scan_of(phantom: Phantom) -> Scan:
    return Scan(phantom.volume, phantom.label_map, {}, phantom.truth)


def _stressed(index: int, spacing_mm: float) -> Phantom:
    from spine_node.phantom.physics import Scanner
    from spine_node.phantom.skeleton import build

    kind = STRESSES[index % len(STRESSES)]
    seed, spec = _person(kind, STRESS_SEED + 1000 * index)
    rng = np.random.default_rng((seed, 1))
    options: dict[str, Any] = {}
    if kind == "implants":
        options["metal"] = _metal(build(spec), rng)
    if kind == "truncation":
        options["scanner"] = replace(
            Scanner.draw(rng, clean=False), field_radius_mm=float(rng.uniform(*STRESS_RADIUS_MM)), rim=250.0
        )
    if kind == "noise":
        options["scanner"] = replace(Scanner.draw(rng, clean=False), noise=float(rng.uniform(*STRESS_NOISE)))
    return _generate(seed, spacing_mm=spacing_mm, spec=spec, **options)


def _person(kind: str, start: int) -> tuple[int, SpineSpec]:
    """The first seed from `start` on whose person is of this kind, and the person."""
    from spine_node.phantom.pose import LEVELS_DOWN, random_spec

    for seed in range(start, start + 1000):
        spec = random_spec(np.random.default_rng(seed))
        levels = tuple(s.level for s in spec.segments)
        steepest = max((abs(c.angle_deg) for c in spec.curves), default=0.0)
        unusual = {"scoliosis": steepest >= STRESS_CURVE_DEG, "numbering": levels != LEVELS_DOWN}
        if unusual.get(kind, True):
            return seed, spec
    raise AssertionError(f"none of 1000 people has {kind}: the generator draws none any more")


def _metal(skeleton: Any, rng: np.random.Generator) -> Metal:
    from spine_node.phantom.implants import Metal

    while True:
        metal = Metal.draw(skeleton, rng)
        if len(metal.parts) > 1:  # one part is a button on the clothes
            return metal


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


def chosen(
    names: Sequence[str],
    folders: Mapping[str, Path | None],
    *,
    count: int,
    spacing_mm: float,
    clean: bool = False,
) -> dict[str, list[Case]]:
    """The sets somebody asked for.

    Parameters
    ----------
    names : sequence of str
        "synthetic", "stress"; "synthetic" when there are neither names nor folders.
    folders : mapping
        Where the sets "real", "standing" and "templates" are; None for those that nobody asked for.
    count : int
        Phantoms in each set.
    spacing_mm, clean
        Of the phantoms; only synthetic ones can be clean.

    Raises
    ------
    ConfigRefused
        If there is no set of that name.
    LabelMapRefused
        If a folder holds no labelled scan.
    """
    given = {name: folder for name, folder in folders.items() if folder is not None}
    names = list(dict.fromkeys(names)) or ([] if given else ["synthetic"])
    made: dict[str, list[Case]] = {}
    for name in names:
        if name == "synthetic":
            seeds = range(TEST_SEED, TEST_SEED + count)
            made[name] = synthetic(seeds, spacing_mm=spacing_mm, clean=clean)
        elif name == "stress":
            made[name] = stress(count, spacing_mm)
        else:
            raise ConfigRefused(
                f"there is no set {name!r}: synthetic and stress are made; real, standing and templates come "
                "from a folder (--real DIR, --standing DIR, --templates DIR)."
            )
    for name, folder in given.items():
        made[name] = templates(folder, count, spacing_mm) if name == "templates" else labelled(folder, name)
    return made


def true_centres(scan: Scan, labels: np.ndarray | None) -> dict[str, FloatArray]:
    """Body centres of a scan: of its (scored) labels where it has some, else as marked."""
    return dict(scan.centres) if labels is None else body_centres(labels, scan.volume.grid)
