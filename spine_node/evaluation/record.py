"""What is kept of a run on its way: the result of each case on disk, and words for who waits."""

from __future__ import annotations

import hashlib
import json
import time
import zipfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console

from spine_node.evaluation.cases import Case
from spine_node.evaluation.views import Views

MEASURING = ("anatomy", "evaluation", "geometry", "imaging", "parameters", "phantom", "segmentation")
"""Sub-packages that a result depends on: when one changes, results are made again."""

SHOWING = (
    "bars.py",
    "charts.py",
    "failures.py",
    "gallery.py",
    "markdown.py",
    "pictures.py",
    "summary.py",
    "tables.py",
)
"""Files of this package that only show results."""

Row = dict[str, Any]


@lru_cache
def digest_of_code() -> str:
    """SHA-256 of the source that cases and figures come from."""
    root = Path(__file__).parents[1]
    paths = sorted(p for name in MEASURING for p in (root / name).glob("*.py") if p.name not in SHOWING)
    whole = hashlib.sha256()
    for path in paths:
        whole.update(path.name.encode() + path.read_bytes())
    return whole.hexdigest()


class Record:
    """Results of cases in a folder (or nowhere), each with the model and the code it belongs to.

    Parameters
    ----------
    folder : Path, optional
        None keeps nothing.
    models : mapping of row to SHA-256
    """

    def __init__(self, folder: Path | None, models: Mapping[str, str]) -> None:
        self.folder, self.models = folder, models

    def read(self, case: Case, row: str) -> Row | None:
        """The stored result, if there is one of this model and this code."""
        if self.folder is None:
            return None
        try:
            stored = json.loads(self._path(case, row).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        result = stored.get("result") if stored.get("key") == self._key(case, row) else None
        return result if isinstance(result, dict) else None

    def write(self, case: Case, row: str, result: Row, drawn: Views | None) -> None:
        """Store a result; the picture's data go first, so that what can be read is complete."""
        if self.folder is None:
            return
        path = self._path(case, row)
        path.parent.mkdir(parents=True, exist_ok=True)
        if drawn is not None:
            drawn.save(path.with_suffix(".npz"))
        part = path.with_suffix(".part")
        content = json.dumps({"key": self._key(case, row), "result": result}, default=float)
        part.write_text(content, encoding="utf-8")
        part.replace(path)

    def views(self, group: str, name: str) -> Views | None:
        """What to draw of the model's result, if it was stored."""
        if self.folder is None:
            return None
        try:
            return Views.load(self.folder / group / f"{name}.model.npz")
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            return None

    def _path(self, case: Case, row: str) -> Path:
        assert self.folder is not None
        return self.folder / case.group / f"{case.name}.{row}.json"

    def _key(self, case: Case, row: str) -> list[str]:
        return [self.models[row], digest_of_code(), case.stamp]


class Report:
    """Lines on stderr: which case, what came out, and how long it may take yet."""

    def __init__(self, total: int) -> None:
        self.total, self.finished = total, 0
        self.console = Console(stderr=True)

    def __enter__(self) -> Report:
        self.begun = time.monotonic()
        self.status = self.console.status("starting")
        self.status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.status.stop()

    def say(self, words: str) -> None:
        """What is going on now (only on a terminal)."""
        self.status.update(words)

    def skip(self) -> None:
        """One less to do."""
        self.total -= 1

    def done(self, case: Case, row: str, result: Row) -> None:
        """One more is done."""
        self.finished += 1
        left = (time.monotonic() - self.begun) / self.finished * (self.total - self.finished)
        self.console.print(
            f"{self.finished}/{self.total} {case.group} {case.name}, {row}: {_words(result)}"
            + (f"; about {max(1, round(left / 60))} min left" if self.finished < self.total else ""),
            highlight=False,
            soft_wrap=True,
        )


def _words(result: Row) -> str:
    if result["refused"]:
        return f"refused: {result['refused']}"
    parts = []
    if result["outlines"]:
        bodies = [r["dice"] for r in result["outlines"] if r["group"] == "body"]
        if bodies:
            parts.append(f"body Dice {sum(bodies) / len(bodies):.3f}")
    levels = result["identification"]["levels"]
    parts.append(f"{sum(r['right'] for r in levels)} of {len(levels)} levels")
    return ", ".join([*parts, f"{result['seconds']:.0f} s"])
