"""What a PACS that refuses, hangs, drops, answers anything, or is away for a week does to deliveries.

    python -m tests.campaigns.outage [--only moods|statuses|crowd] [--days 7] [--waiting 2000] [--rounds 200]

The sending half of a node against a PACS in this process; days pass by setting the clock forward, every call
and every C-STORE is real. Afterwards all must have been delivered, each instance under its one UID, in the
order of the analyses (where answers are lost: of each study's). What went out more than once is counted
("again": its answer was lost, or it was not taken), and stored more than once only where answers are lost.
Memory and disk are measured while many results wait. Prints a table, ends with 1 when a bar is missed.
About 15 minutes; nothing stays behind.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from spine_node.logs import configure_logs
from spine_node.network.statuses import C_STORE, C_STORE_RANGES, in_words, meaning
from spine_node.sender import LONGEST_RETRY_S
from spine_node.workflows import DELIVER, Engine
from tests.campaigns.hospital import Hospital, destination
from tests.campaigns.moody_pacs import Mood, MoodyPacs

DAY_S = 86400.0

MOODS: dict[Mood, float] = {
    "away": 1.0, "busy": 1.0, "rejects us": 1.0, "drops the association": 1.0, "cuts the transfer": 1.0,
    "loses its answers": 1.0, "deaf": 1 / 7, "mute": 1 / 7,
}  # fmt: skip
"""How a PACS can be out, and for which part of the week: each call of the last two takes its time-out."""

BACK_WITHIN_S = 1900.0
"""From the PACS's return until all is there: one wait, half an hour at most where it had rejected us."""

MOST_MEMORY_MB, MOST_DISK_BYTES_A_JOB, MOST_DISK_GROWTH_MB = 24.0, 4096.0, 1.0
"""Bars of what waits: growth of the process over the whole outage; bytes of the database for each waiting
job; growth of the database while nothing happens but calls in vain."""


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    what: str
    facts: str
    missed: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.what:<42}{self.facts:<68}{'; '.join(self.missed) or 'ok'}"


def moods(folder: Path, days: float, jobs: int = 7) -> Iterator[Row]:
    """A result every day while the PACS is out."""
    for mood, part in MOODS.items():
        pacs = MoodyPacs()
        slow = mood in ("deaf", "mute")
        times = {"connect_timeout_s": 0.3, "answer_timeout_s": 0.3} if slow else {}
        node = Hospital(folder / mood.replace(" ", "-"), [destination(pacs, **times)])
        expected = [*node.analyse("before")]
        if not slow:
            node.settle()
        pacs.be(mood)
        for n in range(jobs):
            expected += node.analyse(f"job{n}")
            node.go_by(days * part * DAY_S / jobs)
        calls = node.outbox.away()["pacs"].failures
        node.peers = [destination(pacs)]
        node.close()
        node.open()  # a restart in the middle, with patience for a busy machine
        pacs.be("well")
        took_s = node.until(lambda node=node: not node.outbox.counts(), BACK_WITHIN_S)
        missed = _missed(node, pacs, expected, lost_answers=mood == "loses its answers")
        again = sum(pacs.received.values()) - len(pacs.received)
        facts = f"{days * part:.1f} days, {len(expected)} instances, {calls} calls in vain, {again} again"
        yield Row(mood, f"{facts}, all in {took_s:.0f} s", missed)
        node.close()
        pacs.stop()


def statuses(folder: Path, only: tuple[int, ...] = ()) -> Iterator[Row]:
    """Each documented status, for an hour on the first of two results."""
    ranged = [value | low for mask, value in C_STORE_RANGES for low in (0, 1, ~mask & 0xFF)]
    for status in only or dict.fromkeys([*C_STORE, *ranged, 0x4242]):
        pacs = MoodyPacs()
        node = Hospital(folder / f"{status:04x}", [destination(pacs)])
        seg, report = node.analyse("first", study_uid="1.2.1")
        second = node.analyse("second", study_uid="1.2.2")
        pacs.statuses[seg] = status
        fate = meaning(status).fate
        node.settle()
        if fate == "transient":
            node.go_by(30)
            pacs.statuses.clear()
            node.go_by(600)
        outcome, state = node.outcomes("first")[0], node.state("first")[0]
        expected = {
            "stored": ("stored", "delivered"),
            "warning": ("warning", "delivered"),
            "transient": ("stored", "delivered"),
            "permanent": ("refused", "undelivered"),
        }[fate]
        missed = [] if (outcome, state) == expected else [f"{outcome}, {state}, not {', '.join(expected)}"]
        has_it = fate != "permanent" and status != 0x0111  # "duplicate": it has had it before
        if pacs.kept != [*([seg] if has_it else []), report, *second]:
            missed.append("not all arrived, or not in order")
        yield Row(in_words(status), f"{fate}: {meaning(status).why}"[:64], tuple(missed))
        node.close()
        pacs.stop()


def crowd(folder: Path, days: float, waiting: int, rounds: int) -> Iterator[Row]:
    """Very many results wait through the outage; then the PACS is back. The durable engine has `rounds` of
    the calls in vain, and sends in the end; with 0, it is left out."""
    pacs = MoodyPacs("away")
    node = Hospital(folder / "crowd", [destination(pacs)])
    engine = None
    if rounds:
        url = f"sqlite:///{node.settings.storage.database}"
        engine = Engine(url, "campaign:node", node.sender.work(), (DELIVER,))
        engine.start()
    empty_mb, empty_bytes = _memory_mb(), _disk_bytes(node)
    expected = [uid for n in range(waiting) for uid in node.analyse(f"job{n:05d}")]
    full_mb, full_bytes = _memory_mb(), _disk_bytes(node)
    if engine:
        _engine_rounds(node, engine, 5)  # its tables have their first pages
        full_bytes = _disk_bytes(node)
        _engine_rounds(node, engine, rounds)
    node.go_by(days * DAY_S)
    memory_mb, a_job = _memory_mb() - empty_mb, (full_bytes - empty_bytes) / waiting
    growth_mb = (_disk_bytes(node) - full_bytes) / 1e6
    missed = []
    if memory_mb > MOST_MEMORY_MB:
        missed.append(f"memory grew {memory_mb:.1f} MB (bar {MOST_MEMORY_MB:.0f})")
    if a_job > MOST_DISK_BYTES_A_JOB:
        missed.append(f"{a_job:.0f} bytes each (bar {MOST_DISK_BYTES_A_JOB:.0f})")
    if growth_mb > MOST_DISK_GROWTH_MB:
        missed.append(f"database grew {growth_mb:.1f} MB (bar {MOST_DISK_GROWTH_MB})")
    facts = f"memory {full_mb - empty_mb:+.1f} MB, database {a_job:.0f} bytes each"
    yield Row(f"{waiting} results wait", facts, ())
    facts = (
        f"memory {empty_mb + memory_mb - full_mb:+.1f} MB, database {growth_mb:+.2f} MB; {rounds} by engine"
    )
    yield Row(f"{days:.1f} days of calls in vain", facts, tuple(missed))
    pacs.be("well")
    node.clock.now += LONGEST_RETRY_S
    real = time.monotonic()
    if engine:
        _until_empty(node, engine)
    else:
        node.settle()
    facts = f"{len(expected)} instances, {len(expected) / (time.monotonic() - real):.0f} a second"
    yield Row("the PACS is back", facts, _missed(node, pacs, expected))
    if engine:
        engine.stop(5)
    node.close()
    pacs.stop()


def _engine_rounds(node: Hospital, engine: Engine, rounds: int) -> None:
    """As the node does: what is due is enqueued, and drains that have ended are forgotten."""
    for _ in range(rounds):
        away = node.outbox.away().get("pacs")
        if away is not None:
            node.clock.now = max(node.clock.now, away.due_at)
        failures = away.failures if away else 0
        deadline = time.monotonic() + 60
        while (now := node.outbox.away().get("pacs")) is None or now.failures == failures:
            for peer, part in node.sender.due():
                engine.enqueue_drain(peer, part)
            time.sleep(0.05)
            if time.monotonic() > deadline:
                raise SystemExit("the engine does not drain")
        engine.forget_drains()


def _until_empty(node: Hospital, engine: Engine) -> None:
    deadline = time.monotonic() + 1800
    while node.outbox.counts() and time.monotonic() < deadline:
        for peer, part in node.sender.due():
            engine.enqueue_drain(peer, part)
        away = node.outbox.away().get("pacs")
        if away is not None:
            node.clock.now = max(node.clock.now, away.due_at)
        time.sleep(0.25)


def _missed(
    node: Hospital, pacs: MoodyPacs, expected: list[str], *, lost_answers: bool = False
) -> tuple[str, ...]:
    missed = []
    if absent := set(expected) - set(pacs.kept):
        missed.append(f"{len(absent)} instances never arrived")
    if others := set(pacs.kept) - set(expected):
        missed.append(f"{len(others)} instances under another UID")
    if lost_answers:  # stored and not answered: the next in line may be tried; a study keeps its order
        ordered = all([u for u in pacs.kept if u in uids] == uids for uids in node.uids.values())
    else:
        ordered = pacs.kept == expected
    if not absent and not ordered:
        missed.append("not in order")
    if not lost_answers and any(count > 1 for count in pacs.stored.values()):
        missed.append("stored twice")
    states = {job.state for job in node.ledger.jobs()}
    if states != {"delivered"} or node.outbox.counts():
        missed.append(f"jobs are {', '.join(sorted(states))}")
    return tuple(missed)


def _memory_mb() -> float:
    return psutil.Process().memory_info().rss / 1e6


def _disk_bytes(node: Hospital) -> int:
    """The database and its log, the latter emptied first."""
    with node.ledger.database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    return sum(file.stat().st_size for file in node.folder.glob("node.sqlite*"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--days", type=float, default=7.0, help="how long the PACS is out")
    parser.add_argument("--only", choices=["moods", "statuses", "crowd"], help="one part of the three")
    parser.add_argument("--waiting", type=int, default=2000, help="results that wait")
    parser.add_argument("--rounds", type=int, default=200, help="calls in vain by the durable engine")
    arguments = parser.parse_args()
    configure_logs("CRITICAL")
    logging.disable(logging.CRITICAL)
    os.environ["TCP_NODELAY"] = "1"
    missed = 0
    with tempfile.TemporaryDirectory(prefix="outage-") as temporary:
        folder = Path(temporary)
        parts = {
            "moods": moods(folder, arguments.days),
            "statuses": statuses(folder),
            "crowd": crowd(folder, arguments.days, arguments.waiting, arguments.rounds),
        }
        for name, rows in parts.items():
            for row in rows if arguments.only in (None, name) else ():
                print(row, flush=True)
                missed += len(row.missed)
    print(f"\n{missed} bars missed" if missed else "\nall delivered afterwards, once, in order")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
