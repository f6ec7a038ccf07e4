"""A bundle with an untrained net of a few weights, for everything that does not need a trained one."""

from __future__ import annotations

from pathlib import Path

import pytest

from spine_node.segmentation.architecture import Architecture
from spine_node.training.export import export
from spine_node.training.recipe import Recipe
from spine_node.training.train import train
from tests.segmentation.toy_spine import SPACING_MM
from tests.training.toy_stream import ToyStream

TINY = Recipe(
    version="0.0.1",
    architecture=Architecture(widths=(4, 8), fine=4),
    spacing_mm=SPACING_MM,
    patch=(32, 32, 32),
    minutes=1,
    workers=0,
    streams=(ToyStream(count=1),),
)


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A well-formed bundle; what its net says means nothing."""
    folder = tmp_path_factory.mktemp("tiny")
    checkpoint = train(folder / "run", TINY, max_steps=1, device="cpu")
    export(checkpoint, folder / "bundle", command="pytest")
    return folder / "bundle"
