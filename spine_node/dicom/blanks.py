"""What an object begins with where no library writes it: class, UIDs, equipment, and references."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from spine_node.dicom.identity import MANUFACTURER, MODEL_NAME
from spine_node.dicom.series import ImageSeries
from spine_node.dicom.sr_encoding import item, put_sequence

_LOSSY = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")


def blank(sop_class_uid: str, sop_instance_uid: str, series_uid: str, software_version: str) -> Dataset:
    """An object of this class with the equipment that made it; `identity.finish` gives it its patient."""
    target = Dataset()
    target.file_meta = FileMetaDataset()
    target.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    target.file_meta.MediaStorageSOPClassUID = target.SOPClassUID = sop_class_uid
    target.file_meta.MediaStorageSOPInstanceUID = target.SOPInstanceUID = sop_instance_uid
    target.SeriesInstanceUID = series_uid
    target.Manufacturer, target.ManufacturerModelName = MANUFACTURER, MODEL_NAME
    target.DeviceSerialNumber, target.SoftwareVersions = "1", software_version
    return target


def reference(image: Dataset, frame_numbers: Iterable[int] = ()) -> Dataset:
    """An item that refers to an instance, or to some of its frames, counted from 1."""
    item = Dataset()
    item.ReferencedSOPClassUID = image.SOPClassUID
    item.ReferencedSOPInstanceUID = image.SOPInstanceUID
    numbers = list(frame_numbers)
    if numbers:
        item.ReferencedFrameNumber = numbers
    return item


def put_source_references(target: Dataset, keyword: str, series: ImageSeries) -> None:
    """An item for each source image, in the order of the slices; after `identity.finish`."""
    put_sequence(target, keyword, source_references(series))


def source_references(series: ImageSeries) -> list[bytes]:
    """The same as encoded items: every result has them, and pydicom takes seconds for hundreds of slices."""
    return [
        item(
            ReferencedSOPClassUID=str(header.SOPClassUID), ReferencedSOPInstanceUID=str(header.SOPInstanceUID)
        )
        for header in series.headers
    ]


def copy_loss(sources: Sequence[Dataset], target: Dataset) -> None:
    """Say whether pixels were ever compressed with loss: what is drawn from such images stays so.

    References
    ----------
    PS3.3 C.7.6.1.1.5: once "01", always "01", in derived images as well.
    """
    lossy = next((s for s in sources if str(s.get("LossyImageCompression") or "") == "01"), None)
    target.LossyImageCompression = "00"
    if lossy is not None:
        for keyword in _LOSSY:
            if lossy.get(keyword) not in (None, ""):
                target[keyword] = lossy[keyword]
