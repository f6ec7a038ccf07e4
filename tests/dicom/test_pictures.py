"""Pictures show the right side on the right side, in true proportions, and no patient."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from PIL import Image

from spine_node.dicom.codes import STRUCTURES
from spine_node.dicom.pictures import axes_of, write_pictures
from spine_node.dicom.projection import STRUCTURE_NUMBERS, Axes, course, project
from spine_node.imaging.volume import Grid, LabelMap, Volume
from spine_node.parameters.catalogue import DEFINITIONS
from spine_node.parameters.model import Line, Measurements, NotMeasured, Parameter
from tests.dicom.small_series import grid_of

PLAIN = Axes(*np.eye(3))
ORIENTATIONS = {
    "axial": ((1, 0, 0), (0, 1, 0)),
    "sagittal": ((0, 1, 0), (0, 0, -1)),
    "coronal from behind": ((-1, 0, 0), (0, 0, -1)),
}


def pelvis(rows: object = (1, 0, 0), columns: object = (0, 1, 0)) -> tuple[Volume, LabelMap]:
    """L5 above, the left femoral head lower and the right one higher, in LPS whatever the grid is."""
    grid = grid_of(rows, columns, spacing=(3.0, 3.0, 3.0), shape=(64, 64, 64))  # type: ignore[arg-type]
    points = grid.to_mm(np.stack(np.indices(grid.shape), axis=-1)) - grid.centre_mm
    labels = np.zeros(grid.shape, dtype=np.uint8)
    for value, centre, radius in ((24, (0, 0, 60), 20), (31, (50, -10, -40), 15), (32, (-50, -10, -20), 15)):
        labels[np.linalg.norm(points - centre, axis=-1) <= radius] = value
    values = np.where(labels > 0, 1000, 0) + (points[..., 2] / 2).astype(int)
    return Volume(grid, values.astype(np.int16)), LabelMap(grid, labels)


def found_at(grid: Grid, view: object, name: str) -> np.ndarray:
    """Centre of a structure in a projection, mm from the middle of the grid."""
    left, right, bottom, top = view.extent_mm  # type: ignore[attr-defined]
    row, column = np.argwhere(view.structures == STRUCTURE_NUMBERS[name]).mean(axis=0)  # type: ignore[attr-defined]
    rows, columns = view.structures.shape  # type: ignore[attr-defined]
    return np.array(
        [left + (column + 0.5) * (right - left) / columns, top - (row + 0.5) * (top - bottom) / rows]
    )


@pytest.mark.parametrize("orientation", list(ORIENTATIONS))
def test_the_frontal_view_has_the_patients_left_on_the_right(orientation: str) -> None:
    volume, label_map = pelvis(*ORIENTATIONS[orientation])
    middle = volume.grid.centre_mm
    spine = course(label_map, PLAIN)
    view = project(
        volume, label_map, PLAIN, spine, horizontal=0, margin_mm=20, half_thickness_mm=18, pixel_mm=1.5
    )
    for name, place in (
        ("L5", (0, 60)),
        ("femoral_head_left", (50, -40)),
        ("femoral_head_right", (-50, -20)),
    ):
        np.testing.assert_allclose(found_at(volume.grid, view, name) - middle[[0, 2]], place, atol=1.5)


@pytest.mark.parametrize("orientation", list(ORIENTATIONS))
def test_the_side_view_has_anterior_on_the_left(orientation: str) -> None:
    volume, label_map = pelvis(*ORIENTATIONS[orientation])
    spine = course(label_map, PLAIN)
    view = project(
        volume, label_map, PLAIN, spine, horizontal=1, margin_mm=20, half_thickness_mm=80, pixel_mm=1.5
    )
    middle = volume.grid.centre_mm
    np.testing.assert_allclose(
        found_at(volume.grid, view, "femoral_head_right") - middle[[1, 2]], (-10, -20), atol=1.5
    )


def test_grey_values_are_the_mean_through_the_slab() -> None:
    volume, label_map = pelvis()
    spine = course(label_map, PLAIN)
    view = project(
        volume, label_map, PLAIN, spine, horizontal=0, margin_mm=0, half_thickness_mm=3, pixel_mm=1.5
    )
    inside = view.structures == STRUCTURE_NUMBERS["L5"]
    assert np.median(view.grey[inside]) == pytest.approx(1030, abs=5)


def number(key: str, value: float, *lines: Line, **where: object) -> Parameter:
    row = DEFINITIONS[key]
    return Parameter(key, value, row.unit, row.method, lines=lines, **where)  # type: ignore[arg-type]


def measured(middle: np.ndarray) -> Measurements:
    def line(role: str, *points: tuple[float, float, float]) -> Line:
        return Line(role, middle + np.array(points))

    hips = line("axis", (-50, -10, -20), (50, -10, -40))
    arm = line("arm", (0, -20, 60), (0, 20, 50))
    curve = {"upper": "L4", "apex": "L5", "lower": "L5", "side": "left"}
    return Measurements(
        "PATIENT",
        "given",
        (
            number("PI", 50, arm, line("arm", (0, -10, -30), (0, 0, 50)), hips),
            number("PELVOBL", -11.3, hips, side="right"),
            number("SVA", 12, line("plumb", (0, 0, 90), (0, 0, 40)), line("centre", (0, 0, 40), (0, 9, 40))),
            number("LL_L1S1", 40, arm, arm, uncertainty=2.0),
            number(
                "COBB",
                20,
                line("arm", (-20, 0, 70), (20, 0, 75)),
                line("arm", (-20, 0, 50), (20, 0, 45)),
                **curve,
            ),
            number(
                "C7_CSVL", 4, line("plumb", (0, 0, 40), (0, 0, 90)), line("centre", (0, 0, 0)), side="left"
            ),
            number("AVR", -12, level="L5", side="right"),
        ),
        (NotMeasured("PT", "the hip axis cannot be seen from here, which is a long reason " * 3),),
    )


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    volume, label_map = pelvis()
    out = tmp_path_factory.mktemp("results") / "pictures"
    return write_pictures(volume, label_map, measured(volume.grid.centre_mm), out)


def test_two_pictures_are_written_in_true_proportions(pictures: list[Path]) -> None:
    """A circle of the femoral head stays a circle: one millimetre is as wide as it is high."""
    assert [p.name for p in pictures] == ["coronal.png", "sagittal.png"]
    picture = imread(pictures[0])[..., :3]
    assert picture.shape[0] == 1650
    colour = np.array(STRUCTURES["femoral_head_right"].rgb)
    outline = np.argwhere(np.abs(picture - colour).max(axis=-1) < 0.03)
    height, width = np.ptp(outline, axis=0)
    assert 40 < height == pytest.approx(width, rel=0.1)


def test_left_and_right_are_where_radiologists_expect_them(pictures: list[Path]) -> None:
    picture = imread(pictures[0])[..., :3]

    def column(name: str) -> float:
        near = np.abs(picture - np.array(STRUCTURES[name].rgb)).max(axis=-1) < 0.03
        return float(np.argwhere(near)[:, 1].mean())

    assert column("femoral_head_right") < column("L5") < column("femoral_head_left")


def test_a_patient_who_stands_turned_is_seen_from_the_front() -> None:
    """The hip axis says which way the patient faces, where both heads were found."""
    yaw = np.radians(20)
    left = np.array([np.cos(yaw), np.sin(yaw), 0])
    obliquity = number("PELVOBL", 0, Line("axis", [-50 * left, 50 * left + (0, 0, 9)]), side="left")
    axes = axes_of(Measurements("PATIENT", "given", (obliquity,)))
    np.testing.assert_allclose(axes.left, left, atol=1e-9)
    np.testing.assert_allclose(axes.posterior, (-np.sin(yaw), np.cos(yaw), 0), atol=1e-9)
    np.testing.assert_array_equal(axes_of(Measurements("SCANNER", "given", (obliquity,))).left, (1, 0, 0))


def test_a_picture_needs_no_measurement_and_tells_nothing_of_the_patient(tmp_path: Path) -> None:
    volume, label_map = pelvis()
    nothing = Measurements("SCANNER", "image z axis, posture not declared", ())
    for path in write_pictures(volume, label_map, nothing, tmp_path):
        with Image.open(path) as picture:
            assert picture.info.keys() <= {"dpi"}


def test_nothing_labelled_is_nothing_to_draw(tmp_path: Path) -> None:
    volume, label_map = pelvis()
    empty = LabelMap(label_map.grid, np.zeros_like(label_map.labels))
    with pytest.raises(ValueError, match="nothing is labelled"):
        write_pictures(volume, empty, measured(volume.grid.centre_mm), tmp_path)


def test_the_same_input_gives_the_same_picture(pictures: list[Path], tmp_path: Path) -> None:
    volume, label_map = pelvis()
    again = write_pictures(volume, label_map, measured(volume.grid.centre_mm), tmp_path)
    assert [p.read_bytes() for p in again] == [p.read_bytes() for p in pictures]
