"""How fast and how light surfaces to print are, and how exact, against plain marching cubes in the same run.

    python tests/benchmarks/bench_stl.py [--spacing 1.0] [--labels LABELS.nii.gz]

A whole phantom, or a label map of one's own. Times vary with the machine and what else runs on it: compare
the ratios of one run. Plain marching cubes is skimage's on each bare mask: no smoothing, no decimation.
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
from spine_node.imaging.volume import LabelMap
from spine_node.nifti import read_label_map
from spine_node.phantom.order import Order, templates_in
from spine_node.printing.exactness import exactness
from spine_node.printing.files import WRITERS
from spine_node.printing.meshes import boxes, default_tolerance_mm, meshes, structure_mask
from tests.benchmarks.bench_volume import peak_bytes, reset_peak


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--spacing", type=float, default=1.0)
    parser.add_argument("--labels", type=Path)
    parser.add_argument("--exact", action=argparse.BooleanOptionalAction, default=True)
    arguments = parser.parse_args()
    label_map = read_label_map(arguments.labels) if arguments.labels else phantom(arguments.spacing)
    tolerance_mm = default_tolerance_mm(label_map.grid)
    print(
        f"{label_map.grid.shape} voxels of {label_map.grid.spacing_mm.round(3)} mm, to {tolerance_mm:.3g} mm"
    )
    print(f"{'':24} {'seconds':>8} {'ratio':>6} {'triangles':>10} {'MB':>6} {'peak MiB':>9}")
    unit, peak, count = timed(lambda: plain(label_map))
    line("plain marching cubes", unit, unit, peak, count)
    seconds, peak, found = timed(lambda: meshes(label_map))
    line("meshes", seconds, unit, peak, triangles(found))
    seconds, peak, fine = timed(lambda: meshes(label_map, tolerance_mm=0))
    line("meshes, not decimated", seconds, unit, peak, triangles(fine))
    for form, write in WRITERS.items():
        with tempfile.TemporaryDirectory() as folder:
            seconds, peak, paths = timed(lambda write=write, folder=folder: write(found, Path(folder)))
            size = sum(path.stat().st_size for path in paths) / 1e6
        line(f"write {form}", seconds, unit, peak, "", size)
    assert all(mesh.is_watertight and mesh.is_winding_consistent for mesh in found.values())
    if arguments.exact:
        every = [exactness(label_map, name, mesh) for name, mesh in found.items()]
        volume = max(abs(e.volume_mm3 / e.labelled_mm3 - 1) for e in every)
        print(
            f"{len(every)} surfaces, watertight; volume within {volume:.2%}; at most "
            f"{max(e.outside_mm for e in every):.3f} mm outside and {max(e.missed_mm for e in every):.3f} mm "
            f"missed; half a voxel is {label_map.grid.spacing_mm.max() / 2:.3f} mm"
        )


def phantom(spacing_mm: float) -> LabelMap:
    """The label map of a whole clean adult."""
    return Order(
        spacing_mm=spacing_mm, field_of_view="whole", painting="cbct", clean=True, population="standing",
        PI_deg=None, curve_deg=None, curve_side="right", curve_apex="T8",
        templates=templates_in(None), device="cpu",
    ).make(1).label_map  # fmt: skip


def plain(label_map: LabelMap) -> int:
    """Triangles of marching cubes on the bare masks."""
    from skimage.measure import marching_cubes

    masks = (structure_mask(label_map, name, box) for name, box in boxes(label_map).items())
    return sum(len(marching_cubes(np.pad(mask, 1).astype(np.float32), 0.5)[1]) for mask in masks)


def triangles(found: dict[str, Any]) -> int:
    return sum(len(mesh.faces) for mesh in found.values())


def line(words: str, seconds: float, unit: float, peak: int, count: int | str, size: float = 0) -> None:
    """One row; a binary STL has 50 bytes a triangle."""
    size = size or int(count) * 50 / 1e6
    print(f"{words:24} {seconds:8.2f} {seconds / unit:6.2f} {count:>10} {size:6.1f} {peak / 2**20:9.0f}")


def timed(work: Callable[[], Any]) -> tuple[float, int, Any]:
    """CPU seconds, bytes of memory beyond the start, and the result."""
    before = reset_peak()
    started = time.process_time()
    result = work()
    return time.process_time() - started, peak_bytes() - before, result


if __name__ == "__main__":
    main()
