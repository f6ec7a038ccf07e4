"""The CT series written for phantoms: values, geometry, posture, identity and UIDs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import UID, CTImageStorage

from spine_node.dicom.ct import write_ct_series
from spine_node.imaging.volume import Grid, Volume
from tests.validation.validators import dciodvfy

OBLIQUE = np.array(
    [
        # slice, row and column directions of a gantry turned by 30 degrees about x
        [0.0, 0.0, 0.7, -31.0],
        [-1.25 * 0.5, 0.9 * np.sqrt(0.75), 0.0, 12.5],
        [1.25 * np.sqrt(0.75), 0.9 * 0.5, 0.0, -400.25],
        [0.0, 0.0, 0.0, 1.0],
    ]
)


def volume(affine: np.ndarray = OBLIQUE, low: float = -1000, high: float = 2500) -> Volume:
    values = np.linspace(low, high, 4 * 5 * 6, dtype=np.float32).reshape(4, 5, 6)
    return Volume(Grid((4, 5, 6), affine), values)


def read(paths: list[Path]) -> list[pydicom.Dataset]:
    return [pydicom.dcmread(p) for p in paths]


def test_each_voxel_lies_where_the_grid_says(tmp_path: Path):
    """Rows, columns and slices have different spacings and an oblique direction: no swap can hide."""
    source = volume()
    for k, ds in enumerate(read(write_ct_series(source, tmp_path))):
        along_row, along_column = np.split(np.array(ds.ImageOrientationPatient, dtype=float), 2)
        row_mm, column_mm = (float(s) for s in ds.PixelSpacing)
        first = np.array(ds.ImagePositionPatient, dtype=float)
        found = first + 3 * row_mm * along_column + 2 * column_mm * along_row
        assert found == pytest.approx(source.grid.to_mm([k, 3, 2]), abs=1e-4)


@pytest.mark.parametrize(("low", "high", "within"), [(-1000, 2500, 0.51), (-60_000, 90_000, 2.0)])
def test_values_come_back_through_the_rescale(tmp_path: Path, low: float, high: float, within: float):
    source = volume(low=low, high=high)
    for k, ds in enumerate(read(write_ct_series(source, tmp_path))):
        back = ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept)
        assert np.abs(back - source.values[k]).max() <= within


def test_a_standing_series_says_erect_and_standing_and_names_no_lying_position(tmp_path: Path):
    ds = read(write_ct_series(volume(), tmp_path))[0]
    orientation = ds.PatientOrientationCodeSequence[0]
    assert (orientation.CodeValue, orientation.CodingSchemeDesignator) == ("C86043", "NCIt")
    modifier = orientation.PatientOrientationModifierCodeSequence[0]
    assert (modifier.CodeValue, modifier.CodingSchemeDesignator) == ("10904000", "SCT")
    assert "PatientPosition" not in ds


def test_a_lying_series_says_head_first_supine(tmp_path: Path):
    ds = read(write_ct_series(volume(), tmp_path, standing=False))[0]
    assert ds.PatientPosition == "HFS"
    assert "PatientOrientationCodeSequence" not in ds


def test_one_series_one_frame_of_reference_and_an_instance_per_slice(tmp_path: Path):
    slices = read(write_ct_series(volume(), tmp_path))
    assert {ds.SOPClassUID for ds in slices} == {CTImageStorage}
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        assert len({ds[keyword].value for ds in slices}) == 1
    assert len({ds.SOPInstanceUID for ds in slices}) == 4
    assert [ds.InstanceNumber for ds in slices] == [1, 2, 3, 4]
    assert {ds.ImagesInAcquisition for ds in slices} == {4}


def test_uids_follow_from_the_seed(tmp_path: Path):
    runs = [
        [ds.SOPInstanceUID for ds in read(write_ct_series(volume(), tmp_path / str(k), seed=seed))]
        for k, seed in enumerate((1, 1, 2))
    ]
    assert runs[0] == runs[1]
    assert not set(runs[0]) & set(runs[2])
    assert all(UID(u).is_valid and u.startswith("2.25.") for u in runs[0])


def test_identity_replaces_what_the_phantom_would_say(tmp_path: Path):
    identity = {
        "PatientID": "A-17",
        "AccessionNumber": "ACC9",
        "StudyInstanceUID": "2.25.77",
        "PatientName": "Å^B",
    }
    for ds in read(write_ct_series(volume(), tmp_path, identity=identity)):
        assert {k: ds[k].value for k in identity} == identity


def test_a_sheared_grid_is_refused_because_dicom_cannot_say_it(tmp_path: Path):
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    affine[0, 1] = 0.2
    with pytest.raises(ValueError, match="not at right angles"):
        write_ct_series(volume(affine), tmp_path)


KNOWN_OF_DCIODVFY = "</PatientPosition(0018,5100)> - Missing attribute for Type 2C"
"""dciodvfy asks CT for PatientPosition, and forbids it beside PatientOrientationCodeSequence."""


@pytest.mark.parametrize("standing", [True, False])
def test_dciodvfy_finds_no_error(tmp_path: Path, standing: bool):
    first = write_ct_series(volume(), tmp_path, standing=standing)[0]
    errors = [line for line in dciodvfy(first) if line.startswith("Error")]
    assert [line for line in errors if KNOWN_OF_DCIODVFY not in line] == []
