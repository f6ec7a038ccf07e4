"""The node itself with a segmenter that knows the answer: quick enough to be killed again and again.

    python -m tests.chaos.node LABELS.npy exec serve --config node.toml

Every command is that of `spine-node`. What differs: the label map of the one phantom of a campaign stands in
the place of the net, nothing is drawn (seconds each on a busy core), and a dead child is replaced at once.
Receiving, intake, queues, encoding, results folders and delivery are the node's own.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from spine_node import children, cli, workflows
from spine_node.imaging.volume import LabelMap, Volume
from spine_node.segmentation.segmenter import ModelIdentity, Progress, Segmentation
from tests.chaos.nursery import Nursery, call_itself

PROGRAM = (sys.executable, "-m", "tests.chaos.node")

IDENTITY = ModelIdentity("oracle", "1", "c" * 64)


class Oracle:
    """Every volume is the phantom whose labels are in a file, or its first slices."""

    identity = IDENTITY

    def __init__(self, labels: Path) -> None:
        self._labels = np.load(labels)

    def segment(self, volume: Volume, progress: Progress | None = None) -> Segmentation:
        """The known labels."""
        return Segmentation(LabelMap(volume.grid, self._labels[: volume.grid.shape[0]].copy()), self.identity)


def main(labels: str, start: str, command: str, *arguments: str) -> None:
    """Be the node, or a child of it; `start` is "fork" or "exec", for how children begin (`nursery`)."""
    call_itself(command)
    children.PROGRAM = (labels, start) if start == "fork" else (*PROGRAM, labels, start)
    if start == "fork" and command == "serve":
        popen = Nursery().popen  # now: later this process has threads, and a fork of those is undefined
        children.subprocess = SimpleNamespace(Popen=popen, TimeoutExpired=subprocess.TimeoutExpired)
    # A campaign kills on purpose what an out-of-memory kills by nature: no job and no process is to blame.
    workflows.MAX_KILLS = 1_000_000
    children._PAUSES_S = (0.1, 0.1)
    if command == "serve":
        from spine_node import node

        node.identity_of = lambda _choice: IDENTITY
    if command == "worker":
        from spine_node import objects
        from spine_node.pictures import aside
        from spine_node.segmentation import plug

        plug.load_segmenter = lambda *_args, **_kwargs: Oracle(Path(labels))
        objects.draw_pictures = lambda *_args: []
        aside._TOO_FEW_CORES = 1_000_000
    cli.app([command, *arguments])


if __name__ == "__main__":
    main(*sys.argv[1:])
