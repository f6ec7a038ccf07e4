import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spine_node.anatomy.levels import POSTERIOR_OFFSET, SACRUM, VERTEBRA_VALUES
from spine_node.errors import LabelMapRefused, PinRefused
from spine_node.imaging.volume import Grid, LabelMap
from spine_node.segmentation.naming_file import naming_path, read_segmentation, write_naming
from spine_node.segmentation.numbering import NUMBERINGS, USUAL
from spine_node.segmentation.pins import pin_of
from spine_node.segmentation.renaming import renamed, shifted, with_shifted_names
from spine_node.segmentation.segmenter import Segmentation
from tests.segmentation.named_toy import MODEL, named_toy

TOY = USUAL[USUAL.index("T8") :]


def voxels(label_map, level, part=0):
    return label_map.labels == VERTEBRA_VALUES[level] + part


def test_one_pin_renames_the_whole_spine_with_its_posterior_elements():
    """What is called L4 is L5: then the last one is a sixth lumbar vertebra, and T8 is T9."""
    _, before = named_toy()
    after = renamed(before, [pin_of("L5=L4")])
    assert after.naming.levels == (*TOY[1:], "L6")
    for old, new in zip(TOY, after.naming.levels, strict=True):
        for part in (0, POSTERIOR_OFFSET):
            assert np.array_equal(voxels(before.label_map, old, part), voxels(after.label_map, new, part))
    assert not voxels(after.label_map, "T8").any()
    assert np.array_equal(before.label_map.labels == SACRUM, after.label_map.labels == SACRUM)
    assert "numbering anomaly: six lumbar vertebrae" in after.quality
    assert after.level_identification.pinned == ("L5",)
    assert after.variant == ",".join(after.naming.levels) + "; L5"
    assert (before.variant, after.model) == ("", before.model)


def test_a_point_means_the_body_there_and_pinning_back_gives_the_first_names():
    _, before = named_toy()
    x, y, z = before.naming.evidence.centres_mm[-2]
    there = renamed(before, [pin_of(f"L5={x + 8:.1f},{y:.1f},{z - 6:.1f}")])
    assert there.naming.levels[-1] == "L6"
    back = renamed(there, [pin_of("L4=L5")])
    assert np.array_equal(back.label_map.labels, before.label_map.labels)


def test_other_pins_make_another_variant_even_of_the_same_names():
    """What is said about the names differs, so UIDs must."""
    _, toy = named_toy()
    theirs = Segmentation(toy.label_map, MODEL)
    for before in (toy, theirs):
        one, other, both = (
            renamed(before, [pin_of(text) for text in pins])
            for pins in (["L5=L4"], ["L4=L3"], ["L5=L4", "L4=L3"])
        )
        assert np.array_equal(one.label_map.labels, both.label_map.labels)
        assert np.array_equal(one.label_map.labels, other.label_map.labels)
        assert len({one.variant, other.variant, both.variant}) == 3
        assert renamed(before, [pin_of("L5=L4")]).variant == one.variant


def test_pins_that_cost_a_vertebra_its_name_are_refused():
    """Below an L5 there is room for one lumbar vertebra at most: the other of the two there would go."""
    _, before = named_toy()
    with pytest.raises(PinRefused, match=r"L5=L3 would take .* for no vertebra .* Nothing was renamed"):
        renamed(before, [pin_of("L5=L3")])


@pytest.mark.parametrize("value", [VERTEBRA_VALUES["T3"], VERTEBRA_VALUES["L6"]])
def test_a_label_map_edited_beside_its_naming_is_refused(value):
    _, before = named_toy()
    labels = before.label_map.labels.copy()
    labels[labels == VERTEBRA_VALUES["L2"]] = value
    edited = replace(before, label_map=LabelMap(before.label_map.grid, labels))
    with pytest.raises(LabelMapRefused, match=r"the label map shows (T3|L6), but naming.json .* T8, T9"):
        renamed(edited, [pin_of("L5=L4")])


def test_without_pins_nothing_changes():
    _, before = named_toy()
    assert renamed(before, []) is before


def test_what_is_beside_a_label_map_is_enough_to_rename_it(tmp_path):
    _, before = named_toy()
    path = naming_path(tmp_path / "labels.nii.gz")
    write_naming(before, path)
    again = read_segmentation(path, before.label_map)
    assert again.model == before.model
    assert again.naming.hypotheses[1].words == before.naming.hypotheses[1].words
    ours, theirs = (renamed(s, [pin_of("L5=L4")]) for s in (before, again))
    assert np.array_equal(ours.label_map.labels, theirs.label_map.labels)
    assert ours.naming.margin == pytest.approx(theirs.naming.margin, abs=0.02)
    data = json.loads(path.read_text())["naming"]
    assert (data["uncertain"], data["levels"]) == (False, list(TOY))
    assert data["hypotheses"][0]["score_nats"] == 0


@pytest.mark.parametrize("text", ["not JSON", "[]", '{"schema": "another/2"}'])
def test_a_naming_that_is_not_ours_is_refused(tmp_path, text):
    (tmp_path / "naming.json").write_text(text)
    label_map = LabelMap(Grid((2, 2, 2), np.eye(4)), np.zeros((2, 2, 2), np.uint8))
    with pytest.raises(LabelMapRefused, match=r"naming.json is not understood"):
        read_segmentation(tmp_path / "naming.json", label_map)


@given(st.integers(0, 20), st.integers(2, 24), st.integers(-1, 1), st.data())
def test_shifted_names_keep_order_and_gaps(first, count, by, data):
    levels = USUAL[first : first + count]
    body = data.draw(st.integers(0, len(levels) - 1))
    rank = USUAL.index(levels[body]) + by
    if not 0 <= rank < len(USUAL):
        return
    try:
        names = shifted(levels, {body: USUAL[rank]})
    except PinRefused:
        assert (by == -1 and levels[0] == "C1") or by == 1
        return
    assert names[body] == USUAL[rank]
    assert len(names) == len(levels)
    assert any("".join(names) in "".join(n.levels) for n in NUMBERINGS)
    if by == 0:
        assert names == levels


@pytest.mark.parametrize(
    ("levels", "pins", "names"),
    [
        (("T12", "L1", "L2"), {1: "T13"}, ("T12", "T13", "L1")),
        (("T11", "T12", "L1"), {2: "T13"}, ("T11", "T12", "T13")),
        (("T12", "T13", "L1"), {1: "L1"}, ("T12", "L1", "L2")),
        (("L2", "L4", "L5"), {1: "L3"}, ("L1", "L3", "L4")),
        (("C1", "C2"), {1: "C1"}, None),
        (("L4", "L5"), {0: "L6"}, None),
        (("L1", "L2", "L3"), {0: "L2", 2: "L3"}, None),
    ],
)
def test_shifting_goes_as_far_as_columns_do(levels, pins, names):
    if names is None:
        with pytest.raises(PinRefused, match="names cannot be shifted so that"):
            shifted(levels, pins)
    else:
        assert shifted(levels, pins) == names


def test_a_label_map_of_any_origin_is_shifted():
    _, toy = named_toy()
    moved, said = with_shifted_names(toy.label_map, [pin_of("L4=L5")])
    assert np.array_equal(voxels(moved, "L4"), voxels(toy.label_map, "L5"))
    assert np.array_equal(voxels(moved, "T7", 100), voxels(toy.label_map, "T8", 100))
    assert "a person has fixed L4=L5" in said
    other = renamed(Segmentation(toy.label_map, MODEL, ("theirs",)), [pin_of("L4=L5")])
    assert np.array_equal(other.label_map.labels, moved.labels)
    assert other.quality == ("theirs", said)
    assert other.level_identification.pinned == ("L4",)
    empty = LabelMap(toy.label_map.grid, np.zeros_like(toy.label_map.labels))
    with pytest.raises(PinRefused, match="shows no vertebra"):
        with_shifted_names(empty, [pin_of("L4=L5")])
