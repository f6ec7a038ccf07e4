"""Train the default net within a time budget, on whatever machine there is; a kill loses a minute.

The budget is wall-clock time spent training, summed over every run of the same folder: the
learning rate follows it, so that a run that was killed and resumed ends as an unbroken one does.
"""

from __future__ import annotations

import ctypes
import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn

from spine_node.segmentation.architecture import Architecture
from spine_node.segmentation.networks import SpineNet
from spine_node.segmentation.windows import bfloat16_in_hardware
from spine_node.training.augment import Patch, random_patch
from spine_node.training.curve import draw_curve
from spine_node.training.losses import spine_loss
from spine_node.training.samples import Case, CaseStore, Generate, load_case, phantom_case, real_cases

CHECKPOINT = "checkpoint.pt"
CURVE = "curve.jsonl"


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that shapes a training run except its budget and its data.

    Attributes
    ----------
    architecture : Architecture
    spacing_mm : float
        Edge of the net's voxels.
    patch : tuple of int
        Patch edge in voxels, (z, y, x).
    batch : int
    learning_rate, weight_decay : float
        Of AdamW; the rate warms up, then follows half a cosine over the budget.
    warm_up_steps : int
    average : float
        Decay of the running average of weights, which is what is kept.
    clip : float
        Largest gradient norm.
    cases : int
        Number of phantoms to make; they are made while the net trains.
    cases_at_start : int
        Number to wait for before the first step.
    real_share : float
        Fraction of patches from real scans, when there are any.
    save_every_s : float
        Longest time between two checkpoints.
    bfloat16 : bool or None
        Multiply in bfloat16; None: where the processor or GPU has hardware for it.
    """

    architecture: Architecture = field(default_factory=Architecture)
    spacing_mm: float = 2.0
    patch: tuple[int, int, int] = (112, 80, 80)
    batch: int = 1
    learning_rate: float = 1.5e-3
    weight_decay: float = 1e-4
    warm_up_steps: int = 60
    average: float = 0.997
    clip: float = 1.0
    cases: int = 150
    cases_at_start: int = 8
    real_share: float = 0.12
    save_every_s: float = 60.0
    bfloat16: bool | None = None


@dataclass(slots=True)
class _State:
    network: SpineNet
    average: SpineNet
    optimiser: torch.optim.AdamW
    step: int = 0
    seconds: float = 0.0


def train(
    run_dir: Path,
    *,
    minutes: float,
    seed: int = 0,
    resume: bool = True,
    real: Path | None = None,
    workers: int = 1,
    device: str = "auto",
    recipe: Recipe | None = None,
    generate: Generate = phantom_case,
    max_steps: int | None = None,
) -> Path:
    """Train until the budget is spent; returns the checkpoint.

    Parameters
    ----------
    run_dir : Path
        Everything about this run: cases, checkpoint, learning curve. Created if absent.
    minutes : float
        Wall-clock budget of the run as a whole, resumed parts included.
    seed : int
        Of patches and first weights.
    resume : bool
        Go on from the checkpoint in `run_dir`, if there is one; False starts anew.
    real : Path, optional
        Folder of labelled scans to mix in, see `samples.real_cases`.
    workers : int
        Processes that make phantoms beside the training.
    device : str
        "auto", "cpu" or "cuda:N".
    max_steps : int, optional
        Stop earlier, after this many steps in all.
    """
    recipe = recipe or Recipe()
    run_dir.mkdir(parents=True, exist_ok=True)
    place = torch.device(device if device != "auto" else ("cuda:0" if torch.cuda.is_available() else "cpu"))
    if place.type == "cpu":
        _keep_freed_memory()
        if workers:
            # Threads of one step wait for each other: one that shares its core with a worker holds up all.
            torch.set_num_threads(max(1, (os.cpu_count() or 1) - workers))
    torch.manual_seed(seed)
    state = _fresh(recipe, place)
    checkpoint = run_dir / CHECKPOINT
    if resume and checkpoint.exists():
        _load(state, checkpoint, recipe, place)
        _forget_after(run_dir / CURVE, state.step)
    elif (run_dir / CURVE).exists():
        (run_dir / CURVE).unlink()
    scans = [load_case(p) for p in real_cases(real, run_dir / "real", recipe.spacing_mm)] if real else []
    store = CaseStore(
        run_dir / "cases", recipe.spacing_mm, generate=generate, workers=workers, wanted=recipe.cases
    )
    try:
        _wait_for_cases(store, min(recipe.cases_at_start, recipe.cases), bool(workers))
        _run(state, store, scans, recipe, run_dir, minutes * 60, seed, max_steps, place)
    finally:
        store.close()
    _save(state, checkpoint, recipe)
    draw_curve(run_dir / CURVE, run_dir / "curve.png")
    return checkpoint


def _wait_for_cases(store: CaseStore, count: int, growing: bool) -> None:
    console = Console(stderr=True)
    while (have := store.refresh()) < max(1, count) and growing:
        console.log(f"{have} of {count} phantoms made before the first step")
        store.wait()
    if not store.cases:
        raise FileNotFoundError(f"no training case in {store.folder}, and no worker to make one")


def _run(
    state: _State,
    store: CaseStore,
    scans: list[Case],
    recipe: Recipe,
    run_dir: Path,
    budget_s: float,
    seed: int,
    max_steps: int | None,
    place: torch.device,
) -> None:
    half = _bfloat16_pays(place) if recipe.bfloat16 is None else recipe.bfloat16
    saved = clock = time.monotonic()
    with _progress() as bar, (run_dir / CURVE).open("a", buffering=1) as curve:
        task = bar.add_task("training", total=budget_s, completed=state.seconds, note="")
        while state.seconds < budget_s and (max_steps is None or state.step < max_steps):
            if state.step % 20 == 0:
                store.refresh()
            # A step's patches depend on its number alone, so a resumed run does not repeat old ones.
            rng = np.random.default_rng((seed, state.step))
            patches = [_patch(store, scans, recipe, rng) for _ in range(recipe.batch)]
            rate = _rate(recipe, state.step, state.seconds / budget_s)
            loss, parts = _step(state, patches, recipe, rate, half, place)
            now = time.monotonic()
            state.seconds, clock, state.step = state.seconds + now - clock, now, state.step + 1
            record = {"step": state.step, "seconds": round(state.seconds, 1), "loss": loss, "rate": rate}
            curve.write(json.dumps(record | parts | {"cases": len(store.cases)}) + "\n")
            note = f"step {state.step}  loss {loss:.3f}  phantoms {len(store.cases)}"
            bar.update(task, completed=state.seconds, note=note)
            if now - saved > recipe.save_every_s:
                _save(state, run_dir / CHECKPOINT, recipe)
                draw_curve(run_dir / CURVE, run_dir / "curve.png")
                saved = now


def _keep_freed_memory() -> None:
    """Let the C library keep what a step frees: mapping it anew every step costs half the time.

    M_MMAP_MAX and M_TRIM_THRESHOLD of mallopt(3); on another C library nothing happens.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(-4, 0)
        libc.mallopt(-1, -1)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=Console(stderr=True),
    )


def _patch(store: CaseStore, scans: list[Case], recipe: Recipe, rng: np.random.Generator) -> Patch:
    use_real = bool(scans) and rng.random() < recipe.real_share
    cases = scans if use_real else store.cases
    return random_patch(cases[rng.integers(len(cases))], rng, recipe.patch, recipe.spacing_mm)


def _rate(recipe: Recipe, step: int, spent: float) -> float:
    warm = min(1.0, (step + 1) / recipe.warm_up_steps)
    return recipe.learning_rate * warm * (0.5 + 0.5 * math.cos(math.pi * min(spent, 1.0)) * 0.99)


def _step(
    state: _State, patches: list[Patch], recipe: Recipe, rate: float, half: bool, place: torch.device
) -> tuple[float, dict[str, float]]:
    def stacked(pick: Callable[[Patch], Tensor]) -> Tensor:
        return torch.stack([pick(p) for p in patches]).to(place)

    for group in state.optimiser.param_groups:
        group["lr"] = rate
    image = stacked(lambda p: p.image).to(memory_format=torch.channels_last_3d)
    with torch.autocast(place.type, torch.bfloat16, enabled=half):
        heads = state.network(image)
    loss, parts = spine_loss(
        heads, stacked(lambda p: p.tissue), stacked(lambda p: p.offset), stacked(lambda p: p.level)
    )
    state.optimiser.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(state.network.parameters(), recipe.clip)
    state.optimiser.step()
    # The average starts short, or the first random weights would linger in it.
    decay = min(recipe.average, (1 + state.step) / (10 + state.step))
    with torch.no_grad():
        for kept, new in zip(state.average.parameters(), state.network.parameters(), strict=True):
            kept.lerp_(new, 1 - decay)
    return float(loss.detach()), parts


def _bfloat16_pays(place: torch.device) -> bool:
    if place.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return bfloat16_in_hardware()


def _fresh(recipe: Recipe, place: torch.device) -> _State:
    network = SpineNet(recipe.architecture).to(place, memory_format=torch.channels_last_3d)
    average = SpineNet(recipe.architecture).to(place)
    average.load_state_dict(network.state_dict())
    average.requires_grad_(False)
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    return _State(network, average, optimiser)


def _save(state: _State, path: Path, recipe: Recipe) -> None:
    content = {
        "network": state.network.state_dict(),
        "average": state.average.state_dict(),
        "optimiser": state.optimiser.state_dict(),
        "step": state.step,
        "seconds": state.seconds,
        "recipe": json.dumps(asdict(recipe)),
    }
    part = path.with_suffix(".part")
    torch.save(content, part)
    part.replace(path)


def _forget_after(curve: Path, step: int) -> None:
    """Cut the curve back to the checkpoint: steps after it are taken again."""
    if curve.exists():
        lines = curve.read_text().splitlines(keepends=True)[:step]
        part = curve.with_suffix(".part")
        part.write_text("".join(lines))
        part.replace(curve)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint: tensors and plain values only, no pickled code."""
    content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return content


def _load(state: _State, path: Path, recipe: Recipe, place: torch.device) -> None:
    content = read_checkpoint(path)
    before = Architecture.from_dict(json.loads(content["recipe"])["architecture"])
    if before != recipe.architecture:
        raise ValueError(
            f"{path} is a checkpoint of another architecture ({before}): choose another run "
            "folder, or start anew with resume=False"
        )
    state.network.load_state_dict(content["network"])
    state.average.load_state_dict(content["average"])
    state.optimiser.load_state_dict(content["optimiser"])
    state.step, state.seconds = int(content["step"]), float(content["seconds"])
