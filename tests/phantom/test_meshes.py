"""Meshes become labels: filled exactly, the right way round, in millimetres."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh

from spine_node.anatomy.levels import POSTERIOR_OFFSET, SACRUM, VERTEBRA_VALUES
from spine_node.errors import ConfigRefused, LabelMapRefused
from spine_node.phantom.layouts import Layout, layouts_of, write_layouts
from spine_node.phantom.meshes import fill_folder, filled
from tests.phantom.real_shapes import ONE, OTHER


def wedge() -> trimesh.Trimesh:
    """A lopsided solid: a box with a smaller one on its +x, +y, +z corner; 30 by 21 by 12 units."""
    return trimesh.util.concatenate(
        [trimesh.creation.box((21, 15, 9)), trimesh.creation.box((9, 6, 3), _at(15, 10.5, 6))]
    )


def _at(x: float, y: float, z: float) -> np.ndarray:
    place = np.eye(4)
    place[:3, 3] = x, y, z
    return place


def test_a_turned_ellipsoid_is_filled_to_its_volume():
    ball = trimesh.creation.icosphere(4)
    turn = trimesh.transformations.rotation_matrix(0.7, (1, 2, 3))
    ball.apply_transform(turn @ np.diag([20.0, 11, 7, 1]))
    inside = filled(ball.triangles + 25, (50, 50, 50))
    assert inside.sum() == pytest.approx(4 / 3 * np.pi * 20 * 11 * 7, rel=0.01)
    assert np.argwhere(inside).mean(axis=0) == pytest.approx([25, 25, 25], abs=0.05)


def test_a_hole_in_a_surface_does_not_matter():
    ball = trimesh.creation.icosphere(3, radius=15)
    torn = np.delete(ball.triangles, np.arange(0, 8), axis=0) + 20
    whole, holed = (filled(t, (40, 40, 40)) for t in (ball.triangles + 20, torn))
    assert (whole != holed).mean() < 0.002


@pytest.mark.parametrize(
    ("axes", "corner"),
    [("LPS", (1, 1, 1)), ("ALS", (1, -1, 1)), ("RAS", (-1, -1, 1)), ("LAI", (1, -1, -1))],
)
def test_axes_say_which_way_a_mesh_lies(tmp_path: Path, axes: str, corner: tuple[int, int, int]):
    """The small box is where the letters say: to the left, behind and above in LPS."""
    wedge().export(tmp_path / "L3.stl")
    label_map = fill_folder(tmp_path, Layout(ONE, axes))
    centre = label_map.grid.to_mm(np.argwhere(label_map.labels == VERTEBRA_VALUES["L3"])).mean(axis=0)
    assert np.sign(np.round(centre, 1)).tolist() == list(corner)


def test_centimetres_are_centimetres(tmp_path: Path):
    mesh = wedge()
    mesh.apply_scale(0.1)
    mesh.export(tmp_path / "L3.ply")
    label_map = fill_folder(tmp_path, Layout(ONE, "LPS", "cm"))
    volume = (label_map.labels > 0).sum() * label_map.grid.voxel_mm3
    assert volume == pytest.approx(21 * 15 * 9 + 9 * 6 * 3, rel=0.02)


def test_a_body_of_its_own_parts_the_vertebra(tmp_path: Path):
    wedge().export(tmp_path / "T7.obj")
    trimesh.creation.box((21, 15, 9)).export(tmp_path / "T7_body.stl")
    trimesh.creation.box((6, 6, 6), _at(0, 0, -40)).export(tmp_path / "odd name.stl")
    values = {"T7.obj": "T7", "T7_body.stl": "T7_body", "odd name.stl": "sacrum"}
    label_map = fill_folder(tmp_path, Layout(ONE, "LPS", files=values))
    value = VERTEBRA_VALUES["T7"]
    count = {v: (label_map.labels == v).sum() * label_map.grid.voxel_mm3 for v in np.unique(label_map.labels)}
    assert count[value] == pytest.approx(21 * 15 * 9, rel=0.03)
    assert count[value + POSTERIOR_OFFSET] == pytest.approx(9 * 6 * 3, rel=0.1)
    assert SACRUM in count


def test_a_mirrored_frame_is_refused(tmp_path: Path):
    wedge().export(tmp_path / "L3.stl")
    with pytest.raises(ConfigRefused, match="'RPS' of 'one' are no right-handed frame"):
        fill_folder(tmp_path, Layout(ONE, "RPS"))


def test_a_folder_without_bones_is_refused(tmp_path: Path):
    wedge().export(tmp_path / "teapot.stl")
    with pytest.raises(LabelMapRefused, match=r"files named by level were expected"):
        fill_folder(tmp_path, Layout(ONE))


def test_what_is_written_beside_the_meshes_is_read_back(tmp_path: Path):
    said = (
        Layout(ONE, "ALS", "m", {"a b.stl": "L3", "c.stl": "L3_body"}, ("T5", "T6")),
        Layout(OTHER, "LPS"),
    )
    write_layouts(tmp_path, said)
    assert layouts_of(tmp_path) == said


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("name = 3", r"a \[\[source\]\] table with name, licence"),
        ("[[source]]\nname = 'x'", "licence"),
        ("[[source]]\nname = 'x'\nlicence = 'y'\ncolour = 'z'", "colour is not known"),
        ("[[source]]\nname = 'x'\nlicence = 'y'\nfiles = {a = 'tooth'}", "tooth is not known"),
        ("[[source]]\nname = 'x'\nlicence = 'y'\nrole = 'both'", "role 'both' is not known"),
    ],
)
def test_a_layout_that_is_not_understood_is_refused(tmp_path: Path, text: str, reason: str):
    (tmp_path / "templates.toml").write_text(text)
    with pytest.raises(ConfigRefused, match=reason):
        layouts_of(tmp_path)
