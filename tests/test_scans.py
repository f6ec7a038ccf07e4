"""Which files of a folder belong together, and whether one has changed."""

from __future__ import annotations

import os
from pathlib import Path

from spine_node.scans import nifti_files, stamp_of, verse_files


def test_label_maps_are_told_from_images(tmp_path: Path):
    for name in ("ct.nii.gz", "labels.nii.gz", "labels_old.nii", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    images, labels = nifti_files(tmp_path)
    assert [f.name for f in images] == ["ct.nii.gz"]
    assert [f.name for f in labels] == ["labels.nii.gz", "labels_old.nii"]


def test_a_stamp_changes_with_any_file_below_and_with_nothing_else(tmp_path: Path):
    (tmp_path / "one").mkdir()
    file = tmp_path / "one" / "labels.nii.gz"
    file.write_bytes(b"x")
    before = stamp_of(tmp_path)
    assert stamp_of(tmp_path) == before == stamp_of(file)
    os.utime(file, ns=(1, 1))
    assert stamp_of(tmp_path) != before


def test_masks_are_known_by_the_names_of_verse(tmp_path: Path):
    for name in ("sub-1_ct.nii.gz", "sub-1_seg-vert_label-22_msk.nii.gz"):
        (tmp_path / name).write_bytes(b"x")
    image, vertebrae, parts = verse_files(tmp_path) or (None, None, None)
    assert image is not None
    assert (image.name, parts) == ("sub-1_ct.nii.gz", None)
    assert vertebrae == tmp_path / "sub-1_seg-vert_label-22_msk.nii.gz"
    (tmp_path / "sub-2_seg-vert_msk.nii.gz").write_bytes(b"x")
    assert verse_files(tmp_path) is None  # of which image?
