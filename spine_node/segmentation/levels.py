"""Name the vertebrae: the most plausible sequence of levels for the bodies that were found.

What speaks: the net's level logits for each body, the distances between bodies, the sacrum below the
last one, and an open field above the first. Numbering anomalies, missed, false and merged bodies are
allowed at a price (`sequence`, `numbering`). Other namings of the whole spine are kept as hypotheses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from spine_node.anatomy.levels import LEVELS, order
from spine_node.errors import PinRefused
from spine_node.segmentation.evidence import Evidence
from spine_node.segmentation.numbering import NUMBERINGS, USUAL
from spine_node.segmentation.sequence import ANCHORED_MM, Lattice, Path

CERTAIN = 3.5
"""Least lead (nats) over the next best naming that counts as certain: odds of 33 to 1, so that of the scans
that are called certain, some 2 % or fewer have a wrong level (tests/benchmarks/bench_levels.py)."""

MOST_MARGIN = 99.0
"""Margin where nothing else is possible (every body is pinned)."""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """Another way to name the whole spine.

    Attributes
    ----------
    levels : tuple of str or None
        One a body, cranial to caudal; None: not a vertebra.
    score : float
        Nats relative to the best naming; not above 0.
    words : str
        "six lumbar vertebrae", "every level one lower", ...
    """

    levels: tuple[str | None, ...]
    score: float
    words: str


@dataclass(frozen=True, slots=True, eq=False)
class Naming:
    """Names of bodies, cranial to caudal, and what else they could be.

    Attributes
    ----------
    levels : tuple of str or None
        One a body; None: not a vertebra.
    margin : float
        Lead (nats) over the best naming in which some vertebra has another name.
    hypotheses : tuple of Hypothesis
        Whole namings, the best first; the first is `levels`.
    quality : tuple of str
        Sentences for the report.
    evidence : Evidence
        What it follows from: with a pin, another naming follows without the net.
    pinned : tuple of str
        Levels that a person has fixed.
    """

    levels: tuple[str | None, ...]
    margin: float
    hypotheses: tuple[Hypothesis, ...]
    quality: tuple[str, ...]
    evidence: Evidence
    pinned: tuple[str, ...] = ()

    @property
    def uncertain(self) -> bool:
        """Whether another naming is nearly as plausible."""
        return self.margin < CERTAIN


def name_levels(evidence: Evidence, pins: Mapping[int, str] | None = None) -> Naming:
    """The best naming of bodies.

    Parameters
    ----------
    evidence : Evidence
    pins : mapping of int to str, optional
        Level of some bodies (index, cranial to caudal), told by a person: it holds, whatever else speaks.

    Raises
    ------
    PinRefused
        If no column can be named so.
    """
    pins = dict(pins or {})
    if len(evidence.centres_mm) == 0:
        return Naming((), 0.0, (), (), evidence)
    lattice = Lattice(evidence, pins)
    best = lattice.through(lattice.level[None] >= 0)
    if best is None and not pins:
        return Naming((None,) * len(evidence.centres_mm), 0.0, (), (), evidence)
    if best is None:
        told = ", ".join(
            f"body {i + 1} of {len(evidence.centres_mm)} from above is {pins[i]}" for i in sorted(pins)
        )
        raise PinRefused(
            f"no spine can be named so: {told}. Levels follow each other from the head down, with at most "
            "two vertebrae missed between neighbours and one vertebra more or less than usual. "
            "Nothing was renamed."
        )
    other = _differing(lattice, best)
    next_best = lattice.through(other)
    margin = MOST_MARGIN if next_best is None else max(0.0, best.score - next_best.score)
    margin = min(margin, MOST_MARGIN)
    hypotheses = _hypotheses(lattice, best, next_best, other, evidence)
    pinned = tuple(pins[i] for i in sorted(pins))
    said = _sentences(best, evidence, pinned)
    if margin < CERTAIN:
        said.append(
            f"level uncertain: margin {margin:.1f} nats (certain from {CERTAIN:g}), "
            f"next: {hypotheses[1].words}"
        )
    return Naming(best.levels, margin, hypotheses, tuple(said), evidence, pinned)


def _differing(lattice: Lattice, best: Path) -> NDArray[np.bool_]:
    """Places where a body has another name than in `best`: (body, numbering, place)."""
    names = np.array([-1 if x is None else LEVELS.index(x) for x in best.levels])
    level = lattice.level[None]
    return np.asarray((level >= 0) & (level != names[:, None, None]) & (names >= 0)[:, None, None])


def _hypotheses(
    lattice: Lattice, best: Path, next_best: Path | None, other: NDArray[np.bool_], evidence: Evidence
) -> tuple[Hypothesis, ...]:
    """The best, the next best, the best of each other numbering, and all one level up and down."""
    found: list[Path | None] = [next_best]
    for c in range(len(NUMBERINGS)):
        own = np.zeros_like(other)
        own[:, c] = other[:, c]
        found.append(lattice.through(own))
    named = [i for i, level in enumerate(best.levels) if level is not None]
    middle = named[len(named) // 2]
    for step in (-1, 1):
        at = order(best.levels[middle] or "") + step
        one = np.zeros_like(other)
        one[middle] = lattice.level == at
        found.append(lattice.through(one))
    result = {best.levels: Hypothesis(best.levels, 0.0, _words(best, best, evidence))}
    for path in sorted((p for p in found if p is not None), key=lambda p: -p.score):
        words = _words(path, best, evidence)
        if path.levels not in result and all(h.words != words for h in result.values()):
            result[path.levels] = Hypothesis(path.levels, min(0.0, path.score - best.score), words)
    return tuple(result.values())


def anomaly_of(path: Path, evidence: Evidence) -> str:
    """What is unusual about the number of vertebrae, as far as this naming shows it."""
    numbering = NUMBERINGS[path.numbering]
    names = [name for name in path.levels if name]
    visible = {
        "usual": False,
        "T11": "T11" in names and "L1" in names,
        "T13": "T13" in names,
        "L4": names[-1:] == ["L4"] and evidence.sacrum_gap_mm is not None,
        "L6": "L6" in names,
    }
    return numbering.words if visible[numbering.key] else ""


def _words(path: Path, best: Path, evidence: Evidence) -> str:
    """An anomaly in words, and where its names are other ones than those of `best`."""
    anomaly = anomaly_of(path, evidence) or "the usual number of vertebrae"
    pairs = [(a, b) for a, b in zip(best.levels, path.levels, strict=True) if a and b]
    off = [order(b) - order(a) for a, b in pairs]
    changed = [(pair, d) for pair, d in zip(pairs, off, strict=True) if d]
    if not changed:
        return anomaly
    first, last = changed[0][0][0], changed[-1][0][0]
    # T13 and L6 are levels of their own, but usual columns step over them.
    steps = {_usual_step(a, b) for (a, b), _ in changed}
    by = steps.pop() if len(steps) == 1 else 0
    shift = {1: "one level lower", -1: "one level higher"}.get(by, "named otherwise")
    where = "every body" if len(changed) == len(pairs) else first if first == last else f"{first} to {last}"
    return f"{anomaly} ({where} {shift})"


def _usual_step(a: str, b: str) -> int:
    rank = [
        USUAL.index(x) if x in USUAL else USUAL.index("T12") + 0.5 if x == "T13" else 24.0 for x in (a, b)
    ]
    return int(np.sign(rank[1] - rank[0])) if 0 < abs(rank[1] - rank[0]) <= 1 else 0


def _sentences(best: Path, evidence: Evidence, pinned: tuple[str, ...]) -> list[str]:
    said = []
    if pinned:
        said.append(f"levels follow from what a person has fixed: {', '.join(pinned)}")
    elif evidence.sacrum_gap_mm is None:
        said.append("the sacrum is not in the field: levels are named by appearance and spacing alone")
    elif evidence.sacrum_gap_mm < ANCHORED_MM:
        said.append("levels counted up from the sacrum, checked against appearance")
    else:
        said.append("a vertebra above the sacrum was not found: levels are named by appearance and spacing")
    column = NUMBERINGS[best.numbering].levels
    for place in best.places:
        if place is not None and place % 2:
            said.append(f"{column[place // 2]} and {column[place // 2 + 1]} were not told apart")
    whole = [p for p in best.places if p is not None]
    for upper, lower in pairwise(whole):
        missed = column[upper // 2 + 1 + upper % 2 : lower // 2]
        if missed:
            between = f"between {column[(upper + 1) // 2]} and {column[lower // 2]}"
            count = "a vertebra" if len(missed) == 1 else f"{len(missed)} vertebrae"
            said.append(f"{count} {between} {'was' if len(missed) == 1 else 'were'} not found")
    if anomaly := anomaly_of(best, evidence):
        said.append(f"numbering anomaly: {anomaly}")
    return said
