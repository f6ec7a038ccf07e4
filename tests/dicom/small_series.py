"""Small CT series on any grid, one value a voxel, and an asymmetric label map to go with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from spine_node.dicom.frames import CT, ENHANCED_CT
from spine_node.imaging.volume import Grid, LabelMap

STUDY, SERIES, SPACE = "2.25.101", "2.25.102", "2.25.103"
SHAPE = (20, 23, 29)
"""Rows times columns is no multiple of 8, so that frames of a BINARY SEG begin inside a byte."""

Change = Callable[[Dataset, int], None]


def grid_of(
    rows: Sequence[float] = (1, 0, 0),
    columns: Sequence[float] = (0, 1, 0),
    *,
    spacing: tuple[float, float, float] = (2.0, 1.0, 0.7),
    shape: tuple[int, int, int] = SHAPE,
    origin: Sequence[float] = (-31.0, 17.0, 205.0),
) -> Grid:
    """A grid whose column index grows along `rows` and row index along `columns`, LPS."""
    along_row, along_column = np.array(rows, dtype=float), np.array(columns, dtype=float)
    affine = np.eye(4)
    affine[:3, 0] = np.cross(along_row, along_column) * spacing[0]
    affine[:3, 1] = along_column * spacing[1]
    affine[:3, 2] = along_row * spacing[2]
    affine[:3, 3] = origin
    return Grid(shape, affine)


def values_of(grid: Grid) -> NDArray[np.int16]:
    """Values that differ from voxel to voxel, some below zero."""
    return (np.arange(np.prod(grid.shape)) % 4001 - 1000).astype(np.int16).reshape(grid.shape)


def labels_of(grid: Grid) -> LabelMap:
    """An L shape of L1 with its posterior elements, a small L2, a sacrum and both femoral heads.

    No axis, and no swap of axes, leaves their centroids where they were.
    """
    labels = np.zeros(grid.shape, dtype=np.uint8)
    labels[2:6, 3:8, 4:14] = 20
    labels[2:6, 8:13, 4:7] = 120
    labels[8:11, 2:6, 20:26] = 21
    labels[12:18, 14:21, 2:9] = 26
    labels[15:17, 1:4, 1:3] = 31
    labels[13:19, 9:12, 24:28] = 32
    return LabelMap(grid, labels)


def write_series(
    folder: Path,
    grid: Grid,
    values: NDArray[np.int16] | None = None,
    *,
    change: Change | None = None,
    order: Sequence[int] | None = None,
    slope: float = 1,
    intercept: float = -1024,
) -> list[Path]:
    """One CT file a slice, numbered in `order`; `change(ds, slice)` edits each before it is written."""
    values = values_of(grid) if values is None else values
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, k in enumerate(order or range(grid.shape[0]), start=1):
        ds = _header(grid, CT, f"2.25.104{k:04d}")
        ds.InstanceNumber = number
        ds.ImagePositionPatient = [float(f"{v:.6f}") for v in grid.to_mm((k, 0, 0))]
        ds.ImageOrientationPatient = _cosines(grid)
        ds.PixelSpacing = [float(s) for s in grid.spacing_mm[1:]]
        ds.SliceThickness = float(grid.spacing_mm[0])
        ds.RescaleSlope, ds.RescaleIntercept = slope, intercept
        ds.PixelData = ((values[k] - intercept) / slope).round().astype(np.int16).tobytes()
        if change is not None:
            change(ds, k)
        paths.append(folder / f"{number:04d}.dcm")
        ds.save_as(paths[-1], enforce_file_format=True)
    return paths


def write_multiframe(
    folder: Path,
    grid: Grid,
    values: NDArray[np.int16] | None = None,
    *,
    change: Change | None = None,
    order: Sequence[int] | None = None,
    sop_class: str = ENHANCED_CT,
) -> Path:
    """The same volume as one multi-frame file, frames in `order`."""
    values = values_of(grid) if values is None else values
    folder.mkdir(parents=True, exist_ok=True)
    order = list(order or range(grid.shape[0]))
    ds = _header(grid, sop_class, "2.25.105")
    ds.InstanceNumber = 1
    ds.NumberOfFrames = len(order)
    measures, plane, rescale, shared = Dataset(), Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = [float(s) for s in grid.spacing_mm[1:]]
    measures.SliceThickness = float(grid.spacing_mm[0])
    plane.ImageOrientationPatient = _cosines(grid)
    rescale.RescaleSlope, rescale.RescaleIntercept, rescale.RescaleType = 1, -1024, "US"
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
    shared.PixelValueTransformationSequence = [rescale]
    ds.SharedFunctionalGroupsSequence = [shared]
    ds.PerFrameFunctionalGroupsSequence = []
    for k in order:
        position, group = Dataset(), Dataset()
        position.ImagePositionPatient = [float(f"{v:.6f}") for v in grid.to_mm((k, 0, 0))]
        group.PlanePositionSequence = [position]
        ds.PerFrameFunctionalGroupsSequence.append(group)
    ds.PixelData = (values[order] + 1024).astype(np.int16).tobytes()
    if change is not None:
        change(ds, 0)
    path = folder / "multiframe.dcm"
    ds.save_as(path, enforce_file_format=True)
    return path


def _header(grid: Grid, sop_class: str, uid: str) -> Dataset:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = sop_class
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = uid
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "Test^Series", "T1", "19800229", "O"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = STUDY, SERIES, SPACE
    ds.StudyID, ds.AccessionNumber, ds.ReferringPhysicianName = "S1", "A1", ""
    ds.StudyDate = ds.ContentDate = "20260102"
    ds.StudyTime = ds.ContentTime = "101112"
    ds.Modality, ds.SeriesNumber, ds.AcquisitionNumber = "CT", 3, 1
    ds.SeriesDescription, ds.StationName, ds.BodyPartExamined = "CBCT spine", "CBCT01", "SPINE"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.PositionReferenceIndicator = ""
    ds.Rows, ds.Columns = grid.shape[1:]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation = 15, 1
    return ds


def _cosines(grid: Grid) -> list[float]:
    axes = grid.affine[:3, :3] / grid.spacing_mm
    return [float(f"{v:.9f}") for v in (*axes[:, 2], *axes[:, 1])]
