"""What a training tells while it runs, and how fast it was: on stderr, and in `summary.json`."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import torch
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

SUMMARY = "summary.json"


@dataclass(slots=True)
class Speed:
    """Where the time of this process went, seconds.

    Attributes
    ----------
    steps, patches, cases : int
        Taken, seen by the net, and made by the workers.
    waiting_for_cases, cutting, learning, validating, saving : float
        `cutting` is making patches, or waiting for the threads that make them.
    """

    steps: int = 0
    patches: int = 0
    cases: int = 0
    waiting_for_cases: float = 0.0
    cutting: float = 0.0
    learning: float = 0.0
    validating: float = 0.0
    saving: float = 0.0
    begun: float = field(default_factory=time.monotonic)

    def summary(self, place: torch.device, workers: int) -> dict[str, Any]:
        """Throughput, and the share of the time that each part took."""
        wall = time.monotonic() - self.begun
        stepping = max(self.cutting + self.learning, 1e-6)
        parts = ("waiting_for_cases", "cutting", "learning", "validating", "saving")
        return {
            "seconds": round(wall, 1),
            "steps": self.steps,
            "steps_per_s": round(self.steps / stepping, 3),
            "patches_per_s": round(self.patches / stepping, 3),
            "cases_made": self.cases,
            "cases_per_min": round(60 * self.cases / max(wall, 1e-6), 2),
            "share": {name: round(getattr(self, name) / max(wall, 1e-6), 3) for name in parts},
            "device": device_words(place),
            "workers": workers,
        }

    def write(self, run_dir: Path, place: torch.device, workers: int) -> None:
        """Write `summary.json`; earlier parts of the run keep their own lines."""
        path = run_dir / SUMMARY
        with path.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(self.summary(place, workers)) + "\n")


class Clock:
    """Adds the time of a `with` block to one part of a `Speed`."""

    def __init__(self, speed: Speed, part: str) -> None:
        self._speed, self._part = speed, part

    def __enter__(self) -> Self:
        self._begun = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        spent = time.monotonic() - self._begun
        setattr(self._speed, self._part, getattr(self._speed, self._part) + spent)


def device_words(place: torch.device) -> str:
    """A machine in words, for the model card."""
    if place.type == "cuda":
        return f"one {torch.cuda.get_device_name(place)}"
    count = torch.get_num_threads()
    return f"a CPU, {count} thread{'s' * (count > 1)}"


def console() -> Console:
    """Where people read: stderr, so that stdout stays for results."""
    return Console(stderr=True, log_path=False)


class Display:
    """How far a training is, and what it sees: two lines that change, and one that stays a validation.

    Parameters
    ----------
    minutes : float
        Budget of the run.
    """

    def __init__(self, minutes: float) -> None:
        self._minutes = minutes
        self._bar = Progress(
            TextColumn("training"),
            BarColumn(),
            TextColumn("{task.completed:.1f} of {task.total:g} min,"),
            TimeRemainingColumn(),
            TextColumn("left"),
        )
        self._task = self._bar.add_task("", total=minutes)
        self._line = Text()
        self._live = Live(Group(self._bar, self._line), console=console(), refresh_per_second=2)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(self, *failure: Any) -> None:
        self._live.__exit__(*failure)

    def show(self, seconds: float, note: str) -> None:
        """The time spent, and the line below the bar."""
        self._bar.update(self._task, completed=min(seconds / 60, self._minutes))
        self._line.plain = note

    def keep(self, words: str) -> None:
        """A line that stays."""
        self._live.console.log(words)


def note(step: int, parts: dict[str, float], rates: tuple[float, float], cases: str) -> str:
    """Running means of the loss, steps a second, cases a minute.

    Examples
    --------
    >>> note(7, {"outline": 0.5, "overlap": 0.25}, (1.25, 3.0), "8/150")
    'step 7  outline 0.50 overlap 0.25  1.25 steps/s  8/150 cases, 3.0/min'
    """
    loss = " ".join(f"{name} {value:.2f}" for name, value in parts.items())
    return f"step {step}  {loss}  {rates[0]:.2f} steps/s  {cases} cases, {rates[1]:.1f}/min"


def dice_words(dice: dict[str, float]) -> str:
    """Validation Dice in one line.

    Examples
    --------
    >>> dice_words({"vertebral_body": 0.8123, "sacrum": 0.9})
    'Dice vertebral_body 0.81 sacrum 0.90'
    """
    return "Dice " + " ".join(f"{name} {value:.2f}" for name, value in dice.items())
