"""Slips of the hand are found; a spine that is right is left in peace."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from spine_node.annotation.checks import findings
from spine_node.imaging.volume import Grid, LabelMap
from tests.annotation.scene import labels

RIGHT = labels(("T12", "L1", "L2", "L3", "L4", "L5"), pelvis=True)


def words_of(values: np.ndarray) -> list[str]:
    found = findings(LabelMap(RIGHT.grid, values.astype(np.uint8)))
    return [f"{f.severity}: {f.structure}: {f.words}" for f in found]


def renamed(**values: int) -> np.ndarray:
    """Values exchanged at once; keywords are v20=21."""
    out = RIGHT.labels.copy()
    for old, new in values.items():
        out[RIGHT.labels == int(old[1:])] = new
    return out


def _island(values: np.ndarray) -> np.ndarray:
    values[:12, :8, :8] = 21
    return values


def _crumb(values: np.ndarray) -> np.ndarray:
    values[:2, :2, :2] = 21
    return values


def _far_arch(values: np.ndarray) -> np.ndarray:
    values[values == 121] = 0
    values[2:12, 2:12, 2:12] = 121
    return values


def _without_between(values: np.ndarray) -> np.ndarray:
    """L2 was forgotten."""
    return np.where(np.isin(values, (21, 121)), 0, values)


def _swollen(values: np.ndarray) -> np.ndarray:
    middle = np.argwhere(values == 21).mean(axis=0).astype(int)
    low, high = np.maximum(middle - 35, 1), middle + 35
    box = values[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
    box[box == 0] = 21
    return values


@pytest.mark.parametrize(
    ("slip", "expected"),
    [
        (_island, "error: L2: 2 pieces"),
        (_crumb, "warning: L2: 2 pieces"),
        (_far_arch, "error: L2: the posterior elements do not touch their body"),
        (lambda v: np.where(v == 121, 0, v), "warning: L2: a body without posterior elements"),
        (lambda v: np.where(v == 21, 0, v), "error: L2: posterior elements without a body"),
        (lambda v: renamed(v20=21, v120=121, v21=20, v121=120), "error: L2: lies "),
        (lambda v: renamed(v19=18, v119=118), "no room for T12 between"),
        (lambda v: renamed(v26=24, v24=26), "error: sacrum: lies above L5"),
        (lambda v: renamed(v31=32, v32=31), "error: femoral heads: left and right are swapped"),
        (lambda v: np.where(v == 21, 99, v), "error: 99: the value 99 names no structure"),
        (_swollen, "error: L2: the body has"),
        (lambda v: v * 0, "error: everything: nothing is labelled"),
    ],
)
def test_each_slip_is_named(slip: Callable[[np.ndarray], np.ndarray], expected: str) -> None:
    words = words_of(slip(RIGHT.labels.copy()))
    assert any(expected in line for line in words), words


def test_a_spine_that_is_right_has_no_findings() -> None:
    assert words_of(RIGHT.labels) == []


def test_a_forgotten_vertebra_is_asked_for() -> None:
    """L1 and L3 with a gap is a name skipped rightly; L1 and "L2" with that gap is a question."""
    assert words_of(_without_between(RIGHT.labels.copy())) == []
    shifted = _without_between(renamed(v22=21, v122=121, v21=0, v121=0, v23=0, v123=0, v24=0, v124=0, v26=0))
    shifted[RIGHT.labels == 22], shifted[RIGHT.labels == 122] = 21, 121
    assert any("is there a vertebra between them?" in line for line in words_of(shifted))


def test_what_the_image_cuts_off_is_not_too_small() -> None:
    """The image ends one voxel above the lowest of T12."""
    end = int(np.flatnonzero((RIGHT.labels == 19).any(axis=(0, 1)))[0]) + 1
    below = RIGHT.labels[:, :, :end]
    cut = LabelMap(Grid(below.shape, RIGHT.grid.affine), below)
    assert [finding for finding in findings(cut) if finding.structure == "T12"] == []
