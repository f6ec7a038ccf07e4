"""Vertebrae cut out of a label map: where they were, whole, and only those that are whole."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from spine_node.anatomy.levels import POSTERIOR_OFFSET, VERTEBRA_VALUES
from spine_node.geometry.angles import angle_between_deg
from spine_node.imaging.volume import LabelMap
from spine_node.phantom.cutting import _smooth_distance, cut
from spine_node.phantom.templates import STEP_MM, Template
from tests.phantom.real_shapes import ONE, in_one_piece, lumbar_labels, person


@cache
def cut_out() -> tuple[dict[str, Template], dict[str, str]]:
    templates, left_out = cut(lumbar_labels(), ONE)
    return {t.level: t for t in templates}, left_out


def test_whole_vertebrae_are_cut_out_and_cut_ones_are_left_out_with_the_reason():
    templates, left_out = cut_out()
    assert list(templates) == ["L1", "L2"]
    assert "edge" in left_out["T12"]
    assert "edge" in left_out["L3"]


@pytest.mark.parametrize("level", ["L1", "L2"])
def test_a_templates_endplates_are_those_that_were_drawn(level: str):
    """Angle between them, height, width and depth of the body that the label map was drawn from.

    Smoothing rounds the rims of voxels of 1.5 mm: edges lie within one, their distance within 2.5 mm.
    """
    template = cut_out()[0][level]
    body = next(b.body for b in person().bones if b.level == level)
    wedge = angle_between_deg(body.superior_normal, body.inferior_normal)
    assert angle_between_deg(template.superior.normal, template.inferior.normal) == pytest.approx(
        wedge, abs=1.0
    )
    assert template.height_mm == pytest.approx(body.height_mm, abs=0.5)
    anterior, posterior, left, right = body.plate_edges("superior")
    assert template.superior.width_mm == pytest.approx(float(np.linalg.norm(left - right)), abs=2.5)
    assert template.superior.depth_mm == pytest.approx(float(np.linalg.norm(anterior - posterior)), abs=2.5)


def test_a_template_holds_as_much_as_the_voxels_did():
    labels, voxel = lumbar_labels().labels, lumbar_labels().grid.voxel_mm3
    body, whole = ((d < 0).sum() * STEP_MM**3 for d in cut_out()[0]["L2"].distances)
    value = VERTEBRA_VALUES["L2"]
    there = (labels == value).sum() * voxel, (labels == value + POSTERIOR_OFFSET).sum() * voxel
    assert body == pytest.approx(there[0], rel=0.03)
    assert whole - body == pytest.approx(there[1], rel=0.06)


def test_distances_are_those_to_the_surface_on_both_sides_of_it():
    """A ball of 15 mm in voxels of 1 mm, read along an axis and across them."""
    middle = np.array([20.3, 19.8, 20.1])
    index = np.moveaxis(np.indices((41, 41, 41)), 0, -1)
    away = np.linalg.norm(index - middle, axis=-1)
    found = _smooth_distance(away < 15, np.ones(3))
    for depth in (-2.0, -1.0, 1.0, 2.0):
        shell = np.abs(away - 15 - depth) < 0.2
        assert np.mean(found[shell] - (away[shell] - 15)) == pytest.approx(0, abs=0.15), depth


def test_the_canal_is_behind_the_body_and_free():
    template = cut_out()[0]["L1"]
    behind = next(b for b in person().bones if b.level == "L1")
    expected = (behind.canal_mm - behind.body.middle_mm) @ behind.axes
    assert template.canal_mm == pytest.approx([0, expected[1], 0], abs=2.0)
    index = np.round((template.canal_mm - template.corner_mm) / STEP_MM).astype(int)
    assert template.distances[1][tuple(index)] > 0


def test_vertebrae_in_one_piece_are_parted_first():
    templates, _ = cut(in_one_piece(lumbar_labels()), ONE)
    assert [t.level for t in templates] == ["L1", "L2"]
    for t in templates:
        known = cut_out()[0][t.level]
        assert t.superior.depth_mm == pytest.approx(known.superior.depth_mm, abs=2.5)
        assert t.height_mm == pytest.approx(known.height_mm, abs=0.6)


def test_labels_known_to_be_poor_are_not_used():
    templates, left_out = cut(lumbar_labels(), ONE, spoiled=["L1"])
    assert [t.level for t in templates] == ["L2"]
    assert "poor" in left_out["L1"]


def test_a_body_without_posterior_elements_is_no_template():
    source = lumbar_labels()
    labels = np.where(source.labels == VERTEBRA_VALUES["L1"] + POSTERIOR_OFFSET, 0, source.labels)
    templates, left_out = cut(LabelMap(source.grid, labels), ONE)
    assert [t.level for t in templates] == ["L2"]
    assert "posterior elements" in left_out["L1"]
