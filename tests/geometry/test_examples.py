"""The examples in docstrings of the measuring core are run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import spine_node.anatomy
import spine_node.geometry
import spine_node.imaging
import spine_node.parameters

MODULES = [
    module.name
    for package in (spine_node.geometry, spine_node.imaging, spine_node.anatomy, spine_node.parameters)
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_are_true(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples() -> None:
    assert sum(doctest.testmod(importlib.import_module(name)).attempted for name in MODULES) >= 5
