"""What the net is taught: outlines, votes for the own centre, and levels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from spine_node.anatomy.levels import LEVELS
from spine_node.segmentation.classes import BODY, IGNORED, LEVEL_CLASSES, SACRUM
from spine_node.segmentation.networks import Heads
from spine_node.training.batches import Batch

Loss = tuple[Tensor, dict[str, float]]
"""The total, and its parts as numbers."""

TISSUE_WEIGHTS = (0.6, 1.0, 1.2, 1.0, 1.0, 1.2)
"""Cross-entropy weight of each tissue: thin and small ones a little more than background."""

EDGE_WEIGHT = 5.0
"""Cross-entropy weight at the surface of bodies and sacrum: angles are measured on endplates, and a
thoracic disc is two voxels thick."""

NEIGHBOUR = 0.05
"""Share of the level target given to each neighbouring level: one level off is the honest doubt."""


def total_loss(heads: Heads, batch: Batch, weights: tuple[float, float] = (0.5, 0.3)) -> Loss:
    """Total loss of a batch, and its parts for the log.

    Parameters
    ----------
    heads : Heads
        The net's answer.
    batch : Batch
        What was to be said; without levels there are only the first two parts.
    weights : tuple of float
        Of the offset and of the level part.
    """
    said = torch.log_softmax(heads.semantic.float().contiguous(), dim=1)
    spine = heads.level is not None
    each = functional.nll_loss(
        said, batch.tissue, weight=_weights(said, spine), ignore_index=IGNORED, reduction="none"
    )
    edged = (BODY, SACRUM) if spine else tuple(range(1, said.shape[1]))
    parts = {
        "outline": (each * _edge_weight(batch.tissue, edged)).mean(),
        "overlap": soft_dice_loss(said.exp(), batch.tissue),
    }
    total = parts["outline"] + parts["overlap"]
    if spine:
        parts["offset"] = _offset_loss(heads.offset.float(), batch.offset)
        parts["level"] = _level_loss(heads.level.float(), batch.level)
        total = total + weights[0] * parts["offset"] + weights[1] * parts["level"]
    return total, {name: float(part.detach()) for name, part in parts.items()}


def _weights(said: Tensor, spine: bool) -> Tensor:
    if spine:
        return said.new_tensor(TISSUE_WEIGHTS)
    return said.new_tensor([TISSUE_WEIGHTS[0]] + [1.0] * (said.shape[1] - 1))


def _edge_weight(tissue: Tensor, edged: tuple[int, ...]) -> Tensor:
    """1, and `EDGE_WEIGHT` within two voxels of the surface of these classes taken together."""
    near = sum((tissue == kind for kind in edged), torch.zeros_like(tissue)).float().unsqueeze(1)
    for axis in range(3):  # the mean over a box of five voxels is neither 0 nor 1 near a surface
        size, pad = [1, 1, 1], [0, 0, 0]
        size[axis], pad[axis] = 5, 2
        near = functional.avg_pool3d(near, size, 1, pad, count_include_pad=False)
    return 1 + (EDGE_WEIGHT - 1) * ((near > 1e-6) & (near < 1 - 1e-6)).float().squeeze(1)


def soft_dice_loss(chance: Tensor, tissue: Tensor) -> Tensor:
    """1 - mean Dice of the structures that a batch shows, background left out.

    Milletari et al., 3DV 2016; structures absent from the batch do not count, or an empty patch
    would reward nothing but silence. `chance` are probabilities, shape (batch, classes, z, y, x).
    """
    classes = chance.shape[1]
    known = tissue != IGNORED
    index = tissue.where(known, torch.zeros_like(tissue))
    weight = known.to(chance.dtype)
    right = chance.gather(1, index.unsqueeze(1)).squeeze(1) * weight
    zero = chance.new_zeros(classes)
    shared = zero.index_add(0, index.flatten(), right.flatten())
    size = zero.index_add(0, index.flatten(), weight.flatten())
    claimed = (chance * weight.unsqueeze(1)).sum((0, 2, 3, 4))
    dice = (2 * shared + 1) / (claimed + size + 1)
    shown = (size > 0).to(chance.dtype)
    shown[0] = 0
    return ((1 - dice) * shown).sum() / shown.sum().clamp_min(1)


def _offset_loss(said: Tensor, wanted: Tensor) -> Tensor:
    known = torch.isfinite(wanted)
    distance = functional.smooth_l1_loss(said, wanted.nan_to_num(), reduction="none", beta=0.25) * known
    return distance.sum() / known.sum().clamp_min(1)


def _level_loss(logits: Tensor, level: Tensor) -> Tensor:
    known = level != IGNORED
    if not bool(known.any()):
        return logits.sum() * 0
    said = torch.log_softmax(torch.movedim(logits, 1, -1)[known], dim=-1)
    return -(said * _neighbourly(said.device)[level[known]]).sum(dim=-1).mean()


def _neighbourly(device: torch.device) -> Tensor:
    count = len(LEVEL_CLASSES)
    table = torch.eye(count, device=device)
    for index in range(len(LEVELS) - 1):
        table[index, index + 1] += NEIGHBOUR
        table[index + 1, index] += NEIGHBOUR
    return table / table.sum(dim=1, keepdim=True)
