"""`python -m spine_node.training`: `spine-node train` for machines with few packages.

It needs torch, numpy, scipy, rich, matplotlib and safetensors: no DICOM, no MONAI, no database, no
command line library. Streams that read NIfTI need nibabel besides, DICOM folders pydicom and highdicom.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from spine_node.errors import Refused
from spine_node.training.run import run

REFUSED = 3


def main(arguments: list[str] | None = None) -> int:
    """Train; returns the exit status: 0 done, 3 refused (the reason is on stderr)."""
    parser = argparse.ArgumentParser(prog="python -m spine_node.training", description=__doc__)
    parser.add_argument("--config", type=Path, help="TOML file; config/train.toml explains every key")
    parser.add_argument("--run", type=Path, help="folder of cases, checkpoint and learning curve")
    parser.add_argument("--start", type=Path, help="bundle to start from, instead of the config's")
    parser.add_argument("--minutes", type=float, help="wall-clock budget, instead of the config's")
    parser.add_argument("--out", type=Path, help="write the net there as a bundle")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--seed", type=int, help="instead of the config's")
    parser.add_argument("--workers", type=int, help="processes that make cases, instead of the config's")
    said = sys.argv[1:] if arguments is None else arguments
    asked = parser.parse_args(said)
    try:
        checkpoint, _ = run(
            asked.config,
            asked.run,
            command=" ".join(["python -m spine_node.training", *said]),
            start=asked.start,
            minutes=asked.minutes,
            seed=asked.seed,
            workers=asked.workers,
            device=asked.device,
            out=asked.out,
        )
    except Refused as reason:
        sys.stderr.write(f"{type(reason).__name__}: {reason}\n")
        return REFUSED
    sys.stdout.write(f"{asked.out or checkpoint}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
