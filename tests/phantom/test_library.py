"""A library of real shapes: gathered from folders, kept in a file, shared out fairly, given to a person."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spine_node.anatomy.levels import SACRUM
from spine_node.anatomy.locate import locate
from spine_node.errors import ConfigRefused, LabelMapRefused
from spine_node.nifti import write_label_map
from spine_node.parameters.measure import measure
from spine_node.phantom.generate import generate
from spine_node.phantom.layouts import Layout, write_layouts
from spine_node.phantom.library import TemplateLibrary
from tests.phantom.real_shapes import OTHER, block_template, lumbar_labels, person


def blocks(*levels: str) -> TemplateLibrary:
    return TemplateLibrary(tuple(block_template(level) for level in levels), {})


def test_a_folder_of_scans_becomes_a_library_that_can_be_kept(tmp_path: Path):
    scan = tmp_path / "case"
    scan.mkdir()
    write_label_map(lumbar_labels(), scan / "labels.nii.gz")
    write_layouts(scan, (Layout(OTHER, spoiled=("L2",)),))
    (tmp_path / "notes").mkdir()
    library = TemplateLibrary.from_folder(tmp_path)
    assert [t.level for t in library.templates] == ["L1"]
    assert "poor" in library.left_out["other: L2"]
    library.save(tmp_path / "all.npz")
    again = TemplateLibrary.from_folder(tmp_path / "all.npz")
    assert again.left_out == library.left_out
    kept, made = again.templates[0], library.templates[0]
    assert np.array_equal(kept.distances, made.distances)
    assert (kept.level, kept.source) == (made.level, OTHER)
    for which in ("superior", "inferior"):
        assert np.array_equal(getattr(kept, which).edges_mm, getattr(made, which).edges_mm)
        assert np.array_equal(getattr(kept, which).normal, getattr(made, which).normal)


def test_every_source_is_named_with_its_licence():
    library = TemplateLibrary((block_template("L1"), block_template("L2"), block_template("L2", OTHER)), {})
    assert library.card_lines() == [
        "one (L1, L2): CC0. Nobody 2020.",
        "other (L2): CC BY 4.0. Somebody 2021.",
    ]


def test_a_person_serves_training_or_testing_never_both():
    library = TemplateLibrary((block_template("L1"), block_template("L2", OTHER)), {})
    assert [t.source.name for t in library.split("train").templates] == ["one"]
    assert [t.source.name for t in library.split("test").templates] == ["other"]


def test_a_level_borrows_from_its_neighbours_within_its_region():
    library = blocks("C2", "C5", "T4", "T9", "L2")
    lenders = {"T4": "T4", "T5": "T4", "T12": "T9", "L5": "L2", "L1": "L2", "C3": "C5"}
    for level, lender in lenders.items():
        assert [t.level for t in library.of(level)] == [lender], level
    assert library.of("S1") == ()
    assert blocks("L2").of("T12") == ()
    assert blocks("C5").of("C2") == ()


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_the_share_says_how_many_persons_have_real_shapes(share: float):
    dressed = blocks("L2", "T8").dress(person(), np.random.default_rng(1), share)
    real = {b.level[0] for b in dressed.bones if b.template}
    assert real == ({"T", "L"} if share else set())


def test_dressing_moves_no_endplate():
    dressed = blocks("L2").dress(person(), np.random.default_rng(1), 1.0)
    for before, after in zip(person().bones, dressed.bones, strict=True):
        assert after.body is before.body


def test_a_phantom_of_real_shapes_measures_as_its_truth_says():
    """The blocks' posterior elements are no vertebra's: angles and heights count here, not rotation."""
    phantom = generate(
        18,
        spacing_mm=2.0,
        field_of_view="lumbopelvic",
        clean=True,
        templates=blocks("L2", "T10"),
        template_share=1.0,
    )
    found = measure(locate(phantom.label_map))
    checked = 0
    for key, tolerance in (("LL_L1S1", 2.5), ("LL_L4S1", 2.5), ("PI_LL", 2.5)):
        true, measured = phantom.truth.get(key), found.get(key)
        if true is not None:
            assert measured is not None
            assert measured.value == pytest.approx(true.value, abs=tolerance), key
            checked += 1
    assert checked == 3


def test_a_real_sacrum_takes_the_place_of_the_drawn_one():
    block = block_template()
    s1 = replace(block, level="S1", inferior=block.superior)
    dressed = TemplateLibrary((s1,), {}).dress(person(), np.random.default_rng(0), 1.0)
    assert dressed.sacrum is not None
    assert dressed.sacrum.origin_mm == pytest.approx(dressed.s1.superior_mm)
    made = [
        generate(3, spacing_mm=8, field_of_view="lumbopelvic", templates=library, template_share=1.0)
        for library in (None, blocks("L2"), TemplateLibrary((s1,), {}))
    ]
    plain, lumbar, sacral = (p.label_map.labels == SACRUM for p in made)
    assert (plain != lumbar).sum() < 0.05 * plain.sum()
    assert (plain != sacral).sum() > 0.5 * plain.sum()


def test_the_same_seed_gives_the_same_voxels():
    one, same = (
        generate(
            4, spacing_mm=8, field_of_view="lumbopelvic", templates=blocks("L2", "T8"), template_share=1.0
        )
        for _ in range(2)
    )
    plain = generate(4, spacing_mm=8, field_of_view="lumbopelvic")
    assert np.array_equal(one.volume.values, same.volume.values)
    assert one.volume.grid.matches(plain.volume.grid)
    assert not np.array_equal(one.label_map.labels, plain.label_map.labels)


def test_an_empty_folder_is_refused(tmp_path: Path):
    with pytest.raises(LabelMapRefused, match="gave no template"):
        TemplateLibrary.from_folder(tmp_path)


def test_axes_that_are_no_frame_are_refused_though_another_folder_is_good(tmp_path: Path):
    scan, meshes = tmp_path / "case", tmp_path / "meshes"
    scan.mkdir()
    meshes.mkdir()
    write_label_map(lumbar_labels(), scan / "labels.nii.gz")
    (meshes / "L3.stl").write_bytes(b"")
    write_layouts(meshes, (Layout(OTHER, axes="RPS"),))
    with pytest.raises(ConfigRefused, match=r"'RPS'.*no right-handed frame"):
        TemplateLibrary.from_folder(tmp_path)


def test_several_folders_make_one_library(tmp_path: Path):
    blocks("L2").save(tmp_path / "a.npz")
    TemplateLibrary((block_template("T9", OTHER),), {"x": "y"}).save(tmp_path / "b.npz")
    library = TemplateLibrary.from_folders([tmp_path / "a.npz", tmp_path / "b.npz"])
    assert [t.level for t in library.templates] == ["L2", "T9"]
    assert library.left_out == {"x": "y"}


def test_a_file_that_is_no_library_is_refused(tmp_path: Path):
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(LabelMapRefused, match="is no library of templates"):
        TemplateLibrary.from_folder(tmp_path / "other.npz")
