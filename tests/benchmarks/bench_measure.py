"""How long measuring takes, and how much memory: whole persons' label maps through locate and measure.

    python tests/benchmarks/bench_measure.py

Two maps of a person of the accuracy phantom: C1 to the pelvis at 1 mm, and 600 x 512 x 512 voxels around the
same person. Each is measured in a process of its own, whose peak memory is that of a user who has just the
file. The reference in the same process is one connected-component labelling of the same map: a fixed amount
of work on the same voxels, so that the ratio travels between machines and the seconds need not.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

PERSON = 1
LARGE = (600, 512, 512)


def paint(path: Path, *, large: bool) -> None:
    """Write one map, as labels and affine."""
    from spine_node.imaging.volume import Grid
    from tests.accuracy.skeleton import standing
    from tests.accuracy.voxels import grid_around, rasterise

    skeleton = standing(PERSON)
    upright = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])  # the first axis runs upwards
    grid = grid_around(skeleton, np.ones(3), upright)
    if large:
        spacing = np.array(grid.shape) / LARGE
        affine = np.array(grid.affine)
        affine[:3, :3] = affine[:3, :3] * spacing
        grid = Grid(LARGE, affine)
    label_map = rasterise(skeleton, grid)
    np.savez(path, labels=label_map.labels, affine=label_map.grid.affine)


def measured(path: Path) -> None:
    """Measure one map and print what it took."""
    import cc3d

    from spine_node.anatomy.landmarks import Vertical
    from spine_node.anatomy.locate import locate
    from spine_node.imaging.volume import Grid, LabelMap
    from spine_node.parameters.measure import measure

    stored = np.load(path)
    label_map = LabelMap(Grid(stored["labels"].shape, stored["affine"]), stored["labels"])
    begun = time.perf_counter(), time.process_time()
    measurements = measure(locate(label_map, Vertical(standing=True)), 50)
    wall, cpu = time.perf_counter() - begun[0], time.process_time() - begun[1]
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    begun = time.perf_counter(), time.process_time()
    cc3d.connected_components(label_map.labels)
    reference = time.process_time() - begun[1]
    shape = " x ".join(str(n) for n in label_map.grid.shape)
    print(
        f"{shape:20} {len(measurements.parameters)} numbers, {len(measurements.classes)} classes: "
        f"{wall:.1f} s, {cpu:.1f} s of CPU time ({cpu / reference:.0f} x connected components), "
        f"peak {peak_mib:.0f} MiB in all"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--map", type=Path, help=argparse.SUPPRESS)
    only = parser.parse_args().map
    if only is not None:
        measured(only)
        return
    with tempfile.TemporaryDirectory() as folder:
        for large in (False, True):
            path = Path(folder) / "map.npz"
            paint(path, large=large)
            subprocess.run([sys.executable, __file__, "--map", str(path)], check=True)


if __name__ == "__main__":
    main()
