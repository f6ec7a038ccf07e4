"""Reports of small series, and ways to look into them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import cache
from typing import Any

import pydicom
from pydicom.dataset import Dataset

from spine_node.dicom.seg import write_seg
from spine_node.dicom.series import ImageSeries
from spine_node.dicom.sr import write_sr
from spine_node.parameters.catalogue import DEFINITIONS
from spine_node.parameters.model import Measurements, Parameter
from spine_node.segmentation.segmenter import ModelIdentity, Segmentation
from tests.dicom.small_series import labels_of

MODEL = ModelIdentity("toy-net", "1.2", "ab" * 32)


def measured(key: str, value: float, **where: object) -> Parameter:
    """A number with the unit and method of its row."""
    row = DEFINITIONS[key]
    return Parameter(key, value, row.unit, row.method, **where)  # type: ignore[arg-type]


@cache
def segmented(series: ImageSeries) -> tuple[Segmentation, Dataset]:
    """Labels of a series (L1, L2 and others) and their SEG."""
    segmentation = Segmentation(labels_of(series.grid), MODEL)
    return segmentation, write_seg(series, segmentation, software_version="9.9")


def report(series: ImageSeries, measurements: Measurements, version: str = "9.9", **options: Any) -> Dataset:
    """The report of a series, as written."""
    segmentation, seg = segmented(series)
    return write_sr(series, measurements, [seg], segmentation, software_version=version, **options)


def stored(document: Dataset) -> Dataset:
    """A report as it is after a file."""
    file = io.BytesIO()
    document.save_as(file, enforce_file_format=True)
    file.seek(0)
    return pydicom.dcmread(file)


def items(item: Dataset) -> Iterator[Dataset]:
    """Every content item below."""
    for child in item.get("ContentSequence") or ():
        yield child
        yield from items(child)


def concept(item: Dataset) -> str:
    """Code value of an item's name."""
    return str(item.ConceptNameCodeSequence[0].CodeValue)


def value(item: Dataset) -> str:
    """Code value of a CODE item."""
    return str(item.ConceptCodeSequence[0].CodeValue)


def unit(item: Dataset) -> str:
    """UCUM unit of a NUM item."""
    return str(item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue)


def below(item: Dataset, name: str) -> list[Dataset]:
    """The items directly below that have this name."""
    return [child for child in item.get("ContentSequence") or () if concept(child) == name]


def groups(document: Dataset) -> dict[str, Dataset]:
    """Measurement groups by tracking identifier."""
    found = [i for i in items(document) if i.ValueType == "CONTAINER" and concept(i) == "125007"]
    return {str(below(group, "112039")[0].TextValue): group for group in found}
