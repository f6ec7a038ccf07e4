"""Each kind of correction is seen, counted to the voxel, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest

from spine_node.annotation.compare import Changes, compare
from spine_node.errors import LabelMapRefused
from spine_node.imaging.volume import Grid, LabelMap
from tests.annotation.scene import labels

DRAFT = labels()
VOXEL_ML = 0.008


def changed(labels: np.ndarray) -> Changes:
    return compare(DRAFT, LabelMap(DRAFT.grid, labels.astype(np.uint8)))


def top_of(value: int, layers: int) -> np.ndarray:
    """The uppermost layers of a structure (the third axis of this grid points up)."""
    mask = DRAFT.labels == value
    highest = np.flatnonzero(mask.any(axis=(0, 1)))[-layers:]
    out = np.zeros_like(mask)
    out[..., highest] = mask[..., highest]
    return out


def test_nothing_changed() -> None:
    found = changed(DRAFT.labels)
    assert (found.structures, found.relabelled, found.new, found.gone, found.shift) == ((), (), (), (), "")
    assert set(found.unchanged) == {f"L{n}{part}" for n in (1, 2, 3) for part in ("", "_posterior")}
    assert not np.any([found.added, found.removed, found.changed])


def test_a_shaved_end_plate_is_removed_volume() -> None:
    gone = top_of(21, 1)
    found = changed(np.where(gone, 0, DRAFT.labels))
    (row,) = found.structures
    before, removed = int((DRAFT.labels == 21).sum()), int(gone.sum())
    assert (row.name, row.added_voxels, row.removed_voxels) == ("L2", 0, removed)
    assert row.removed_ml == pytest.approx(removed * VOXEL_ML)
    assert row.dice == pytest.approx(2 * (before - removed) / (2 * before - removed))
    assert row.surface_max_mm == pytest.approx(2.0)
    assert 0 < row.surface_mean_mm < 1.0
    assert np.array_equal(found.removed, gone)
    assert "L1" in found.unchanged


def test_painted_voxels_are_added_volume() -> None:
    more = np.zeros(DRAFT.labels.shape, bool)
    more[:3, :3, :3] = True
    found = changed(np.where(more, 21, DRAFT.labels))
    (row,) = found.structures
    assert (row.added_voxels, row.removed_voxels, row.pieces) == (27, 0, 2)
    assert row.outside_largest_ml == pytest.approx(27 * VOXEL_ML)
    assert np.array_equal(found.added, more)


def test_a_moved_boundary_is_relabelled_from_one_to_the_other() -> None:
    moved = top_of(21, 2)
    found = changed(np.where(moved, 20, DRAFT.labels))
    (relabelled,) = found.relabelled
    assert (relabelled.source, relabelled.target, relabelled.voxels) == ("L2", "L1", int(moved.sum()))
    assert [row.name for row in found.structures] == ["L1", "L2"]
    assert (found.renamed, found.shift) == ({}, "")
    assert np.array_equal(found.changed, moved)


def test_structures_that_come_and_go() -> None:
    new = DRAFT.labels.copy()
    new[new == 122] = 0
    new[2:6, 2:6, 2:6] = 26
    found = changed(new)
    assert (found.new, found.gone) == (("sacrum",), ("L3_posterior",))
    gone = next(row for row in found.structures if row.name == "L3_posterior")
    assert (gone.dice, gone.surface_mean_mm, gone.pieces) == (0.0, None, 0)


def test_levels_that_were_counted_wrong_are_one_sentence() -> None:
    found = changed(np.where(DRAFT.labels > 0, DRAFT.labels - 1, 0))
    assert found.renamed["L1"] == "T12"
    assert found.renamed["L2_posterior"] == "L1_posterior"
    assert found.shift == "the names of L1 to L3 moved cranially by 1 level (L1 -> T12, L3 -> L2)"


def test_one_renamed_vertebra_is_no_shift() -> None:
    new = np.where(DRAFT.labels == 20, 19, DRAFT.labels)
    found = changed(np.where(new == 120, 119, new))
    assert found.renamed == {"L1": "T12", "L1_posterior": "T12_posterior"}
    assert found.shift == ""


def test_what_cannot_be_anatomy_is_said_with_the_changes() -> None:
    new = np.where(DRAFT.labels == 21, 24, DRAFT.labels)
    words = [f"{f.severity} {f.structure}: {f.words}" for f in changed(new).findings]
    assert any(w.startswith("error L5: lies") and w.endswith("above L3") for w in words), words


def test_another_grid_is_refused() -> None:
    grid = Grid(DRAFT.grid.shape, DRAFT.grid.affine + np.array([[0, 0, 0, 1.0]] + [[0.0] * 4] * 3))
    with pytest.raises(LabelMapRefused, match="not on the same grid"):
        compare(DRAFT, LabelMap(grid, DRAFT.labels))
