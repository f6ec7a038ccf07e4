"""The judge of overlays sees one that is moved, miscoloured or missing. Needs no viewer."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.viewers.judges import AGREES, Segments, judge_overlay

SPACING_MM, ORIGIN_MM = (4.0, 2.0, 1.0), (-20.0, 30.0, 100.0)
PIXELS_PER_MM = 3.0


@pytest.fixture(scope="module")
def segments() -> Segments:
    """Two blocks that no mirror brings onto each other, on a grid (z, y, x) of unequal spacing."""
    numbers = np.zeros((20, 30, 50), dtype=np.int64)
    numbers[4:12, 5:18, 8:30] = 1
    numbers[4:16, 20:28, 33:46] = 2
    affine = np.eye(4)
    affine[:3, :3] = np.fliplr(np.diag(SPACING_MM[::-1]))
    affine[:3, 3] = ORIGIN_MM
    cielab = {1: (60.0, 49.8, 23.2), 2: (48.0, -36.9, 27.5)}
    return Segments(numbers, np.linalg.inv(affine), {1: "one", 2: "two"}, cielab)


def shown(
    segments: Segments, moved: tuple[int, int] = (0, 0), order: Sequence[int] = (0, 1, 2), alpha: float = 0.5
) -> dict[str, object]:
    """The axial plane through slice 8, grey with half a colour on it, as a viewer would paint it."""
    plane = np.roll(segments.numbers[8], moved, (0, 1))
    grey = np.full((*plane.shape, 3), 90.0)
    for number in (1, 2):
        there = plane == number
        grey[there] = (1 - alpha) * grey[there] + alpha * segments.rgb(order[number])
    enlarged = grey.repeat(int(PIXELS_PER_MM * SPACING_MM[1]), 0).repeat(
        int(PIXELS_PER_MM * SPACING_MM[2]), 1
    )
    return view(enlarged)


def view(rgb: NDArray[np.float64]) -> dict[str, object]:
    file = io.BytesIO()
    Image.fromarray(rgb.round().astype(np.uint8)).save(file, format="PNG")
    step = 1 / PIXELS_PER_MM
    # The first pixel's centre lies half a voxel, less half a pixel, before the first voxel's.
    half = [(size - step) / 2 for size in SPACING_MM]
    corner = np.add(ORIGIN_MM, [-half[2], -half[1], 8 * SPACING_MM[0]])
    png = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
    return {"png": png, "origin": corner.tolist(), "right": [step, 0, 0], "down": [0, step, 0]}


def test_an_overlay_on_its_voxels_is_right(segments: Segments) -> None:
    coloured, clean, pixels = judge_overlay(shown(segments), segments)
    assert (coloured, clean) == (1.0, 1.0)
    assert pixels > 100


@pytest.mark.parametrize("moved", [(2, 0), (0, 3), (-2, -2)])
def test_an_overlay_that_lies_beside_is_wrong(segments: Segments, moved: tuple[int, int]) -> None:
    assert min(judge_overlay(shown(segments, moved=moved), segments)[:2]) < AGREES


def test_colours_shifted_by_one_segment_are_wrong(segments: Segments) -> None:
    assert judge_overlay(shown(segments, order=(0, 2, 1)), segments)[0] == 0


def test_no_overlay_is_wrong(segments: Segments) -> None:
    assert judge_overlay(shown(segments, alpha=0.0), segments)[0] == 0


def test_the_middle_of_a_segment_lies_in_it(segments: Segments) -> None:
    for number in (1, 2):
        near, _, inside = segments.at(np.array([segments.middle_mm(number)]))
        assert inside.all()
        assert near.tolist() == [number]
