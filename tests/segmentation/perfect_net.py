"""What a perfect net would say about a volume whose labels are known: everything after it can be tested."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch.nn import functional

from spine_node.imaging.volume import LabelMap
from spine_node.segmentation.canonical import canonical_grid, nearest
from spine_node.segmentation.classes import (
    BODY,
    LEVEL_CLASSES,
    LEVEL_OF_VALUE,
    POSTERIOR,
    TISSUE_OF_VALUE,
    TISSUES,
)
from spine_node.segmentation.networks import Heads
from spine_node.segmentation.windows import LOG_FLOOR


def perfect_heads(truth: LabelMap, spacing_mm: float) -> Heads:
    """Heads as `windows.infer` returns them, from the true labels."""
    grid = canonical_grid(truth.grid, spacing_mm)
    labels = nearest(truth.labels, truth.grid, grid)
    tissue = torch.from_numpy(TISSUE_OF_VALUE[labels].astype(np.int64))
    semantic = torch.movedim(functional.one_hot(tissue, len(TISSUES)).float(), -1, 0)
    half = labels[::2, ::2, ::2]
    here = np.moveaxis(np.indices(half.shape), 0, -1) * 2 + 0.5
    # As a net does: also just outside a vertebra the answer is that of the nearest one.
    centres = np.full((256, 3), np.nan)
    for value in np.unique(labels[TISSUE_OF_VALUE[labels] == BODY]):
        centres[value] = centres[value + 100] = np.argwhere(labels == value).mean(axis=0)
    vertebra = np.isin(TISSUE_OF_VALUE[labels], (BODY, POSTERIOR))
    near = ndimage.distance_transform_edt(~vertebra, return_distances=False, return_indices=True)
    owner = labels[tuple(near)][::2, ::2, ::2]
    offset = np.moveaxis((centres[owner] - here) * spacing_mm, -1, 0).astype(np.float32)
    level = np.full((len(LEVEL_CLASSES), *half.shape), np.log(0.1 / len(LEVEL_CLASSES)), np.float32)
    known = LEVEL_OF_VALUE[half] < 255
    level[LEVEL_OF_VALUE[half][known], *np.nonzero(known)] = np.log(0.9)
    return Heads(semantic * -LOG_FLOOR + LOG_FLOOR, torch.from_numpy(offset), torch.from_numpy(level))
