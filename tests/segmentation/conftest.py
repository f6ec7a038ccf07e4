"""A bundle with an untrained net of a few weights, for everything that does not need a trained one."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from spine_node.segmentation.architecture import Architecture
from spine_node.training.export import export
from spine_node.training.recipe import Recipe
from tests.segmentation.toy_spine import SPACING_MM
from tests.training.toy_stream import ToyStream
from tests.training.untrained import untrained_checkpoint

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
    checkpoint = untrained_checkpoint(folder / "checkpoint.pt", TINY, "fine")
    export(checkpoint, folder / "bundle", command="pytest")
    return folder / "bundle"


TINY_CONTEXT = replace(TINY, spacing_mm=1.5 * SPACING_MM, patch=(16, 16, 16))


@pytest.fixture(scope="session")
def tiny_pair(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a context net beside it, of larger voxels, as untrained."""
    folder = tmp_path_factory.mktemp("pair")
    shutil.copytree(tiny_bundle, folder / "bundle")
    checkpoint = untrained_checkpoint(folder / "checkpoint.pt", TINY_CONTEXT, "context")
    export(checkpoint, folder / "bundle", command="pytest")
    return folder / "bundle"
