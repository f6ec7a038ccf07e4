"""The toy spine with its true labels, named from evidence as a net would give it."""

from __future__ import annotations

import numpy as np

from spine_node.anatomy.levels import LEVEL_OF_VALUE, LEVELS, VERTEBRA_VALUES
from spine_node.imaging.volume import Grid, LabelMap, Volume
from spine_node.segmentation.classes import LEVEL_CLASSES
from spine_node.segmentation.evidence import Evidence
from spine_node.segmentation.levels import name_levels
from spine_node.segmentation.segmenter import ModelIdentity, Progress, Segmentation
from tests.segmentation.toy_spine import toy_case

MODEL = ModelIdentity("toy-net", "1.2", "ab" * 32)


def toy_evidence(labels: LabelMap) -> Evidence:
    """Body centres, a net that favours the true levels, and the sacrum below."""
    present = [v for v in np.unique(labels.labels) if int(v) in LEVEL_OF_VALUE]
    levels = sorted((LEVEL_OF_VALUE[int(v)] for v in present), key=LEVELS.index)
    centres = [np.argwhere(labels.labels == VERTEBRA_VALUES[level]).mean(axis=0) for level in levels]
    chance = np.full((len(levels), len(LEVEL_CLASSES)), np.log(0.3 / len(LEVEL_CLASSES)))
    for row, level in enumerate(levels):
        chance[row, LEVEL_CLASSES.index(level)] = np.log(0.7)
    return Evidence(labels.grid.to_mm(centres), chance, 21.0, 60.0)


def named_toy(grid: Grid | None = None, model: ModelIdentity = MODEL) -> tuple[Volume, Segmentation]:
    """The toy as a net that knows the truth segments it; on this grid, of the same shape."""
    volume, truth = toy_case(4)
    labels = LabelMap(grid or truth.grid, truth.labels)
    naming = name_levels(toy_evidence(truth))
    return volume, Segmentation(labels, model, naming.quality, naming)


class ToySegmenter:
    """Sees the toy in whatever it is given."""

    identity = MODEL

    def segment(self, volume: Volume, progress: Progress | None = None) -> Segmentation:
        return named_toy(volume.grid)[1]
