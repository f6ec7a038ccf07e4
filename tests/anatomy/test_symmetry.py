"""The mirror plane of a vertebra against the turn it was given."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from spine_node.anatomy.symmetry import Mirror, find_mirror
from spine_node.geometry.directions import axes_from
from spine_node.imaging.surface import field_of
from tests.anatomy.vertebra_shapes import Shape, box_arch, uneven, with_processes, without

POSES = {
    "turned 50": Rotation.from_euler("ZYX", [50, 5, -8], degrees=True),
    "tilted 45": Rotation.from_euler("ZYX", [-20, 45, 10], degrees=True),
    "upright": Rotation.from_euler("ZYX", [-12, -3, 25], degrees=True),
}


def turn_off_deg(
    shape: Shape, pose: Rotation, spacing_mm: float, guess_off_deg: float
) -> tuple[float, Mirror]:
    """How far the mirror plane found is turned about the true Z from the true one, left positive."""
    body, posterior = shape.pieces(pose, spacing_mm)
    assert posterior is not None
    true = pose.as_matrix()
    off = np.radians(guess_off_deg)
    guess = axes_from(true[:, 2], true @ [-np.sin(off), np.cos(off), 0.0])
    mirror = find_mirror([field_of(body), field_of(posterior)], body.points_mm.mean(axis=0), guess)
    y = true.T @ mirror.axes[:, 1]
    return float(np.degrees(np.arctan2(-y[0], y[1]))), mirror


@pytest.mark.parametrize("pose", POSES.values(), ids=POSES.keys())
@pytest.mark.parametrize("spacing_mm", [1.2, 1.5])
@pytest.mark.parametrize("make", [box_arch, with_processes])
def test_a_turned_vertebra_is_found_turned(
    make: Callable[[], Shape], spacing_mm: float, pose: Rotation
) -> None:
    """Also with a plain box for an arch, and with a first guess that is off by 20 degrees."""
    for guess_off in (-20.0, 20.0):
        assert turn_off_deg(make(), pose, spacing_mm, guess_off)[0] == pytest.approx(0, abs=0.3)


def test_a_wedged_body_is_not_a_turned_one() -> None:
    """One side of the body 5 mm lower than the other, as in scoliosis."""
    assert turn_off_deg(box_arch(wedge_deg=8.0), POSES["upright"], 1.0, 10.0)[0] == pytest.approx(0, abs=0.3)


CUTS = {
    "spinous process": lambda x, y, z: y > 36,
    "spinous process, obliquely": lambda x, y, z: y + x > 40,
    "left transverse process": lambda x, y, z: x > 18,
    "left lower edge of the lamina": lambda x, y, z: (x > 3) & (y > 24) & (z < -2),
}


@pytest.mark.parametrize("gone", CUTS.values(), ids=CUTS.keys())
def test_what_is_missing_on_one_side_turns_nothing(gone: Callable[..., np.ndarray]) -> None:
    off, _ = turn_off_deg(without(with_processes(), gone), POSES["upright"], 1.0, 12.0)
    assert off == pytest.approx(0, abs=0.7)


def test_an_uneven_surface_costs_less_than_the_stated_spread_allows() -> None:
    found = [turn_off_deg(uneven(with_processes(), seed), POSES["upright"], 1.5, 8.0) for seed in range(3)]
    assert max(abs(off) for off, _ in found) < 1.5
    assert all(abs(off) < 3 * mirror.spread_deg for off, mirror in found)


def test_sides_that_differ_are_less_alike_and_less_sure() -> None:
    _, whole = turn_off_deg(with_processes(), POSES["upright"], 1.5, 0.0)
    _, cut = turn_off_deg(
        without(with_processes(), CUTS["left transverse process"]), POSES["upright"], 1.5, 0.0
    )
    assert cut.likeness < whole.likeness
    assert cut.spread_deg > whole.spread_deg
