"""Phantoms to evaluate on: as in training, with what is hard, with vertebrae from templates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spine_node.errors import LabelMapRefused
from spine_node.evaluation.cases import STRESS_SEED, TEMPLATE_SEED, Case, Scan
from spine_node.scans import stamp_of

if TYPE_CHECKING:
    from spine_node.phantom.generate import Phantom
    from spine_node.phantom.implants import Metal
    from spine_node.phantom.library import TemplateLibrary
    from spine_node.phantom.person import SpineSpec
    from spine_node.phantom.physics import Scanner

STRESSES = ("scoliosis", "numbering", "implants", "truncation", "noise")
"""What the stress set has, in turn: a curve asked for over 40 degrees; a vertebra more or less than 24;
pedicle screws, rods or a hip prosthesis; a narrow field; noise stronger than any trained on."""

STRESS_CURVE_DEG = 45.0
STRESS_RADIUS_MM = (85.0, 110.0)
STRESS_NOISE = (180.0, 260.0)
"""Least curve; imaged radius (training: 120 mm or more); standard deviation (training: up to 140)."""


BEYOND: dict[str, tuple[float, float]] = {
    "noise": (150.0, 200.0),
    "blur_mm": (1.7, 2.1),
    "cupping": (320.0, 420.0),
    "veil": (220.0, 300.0),
    "hardening": (270.0, 350.0),
    "rings": (65.0, 95.0),
    "rays": (44.0, 60.0),
}
"""Settings of `phantom.physics.Scanner` that no phantom of a training reaches."""

BEYOND_EACH = 2
"""So many of them each phantom of the set "templates" has."""


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
    """Phantoms with the shapes of bones that no training used, and scanner settings that none reaches."""
    from spine_node.phantom.library import TemplateLibrary

    every = TemplateLibrary.from_folder(folder)
    library = every.split("test")
    if not library.templates:
        raise LabelMapRefused(
            f'{folder} has no template that its sources give to testing (role = "test" in templates.toml): '
            "those for training would measure what was memorised."
        )

    def scan(seed: int) -> Callable[[], Scan]:
        return lambda: _scan_of(
            _generate(
                seed,
                spacing_mm=spacing_mm,
                templates=library,
                template_share=1.0,
                scanner=unseen_scanner(seed),
            )
        )

    seeds = range(TEMPLATE_SEED, TEMPLATE_SEED + count)
    stamp, about = stamp_of(folder), _split_in_words(library, every.split("train"))
    return [
        Case("templates", f"{folder.stem}_seed_{s}_{spacing_mm:g}mm", scan(s), stamp, about) for s in seeds
    ]


def unseen_scanner(seed: int) -> Scanner:
    """A scanner as training draws them, but for `BEYOND_EACH` settings of `BEYOND`."""
    from spine_node.phantom.physics import Scanner

    rng = np.random.default_rng((seed, 2))
    scanner = Scanner.draw(rng, clean=False)
    for name in rng.choice(list(BEYOND), BEYOND_EACH, replace=False):
        scanner = replace(scanner, **{str(name): float(rng.uniform(*BEYOND[str(name)]))})
    return scanner


def _split_in_words(library: TemplateLibrary, training: TemplateLibrary) -> str:
    tested, trained = (", ".join(s.name for s in part.sources) or "none" for part in (library, training))
    beyond = ", ".join(f"{name} {low:g}-{high:g}" for name, (low, high) in BEYOND.items())
    return (
        f"shapes of bones: {tested} (kept from training, which may use: {trained}); bones that these lack "
        f"are drawn as in training; each scanner has {BEYOND_EACH} settings beyond training's, of {beyond}"
    )


def _generate(seed: int, **options: Any) -> Phantom:
    from spine_node.phantom.generate import generate

    return generate(seed, **options)


def _scan_of(phantom: Phantom) -> Scan:
    return Scan(phantom.volume, phantom.label_map, {}, phantom.truth)


def _stressed(index: int, spacing_mm: float) -> Phantom:
    from spine_node.phantom.implants import Metal
    from spine_node.phantom.physics import Scanner
    from spine_node.phantom.skeleton import build

    kind = STRESSES[index % len(STRESSES)]
    seed, spec = _person(kind, STRESS_SEED + 1000 * index)
    rng = np.random.default_rng((seed, 1))
    options: dict[str, Any] = {"metal": _metal(build(spec), rng) if kind == "implants" else Metal()}
    if kind == "truncation":
        options["scanner"] = replace(
            Scanner.draw(rng, clean=False), field_radius_mm=float(rng.uniform(*STRESS_RADIUS_MM)), rim=250.0
        )
    if kind == "noise":
        options["scanner"] = replace(Scanner.draw(rng, clean=False), noise=float(rng.uniform(*STRESS_NOISE)))
    return _generate(seed, spacing_mm=spacing_mm, spec=spec, **options)


def _person(kind: str, start: int) -> tuple[int, SpineSpec]:
    """The first seed from `start` on whose person is of this kind and no other, and the person."""
    from spine_node.phantom.pose import LEVELS_DOWN, random_spec

    for seed in range(start, start + 1000):
        spec = random_spec(np.random.default_rng(seed))
        levels = tuple(s.level for s in spec.segments)
        steepest = max((abs(c.angle_deg) for c in spec.curves), default=0.0)
        seen = {"scoliosis": steepest >= STRESS_CURVE_DEG, "numbering": levels != LEVELS_DOWN}
        if all(there == (name == kind) for name, there in seen.items()):  # one difficulty at a time
            return seed, spec
    raise AssertionError(f"none of 1000 people has {kind}: the generator draws none any more")


def _metal(skeleton: Any, rng: np.random.Generator) -> Metal:
    from spine_node.phantom.implants import Metal

    while True:
        metal = Metal.draw(skeleton, rng)
        if len(metal.parts) > 1:  # one part is a button on the clothes
            return metal
