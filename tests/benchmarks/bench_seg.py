"""How fast a SEG is written and checked, against the same label map as .nii.gz, and in what memory.

    python tests/benchmarks/bench_seg.py [--slices 400] [--matrix 512]

A full spine: 24 vertebrae with posterior elements, sacrum, hip bones, femoral heads. Times vary with the
machine and what else runs on it: compare the ratios of one run. Memory is the peak above what was there
before, as a multiple of the label map's own size (Linux only).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))
from spine_node.anatomy.levels import POSTERIOR_OFFSET, STRUCTURE_VALUES, VERTEBRA_VALUES
from spine_node.dicom.checks import check_geometry
from spine_node.dicom.seg import write_seg
from spine_node.dicom.series import read_series
from spine_node.dicom.stl import meshes
from spine_node.imaging.volume import Grid, LabelMap
from spine_node.nifti import write_label_map
from spine_node.segmentation.segmenter import ModelIdentity, Segmentation
from tests.benchmarks.bench_volume import peak_bytes, reset_peak
from tests.dicom.small_series import grid_of, write_multiframe


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--slices", type=int, default=400)
    parser.add_argument("--matrix", type=int, default=512)
    arguments = parser.parse_args()
    grid = grid_of(shape=(arguments.slices, arguments.matrix, arguments.matrix), spacing=(1.5, 0.8, 0.8))
    with tempfile.TemporaryDirectory() as folder:
        write_multiframe(Path(folder), grid, np.zeros(grid.shape, dtype=np.int16))
        series = read_series(Path(folder))
    label_map = spine(series.grid)
    size = label_map.labels.nbytes
    segmentation = Segmentation(label_map, ModelIdentity("bench", "1", "0" * 64))
    print(f"{grid.shape} voxels, {size / 2**20:.0f} MiB of labels; written as .nii.gz = 1.0")
    print(f"{'':24} {'time':>8} {'peak / labels':>14}")
    with tempfile.TemporaryDirectory() as folder:
        unit, peak, _ = timed(lambda: write_label_map(label_map, Path(folder) / "labels.nii.gz"))
    print(f"{'labels.nii.gz':24} {1:8.2f} {peak / size:14.2f}")
    seconds, peak, seg = timed(lambda: write_seg(series, segmentation, software_version="bench"))
    print(f"{'write_seg':24} {seconds / unit:8.2f} {peak / size:14.2f}")
    seconds, peak, _ = timed(lambda: check_geometry(seg, label_map))
    print(f"{'check_geometry':24} {seconds / unit:8.2f} {peak / size:14.2f}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "seg.dcm"
        seconds, peak, _ = timed(lambda: seg.save_as(path, enforce_file_format=True))
        print(f"{'save':24} {seconds / unit:8.2f} {peak / size:14.2f}")
        megabytes = path.stat().st_size / 2**20
        print(f"{len(seg.SegmentSequence)} segments, {seg.NumberOfFrames} frames, {megabytes:.1f} MiB")
    seconds, peak, found = timed(lambda: meshes(label_map))
    print(f"{'meshes':24} {seconds / unit:8.2f} {peak / size:14.2f}   {len(found)} surfaces")


def timed(work: Callable[[], Any]) -> tuple[float, int, Any]:
    """Seconds, bytes of memory beyond the start, and the result."""
    before = reset_peak()
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, peak_bytes() - before, result


def spine(grid: Grid) -> LabelMap:
    """Boxes and balls of anatomical size, stacked like a spine."""
    labels = np.zeros(grid.shape, dtype=np.uint8)
    slices, rows, columns = grid.shape
    middle = columns // 2
    height = int(slices * 0.7) // 24
    for i, value in enumerate(v for k, v in VERTEBRA_VALUES.items() if k not in ("T13", "L6")):
        top = slices - (i + 1) * height
        labels[top : top + height - 3, rows // 2 - 20 : rows // 2 + 20, middle - 25 : middle + 25] = value
        labels[top : top + height // 2, rows // 2 + 20 : rows // 2 + 60, middle - 30 : middle + 30] = (
            value + POSTERIOR_OFFSET
        )
    for i, value in enumerate(STRUCTURE_VALUES.values()):
        start = 40 + 80 * i
        labels[5 : int(slices * 0.28), rows // 2 - 40 : rows // 2 + 40, start : start + 60] = value
    return LabelMap(grid, labels)


if __name__ == "__main__":
    main()
