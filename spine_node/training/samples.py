"""Training cases on disk: phantoms and labelled scans as the net sees them, one file each.

A case is made once, by a worker process, and used many times. It is kept under its stream and what
shaped it, so that a run that goes on with another spacing or mixture never learns from stale ones.
"""

from __future__ import annotations

import json
import os
import threading
import zlib
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spine_node.errors import LabelMapRefused, Refused
from spine_node.imaging.volume import FloatArray, LabelMap, Volume
from spine_node.segmentation.canonical import canonical, nearest
from spine_node.segmentation.classes import BODY, SPINE, TISSUE_OF_VALUE, Scheme
from spine_node.segmentation.grey_scale import CLIP
from spine_node.training.streams import Stream

MARGIN_MM = 40.0
"""Soft tissue kept around the structures: more would only be air to train on."""

GREY_STEP = 2 * CLIP / 255
"""Scaled grey value of one step of the eight-bit store."""


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """An image and its labels on the canonical grid, array order (z, y, x).

    Attributes
    ----------
    grey : ndarray, shape (z, y, x), uint8
        Scaled values, -`CLIP` to `CLIP` in 255 steps.
    labels : ndarray, shape (z, y, x), uint8
        Label values; 255 where nobody annotated.
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


def case_of(volume: Volume, label_map: LabelMap, spacing_mm: float, scheme: Scheme = SPINE) -> Case:
    """Bring an image and its labels to the net's grid and scale, cut to the structures.

    Raises
    ------
    LabelMapRefused
        If the two are not on the same grid, or nothing that the net learns is labelled.
    SeriesRefused
        If the volume has no image in it.
    """
    if not volume.grid.matches(label_map.grid):
        raise LabelMapRefused("the labels are not on the grid of the image: they cannot be learned from.")
    view = canonical(volume, spacing_mm)
    labels = nearest(label_map.labels, label_map.grid, view.grid)
    labels[~view.inside] = 0
    kind = scheme.class_of_value[labels]
    marked = np.nonzero((kind > 0) & (kind < 255))
    if len(marked[0]) == 0:
        raise LabelMapRefused(
            f"the label map holds none of {', '.join(scheme.classes[1:])}: there is nothing to learn from."
        )
    margin = int(MARGIN_MM / spacing_mm)
    box = tuple(slice(max(0, int(m.min()) - margin), int(m.max()) + margin + 1) for m in marked)
    labels = np.ascontiguousarray(labels[box])
    grey = np.round((view.values[box] + CLIP) / GREY_STEP).astype(np.uint8)
    return Case(grey, labels, _body_centres(labels) if scheme.spine else np.full((256, 3), np.nan))


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


def make_case(stream: Stream, name: str, path: Path, spacing_mm: float, scheme: Scheme) -> bool:
    """Make and store a case, unless it is there; False if it shows no structure and may be passed over.

    Raises
    ------
    Refused
        What is wrong with it, with its name, if it may not.
    """
    if path.exists():
        return True
    try:
        save_case(case_of(*stream.make(name, spacing_mm), spacing_mm, scheme), path)
    except Refused as reason:
        if stream.skips_refused:
            return False
        raise type(reason)(f"case {name} of stream {stream.name}: {reason}") from reason
    return True


def store_folder(folder: Path, stream: Stream, spacing_mm: float, scheme: Scheme) -> Path:
    """Where the cases of a stream are kept: apart for all that shapes their voxels."""
    shape = {"content": stream.content(), "spacing_mm": spacing_mm, "channels": scheme.channels}
    return folder / f"{stream.name}-{zlib.crc32(json.dumps(shape, sort_keys=True).encode()):08x}"


@dataclass(frozen=True, slots=True)
class _Task:
    stream: int
    name: str
    path: Path
    held_out: bool


class CaseStore:
    """The cases of all streams, growing while the net trains.

    Parameters
    ----------
    folder : Path
        Where cases are kept; those already there are used again.
    streams : sequence of Stream
    spacing_mm : float
        Of the net.
    scheme : Scheme
        What is learned of a label map.
    workers : int
        Processes that make new cases; 0: this one, at the first `refresh`.
    first : int
        Cases to make before those that are held out.
    """

    def __init__(
        self,
        folder: Path,
        streams: Sequence[Stream],
        spacing_mm: float,
        scheme: Scheme = SPINE,
        *,
        workers: int,
        first: int = 0,
    ) -> None:
        self.folder, self.streams, self.spacing_mm, self.scheme = folder, streams, spacing_mm, scheme
        self._todo = self._tasks(first)
        self.wanted = sum(not task.held_out for task in self._todo)
        self._ready: list[dict[str, Case]] = [{} for _ in streams]
        self._held_out: dict[Path, Case] = {}
        self._pending: dict[_Task, Future[bool]] = {}
        self._depth = 2 * workers
        self.made = 0
        self._pool = (
            ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_quiet_worker)
            if workers and not all(task.path.exists() for task in self._todo)
            else None
        )

    def _tasks(self, first: int) -> list[_Task]:
        """Streams take turns, each at its share; what is held out comes after the `first` of them."""
        training, held_out = [], []
        for index, stream in enumerate(self.streams):
            home = store_folder(self.folder, stream, self.spacing_mm, self.scheme)
            home.mkdir(parents=True, exist_ok=True)
            for place, name in enumerate(stream.training()):
                turn = (place + 1) / stream.share
                training.append((turn, index, _Task(index, name, home / f"{name}.npz", False)))
            held_out += [_Task(index, n, home / f"{n}.npz", True) for n in stream.validation()]
        ordered = [task for *_, task in sorted(training, key=lambda entry: entry[:2])]
        return ordered[:first] + held_out + ordered[first:]

    def refresh(self) -> int:
        """Load what is new, ask for more; returns how many cases there are to train on.

        Raises
        ------
        Refused
            If a labelled scan cannot be learned from; any other failure of a worker is raised too.
        """
        for task in [t for t, f in self._pending.items() if f.done()]:
            if self._pending.pop(task).result():
                self._load(task)
                self.made += 1
        while self._todo and len(self._pending) < max(1, self._depth):
            task = self._todo.pop(0)
            if task.path.exists():
                self._load(task)
            elif self._pool is not None:
                made = self._pool.submit(
                    make_case, self.streams[task.stream], task.name, task.path, self.spacing_mm, self.scheme
                )
                self._pending[task] = made
            elif make_case(self.streams[task.stream], task.name, task.path, self.spacing_mm, self.scheme):
                self._load(task)
                self.made += 1
        return len(self)

    def _load(self, task: _Task) -> None:
        case = load_case(task.path)
        if task.held_out:
            self._held_out[task.path] = case
        else:
            # Replaced as a whole, in the order of names: threads draw from it meanwhile.
            names = self._ready[task.stream] | {task.name: case}
            self._ready[task.stream] = {name: names[name] for name in sorted(names)}

    def wait(self) -> None:
        """Block until one more case is made (or none is on its way)."""
        wait(self._pending.values(), return_when=FIRST_COMPLETED)

    def draw(self, rng: np.random.Generator) -> Case:
        """A case at random, streams by their share."""
        ready = list(self._ready)
        share = np.array([s.share * bool(cases) for s, cases in zip(self.streams, ready, strict=True)])
        index = int(rng.choice(len(share), p=share / share.sum()))
        return ready[index][self.streams[index].draw(list(ready[index]), rng)]

    def __len__(self) -> int:
        return sum(len(cases) for cases in self._ready)

    @property
    def held_out(self) -> Sequence[Case]:
        """Cases to validate on, as far as they are made."""
        return [self._held_out[path] for path in sorted(self._held_out)]

    @property
    def complete(self) -> bool:
        """Whether every case is made: the workers are idle."""
        return not self._todo and not self._pending

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
