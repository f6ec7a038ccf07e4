"""What each part of the segmenter is worth: the same cases with one part switched off at a time.

    python tests/benchmarks/bench_ablation.py --cases 5 --spacing 2 --out runs/ablation
    python tests/benchmarks/bench_ablation.py --real DIR --notes config/real-scans.toml --out runs/ablation
    python tests/benchmarks/bench_ablation.py --compare full=runs/a physics-off=runs/b

The first two forms switch parts off at inference (no training); a run that was killed goes on. The last
compares folders of `spine-node evaluate --out` on the same cases: bundles that were trained differently.
Printed is Markdown: means, changes from the first row, * where the 95 % interval of the change excludes 0.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from scipy import ndimage
from skimage.segmentation import watershed

from spine_node.evaluation.comparison import as_markdown, comparison
from spine_node.evaluation.references import read_notes
from spine_node.evaluation.run import FIGURES, evaluate_sets
from spine_node.evaluation.sets import chosen
from spine_node.segmentation import inference, naming, windows
from spine_node.segmentation.classes import BODY
from spine_node.segmentation.inference import BundleSegmenter
from spine_node.segmentation.islands import without_islands
from spine_node.segmentation.segmenter import ModelIdentity

APART_MM = 12.0
"""Closest that two markers of the watershed may be: half a thoracic vertebra."""


def offsets_of_watershed(tissue: np.ndarray, spacing_mm: float) -> np.ndarray:
    """What takes the offset head's place: from each place to the middle of the nearest watershed piece of the
    body mask; mm, shape (3, z/2, y/2, x/2) (rounded up)."""
    body = tissue == BODY
    depth = ndimage.gaussian_filter(ndimage.distance_transform_edt(body) * spacing_mm, 1.5 / spacing_mm)
    size = 2 * round(APART_MM / spacing_mm / 2) + 1
    markers, count = ndimage.label((depth == ndimage.maximum_filter(depth, size)) & body)
    pieces = watershed(-depth, markers, mask=body)
    middles = np.array(ndimage.center_of_mass(body, pieces, range(1, count + 1))).reshape(-1, 3)
    half = np.indices([-(-n // 2) for n in tissue.shape])
    if not count:
        return np.zeros(half.shape, np.float32)
    nearest = ndimage.distance_transform_edt(pieces == 0, return_distances=False, return_indices=True)
    own = pieces[tuple(nearest)][::2, ::2, ::2]
    return ((np.moveaxis(middles[own - 1], -1, 0) - (2 * half + 0.5)) * spacing_mm).astype(np.float32)


Replacements = dict[str, Callable[..., Any]]


def _no_offsets(inner: BundleSegmenter) -> Replacements:
    spacing_mm = inner.bundle.fine.spacing_mm

    def infer(*args: Any, **more: Any) -> Any:
        heads = windows.infer(*args, **more)
        tissue = without_islands(heads.semantic.numpy().argmax(axis=0).astype(np.uint8), spacing_mm)
        return heads._replace(offset=torch.from_numpy(offsets_of_watershed(tissue, spacing_mm)))

    return {"infer": infer}


def _no_levels(_inner: BundleSegmenter) -> Replacements:
    def evidence_of(grid: Any, inside: Any, tissue: Any, vertebrae: Any, chance: np.ndarray) -> Any:
        even = np.full_like(chance, -np.log(chance.shape[1]))
        return naming.evidence_of(grid, inside, tissue, vertebrae, even)

    return {"evidence_of": evidence_of}


PARTS: dict[str, tuple[str, Callable[[BundleSegmenter], Replacements]]] = {
    "offset": ("no offset head: watershed of the bodies", _no_offsets),
    "level": ("no level heads: counted from the sacrum and by spacing", _no_levels),
    "context": ("no context net: the fine net alone, everywhere", lambda _inner: {}),
    "grey": ("outlines not settled by grey values", lambda _inner: {"settled_by_grey": lambda *_: None}),
}
"""What can be switched off, and what of `segmentation.inference` stands in for it."""


class Ablated:
    """The default segmenter without one part of it."""

    def __init__(self, inner: BundleSegmenter, part: str) -> None:
        self.inner, self.part, self.bundle = inner, part, inner.bundle
        own = inner.identity
        digest = hashlib.sha256(f"{own.sha256} without {part}".encode()).hexdigest()
        self.identity = ModelIdentity(f"{own.name} without {part}", own.version, digest)

    def segment(self, volume: Any, progress: Any = None) -> Any:
        with ExitStack() as stack:
            for name, other in PARTS[self.part][1](self.inner).items():
                stack.enter_context(mock.patch.object(inference, name, other))
            if self.part == "context":
                stack.enter_context(mock.patch.object(self.inner, "_context", None))
            return self.inner.segment(volume, progress)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--compare", nargs="+", metavar="NAME=DIR")
    parser.add_argument("--model", type=Path, default=Path(__file__).parents[2] / "models/spinenet")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--without", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--cases", type=int, default=0, help="phantoms; 0: none")
    parser.add_argument("--spacing", type=float, default=2.0)
    parser.add_argument("--real", type=Path)
    parser.add_argument("--notes", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"))
    given = parser.parse_args()
    if given.compare:
        folders = dict(pair.split("=", 1) for pair in given.compare)
        runs = {name: json.loads((Path(f) / FIGURES).read_text()) for name, f in folders.items()}
        print(as_markdown(comparison(runs)))
        return
    sets = chosen(
        ["synthetic"] if given.cases or not given.real else [],
        {"real": given.real},
        count=given.cases or 3,
        spacing_mm=given.spacing,
        notes=read_notes(given.notes),
    )
    whole = BundleSegmenter(given.model, given.device)
    parts = [part for part in given.without if part != "context" or whole.bundle.context is not None]
    variants = {"everything": ("everything", whole)}
    variants |= {PARTS[part][0]: (f"without-{part}", Ablated(whole, part)) for part in parts}
    runs = {
        words: evaluate_sets(
            segmenter, sets, out=given.out / folder, device_words=given.device, baselines=False
        )
        for words, (folder, segmenter) in variants.items()
    }
    print(as_markdown(comparison(runs)))


if __name__ == "__main__":
    main()
