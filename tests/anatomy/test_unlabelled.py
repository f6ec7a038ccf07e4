"""Nobody is taught, or scored, on what the annotator left open."""

from __future__ import annotations

import numpy as np
import pytest

from spine_node.anatomy.levels import IGNORED, POSTERIOR_OFFSET, SACRUM, VERTEBRA_VALUES
from spine_node.anatomy.unlabelled import MARGIN_MM, mask_unknown
from spine_node.imaging.volume import Grid

L1, L2, L3 = (VERTEBRA_VALUES[level] for level in ("L1", "L2", "L3"))
SHAPE, MM = (40, 16, 16), 4.0


@pytest.fixture(params=["z up first", "z down last"])
def spine(request: pytest.FixtureRequest) -> tuple[np.ndarray, Grid, np.ndarray]:
    """Three bodies with their arches; the heights of the voxels, LPS mm. In two array orders."""
    labels = np.zeros(SHAPE, np.uint8)
    for value, start in ((L3, 6), (L2, 16), (L1, 26)):
        labels[start : start + 6, 3:9, 5:11] = value
        labels[start : start + 6, 9:12, 7:9] = value + POSTERIOR_OFFSET
    affine = np.array([[0, 0, MM, -30.0], [0, MM, 0, -30.0], [MM, 0, 0, -500.0], [0, 0, 0, 1.0]])
    if request.param == "z down last":
        labels = np.ascontiguousarray(labels[::-1].transpose(1, 2, 0))
        top = -500.0 + MM * (SHAPE[0] - 1)
        affine = np.array([[0, MM, 0, -30.0], [MM, 0, 0, -30.0], [0, 0, -MM, top], [0, 0, 0, 1.0]])
    grid = Grid(labels.shape, affine)  # type: ignore[arg-type]
    heights = grid.to_mm(np.stack(np.meshgrid(*map(np.arange, labels.shape), indexing="ij"), -1))[..., 2]
    return labels, grid, heights


def centre(labels: np.ndarray, heights: np.ndarray, value: int) -> float:
    return float(heights[labels == value].mean())


def test_an_ignored_structure_takes_the_background_around_it_along(spine) -> None:
    labels, grid, _ = spine
    known = mask_unknown(labels, grid, ignore=[L2 + POSTERIOR_OFFSET])
    assert (known[labels == L2 + POSTERIOR_OFFSET] == IGNORED).all()
    kept = (labels > 0) & (labels != L2 + POSTERIOR_OFFSET)
    assert np.array_equal(known[kept], labels[kept])  # neighbours are trusted as before
    ignored, free = np.argwhere(labels == L2 + POSTERIOR_OFFSET), np.argwhere(labels == 0)
    gaps = np.linalg.norm((free[:, None] - ignored[None]) * MM, axis=-1).min(axis=1)
    assert np.array_equal(known[labels == 0] == IGNORED, gaps <= MARGIN_MM)


def test_partial_ends_leave_open_what_lies_beyond_the_labelled_bodies(spine) -> None:
    labels, grid, heights = spine
    known = mask_unknown(labels, grid, partial_ends=True)
    beyond = (heights > centre(labels, heights, L1)) | (heights < centre(labels, heights, L3))
    assert np.array_equal(known == IGNORED, beyond & (labels == 0))


def test_an_ignored_end_moves_the_end_to_the_next_body(spine) -> None:
    labels, grid, heights = spine
    known = mask_unknown(labels, grid, ignore=[L1, L1 + POSTERIOR_OFFSET], partial_ends=True)
    above = heights > centre(labels, heights, L2)
    assert (known[above & (labels == 0)] == IGNORED).all()
    assert (known[above & (labels == L2)] == L2).all()


def test_below_a_labelled_sacrum_background_is_background(spine) -> None:
    labels, grid, heights = spine
    labels[(labels == 0) & (heights < heights.min() + 8)] = SACRUM
    known = mask_unknown(labels, grid, partial_ends=True)
    low = heights < centre(labels, heights, L3)
    assert not (known[low] == IGNORED).any()


def test_nothing_asked_changes_nothing(spine) -> None:
    labels, grid, _ = spine
    known = mask_unknown(labels, grid)
    assert np.array_equal(known, labels)
    assert known is not labels
    assert not mask_unknown(np.zeros_like(labels), grid, partial_ends=True).any()  # nothing to end
