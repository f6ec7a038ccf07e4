"""kill -9, again and again, while studies stream in: nothing lost, nothing twice, everything ends.

    python -m tests.chaos.kill --kills 500 [--seed N] [--folder DIR]

Studies come from routers that send again what was not acknowledged; results go to a PACS that writes down
each arrival. The kills are aimed at what the node is doing (its ledger and folders tell), and hit single
processes or all of them at once. Exit status: 0 all laws held, 1 one was broken, or the node did not come
to rest.
"""

from __future__ import annotations

import argparse
import faulthandler
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from spine_node.logs import configure_logs
from tests.chaos.laws import Verdict, judge, report
from tests.chaos.nursery import Nursery
from tests.chaos.router import Router
from tests.chaos.site import Site
from tests.chaos.studies import Phantom, Study

PHASES = ("receive", "intake", "analyse", "encode", "settle", "deliver", "commit")
"""What kills are aimed at, in the order of a study's life; "start" and "idle" are met besides."""

VICTIMS = {
    "receive": ("receiver", "receiver", "receiver", "main", "node"),
    "intake": ("main", "main", "node"),
    "analyse": ("worker", "worker", "node", "main"),
    "encode": ("worker", "worker", "node", "main"),
    "settle": ("worker", "worker", "node", "main"),
    "deliver": ("main", "main", "node", "worker"),
    "commit": ("main", "main", "receiver", "node"),
}
"""Whom a kill in a phase hits: those who work in it more often."""


@dataclass
class Campaign:
    """One campaign: a site, its routers, its studies, and what was killed."""

    folder: Path
    seed: int
    nursery: Nursery | None = None
    routers: int = 3
    in_flight: int = 8
    kills: Counter[tuple[str, str]] = field(default_factory=Counter)
    studies: list[Study] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.phantom = Phantom(self.folder)
        self.site = Site(self.folder / "site", self.phantom.labels, nursery=self.nursery)
        self._routers = [Router(self.site.peer, self.folder / f"router{n}") for n in range(self.routers)]
        self._late: list[tuple[float, Study]] = []

    def run(
        self, kills: int, minutes: float = float("inf"), patience_s: float = 300.0
    ) -> list[Verdict] | None:
        """Kill that often, let the node come to rest, judge; None when it did not come to rest."""
        self.site.start()
        end = time.monotonic() + minutes * 60
        try:
            while self.kills.total() < kills and time.monotonic() < end:
                self.feed()
                self._kill_once()
            print(
                f"{self.kills.total()} kills done after {self.site.starts} starts; waiting for rest",
                flush=True,
            )
            rested = self._rest(patience_s)
            return self._judge() if rested else None
        finally:
            for router in self._routers:
                router.stop()
            self.site.stop()

    def feed(self) -> None:
        """Send new studies, and late slices, so that there is always something to do."""
        now = time.monotonic()
        for due, study in [each for each in self._late if each[0] <= now]:
            self._late.remove((due, study))
            self._send(study.parts[1])
        while len(self.studies) - self._ended() < self.in_flight:
            kind = self.random.choices(("whole", "late", "gap", "few"), (6, 2, 1, 1))[0]
            study = self.phantom.study(kind)
            self.studies.append(study)
            self._send(study.parts[0])
            if len(study.parts) > 1:
                self._late.append((now + self.random.uniform(0.5, 25), study))

    def phases(self) -> set[str]:
        """What the node is doing now."""
        site = self.site
        found = set()
        if any(router.sending for router in self._routers):
            found.add("receive")
        states: Counter[str] = Counter()
        for state, stage, count in site.ask(
            "SELECT state, stage, count(*) FROM ledger_jobs GROUP BY state, stage"
        ):
            states["encode" if state == "analysing" and stage else str(state)] += int(str(count))
        if states["analysing"]:
            found.add("analyse")
        if states["encode"] or any(site.results.glob("*.partial")):
            found.add("encode")
        claimed = sum(1 for _ in site.inbox.glob("claimed/*"))
        if claimed > states["received"] + states["analysing"] + states["encode"]:
            # claimed and not in the ledger, or analysed and still claimed
            found.add("settle" if states["analysed"] else "intake")
        if states["analysed"]:
            found.add("deliver")
        if site.ask("SELECT 1 FROM ledger_commitments WHERE state IN ('open', 'asked') LIMIT 1"):
            found.add("commit")
        ready = site.processes()
        if not ready:
            found.add("start")
        return found

    def _ended(self) -> int:
        return self.site.ended(self.studies)

    def _send(self, part: tuple[Path, ...]) -> None:
        self.random.choice(self._routers).send(part)

    def _kill_once(self) -> None:
        aim = self.random.choice(PHASES)
        end = time.monotonic() + 20
        while aim not in (found := self.phases()):
            self.feed()
            if time.monotonic() > end:
                return
            time.sleep(0.01)
        if self.random.random() < 0.7:
            time.sleep(self.random.expovariate(1 / 0.1))
            found = self.phases()
        phase = aim if aim in found else next((p for p in reversed(PHASES) if p in found), "idle")
        victim = self.random.choice(VICTIMS.get(phase, ("main", "worker", "node")))
        self._hit(phase, victim)
        while victim == "receiver" and self.random.random() < 0.7:  # while they receive, one after the other
            time.sleep(self.random.uniform(0.02, 0.5))
            self._hit("receive" if "receive" in self.phases() else "idle", victim)
        while self.random.random() < 0.4:  # again, while what was killed starts
            time.sleep(self.random.uniform(0.1, 3.0))
            self._hit("start", self.random.choice(("main", "worker", "node", "receiver")))

    def _hit(self, phase: str, victim: str) -> None:
        alive = self.site.processes()
        if not alive:
            return
        if victim == "node":
            self.site.kill_group()
        else:
            victims = alive.get(victim) or alive["main"]
            victim = victim if victim in alive else "main"
            try:
                self.random.choice(victims).send_signal(signal.SIGKILL)
            except psutil.NoSuchProcess:
                return
        self.kills[phase, victim] += 1
        total = self.kills.total()
        if total % 10 == 0:
            print(
                f"{total:4d} kills, {len(self.studies)} studies ({self._ended()} ended), "
                f"{len(self._acknowledged())} instances acknowledged",
                flush=True,
            )

    def _rest(self, patience_s: float) -> bool:
        for _, study in self._late:
            self._send(study.parts[1])
        self._late.clear()
        end = time.monotonic() + patience_s
        while time.monotonic() < end:
            if all(router.idle for router in self._routers) and self._ended() == len(self.studies):
                time.sleep(2.0)  # anything that would come twice may come now
                return True
            time.sleep(0.5)
        faulthandler.dump_traceback(all_threads=True)
        return False

    def _acknowledged(self) -> dict[str, Path]:
        return {uid: path for router in self._routers for uid, path in list(router.acknowledged.items())}

    def _judge(self) -> list[Verdict]:
        refused = {uid: words for router in self._routers for uid, words in router.refused.items()}
        return judge(self.site, self.studies, self._acknowledged(), refused)

    def table(self) -> str:
        """Kills by phase and process."""
        victims = ("receiver", "worker", "main", "node")
        rows = [f"{'killed while':14}" + "".join(f"{v:>10}" for v in victims) + f"{'all':>10}"]
        for phase in (*PHASES, "start", "idle"):
            counts = [self.kills[phase, v] for v in victims]
            rows.append(f"{phase:14}" + "".join(f"{c:10}" for c in counts) + f"{sum(counts):10}")
        totals = [sum(n for (_, v), n in self.kills.items() if v == victim) for victim in victims]
        rows.append(f"{'all':14}" + "".join(f"{c:10}" for c in totals) + f"{sum(totals):10}")
        kinds = Counter(study.kind for study in self.studies)
        resent = sum(router.resent for router in self._routers)
        rows.append(
            f"studies {len(self.studies)} ({', '.join(f'{k} {n}' for k, n in kinds.items())}), "
            f"instances acknowledged {len(self._acknowledged())}, sent again {resent}"
        )
        return "\n".join(rows)


def warm_nursery() -> Nursery:
    """To be made while this process has one thread."""
    import spine_node.node
    import spine_node.pictures.pictures
    import spine_node.pipeline
    import spine_node.receivers  # noqa: F401 - all for those that are forked

    return Nursery()


def main() -> int:
    """The campaign as a command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument(
        "--seed", type=int, default=None, help="of what is sent, killed and when; random by default"
    )
    parser.add_argument(
        "--folder", type=Path, default=None, help="kept afterwards; a temporary one by default"
    )
    parser.add_argument("--minutes", type=float, default=float("inf"), help="kill no more after these")
    parser.add_argument("--cold", action="store_true", help="start processes as a hospital does, by exec")
    asked = parser.parse_args()
    seed = random.SystemRandom().randrange(1 << 32) if asked.seed is None else asked.seed
    print(f"seed {seed}", flush=True)
    nursery = None if asked.cold else warm_nursery()
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        configure_logs("ERROR")
        started = time.monotonic()
        campaign = Campaign(folder, seed, nursery)
        verdicts = campaign.run(asked.kills, asked.minutes)
        print(f"seed {seed}, {time.monotonic() - started:.0f} s\n{campaign.table()}")
        if verdicts is None:
            print("the node did not come to rest:")
            report(campaign._judge())
            return 1
    return report(verdicts)


if __name__ == "__main__":
    sys.exit(main())
