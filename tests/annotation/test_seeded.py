"""A few clicks, some millimetres off, give every vertebra its bone."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from spine_node.anatomy.levels import VERTEBRA_VALUES
from spine_node.annotation.checks import findings
from spine_node.annotation.seeded import Method, seeded
from spine_node.errors import LabelMapRefused
from tests.annotation.scene import LEVELS, centres_of, image, labels


def dice(found: np.ndarray, truth: np.ndarray, value: int) -> float:
    one, other = found == value, truth == value
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


@pytest.mark.parametrize(("method", "levels"), [("watershed", LEVELS), ("random-walker", ("L2",))])
def test_bodies_and_posterior_elements_are_found_around_the_clicks(
    method: Method, levels: tuple[str, ...]
) -> None:
    """A draft: most voxels right, no vertebra in another's place, nothing that cannot be anatomy."""
    truth = labels()
    centres = centres_of(truth)
    made = seeded(image(truth), {level: centres[level] for level in levels}, method)
    assert made.grid.matches(truth.grid)
    for level in levels:
        assert dice(made.labels, truth.labels, VERTEBRA_VALUES[level]) > 0.8, level
        assert dice(made.labels, truth.labels, VERTEBRA_VALUES[level] + 100) > 0.6, level
    assert not [finding for finding in findings(made) if finding.severity == "error"]


def test_an_oblique_image_is_drawn_on_its_own_grid() -> None:
    truth = labels(("L1",), turned=Rotation.from_euler("xyz", (15, -20, 30), degrees=True))
    made = seeded(image(truth), centres_of(truth))
    assert dice(made.labels, truth.labels, 20) > 0.8


def test_what_was_not_clicked_is_not_drawn() -> None:
    """The neighbours of the one clicked vertebra keep their bone to themselves."""
    truth = labels()
    made = seeded(image(truth), {"L2": centres_of(truth)["L2"]})
    assert set(np.unique(made.labels)) == {0, 21, 121}
    strayed = np.isin(truth.labels, (20, 120, 22, 122)) & (made.labels > 0)
    assert strayed.sum() < 0.1 * (made.labels > 0).sum()


def test_sacrum_and_femoral_heads_are_added_where_they_were_clicked() -> None:
    truth = labels(("L5",), pelvis=True)
    centres = centres_of(truth)
    for name, value in (("sacrum", 26), ("femoral_head_left", 31), ("femoral_head_right", 32)):
        inside = np.argwhere(truth.labels == value)
        centres[name] = truth.grid.to_mm(inside.mean(axis=0))
    made = seeded(image(truth), centres)
    assert dice(made.labels, truth.labels, 31) > 0.8
    assert dice(made.labels, truth.labels, 32) > 0.8
    assert dice(made.labels, truth.labels, 26) > 0.6


def test_a_pelvis_alone_is_refused() -> None:
    with pytest.raises(LabelMapRefused, match="no vertebra has a centre"):
        seeded(image(labels()), {"sacrum": np.zeros(3)})
