"""Lines are drawn on the slices that show what was measured, where it was measured, and nowhere else."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from scipy.spatial.transform import Rotation

from spine_node.dicom.presentation import write_presentations
from spine_node.dicom.presentation_lines import LAYERS, LEAN_DEG, OFF_SLICE_MM, drawings, plane_of
from spine_node.dicom.series import ImageSeries, read_series
from spine_node.imaging.volume import Grid
from spine_node.parameters.catalogue import DEFINITIONS
from spine_node.parameters.model import Line, Measurements, Parameter
from tests.dicom.small_pictures import read, rotated, unsegmented
from tests.dicom.small_reports import measured
from tests.dicom.small_series import Change, grid_of, write_multiframe, write_series

PLANES = {
    "axial": grid_of(),
    "coronal": grid_of((1, 0, 0), (0, 0, -1)),
    "sagittal": grid_of((0, 1, 0), (0, 0, -1)),
    "axial, feet first": grid_of((-1, 0, 0), (0, 1, 0)),
    "sagittal, facing right": grid_of((0, -1, 0), (0, 0, 1)),
}
"""Rows, columns and slices differ in number and spacing: (20, 23, 29) voxels of 2.0, 1.0 and 0.7 mm."""

AXIAL = PLANES["axial"]


def series_on(
    folder: Path, grid: Grid = AXIAL, *, multiframe: bool = False, change: Change | None = None
) -> ImageSeries:
    write = write_multiframe if multiframe else write_series
    write(folder, grid, change=change)
    return read_series(folder)


def found(*parameters: Parameter) -> Measurements:
    return Measurements("PATIENT", "given", parameters)


def line(grid: Grid, *index: tuple[float, float, float], role: str = "axis") -> Line:
    return Line(role, grid.to_mm(index))


def states(series: ImageSeries, *parameters: Parameter) -> list[Dataset]:
    made = write_presentations(series, found(*parameters), unsegmented(series), software_version="9.9")
    return [read(ds) for ds in made]


def words(grid: Grid, *parameters: Parameter) -> dict[int, list[str]]:
    """Texts by slice."""
    told: dict[int, list[str]] = {}
    for drawing in drawings(found(*parameters), grid):
        told.setdefault(drawing.slice, []).extend(text for text, _ in drawing.texts)
    return told


@pytest.mark.parametrize("multiframe", [False, True])
def test_a_line_lies_on_the_voxels_it_was_measured_on(multiframe: bool, tmp_path: Path) -> None:
    """From the written file back to millimetres: PIXEL units count from the corner of the first pixel."""
    series = series_on(tmp_path, multiframe=multiframe)
    (state,) = states(series, *rotated(series).parameters)
    (annotation,) = state.GraphicAnnotationSequence
    (image,) = annotation.ReferencedImageSequence
    if multiframe:
        frame = series.frames[4]
        assert image.ReferencedFrameNumber == frame.number + 1
    else:
        frame = next(
            f
            for f in series.frames
            if series.headers[f.header].SOPInstanceUID == image.ReferencedSOPInstanceUID
        )
    (graphic,) = annotation.GraphicObjectSequence
    points = np.reshape(graphic.GraphicData, (-1, 2)) - 0.5
    between_rows, between_columns = frame.spacing_mm
    back = (
        frame.position_mm
        + points[:, :1] * between_columns * frame.orientation[:3]
        + points[:, 1:] * between_rows * frame.orientation[3:]
    )
    np.testing.assert_allclose(back, rotated(series).parameters[0].lines[0].points_mm, atol=1e-4)
    assert (graphic.GraphicType, graphic.GraphicAnnotationUnits) == ("POLYLINE", "PIXEL")
    assert annotation.TextObjectSequence[0].UnformattedTextValue == "Rotation T8 7.2 deg to the right"
    assert state.ReferencedSeriesSequence[0].SeriesInstanceUID == series.series_uid
    (referenced,) = state.ReferencedSeriesSequence[0].ReferencedImageSequence
    assert referenced.ReferencedSOPInstanceUID == image.ReferencedSOPInstanceUID


@pytest.mark.parametrize("name", list(PLANES))
def test_each_plane_shows_its_own_layers(name: str) -> None:
    """One line in each slice: every row is drawn on the plane it is read in, on no other."""
    grid = PLANES[name]
    plane = name.split(",")[0]
    assert plane_of(grid) == plane
    rows = [(layer, key) for layer in LAYERS for key in layer.rows]
    parameters = [
        measured(key, 12.0, level="L4", lines=(line(grid, (k % 20, 3, 2), (k % 20, 9, 20)),))
        for k, (_, key) in enumerate(rows)
    ]
    drawn = {drawing.layer for drawing in drawings(found(*parameters), grid)}
    assert drawn == {layer.name for layer in LAYERS if layer.plane == plane}


def test_layers_name_rows_of_the_catalogue_in_words_dicom_allows() -> None:
    for layer in LAYERS:
        assert len(layer.name) <= 16
        assert layer.name.isupper()
        assert set(layer.rows) <= set(DEFINITIONS)
        assert all(row.name.isascii() and row.side.isascii() for row in layer.rows.values())


@pytest.mark.parametrize(
    ("lean_deg", "length_mm", "drawn"),
    [(0, 40, True), (LEAN_DEG - 1, 16, True), (LEAN_DEG + 1, 16, False), (LEAN_DEG - 1, 44, False)],
    ids=["level", "leans within", "leans too far", "leaves the slice"],
)
def test_a_line_that_leaves_the_slice_is_not_drawn(lean_deg: float, length_mm: float, drawn: bool) -> None:
    grid = grid_of(spacing=(1.0, 1.0, 1.0), shape=(40, 60, 60))
    lean = np.radians(lean_deg)
    half = length_mm / 2 * np.array([np.sin(lean), 0.0, np.cos(lean)])
    middle = np.array([20, 30, 30])
    tilted = line(grid, middle - half, middle + half)
    assert (abs(half[0]) <= OFF_SLICE_MM) == (length_mm < 44)
    assert words(grid, measured("AVR", 3.0, level="L1", lines=(tilted,))) == (
        {20: ["Rotation L1 3.0 deg"]} if drawn else {}
    )


def test_a_number_is_drawn_with_all_its_lines_or_not_at_all() -> None:
    """Half an angle is none."""
    flat, steep = line(AXIAL, (5, 3, 3), (5, 9, 20)), line(AXIAL, (2, 3, 3), (9, 12, 20))
    across = line(AXIAL, (2, 3, 3), (9, 3, 3), role="arm")
    assert words(AXIAL, measured("PELVIS_YAW", 3.0, lines=(flat,))) != {}
    assert words(AXIAL, measured("PELVIS_YAW", 3.0, lines=(flat, steep))) == {}
    assert words(AXIAL, measured("PELVIS_YAW", 3.0, lines=(flat, across))) == {}


def test_arms_on_different_slices_each_carry_the_number() -> None:
    """Upper and lower end vertebra of a curve stand at different depths."""
    grid = PLANES["coronal"]
    arms = line(grid, (3, 4, 4), (3, 6, 20)), line(grid, (14, 15, 4), (14, 12, 20))
    cobb = measured("COBB", 32.14, upper="T5", apex="T8", lower="T11", side="right", lines=arms)
    assert words(grid, cobb) == {k: ["Cobb T5-T11 32.1 deg convex right"] for k in (3, 14)}


def test_arms_near_one_slice_are_drawn_together() -> None:
    grid = PLANES["sagittal"]
    arms = line(grid, (8, 4, 4), (8, 6, 20)), line(grid, (11, 15, 4), (11, 12, 20))
    (drawing,) = drawings(found(measured("LL_L1S1", 58.0, upper="L1", lower="S1", lines=arms)), grid)
    assert (drawing.slice, len(drawing.traces), len(drawing.texts)) == (10, 2, 1)


def test_numbers_that_share_a_line_share_its_text() -> None:
    grid = PLANES["sagittal"]
    plate, axis = line(grid, (9, 4, 4), (9, 6, 20)), line(grid, (2, 10, 10), (17, 10, 10.5))
    (drawing,) = drawings(
        found(measured("PI", 51.0, lines=(plate, axis)), measured("SS", 38.0, lines=(plate,))), grid
    )
    assert len(drawing.traces) == 1, "the hip axis is seen end on"
    assert [text for text, _ in drawing.texts] == ["Pelvic incidence 51.0 deg\r\nSacral slope 38.0 deg"]


@pytest.mark.parametrize(
    ("parameter", "text"),
    [
        (measured("CANAL_AP", 16.25, level="L3", imprecise=True), "Canal AP L3 ~16.2 mm"),
        (measured("AVR", 4.0, level="L3", side="left"), "Rotation L3 4.0 deg to the left"),
        (measured("AVR", -0.04, level="L3"), "Rotation L3 0.0 deg"),
        (measured("PELVIS_YAW", -2.0, side="right"), "Pelvis 2.0 deg turned right"),
    ],
)
def test_texts_say_what_where_and_how_much(parameter: Parameter, text: str) -> None:
    lines = (line(AXIAL, (5, 3, 3), (5, 9, 20)),)
    whole = Parameter(**{name: getattr(parameter, name) for name in parameter.__slots__} | {"lines": lines})
    assert words(AXIAL, whole) == {5: [text]}


def test_lines_are_cut_at_the_borders_of_the_image(tmp_path: Path) -> None:
    """PS3.3 C.10.5: coordinates run from 0 to Columns and Rows; plumb lines run on."""
    series = series_on(tmp_path)
    through = line(series.grid, (6, -40, 10), (6, 60, 10))
    beside = line(series.grid, (7, -40, -9), (7, 60, -9))
    slanted = line(series.grid, (8, -10.5, -10.5), (8, 10.5, 10.5))
    (state,) = states(
        series,
        *(
            measured("AVR", 1.0, level=level, lines=(each,))
            for level, each in (("L1", through), ("L2", beside), ("L3", slanted))
        ),
    )
    first, second = (a.GraphicObjectSequence[0].GraphicData for a in state.GraphicAnnotationSequence)
    np.testing.assert_allclose(first, (10.5, 0, 10.5, series.grid.shape[1]), atol=1e-4)
    np.testing.assert_allclose(second, (0, 0, 11, 11), atol=1e-4)
    assert len(state.GraphicAnnotationSequence) == 2


def test_what_no_slice_shows_gives_no_state(tmp_path: Path) -> None:
    series = series_on(tmp_path)
    above = line(series.grid, (25, 3, 3), (25, 9, 9))
    assert states(series) == []
    assert states(series, measured("AVR", 1.0, level="L1")) == []
    assert states(series, measured("AVR", 1.0, level="L1", lines=(above,))) == []
    assert states(series, measured("AVR", 1.0, level="L1", lines=(Line("axis", [[0, 0, 210]]),))) == []


def test_pixels_that_are_no_squares_are_shown_as_they_are(tmp_path: Path) -> None:
    series = series_on(tmp_path)
    (state,) = states(series, *rotated(series).parameters)
    (area,) = state.DisplayedAreaSelectionSequence
    assert list(area.PresentationPixelSpacing) == [1.0, 0.7]
    assert list(area.DisplayedAreaBottomRightHandCorner) == [29, 23]


def windows(state: Dataset) -> list[tuple[float, float, str, int]]:
    """Centre, width, function, and for how many images."""
    return [
        (
            float(item.WindowCenter),
            float(item.WindowWidth),
            str(item.VOILUTFunction),
            len(item.get("ReferencedImageSequence") or ()),
        )
        for item in state.SoftcopyVOILUTSequence
    ]


def lines_in_slices(series: ImageSeries, *slices: int) -> list[Parameter]:
    return [
        measured("AVR", 1.0, level=f"T{k}", lines=(line(series.grid, (k, 3, 3), (k, 9, 9)),)) for k in slices
    ]


def test_images_keep_their_own_windows(tmp_path: Path) -> None:
    def windowed(ds: Dataset, k: int) -> None:
        if k != 3:
            ds.WindowCenter, ds.WindowWidth = ([300, 40], [1500, 400]) if k < 5 else (450, 1800)
            ds.VOILUTFunction = "SIGMOID" if k >= 5 else "LINEAR"

    series = series_on(tmp_path, change=windowed)
    (state,) = states(series, *lines_in_slices(series, 1, 2, 3, 6))
    assert windows(state) == [(300, 1500, "LINEAR", 2), (400, 2000, "LINEAR", 1), (450, 1800, "SIGMOID", 1)]
    (state,) = states(series, *lines_in_slices(series, 1, 2))
    assert windows(state) == [(300, 1500, "LINEAR", 0)]


def test_frames_keep_their_own_windows(tmp_path: Path) -> None:
    def windowed(ds: Dataset, _: int) -> None:
        for k, group in enumerate(ds.PerFrameFunctionalGroupsSequence):
            voi = Dataset()
            voi.WindowCenter, voi.WindowWidth = 300 + 100 * (k > 4), 1500
            group.FrameVOILUTSequence = Sequence([voi])

    series = series_on(tmp_path, multiframe=True, change=windowed)
    (state,) = states(series, *lines_in_slices(series, 1, 2, 6))
    assert windows(state) == [(300, 1500, "LINEAR", 1), (400, 1500, "LINEAR", 1)]
    assert [list(np.atleast_1d(i.ReferencedImageSequence[0].ReferencedFrameNumber)) for i in
            state.SoftcopyVOILUTSequence] == [[2, 3], [7]]  # fmt: skip


@pytest.mark.parametrize("centre", ["", "0"])
def test_a_window_that_is_none_becomes_that_for_bone(centre: str, tmp_path: Path) -> None:
    def broken(ds: Dataset, k: int) -> None:
        ds.WindowCenter, ds.WindowWidth = centre, "0"

    series = series_on(tmp_path, change=broken)
    (state,) = states(series, *lines_in_slices(series, 1))
    assert windows(state) == [(400, 2000, "LINEAR", 0)]


def test_slices_of_different_grey_scale_get_states_of_their_own(tmp_path: Path) -> None:
    """PS3.3 C.11.1: a state has one slope and intercept."""

    def rescaled(ds: Dataset, k: int) -> None:
        if k > 4:
            ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = 2, -1000, "HU"

    series = series_on(tmp_path, change=rescaled)
    made = states(series, *lines_in_slices(series, 1, 2, 6))
    assert [(s.RescaleSlope, s.RescaleIntercept, s.RescaleType) for s in made] == [
        (1, -1024, "US"),
        (2, -1000, "HU"),
    ]
    assert [len(s.ReferencedSeriesSequence[0].ReferencedImageSequence) for s in made] == [2, 1]
    assert len({s.SOPInstanceUID for s in made}) == 2
    assert len({s.SeriesInstanceUID for s in made}) == 1
    assert [s.InstanceNumber for s in made] == [1, 2]


def test_black_stays_black_where_the_source_counts_the_other_way(tmp_path: Path) -> None:
    series = series_on(tmp_path / "negative")
    for header in series.headers:
        header.PhotometricInterpretation = "MONOCHROME1"
    (state,) = states(series, *lines_in_slices(series, 1))
    assert state.PresentationLUTShape == "INVERSE"
    usual = series_on(tmp_path / "usual")
    assert states(usual, *lines_in_slices(usual, 1))[0].PresentationLUTShape == "IDENTITY"


def test_a_tilted_gantry_within_tolerance_still_has_a_plane() -> None:
    for degrees, plane in ((LEAN_DEG - 1, "axial"), (LEAN_DEG + 1, "")):
        turn = Rotation.from_euler("x", degrees, degrees=True).as_matrix()
        assert plane_of(grid_of(turn[:, 0], turn[:, 1])) == plane


@pytest.mark.dcmtk
def test_dcmtk_reads_and_renders_the_state(tmp_path: Path) -> None:
    """A second implementation checks the state and draws the image with it."""
    series = series_on(tmp_path / "ct")
    (state,) = write_presentations(series, rotated(series), unsegmented(series), software_version="9.9")
    state.save_as(tmp_path / "state.dcm", enforce_file_format=True)
    checked = subprocess.run(
        ["dcmpschk", "-v", tmp_path / "state.dcm"], capture_output=True, text=True, check=False
    )
    assert "Test passed" in checked.stdout + checked.stderr
    image = series.paths[4]
    done = subprocess.run(
        ["dcmp2pgm", "--pstate", tmp_path / "state.dcm", image, tmp_path / "out.pgm"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.pgm").read_bytes().startswith(b"P5")
