"""Studies with everything that is made of them, once for all tests of a process."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.validation.everything import Study, phantom_study, real_study

REAL_CT = [Path(folder) for folder in os.environ.get("SPINE_NODE_REAL_CT", "").split(os.pathsep) if folder]
"""Folders with a series of CT each, to try everything on: SPINE_NODE_REAL_CT=/data/one:/data/two."""

SOURCES = ("one file a slice", "multi-frame", *(folder.parent.name + "/" + folder.name for folder in REAL_CT))
"""Where a study comes from."""


@pytest.fixture(scope="session")
def study_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Study]:
    """The study from one of the sources."""

    @cache
    def made(source: str) -> Study:
        folder = tmp_path_factory.mktemp("study")
        if source in SOURCES[:2]:
            return phantom_study(folder, multiframe=source == "multi-frame")
        return real_study(REAL_CT[SOURCES.index(source) - 2], folder / "objects")

    return made


@pytest.fixture(scope="session")
def phantom(study_of: Callable[[str], Study]) -> Study:
    """A phantom, one file a slice."""
    return study_of("one file a slice")
