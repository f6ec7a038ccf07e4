"""Surfaces as DICOM Encapsulated STL (PS3.3 A.85.1): what a PACS keeps for printing and planning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import EncapsulatedSTLStorage, ExplicitVRLittleEndian

from spine_node.dicom.codes import ARTIFICIAL_INTELLIGENCE, STRUCTURES, code_item
from spine_node.dicom.identity import (
    MANUFACTURER,
    MODEL_NAME,
    finish,
    series_description,
    series_number,
)
from spine_node.dicom.result_uids import result_uids
from spine_node.dicom.series import ImageSeries
from spine_node.imaging.binary_stl import binary_stl
from spine_node.parameters.definitions import Code
from spine_node.segmentation.segmenter import Segmentation

if TYPE_CHECKING:
    import trimesh

CT_CAM_MODEL = Code("85040-4", "LN", "CT 3D CAM model")
"""Title of the document (PS3.16 CID 7061)."""

MILLIMETRE = Code("mm", "UCUM", "mm")
PLANNING_INTENT = Code("129013", "DCM", "Planning Intent")
"""What the model is for (CID 7064); neither tool nor implant is to be made after it."""

SOURCE_IMAGE = Code("121324", "DCM", "Source image")

_ASSEMBLED_NUMBER, _PARTS_NUMBER = 7, 8
"""Offsets of the Series Numbers."""


def write_encapsulated_stl(
    series: ImageSeries,
    meshes: Mapping[str, trimesh.Trimesh],
    segmentation: Segmentation,
    *,
    software_version: str,
    assembled: bool = True,
) -> tuple[Dataset, ...]:
    """Surfaces in the patient coordinates of the series, as binary STL in DICOM objects.

    The same input gives the same bytes: UIDs derive from the source, times are those of the source.

    Parameters
    ----------
    series : ImageSeries
    meshes : mapping of str to Trimesh
        By names of `codes.STRUCTURES`, LPS mm. `metadata["tolerance_mm"]` of each tells how far its
        decimation moved it at most, and is stated in the object.
    segmentation : Segmentation
        For the model that made it.
    software_version : str
    assembled : bool
        One object that holds every structure as a shell of its own; else one for each structure, in one
        series and with one Model Group UID.

    Returns
    -------
    tuple of Dataset
        Empty without surfaces.
    """
    form = "assembled" if assembled else "parts"

    uid = result_uids(series, segmentation, software_version)

    documents: dict[str, tuple[str, list[trimesh.Trimesh]]] = {
        name: (STRUCTURES[name].label, [mesh]) for name, mesh in meshes.items()
    }
    if assembled and meshes:
        documents = {"": ("Spine", list(meshes.values()))}
    words = "Spine STL (computed)" if assembled else "Spine STL parts (computed)"
    made = []
    for number, (name, (title, shells)) in enumerate(documents.items(), start=1):
        ds = _document(title, shells)
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = uid("stl", form, name)
        ds.SeriesInstanceUID = uid("stl series", form)
        ds.SeriesNumber = series_number(series.headers[0], _ASSEMBLED_NUMBER if assembled else _PARTS_NUMBER)
        ds.SeriesDescription = series_description(words, segmentation.variant)
        ds.InstanceNumber = number
        ds.SoftwareVersions = software_version
        if not assembled:
            ds.ModelGroupUID = uid("stl group", form)
        ds.DerivationAlgorithmSequence = [_algorithm(segmentation)]
        _refer(ds, series)
        finish(ds, series.headers[0])
        made.append(ds)
    return tuple(made)


def _document(title: str, shells: Sequence[trimesh.Trimesh]) -> Dataset:
    """Modules Encapsulated Document, Manufacturing 3D Model and Enhanced General Equipment."""
    stl = binary_stl(np.concatenate([np.asarray(mesh.triangles) for mesh in shells]))
    tolerance_mm = max(float(mesh.metadata["tolerance_mm"]) for mesh in shells)
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = EncapsulatedSTLStorage
    ds.Modality = "M3D"
    ds.Manufacturer, ds.ManufacturerModelName, ds.DeviceSerialNumber = MANUFACTURER, MODEL_NAME, "1"
    ds.BurnedInAnnotation = "NO"
    ds.DocumentTitle = title
    ds.ContentDescription = f"{title}: surface, LPS mm, simplified within {tolerance_mm:.2g} mm"
    ds.ConceptNameCodeSequence = [code_item(CT_CAM_MODEL)]
    ds.MIMETypeOfEncapsulatedDocument = "model/stl"
    ds.EncapsulatedDocumentLength = len(stl)
    ds.EncapsulatedDocument = stl + b"\0" * (len(stl) % 2)
    ds.MeasurementUnitsCodeSequence = [code_item(MILLIMETRE)]
    ds.ModelModification = ds.ModelMirroring = "NO"
    ds.ModelUsageCodeSequence = [code_item(PLANNING_INTENT)]
    return ds


def _algorithm(segmentation: Segmentation) -> Dataset:
    """Which model labelled the voxels that the surface encloses."""
    item = Dataset()
    item.AlgorithmFamilyCodeSequence = [code_item(ARTIFICIAL_INTELLIGENCE)]
    item.AlgorithmName = segmentation.model.name[:64]
    item.AlgorithmVersion = segmentation.model.version[:64]
    item.AlgorithmParameters = f"weights_sha256={segmentation.model.sha256}"
    item.AlgorithmSource = MANUFACTURER
    return item


def _refer(ds: Dataset, series: ImageSeries) -> None:
    """The images that the surface was made from, their space and their time."""
    header = series.headers[0]
    ds.FrameOfReferenceUID = series.frame_of_reference_uid
    ds.PositionReferenceIndicator = header.get("PositionReferenceIndicator") or ""
    moment = header.get("AcquisitionDateTime") or (
        str(header.get("AcquisitionDate") or "")
        and f"{header.AcquisitionDate}{header.get('AcquisitionTime') or ''}"
    )
    ds.AcquisitionDateTime = str(moment)
    ds.SourceInstanceSequence, referenced = [], []
    for image in series.headers:
        plain, item = Dataset(), Dataset()
        for reference in (plain, item):
            reference.ReferencedSOPClassUID = image.SOPClassUID
            reference.ReferencedSOPInstanceUID = image.SOPInstanceUID
        item.PurposeOfReferenceCodeSequence = [code_item(SOURCE_IMAGE)]
        ds.SourceInstanceSequence.append(item)
        referenced.append(plain)
    # PS3.3 C.12.2: so that a viewer finds the images without asking for the whole study.
    source = Dataset()
    source.SeriesInstanceUID = series.series_uid
    source.ReferencedInstanceSequence = referenced
    ds.ReferencedSeriesSequence = [source]
