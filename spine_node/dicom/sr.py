"""Measurements as a Comprehensive 3D SR (TID 1500), and back.

The report is PRELIMINARY and UNVERIFIED: a device never speaks for a physician.
"""

from __future__ import annotations

import highdicom as hd
from pydicom.dataset import Dataset

from spine_node.dicom.codes import CONE_BEAM_CT, scheme_item
from spine_node.dicom.frames import XRAY_3D_ANGIOGRAPHIC, XRAY_3D_CRANIOFACIAL
from spine_node.dicom.identity import (
    MANUFACTURER,
    MODEL_NAME,
    finish,
    result_uid,
    series_description,
    series_number,
)
from spine_node.dicom.seg import tracking_uids
from spine_node.dicom.series import ImageSeries
from spine_node.dicom.sr_classes import evaluations
from spine_node.dicom.sr_codes import (
    IMAGING_MEASUREMENTS,
    MEASUREMENT_GROUP,
    QUALITATIVE,
    place_in_catalogues,
    sr,
)
from spine_node.dicom.sr_groups import groups
from spine_node.dicom.sr_items import children_of, fill, name_of, pair
from spine_node.dicom.sr_numbers import Context, parameter_of
from spine_node.dicom.sr_remarks import Remarks, remarks_item, remarks_of
from spine_node.dicom.standins import standin, standins
from spine_node.parameters.definitions import Code
from spine_node.parameters.model import Classification, Measurements, NotMeasured, Parameter
from spine_node.segmentation.segmenter import Segmentation

DEVICE_UID = "2.25.253753020151839368704576003988281494460"
"""Names this software as the observer."""

CT_PROCEDURE = Code("25045-6", "LN", "CT unspecified body region")

_MODALITY = Code("121139", "DCM", "Modality")
_FRAME_OF_REFERENCE = Code("112227", "DCM", "Frame of Reference UID")
_SOURCE = Code("260753009", "SCT", "Source")


def write_sr(
    series: ImageSeries,
    measurements: Measurements,
    seg: Dataset,
    segmentation: Segmentation,
    *,
    software_version: str,
) -> Dataset:
    """The measurements of one series as a structured report that refers to its SEG.

    The same input gives the same bytes: UIDs derive from the source, times are those of the source.

    Parameters
    ----------
    series : ImageSeries
    measurements : Measurements
    seg : Dataset
        As written by `seg.write_seg`: vertebra groups refer to its segments by number and tracking UID.
    segmentation : Segmentation
        For the model that made it.
    software_version : str
    """
    sources, model = series.sop_instance_uids, segmentation.model
    variant = (segmentation.variant,) if segmentation.variant else ()

    def uid(kind: str, *extra: str) -> str:
        return result_uid(kind, sources, model.sha256, software_version, *variant, *extra)

    context = Context(
        uid=uid,
        segments=tracking_uids(seg),
        seg_class_uid=str(seg.SOPClassUID),
        seg_uid=str(seg.SOPInstanceUID),
        source_series_uid=series.series_uid,
        frame_of_reference_uid=series.frame_of_reference_uid,
        software_version=software_version,
        frame=measurements.frame,
        standing=series.standing,
    )
    found = list(groups(measurements, context))
    report = hd.sr.MeasurementReport(
        observation_context=_observer(),
        procedure_reported=sr(_procedure(series)),
        imaging_measurements=[group.head for group in found],
    )
    report[0].ContentSequence.insert(-1, _image_library(series))
    made = hd.sr.Comprehensive3DSR(
        evidence=[*standins(series), standin(seg)],
        content=report[0],
        series_instance_uid=uid("sr series"),
        series_number=series_number(series.headers[0], 2),
        sop_instance_uid=uid("sr"),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL_NAME,
        software_versions=software_version,
        device_serial_number="1",
        series_description=series_description("Spine SR (computed)", segmentation.variant),
        is_complete=True,
        is_final=False,
        is_verified=False,
    )
    # Plain from here on: highdicom's object would keep a copy of the content as it is now, groups empty.
    document = Dataset(made)
    document.file_meta = made.file_meta
    for group in found:
        fill(group.container, group.body)
    fill(document, [remarks_item(measurements, context.items, standing=series.standing)])
    document.CodingSchemeIdentificationSequence = [scheme_item(software_version)]
    finish(document, series.headers[0])
    return document


def read_sr(document: Dataset) -> Measurements:
    """The measurements in a report written by `write_sr`, in the catalogues' order.

    Numbers come back as written, rounded to 0.001; texts without signs outside ASCII; lines of all but
    vertebrae, whose groups refer to their segments instead.
    """
    parameters: list[Parameter] = []
    classes: list[Classification] = []
    missing: list[NotMeasured] = []
    remarks = Remarks()
    for container in children_of(document, "CONTAINER"):
        if name_of(container) == pair(QUALITATIVE):
            remarks = remarks_of(container)
        elif name_of(container) == pair(IMAGING_MEASUREMENTS):
            for group in children_of(container, "CONTAINER"):
                if name_of(group) == pair(MEASUREMENT_GROUP):
                    parameters += [parameter_of(item) for item in children_of(group, "NUM")]
                    derived, not_had = evaluations(group)
                    classes += derived
                    missing += not_had
    return Measurements(
        frame=remarks.frame,
        vertical=remarks.vertical,
        parameters=tuple(sorted(parameters, key=lambda p: place_in_catalogues(p.key))),
        not_measured=tuple(sorted(missing, key=lambda n: place_in_catalogues(n.key))),
        quality=remarks.quality,
        levels=remarks.levels,
        classes=tuple(sorted(classes, key=lambda c: place_in_catalogues(c.key))),
    )


def _observer() -> hd.sr.ObservationContext:
    device = hd.sr.DeviceObserverIdentifyingAttributes(
        uid=DEVICE_UID, name=MODEL_NAME, manufacturer_name=MANUFACTURER, model_name=MODEL_NAME
    )
    return hd.sr.ObservationContext(
        observer_device_context=hd.sr.ObserverContext(
            observer_type=sr(Code("121007", "DCM", "Device")), observer_identifying_attributes=device
        )
    )


def _procedure(series: ImageSeries) -> Code:
    """Cone beam CT where the SOP class says so; a CT image does not tell."""
    cone_beam = str(series.headers[0].SOPClassUID) in (XRAY_3D_ANGIOGRAPHIC, XRAY_3D_CRANIOFACIAL)
    return CONE_BEAM_CT if cone_beam else CT_PROCEDURE


def _image_library(series: ImageSeries) -> hd.sr.ContainerContentItem:
    """TID 1600 with the first image for the series: each more image costs readers, and tells nothing."""
    of_group = hd.sr.RelationshipTypeValues.HAS_ACQ_CONTEXT
    contains = hd.sr.RelationshipTypeValues.CONTAINS
    library = hd.sr.ContainerContentItem(
        sr(Code("111028", "DCM", "Image Library")), relationship_type=contains
    )
    group = hd.sr.ContainerContentItem(
        sr(Code("126200", "DCM", "Image Library Group")), relationship_type=contains
    )
    first = series.headers[0]
    modality = Code(str(first.Modality), "DCM", _MODALITIES.get(str(first.Modality), str(first.Modality)))
    group.ContentSequence = hd.sr.ContentSequence()
    group.ContentSequence.append(hd.sr.CodeContentItem(sr(_MODALITY), sr(modality), of_group))
    group.ContentSequence.append(
        hd.sr.UIDRefContentItem(sr(_FRAME_OF_REFERENCE), series.frame_of_reference_uid, of_group)
    )
    group.ContentSequence.append(
        hd.sr.ImageContentItem(
            name=sr(_SOURCE),
            referenced_sop_class_uid=str(first.SOPClassUID),
            referenced_sop_instance_uid=str(first.SOPInstanceUID),
            relationship_type=contains,
        )
    )
    library.ContentSequence = hd.sr.ContentSequence()
    library.ContentSequence.append(group)
    return library


_MODALITIES = {"CT": "Computed Tomography", "XA": "X-Ray Angiography", "DX": "Digital Radiography"}
