"""Stored values become grey values: exactly, from every transfer syntax the node accepts."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from spine_node.dicom.frames import LEGACY_ENHANCED_CT, XRAY_3D_ANGIOGRAPHIC, XRAY_3D_CRANIOFACIAL
from spine_node.dicom.series import read_series
from spine_node.dicom.voxels import read_volume
from spine_node.errors import SeriesRefused
from tests.dicom.small_series import grid_of, values_of, write_multiframe, write_series

NATIVE = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian)
COMPRESSED = (RLELossless, JPEGLSLossless, JPEG2000Lossless)


def rewrite(path: Path, syntax: str) -> None:
    """Store a file in another transfer syntax, as a sender would."""
    ds = pydicom.dcmread(path)
    if syntax in COMPRESSED:
        ds.compress(syntax, generate_instance_uid=False)
    else:
        ds.file_meta.TransferSyntaxUID = syntax
    ds.save_as(path, enforce_file_format=True)


ROOMY = (17, 33, 37)
"""As small as JPEG 2000 takes."""


@pytest.mark.parametrize("syntax", [*NATIVE, *COMPRESSED], ids=lambda uid: uid.name)
def test_slices_in_any_lossless_syntax_give_the_same_values(syntax: str, tmp_path: Path) -> None:
    grid = grid_of(shape=ROOMY)
    for path in write_series(tmp_path, grid):
        rewrite(path, syntax)
    volume = read_volume(read_series(tmp_path))
    np.testing.assert_array_equal(volume.values, values_of(grid))
    assert volume.values.dtype == np.int16


@pytest.mark.parametrize("syntax", [*NATIVE, *COMPRESSED], ids=lambda uid: uid.name)
def test_frames_in_any_lossless_syntax_give_the_same_values(syntax: str, tmp_path: Path) -> None:
    grid = grid_of(shape=ROOMY)
    rewrite(write_multiframe(tmp_path, grid, order=[*reversed(range(17))]), syntax)
    np.testing.assert_array_equal(read_volume(read_series(tmp_path)).values, values_of(grid))


@pytest.mark.dcmtk
@pytest.mark.parametrize("option", ["+e1", "+el"])
def test_jpeg_lossless_gives_the_same_values(option: str, tmp_path: Path) -> None:
    """Processes 14 (selection value 1, and any): no Python encoder exists, dcmtk has one."""
    grid = grid_of()
    for path in write_series(tmp_path, grid):
        subprocess.run(["dcmcjpeg", option, path, path], check=True)
    np.testing.assert_array_equal(read_volume(read_series(tmp_path)).values, values_of(grid))


@pytest.mark.parametrize("sop_class", [LEGACY_ENHANCED_CT, XRAY_3D_ANGIOGRAPHIC, XRAY_3D_CRANIOFACIAL])
def test_every_multiframe_class_is_read(sop_class: str, tmp_path: Path) -> None:
    grid = grid_of()
    write_multiframe(tmp_path, grid, sop_class=sop_class)
    np.testing.assert_array_equal(read_volume(read_series(tmp_path)).values, values_of(grid))


def test_a_fractional_slope_gives_float32(tmp_path: Path) -> None:
    grid = grid_of()
    values = (values_of(grid) // 5 * 5).astype(np.int16)
    write_series(tmp_path, grid, values, slope=2.5, intercept=-1000)
    volume = read_volume(read_series(tmp_path))
    assert volume.values.dtype == np.float32
    np.testing.assert_allclose(volume.values, values, atol=1e-3)


def test_each_slice_keeps_its_own_slope(tmp_path: Path) -> None:
    def change(ds: Dataset, k: int) -> None:
        if k == 5:
            ds.RescaleSlope = 2

    grid = grid_of()
    write_series(tmp_path, grid, change=change)
    values, expected = read_volume(read_series(tmp_path)).values, values_of(grid).astype(int)
    np.testing.assert_array_equal(values[5], 2 * (expected[5] + 1024) - 1024)
    np.testing.assert_array_equal(values[6], expected[6])


def test_values_beyond_int16_are_kept(tmp_path: Path) -> None:
    """Unsigned 16-bit detectors: clipping or wrapping would turn metal into air."""

    def change(ds: Dataset, k: int) -> None:
        stored = np.arange(ds.Rows * ds.Columns, dtype=np.uint16)
        ds.PixelRepresentation, ds.RescaleIntercept = 0, 0
        stored[0] = 65535 if k == 11 else 0
        ds.PixelData = stored.tobytes()

    grid = grid_of()
    write_series(tmp_path, grid, change=change)
    volume = read_volume(read_series(tmp_path))
    assert volume.values.dtype == np.float32
    assert volume.values[11, 0, 0] == 65535
    assert volume.values[10, 0, 0] == 0
    assert volume.values[19, 22, 28] == 22 * 29 + 28


@pytest.mark.parametrize(
    ("elements", "words"),
    [
        ({"PhotometricInterpretation": "MONOCHROME1"}, "is MONOCHROME1 with 1 samples"),
        ({"PixelData": b"\0" * 100}, r"declares 1 frame\(s\) of 667 pixels, 1334 bytes at least"),
    ],
)
def test_pixels_that_are_no_grey_image_are_refused(
    elements: dict[str, object], words: str, tmp_path: Path
) -> None:
    def change(ds: Dataset, k: int) -> None:
        for keyword, value in elements.items():
            setattr(ds, keyword, value)

    write_series(tmp_path, grid_of(), change=change)
    with pytest.raises(SeriesRefused, match=words):
        read_volume(read_series(tmp_path))


def test_an_image_without_pixels_is_refused(tmp_path: Path) -> None:
    def change(ds: Dataset, k: int) -> None:
        if k == 3:
            del ds.PixelData

    write_series(tmp_path, grid_of(), change=change)
    with pytest.raises(SeriesRefused, match=r"instance 2\.25\.1040003"):
        read_volume(read_series(tmp_path))


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, *COMPRESSED], ids=lambda uid: uid.name)
def test_a_file_cut_short_is_refused(syntax: str, tmp_path: Path) -> None:
    """A decoder alone fills up what is missing, and the volume would be wrong without a word."""
    paths = write_series(tmp_path, grid_of(shape=ROOMY))
    rewrite(paths[9], syntax)
    paths[9].write_bytes(paths[9].read_bytes()[:-200])
    with pytest.raises(SeriesRefused, match=r"instance 2\.25\.1040009"):
        read_volume(read_series(tmp_path))


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, *COMPRESSED], ids=lambda uid: uid.name)
def test_a_multiframe_file_cut_short_is_refused(syntax: str, tmp_path: Path) -> None:
    path = write_multiframe(tmp_path, grid_of(shape=ROOMY))
    rewrite(path, syntax)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(SeriesRefused, match=r"instance 2\.25\.105"):
        read_volume(read_series(tmp_path))
