from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from spine_node.geometry.directions import DegenerateGeometry, across, axes_from, unit

VECTOR = st.tuples(*[st.floats(-10, 10)] * 3).map(np.array).filter(lambda v: np.linalg.norm(v) > 0.1)


@settings(deadline=None)
@given(VECTOR, VECTOR)
def test_axes_are_right_handed_and_keep_the_cranial_direction(cranial: np.ndarray, back: np.ndarray) -> None:
    assume(np.linalg.norm(np.cross(unit(cranial), unit(back))) > 0.01)
    axes = axes_from(cranial, back)
    assert np.linalg.det(axes) == pytest.approx(1)
    assert axes[:, 2] == pytest.approx(unit(cranial))
    assert axes[:, 1] @ back > 0


def test_x_is_left_when_y_is_posterior_and_z_superior() -> None:
    """LPS: the order of the cross product is what decides between left and right."""
    assert axes_from([0, 0, 1], [0, 1, 0])[:, 0] == pytest.approx([1, 0, 0])


def test_what_is_across_has_lost_its_part_along() -> None:
    assert across([3, 0, 4], [0, 0, 1]) == pytest.approx([1, 0, 0])


def test_a_vector_without_length_is_refused() -> None:
    with pytest.raises(DegenerateGeometry, match="length 0"):
        unit([0, 0, 0])


def test_parallel_directions_span_no_axes() -> None:
    with pytest.raises(DegenerateGeometry, match="parallel"):
        axes_from([0, 0, 1], [0, 0, -3])
