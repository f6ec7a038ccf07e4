"""What is drawn lies where it was measured, on the right side, and can be read. No patient is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from PIL import Image

from spine_node.anatomy.landmarks import Spine, Vertical
from spine_node.imaging.picture import Picture
from spine_node.imaging.volume import LabelMap
from spine_node.parameters.catalogue import DEFINITIONS
from spine_node.parameters.model import LevelIdentification, Parameter
from spine_node.pictures.axial import Cut, axial, axial_levels
from spine_node.pictures.callouts import spread
from spine_node.pictures.coronal import BEYOND_MM, coronal
from spine_node.pictures.drawing import ANGLE_LINE, BALANCE_LINE, CURVE_LINES, PELVIS_LINE, TEXT
from spine_node.pictures.heights import heights
from spine_node.pictures.pictures import draw_pictures, write_pictures, write_png
from spine_node.pictures.sagittal import BEHIND_MM, sagittal
from spine_node.pictures.scene import CORONAL, SAGITTAL, Scene
from spine_node.pictures.solid import solid
from spine_node.pictures.words import amount, gathered
from tests.pictures.drawn_people import Print, person, scene_of

T = TypeVar("T")


@pytest.fixture(scope="module")
def spine() -> Spine:
    return person()


@pytest.fixture(scope="module")
def scene(spine: Spine) -> Scene:
    return scene_of(spine)


@pytest.fixture(scope="module")
def front(scene: Scene) -> Print:
    return Print(coronal(scene))


@pytest.fixture(scope="module")
def side(scene: Scene) -> Print:
    return Print(sagittal(scene))


def given(found: T | None) -> T:
    """What these people surely have."""
    assert found is not None
    return found


def at_slope(degrees: float, mm: float) -> np.ndarray:
    """A step along a line that falls to the right by this angle."""
    return mm * np.array([np.cos(np.radians(degrees)), -np.sin(np.radians(degrees))])


def test_the_lines_of_a_curve_have_the_slopes_of_its_end_plates(scene: Scene, front: Print) -> None:
    """The plate's chord would be drawn at another angle: end vertebrae are turned."""
    assert [c.apex for c in scene.curves]
    for curve, colour in zip(scene.curves, CURVE_LINES, strict=False):
        tilts = []
        for level, which, key in (
            (curve.upper, "superior", "TILT_SUP"),
            (curve.lower, "inferior", "TILT_INF"),
        ):
            tilt = given(scene.measurements.get(key, level))
            plate = given(scene.plate(given(level), which))
            centre = scene.seen(plate.centre_mm, CORONAL)
            half = np.linalg.norm(plate.left_mm - plate.right_mm) / 2
            for mm in (-half - BEYOND_MM + 2, half + BEYOND_MM - 2):
                assert front.shows(colour, centre + at_slope(tilt.value, mm)), (curve.apex, level)
                assert not front.shows(colour, centre + at_slope(tilt.value + 6, mm)), (curve.apex, level)
            tilts.append(tilt.value)
        assert abs(tilts[0] - tilts[1]) == pytest.approx(curve.value, abs=1e-6)


def test_an_apex_is_measured_from_its_plumb_line(scene: Scene, front: Print) -> None:
    for curve, colour in zip(scene.curves, CURVE_LINES, strict=False):
        shift = given(scene.of_curve(curve, "AVT"))
        vertebra = given(scene.spine.vertebra(given(curve.apex)))
        apex = scene.seen(vertebra.body_centre_mm, CORONAL)
        assert front.shows(colour, apex - [0.95 * shift.value, 0])
        if abs(shift.value) > 15:  # a smaller one ends before the line that leads to its label
            assert not front.shows(colour, apex - [1.3 * shift.value, 0])


def test_pelvic_obliquity_is_drawn_through_both_heads_and_crests(scene: Scene, front: Print) -> None:
    for ends in ([h.centre_mm for h in scene.spine.heads.values()], [*scene.spine.crests_mm.values()]):
        first, last = (scene.seen(end, CORONAL) for end in ends)
        for share in (0.1, 0.4, 0.6, 0.9):
            assert front.shows(PELVIS_LINE, first + share * (last - first))


def test_the_patients_left_is_on_the_right_and_a_head_is_round(scene: Scene, front: Print) -> None:
    left, right = (scene.spine.heads[name] for name in ("left", "right"))
    assert scene.seen(left.centre_mm, CORONAL)[0] > scene.seen(right.centre_mm, CORONAL)[0] + 100
    centre = scene.seen(left.centre_mm, CORONAL)
    for way in ([1, 0], [0.6, 0.8], [0.6, -0.8], [0, 1], [0, -1]):
        assert front.shows(PELVIS_LINE, centre + left.radius_mm * np.array(way))
        assert not front.shows(PELVIS_LINE, centre + 1.15 * left.radius_mm * np.array(way))


def test_lordosis_and_kyphosis_end_at_their_plates(scene: Scene, side: Print) -> None:
    places = (
        ("T4", "superior", "SLOPE_SUP", CURVE_LINES[1]),
        ("L1", "superior", "SLOPE_SUP", CURVE_LINES[0]),
    )
    for level, which, key, colour in places:
        slope, plate = given(scene.measurements.get(key, level)), given(scene.plate(level, which))
        half = np.linalg.norm(plate.anterior_mm - plate.posterior_mm) / 2
        end = scene.seen(plate.centre_mm, SAGITTAL) + at_slope(-slope.value, half + BEHIND_MM - 3)
        assert side.shows(colour, end)


def test_the_sagittal_axis_ends_at_the_corner_of_s1(scene: Scene, side: Print) -> None:
    balance, s1 = given(scene.measurements.get("SVA")), given(scene.spine.s1)
    corner = scene.seen(s1.posterior_mm, SAGITTAL)
    assert side.shows(BALANCE_LINE, corner)
    assert side.shows(BALANCE_LINE, corner - [0.9 * balance.value, 0])
    c7 = given(scene.spine.vertebra("C7"))
    assert scene.seen(c7.body_centre_mm, SAGITTAL)[0] == pytest.approx(corner[0] - balance.value)


def test_incidence_is_drawn_between_the_normal_and_the_hip_axis(scene: Scene, side: Print) -> None:
    s1 = given(scene.spine.s1)
    tilt, slope = (given(scene.measurements.get(key)) for key in ("PT", "SS"))
    hips = scene.seen(np.mean([h.centre_mm for h in scene.spine.heads.values()], axis=0), SAGITTAL)
    centre = scene.seen(s1.centre_mm, SAGITTAL)
    radius = float(np.linalg.norm(centre - hips))
    leaning = np.array([np.sin(np.radians(tilt.value)), np.cos(np.radians(tilt.value))])
    np.testing.assert_allclose(hips + radius * leaning, centre, atol=1e-6)
    assert side.shows(PELVIS_LINE, hips + 0.5 * radius * leaning)
    down = np.array([np.sin(np.radians(slope.value)), -np.cos(np.radians(slope.value))])
    dashes = [side.shows(PELVIS_LINE, centre + mm * down) for mm in np.arange(10, 0.65 * radius, 0.5)]
    assert 0.25 < np.mean(dashes) < 1.0


def test_a_vertebra_is_cut_across_its_own_axis_and_its_turn_is_drawn(scene: Scene) -> None:
    assert axial_levels(scene) == [c.apex for c in scene.curves]
    for level in axial_levels(scene):
        vertebra, turn = given(scene.spine.vertebra(level)), given(scene.measurements.get("AVR", level))
        cut, picture = given(Cut.of(vertebra, scene)), Print(axial(scene, level))
        np.testing.assert_allclose(cut.up, given(vertebra.axes)[:, 2])
        centre = cut.seen(vertebra.body_centre_mm)
        angle = np.radians(turn.value)  # to the patient's left, which is to the right
        for mm in (-40, 20, 30):  # the canal hides it in between
            assert picture.shows(ANGLE_LINE, centre + mm * np.array([np.sin(angle), np.cos(angle)]))
        away = np.radians(turn.value + np.copysign(9, turn.value))
        assert not picture.shows(ANGLE_LINE, centre + 28 * np.array([np.sin(away), np.cos(away)]))
        # further in, the vertebra's own axis hides it: some are turned by half a degree
        dashes = [picture.shows(BALANCE_LINE, centre + np.array([0, mm])) for mm in np.arange(23, 35, 0.5)]
        assert 0.25 < np.mean(dashes) < 1.0


def test_the_canal_is_drawn_where_it_was_measured(scene: Scene) -> None:
    level = axial_levels(scene)[0]
    vertebra = given(scene.spine.vertebra(level))
    cut, picture, canal = given(Cut.of(vertebra, scene)), Print(axial(scene, level)), given(vertebra.canal)
    for end in (canal.anterior_mm, canal.posterior_mm, canal.left_mm, canal.right_mm):
        assert picture.shows(PELVIS_LINE, cut.seen(given(end)))
    assert cut.seen(given(canal.left_mm))[0] > cut.seen(given(canal.right_mm))[0]


def test_without_a_curve_the_most_rotated_vertebra_is_cut() -> None:
    plain = scene_of(person((), yaw_deg=0))
    assert plain.curves == ()
    turns = {p.level: abs(p.value) for p in plain.measurements.parameters if p.key == "AVR"}
    assert axial_levels(plain) == [max(turns, key=lambda level: turns[level])]


def test_heights_are_drawn_in_every_body_and_disc(scene: Scene) -> None:
    picture = Print(heights(scene))
    seen = 0
    for key, colour in (("VBH_MID", ANGLE_LINE), ("DH_MID", BALANCE_LINE)):
        for parameter in scene.measurements.parameters:
            if parameter.key == key:
                middle = scene.seen(parameter.lines[0].points_mm, SAGITTAL).mean(axis=0)
                assert picture.shows(colour, middle), parameter.level
                seen += 1
    assert seen > 40
    assert {"L4/L5", "T8"} <= set(picture.words().splitlines())


def test_no_text_lies_over_another(scene: Scene, front: Print, side: Print) -> None:
    pages = [front, side, Print(heights(scene)), *(Print(axial(scene, a)) for a in axial_levels(scene))]
    assert [page.collisions() for page in pages] == [[] for _ in pages]


def test_labels_are_moved_apart_and_no_further() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        wanted, sizes = rng.uniform(0, 100, 9), rng.uniform(2, 12, 9)
        placed = spread(list(wanted), list(sizes), 0, 100)
        order = np.argsort(wanted)
        assert (np.diff(placed[order]) >= (sizes[order][1:] + sizes[order][:-1]) / 2 - 1e-9).all()
        assert (placed - sizes / 2 >= -1e-9).all()
        assert (placed + sizes / 2 <= 100 + 1e-9).all()
    np.testing.assert_allclose(spread([10, 50, 90], [5, 5, 5], 0, 100), [10, 50, 90])
    np.testing.assert_allclose(spread([50, 50, 50], [80, 80, 40], 0, 100), [20, 60, 90])


def test_a_number_says_how_far_it_can_be_trusted() -> None:
    def number(key: str, value: float, **more: object) -> Parameter:
        return Parameter(key, value, DEFINITIONS[key].unit, "", **more)  # type: ignore[arg-type]

    assert amount(number("PI", 52.34)) == "52.3\u00b0"
    assert amount(number("PI", 52.34, imprecise=True)) == "~52.3\u00b0"
    assert amount(number("T1SPI", -2.0)) == "\u22122.0\u00b0"
    assert amount(number("T1SPI", -0.04)) == "0.0\u00b0"
    assert amount(number("AVT", -12.0, side="right")) == "12.0 mm"


def test_every_picture_says_that_it_is_no_diagnosis(scene: Scene, front: Print, side: Print) -> None:
    for page in (front, side, Print(heights(scene)), Print(axial(scene, axial_levels(scene)[0]))):
        assert "Computed by Spine Node - preliminary, not verified." in page.words()
        assert "not for diagnosis" in page.words()
        assert "ESTIMATE" not in page.words()


def test_the_statement_is_seen_and_so_are_the_marks(
    scene: Scene, front: Print, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By pixel: without the words the foot of the panel is empty, and each letter is lit at its edge."""
    monkeypatch.setattr("spine_node.pictures.panel.STATEMENT", "")
    changed = np.abs(Print(coronal(scene)).pixels - front.pixels).max(axis=-1) > 0.3
    rows, _ = np.nonzero(changed)
    assert rows.size > 500
    assert rows.min() > 0.95 * changed.shape[0]
    left, right, bottom, top = scene.project(CORONAL).extent_mm
    inch = (top - bottom) / 11.0
    for x, y in ((left + 0.2 * inch, top - 0.2 * inch), (right - 0.2 * inch, top - 0.2 * inch)):
        assert front.shows(TEXT, np.array([x, y]))
    assert front.shows(TEXT, np.array([left + 0.12 * inch + 25, bottom + 0.14 * inch]))  # the scale
    letters = {t.get_text(): t.get_position() for t in front.figure.axes[0].texts}
    assert letters["R"][0] < letters["L"][0]
    assert letters["F"][1] < letters["H"][1]


def test_pictures_have_titles_for_a_viewers_list(drawn: list[Picture]) -> None:
    for picture in drawn:
        assert picture.title.isascii()
        assert 10 < len(picture.title) <= 64
        assert picture.rgb.dtype == np.uint8
        assert picture.rgb.flags.c_contiguous
        assert picture.image_columns is not None
        assert 0 < picture.image_columns < picture.rgb.shape[1]
        # the panel's background begins there
        assert (picture.rgb[0, picture.image_columns :] == picture.rgb[0, -1]).all()


def test_what_is_said_of_several_is_said_once() -> None:
    said = ["T8: 5 % is metal.", "Posture unverified.", "T9_posterior: 12 % is metal.", "T8: 5 % is metal."]
    assert gathered(said) == ["T8, T9 posterior: 5 to 12 % is metal.", "Posture unverified."]
    apart = ["PI differs from PT + SS by +2.0 degrees", "L5: a disc of 2.0 mm", "T12: no disc"]
    assert gathered(apart) == apart


def test_doubts_stand_on_the_image(spine: Spine) -> None:
    lame = scene_of(replace(spine, heads={}, sacral_left=None))
    doubtful = replace(lame.measurements, levels=LevelIdentification(0.1, uncertain=True))
    words = Print(sagittal(replace(lame, measurements=doubtful))).words()
    assert "ESTIMATE: front taken from the scanner" in words
    assert "LEVELS UNCERTAIN" in words
    assert "femoral head" in words  # why PI is not there


def test_what_does_not_fit_beside_the_image_is_counted(scene: Scene, side: Print) -> None:
    wordy = replace(scene.measurements, quality=tuple(f"Remark {n}: " + 12 * "word " for n in range(40)))
    page = Print(sagittal(replace(scene, measurements=wordy)))
    assert page.collisions() == []
    assert "more lines in measurements.json" in page.words()
    assert "more lines in measurements.json" not in side.words()
    assert "SRS-Schwab" in side.words()


def test_without_an_image_the_bones_are_drawn(spine: Spine) -> None:
    """The left half is cut away in the view from the left; a ball is brighter towards the lamp."""
    bare = scene_of(spine, image=False)
    view = bare.project(CORONAL)
    assert view.grey is None
    assert len(np.unique(view.structures)) > 20
    rows, columns = np.nonzero(view.structures == view.structures.max())
    upper, lower = rows < np.median(rows), rows > np.median(rows)
    shades = given(view.shade)[rows, columns]
    assert shades[upper].mean() > 1.2 * shades[lower].mean()
    cut = bare.project(SAGITTAL)
    seen = {bare.course.centres[31][0]: 31, bare.course.centres[32][0]: 32}
    assert max(seen) > 50  # the left head lies to the left of the cut
    drawn = np.unique(cut.structures)
    assert len(drawn) == len(np.unique(view.structures)) - 1


@pytest.fixture(scope="module")
def lumbar(spine: Spine) -> Scene:
    return scene_of(replace(spine, vertebrae=spine.vertebrae[-3:]))


@pytest.fixture(scope="module")
def drawn(lumbar: Scene) -> list[Picture]:
    return draw_pictures(lumbar.volume, lumbar.label_map, lumbar.spine, lumbar.measurements)


def test_pictures_are_named_for_what_they_show(lumbar: Scene, drawn: list[Picture], tmp_path: Path) -> None:
    level = axial_levels(lumbar)[0]
    names = ["coronal", "sagittal", "spine-3d", f"axial-{level}", "heights"]
    assert [p.name for p in drawn] == names
    for picture, path in zip(drawn, write_png(drawn, tmp_path / "new"), strict=True):
        assert path == tmp_path / "new" / f"{picture.name}.png"
        assert picture.rgb.std() > 10
        with Image.open(path) as image:
            np.testing.assert_array_equal(np.asarray(image), picture.rgb)
            assert image.info.keys() <= {"dpi"}  # nothing of the patient, the machine or the hour


def test_the_same_input_gives_the_same_picture(lumbar: Scene, drawn: list[Picture], tmp_path: Path) -> None:
    first = [path.read_bytes() for path in write_png(drawn, tmp_path / "first")]
    again = write_pictures(
        lumbar.volume, lumbar.label_map, lumbar.spine, lumbar.measurements, tmp_path / "again"
    )
    assert [path.read_bytes() for path in again] == first


ODD: dict[str, dict[str, object]] = {
    "a pelvis alone": {"vertebrae": 0},
    "one vertebra": {"vertebrae": 1, "heads": {}, "s1": None, "crests_mm": {}},
    "a lumbar spine": {"vertebrae": 4, "heads": {}, "s1": None, "crests_mm": {}},
    "one hip": {"vertebrae": 5, "heads": 1},
    "a patient on the back": {"vertebrae": 5, "vertical": Vertical(np.array([0.0, -1.0, 0.0]), "told")},
}


@pytest.mark.parametrize("image", [True, False])
@pytest.mark.parametrize("case", list(ODD))
def test_whatever_was_imaged_is_drawn_and_can_be_read(spine: Spine, case: str, image: bool) -> None:
    changes = dict(ODD[case])
    kept = changes.pop("vertebrae")
    assert isinstance(kept, int)
    if changes.get("heads") == 1:
        changes["heads"] = {"left": spine.heads["left"]}
    part = replace(spine, vertebrae=spine.vertebrae[len(spine.vertebrae) - kept :], **changes)  # type: ignore[arg-type]
    odd = scene_of(part, image=image)
    pages = [Print(coronal(odd)), Print(sagittal(odd)), *(Print(axial(odd, a)) for a in axial_levels(odd))]
    if image:  # the view in space shows no image
        pages.append(Print(solid(odd)))
    if kept:
        pages.append(Print(heights(odd)))
    assert [page.collisions() for page in pages] == [[] for _ in pages]


def test_nothing_labelled_is_nothing_to_draw(scene: Scene, tmp_path: Path) -> None:
    empty = LabelMap(scene.label_map.grid, np.zeros_like(scene.label_map.labels))
    with pytest.raises(ValueError, match="nothing is labelled"):
        write_pictures(scene.volume, empty, scene.spine, scene.measurements, tmp_path)
