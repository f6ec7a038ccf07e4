"""How fast a series on disk becomes a volume, against pydicom's plain loop, and in what memory.

    python tests/benchmarks/bench_volume.py [--slices 200] [--matrix 512]

The loop is `[dcmread(path).pixel_array for path in paths]`: it checks nothing and puts no slice in its place.
Times vary with the machine and what else runs on it: compare the ratios of one run. Memory is the peak
above what was there before, as a multiple of the volume's own size (Linux only).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pydicom
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless, RLELossless

sys.path.insert(0, str(Path(__file__).parents[2]))
from spine_node.dicom.series import read_series
from spine_node.dicom.voxels import read_volume
from tests.dicom.small_series import grid_of, write_multiframe, write_series

MEASURE_ONE = "--measure"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--slices", type=int, default=200)
    parser.add_argument("--matrix", type=int, default=512)
    parser.add_argument(MEASURE_ONE, type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments.measure)
        return
    grid = grid_of(shape=(arguments.slices, arguments.matrix, arguments.matrix), spacing=(1.0, 0.8, 0.8))
    values = textured(grid.shape)
    print(f"{grid.shape} voxels, {values.nbytes / 2**20:.0f} MiB as int16; pydicom alone = 1.0")
    print(f"{'stored as':32} {'headers':>8} {'voxels':>8} {'peak / volume':>14}")
    for name, syntax in (
        ("slices, uncompressed", ExplicitVRLittleEndian),
        ("frames, uncompressed", None),
        ("slices, RLE", RLELossless),
        ("slices, JPEG-LS", JPEGLSLossless),
        ("slices, JPEG 2000", JPEG2000Lossless),
    ):
        with tempfile.TemporaryDirectory() as folder:
            if syntax is None:
                write_multiframe(Path(folder), grid, values)
            else:
                for path in write_series(Path(folder), grid, values):
                    compress(path, syntax)
            answer = subprocess.run(
                [sys.executable, __file__, MEASURE_ONE, folder], check=True, capture_output=True, text=True
            )
            loop_s, headers_s, voxels_s, peak = (float(v) for v in answer.stdout.split())
        print(f"{name:32} {headers_s / loop_s:8.2f} {voxels_s / loop_s:8.2f} {peak / values.nbytes:14.2f}")


def measure(folder: Path) -> None:
    """Seconds for pydicom's loop, for the headers and for the voxels; bytes of memory beyond the start."""
    paths = sorted(folder.iterdir())
    [pydicom.dcmread(path).pixel_array for path in paths[:3]]
    started = time.perf_counter()
    [pydicom.dcmread(path).pixel_array for path in paths]
    loop = time.perf_counter() - started
    before = reset_peak()
    started = time.perf_counter()
    series = read_series(folder)
    headers = time.perf_counter() - started
    started = time.perf_counter()
    read_volume(series)
    voxels = time.perf_counter() - started
    print(loop, headers, voxels, peak_bytes() - before)


def reset_peak() -> int:
    """Start a new peak of this process's memory; gives what it has now, bytes."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak_bytes()


def peak_bytes() -> int:
    """Most memory this process had since `reset_peak`."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def textured(shape: tuple[int, int, int]) -> np.ndarray:
    """Noise on a round body in air: compresses as images do."""
    rng = np.random.default_rng(0)
    row, column = np.indices(shape[1:])
    body = np.hypot(row / shape[1] - 0.5, column / shape[2] - 0.5) < 0.4
    values = np.full(shape, -1000, dtype=np.int16)
    values[:, body] = rng.normal(60, 25, (shape[0], int(body.sum()))).astype(np.int16)
    return values


def compress(path: Path, syntax: str) -> None:
    if syntax != ExplicitVRLittleEndian:
        ds = pydicom.dcmread(path)
        ds.compress(syntax, generate_instance_uid=False)
        ds.save_as(path, enforce_file_format=True)


if __name__ == "__main__":
    main()
