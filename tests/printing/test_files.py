"""Files are read back by other libraries: the same closed surfaces, names and colours, in millimetres."""

from __future__ import annotations

import locale
from pathlib import Path

import lib3mf
import numpy as np
import pytest
import trimesh

from spine_node.dicom.codes import STRUCTURES
from spine_node.imaging.volume import LabelMap
from spine_node.printing.files import WRITERS, locale_kept, write_3mf, write_obj, write_stl
from spine_node.printing.meshes import meshes
from tests.dicom.small_series import grid_of

Surfaces = dict[str, trimesh.Trimesh]


@pytest.fixture(scope="module")
def surfaces() -> Surfaces:
    """A vertebra and a hip bone beside it, far from the origin."""
    grid = grid_of(spacing=(1.0, 0.8, 0.8), shape=(30, 40, 50), origin=(-131.0, 217.0, -1205.0))
    labels = np.zeros(grid.shape, dtype=np.uint8)
    labels[4:14, 5:20, 6:22] = 20
    labels[14:28, 20:38, 10:45] = 29
    return meshes(LabelMap(grid, labels))


def test_stl_is_one_file_a_structure_and_one_of_all(surfaces: Surfaces, tmp_path: Path) -> None:
    paths = write_stl(surfaces, tmp_path / "stl")
    assert [path.name for path in paths] == ["L1.stl", "hip_left.stl", "assembled.stl"]
    for path, expected in zip(paths, [*surfaces.values(), None], strict=True):
        read = trimesh.load(path)
        assert read.is_watertight
        if expected is None:
            assert read.body_count == 2
            assert read.volume == pytest.approx(sum(mesh.volume for mesh in surfaces.values()), rel=1e-5)
        else:
            np.testing.assert_allclose(read.bounds, expected.bounds, atol=1e-6)
            assert read.volume == pytest.approx(expected.volume, rel=1e-5)


def test_the_header_of_an_stl_says_unit_and_frame(surfaces: Surfaces, tmp_path: Path) -> None:
    """The format knows neither; a reader that looks for "solid" would take it for text."""
    for path in write_stl(surfaces, tmp_path):
        header = path.read_bytes()[:80]
        assert b"mm" in header
        assert b"LPS" in header
        assert not header.startswith(b"solid")
        assert len(path.read_bytes()) == 84 + 50 * int.from_bytes(path.read_bytes()[80:84], "little")


def test_a_3mf_has_names_colours_and_millimetres(surfaces: Surfaces, tmp_path: Path) -> None:
    """Read by the consortium's own library."""
    (path,) = write_3mf(surfaces, tmp_path)
    model = lib3mf.get_wrapper().CreateModel()
    reader = model.QueryReader("3mf")
    reader.SetStrictModeActive(True)
    with locale_kept():
        reader.ReadFromFile(str(path))
    assert reader.GetWarningCount() == 0
    assert model.GetUnit() == lib3mf.ModelUnit.MilliMeter
    objects = model.GetMeshObjects()
    seen = {}
    while objects.MoveNext():
        body = objects.GetCurrentMeshObject()
        assert body.IsManifoldAndOriented()
        group, index, known = body.GetObjectLevelProperty()
        assert known
        colour = model.GetBaseMaterialGroupByID(group).GetDisplayColor(index)
        vertices = np.array([list(vertex.Coordinates) for vertex in body.GetVertices()])
        seen[body.GetName()] = ((colour.Red, colour.Green, colour.Blue), vertices)
    assert list(seen) == ["L1", "Hip bone left"]
    for (name, mesh), (colour, vertices) in zip(surfaces.items(), seen.values(), strict=True):
        np.testing.assert_allclose(np.array(colour) / 255, STRUCTURES[name].rgb, atol=0.003)
        np.testing.assert_allclose(vertices, mesh.vertices, atol=0.001)
    items = model.GetBuildItems()
    count = 0
    while items.MoveNext():
        count += 1
    assert count == 2


@pytest.mark.parametrize("form", WRITERS)
def test_the_locale_of_the_process_is_as_it_was(form: str, surfaces: Surfaces, tmp_path: Path) -> None:
    """Else the node would read and write no UTF-8 any more."""
    before = locale.setlocale(locale.LC_ALL)
    WRITERS[form](surfaces, tmp_path)
    assert locale.setlocale(locale.LC_ALL) == before


def test_an_obj_has_names_and_colours(surfaces: Surfaces, tmp_path: Path) -> None:
    obj, _ = write_obj(surfaces, tmp_path)
    read = trimesh.load(obj, split_objects=True, group_material=False)
    assert set(read.geometry) == set(surfaces)
    for name, mesh in read.geometry.items():
        assert mesh.is_watertight
        assert mesh.volume == pytest.approx(surfaces[name].volume, rel=1e-4)
        np.testing.assert_allclose(mesh.bounds, surfaces[name].bounds, atol=1e-4)
        shown = np.asarray(mesh.visual.material.diffuse[:3]) / 255
        np.testing.assert_allclose(shown, STRUCTURES[name].rgb, atol=0.01)


@pytest.mark.parametrize("form", list(WRITERS))
def test_the_same_surfaces_give_the_same_bytes(form: str, surfaces: Surfaces, tmp_path: Path) -> None:
    one, two = (WRITERS[form](surfaces, tmp_path / folder) for folder in ("a", "b"))
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]


def test_without_surfaces_there_are_no_files(tmp_path: Path) -> None:
    assert write_stl({}, tmp_path / "stl") == []
