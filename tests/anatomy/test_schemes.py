"""Label maps of other makers say the same about a spine as our own."""

from __future__ import annotations

import numpy as np
import pytest

from spine_node.anatomy.levels import VERTEBRA_VALUES
from spine_node.anatomy.locate import locate
from spine_node.anatomy.schemes import (
    SCHEMES,
    TOTALSEGMENTATOR,
    VERSE,
    from_scheme,
    from_subregions,
    value_of,
)
from spine_node.anatomy.split import BY_SHAPE
from spine_node.errors import LabelMapRefused
from spine_node.geometry.angles import angle_between_deg
from spine_node.imaging.volume import Grid, LabelMap
from tests.anatomy.voxel_spine import voxel_spine

GRID = Grid((2, 2, 2), np.eye(4))


def test_every_vertebra_has_its_value_in_each_scheme() -> None:
    for scheme in ("verse", "totalsegmentator"):
        values = {value_of(name) for name in SCHEMES[scheme].values()}
        assert set(range(1, 25)) | {26} <= values
    assert value_of(VERSE[28]) == VERTEBRA_VALUES["T13"]
    assert value_of(VERSE[25]) == VERTEBRA_VALUES["L6"]


@pytest.mark.parametrize(
    ("number", "ours"),
    [(25, 26), (26, 26), (27, 24), (31, 20), (32, 19), (43, 8), (44, 7), (50, 1), (77, 29), (78, 30)],
)
def test_totalsegmentators_numbers_are_those_of_its_version_2(number: int, ours: int) -> None:
    """It counts from the sacrum upwards; S1 is a class of its own."""
    assert value_of(TOTALSEGMENTATOR[number]) == ours


def test_what_we_do_not_measure_is_left_out() -> None:
    labels = np.array([20, 27, 26, 0, 20, 20, 20, 20]).reshape(2, 2, 2)
    found, _ = from_scheme(GRID, labels, VERSE)
    assert sorted(np.unique(found.labels).tolist()) == [0, 20, 26]


def test_a_map_of_another_scheme_is_refused_with_its_values() -> None:
    with pytest.raises(LabelMapRefused, match=r"values from 0 to 300.*another scheme"):
        from_scheme(GRID, np.array([0, 300, 1, 0, 0, 0, 0, 0]).reshape(2, 2, 2), TOTALSEGMENTATOR)


def test_a_spine_in_totalsegmentators_numbers_has_the_same_axes_and_endplates() -> None:
    """Whole vertebrae under other numbers: rotation is found though nobody parted body and arch."""
    patient = voxel_spine(levels=("T12", "L1", "L2", "L3"))
    own = patient.label_map(1.5)
    merged = np.where(own.labels > 100, own.labels - 100, own.labels)
    numbers = {value_of(name): value for value, name in TOTALSEGMENTATOR.items() if value != 26}
    theirs = np.vectorize(lambda v: numbers.get(v, 0))(np.arange(256))[merged]
    found, quality = from_scheme(own.grid, theirs, TOTALSEGMENTATOR)
    assert quality == (BY_SHAPE,)
    expected, spine = locate(own), locate(found)
    for level in ("T12", "L1", "L2", "L3"):
        a, b = expected.vertebra(level), spine.vertebra(level)
        assert a is not None
        assert b is not None
        assert a.axes is not None
        assert b.axes is not None
        assert angle_between_deg(a.axes[:, 1], b.axes[:, 1]) < 3
        assert a.superior is not None
        assert b.superior is not None
        assert angle_between_deg(a.superior.normal, b.superior.normal) < 2


def femur_and_hip(side: str) -> tuple[LabelMap, np.ndarray, float]:
    """A ball of 23 mm in a socket, with a neck and a shaft, on voxels of 2 mm."""
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    grid = Grid((70, 50, 90), affine)
    mm = grid.to_mm(np.argwhere(np.ones(grid.shape, bool))).reshape(*grid.shape, 3)
    out = 1.0 if side == "left" else -1.0
    centre = np.array([60.0 if side == "left" else 80.0, 50.0, 120.0])
    away = np.linalg.norm(mm - centre, axis=-1)
    along = np.clip((mm - centre) @ np.array([0.7 * out, 0, -0.7]), 0, 50)
    neck = np.linalg.norm(mm - centre - along[..., None] * np.array([0.7 * out, 0, -0.7]), axis=-1) < 14
    shaft = (np.linalg.norm((mm - centre - [38 * out, 0, 0])[..., :2], axis=-1) < 15) & (
        mm[..., 2] < centre[2] - 25
    )
    labels = np.zeros(grid.shape, np.int64)
    labels[neck | shaft] = 75 if side == "left" else 76
    labels[away <= 23] = 75 if side == "left" else 76
    socket = (away > 26) & (away < 34) & ((mm - centre)[..., 0] * out < 8) & ((mm - centre)[..., 2] > -12)
    labels[socket] = 77 if side == "left" else 78
    labels[0, 0, 0] = 25
    return LabelMap(grid, labels.astype(np.uint8)), centre, 23.0


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_head_is_cut_from_the_femur(side: str) -> None:
    theirs, centre, radius = femur_and_hip(side)
    found, quality = from_scheme(theirs.grid, theirs.labels.astype(np.int64), TOTALSEGMENTATOR)
    assert quality == ()
    head = found.grid.to_mm(np.argwhere(found.labels == (31 if side == "left" else 32)))
    assert np.linalg.norm(head - centre, axis=1).max() < radius + 3
    sphere = locate(found).heads[side]
    assert np.linalg.norm(sphere.centre_mm - centre) < 1
    assert sphere.radius_mm == pytest.approx(radius, abs=1)


def test_a_femur_without_its_socket_shows_its_head_by_its_shape() -> None:
    theirs, centre, _ = femur_and_hip("left")
    labels = np.where(theirs.labels == 77, 0, theirs.labels).astype(np.int64)
    found, quality = from_scheme(theirs.grid, labels, TOTALSEGMENTATOR)
    assert set(np.unique(found.labels).tolist()) == {0, 26, 31}
    assert quality == ()
    assert np.linalg.norm(locate(found).heads["left"].centre_mm - centre) < 1


def test_two_maps_of_whole_vertebrae_and_of_their_parts_make_one() -> None:
    """Core and border of the body, any process, a disc, the sacrum, and a part of no vertebra."""
    vertebrae = np.array([22, 22, 22, 122, 26, 0, 23, 0]).reshape(2, 2, 2)
    parts = np.array([50, 49, 42, 100, 26, 41, 44, 0]).reshape(2, 2, 2)
    found = from_subregions(GRID, vertebrae, parts)
    assert found.labels.ravel().tolist() == [22, 22, 122, 0, 26, 0, 123, 0]
    with pytest.raises(LabelMapRefused, match="hold no body"):
        from_subregions(GRID, vertebrae, np.zeros_like(parts))
