"""How long segmenting takes, and how much memory: 256 x 256 x 400 voxels of 1.5 mm.

    python tests/benchmarks/bench_segmentation.py [--threads 2] [--bundle models/spinenet] [--device cpu]
    python tests/benchmarks/bench_segmentation.py --half-millimetre     800 x 500 x 500 voxels of 0.5 mm

The reference in the same run is a fixed stack of 3-D convolutions on one window: the ratio travels
between machines, the seconds need not. CPU seconds count all threads, so they hardly move when the
machine is busy with something else. Peak memory is that of the process while it segments, the volume
included (Linux).
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np
import torch

from spine_node.imaging.volume import Grid, Volume
from spine_node.phantom.generate import generate
from spine_node.segmentation.inference import BundleSegmenter

SHAPE, SPACING_MM = (400, 256, 256), 1.5
FINE_SHAPE, FINER = (800, 500, 500), 3


def whole_size_phantom() -> Volume:
    """A clean phantom in the middle of a field of `SHAPE`, its outside as dark as its darkest voxel."""
    made = generate(7, spacing_mm=SPACING_MM, clean=True).volume
    values = np.full(SHAPE, made.values.min(), np.float32)
    size = [min(a, b) for a, b in zip(made.values.shape, SHAPE, strict=True)]
    into = tuple(slice((n - s) // 2, (n - s) // 2 + s) for n, s in zip(SHAPE, size, strict=True))
    values[into] = made.values[tuple(slice(0, s) for s in size)]
    return Volume(Grid(SHAPE, made.grid.affine), values)


def finer(volume: Volume) -> Volume:
    """The lower middle of it at a third of the spacing, its voxels repeated."""
    need = [-(-n // FINER) for n in FINE_SHAPE]
    start = [0, *[(n - m) // 2 for n, m in zip(volume.grid.shape[1:], need[1:], strict=True)]]
    values = volume.values[tuple(slice(s, s + m) for s, m in zip(start, need, strict=True))]
    for axis, n in enumerate(FINE_SHAPE):
        values = np.repeat(values, FINER, axis=axis)[(slice(None),) * axis + (slice(0, n),)]
    affine = volume.grid.affine @ np.diag([1 / FINER, 1 / FINER, 1 / FINER, 1.0])
    return Volume(Grid(FINE_SHAPE, affine), np.ascontiguousarray(values))


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


def forget_peak() -> None:
    """Begin the process's highest memory anew (proc(5), clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5")


def memory_mib(what: str) -> float:
    """VmHWM, the highest since then, or VmRSS, now."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{what}:"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--bundle", type=Path, default=Path(__file__).parents[2] / "models/spinenet")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--half-millimetre", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    volume = whole_size_phantom()
    if arguments.half_millimetre:
        volume = finer(volume)
    segmenter = BundleSegmenter(arguments.bundle, device=arguments.device)
    convolutions()
    reference, reference_cpu = timed(convolutions)
    forget_peak()
    before = memory_mib("VmRSS")
    marks: dict[str, float] = {}
    begun = time.process_time()

    def mark(_fraction: float, words: str) -> None:
        marks.setdefault(words, time.process_time() - begun)

    wall, cpu = timed(lambda: segmenter.segment(volume, mark))
    peak = memory_mib("VmHWM")
    shape, spacing = volume.grid.shape, volume.grid.spacing_mm[0]
    nets = "two nets" if segmenter.bundle.context else "one net"
    print(
        f"{' x '.join(map(str, shape))} voxels of {spacing:g} mm, {nets}, {segmenter.device}, "
        f"{arguments.threads} threads on {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )
    print(
        f"segment {wall:7.1f} s wall {cpu:7.1f} s CPU; {wall / reference:5.0f} x, "
        f"in CPU time {cpu / reference_cpu:.0f} x the reference convolutions"
    )
    for words, start in marks.items():
        print(f"  from {start:6.1f} s CPU  {words}")
    print(f"peak memory {peak:.0f} MiB: {peak - before:.0f} MiB above that of the volume and the nets")


if __name__ == "__main__":
    main()
