"""Which files of a folder belong together, and whether one has changed."""

from __future__ import annotations

import os
from pathlib import Path

from spine_node.scans import nifti_files, stamp_of


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
