"""How long measuring takes, and how much memory: a whole phantom's label map through locate and measure.

    python tests/benchmarks/bench_measure.py [--spacing 1.0]

The reference in the same run is one connected-component labelling of the same map: a fixed amount of
work on the same voxels, so that the ratio travels between machines and the seconds need not.
"""

from __future__ import annotations

import argparse
import resource
import time

import cc3d

from spine_node.anatomy.locate import locate
from spine_node.parameters.measure import measure
from spine_node.phantom.generate import generate


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--spacing", type=float, default=1.0, help="voxel size of the phantom, mm")
    label_map = generate(7, spacing_mm=parser.parse_args().spacing, clean=True).label_map
    before_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    seconds = {}
    for name, work in (
        ("connected components", lambda: cc3d.connected_components(label_map.labels)),
        ("locate", lambda: locate(label_map)),
        ("locate and measure", lambda: measure(locate(label_map))),
    ):
        begun = time.perf_counter()
        work()
        seconds[name] = time.perf_counter() - begun
    grown_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before_mib
    shape = " x ".join(str(n) for n in label_map.grid.shape)
    print(f"label map {shape}, {label_map.labels.nbytes / 2**20:.0f} MiB")
    for name, spent in seconds.items():
        print(f"{name:24}{spent:8.2f} s{spent / seconds['connected components']:8.1f} x components")
    print(f"peak memory above that of making the phantom: {max(grown_mib, 0):.0f} MiB")


if __name__ == "__main__":
    main()
