"""An accepted scan is a case that training reads; what cannot be right is not accepted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from spine_node.annotation.cases import accept
from spine_node.annotation.scans import Scan, read_scan
from spine_node.errors import LabelMapRefused
from spine_node.imaging.volume import LabelMap
from spine_node.training.streams import FolderStream
from tests.annotation.scene import labels, write_nifti_scan

MAP = labels()


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Scan:
    image, _ = write_nifti_scan(tmp_path_factory.mktemp("scan"), MAP)
    return read_scan(image)


def test_training_reads_what_was_accepted(scan: Scan, tmp_path: Path) -> None:
    assert accept(scan, MAP, tmp_path / "cases" / "one") == []
    stream = FolderStream(tmp_path / "cases")
    assert stream.training() == ["one"]
    volume, label_map = stream.make("one", 3.0)
    assert np.array_equal(volume.values, scan.volume.values)
    assert np.array_equal(label_map.labels, MAP.labels)
    assert volume.grid.matches(MAP.grid)
    record = json.loads((tmp_path / "cases" / "one" / "case.json").read_text())
    assert record["schema"] == "spine-node/annotated-case/1"
    assert record["volumes_ml"]["L2"] == pytest.approx((MAP.labels == 21).sum() * 0.008)


def test_what_is_marked_unknown_is_not_learned_from(scan: Scan, tmp_path: Path) -> None:
    accept(scan, MAP, tmp_path / "cases" / "one", unknown=["L1", "L3 posterior elements"])
    _, label_map = FolderStream(tmp_path / "cases").make("one", 3.0)
    assert np.array_equal(label_map.labels == 255, np.isin(MAP.labels, (20, 120, 122)))
    assert set(np.unique(label_map.labels)) == {0, 21, 22, 121, 255}


def test_a_slip_is_refused_unless_forced(scan: Scan, tmp_path: Path) -> None:
    swapped = MAP.labels.copy()
    swapped[MAP.labels == 20], swapped[MAP.labels == 21] = 21, 20
    wrong = LabelMap(MAP.grid, swapped)
    with pytest.raises(LabelMapRefused, match=r"L2: lies \d+ mm above L1.*Nothing was written"):
        accept(scan, wrong, tmp_path / "one")
    assert not (tmp_path / "one").exists()
    assert accept(scan, wrong, tmp_path / "one", force=True)[0].severity == "error"
    assert (tmp_path / "one" / "labels.nii.gz").exists()


def test_a_case_is_never_overwritten(scan: Scan, tmp_path: Path) -> None:
    accept(scan, MAP, tmp_path / "one")
    with pytest.raises(LabelMapRefused, match="holds a case already"):
        accept(scan, MAP, tmp_path / "one")


def test_an_unknown_name_is_refused(scan: Scan, tmp_path: Path) -> None:
    with pytest.raises(LabelMapRefused, match="'liver' names no structure"):
        accept(scan, MAP, tmp_path / "one", unknown=["liver"])


def test_whole_vertebrae_are_parted_before_anything_learns_from_them(scan: Scan, tmp_path: Path) -> None:
    """As in VerSe, TotalSegmentator, or a result of the node: an arch is never learned as a body."""
    whole = LabelMap(MAP.grid, np.where(MAP.labels > 100, MAP.labels - 100, MAP.labels).astype(np.uint8))
    odd = accept(scan, whole, tmp_path / "cases" / "one")
    assert [finding.structure for finding in odd if "parted by shape" in finding.words] == ["L1", "L2", "L3"]
    _, label_map = FolderStream(tmp_path / "cases").make("one", 3.0)
    arch = MAP.labels == 121
    assert (label_map.labels[arch] == 121).mean() > 0.8
