"""From an empty folder to a net: how long, how good, and what a training spends its time on.

    python tests/benchmarks/bench_training.py --out runs/bench [--config config/train-small.toml]
        [--minutes M] [--kills 10] [--cases 5]

One command trains; with --kills it is killed (SIGKILL, workers and all) that many times at random moments
and started again. Then the bundle segments unseen phantoms at 3 mm. The figures of throughput are means
over the parts that ended by themselves, from RUN/summary.json.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from spine_node.evaluation.cases import TEST_SEED
from spine_node.evaluation.run import evaluate
from spine_node.segmentation.inference import BundleSegmenter
from spine_node.training.recipe import load_recipe
from spine_node.training.train import CURVE

ROOT = Path(__file__).parents[2]


def trained(command: list[str], moments_s: list[float]) -> int:
    """Run the command, killed so many seconds after each start; the last start ends by itself.

    Returns how often it was killed: a run may be done before.
    """
    kills = 0
    for moment in [*moments_s, None]:
        process = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
        try:
            status = process.wait(moment)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            print(f"killed after {moment:.0f} s", file=sys.stderr)
            kills += 1
            continue
        if status:
            sys.exit(f"the training ended with status {status}")
        return kills
    return kills


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, default=ROOT / "config/train-small.toml")
    parser.add_argument("--out", type=Path, required=True, help="must not exist: everything starts there")
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    parser.add_argument("--cases", type=int, default=5, help="unseen phantoms at 3 mm")
    asked = parser.parse_args()
    if asked.out.exists():
        parser.error(f"{asked.out} exists: the figures are of a start from nothing")
    minutes = asked.minutes or load_recipe(asked.config).minutes
    asked.out.mkdir(parents=True)
    run_dir, bundle = asked.out / "run", asked.out / "bundle"
    command = [sys.executable, "-m", "spine_node.training", "--config", str(asked.config)]
    command += ["--minutes", str(minutes), "--run", str(run_dir), "--out", str(bundle)]
    command += ["--device", asked.device]
    # On average the kills leave half of the budget to the part that ends by itself.
    rng = np.random.default_rng(asked.seed)
    moments = rng.uniform(0, 60 * minutes / max(1, asked.kills), asked.kills).tolist()
    begun = time.perf_counter()
    kills = trained(command, moments)
    wall = time.perf_counter() - begun
    shutil.copy(bundle / "docs/curve.png", asked.out / "curve.png")
    records = [json.loads(line) for line in (run_dir / CURVE).read_text().splitlines()]
    last = json.loads((run_dir / "summary.json").read_text().splitlines()[-1])
    print(f"wall time {wall / 60:.1f} min, killed {kills} times, {records[-1]['step']} steps kept,")
    print(f"{records[-1]['cases']} cases, budget used {records[-1]['seconds'] / 60:.1f} min")
    print(f"the part after the last kill: {last['steps_per_s']} steps/s, {last['patches_per_s']} patches/s,")
    print(f"{last['cases_per_min']} phantoms/min with {last['workers']} worker(s) on {last['device']}")
    print("share of its time:", ", ".join(f"{name} {part:.0%}" for name, part in last["share"].items()))
    if asked.cases:
        seeds = range(TEST_SEED, TEST_SEED + asked.cases)
        segmenter = BundleSegmenter(bundle, asked.device)
        figures = evaluate(
            segmenter, seeds=seeds, spacing_mm=3.0, out=asked.out / "evaluation.json", baselines=False
        )
        print_dice(figures["sets"]["synthetic"]["rows"]["model"])


def print_dice(model: dict[str, Any]) -> None:
    """Dice by group; "without names" forgets which vertebra is which."""
    for name, value in model["nameless"].items():
        if value is not None:
            print(f"without names, {name}: {value['mean']:.3f}, lowest {value['least']:.3f}")
    for name, group in model["outlines"].items():
        print(f"{name}: Dice {group['dice']['mean']:.3f}, lowest {group['dice']['least']:.3f}")


if __name__ == "__main__":
    main()
