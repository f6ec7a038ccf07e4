"""NIfTI and LPS: an asymmetric label map lands where it was, for every axis order and direction."""

from __future__ import annotations

import itertools
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from spine_node.errors import LabelMapRefused, SeriesRefused
from spine_node.imaging.volume import Grid, LabelMap
from spine_node.nifti import read_label_map, read_volume, write_label_map


def asymmetric() -> LabelMap:
    labels = np.zeros((5, 6, 7), np.uint8)
    labels[1, 2, 5] = 31  # a femoral head to the patient's left, if the affine says so
    affine = np.array([[0, 0, 2.0, 10], [0, 3.0, 0, -20], [1.5, 0, 0, 30], [0, 0, 0, 1]])
    return LabelMap(Grid(labels.shape, affine), labels)


def test_left_stays_left(tmp_path: Path) -> None:
    """RAS x of the file is minus LPS x: an involution, so the numbers are stated, not converted back."""
    write_label_map(asymmetric(), tmp_path / "labels.nii.gz")
    image = nib.load(tmp_path / "labels.nii.gz")
    index = np.argwhere(np.asarray(image.dataobj) == 31)[0]
    assert np.allclose(image.affine @ [*index, 1], [-20, 14, 31.5, 1])


@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("flips", list(itertools.product((1, -1), repeat=3)))
def test_any_orientation_of_the_file_is_the_same_place(
    tmp_path: Path, axes: tuple[int, ...], flips: tuple[int, ...]
) -> None:
    write_label_map(asymmetric(), tmp_path / "labels.nii")
    image = nib.load(tmp_path / "labels.nii")
    orientation = np.array([[axis, flip] for axis, flip in zip(axes, flips, strict=True)])
    nib.save(image.as_reoriented(orientation), tmp_path / "turned.nii")
    turned = read_label_map(tmp_path / "turned.nii")
    assert np.allclose(turned.grid.to_mm(np.argwhere(turned.labels == 31)[0]), [20, -14, 31.5])


def test_an_image_in_place_of_labels_is_refused_in_words(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.full((4, 4, 4), -1000.5), np.eye(4)), tmp_path / "ct.nii")
    with pytest.raises(LabelMapRefused, match="whole numbers from 0 to 255 were expected"):
        read_label_map(tmp_path / "ct.nii")


def test_what_is_no_nifti_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "notes.nii").write_text("not an image")
    with pytest.raises(SeriesRefused, match=r"notes\.nii is not a NIfTI volume"):
        read_volume(tmp_path / "notes.nii")
