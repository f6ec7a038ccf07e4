"""A landmark of the image is where the report says, however the source was stored."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from scipy.spatial.transform import Rotation

from spine_node.dicom.series import read_series
from spine_node.dicom.sr import write_sr
from spine_node.dicom.voxels import read_volume
from spine_node.imaging.volume import Grid, Volume
from spine_node.parameters.model import Line, Measurements
from spine_node.segmentation.segmenter import Segmentation
from tests.dicom.small_reports import MODEL, items, measured, segmented, stored
from tests.dicom.small_series import SPACE, grid_of, labels_of, write_multiframe, write_series

AXES = [tuple(sign * np.eye(3, dtype=int)[axis]) for axis in range(3) for sign in (1, -1)]
ORIENTATIONS = [(r, c) for r, c in itertools.product(AXES, repeat=2) if not np.dot(r, c)]
OBLIQUE = Rotation.from_euler("zyx", (25, -14, 8), degrees=True).as_matrix()
MADE = {"single": write_series, "multiframe": write_multiframe}

SHAPE = (16, 23, 29)
SIGMA_MM = 2.0
INDICES = np.array([[4.3, 10.4, 13.3], [10.6, 12.2, 15.8]])
"""Two places in the volume that are no voxel's centre, 12.7 mm apart along the slices."""


def blobs(grid: Grid, points_mm: NDArray[np.float64]) -> NDArray[np.int16]:
    """An image of Gaussian blobs about these points."""
    voxels = grid.to_mm(np.moveaxis(np.indices(grid.shape), 0, -1).reshape(-1, 3)).reshape(*grid.shape, 3)
    distances = [np.linalg.norm(voxels - point, axis=-1) for point in points_mm]
    values = sum(2500 * np.exp(-0.5 * (d / SIGMA_MM) ** 2) for d in distances)
    return (np.asarray(values) - 1000).round().astype(np.int16)


def centres_mm(volume: Volume) -> NDArray[np.float64]:
    """Centres of the two blobs by brightness, as the node's own reading of the series places them."""
    bright = np.asarray(volume.values, dtype=np.float64) + 1000
    indices = np.indices(bright.shape).reshape(3, 2, -1)  # lower and upper half of the slices
    weights = bright.reshape(2, -1)
    return volume.grid.to_mm(((indices * weights).sum(axis=2) / weights.sum(axis=1)).T)


@pytest.fixture(scope="module")
def seg(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Any of the study: a report only refers to it."""
    folder = tmp_path_factory.mktemp("ct")
    write_series(folder, grid_of())
    return segmented(read_series(folder))[1]


@pytest.mark.parametrize(
    ("turn", "storage", "reverse", "some"),
    [
        pytest.param(np.eye(3), "single", False, 1, id="24 orientations"),
        pytest.param(np.eye(3), "single", True, 1, id="24 with reversed stacks"),
        pytest.param(np.eye(3), "multiframe", False, 5, id="multi-frame"),
        pytest.param(np.eye(3), "multiframe", True, 5, id="multi-frame reversed"),
        pytest.param(OBLIQUE, "single", True, 5, id="oblique"),
        pytest.param(OBLIQUE, "multiframe", False, 5, id="oblique multi-frame"),
    ],
)
def test_landmarks_come_out_of_the_file_where_they_are_in_the_patient(
    turn: NDArray[np.float64], storage: str, reverse: bool, some: int, seg: Dataset, tmp_path: Path
) -> None:
    """Analytic points go into an image, come out of it by its reader, and out of the report by pydicom."""
    for number, (rows, columns) in enumerate(ORIENTATIONS[::some]):
        grid = grid_of(turn @ rows, turn @ columns, shape=SHAPE)
        truth = grid.to_mm(INDICES)
        folder = tmp_path / str(number)
        order = list(range(SHAPE[0]))[:: -1 if reverse else 1]
        MADE[storage](folder, grid, blobs(grid, truth), order=order)
        series = read_series(folder)
        arm = Line("arm", centres_mm(read_volume(series)))
        told = Measurements("PATIENT", "given", (measured("COBB", 1, upper="T5", lower="L1", lines=(arm,)),))
        labelled = Segmentation(labels_of(series.grid), MODEL)
        document = stored(write_sr(series, told, [seg], labelled, software_version="9.9"))
        (written,) = [i for i in items(document) if i.ValueType == "SCOORD3D"]
        assert written.ReferencedFrameOfReferenceUID == SPACE
        np.testing.assert_allclose(np.reshape(written.GraphicData, (-1, 3)), truth, rtol=0, atol=0.05)
