"""How often vertebrae get their right names, and whether the "level uncertain" flag is worth its name.

    python tests/benchmarks/bench_levels.py [--people 300] [--set SLIP=3 WITNESS=0.6 CERTAIN=3.5]

People are the phantom's (their skeletons only: nothing is painted), fields of view as scans have them. No
net runs: what it would say is drawn from the truth. It reads each body with noise of its own, and errs
coherently: it counts from an end of the column that it sees, so that behind a numbering anomaly it is one
level off; without an end in view it may be one level off all along; and it may slip in the middle. Bodies
are missed, merged, invented and cut by the border. A scan is right when every name is.

The second table is for choosing CERTAIN: of the scans below it (flagged) and above, how many are wrong.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))
from spine_node.phantom.pose import random_spec
from spine_node.phantom.skeleton import build
from spine_node.segmentation import levels, sequence
from spine_node.segmentation.classes import LEVEL_CLASSES
from spine_node.segmentation.evidence import Evidence
from spine_node.segmentation.numbering import USUAL

FIELDS = {
    "whole spine": ("C1", "S1"),
    "T1 to sacrum": ("T1", "S1"),
    "T9 to sacrum": ("T9", "S1"),
    "neck and chest": ("C1", "L1"),
    "chest": ("T1", "L2"),
}
"""First and last level in view."""

THRESHOLDS = (1.0, 2.0, 3.0, 3.5, 4.0, 5.0)
"""Values of CERTAIN that are tried."""

OFF_ALL_ALONG = 0.08
"""How often a net that sees no end of the column is one level off; with one end, a quarter of it."""

SLIPS_PER_BODY = 0.003
"""How often it loses count in the middle."""


@dataclass(frozen=True, slots=True)
class Scan:
    """A person in a field, as a net sees it; `names` are the true ones of the bodies found."""

    field: str
    anomaly: str
    evidence: Evidence
    names: tuple[str | None, ...]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--people", type=int, default=300)
    parser.add_argument("--seed", type=int, default=2_000_000)
    parser.add_argument("--set", nargs="*", default=[], help="constants of sequence.py and levels.py")
    arguments = parser.parse_args()
    for assignment in arguments.set:
        set_constant(*assignment.split("="))
    begun = time.process_time()
    scans = list(people(arguments.seed, arguments.people))
    made = time.process_time()
    print(table([(scan, levels.name_levels(scan.evidence)) for scan in scans]))
    print(f"{len(scans)} scans; {1000 * (time.process_time() - made) / len(scans):.0f} ms a naming,", end=" ")
    print(f"{made - begun:.0f} s to draw people")


def set_constant(name: str, value: str) -> None:
    """Try another constant."""
    module = sequence if hasattr(sequence, name) else levels
    if not hasattr(module, name):
        sys.exit(f"there is no constant {name}")
    setattr(module, name, float(value))
    if name == "SLIP":
        sequence._SLIP_PRICE = float(value) * np.abs(np.subtract.outer(sequence.SLIPS, sequence.SLIPS))


def people(seed: int, count: int) -> Iterator[Scan]:
    """Scans of `count` people with 24 vertebrae, and of as many as come by who have others."""
    usual = 0
    while usual < count:
        rng = np.random.default_rng(seed)
        seed += 1
        spec = random_spec(rng)
        names = tuple(segment.level for segment in spec.segments)
        usual += names == USUAL
        centres = np.array([bone.body.middle_mm for bone in build(spec).bones])
        for field in FIELDS:
            yield scanned(field, names, centres, rng)


def anomaly_of(names: tuple[str, ...]) -> str:
    """What is unusual about a person."""
    odd = [f"no {level}" for level in USUAL if level not in names] + [n for n in names if n not in USUAL]
    return odd[0] if odd else "usual"


def scanned(field: str, names: tuple[str, ...], centres: np.ndarray, rng: np.random.Generator) -> Scan:
    """What is seen of a person in a field."""
    top, bottom = FIELDS[field]
    first = names.index(top)
    last = len(names) if bottom == "S1" else names.index(bottom) + 1
    sacrum = bottom == "S1"
    read = reading(names, first, last, top == "C1", sacrum, rng)
    found: list[tuple[np.ndarray, np.ndarray, str | None]] = []
    i = first
    while i < last:
        here, chance, name = centres[i] + rng.normal(0, 1.5, 3), said_of(read[i], rng), names[i]
        missed = rng.random() < (0.03 if names[i][0] == "C" else 0.006)
        if not missed and i + 1 < last and rng.random() < 0.003:
            both = said_of(read[i + 1], rng)
            here, chance = (here + centres[i + 1]) / 2, (chance + both) / 2
            i += 1
        if not missed:
            found.append((here, chance, name))
        if rng.random() < 0.002:
            found.append((here - [0, 0, 12.0], said_of(read[i], rng), None))
        i += 1
    if top != "C1" and rng.random() < 0.5:  # the border cuts the first body
        found[0] = (found[0][0] - [0, 0, rng.uniform(2, 9)], found[0][1], found[0][2])
    room = rng.uniform(50, 110) if top == "C1" else rng.uniform(6, 22)
    gap = float(np.linalg.norm(centres[-1] - found[-1][0]) + rng.normal(22, 3)) if sacrum else None
    places, chances, true = zip(*found, strict=True)
    above = float(room + np.linalg.norm(centres[first] - found[0][0]))
    return Scan(field, anomaly_of(names), Evidence(np.array(places), np.array(chances), gap, above), true)


def reading(
    names: tuple[str, ...], first: int, last: int, neck: bool, sacrum: bool, rng: np.random.Generator
) -> list[float]:
    """Rank in the usual column that a net takes each vertebra for."""
    count = len(names)
    from_above = np.arange(count, dtype=float)
    from_below = from_above + len(USUAL) - count
    truth = np.array([USUAL.index(n) if n in USUAL else {"T13": 18.5, "L6": 24.0}[n] for n in names])
    if neck and sacrum:  # counts from both ends; they meet somewhere
        meet = int(rng.integers(first + 8, last - 4))
        read = np.where(np.arange(count) < meet, from_above, from_below)
    elif sacrum:
        read = from_below
    elif neck:
        read = from_above
    else:
        read = truth.copy()
    # A good net tells an anomaly by itself half of the time.
    if rng.random() < 0.5:
        read = truth.copy()
    off = OFF_ALL_ALONG * (1.0 if not (neck or sacrum) else 0.25 if not (neck and sacrum) else 0.05)
    read = read + (rng.choice([-1, 1]) if rng.random() < off else 0)
    for body in range(first + 1, last):
        if rng.random() < SLIPS_PER_BODY:
            read[body:] += rng.choice([-1, 1])
    return list(read)


def said_of(rank: float, rng: np.random.Generator) -> np.ndarray:
    """Mean log probabilities in a body that is read as this rank of the usual column."""
    ranks = np.array([24.0 if n == "S1" else 18.5 if n == "T13" else 24.0 if n == "L6" else USUAL.index(n)
                      for n in LEVEL_CLASSES])  # fmt: skip
    rare = np.array([2.0 if n in ("T13", "L6") else 0.0 for n in LEVEL_CLASSES])
    sharp = rng.uniform(1.0, 2.5)
    logits = -sharp * np.abs(ranks - rank) ** 1.2 - rare + rng.normal(0, 0.8, len(ranks))
    return np.asarray(logits - np.log(np.exp(logits).sum()))


def is_right(scan: Scan, naming: levels.Naming) -> bool:
    """Every true vertebra that is named has its name."""
    pairs = zip(scan.names, naming.levels, strict=True)
    return all(a == b for a, b in pairs if a is not None and b is not None)


def table(named: list[tuple[Scan, levels.Naming]]) -> str:
    """Right names and right scans, with and without the flag, by field and by anomaly."""
    groups: dict[str, list[tuple[Scan, levels.Naming]]] = defaultdict(list)
    for scan, naming in named:
        groups[scan.field].append((scan, naming))
        groups["all"].append((scan, naming))
        if scan.field == "whole spine":
            groups[f"{scan.field}: {scan.anomaly}"].append((scan, naming))
        elif FIELDS[scan.field][1] == "S1":
            groups[f"sacrum, no neck: {scan.anomaly}"].append((scan, naming))
    head = (
        "",
        "scans",
        "id. rate",
        "all right",
        "flagged",
        "flagged wrong",
        "unflagged wrong",
        "truth listed",
    )
    rows = [row(head), *(row((name, *figures(groups[name]))) for name in sorted(groups))]
    rows += ["", row(("certain from", *(f"{t:g} nats" for t in THRESHOLDS)))]
    for name in ("whole spine", "T1 to sacrum", "T9 to sacrum", "neck and chest", "chest"):
        rows.append(row((name, *(flags(groups[name], t) for t in THRESHOLDS))))
    rows.append("(flagged: of these wrong / of the others wrong, per cent)")
    return "\n".join(rows)


def row(cells: tuple[str, ...]) -> str:
    """One line of a table."""
    return " | ".join([f"{cells[0]:<26}", *(f"{cell:>15}" for cell in cells[1:])])


def flags(group: list[tuple[Scan, levels.Naming]], threshold: float) -> str:
    """What a flag below this margin would say."""
    right = np.array([is_right(*pair) for pair in group])
    flagged = np.array([naming.margin < threshold for _, naming in group])
    wrong = [f"{100 * (~right[x]).mean():.0f}" if x.any() else "-" for x in (flagged, ~flagged)]
    return f"{100 * flagged.mean():.0f}: {wrong[0]} / {wrong[1]}"


def figures(group: list[tuple[Scan, levels.Naming]]) -> tuple[str, ...]:
    """Shares in per cent."""
    right = np.array([is_right(*pair) for pair in group])
    flagged = np.array([naming.uncertain for _, naming in group])
    same = [a == b for s, n in group for a, b in zip(s.names, n.levels, strict=True) if a is not None]
    listed = [any(h.levels == s.names for h in n.hypotheses) for s, n in group]

    def share(x: np.ndarray) -> str:
        return f"{100 * x.mean():.1f}" if len(x) else "-"

    return (
        str(len(group)), share(np.array(same)), share(right), share(flagged), share(~right[flagged]),
        share(~right[~flagged]), share(np.array(listed)),
    )  # fmt: skip


if __name__ == "__main__":
    main()
