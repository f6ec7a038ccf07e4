"""Training cases on disk: phantoms and labelled scans as the net sees them, one file each.

A case is made once, by a worker process, and used many times. Seeds are kept apart: training from
0, validation from 10^6, test from 2 * 10^6.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spine_node.errors import LabelMapRefused, Refused
from spine_node.imaging.volume import FloatArray, LabelMap, Volume
from spine_node.nifti import read_label_map, read_volume
from spine_node.segmentation.canonical import CLIP, canonical, nearest
from spine_node.segmentation.classes import BODY, TISSUE_OF_VALUE

TRAIN_SEED, VALIDATION_SEED = 0, 1_000_000
"""First seed of each range; validation stays below `evaluation.cases.TEST_SEED`."""

MARGIN_MM = 40.0
"""Soft tissue kept around the structures: more would only be air to train on."""

GREY_STEP = 2 * CLIP / 255
"""Scaled grey value of one step of the eight-bit store."""

Generate = Callable[[int, float], tuple[Volume, LabelMap]]
"""From a seed and a spacing in mm to an image and its labels; must be importable by name."""


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """An image and its labels on the canonical grid, array order (z, y, x).

    Attributes
    ----------
    grey : ndarray, shape (z, y, x), uint8
        Scaled values, -`CLIP` to `CLIP` in 255 steps.
    labels : ndarray, shape (z, y, x), uint8
        Values of `anatomy.levels`; 255 where nobody annotated.
    centres : ndarray, shape (256, 3)
        Array index of the body centre that a label value belongs to; NaN where there is none.
    """

    grey: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    centres: FloatArray

    @property
    def values(self) -> NDArray[np.float32]:
        """Scaled grey values."""
        return self.grey.astype(np.float32) * np.float32(GREY_STEP) - np.float32(CLIP)


def phantom_case(seed: int, spacing_mm: float) -> tuple[Volume, LabelMap]:
    """The phantom of this seed; field of view, painting and cleanliness follow from the seed.

    Half are whole spines, the others parts of one; four in five look like cone-beam CT, the others
    have random contrast, so that the net learns shapes rather than one scanner's greys.
    """
    from spine_node.phantom.generate import generate

    rng = np.random.default_rng((seed, 77))
    field = rng.choice(["whole", "random", "thoracolumbar", "lumbopelvic"], p=[0.5, 0.3, 0.1, 0.1])
    painting = rng.choice(["cbct", "random"], p=[0.82, 0.18])
    phantom = generate(
        seed,
        spacing_mm=spacing_mm,
        field_of_view=str(field),
        clean=bool(rng.random() < 0.2),
        painting=str(painting),
    )
    return phantom.volume, phantom.label_map


def case_of(volume: Volume, label_map: LabelMap, spacing_mm: float) -> Case:
    """Bring an image and its labels to the net's grid and scale, cut to the structures.

    Raises
    ------
    LabelMapRefused
        If the two are not on the same grid, or nothing is labelled.
    SeriesRefused
        If the volume has no image in it.
    """
    if not volume.grid.matches(label_map.grid):
        raise LabelMapRefused("the labels are not on the grid of the image: they cannot be learned from.")
    view = canonical(volume, spacing_mm)
    labels = nearest(label_map.labels, label_map.grid, view.grid)
    labels[~view.inside] = 0
    tissue = TISSUE_OF_VALUE[labels]
    marked = np.nonzero((tissue > 0) & (tissue < 255))
    if len(marked[0]) == 0:
        raise LabelMapRefused("the label map is empty: there is nothing to learn from.")
    margin = int(MARGIN_MM / spacing_mm)
    box = tuple(slice(max(0, int(m.min()) - margin), int(m.max()) + margin + 1) for m in marked)
    labels = np.ascontiguousarray(labels[box])
    grey = np.round((view.values[box] + CLIP) / GREY_STEP).astype(np.uint8)
    return Case(grey, labels, _body_centres(labels))


def _body_centres(labels: NDArray[np.uint8]) -> FloatArray:
    centres = np.full((256, 3), np.nan)
    for value in np.unique(labels[TISSUE_OF_VALUE[labels] == BODY]):
        centre = np.argwhere(labels == value).mean(axis=0)
        centres[value] = centres[value + 100] = centre
    return centres


def save_case(case: Case, path: Path) -> None:
    """Write a case so that a reader sees all of it or nothing."""
    part = path.with_suffix(f".{os.getpid()}.part")
    with part.open("wb") as file:
        np.savez_compressed(file, grey=case.grey, labels=case.labels, centres=case.centres)
    part.replace(path)


def load_case(path: Path) -> Case:
    """Read a case back."""
    with np.load(path, allow_pickle=False) as stored:
        return Case(stored["grey"], stored["labels"], stored["centres"])


def make_case(seed: int, folder: Path, spacing_mm: float, generate: Generate = phantom_case) -> Path:
    """The stored case of this seed, made if it is not there yet."""
    path = folder / f"seed_{seed:07d}.npz"
    if not path.exists():
        save_case(case_of(*generate(seed, spacing_mm), spacing_mm), path)
    return path


def real_cases(folder: Path, store: Path, spacing_mm: float) -> list[Path]:
    """Labelled scans of `folder` as stored cases.

    Each sub-folder holds one scan: `image.nii.gz` (or the only other NIfTI file) and
    `labels.nii.gz` (or `labels_semi.nii.gz`), 255 where nobody annotated. Sub-folders without
    labels are passed over.

    Raises
    ------
    LabelMapRefused
        If no sub-folder has an image and labels.
    """
    store.mkdir(parents=True, exist_ok=True)
    made: list[Path] = []
    for scan in sorted(p for p in folder.iterdir() if p.is_dir()):
        files = sorted(scan.glob("*.nii.gz")) + sorted(scan.glob("*.nii"))
        label_files = [f for f in files if f.name.startswith("labels")]
        images = [f for f in files if f not in label_files]
        if len(label_files) != 1 or len(images) != 1:
            continue
        path = store / f"real_{scan.name}.npz"
        if not path.exists():
            save_case(case_of(read_volume(images[0]), read_label_map(label_files[0]), spacing_mm), path)
        made.append(path)
    if not made:
        raise LabelMapRefused(
            f"{folder} holds no labelled scan: a sub-folder with one labels*.nii.gz and one other "
            "NIfTI file was expected for each."
        )
    return made


class CaseStore:
    """A folder of cases that grows while the net trains.

    Parameters
    ----------
    folder : Path
        Where cases are kept; those already there are used again.
    spacing_mm : float
    generate : callable
        Makes the image and labels of a seed.
    workers : int
        Processes that make new cases; 0 uses only what is there.
    wanted : int
        Number of cases at which making stops.
    """

    def __init__(
        self, folder: Path, spacing_mm: float, *, generate: Generate, workers: int, wanted: int
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.spacing_mm, self.generate, self.wanted = folder, spacing_mm, generate, wanted
        self._loaded: dict[Path, Case] = {}
        self._refused: set[int] = set()
        self._pool = (
            ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_quiet_worker)
            if workers
            else None
        )
        self._pending: dict[int, Future[Path]] = {}
        self._depth = 2 * workers

    def refresh(self) -> int:
        """Load what is new, ask for more; returns how many cases there are.

        A seed whose field of view shows no structure is passed over; any other failure of a worker
        is raised here.
        """
        for seed in [s for s, f in self._pending.items() if f.done()]:
            try:
                self._pending.pop(seed).result()
            except Refused:
                self._refused.add(seed)
        for path in sorted(self.folder.glob("seed_*.npz")):
            if path not in self._loaded:
                self._loaded[path] = load_case(path)
        if self._pool is not None:
            known = {int(p.stem.split("_")[1]) for p in self._loaded} | self._pending.keys() | self._refused
            for seed in range(TRAIN_SEED, TRAIN_SEED + self.wanted):
                if len(self._pending) >= self._depth:
                    break
                if seed not in known:
                    self._pending[seed] = self._pool.submit(
                        make_case, seed, self.folder, self.spacing_mm, self.generate
                    )
        return len(self._loaded)

    def wait(self) -> None:
        """Block until one more case is made (or none is on its way)."""
        wait(self._pending.values(), return_when=FIRST_COMPLETED)

    @property
    def cases(self) -> Sequence[Case]:
        """Everything loaded, in the order of seeds."""
        return [self._loaded[path] for path in sorted(self._loaded)]

    def close(self) -> None:
        """Stop making cases."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)


def _quiet_worker() -> None:
    """A worker keeps to one thread, yields to the training, and does not outlive it."""
    import torch

    torch.set_num_threads(1)
    os.nice(5)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
