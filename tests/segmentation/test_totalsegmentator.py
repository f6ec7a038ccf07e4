"""The adapter itself runs; a package of the same interface on disk stands in for TotalSegmentator."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from spine_node.anatomy.levels import VERTEBRA_VALUES
from spine_node.anatomy.locate import locate
from spine_node.anatomy.schemes import TOTALSEGMENTATOR, value_of
from spine_node.errors import BundleRefused, ConfigRefused, SeriesRefused
from spine_node.imaging.volume import LabelMap, Volume
from spine_node.segmentation.totalsegmentator import TotalSegmentatorSegmenter, identity_of
from tests.anatomy.voxel_spine import voxel_spine

LEVELS = ("T12", "L1", "L2", "L3")

STAND_IN = '''
"""Returns the image that it was given, as labels: the interface of version 2, and nothing else."""
import nibabel as nib
import numpy as np

calls = []
network = []

def download_pretrained_weights(task_id):
    network.append(task_id)

def send_usage_stats(config, params):
    network.append(params)

def totalsegmentator(input, output=None, ml=False, fast=False, task="total", roi_subset=None, quiet=False,
                     device="gpu"):
    calls.append({"output": output, "ml": ml, "fast": fast, "task": task, "roi_subset": roi_subset,
                  "device": device})
    for task_id in ([297] if fast else [291, 292, 293, 294, 295]) + WANTED:
        download_pretrained_weights(task_id)
    send_usage_stats({}, {"task": task})
    return nib.Nifti1Image(np.asarray(input.dataobj).astype(np.uint8), input.affine)

WANTED = []
'''


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The stand-in, importable, with files where its weights would be; gives the folder of weights."""
    package = tmp_path / "site" / "totalsegmentator"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "python_api.py").write_text(STAND_IN)
    classes = TOTALSEGMENTATOR | {1: "spleen", 51: "heart"}
    (package / "map_to_binary.py").write_text(f"class_map = {{'total': {classes!r}}}\n")
    about = tmp_path / "site" / "TotalSegmentator-2.9.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: TotalSegmentator\nVersion: 2.9.0\n")
    weights = tmp_path / "weights"
    for number in (291, 292, 293, 294, 295, 297, 298):
        fold = weights / f"Dataset{number}_part" / "trainer" / "fold_0"
        fold.mkdir(parents=True)
        (fold / "checkpoint_final.pth").write_bytes(b"weights of %d" % number)
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setenv("TOTALSEG_WEIGHTS_PATH", str(weights))
    importlib.invalidate_caches()
    yield weights
    for name in [n for n in sys.modules if n.split(".")[0] == "totalsegmentator"]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def lumbar() -> LabelMap:
    return voxel_spine(levels=LEVELS).label_map(2.0)


def as_they_number(own: LabelMap) -> Volume:
    """A volume that the stand-in gives back as its labels: whole vertebrae in TotalSegmentator's numbers."""
    whole = np.where(own.labels > 100, own.labels - 100, own.labels)
    numbers = {value_of(name): number for number, name in TOTALSEGMENTATOR.items() if number != 26}
    table = np.array([numbers.get(value, 0) for value in range(256)], np.float32)
    return Volume(own.grid, table[whole])


def test_its_vertebrae_become_ours_with_body_and_arch(installed: Path, lumbar: LabelMap) -> None:
    segmenter = TotalSegmentatorSegmenter(device="cpu")
    found = segmenter.segment(as_they_number(lumbar))
    for level in LEVELS:
        ours, theirs = (
            lumbar.labels == VERTEBRA_VALUES[level],
            found.label_map.labels == VERTEBRA_VALUES[level],
        )
        assert 2 * (ours & theirs).sum() / (ours.sum() + theirs.sum()) > 0.9
    spine = locate(found.label_map)
    assert all((v := spine.vertebra(level)) is not None and v.axes is not None for level in LEVELS)
    assert found.model == segmenter.identity
    assert any("by their shape" in sentence for sentence in found.quality)


def test_it_is_asked_for_what_is_measured_and_no_more(
    installed: Path, lumbar: LabelMap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    TotalSegmentatorSegmenter("totalsegmentator-fast", "cuda:1").segment(as_they_number(lumbar))
    call = sys.modules["totalsegmentator.python_api"].calls[0]
    assert (call["ml"], call["task"], call["fast"], call["device"]) == (True, "total", True, "gpu:1")
    assert {"vertebrae_S1", "vertebrae_C1", "sacrum", "hip_left", "femur_right"} <= set(call["roi_subset"])
    assert not {"spleen", "heart"} & set(call["roi_subset"])


def test_a_gpu_that_is_not_there_is_refused(installed: Path) -> None:
    with pytest.raises(ConfigRefused, match="cuda:7 is not there"):
        TotalSegmentatorSegmenter("totalsegmentator", "cuda:7")


def test_nothing_is_fetched_and_nothing_is_told(installed: Path, lumbar: LabelMap) -> None:
    """A hospital's node must not call out; afterwards the package is as it was."""
    TotalSegmentatorSegmenter(device="cpu").segment(as_they_number(lumbar))
    api = sys.modules["totalsegmentator.python_api"]
    assert api.network == []
    api.send_usage_stats({}, "now for somebody else")
    assert api.network == ["now for somebody else"]


def test_weights_that_it_would_fetch_midway_are_refused(installed: Path, lumbar: LabelMap) -> None:
    segmenter = TotalSegmentatorSegmenter(device="cpu")
    sys.modules["totalsegmentator.python_api"].WANTED.append(999)
    with pytest.raises(BundleRefused, match=r"data set 999 .* `totalseg_download_weights -t total`"):
        segmenter.segment(as_they_number(lumbar))


def test_the_identity_is_that_of_version_and_weights(installed: Path) -> None:
    usual, fast = identity_of("totalsegmentator"), identity_of("totalsegmentator-fast")
    assert (usual.name, usual.version) == ("TotalSegmentator 1.5 mm", "2.9.0")
    assert len(usual.sha256) == 64
    assert usual.sha256 != fast.sha256
    (file,) = installed.glob("Dataset292_*/**/checkpoint_final.pth")
    file.write_bytes(b"others")
    assert identity_of("totalsegmentator").sha256 != usual.sha256
    assert identity_of("totalsegmentator-fast") == fast


def test_absent_weights_are_refused_with_the_command_that_fetches_them(installed: Path) -> None:
    (file,) = installed.glob("Dataset297_*/**/checkpoint_final.pth")
    file.unlink()
    with pytest.raises(BundleRefused, match=r"data set 297 .*`totalseg_download_weights -t total_fast`"):
        TotalSegmentatorSegmenter("totalsegmentator-fast")


def test_an_absent_package_is_refused_with_the_extra_that_brings_it() -> None:
    with pytest.raises(BundleRefused, match=r"pip install 'spine-node\[totalsegmentator\]'"):
        TotalSegmentatorSegmenter()


def test_another_version_is_refused(installed: Path) -> None:
    about = installed.parent / "site" / "TotalSegmentator-2.9.0.dist-info" / "METADATA"
    about.write_text(about.read_text().replace("2.9.0", "3.0.0"))
    with pytest.raises(BundleRefused, match=r"3\.0\.0 is installed; version 2\.x was expected"):
        identity_of("totalsegmentator")


def test_a_volume_without_a_spine_is_refused(installed: Path, lumbar: LabelMap) -> None:
    empty = Volume(lumbar.grid, np.zeros(lumbar.grid.shape, np.float32))
    with pytest.raises(SeriesRefused, match="TotalSegmentator sees no vertebra"):
        TotalSegmentatorSegmenter(device="cpu").segment(empty)
