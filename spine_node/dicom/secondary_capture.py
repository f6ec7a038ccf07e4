"""Colour pictures as Secondary Capture objects: what key images and notices have in common.

Modality is OT. Both modules that hold it (PS3.3 C.7.3.1 and C.8.6.1) ask for what originally made the
data: a program drew these. And rules of archives and workstations (prefetch, volume rendering, routing
to further programs) take a series of modality CT for a scanner's slices.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from spine_node.dicom.blanks import blank
from spine_node.dicom.identity import MANUFACTURER, MODEL_NAME

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
MULTIFRAME_TRUE_COLOUR = "1.2.840.10008.5.1.4.1.1.7.4"

MOST_PIXEL_BYTES = 2**32 - 2
"""Of Pixel Data without compression, whose length has 32 bits and is even (PS3.5 7.1.1)."""


def secondary_capture(
    rgb: NDArray[np.uint8],
    sop_instance_uid: str,
    series_uid: str,
    software_version: str,
    *,
    multiframe: bool = False,
) -> Dataset:
    """A picture, or a stack of pictures as one multi-frame instance, without patient and description.

    PatientOrientation (2C) is empty: a picture may show several views, each with its own marks.

    Parameters
    ----------
    rgb : ndarray of uint8, shape (rows, columns, 3), of several frames (frames, rows, columns, 3)
    sop_instance_uid, series_uid, software_version : str
    multiframe : bool

    Raises
    ------
    ValueError
        If `rgb` is no such array, or holds more bytes than one object can.
    """
    rgb = np.asarray(rgb)
    if rgb.dtype != np.uint8 or rgb.ndim != 3 + multiframe or rgb.shape[-1] != 3 or rgb.size == 0:
        raise ValueError(f"a picture must be uint8 of shape (rows, columns, 3), got {rgb.dtype} {rgb.shape}")
    rows, columns = rgb.shape[-3:-1]
    if max(rows, columns) > 65_535 or rgb.size > MOST_PIXEL_BYTES:
        raise ValueError(f"pictures of shape {rgb.shape} are too large for one DICOM object")
    sop_class_uid = MULTIFRAME_TRUE_COLOUR if multiframe else SECONDARY_CAPTURE
    target = blank(sop_class_uid, sop_instance_uid, series_uid, software_version)
    target.Modality = "OT"
    target.PatientOrientation = None
    target.ConversionType = "WSD"
    target.SecondaryCaptureDeviceManufacturer = MANUFACTURER
    target.SecondaryCaptureDeviceManufacturerModelName = MODEL_NAME
    target.SecondaryCaptureDeviceSoftwareVersions = software_version
    target.ImageType = ["DERIVED", "SECONDARY"]
    target.BurnedInAnnotation = target.RecognizableVisualFeatures = "NO"
    target.SamplesPerPixel, target.PhotometricInterpretation, target.PlanarConfiguration = 3, "RGB", 0
    target.Rows, target.Columns = rows, columns
    target.BitsAllocated = target.BitsStored = 8
    target.HighBit, target.PixelRepresentation = 7, 0
    if multiframe:
        target.NumberOfFrames = len(rgb)
    target.PixelData = rgb.tobytes() + b"\0" * (rgb.size % 2)
    target["PixelData"].VR = "OB"
    return target


def label_frames(target: Dataset, names: Sequence[str]) -> None:
    """Tell the frames apart by page and name instead of by time.

    References
    ----------
    PS3.3 C.8.6.4 and C.8.6.5: Frame Increment Pointer names the vectors; a label is an SH of 16 signs.
    """
    target.FrameIncrementPointer = [0x00182001, 0x00182002]
    target.PageNumberVector = list(range(1, len(names) + 1))
    target.FrameLabelVector = [name[:16] for name in names]
