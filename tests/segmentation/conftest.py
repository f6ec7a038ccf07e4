"""A bundle with an untrained net of a few weights, for everything that does not need a trained one."""

from __future__ import annotations

from pathlib import Path

import pytest

from spine_node.segmentation.networks import Architecture
from spine_node.training.export import export
from spine_node.training.train import Recipe, train
from tests.segmentation.toy_spine import SPACING_MM, toy_case

TINY = Recipe(
    architecture=Architecture(widths=(4, 8), fine=4),
    spacing_mm=SPACING_MM,
    patch=(32, 32, 32),
    cases=1,
    cases_at_start=1,
)


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A well-formed bundle; what its net says means nothing."""
    from spine_node.training.samples import make_case

    folder = tmp_path_factory.mktemp("tiny")
    (folder / "run" / "cases").mkdir(parents=True)
    make_case(0, folder / "run" / "cases", SPACING_MM, toy_case)
    checkpoint = train(folder / "run", minutes=1, workers=0, recipe=TINY, max_steps=1, device="cpu")
    export(checkpoint, folder / "bundle", version="0.0.1", command="pytest")
    return folder / "bundle"
