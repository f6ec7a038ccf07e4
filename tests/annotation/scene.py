"""A small spine of solids and the scan somebody took of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from spine_node.anatomy.levels import VERTEBRA_VALUES
from spine_node.dicom.ct import write_ct_series
from spine_node.imaging.volume import LabelMap, Volume
from spine_node.nifti import write_label_map, write_volume
from tests.anatomy.voxel_spine import voxel_spine

LEVELS = ("L1", "L2", "L3")


def labels(
    levels: tuple[str, ...] = LEVELS, *, pelvis: bool = False, turned: Rotation | None = None
) -> LabelMap:
    """Bodies and posterior elements at 2 mm, with soft tissue around them."""
    return voxel_spine(levels, pelvis=pelvis).label_map(2.0, turned=turned, margin_mm=20.0)


def image(label_map: LabelMap) -> Volume:
    """Bodies of 240, cortical bone of 400 and soft tissue of 40, blurred and a little noisy, as int16."""
    rng = np.random.default_rng(0)
    sharp = np.where(label_map.labels > 100, 400.0, np.where(label_map.labels > 0, 240.0, 40.0))
    blurred = ndimage.gaussian_filter(sharp, 0.5) + rng.normal(0, 8, sharp.shape)
    return Volume(label_map.grid, np.round(blurred).astype(np.int16))


def centres_of(label_map: LabelMap) -> dict[str, np.ndarray]:
    """Body centres as a person clicks them: some millimetres off."""
    slip = np.array([1.5, -2.5, 1.5])
    return {
        level: label_map.grid.to_mm(np.argwhere(label_map.labels == value).mean(axis=0)) + slip
        for level, value in VERTEBRA_VALUES.items()
        if (label_map.labels == value).any()
    }


def write_nifti_scan(folder: Path, label_map: LabelMap) -> tuple[Path, Path]:
    """Files of the image and of its labels."""
    folder.mkdir(parents=True, exist_ok=True)
    write_volume(image(label_map), folder / "ct.nii.gz")
    write_label_map(label_map, folder / "labels.nii.gz")
    return folder / "ct.nii.gz", folder / "labels.nii.gz"


def write_dicom_scan(folder: Path, label_map: LabelMap) -> Path:
    """A CT series whose slices are the first axis of the grid."""
    write_ct_series(image(label_map), folder)
    return folder
