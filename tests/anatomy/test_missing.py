"""What is not in the images is said, in words, and nothing is made up for it."""

from __future__ import annotations

import numpy as np
import pytest

from spine_node.anatomy.levels import FEMORAL_HEAD_LEFT, FEMORAL_HEAD_RIGHT, SACRUM, VERTEBRA_VALUES
from spine_node.anatomy.locate import locate
from spine_node.anatomy.sacrum import Seed, find_s1
from spine_node.errors import LabelMapRefused
from spine_node.geometry.angles import angle_between_deg
from spine_node.imaging.components import boxes, cut_out
from spine_node.imaging.surface import field_of
from spine_node.imaging.volume import Grid, LabelMap
from tests.anatomy.voxel_spine import VoxelSpine, voxel_spine

LUMBAR = ("L1", "L2", "L3", "L4", "L5")


@pytest.fixture(scope="module")
def patient() -> VoxelSpine:
    return voxel_spine(LUMBAR)


@pytest.fixture(scope="module")
def label_map(patient: VoxelSpine) -> LabelMap:
    return patient.label_map(1.5)


def part(label_map: LabelMap, low: tuple[int, int, int], high: tuple[int, int, int]) -> LabelMap:
    """The same voxels seen by a smaller field."""
    affine = np.array(label_map.grid.affine)
    affine[:3, 3] = label_map.grid.to_mm(low)
    labels = label_map.labels[tuple(slice(a, b) for a, b in zip(low, high, strict=True))].copy()
    return LabelMap(Grid(labels.shape, affine), labels)  # type: ignore[arg-type]


def without(label_map: LabelMap, *values: int) -> LabelMap:
    labels = label_map.labels.copy()
    labels[np.isin(labels, values)] = 0
    return LabelMap(label_map.grid, labels)


def test_a_plate_cut_by_the_field_is_missing_and_its_neighbour_is_not(
    patient: VoxelSpine, label_map: LabelMap
) -> None:
    l1 = patient.truth.vertebra("L1")
    assert l1 is not None
    top = int(label_map.grid.to_index(l1.body_centre_mm + np.array([0, 0, 3]))[2])
    found = locate(part(label_map, (0, 0, 0), (*label_map.grid.shape[:2], top)))
    vertebra = found.vertebra("L1")
    assert vertebra is not None
    assert vertebra.superior is None
    assert vertebra.inferior is not None
    assert l1.inferior is not None
    assert angle_between_deg(vertebra.inferior.normal, l1.inferior.normal) < 1
    assert found.missing["L1.superior"] == "L1 superior endplate is cut by the field's edge"
    assert found.missing["L1.body"] == "L1 body is cut by the field's edge"


def test_a_remnant_that_ends_inside_the_field_is_called_one(label_map: LabelMap, patient: VoxelSpine) -> None:
    """Annotators and networks stop somewhere in the first vertebra; its flat top is no endplate."""
    l1 = patient.truth.vertebra("L1")
    assert l1 is not None
    labels = label_map.labels.copy()
    top = int(label_map.grid.to_index(l1.body_centre_mm)[2])
    labels[:, :, top:] = 0
    found = locate(LabelMap(label_map.grid, labels))
    vertebra = found.vertebra("L1")
    assert vertebra is not None
    assert vertebra.superior is None
    assert found.missing["L1.superior"].startswith("L1 seems to be cut: its body is 1")


def test_an_absent_level_between_others_is_named(label_map: LabelMap) -> None:
    found = locate(without(label_map, 22, 122))
    assert found.vertebra("L3") is None
    assert found.missing["L3"] == "L3 is not in the label map, though vertebrae above and below it are"


def test_a_splinter_is_no_vertebra(label_map: LabelMap) -> None:
    labels = without(label_map, 20, 120).labels
    labels[:4, :4, :4] = 20
    assert "too little for a vertebra" in locate(LabelMap(label_map.grid, labels)).missing["L1"]


def test_absent_heads_are_named_by_side(label_map: LabelMap) -> None:
    found = locate(without(label_map, FEMORAL_HEAD_RIGHT))
    assert set(found.heads) == {"left"}
    assert found.missing["femoral_head_right"] == "right femoral head is not in the label map"


def test_half_a_head_is_enough_and_a_cap_is_not(patient: VoxelSpine, label_map: LabelMap) -> None:
    centre = patient.truth.heads["right"].centre_mm
    for inward, enough in ((0.0, True), (17.0, False)):
        first = int(label_map.grid.to_index(centre + np.array([inward, 0, 0]))[0])
        found = locate(part(label_map, (first, 0, 0), label_map.grid.shape))
        assert ("right" in found.heads) is enough
        if enough:
            assert np.linalg.norm(found.heads["right"].centre_mm - centre) < 0.3
        else:
            assert "right femoral head is cut by the field's edge" in found.missing["femoral_head_right"]


def test_something_square_is_no_head(label_map: LabelMap) -> None:
    labels = label_map.labels.copy()
    index = np.argwhere(labels == FEMORAL_HEAD_LEFT)
    low, high = index.min(axis=0), index.max(axis=0)
    labels[low[0] : high[0], low[1] : low[1] + 4, low[2] : high[2]] = 200
    labels[labels == FEMORAL_HEAD_LEFT] = 0
    labels[labels == 200] = FEMORAL_HEAD_LEFT
    assert (
        "left femoral head is not round"
        in locate(LabelMap(label_map.grid, labels)).missing["femoral_head_left"]
    )


def test_bodies_alone_have_endplates_but_no_rotation(patient: VoxelSpine, label_map: LabelMap) -> None:
    found = locate(without(label_map, *range(101, 129)))
    for v in patient.truth.vertebrae:
        vertebra = found.vertebra(v.level)
        assert vertebra is not None
        assert vertebra.axes is None
        assert vertebra.superior is not None
        assert v.superior is not None
        assert angle_between_deg(vertebra.superior.normal, v.superior.normal) < 1
        assert "a body shows no rotation" in found.missing[f"{v.level}.axes"]


def test_whole_vertebrae_without_parts_keep_their_endplates(patient: VoxelSpine, label_map: LabelMap) -> None:
    """Maps in which one value is the whole vertebra: the body is found by its thickness."""
    labels = label_map.labels.copy()
    behind = (labels > 100) & (labels < 129)
    labels[behind] -= 100
    found = locate(LabelMap(label_map.grid, labels))
    for v in patient.truth.vertebrae:
        vertebra = found.vertebra(v.level)
        assert vertebra is not None
        assert vertebra.superior is not None
        assert vertebra.inferior is not None
        assert v.superior is not None
        assert v.inferior is not None
        assert angle_between_deg(vertebra.superior.normal, v.superior.normal) < 2
        assert angle_between_deg(vertebra.inferior.normal, v.inferior.normal) < 2
        assert np.linalg.norm(vertebra.body_centre_mm - v.body_centre_mm) < 2


def test_without_a_sacrum_there_is_no_s1(label_map: LabelMap) -> None:
    found = locate(without(label_map, SACRUM))
    assert found.s1 is None
    assert found.missing["s1"] == "sacrum is not in the label map"


def test_the_sacrum_alone_shows_its_endplate(patient: VoxelSpine, label_map: LabelMap) -> None:
    """Hips-only examinations: no lumbar vertebra points to S1."""
    found = locate(without(label_map, *range(1, 26), *range(101, 129)))
    truth = patient.truth.s1
    assert truth is not None
    assert found.s1 is not None
    assert angle_between_deg(found.s1.normal, truth.normal) < 1.5
    assert np.linalg.norm(found.s1.centre_mm - truth.centre_mm) < 1.0
    assert any("without a lumbar vertebra" in sentence for sentence in found.quality)


def test_a_plate_of_s1_at_the_end_of_the_field_is_cut(patient: VoxelSpine, label_map: LabelMap) -> None:
    truth = patient.truth.s1
    assert truth is not None
    bottom = int(label_map.grid.to_index(truth.centre_mm + np.array([0, 0, 2]))[2])
    found = locate(part(label_map, (0, 0, bottom), label_map.grid.shape))
    assert found.s1 is None
    assert "S1 endplate" in found.missing["s1"]


def test_a_mirrored_label_map_is_refused(label_map: LabelMap) -> None:
    """Left and right swapped without a word is the worst a measuring device can do."""
    left_axis = int(np.argmax(np.abs(label_map.grid.affine[0, :3])))
    mirrored = LabelMap(label_map.grid, np.ascontiguousarray(np.flip(label_map.labels, left_axis)))
    with pytest.raises(
        LabelMapRefused, match=r"left and right contradict front and back.*Nothing was measured"
    ):
        locate(mirrored)


def test_an_empty_label_map_is_refused_with_what_it_holds() -> None:
    labels = np.zeros((20, 20, 20), np.uint8)
    labels[3:9, 3:9, 3:9] = 77
    with pytest.raises(LabelMapRefused, match=r"no vertebra and no sacrum: it holds the values \[77\]"):
        locate(LabelMap(Grid((20, 20, 20), np.eye(4)), labels))


def test_unknown_values_are_mentioned(label_map: LabelMap) -> None:
    labels = label_map.labels.copy()
    labels[:3, :3, :3] = 99
    assert (
        "The label map holds unknown values [99]; they were ignored."
        in locate(LabelMap(label_map.grid, labels)).quality
    )


def test_levels_out_of_order_are_mentioned(label_map: LabelMap) -> None:
    labels = label_map.labels.copy()
    swap = np.arange(256, dtype=np.uint8)
    swap[[VERTEBRA_VALUES["L2"], VERTEBRA_VALUES["L4"]]] = VERTEBRA_VALUES["L4"], VERTEBRA_VALUES["L2"]
    quality = locate(LabelMap(label_map.grid, swap[labels])).quality
    assert any("the levels are not in order" in sentence for sentence in quality)


def test_thick_slices_are_mentioned() -> None:
    quality = locate(voxel_spine(("L4", "L5")).label_map((1.0, 1.0, 4.0))).quality
    assert any(sentence.startswith("Voxels reach 4.0 mm") for sentence in quality)


def test_the_upper_two_cervical_vertebrae_have_no_such_plates(label_map: LabelMap) -> None:
    """A ring and a dens: whatever is flat on them is no endplate."""
    renamed = np.arange(256, dtype=np.uint8)
    renamed[[20, 21, 120, 121]] = 1, 2, 101, 102
    found = locate(LabelMap(label_map.grid, renamed[label_map.labels]))
    assert found.vertebra("C1") is None
    assert found.missing["C1"] == "C1 has no body and is not measured"
    c2 = found.vertebra("C2")
    assert c2 is not None
    assert c2.superior is None
    assert c2.inferior is not None
    assert "C2.superior" in found.missing


def test_a_sacrum_far_from_where_the_last_vertebra_points_is_read_by_its_own_shape(
    patient: VoxelSpine, label_map: LabelMap
) -> None:
    """A vertebra half found may point anywhere; the sacrum then shows its plate itself."""
    blob = cut_out(label_map, SACRUM, boxes(label_map)[SACRUM])
    s1 = patient.truth.s1
    assert s1 is not None
    seed = Seed(s1.centre_mm + 80 * s1.normal, s1.normal, np.array([0.0, 1.0, 0.0]))
    plate, reason = find_s1(blob, field_of(blob), seed)
    assert plate is not None, reason
    assert angle_between_deg(plate.normal, s1.normal) < 1.5
    assert np.linalg.norm(plate.centre_mm - s1.centre_mm) < 1.5
