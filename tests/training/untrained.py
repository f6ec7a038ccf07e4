"""Checkpoints of nets that nobody trained: their weights are as random as they began. For tests only."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from spine_node.segmentation.networks import SpineNet
from spine_node.training.recipe import Recipe


def untrained_checkpoint(path: Path, recipe: Recipe, role: str, seed: int = 0) -> Path:
    """A checkpoint as `train` leaves it, of a net with this role."""
    torch.manual_seed(seed)
    average = SpineNet(recipe.architecture).state_dict()
    told = json.dumps(recipe.to_dict() | {"role": role})
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"average": average, "step": 1, "seconds": 1.0, "recipe": told, "earlier": []}, path)
    return path
