"""What a training is told: a TOML file, every key optional; the defaults are the shipped net's.

`config/train.toml` explains every key. Standard library only.
"""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from spine_node.errors import ConfigRefused
from spine_node.segmentation.architecture import Architecture
from spine_node.segmentation.bundle import Role
from spine_node.segmentation.classes import LEVEL_CLASSES, SPINE, Scheme, Structure
from spine_node.training.reading import read_table, read_values
from spine_node.training.streams import FolderStream, PhantomStream, Stream

KINDS: dict[str, type] = {"phantom": PhantomStream, "folder": FolderStream}
"""What `kind` of a [[streams]] entry may be."""


@dataclass(frozen=True, slots=True)
class Validation:
    """[validation]: how often, and on how much, a training looks at cases that it does not train on.

    Attributes
    ----------
    every_minutes : float
        Of training; 0: only at the end.
    patches : int
        Plain windows to look at, shared evenly among the held-out cases; 0: never.
    """

    every_minutes: float = 3.0
    patches: int = 8

    def __post_init__(self) -> None:
        if self.every_minutes < 0 or self.patches < 0:
            raise ValueError("every_minutes and patches are not negative")


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that shapes a training run.

    Attributes
    ----------
    name, version, description : str
        Of the model, for its metadata and card.
    licence : str
        Of the weights.
    labels : tuple of Structure
        What the net learns to tell apart; empty: the spine, with levels.
    role : str
        Which net of a bundle this is: "fine" draws outlines, "context" sees the whole spine and names it.
    start : Path, optional
        Bundle to start from instead of random weights: its net of the same role.
    minutes : float
        Wall-clock budget of the run as a whole, resumed parts included.
    seed : int
        Of patches and first weights.
    spacing_mm : float
        Edge of the net's voxels.
    patch : tuple of int
        Patch edge in voxels, (z, y, x).
    batch : int
        Patches of a step on a CPU.
    batch_gpu : int or "auto"
        The same on a GPU; "auto": as many as fill half its memory, at most 16.
    architecture : Architecture
        Its classes follow from `labels`.
    precision : str
        "bfloat16" multiplies in bfloat16, "auto" does so where the hardware has it.
    learning_rate, weight_decay : float
        Of AdamW; the rate warms up, then follows half a cosine over the budget.
    warm_up_steps : int
    average : float
        Decay of the running average of weights, which is what is kept.
    clip : float
        Largest gradient norm.
    augment : float
        0..1: how far patches are turned and scaled, and how often repainted as another scanner's.
    cases_at_start : int
        Number of cases to wait for before the first step.
    save_every_s : float
        Longest time between two checkpoints.
    workers : int
        Processes that make cases beside the training; 0: the training makes them itself, at its start.
    streams : tuple of Stream
    validation : Validation
    """

    name: str = "spinenet"
    version: str = "0.1.0"
    description: str = ""
    licence: str = "Apache-2.0"
    labels: tuple[Structure, ...] = ()
    role: Role = "fine"
    start: Path | None = None
    minutes: float = 60.0
    seed: int = 0
    spacing_mm: float = 2.0
    patch: tuple[int, int, int] = (112, 80, 80)
    batch: int = 1
    batch_gpu: int | Literal["auto"] = "auto"
    architecture: Architecture = field(default_factory=Architecture)
    precision: Literal["auto", "bfloat16", "float32"] = "auto"
    learning_rate: float = 1.5e-3
    weight_decay: float = 1e-4
    warm_up_steps: int = 60
    average: float = 0.997
    clip: float = 1.0
    augment: float = 1.0
    cases_at_start: int = 8
    save_every_s: float = 60.0
    workers: int = 1
    streams: tuple[Stream, ...] = field(default_factory=lambda: (PhantomStream(),))
    validation: Validation = field(default_factory=Validation)

    def __post_init__(self) -> None:
        scheme = Scheme.of(self.labels) if self.labels else SPINE
        levels = len(LEVEL_CLASSES) if scheme.spine else 0
        fitting = replace(self.architecture, semantic=len(scheme.classes), levels=levels)
        object.__setattr__(self, "architecture", fitting)
        divisor = fitting.divisor
        if len(self.patch) != 3 or any(n < 1 or n % divisor for n in self.patch):
            raise ValueError(
                f"patch is three multiples of {divisor} voxels (a net of {len(fitting.widths)} scales), not "
                f"{list(self.patch)}"
            )
        if not 0.5 <= self.spacing_mm <= 8:
            raise ValueError(f"spacing_mm is 0.5 to 8 mm, not {self.spacing_mm:g}")
        positive = ("minutes", "batch", "learning_rate", "clip", "cases_at_start", "warm_up_steps")
        for key in positive:
            if not getattr(self, key) > 0:
                raise ValueError(f"{key} is positive, not {getattr(self, key)!r}")
        if not (0 <= self.average < 1 and min(self.workers, self.seed, self.weight_decay) >= 0):
            raise ValueError("average is at least 0 and below 1; workers, seed, weight_decay not negative")
        if self.batch_gpu != "auto" and self.batch_gpu < 1:
            raise ValueError(f'batch_gpu is positive or "auto", not {self.batch_gpu!r}')
        if not 0 <= self.augment <= 1:
            raise ValueError(f"augment is 0 to 1, not {self.augment!r}")
        names = [stream.name for stream in self.streams]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"there is at least one stream, and each has its own name, not {names}")
        if self.labels and any(isinstance(stream, PhantomStream) for stream in self.streams):
            raise ValueError("phantoms are of the spine: another label list learns from folders")
        if self.labels and any(getattr(stream, "repaint", 0) for stream in self.streams):
            raise ValueError("repaint knows the spine's labels only: leave it out for another label list")

    @property
    def scheme(self) -> Scheme:
        """What the net learns of a label map."""
        return Scheme.of(self.labels) if self.labels else SPINE

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: checkpoint, metadata and card."""
        values = asdict(self) | {
            "start": str(self.start) if self.start else None,
            "architecture": self.architecture.to_dict(),
            "labels": [s.to_dict() for s in self.labels] or "spine",
            "streams": [
                {"kind": type(s).__name__.removesuffix("Stream").lower(), "words": s.words()}
                | {k: str(v) if isinstance(v, Path) else v for k, v in asdict(s).items()}  # type: ignore[call-overload]
                for s in self.streams
            ],
        }
        return values


def load_recipe(path: Path | None) -> Recipe:
    """The recipe of a TOML file; None: the default one.

    Raises
    ------
    ConfigRefused
        If the file cannot be read, a key does not exist or a value cannot be used: names file and key.
    """
    if path is None:
        return Recipe()
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as problem:
        raise ConfigRefused(f"{path} cannot be read: {problem}. Nothing was trained.") from problem
    except tomllib.TOMLDecodeError as problem:
        raise ConfigRefused(f"{path} is not TOML: {problem}. Nothing was trained.") from problem
    try:
        return _recipe(content, path)
    except ConfigRefused as refusal:
        raise ConfigRefused(f"{refusal} Nothing was trained.") from None


def _recipe(content: dict[str, Any], path: Path) -> Recipe:
    parts: dict[str, Any] = {}
    if "architecture" in content:
        place = f"{path}: [architecture]"
        # How many classes there are follows from the labels.
        parts["architecture"] = read_table(
            Architecture, content.pop("architecture"), place, hidden=("semantic", "levels")
        )
    labels = content.pop("labels", "spine")
    if labels != "spine":
        if not isinstance(labels, list) or not labels:
            raise ConfigRefused(f'{path}: labels is "spine", or one [[labels]] for each structure.')
        parts["labels"] = tuple(
            read_table(Structure, entry, f"{path}: [[labels]] number {n}")
            for n, entry in enumerate(labels, 1)
        )
    if "streams" in content:
        entries = content.pop("streams")
        if not isinstance(entries, list):
            raise ConfigRefused(f"{path}: streams are written [[streams]], one for each.")
        parts["streams"] = tuple(
            _stream(entry, f"{path}: [[streams]] number {n}") for n, entry in enumerate(entries, 1)
        )
    values = read_values(Recipe, content, str(path))
    try:
        return Recipe(**parts, **values)
    except ValueError as problem:
        raise ConfigRefused(f"{path}: {problem}.") from problem


def _stream(entry: Any, place: str) -> Stream:
    if not isinstance(entry, dict):
        raise ConfigRefused(f"{place}: a table was expected, not {entry!r}.")
    rest = dict(entry)
    kind = rest.pop("kind", None)
    if kind not in KINDS:
        raise ConfigRefused(f'{place}: kind is "phantom" or "folder", not {kind!r}.')
    stream: Stream = read_table(KINDS[kind], rest, place)
    return stream
