"""The vertical is told in words or as a direction, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from spine_node.anatomy.vertical import vertical_told


@pytest.mark.parametrize(("text", "standing"), [("standing", True), ("lying", False), ("unknown", None)])
def test_words_say_the_posture_and_keep_the_image_axis(text: str, standing: bool | None) -> None:
    told = vertical_told(text)
    assert told.standing is standing
    assert told.direction.tolist() == [0, 0, 1]


def test_a_direction_is_that_of_a_person_who_stood() -> None:
    told = vertical_told("0,-3,4")
    assert told.standing is True
    assert np.allclose(told.direction, [0, -0.6, 0.8])
    assert "given by the user" in told.provenance


@pytest.mark.parametrize("text", ["up", "1,2", "0,0,0", "1,2,three", ""])
def test_anything_else_is_refused_with_what_is_expected(text: str) -> None:
    with pytest.raises(ValueError, match="must be standing, lying, unknown, or X,Y,Z"):
        vertical_told(text)
