"""Small pictures without symmetry, and every object that carries them."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import pydicom
from pydicom.dataset import Dataset

from spine_node.dicom.key_images import write_key_images
from spine_node.dicom.key_object import write_key_object
from spine_node.dicom.notice import write_notice
from spine_node.dicom.presentation import write_presentations
from spine_node.dicom.report_pdf import write_report_pdf
from spine_node.dicom.series import ImageSeries
from spine_node.imaging.picture import Picture
from spine_node.imaging.volume import LabelMap
from spine_node.parameters.model import Line, Measurements
from spine_node.segmentation.segmenter import Segmentation
from tests.dicom.small_reports import MODEL, measured

PDF = b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF"
"""Of odd length, so that it must be padded."""


def picture(name: str, rows: int, columns: int, title: str = "") -> Picture:
    """Pixels that differ from place to place, and in each colour."""
    count = np.arange(rows * columns * 3, dtype=np.uint32) * 2654435761 >> 24
    rgb = count.astype(np.uint8).reshape(rows, columns, 3)
    rgb[0, 0] = (9, 120, 240)
    return Picture(name, title or f"Picture {name}", rgb)


PICTURES = (
    picture("coronal", 31, 21, "Coronal, Cobb angles"),
    picture("axial-L2", 20, 33),
    picture("a-name-of-more-than-16-signs", 30, 33),
)


def unsegmented(series: ImageSeries, variant: str = "") -> Segmentation:
    """What these objects need of a segmentation: whose it is, and its variant."""
    labels = LabelMap(series.grid, np.zeros(series.grid.shape, dtype=np.uint8))
    return Segmentation(labels, MODEL, variant=variant)


def rotated(series: ImageSeries) -> Measurements:
    """A rotation whose axis lies in the fifth slice, from one voxel's centre to another's."""
    line = Line("axis", series.grid.to_mm([(4, 15, 6), (4, 3, 11)]))
    return Measurements(
        "PATIENT", "given", (measured("AVR", -7.25, level="T8", side="right", lines=(line,)),)
    )


def every_object(series: ImageSeries, version: str = "9.9", variant: str = "") -> dict[str, Dataset]:
    """One of each kind, by name."""
    segmentation = unsegmented(series, variant)

    def both(multiframe: bool) -> Sequence[Dataset]:
        return write_key_images(
            series, PICTURES, segmentation, software_version=version, multiframe=multiframe
        )

    single, whole = both(False), both(True)
    (state,) = write_presentations(series, rotated(series), segmentation, software_version=version)
    return {
        **{f"key_image_{number}": image for number, image in enumerate(single, start=1)},
        "key_images": whole[0],
        "report": write_report_pdf(series, PDF, segmentation, software_version=version),
        "presentation": state,
        "key_object": write_key_object(series, single, segmentation, software_version=version),
        "key_object_of_frames": write_key_object(series, whole, segmentation, software_version=version),
        "notice": write_notice(series.headers[0], "slice 7 is missing", software_version=version),
    }


def stored(ds: Dataset) -> bytes:
    """An object as a file."""
    file = io.BytesIO()
    ds.save_as(file, enforce_file_format=True)
    return file.getvalue()


def read(ds: Dataset) -> Dataset:
    """An object as it is after a file."""
    return pydicom.dcmread(io.BytesIO(stored(ds)))
