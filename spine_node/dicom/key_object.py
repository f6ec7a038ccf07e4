"""A Key Object Selection of the key images (PS3.16 TID 2010), so that viewers put them first.

Its title is "Of Interest" (113000): what viewers mark and list as key images, and true of pictures that
a program chose. "Segmentation Result" (128182) is a title for the manifests of radiotherapy's worklists;
these images hold measurements, and select no segmentation.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code as SRCode

from spine_node.dicom.identity import (
    DEVICE_UID,
    MANUFACTURER,
    MODEL_NAME,
    finish,
    series_description,
    series_number,
)
from spine_node.dicom.result_uids import result_uids
from spine_node.dicom.series import ImageSeries
from spine_node.dicom.standins import standin
from spine_node.segmentation.segmenter import Segmentation

SERIES_OFFSET = 6
"""After the presentation state (`identity.series_number`)."""

OF_INTEREST = SRCode("113000", "DCM", "Of Interest")
_DEVICE = SRCode("121007", "DCM", "Device")


def write_key_object(
    series: ImageSeries, images: Sequence[Dataset], segmentation: Segmentation, *, software_version: str
) -> Dataset:
    """The document that selects these images; of a multi-frame image, all its frames.

    Parameters
    ----------
    series : ImageSeries
    images : sequence of Dataset
        As written by `key_images.write_key_images`.
    segmentation : Segmentation
        For the model that made it.
    software_version : str

    Raises
    ------
    ValueError
        If there is no image, or one of another study.
    """
    import highdicom as hd

    if not images:
        raise ValueError("a key object selects images, and there are none")
    studies = {str(image.StudyInstanceUID) for image in images}
    if studies != {series.study_uid}:
        raise ValueError(f"key images of study {sorted(studies)} do not belong to {series.study_uid}")
    chosen = [str(image.SOPInstanceUID) for image in images]

    uid = result_uids(series, segmentation, software_version)

    evidence = [standin(image) for image in images]
    for plain, image in zip(evidence, images, strict=True):
        plain.Rows, plain.Columns = image.Rows, image.Columns  # else it is taken for no image
    device = hd.sr.DeviceObserverIdentifyingAttributes(
        uid=DEVICE_UID, name=MODEL_NAME, manufacturer_name=MANUFACTURER, model_name=MODEL_NAME
    )
    content = hd.ko.KeyObjectSelection(
        document_title=OF_INTEREST,
        referenced_objects=evidence,
        observer_device_context=hd.sr.ObserverContext(
            observer_type=_DEVICE, observer_identifying_attributes=device
        ),
        description=_description(images),
    )
    made = hd.ko.KeyObjectSelectionDocument(
        evidence=evidence,
        content=content,
        series_instance_uid=uid("key object series"),
        series_number=series_number(series.headers[0], SERIES_OFFSET),
        sop_instance_uid=uid("key object", *chosen),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL_NAME,
        software_versions=software_version,
        device_serial_number="1",
        series_description=series_description("Spine key objects (computed)", segmentation.variant),
    )
    # Plain from here on: highdicom's object would keep a second copy of the content.
    document = Dataset(made)
    document.file_meta = made.file_meta
    finish(document, series.headers[0])
    return document


def _description(images: Sequence[Dataset]) -> str:
    titles = [str(image.get("ImageComments") or "").replace("\r\n", "; ") for image in images]
    shown = "; ".join(title for title in titles if title)
    return f"Computed measurements of the spine, not verified by a physician. {shown}".strip()
