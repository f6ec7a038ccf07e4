"""How fast phantoms are made, against smoothing an image of the same size, and in what memory.

    python tests/benchmarks/bench_phantom.py [--spacing 3 2 1] [--threads 1 2] [--seeds 3]

Whole spines at random. The reference is scipy's Gaussian filter (sigma 1.5 voxels, one thread) of each
image, timed in the same process. Wall-clock varies with the machine and what else runs on it: the ratio
to the reference, both in processor time, varies less. On a GPU there is one row per spacing. Memory is
the peak above what was there before, as a multiple of the result's own size (Linux only).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import torch
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).parents[2]))
from spine_node.phantom.generate import generate
from tests.benchmarks.bench_volume import peak_bytes, reset_peak

MEASURE_ONE = "--measure"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--spacing", type=float, nargs="+", default=[3.0, 2.0, 1.0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(MEASURE_ONE, nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        device, spacing, threads = arguments.measure
        measure(device, float(spacing), int(threads), arguments.seeds)
        return
    rows = [("cpu", s, t) for s in arguments.spacing for t in arguments.threads]
    if torch.cuda.is_available():
        rows += [("cuda", s, 1) for s in arguments.spacing]
    print("scipy's Gaussian filter of the same image = 1.0")
    print(
        f"{'mm':>4} {'on':>5} {'threads':>8} {'Mvoxel':>7} {'volumes/min':>12} {'CPU ratio':>10} {'peak':>6}"
    )
    for device, spacing, threads in rows:
        command = [sys.executable, __file__, "--seeds", str(arguments.seeds), MEASURE_ONE]
        answer = subprocess.run(
            [*command, device, str(spacing), str(threads)], check=True, capture_output=True, text=True
        )
        voxels, per_minute, ratio, peak = (float(v) for v in answer.stdout.split())
        row = f"{spacing:4g} {device:>5} {threads:8d} {voxels / 1e6:7.1f} {per_minute:12.1f} {ratio:10.2f}"
        print(f"{row} {peak:6.2f}", flush=True)


def measure(device: str, spacing_mm: float, threads: int, seeds: int) -> None:
    """Voxels, volumes per minute, processor time against the reference, peak against the result."""
    torch.set_num_threads(threads)
    generate(0, spacing_mm=6.0, device=device)
    wall = cpu = reference = voxels = above = 0.0
    for seed in range(1, seeds + 1):
        before = reset_peak()
        started, busy = time.perf_counter(), time.process_time()
        phantom = generate(seed, spacing_mm=spacing_mm, device=device)
        wall += time.perf_counter() - started
        cpu += time.process_time() - busy
        result = phantom.volume.values.nbytes + phantom.label_map.labels.nbytes + phantom.semantic.nbytes
        above = max(above, (peak_bytes() - before) / result)
        voxels += phantom.volume.values.size / seeds
        busy = time.process_time()
        ndimage.gaussian_filter(phantom.volume.values, 1.5)
        reference += time.process_time() - busy
    print(voxels, 60 * seeds / wall, cpu / reference, above)


if __name__ == "__main__":
    main()
