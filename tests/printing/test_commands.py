"""`spine-node print` as a shell sees it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import trimesh

from spine_node.imaging.volume import LabelMap
from spine_node.nifti import write_label_map
from tests.dicom.small_series import grid_of, labels_of

DONE, FAILED, REFUSED = 0, 1, 3


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("labels") / "labels.nii.gz"
    write_label_map(labels_of(grid_of()), path)
    return path


def print_(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "spine_node", "print", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


def test_every_structure_is_written_and_its_figures_are_printed(labels: Path, tmp_path: Path) -> None:
    run = print_(labels, "--out", tmp_path)
    assert run.returncode == DONE, run.stderr
    assert {path.name for path in tmp_path.iterdir()} == {
        "L1.stl", "L2.stl", "sacrum.stl", "femoral_head_left.stl", "femoral_head_right.stl", "assembled.stl",
    }  # fmt: skip
    assert str(tmp_path / "assembled.stl") in run.stdout
    row = next(line for line in run.stdout.splitlines() if "L1" in line)
    volume, labelled, triangles, off = (float(n) for n in re.findall(r"\d+\.?\d*", row.split("L1")[1]))
    mask = np.isin(labels_of(grid_of()).labels, (20, 120))
    assert labelled == pytest.approx(np.count_nonzero(mask) * grid_of().voxel_mm3 / 1000, abs=0.006)
    assert volume == pytest.approx(labelled, abs=0.011)
    assert triangles == len(trimesh.load(tmp_path / "L1.stl").faces)
    assert 0 < off <= 1.0
    assert "Decimated to 0.1 mm; half a voxel is 1 mm." in run.stdout


def test_one_structure_with_names_and_colours(labels: Path, tmp_path: Path) -> None:
    run = print_(labels, "--out", tmp_path, "--structure", "sacrum", "--format", "obj", "--tolerance", "0.5")
    assert run.returncode == DONE, run.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"assembled.obj", "assembled.mtl"}
    assert "Decimated to 0.5 mm" in run.stdout


def test_what_is_not_labelled_is_refused_and_nothing_written(labels: Path, tmp_path: Path) -> None:
    run = print_(labels, "--out", tmp_path / "out", "--structure", "L1", "--structure", "T5")
    assert (run.returncode, run.stdout) == (REFUSED, "")
    assert "does not hold T5" in run.stderr
    assert not (tmp_path / "out").exists()


def test_an_empty_label_map_is_refused(tmp_path: Path) -> None:
    grid = grid_of()
    write_label_map(LabelMap(grid, np.zeros(grid.shape, np.uint8)), tmp_path / "empty.nii.gz")
    run = print_(tmp_path / "empty.nii.gz", "--out", tmp_path / "out")
    assert run.returncode == REFUSED
    assert "any structure" in run.stderr


def test_a_name_that_is_none_is_wrong_usage(labels: Path, tmp_path: Path) -> None:
    run = print_(labels, "--out", tmp_path, "--structure", "L9")
    assert run.returncode == FAILED
    assert "L9" in run.stderr
    assert "hip_left" in run.stderr


def test_the_help_teaches() -> None:
    run = print_("--help")
    assert run.returncode == DONE
    for words in ("--tolerance", "3mf", "LPS mm", "surgical guides"):
        assert words in run.stdout
