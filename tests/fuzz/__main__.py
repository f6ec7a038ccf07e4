"""All damaged input in one campaign: associations, packets, command sets, data sets, pixel streams.

    python -m tests.fuzz [--cases N] [--seed S]

N cases (20 000 unless said) in equal shares of the kinds of `tests.fuzz.network` and `tests.fuzz.datasets`,
with their laws and one table. Exit status 1 when a law is broken.
"""

from __future__ import annotations

import argparse
import sys

from tests.fuzz import datasets, network
from tests.fuzz.limits import run
from tests.fuzz.table import report


def main() -> None:
    """Run the campaign."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=20_000, help="of all kinds together (default 20000)")
    parser.add_argument("--seed", type=int, default=1, help="default 1; a case is named by seed and number")
    asked = parser.parse_args()
    each = -(-asked.cases // (len(network.KINDS) + len(datasets.KINDS)))
    tallies = network.campaign(asked.seed, each, network.KINDS)
    for kind, target in datasets.KINDS.items():
        tallies[kind] = run(kind, target, asked.seed, each)
    sys.exit(report(tallies))


if __name__ == "__main__":
    main()
