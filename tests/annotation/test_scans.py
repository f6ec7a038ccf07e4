"""Another program's array order is the same voxels; other voxels are refused."""

from __future__ import annotations

import itertools
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from spine_node.annotation.scans import onto, read_labels, read_scan
from spine_node.errors import LabelMapRefused
from spine_node.imaging.volume import Grid, LabelMap
from spine_node.nifti import write_label_map
from tests.annotation.scene import labels, write_nifti_scan

MAP = labels(("L1", "L2"))


@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, 1), (1, -1, -1), (-1, -1, -1)])
def test_a_label_map_saved_in_another_order_comes_back(
    axes: tuple[int, ...], flips: tuple[int, ...], tmp_path: Path
) -> None:
    write_label_map(MAP, tmp_path / "labels.nii")
    turn = np.array(list(zip(axes, flips, strict=True)))
    nib.save(nib.load(tmp_path / "labels.nii").as_reoriented(turn), tmp_path / "turned.nii")
    assert np.array_equal(read_labels(tmp_path / "turned.nii", MAP.grid).label_map.labels, MAP.labels)


def test_a_cropped_and_a_padded_label_map_are_put_in_place() -> None:
    low = np.array([5, 4, 3])
    affine = np.array(MAP.grid.affine)
    affine[:3, 3] = MAP.grid.to_mm(low)
    part = MAP.labels[5:-5, 4:, 3:-2]
    expected = np.zeros_like(MAP.labels)
    expected[5:-5, 4:, 3:-2] = part
    cropped = LabelMap(Grid(part.shape, affine), np.ascontiguousarray(part))
    assert np.array_equal(onto(cropped, MAP.grid, "x").labels, expected)
    affine[:3, 3] = MAP.grid.to_mm(-low)
    wide = np.pad(MAP.labels, [(5, 1), (4, 1), (3, 1)])
    assert np.array_equal(onto(LabelMap(Grid(wide.shape, affine), wide), MAP.grid, "x").labels, MAP.labels)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: a @ np.diag([0.5, 1, 1, 1]), "they are not the same voxels"),
        (lambda a: a + np.array([[0, 0, 0, 1.0]] + [[0.0] * 4] * 3), r"0\.50 apart, 0\.1 allowed"),
        (lambda a: a + np.array([[0, 0, 0, 60.0]] + [[0.0] * 4] * 3), "labels voxels outside the image"),
    ],
)
def test_a_label_map_of_another_image_is_refused(change, words: str) -> None:  # type: ignore[no-untyped-def]
    other = LabelMap(Grid(MAP.grid.shape, change(np.array(MAP.grid.affine))), MAP.labels)
    with pytest.raises(LabelMapRefused, match=words):
        onto(other, MAP.grid, "corrected.nii.gz")


def test_a_scan_is_named_by_what_it_is_and_not_by_whom(tmp_path: Path) -> None:
    image, _ = write_nifti_scan(tmp_path, MAP)
    assert read_scan(image).source["file"] == "ct.nii.gz"
