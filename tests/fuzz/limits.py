"""Cases run in a process of their own, with limits on its memory and on each case's time, and watched.

A case that ends the process, hangs it or exhausts its memory is found by number; the next process goes on
behind it. Growth of memory, descriptors and threads from the first quarter to the end is measured.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

import psutil

Target = Callable[[int, int], str]
"""Takes seed and number of a case; gives its outcome ("read", "refused: ..."), raises on a broken law."""

GROWTH_BYTES = 96 << 20
"""What the resident memory of a process may grow by: allocators keep what they once had."""


@dataclass
class Tally:
    """What became of the cases."""

    outcomes: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    slowest: int = -1
    growth_bytes: int = 0
    cases: int = 0

    def add(self, other: Tally) -> None:
        """Count those of another run in."""
        self.outcomes += other.outcomes
        self.broken += other.broken
        self.cases += other.cases
        self.growth_bytes = max(self.growth_bytes, other.growth_bytes)
        if other.slowest_s > self.slowest_s:
            self.slowest_s, self.slowest = other.slowest_s, other.slowest


def run(
    name: str,
    target: Target,
    seed: int,
    cases: int,
    *,
    memory_bytes: int = 3 << 30,
    case_s: float = 20.0,
    progress: bool = True,
) -> Tally:
    """Every case from 0 on, each within its limits; `target` must be a function of a module."""
    tally, at = Tally(), 0
    while at < cases:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_child, args=(theirs, target, seed, at, cases, memory_bytes))
        process.start()
        theirs.close()
        at = _watch(name, process, ours, tally, at, cases, seed, case_s, progress)
        process.join()
    if tally.growth_bytes > GROWTH_BYTES:
        tally.broken.append(f"{name}: memory grew by {tally.growth_bytes >> 20} MB")
    return tally


def _watch(
    name: str,
    process: multiprocessing.process.BaseProcess,
    pipe: Connection,
    tally: Tally,
    at: int,
    cases: int,
    seed: int,
    case_s: float,
    progress: bool,
) -> int:
    began = shown = time.monotonic()
    running, patience = False, 120.0  # imports first
    while True:
        try:
            if not pipe.poll(case_s if running else patience):
                process.kill()
                tally.broken.append(f"{name}: case {at} of seed {seed} hangs (more than {case_s:g} s)")
                tally.outcomes["HANG"] += 1
                tally.cases += 1
                return at + 1
            kind, *values = pipe.recv()
        except EOFError:
            process.join()
            if at >= cases:
                return at
            tally.broken.append(f"{name}: case {at} of seed {seed} ended the process ({process.exitcode})")
            tally.outcomes["CRASH"] += 1
            tally.cases += 1
            return at + 1
        if kind == "growth":
            tally.growth_bytes = max(tally.growth_bytes, values[0])
            if values[1] or values[2]:
                more = f"{values[1]} more descriptors, {values[2]} more threads at the end"
                tally.broken.append(f"{name}: {more}")
            continue
        running = True
        if kind == "ready":
            continue
        outcome, seconds, problem = values
        tally.cases += 1
        tally.outcomes[outcome] += 1
        if seconds > tally.slowest_s:
            tally.slowest_s, tally.slowest = seconds, at
        if problem:
            tally.broken.append(f"{name}: case {at} of seed {seed}: {problem}")
        at += 1
        if progress and time.monotonic() - shown > 5:
            shown = time.monotonic()
            rate = tally.cases / (shown - began)
            print(f"  {name}: {at} of {cases}, {len(tally.broken)} broken, {rate:.0f}/s", file=sys.stderr)


def _child(pipe: Connection, target: Target, seed: int, first: int, cases: int, memory_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    pipe.send(("ready",))
    limited = False
    process, before = psutil.Process(), (0, 0, 0)
    for number in range(first, cases):
        began, problem = time.monotonic(), ""
        try:
            outcome = target(seed, number)
        except Exception as broken:  # noqa: BLE001 - a broken law, to be told
            last = traceback.extract_tb(broken.__traceback__)[-1]
            outcome = f"ESCAPED {type(broken).__name__}"
            where = f"{os.path.basename(last.filename)}:{last.lineno}"
            problem = f"{type(broken).__name__}: {str(broken)[:200]} ({where})"
        pipe.send(("case", outcome, time.monotonic() - began, problem))
        if not limited:  # the modules are loaded now: what comes on top is the inputs'
            limited = True
            used = process.memory_info().vms
            resource.setrlimit(resource.RLIMIT_AS, (used + memory_bytes, used + memory_bytes))
        if number == first + (cases - first) // 4:
            before = process.memory_info().rss, process.num_fds(), threading.active_count()
    after = process.memory_info().rss, process.num_fds(), threading.active_count()
    if before[0] and cases - first >= 200:
        grown = [max(late - early, 0) for early, late in zip(before, after, strict=True)]
        pipe.send(("growth", *grown))
    pipe.close()
