"""What a report says of its making and its source: observer, procedure, image library (TID 1001, 1600)."""

from __future__ import annotations

from collections.abc import Iterable

import highdicom as hd
from pydicom.sr.coding import Code as SRCode

from spine_node.dicom.codes import CONE_BEAM_CT
from spine_node.dicom.frames import XRAY_3D_ANGIOGRAPHIC, XRAY_3D_CRANIOFACIAL
from spine_node.dicom.identity import DEVICE_UID, MANUFACTURER, MODEL_NAME
from spine_node.dicom.series import ImageSeries
from spine_node.dicom.sr_codes import ascii_text, sr
from spine_node.parameters.definitions import Code

CT_PROCEDURE = Code("25045-6", "LN", "CT unspecified body region")

_MODALITY = Code("121139", "DCM", "Modality")
_MODALITIES = {"CT": "Computed Tomography", "XA": "X-Ray Angiography", "DX": "Digital Radiography"}
_FRAME_OF_REFERENCE = Code("112227", "DCM", "Frame of Reference UID")
_SOURCE = Code("260753009", "SCT", "Source")


def observer() -> hd.sr.ObservationContext:
    """This software as a device."""
    device = hd.sr.DeviceObserverIdentifyingAttributes(
        uid=DEVICE_UID, name=MODEL_NAME, manufacturer_name=MANUFACTURER, model_name=MODEL_NAME
    )
    return hd.sr.ObservationContext(
        observer_device_context=hd.sr.ObserverContext(
            observer_type=sr(Code("121007", "DCM", "Device")), observer_identifying_attributes=device
        )
    )


def procedure(series: ImageSeries) -> SRCode:
    """What the source says was done; else cone beam CT where the SOP class says so: a CT does not tell."""
    for item in list(series.headers[0].get("ProcedureCodeSequence") or ())[:1]:
        value, scheme, meaning, version = (
            ascii_text(str(item.get(keyword) or "")).strip()
            for keyword in ("CodeValue", "CodingSchemeDesignator", "CodeMeaning", "CodingSchemeVersion")
        )
        # All three are needed (PS3.3 8.8); a source may break the lengths of SH and LO, a result may not.
        if meaning and 0 < len(value) <= 16 and 0 < len(scheme) <= 16:
            return SRCode(value, scheme, meaning[:64], version[:16] or None)
    cone_beam = str(series.headers[0].SOPClassUID) in (XRAY_3D_ANGIOGRAPHIC, XRAY_3D_CRANIOFACIAL)
    return sr(CONE_BEAM_CT if cone_beam else CT_PROCEDURE)


def image_library(
    series: ImageSeries, posture: Iterable[tuple[Code, Code]] = ()
) -> hd.sr.ContainerContentItem:
    """TID 1600 with the first image for the series: each more image costs readers, and tells nothing.

    What is declared of the `posture` (`Posture.codes`) is part of how the images were acquired.
    """
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
    for name, value in ((_MODALITY, modality), *posture):
        group.ContentSequence.append(hd.sr.CodeContentItem(sr(name), sr(value), of_group))
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
