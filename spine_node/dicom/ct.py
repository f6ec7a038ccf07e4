"""Write a volume as a CT Image Storage series, one file per slice.

For phantoms and tests: it states the posture the way a standing scanner should (PS3.3 C.7.6.30,
Enhanced Patient Orientation) and claims no Hounsfield units. It reads nothing back.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from spine_node.imaging.volume import Volume

_UIDS = uuid.UUID("6f0b7f0e-5c51-4d5d-9a0b-7c7f0a1d9b52")
"""Namespace of the UIDs made here."""

_STORED_MIN, _STORED_MAX = -32768, 32767


def uid_from(*names: object) -> str:
    """A UID under 2.25 that depends on nothing but these names (PS3.5 B.2)."""
    return f"2.25.{uuid.uuid5(_UIDS, '/'.join(str(n) for n in names)).int}"


def write_ct_series(
    volume: Volume,
    out_dir: Path,
    *,
    identity: Mapping[str, object] | None = None,
    standing: bool = True,
    seed: int = 0,
) -> list[Path]:
    """Write one CT image per slice of `volume` and return the files in array order.

    Parameters
    ----------
    volume : Volume
        Axes (slice, row, column); rectangular voxels. Values are stored as 16-bit integers, with slope
        and intercept 1 and 0 when they fit.
    out_dir : Path
        Created if absent.
    identity : mapping of DICOM keyword to value, optional
        Replaces or adds elements in every image (PatientID, AccessionNumber, StudyInstanceUID, ...).
    standing : bool
        Declare the patient erect and standing (NCIt C86043, SCT 10904000) instead of HFS.
    seed : int
        The same seed, identity and shape give the same UIDs.

    Raises
    ------
    ValueError
        If the grid's axes are not at right angles: DICOM cannot say where its voxels are.
    """
    axes = volume.grid.affine[:3, :3] / volume.grid.spacing_mm
    if not np.allclose(axes.T @ axes, np.eye(3), atol=1e-5):
        raise ValueError("the volume's axes are not at right angles, a CT series cannot hold it")
    identity = dict(identity or {})
    source = (seed, volume.grid.shape, sorted((k, str(v)) for k, v in identity.items()))
    slope, intercept = _rescale(volume.values)
    out_dir.mkdir(parents=True, exist_ok=True)
    common = _common(volume, standing, source, slope, intercept)
    for keyword, value in identity.items():
        setattr(common, keyword, value)
    paths = []
    for k in range(volume.grid.shape[0]):
        path = out_dir / f"{k + 1:04d}.dcm"
        stored = np.round((volume.values[k] - intercept) / slope).astype(np.int16)
        _slice(common, volume, axes, stored, k, uid_from("instance", k, *source)).save_as(
            path, enforce_file_format=True
        )
        paths.append(path)
    return paths


def _rescale(values: NDArray[np.generic]) -> tuple[float, float]:
    """Slope and intercept with which the values fit into 16 bits."""
    low, high = float(np.min(values)), float(np.max(values))
    if low >= _STORED_MIN and high <= _STORED_MAX:
        return 1.0, 0.0
    return float(f"{(high - low) / 65000:.8g}"), float(f"{(high + low) / 2:.8g}")


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code


def _common(
    volume: Volume, standing: bool, source: tuple[object, ...], slope: float, intercept: float
) -> Dataset:
    """Everything that is the same in each image of the series."""
    slices, rows, columns = volume.grid.shape
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.SOPClassUID = CTImageStorage
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = "20260102"
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = "101500"
    ds.AccessionNumber = "PHANTOM"
    ds.Modality = "CT"
    ds.Manufacturer = "Spine Node"
    ds.ManufacturerModelName = "Analytic phantom"
    ds.DeviceSerialNumber = "1"
    ds.SoftwareVersions = "1"
    ds.StationName = "PHANTOM"
    ds.ReferringPhysicianName = ""
    ds.StudyDescription = "Standing spine phantom"
    ds.SeriesDescription = "Standing CBCT phantom"
    ds.PatientName = "Phantom^Standing"
    ds.PatientID = f"PHANTOM-{source[0]}"
    ds.PatientBirthDate = ""
    ds.PatientSex = "O"
    ds.BodyPartExamined = "SPINE"
    ds.KVP = "90"
    ds.StudyInstanceUID = uid_from("study", *source)
    ds.SeriesInstanceUID = uid_from("series", *source)
    ds.FrameOfReferenceUID = uid_from("frame", *source)
    ds.StudyID = "1"
    ds.SeriesNumber = 1
    ds.AcquisitionNumber = 1
    ds.ImagesInAcquisition = slices
    ds.PositionReferenceIndicator = ""
    if standing:
        erect = _code("C86043", "NCIt", "erect")
        erect.PatientOrientationModifierCodeSequence = [_code("10904000", "SCT", "standing")]
        ds.PatientOrientationCodeSequence = [erect]
        ds.PatientEquipmentRelationshipCodeSequence = [_code("102540008", "SCT", "headfirst")]
        # PS3.3 C.7.3.1: no PatientPosition beside the codes. dciodvfy finds it missing all the same for CT,
        # and finds it forbidden when it is there.
    else:
        ds.PatientPosition = "HFS"
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = rows, columns
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit = 15
    ds.PixelRepresentation = 1
    # RescaleType stays out as cone-beam scanners leave it: "US" would be true, but validators take anything
    # but HU in an ORIGINAL CT image for an error
    ds.RescaleSlope, ds.RescaleIntercept = slope, intercept
    ds.WindowCenter, ds.WindowWidth = 250, 1600
    _, row_mm, column_mm = volume.grid.spacing_mm
    ds.PixelSpacing = [_ds(row_mm), _ds(column_mm)]
    ds.SliceThickness = _ds(volume.grid.spacing_mm[0])
    return ds


def _ds(value: float) -> str:
    """A decimal string of at most 16 characters."""
    return f"{float(value):.10g}"


def _slice(
    common: Dataset, volume: Volume, axes: NDArray[np.float64], stored: NDArray[np.int16], k: int, uid: str
) -> Dataset:
    ds = Dataset()
    ds.update(common)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = CTImageStorage
    ds.file_meta.MediaStorageSOPInstanceUID = uid
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPInstanceUID = uid
    ds.InstanceNumber = k + 1
    # PS3.3 C.7.6.2.1.1: the first triplet is the direction of a row, that is of growing column index
    ds.ImageOrientationPatient = [_ds(v) for v in (*axes[:, 2], *axes[:, 1])]
    position = volume.grid.to_mm([k, 0, 0])
    ds.ImagePositionPatient = [_ds(v) for v in position]
    ds.SliceLocation = _ds(float(position @ np.cross(axes[:, 2], axes[:, 1])))
    ds.PixelData = np.ascontiguousarray(stored, dtype="<i2").tobytes()
    ds["PixelData"].VR = "OW"
    return ds
