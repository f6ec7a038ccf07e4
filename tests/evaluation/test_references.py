"""Annotated scans as they lie in folders: pairs, masks of VerSe and TPTBox, marks; and what is not scored."""

import json
from pathlib import Path

import numpy as np
import pytest

from spine_node.anatomy.levels import CHANNELS, IGNORED, POSTERIOR_OFFSET, VERTEBRA_VALUES
from spine_node.errors import ConfigRefused, LabelMapRefused
from spine_node.evaluation.identification import body_centres, identification, scored_centres
from spine_node.evaluation.metrics import scored
from spine_node.evaluation.references import Notes, labelled, read_notes
from spine_node.evaluation.run import judged
from spine_node.imaging.volume import LabelMap
from spine_node.nifti import write_label_map, write_volume
from tests.evaluation.test_run import Oracle
from tests.segmentation.toy_spine import toy_case

CONFIG = Path(__file__).parents[2] / "config" / "real-scans.toml"
T8, L1, L4, L5 = (VERTEBRA_VALUES[level] for level in ("T8", "L1", "L4", "L5"))


def write_scan(folder, labels=True, marks=None):
    folder.mkdir()
    volume, truth = toy_case(1)
    write_volume(volume, folder / "ct.nii.gz")
    if labels:
        write_label_map(truth, folder / "labels_semi.nii.gz")
    if marks is not None:
        (folder / "landmarks.json").write_text(json.dumps({"landmarks": marks}))
    return truth


def write_verse(folder, subregions=True):
    """The toy spine as VerSe and TPTBox would store it; only its vertebrae."""
    folder.mkdir()
    volume, truth = toy_case(1)
    body = np.isin(truth.labels, list(VERTEBRA_VALUES.values()))
    posterior = (truth.labels > POSTERIOR_OFFSET) & (truth.labels < IGNORED)
    whole = np.where(posterior, truth.labels - POSTERIOR_OFFSET, np.where(body, truth.labels, 0))
    whole[0, 0, :3] = 124  # a disc, in the numbers of TPTBox
    write_volume(volume, folder / "sub-1_ct.nii.gz")
    write_label_map(LabelMap(truth.grid, whole.astype(np.uint8)), folder / "sub-1_seg-vert_msk.nii.gz")
    if subregions:
        parts = np.where(body, 49 + np.indices(body.shape)[0] % 2, np.where(posterior, 42, 0))
        write_label_map(LabelMap(truth.grid, parts.astype(np.uint8)), folder / "sub-1_seg-subreg_msk.nii.gz")
    return np.where(body | posterior, truth.labels, 0)


def test_labelled_scans_and_marked_ones_are_found_in_a_folder(tmp_path):
    truth = write_scan(tmp_path / "a")
    write_scan(tmp_path / "b", labels=False, marks={"L1": {"lps": [1.0, 2.0, 3.0]}, "S1": {"lps": [0, 0, 0]}})
    (tmp_path / "c").mkdir()
    first, second = labelled(tmp_path, "real")
    assert (first.name, second.name) == ("a", "b")
    scan = first.make()
    assert np.array_equal(scan.truth.labels, truth.labels)
    marked = second.make()
    assert marked.truth is None
    assert {level: c.tolist() for level, c in marked.centres.items()} == {"L1": [1, 2, 3]}
    assert [case.name for case in labelled(tmp_path / "a", "standing")] == ["a"]


def test_masks_of_verse_with_their_parts_are_taken_to_our_values(tmp_path):
    expected = write_verse(tmp_path / "a")
    (case,) = labelled(tmp_path, "crop")
    assert np.array_equal(case.make().truth.labels, expected)


def test_masks_of_verse_alone_are_parted_by_shape(tmp_path):
    expected = write_verse(tmp_path / "a", subregions=False)
    found = labelled(tmp_path / "a", "crop")[0].make().truth.labels
    whole = [labels % POSTERIOR_OFFSET for labels in (found, expected)]
    assert np.mean(whole[0] == whole[1]) > 0.9999
    bodies = [labels == L4 for labels in (found, expected)]
    assert 2 * (bodies[0] & bodies[1]).sum() / (bodies[0].sum() + bodies[1].sum()) > 0.8


def test_masks_of_two_scans_are_not_joined(tmp_path):
    write_verse(tmp_path / "a")
    _, other = toy_case(1, spacing_mm=5.0)
    write_label_map(other, tmp_path / "a" / "sub-1_seg-subreg_msk.nii.gz")
    with pytest.raises(LabelMapRefused, match="not on the grid"):
        labelled(tmp_path, "crop")[0].make()


def test_what_the_notes_leave_out_is_not_scored_whatever_is_found_there(tmp_path):
    """T8 and L5 are poor, nothing is known beyond; the model finds T8, invents T6 and gets T9 to L4 right."""
    truth = write_scan(tmp_path / "a")
    sacrum_and_below = truth.labels > 25
    sacrum_and_below &= truth.labels < 100
    vertebrae = LabelMap(truth.grid, np.where(sacrum_and_below, 0, truth.labels).astype(np.uint8))
    write_label_map(vertebrae, tmp_path / "a" / "labels_semi.nii.gz")
    out = [value for v in (T8, L5) for value in (v, v + POSTERIOR_OFFSET)]
    notes = {"a": Notes(ignore=tuple(out), partial_ends=True)}
    (case,) = labelled(tmp_path, "real", notes)
    assert (
        case.about
        == "not scored: T8, T8_posterior, L5, L5_posterior; nothing known beyond the labelled bodies"
    )
    scan = case.make()
    found = truth.labels.copy()
    top = np.argwhere(truth.labels == T8)[:, 0].max()
    found[top + 3 : top + 9, 20:30, 30:40] = VERTEBRA_VALUES["T6"]
    result, _ = judged(case, "model", Oracle(LabelMap(truth.grid, found)), scan)
    assert [row["level"] for row in result["identification"]["levels"]] == [
        "T9", "T10", "T11", "T12", "L1", "L2", "L3", "L4",
    ]  # fmt: skip
    assert result["identification"]["all_right"]
    assert result["identification"]["false_positives"] == []
    assert {row["dice"] for row in result["outlines"]} == {1}
    # Without the notes the same finds are held against it.
    plain = labelled(tmp_path, "real")[0].make()
    one, other = scored(LabelMap(truth.grid, found), plain.truth)
    said = identification(scored_centres(found, one, truth.grid), body_centres(other, truth.grid))
    assert said["false_positives"] == ["T6"]


def test_of_a_vertebra_with_poor_posterior_elements_only_the_body_is_compared(tmp_path):
    truth = write_scan(tmp_path / "a")
    (case,) = labelled(tmp_path, "real", {"a": Notes(ignore=(L1 + POSTERIOR_OFFSET,))})
    found = truth.labels.copy()
    found[truth.labels == L1 + POSTERIOR_OFFSET] = 0
    result, _ = judged(case, "model", Oracle(LabelMap(truth.grid, found)), case.make())
    rows = {(row["group"], row["name"]): row["dice"] for row in result["outlines"]}
    assert rows["body", "L1"] == 1
    assert not {("vertebra", "L1"), ("posterior", "L1")} & rows.keys()
    assert ("vertebra", "L2") in rows
    assert result["nameless"]["matched_vertebra"] == result["nameless"]["matched_posterior"] == 1


def test_the_notes_that_come_along_name_values_that_exist():
    notes = read_notes(CONFIG)
    assert notes["lidc_0295"] == Notes(ignore=(7, 21, 121), partial_ends=True)
    assert all(set(scan.ignore) <= CHANNELS.keys() for scan in notes.values())
    assert read_notes(None) == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [("[a]\nignored = [7]", "ignored"), ("[a]\nignore = ['C7']", r"a\.ignore\.0"), ("[a", "not a TOML")],
)
def test_misspelt_notes_are_refused(tmp_path, text, words):
    path = tmp_path / "notes.toml"
    path.write_text(text)
    with pytest.raises(ConfigRefused, match=words):
        read_notes(path)


def test_changed_labels_or_notes_change_the_stamp(tmp_path):
    truth = write_scan(tmp_path / "a")
    before = labelled(tmp_path, "real")[0].stamp
    assert labelled(tmp_path, "real", {"a": Notes(ignore=(7,))})[0].stamp != before
    truth.labels[0, 0, :5] = 7
    write_label_map(truth, tmp_path / "a" / "labels_semi.nii.gz")
    assert labelled(tmp_path, "real")[0].stamp != before


def test_a_folder_without_scans_is_refused(tmp_path):
    with pytest.raises(LabelMapRefused, match="no scan to evaluate on"):
        labelled(tmp_path, "real")


@pytest.mark.parametrize("marks", [{}, {"L1": [1, 2]}, {"S1": {"lps": [0, 0, 0]}}])
def test_marks_that_say_nothing_are_refused(tmp_path, marks):
    write_scan(tmp_path / "b", labels=False, marks=marks)
    with pytest.raises(LabelMapRefused, match=r"landmarks\.json"):
        labelled(tmp_path, "real")[0].make()
