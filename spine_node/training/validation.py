"""How well the averaged net does on cases that it does not train on, in a few seconds.

Plain windows, always the same, of the held-out cases: Dice of every class over all of them together.
It says how training goes; what a model is worth is said by `spine-node evaluate`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from spine_node.segmentation.classes import IGNORED, Scheme
from spine_node.segmentation.networks import SpineNet
from spine_node.training.augment import Patch, random_patch
from spine_node.training.samples import Case


def plain_windows(
    cases: Sequence[Case], count: int, size: tuple[int, int, int], spacing_mm: float, scheme: Scheme
) -> list[Patch]:
    """`count` windows, shared evenly among the cases; the same for the same cases."""
    return [
        random_patch(
            cases[k % len(cases)], np.random.default_rng((5, k)), size, spacing_mm, scheme, augment=0.0
        )
        for k in range(count)
    ]


def dice_of(
    network: SpineNet, windows: Sequence[Patch], scheme: Scheme, place: torch.device, half: bool
) -> dict[str, float]:
    """Dice of each class that the windows show; the random state of a training is left alone.

    Parameters
    ----------
    network : SpineNet
        On `place`.
    half : bool
        Whether to multiply in bfloat16.
    """
    classes = len(scheme.classes)
    joint = torch.zeros(classes * classes, dtype=torch.int64)
    with torch.inference_mode(), torch.autocast(place.type, torch.bfloat16, enabled=half):
        for window in windows:
            image = window.image[None].to(place).contiguous(memory_format=torch.channels_last_3d)
            said = network(image).semantic[0].argmax(dim=0).cpu()
            known = window.tissue != IGNORED
            pair = window.tissue[known] * classes + said[known]
            joint += torch.bincount(pair, minlength=classes * classes)
    table = joint.reshape(classes, classes).double()
    truth, found, shared = table.sum(dim=1), table.sum(dim=0), table.diagonal()
    return {
        name: round(float(2 * shared[k] / (truth[k] + found[k])), 4)
        for k, name in enumerate(scheme.classes)
        if k > 0 and truth[k] > 0
    }
