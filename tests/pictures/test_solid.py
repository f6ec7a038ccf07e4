"""The bones in space: where they are, in their colours, the right way round, the nearer before the rest."""

from __future__ import annotations

import numpy as np
import pytest

from spine_node.anatomy.levels import FEMORAL_HEAD_LEFT, VERTEBRA_VALUES
from spine_node.dicom.codes import STRUCTURES
from spine_node.imaging.volume import Grid, LabelMap
from spine_node.pictures.bones import Bones, bones
from spine_node.pictures.drawing import CURVE_LINES
from spine_node.pictures.projection import STRUCTURE_NUMBERS, Axes
from spine_node.pictures.rays import Look, Sight, Target, look
from spine_node.pictures.scene import CORONAL, Scene
from spine_node.pictures.solid import solid, views_of
from tests.pictures.drawn_people import Print, person, scene_of

UPRIGHT = Axes(np.array([1.0, 0, 0]), np.array([0, 1.0, 0]), np.array([0, 0, 1.0]))
EXTENT = (-40.0, 40.0, -40.0, 40.0)


def balls(places: dict[str, tuple[float, float, float]], grid: Grid, radius_mm: float = 9.0) -> LabelMap:
    """One ball for each structure, at an LPS place."""
    points = grid.to_mm(np.stack(np.indices(grid.shape), axis=-1))
    labels = np.zeros(grid.shape, np.uint8)
    for name, place in places.items():
        labels[np.linalg.norm(points - np.array(place), axis=-1) <= radius_mm] = STRUCTURES[name].values[0]
    return LabelMap(grid, labels)


def grid_of(spacing_mm: tuple[float, float, float], turn: np.ndarray | None = None) -> Grid:
    """80 mm about the origin; turned, it is still large enough for what lies near the middle."""
    turn = np.eye(3) if turn is None else turn
    affine = np.eye(4)
    affine[:3, :3] = turn * spacing_mm
    shape = tuple(round(80 / s) for s in spacing_mm)
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Grid(shape, affine)  # type: ignore[arg-type]


OBLIQUE = np.array([[0.8, -0.6, 0.0], [0.36, 0.48, -0.8], [-0.48, -0.64, -0.6]])  # a mirror too: det -1


@pytest.mark.parametrize(
    "grid", [grid_of((1, 1, 1)), grid_of((0.4, 0.4, 1.0)), grid_of((1.0, 0.8, 1.5), OBLIQUE)]
)
def test_a_surface_lies_where_the_structure_ends_and_faces_outwards(grid: Grid) -> None:
    """Whatever the voxels' size and orientation; averaging them must not shift what is drawn."""
    centre = np.array([5.0, -3.0, 4.0])
    made = bones(balls({"L2": tuple(centre)}, grid, radius_mm=12.0))
    away = made.vertices_mm - centre
    radii = np.linalg.norm(away, axis=1)
    assert radii.mean() == pytest.approx(12.0, abs=0.4)
    np.testing.assert_allclose(away.mean(axis=0), 0, atol=0.25)
    assert (np.einsum("nk,nk->n", away / radii[:, None], made.normals) > 0.85).all()
    assert np.unique(made.numbers).tolist() == [STRUCTURE_NUMBERS["L2"]]


def seen_from(sight: Sight, made: Bones) -> Look:
    return look((Target(made),), sight, EXTENT, 0.5)


def middle_of(view: Look, name: str) -> np.ndarray:
    """Where a structure is seen, (across, up) mm."""
    rows, columns = np.nonzero(view.numbers == STRUCTURE_NUMBERS[name])
    assert rows.size, f"{name} is not seen"
    return np.array(
        [view.extent_mm[0] + 0.5 * (columns.mean() + 0.5), view.extent_mm[3] - 0.5 * (rows.mean() + 0.5)]
    )


@pytest.fixture(scope="module")
def apart() -> Bones:
    """L1 above; a left femoral head to the left; L5 in front and below."""
    places = {"L1": (0.0, 0.0, 20.0), "femoral_head_left": (22.0, 4.0, -8.0), "L5": (-4.0, -20.0, -15.0)}
    return bones(balls(places, grid_of((1, 1, 1)), radius_mm=7.0))


def test_every_view_is_the_right_way_round(apart: Bones) -> None:
    front, side, above = (
        seen_from(sight, apart)
        for sight in (Sight.from_the_front(UPRIGHT), Sight.from_the_left(UPRIGHT), Sight.from_above(UPRIGHT))
    )
    np.testing.assert_allclose(middle_of(front, "femoral_head_left"), [22, -8], atol=0.5)
    np.testing.assert_allclose(middle_of(front, "L1"), [0, 20], atol=0.5)
    np.testing.assert_allclose(middle_of(side, "L5"), [-20, -15], atol=0.5)  # the front is on the left
    np.testing.assert_allclose(middle_of(above, "L5"), [4, 20], atol=0.5)  # the front is up,
    np.testing.assert_allclose(middle_of(above, "femoral_head_left"), [-22, -4], atol=0.5)  # left is left


def test_a_mirror_image_is_refused() -> None:
    with pytest.raises(ValueError, match="mirror image"):
        Sight(-UPRIGHT.left, UPRIGHT.up, UPRIGHT.posterior)


def test_the_nearer_hides_the_further_whatever_their_order() -> None:
    made = bones(balls({"L1": (0, -20.0, 0), "L2": (0, 20.0, 0)}, grid_of((1, 1, 1))))
    one, other = Target(made.only(["L1"])), Target(made.without(["L1"]))
    front, back = Sight.from_the_front(UPRIGHT), Sight(-UPRIGHT.left, UPRIGHT.up, -UPRIGHT.posterior)
    for parts in ((one, other), (other, one)):
        assert set(np.unique(look(parts, front, EXTENT, 0.5).numbers)) == {0, STRUCTURE_NUMBERS["L1"]}
        assert set(np.unique(look(parts, back, EXTENT, 0.5).numbers)) == {0, STRUCTURE_NUMBERS["L2"]}


def test_a_bone_has_its_colour_and_is_brighter_towards_the_lamp(apart: Bones) -> None:
    view = seen_from(Sight.from_the_front(UPRIGHT), apart)
    for name in ("L1", "L5", "femoral_head_left"):
        rows, columns = np.nonzero(view.numbers == STRUCTURE_NUMBERS[name])
        colours = view.colour[rows, columns]
        shades = colours / colours.sum(axis=1, keepdims=True)
        wanted = np.array(STRUCTURES[name].rgb)
        np.testing.assert_allclose(np.median(shades, axis=0), wanted / wanted.sum(), atol=0.06)
        lit = (rows < np.median(rows)) & (columns < np.median(columns))
        dark = (rows > np.median(rows)) & (columns > np.median(columns))
        assert colours[lit].mean() > 1.5 * colours[dark].mean()


def test_an_edge_is_smooth(apart: Bones) -> None:
    """Its pixels are covered in quarters, and mixed with what lies behind."""
    cover = seen_from(Sight.from_the_front(UPRIGHT), apart).cover
    assert set(np.unique(cover)) == {0, 0.25, 0.5, 0.75, 1}


@pytest.fixture(scope="module")
def scene() -> Scene:
    return scene_of(person())


@pytest.fixture(scope="module")
def page(scene: Scene) -> Print:
    return Print(solid(scene))


def test_each_vertebra_stands_at_its_place_in_its_colour(scene: Scene, page: Print) -> None:
    """On the page itself, where it is measured; a curve's lines and its name may cover one."""
    plot = page.figure.axes[0]
    found = 0
    for level, place in scene.places(CORONAL).items():
        x, y = plot.transData.transform(place)
        row, column = round(page.pixels.shape[0] - 1 - y), round(x)
        around = page.pixels[row - 3 : row + 4, column - 3 : column + 4].reshape(-1, 3)
        wanted = np.array(STRUCTURES[level].rgb)
        shades = around / np.maximum(around.sum(axis=1, keepdims=True), 1e-6)
        found += bool((np.abs(shades - wanted / wanted.sum()).max(axis=1) < 0.06).any())
    assert found >= len(scene.places(CORONAL)) - 2


def test_the_plates_of_a_curve_are_drawn_over_the_bones(scene: Scene, page: Print) -> None:
    for curve, colour in zip(scene.curves, CURVE_LINES, strict=False):
        line = scene.trace(curve.upper or "", "superior", CORONAL)
        assert line is not None
        for share in (-0.3, 1.3):  # beyond the plate, where no bone and no name hides it
            assert page.shows(colour, line[0] + share * (line[1] - line[0]))


def test_the_side_view_leaves_the_near_hip_out(scene: Scene) -> None:
    """It would hide the sacrum."""
    views = views_of(scene, bones(scene.label_map))
    near = STRUCTURE_NUMBERS["femoral_head_left"]
    assert FEMORAL_HEAD_LEFT in np.unique(scene.label_map.labels)
    assert near in views.front.numbers
    assert near not in views.side.numbers
    assert STRUCTURE_NUMBERS["femoral_head_right"] in views.side.numbers


def test_the_page_can_be_read_and_says_what_it_is(scene: Scene, page: Print) -> None:
    assert page.collisions() == []
    words = page.words()
    assert "preliminary, not verified" in words
    assert {"R", "L", "A", "P", "H", "F", "50 mm", *VERTEBRA_VALUES} - set(words.splitlines()) <= {
        "T13",
        "L6",
        "C1",
    }
    for curve in scene.curves:
        assert f"Cobb {curve.value:.1f}\u00b0" in words
