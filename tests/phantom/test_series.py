"""What the phantom leaves on disk: one series, its labels on the same voxels, its truth."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pydicom
import pytest

from spine_node.anatomy import levels
from spine_node.nifti import read_label_map
from spine_node.parameters.model import SCHEMA, Measurements
from spine_node.phantom.generate import Phantom, generate
from spine_node.phantom.series import write_phantom


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return generate(14, spacing_mm=5, clean=True)


@pytest.fixture(scope="module")
def folder(phantom: Phantom, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("phantom")
    write_phantom(phantom, out)
    return out


def test_the_labels_lie_on_the_voxels_of_the_series(phantom: Phantom, folder: Path):
    """Each femoral head's centroid, computed from the DICOM attributes alone, is the landmark."""
    slices = [pydicom.dcmread(p) for p in sorted((folder / "dicom").iterdir())]
    labels = read_label_map(folder / "labels.nii.gz")
    assert labels.labels.shape == (len(slices), slices[0].Rows, slices[0].Columns)
    for side, value in (("left", levels.FEMORAL_HEAD_LEFT), ("right", levels.FEMORAL_HEAD_RIGHT)):
        points = []
        for k, ds in enumerate(slices):
            rows, columns = np.nonzero(labels.labels[k] == value)
            along_row, along_column = np.split(np.array(ds.ImageOrientationPatient, dtype=float), 2)
            points.append(
                np.array(ds.ImagePositionPatient, dtype=float)
                + columns[:, None] * float(ds.PixelSpacing[1]) * along_row
                + rows[:, None] * float(ds.PixelSpacing[0]) * along_column
            )
        centre = np.concatenate(points).mean(axis=0)
        assert centre == pytest.approx(phantom.landmarks.heads[side].centre_mm, abs=0.6)


def test_the_nifti_and_the_series_share_their_grid(phantom: Phantom, folder: Path):
    assert read_label_map(folder / "labels.nii.gz").grid.matches(phantom.volume.grid)


def test_the_truth_reads_back_as_measurements(phantom: Phantom, folder: Path):
    data = json.loads((folder / "truth.json").read_text())
    assert data["schema"] == SCHEMA
    assert data["frame"] == "PATIENT"
    back = Measurements.from_dict(data)
    assert {p.key for p in back.parameters} >= {
        "PI",
        "PT",
        "SS",
        "LL_L1S1",
        "TK_T4T12",
        "SVA",
        "C7_CSVL",
        "AVR",
    }
    true = phantom.truth.get("PI")
    found = back.get("PI")
    assert true is not None
    assert found is not None
    assert found.value == pytest.approx(true.value, abs=0.001)
