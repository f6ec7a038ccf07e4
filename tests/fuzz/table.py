"""The table that a campaign ends with, and its exit status."""

from __future__ import annotations

from collections.abc import Mapping

from tests.fuzz.limits import Tally


def report(tallies: Mapping[str, Tally]) -> int:
    """Print what became of every kind of case, and what was broken; 1 when something was."""
    print(f"{'':12s}{'cases':>8s}{'broken':>8s}{'slowest':>10s}{'growth':>9s}  outcomes")
    for kind, tally in tallies.items():
        outcomes = ", ".join(f"{number} {outcome}" for outcome, number in tally.outcomes.most_common())
        growth = f"{tally.growth_bytes >> 20} MB"
        figures = f"{tally.cases:8d}{len(tally.broken):8d}{tally.slowest_s:8.2f} s{growth:>9s}"
        print(f"{kind:12s}{figures}  {outcomes}")
    broken = [line for tally in tallies.values() for line in tally.broken]
    for line in broken[:40]:
        print(line)
    cases = sum(tally.cases for tally in tallies.values())
    print(f"{cases} cases, {len(broken)} broke a law." if broken else f"{cases} cases, no law broken.")
    return 1 if broken else 0
