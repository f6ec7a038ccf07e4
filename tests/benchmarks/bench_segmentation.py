"""How long segmenting takes, and how much memory: 256 x 256 x 400 voxels of 1.5 mm, on the CPU.

    python tests/benchmarks/bench_segmentation.py [--threads 2] [--bundle models/spinenet]

The reference in the same run is a fixed stack of 3-D convolutions on one window: the ratio travels
between machines, the seconds need not. CPU seconds count all threads, so they hardly move when the
machine is busy with something else.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import numpy as np
import torch

from spine_node.imaging.volume import Grid, Volume
from spine_node.phantom.generate import generate
from spine_node.segmentation.inference import BundleSegmenter

SHAPE, SPACING_MM = (400, 256, 256), 1.5


def whole_size_phantom() -> Volume:
    """A clean phantom in the middle of a field of `SHAPE`, its outside as dark as its darkest voxel."""
    made = generate(7, spacing_mm=SPACING_MM, clean=True).volume
    values = np.full(SHAPE, made.values.min(), np.float32)
    size = [min(a, b) for a, b in zip(made.values.shape, SHAPE, strict=True)]
    into = tuple(slice((n - s) // 2, (n - s) // 2 + s) for n, s in zip(SHAPE, size, strict=True))
    values[into] = made.values[tuple(slice(0, s) for s in size)]
    return Volume(Grid(SHAPE, made.grid.affine), values)


def convolutions() -> None:
    """The reference: eight 3x3x3 convolutions of 32 channels on 64^3 voxels, float32."""
    x = torch.zeros(1, 32, 64, 64, 64)
    weight = torch.zeros(32, 32, 3, 3, 3)
    with torch.inference_mode():
        for _ in range(8):
            x = torch.nn.functional.conv3d(x, weight, padding=1)


def timed(work) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--bundle", type=Path, default=Path(__file__).parents[2] / "models/spinenet")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    volume = whole_size_phantom()
    segmenter = BundleSegmenter(arguments.bundle, device="cpu")
    convolutions()
    reference, _ = timed(convolutions)
    before_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    marks: dict[str, float] = {}
    begun = time.perf_counter()

    def mark(_fraction: float, words: str) -> None:
        marks.setdefault(words, time.perf_counter() - begun)

    wall, cpu = timed(lambda: segmenter.segment(volume, mark))
    grown_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before_mib
    print(f"{' x '.join(map(str, SHAPE))} voxels of {SPACING_MM:g} mm, {arguments.threads} threads")
    print(
        f"segment      {wall:7.1f} s wall {cpu:7.1f} s CPU {wall / reference:7.1f} x reference convolutions"
    )
    for words, start in marks.items():
        print(f"  from {start:6.1f} s  {words}")
    print(f"peak memory above that of the volume and the net: {max(grown_mib, 0):.0f} MiB")


if __name__ == "__main__":
    main()
