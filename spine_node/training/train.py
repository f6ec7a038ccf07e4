"""Train a net within a time budget, on whatever machine there is; a kill loses a minute at most.

The budget is wall-clock time of the training, summed over every run of the same folder: the learning
rate follows it, so that a run that was killed and resumed ends as an unbroken one does.
"""

from __future__ import annotations

import ctypes
import json
import math
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from spine_node.errors import ConfigRefused
from spine_node.segmentation.architecture import Architecture
from spine_node.segmentation.bundle import METADATA, Role, learned_from, nets_in, read_json, start_weights
from spine_node.segmentation.device import bfloat16_in_hardware, bfloat16_on_gpu, device_of
from spine_node.segmentation.networks import SpineNet
from spine_node.training.augment import Patch, random_patch
from spine_node.training.batches import Batch, Batches
from spine_node.training.curve import draw_curve
from spine_node.training.losses import total_loss
from spine_node.training.progress import Clock, Display, Speed, console, dice_words, note
from spine_node.training.recipe import Recipe
from spine_node.training.samples import CaseStore
from spine_node.training.validation import dice_of, plain_windows

CHECKPOINT = "checkpoint.pt"
CURVE = "curve.jsonl"
PICTURE = "curve.png"

LARGEST_BATCH = 16
"""That "auto" chooses on a GPU: more patches a step and fewer steps teach no better."""


@dataclass(slots=True)
class _State:
    network: SpineNet
    average: SpineNet
    optimiser: torch.optim.AdamW
    step: int = 0
    seconds: float = 0.0
    earlier: list[str] = field(default_factory=list)


def train(
    run_dir: Path,
    recipe: Recipe | None = None,
    *,
    resume: bool = True,
    device: str = "auto",
    max_steps: int | None = None,
) -> Path:
    """Train until the budget is spent; returns the checkpoint.

    Parameters
    ----------
    run_dir : Path
        Everything about this run: cases, checkpoint, learning curve. Created if absent.
    recipe : Recipe, optional
        What to train on what; by default the shipped net.
    resume : bool
        Go on from the checkpoint in `run_dir`, if there is one; False starts anew.
    device : str
        "auto", "cpu" or "cuda:N".
    max_steps : int, optional
        Stop earlier, after this many steps in all.

    Raises
    ------
    ConfigRefused
        If there is no such device, or the checkpoint in `run_dir` is of another net.
    LabelMapRefused
        If a folder of scans cannot be learned from.
    """
    begun = time.monotonic()
    recipe = recipe or Recipe()
    place = device_of(device)
    run_dir.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    state = _fresh(recipe, place)
    checkpoint = run_dir / CHECKPOINT
    if resume and checkpoint.exists():
        _load(state, checkpoint, recipe)
        _forget_after(run_dir / CURVE, state.step)
        spent = f"{state.seconds / 60:.1f} of {recipe.minutes:g} minutes"
        console().log(f"resumed {run_dir} after step {state.step}, {spent} spent")
        if recipe.start is not None:
            console().log(f"{recipe.start} is not read again: this run goes on; a new --run starts from it")
    else:
        (run_dir / CURVE).unlink(missing_ok=True)
        if recipe.start is not None:
            _start_from(state, recipe.start, recipe)
    store = CaseStore(
        run_dir / "cases",
        recipe.streams,
        recipe.spacing_mm,
        recipe.scheme,
        workers=recipe.workers,
        first=recipe.cases_at_start,
    )
    training = _Training(state, store, recipe, run_dir, place, begun, max_steps)
    try:
        training.run()
    finally:
        training.batches.close()
        store.close()
        torch.set_num_threads(training.cores)
    _save(state, checkpoint, recipe)
    draw_curve(run_dir / CURVE, run_dir / PICTURE)
    training.speed.write(run_dir, place, recipe.workers)
    return checkpoint


class _Training:
    """One run of the loop, and what it keeps beside the weights."""

    def __init__(
        self,
        state: _State,
        store: CaseStore,
        recipe: Recipe,
        run_dir: Path,
        place: torch.device,
        begun: float,
        max_steps: int | None,
    ) -> None:
        self.state, self.store, self.recipe, self.run_dir, self.place = state, store, recipe, run_dir, place
        self.max_steps = max_steps
        self.budget_s = recipe.minutes * 60
        self.half = recipe.precision == "bfloat16" or (recipe.precision == "auto" and _bfloat16_pays(place))
        self.speed = Speed(begun=begun)
        self.scheme = recipe.scheme
        self.batch = recipe.batch if place.type == "cpu" else batch_on_gpu(recipe, _memory_of(place))
        self.threads = _patch_threads(place, recipe.workers)
        self.batches = Batches(self._patches, threads=self.threads, pin=place.type == "cuda")
        self.cores = torch.get_num_threads()
        self.windows: list[Patch] = []
        self.windows_of = 0
        self.dice: dict[str, float] = {}
        self.means: dict[str, float] = {}
        self.before = state.seconds
        self.saved = time.monotonic()

    def run(self) -> None:
        """Step until the time is up."""
        state, recipe = self.state, self.recipe
        if self._ended():
            console().log(
                f"nothing left to train: {state.seconds / 60:.1f} of {recipe.minutes:g} minutes are spent"
            )
            return
        if self.place.type == "cpu":
            _keep_freed_memory()
        self._share_cores()
        with Clock(self.speed, "waiting_for_cases"):
            self._wait_for_cases()
        with Display(recipe.minutes) as display, (self.run_dir / CURVE).open("a", buffering=1) as curve:
            validated = state.seconds
            while not self._ended():
                if state.step % 20 == 0:
                    self._refresh()
                record = self._step()
                self._tell(display, record)
                every = recipe.validation.every_minutes * 60
                if self._ended() or (every and state.seconds - validated >= every):
                    validated = state.seconds
                    if self._validate():
                        record["dice"] = self.dice
                        spent = f"{state.seconds / 60:.1f} min, step {state.step}"
                        display.keep(f"{spent}, loss {record['loss']:.2f}: {dice_words(self.dice)}")
                curve.write(json.dumps(record) + "\n")
                if "dice" in record and not self._ended():
                    with Clock(self.speed, "validating"):
                        draw_curve(self.run_dir / CURVE, self.run_dir / PICTURE)
                if time.monotonic() - self.saved > recipe.save_every_s:
                    with Clock(self.speed, "saving"):
                        _save(state, self.run_dir / CHECKPOINT, recipe)
                    self.saved = time.monotonic()

    def _ended(self) -> bool:
        steps = self.max_steps is not None and self.state.step >= self.max_steps
        # However long the first cases took, a net has seen one of them.
        return steps or (self.state.step > 0 and self.state.seconds >= self.budget_s)

    def _wait_for_cases(self) -> None:
        # Held-out cases may be ready first: only those to train on count.
        wanted = max(1, min(self.recipe.cases_at_start, self.store.wanted))
        said = console()
        while (have := self.store.refresh()) < wanted and not self.store.complete:
            said.log(f"{have} of {wanted} cases made before the first step")
            self.store.wait()
        if not have:
            raise ConfigRefused(
                f"no case in {self.store.folder} shows anything to learn: of {self.store.wanted} that the "
                "streams name, each was passed over. Nothing was trained."
            )

    def _refresh(self) -> None:
        self.store.refresh()
        self._share_cores()
        self.speed.cases = self.store.made

    def _share_cores(self) -> None:
        # Threads of one step wait for each other: one that shares its core with a worker holds up all.
        if self.place.type == "cpu":
            busy = 0 if self.store.complete else self.recipe.workers
            torch.set_num_threads(max(1, self.cores - busy))

    def _patches(self, step: int) -> list[Patch]:
        # A step's patches depend on its number alone, so a resumed run does not repeat old ones.
        rng = np.random.default_rng((self.recipe.seed, step))
        size, spacing = self.recipe.patch, self.recipe.spacing_mm
        return [
            random_patch(self.store.draw(rng), rng, size, spacing, self.scheme, augment=self.recipe.augment)
            for _ in range(self.batch)
        ]

    def _step(self) -> dict[str, Any]:
        state = self.state
        with Clock(self.speed, "cutting"):
            batch = self.batches.take(state.step)
        rate = _rate(self.recipe, state.step, state.seconds / self.budget_s)
        with Clock(self.speed, "learning"):
            loss, parts = _step(state, batch.to(self.place), self.recipe, rate, self.half)
        self.speed.steps += 1
        self.speed.patches += self.batch
        state.step += 1
        state.seconds = self.before + time.monotonic() - self.speed.begun
        spent = {"step": state.step, "seconds": round(state.seconds, 1), "loss": loss, "rate": rate}
        return spent | parts | {"cases": len(self.store)}

    def _validate(self) -> bool:
        """Look at the held-out cases that are made by now."""
        wanted = self.recipe.validation.patches
        held_out = self.store.held_out
        if not wanted or not held_out:
            return False
        with Clock(self.speed, "validating"):
            if len(held_out) != self.windows_of:
                self.windows_of = len(held_out)
                self.windows = plain_windows(
                    held_out, wanted, self.recipe.patch, self.recipe.spacing_mm, self.scheme
                )
            self.dice = dice_of(self.state.average, self.windows, self.scheme, self.place, self.half)
        return True

    def _tell(self, display: Display, record: dict[str, Any]) -> None:
        for name in ("outline", "overlap", "offset", "level"):
            if name in record:
                self.means[name] = 0.95 * self.means.get(name, record[name]) + 0.05 * record[name]
        speed = self.speed
        rates = (
            speed.steps / max(speed.cutting + speed.learning, 1e-6),
            60 * speed.cases / max(time.monotonic() - speed.begun, 1e-6),
        )
        cases = f"{len(self.store)}/{self.store.wanted}"
        display.show(self.state.seconds, note(self.state.step, self.means, rates, cases))


def batch_on_gpu(recipe: Recipe, memory_bytes: int) -> int:
    """Patches of a step on a GPU with so much memory.

    What a step keeps for its backward pass is counted on a small patch, and grows with its volume.
    """
    if recipe.batch_gpu != "auto":
        return recipe.batch_gpu
    edge = 2 * recipe.architecture.divisor
    kept = 0

    def count(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        kept += tensor.nbytes
        return tensor

    network = SpineNet(recipe.architecture)
    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        network(torch.zeros(1, 1, edge, edge, edge))
    patch_bytes = kept * math.prod(recipe.patch) / edge**3
    return int(min(max(memory_bytes / 2 // patch_bytes, 1), LARGEST_BATCH))


def _memory_of(place: torch.device) -> int:
    return int(torch.cuda.get_device_properties(place).total_memory)


def _patch_threads(place: torch.device, workers: int) -> int:
    """Threads that cut patches beside a GPU; beside a CPU's own work they would only be in its way."""
    return min(8, max(1, (os.cpu_count() or 2) - workers - 1)) if place.type == "cuda" else 0


def _keep_freed_memory() -> None:
    """Let the C library keep what a step frees: mapping it anew every step costs half the time.

    M_MMAP_MAX and M_TRIM_THRESHOLD of mallopt(3); on another C library nothing happens.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(-4, 0)
        libc.mallopt(-1, -1)


def _rate(recipe: Recipe, step: int, spent: float) -> float:
    warm = min(1.0, (step + 1) / recipe.warm_up_steps)
    return recipe.learning_rate * warm * (0.5 + 0.5 * math.cos(math.pi * min(spent, 1.0)) * 0.99)


def _step(
    state: _State, batch: Batch, recipe: Recipe, rate: float, half: bool
) -> tuple[float, dict[str, float]]:
    for group in state.optimiser.param_groups:
        group["lr"] = rate
    image = batch.image.contiguous(memory_format=_layout(batch.image.device))
    with torch.autocast(image.device.type, torch.bfloat16, enabled=half):
        heads = state.network(image)
    loss, parts = total_loss(heads, batch)
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
        return bfloat16_on_gpu(place)
    # AVX-512 alone halves the time of a step (measured on an AMD EPYC: 0.42 s to 0.22 s).
    return bfloat16_in_hardware(("amx_bf16", "avx512_bf16"))


def _layout(place: torch.device) -> torch.memory_format:
    """What convolutions of this device like; on a CPU the norms' backward pass pays for channels last."""
    return torch.channels_last_3d if place.type == "cuda" else torch.contiguous_format


def _fresh(recipe: Recipe, place: torch.device) -> _State:
    network = SpineNet(recipe.architecture).to(place, memory_format=_layout(place))
    average = SpineNet(recipe.architecture).to(place, memory_format=_layout(place))
    average.load_state_dict(network.state_dict())
    average.requires_grad_(False)
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    return _State(network, average, optimiser)


def _start_from(state: _State, folder: Path, recipe: Recipe) -> None:
    """Take the weights of a bundle: what it learned counts, and whose data it learned from is kept."""
    architecture, weights = start_weights(folder, recipe.role)
    metadata = read_json(folder, METADATA)
    if architecture != recipe.architecture or metadata.get("labels", "spine") != recipe.to_dict()["labels"]:
        raise ConfigRefused(
            f"the {recipe.role} net in {folder} has another architecture or label list ({architecture}) than "
            f"the recipe ({recipe.architecture}): it cannot be started from. Nothing was trained."
        )
    state.network.load_state_dict(weights)
    state.average.load_state_dict(weights)
    words = _words_of(metadata, recipe.role)
    state.earlier = [words]
    console().log(words)


def _words_of(metadata: dict[str, Any], role: Role) -> str:
    """A bundle's net, how long it learned and from whose data, for the card of the net that goes on."""
    net = nets_in(metadata)[role]
    past = net.get("training", {})
    data = learned_from(net) or ["data that were not noted"]
    return (
        f"Started from the {role} net of {metadata['name']} {metadata['version']} ({past.get('steps', '?')} "
        f"steps, {past.get('hours', '?')} hours, {net['spacing_mm']:g} mm), which had learned from: "
        + " ".join(data)
    )


def _save(state: _State, path: Path, recipe: Recipe) -> None:
    content = {
        "network": state.network.state_dict(),
        "average": state.average.state_dict(),
        "optimiser": state.optimiser.state_dict(),
        "step": state.step,
        "seconds": state.seconds,
        "recipe": json.dumps(recipe.to_dict()),
        "earlier": state.earlier,
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


def _load(state: _State, path: Path, recipe: Recipe) -> None:
    content = read_checkpoint(path)
    said = json.loads(content["recipe"])
    before, labels = Architecture.from_dict(said["architecture"]), said.get("labels", "spine")
    role = said.get("role", "fine")
    if before != recipe.architecture or labels != recipe.to_dict()["labels"] or role != recipe.role:
        raise ConfigRefused(
            f"{path} is a checkpoint of another role, architecture or label list ({role}, {before}): choose "
            "another run folder. Nothing was trained."
        )
    state.network.load_state_dict(content["network"])
    state.average.load_state_dict(content["average"])
    state.optimiser.load_state_dict(content["optimiser"])
    state.step, state.seconds = int(content["step"]), float(content["seconds"])
    for group in state.optimiser.param_groups:
        group["weight_decay"] = recipe.weight_decay
    # The card owes a word to everybody whose data shaped the weights, also before the recipe changed.
    state.earlier = [str(words) for words in content.get("earlier", [])]
    now = json.loads(json.dumps(recipe.to_dict()))
    if any(said.get(key) != now[key] for key in ("streams", "spacing_mm")):
        words = " ".join(stream["words"] for stream in said["streams"])
        state.earlier.append(f"Until step {state.step}, at {said['spacing_mm']:g} mm: {words}")
