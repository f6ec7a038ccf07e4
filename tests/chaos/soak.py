"""A day of small studies and more: memory, descriptors and threads of every process stay where they were.

    python -m tests.chaos.soak --studies 2000 [--folder DIR]

720 studies are what a scanner sends in 24 hours at 30 an hour. They go through receiving, intake, analysis
(a segmenter that knows the answer), delivery, refusal and what is ignored. After a third of them the node is
warm; from there on a line is laid through each figure. Exit status: 0 all flat, 1 one was not, or a law of
`laws` was broken.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from scipy.stats import theilslopes

from spine_node.logs import configure_logs
from tests.chaos.laws import Verdict, judge, report
from tests.chaos.router import Router
from tests.chaos.site import Site
from tests.chaos.studies import Phantom, Study

MIX = ("few", "whole", "few", "few", "gap", "few", "late", "few", "few", "whole")
"""What comes, over and over: mostly what is quick, as a soak counts studies and not minutes of analysis."""

LIMITS = {"memory MB": 15.0, "descriptors": 3.0, "threads": 3.0}
"""How much each may grow in 1000 studies, or in the whole run if that is shorter."""


@dataclass
class Soak:
    """A running node under a steady stream, and what its processes took at each look."""

    folder: Path
    in_flight: int = 24
    studies: list[Study] = field(default_factory=list)
    looks: dict[tuple[str, str], list[tuple[int, float]]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        self.phantom = Phantom(self.folder)
        self.site = Site(self.folder / "site", self.phantom.labels, pacs_delay_s=0.0)
        self._routers = [Router(self.site.peer, self.folder / f"router{n}", pause_s=0.0) for n in range(2)]
        self._late: list[tuple[float, Study]] = []

    def run(self, studies: int, minutes: float = float("inf"), patience_s: float = 300.0) -> list[Verdict]:
        """Send that many, or what goes within so many minutes, wait for the last, judge."""
        end = time.monotonic() + minutes * 60
        self.site.start()
        next_words = 0
        try:
            deadline = time.monotonic() + patience_s
            while (ended := self._ended()) < studies:
                if time.monotonic() > end and len(self.studies) < studies:
                    studies = len(self.studies)
                self._feed(studies)
                self._look(ended)
                if ended >= next_words:
                    print(
                        f"{ended:6d} studies ended, {self._size_kb(ended):.1f} kB of database each",
                        flush=True,
                    )
                    next_words, deadline = ended + max(studies // 20, 1), time.monotonic() + patience_s
                if time.monotonic() > deadline:
                    print(f"nothing ended within {patience_s:.0f} s")
                    break
                time.sleep(0.25)
            acknowledged = {u: p for r in self._routers for u, p in r.acknowledged.items()}
            refused = {u: w for r in self._routers for u, w in r.refused.items()}
            return [*judge(self.site, self.studies, acknowledged, refused), *self.flat(studies)]
        finally:
            for router in self._routers:
                router.stop()
            self.site.stop()

    def flat(self, studies: int) -> list[Verdict]:
        """A verdict a figure: what the line through the looks after the first third rises in 1000 studies."""
        grown: dict[str, list[str]] = {figure: [] for figure in LIMITS}
        print(f"\n{'process':12}{'figure':14}{'first':>9}{'median':>9}{'last':>9}{'per 1000 studies':>18}")
        for (role, figure), looks in sorted(self.looks.items()):
            warm = [look for look in looks if look[0] >= studies / 3]
            if len(warm) < 10:
                grown[figure].append(f"{role}: {len(warm)} looks tell nothing")
                continue
            at, value = np.array(warm[:: max(len(warm) // 500, 1)], dtype=float).T
            # the median of slopes: a worker that starts, or one analysis, is no trend
            slope = float(theilslopes(value, at).slope) * 1000 if np.ptp(at) else 0.0
            rise = slope * min(float(np.ptp(at)), 1000.0) / 1000
            print(f"{role:12}{figure:14}{value[0]:9.1f}{np.median(value):9.1f}{value[-1]:9.1f}{slope:18.2f}")
            if rise > LIMITS[figure]:
                grown[figure].append(f"{role}: {rise:.1f} more {figure} by the end")
        return [Verdict(f"{figure} stay flat", len(self.looks) // 3, tuple(w)) for figure, w in grown.items()]

    def _feed(self, studies: int) -> None:
        now = time.monotonic()
        for due, study in [each for each in self._late if each[0] <= now]:
            self._late.remove((due, study))
            self._send(study, 1)
        while len(self.studies) < studies and len(self.studies) - self._ended() < self.in_flight:
            study = self.phantom.study(MIX[len(self.studies) % len(MIX)])
            self.studies.append(study)
            self._send(study, 0)
            if len(study.parts) > 1:
                self._late.append((now + 5.0, study))

    def _send(self, study: Study, part: int) -> None:
        self._routers[int(study.series_uid[-1]) % len(self._routers)].send(study.parts[part])

    def _ended(self) -> int:
        return self.site.ended(self.studies)

    def _look(self, ended: int) -> None:
        taken: Counter[tuple[str, str]] = Counter()
        for role, processes in self.site.processes().items():
            for process in processes:
                try:
                    with process.oneshot():
                        taken[role, "memory MB"] += process.memory_info().rss / 1e6  # type: ignore[assignment]
                        taken[role, "descriptors"] += process.num_fds()
                        taken[role, "threads"] += process.num_threads()
                except psutil.NoSuchProcess:
                    continue
        for key, value in taken.items():
            self.looks[key].append((ended, float(value)))

    def _size_kb(self, ended: int) -> float:
        size = sum(path.stat().st_size for path in self.site.data.glob("node.sqlite*"))
        return size / 1000 / max(ended, 1)


def main() -> int:
    """The soak as a command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument(
        "--folder", type=Path, default=None, help="kept afterwards; a temporary one by default"
    )
    parser.add_argument("--minutes", type=float, default=float("inf"), help="send no more after these")
    asked = parser.parse_args()
    configure_logs("ERROR")
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        soak = Soak(folder)
        verdicts = soak.run(asked.studies, asked.minutes)
        kinds = Counter(study.kind for study in soak.studies)
        took = time.monotonic() - started
        print(
            f"{len(soak.studies)} studies ({', '.join(f'{k} {n}' for k, n in kinds.items())}) in {took:.0f} s"
        )
    return report(verdicts)


if __name__ == "__main__":
    sys.exit(main())
