"""Name the vertebrae: the most plausible sequence of levels for the bodies that were found.

Dynamic programming over (body, level), cranial to caudal. What speaks: the net's level logits for
each body, the distances between bodies, and the sacrum below the last one, the strongest anchor in
a standing study. Numbering anomalies, missed and false bodies are allowed at a price. No torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from spine_node.anatomy.levels import LEVELS, order
from spine_node.imaging.volume import FloatArray

SPACING_MM: dict[tuple[str, str], float] = {
    ("C1", "C2"): 17.1, ("C2", "C3"): 18.5, ("C3", "C4"): 15.9, ("C4", "C5"): 16.1,
    ("C5", "C6"): 16.1, ("C6", "C7"): 17.7, ("C7", "T1"): 18.8, ("T1", "T2"): 20.9,
    ("T2", "T3"): 22.2, ("T3", "T4"): 22.3, ("T4", "T5"): 22.8, ("T5", "T6"): 23.5,
    ("T6", "T7"): 24.0, ("T7", "T8"): 24.3, ("T8", "T9"): 24.9, ("T9", "T10"): 25.7,
    ("T10", "T11"): 27.6, ("T11", "T12"): 29.8, ("T12", "L1"): 32.0, ("L1", "L2"): 33.4,
    ("L2", "L3"): 34.1, ("L3", "L4"): 33.8, ("L4", "L5"): 31.7, ("L5", "L6"): 30.6,
    ("T11", "L1"): 30.9, ("T12", "T13"): 31.0, ("T13", "L1"): 32.5,
}  # fmt: skip
"""Mean distance of neighbouring body centres, mm: 113 public VerSe'20 training scans (Sekuboyina et
al., MedIA 2021); those of T13 and of a missing T12 lie between their neighbours'."""

SPACING_SPREAD = 0.13
"""Standard deviation of a distance as a share of it: more than the scans' 7 %, because a kyphotic or
scoliotic spine is measured along chords."""

SIZES = np.arange(0.7, 1.36, 0.05)
"""Sizes of a patient's spine that are tried, relative to the table; 1 +- 0.12 is usual."""

MISSED = 5.0
"""Price (nats) of a body that must be there but was not found."""

DROPPED = 4.0
"""Price of calling a body that was found no vertebra."""

UNARY_FLOOR = -4.5
"""Least log probability one body may bring: the net's voxels err together, not one by one."""

EVIDENCE = 2.0
"""How many independent bodies the appearance of a whole spine is worth: a net that takes one level
for its neighbour does so all along, so twenty bodies are not twenty witnesses."""

ANOMALY = {"T13": 4.0, "no T12": 4.0, "L6": 3.4, "no L5": 6.0}
"""Price of a numbering anomaly: -log of how common it is (2 to 4 %), and more for "no L5", which a net
that is one level off would have us believe."""

MISPLACED_ANCHOR = 9.0
"""Price of another level than L5 (or L6, or L4 without L5) directly above the sacrum."""

CERTAIN = 2.0
"""Least lead (nats) over the next best naming that counts as certain."""

_NO_WAY = -1e9


@dataclass(frozen=True, slots=True)
class Naming:
    """Names of bodies, cranial to caudal.

    Attributes
    ----------
    levels : tuple of str or None
        One a body; None: not a vertebra.
    margin : float
        Lead over the best different naming, nats.
    quality : tuple of str
        Sentences for the report.
    """

    levels: tuple[str | None, ...]
    margin: float
    quality: tuple[str, ...]


def _steps() -> tuple[FloatArray, FloatArray]:
    """Price and usual distance (mm) of going from one level to another in one step."""
    n = len(LEVELS)
    price, distance = np.full((n, n), -_NO_WAY), np.full((n, n), np.nan)
    for (upper, lower), mm in SPACING_MM.items():
        price[order(upper), order(lower)], distance[order(upper), order(lower)] = 0.0, mm
    price[order("T12"), order("T13")] = ANOMALY["T13"]
    price[order("T11"), order("L1")] = ANOMALY["no T12"]
    price[order("L5"), order("L6")] = ANOMALY["L6"]
    single = {pair: mm for pair, mm in SPACING_MM.items() if price[order(pair[0]), order(pair[1])] == 0}
    for (upper, middle), first in single.items():
        for (other, lower), second in single.items():
            # T11 may be followed by L1 itself: the way past a T12 that was missed is the dearer one.
            if other == middle and price[order(upper), order(lower)] == -_NO_WAY:
                price[order(upper), order(lower)] = MISSED
                distance[order(upper), order(lower)] = first + second
    return price, distance


_PRICE, _DISTANCE = _steps()


def name_levels(
    centres_mm: FloatArray,
    log_chance: NDArray[np.floating],
    *,
    sacrum_mm: FloatArray | None = None,
    sacrum_gap_mm: float | None = None,
) -> Naming:
    """The best naming of bodies.

    Parameters
    ----------
    centres_mm : ndarray, shape (n, 3)
        Body centres, LPS, cranial to caudal.
    log_chance : ndarray, shape (n, classes)
        Mean log probability of each of `LEVELS` (further columns are not used) inside each body.
    sacrum_mm : ndarray, shape (3,), optional
        Middle of the sacrum's top; None when the field does not show it.
    sacrum_gap_mm : float, optional
        Distance from the lowest body's centre to the sacrum; needed with `sacrum_mm`.
    """
    n, k = len(centres_mm), len(LEVELS)
    if n == 0:
        return Naming((), 0.0, ())
    unary = np.maximum(log_chance[:, :k], UNARY_FLOOR) * min(1.0, EVIDENCE / n)
    anchored = sacrum_mm is not None and sacrum_gap_mm is not None and sacrum_gap_mm < 45.0
    best: tuple[float, FloatArray] | None = None
    for size in SIZES:
        score = _max_marginals(centres_mm, unary, float(size), anchored)
        value = float(score.max())
        if best is None or value > best[0]:
            best = value, score
    assert best is not None
    value, score = best
    names, margin = _read(score, value)
    return Naming(names, margin, _sentences(names, margin, anchored, sacrum_mm is not None, score, value))


def _max_marginals(centres: FloatArray, unary: FloatArray, size: float, anchored: bool) -> FloatArray:
    """Best total of any path through (body, level); the last column is "dropped". Shape (n, k + 1)."""
    n, k = unary.shape
    end = np.zeros(k)
    if anchored:
        end[:] = -MISPLACED_ANCHOR
        end[order("L5")] = end[order("L6")] = 0.0
        end[order("L4")] = -ANOMALY["no L5"]
    # The step from T12 to T13 costs; a field that begins at T13 is no cheaper.
    start = np.zeros(k)
    start[order("T13")], start[order("L6")] = -ANOMALY["T13"], -ANOMALY["L6"]
    base = -0.5 * ((size - 1.0) / 0.12) ** 2

    def link(i: int, j: int) -> FloatArray:
        gap = float(np.linalg.norm(centres[j] - centres[i]))
        with np.errstate(invalid="ignore"):
            far = -0.5 * ((gap - size * _DISTANCE) / (SPACING_SPREAD * size * _DISTANCE)) ** 2
        return np.where(np.isfinite(far), np.maximum(far, -12.0), 0.0) - _PRICE - DROPPED * (j - i - 1)

    forward = np.empty((n, k))
    backward = np.empty((n, k))
    links = {(i, j): link(i, j) for i in range(n) for j in range(i + 1, min(n, i + 4))}
    for j in range(n):
        ways = [start - DROPPED * j]
        ways += [(forward[i][:, None] + links[i, j]).max(axis=0) for i in range(max(0, j - 3), j)]
        forward[j] = np.max(ways, axis=0) + unary[j]
    for i in reversed(range(n)):
        ways = [end - DROPPED * (n - 1 - i)]
        ways += [(links[i, j] + unary[j] + backward[j]).max(axis=1) for j in range(i + 1, min(n, i + 4))]
        backward[i] = np.max(ways, axis=0)
    result = np.empty((n, k + 1))
    result[:, :k] = forward + backward + base
    for i in range(n):
        # Dropped: the path jumps over it, or begins below it, or ends above it.
        jumps = [
            (forward[a][:, None] + links[a, b] + unary[b] + backward[b]).max()
            for a in range(max(0, i - 2), i)
            for b in range(i + 1, min(n, a + 4))
        ]
        starts = [(start + unary[b] + backward[b]).max() - DROPPED * b for b in range(i + 1, n)]
        ends = [(forward[a] + end).max() - DROPPED * (n - 1 - a) for a in range(i)]
        result[i, k] = max([*jumps, *starts, *ends, _NO_WAY]) + base
    return result


def _read(score: FloatArray, value: float) -> tuple[tuple[str | None, ...], float]:
    picks = score.argmax(axis=1)
    names = tuple(LEVELS[p] if p < len(LEVELS) else None for p in picks)
    others = score.copy()
    others[np.arange(len(picks)), picks] = -np.inf
    return names, value - float(others.max())


def _sentences(
    names: tuple[str | None, ...],
    margin: float,
    anchored: bool,
    sacrum_seen: bool,
    score: FloatArray,
    value: float,
) -> tuple[str, ...]:
    named = [name for name in names if name is not None]
    said = []
    if anchored:
        said.append("levels counted up from the sacrum, checked against appearance")
    elif sacrum_seen:
        said.append("a vertebra above the sacrum was not found: levels are named by appearance and spacing")
    else:
        said.append("the sacrum is not in the field: levels are named by appearance and spacing alone")
    for upper, lower in pairwise(named):
        if _PRICE[order(upper), order(lower)] == MISSED:
            said.append(f"a vertebra between {upper} and {lower} was not found")
    if "T13" in named:
        said.append("numbering anomaly: a thirteenth thoracic vertebra")
    if "L6" in named:
        said.append("numbering anomaly: six lumbar vertebrae")
    if "T11" in named and "L1" in named and named.index("L1") == named.index("T11") + 1:
        said.append("numbering anomaly: T12 is absent, L1 follows T11")
    if anchored and named and named[-1] == "L4":
        said.append("numbering anomaly: four lumbar vertebrae, L4 on the sacrum")
    if margin < CERTAIN:
        row = int(np.argmax([_second(r) for r in score]))
        other = int(np.argsort(score[row])[-2])
        word = LEVELS[other] if other < len(LEVELS) else "no vertebra"
        said.append(
            f"level uncertain: taking {names[row] or 'the dropped body'} for {word} instead is only "
            f"{margin:.1f} nats less plausible (certain from {CERTAIN:g})"
        )
    return tuple(said)


def _second(row: FloatArray) -> float:
    return float(np.sort(row)[-2])
