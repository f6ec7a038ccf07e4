"""Everything that can leave the node, made of a study whose labels are true.

No net runs for a phantom: its own labels are measured, so that seconds are enough.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.filereader import read_file_meta_info

from spine_node.anatomy.locate import locate
from spine_node.dicom.forms import FORMS, SEG_FORMS, Product
from spine_node.dicom.series import ImageSeries, age_years_of, read_series, vertical_of
from spine_node.dicom.voxels import read_volume
from spine_node.imaging.volume import LabelMap, Volume
from spine_node.objects import Findings
from spine_node.parameters.measure import measure
from spine_node.phantom.generate import FieldOfView, generate
from spine_node.phantom.series import write_phantom
from spine_node.segmentation.segmenter import ModelIdentity, Segmentation
from tests.dicom.small_series import write_multiframe

VERSION = "9.9"
SEED, SPACING_MM = 4, 3.0
"""A scoliosis that is quick to make and to measure: 4 s from the neck to the femoral heads."""

MOST_FRAMES = 400

PRODUCTS: tuple[Product, ...] = (
    *(Product(form) for form in FORMS),
    *(Product(form, parts=True) for form in SEG_FORMS),
    Product("seg-binary", most_frames=MOST_FRAMES),
    Product("sr-3d", seg=Product("seg-labelmap")),
    Product("sr-3d", seg=Product("seg-binary", parts=True)),
)
"""Every form, and what profiles ask for beside."""


class Study:
    """A series on disk, what was found in it, and its objects as files, each made when first asked for.

    Parameters
    ----------
    images : Path
        Folder of the series.
    findings : Findings
    out : Path
        Where the objects go.
    """

    def __init__(self, images: Path, findings: Findings, out: Path) -> None:
        self.images = sorted(path for path in images.rglob("*") if path.is_file())
        self.findings = findings
        self._out = out
        self._made: dict[str, tuple[Path, ...]] = {}

    def objects(self, product: Product) -> tuple[Path, ...]:
        """The files of one product."""
        if not self._made:
            self.write(PRODUCTS)  # all at once: they share pictures and segmentations
        return self._made[product.name]

    def write(self, products: Sequence[Product]) -> None:
        """Make the objects of these products."""
        for name, objects in self.findings.objects(products).items():
            self._made[name] = save(objects, name, self._out)

    @cached_property
    def everything(self) -> tuple[Path, ...]:
        """One object of every instance that the products give: the same one may be in two of them."""
        paths = [path for product in PRODUCTS for path in self.objects(product)]
        return tuple({_uid_of(path): path for path in paths}.values())


def phantom_study(folder: Path, *, multiframe: bool = False, spacing_mm: float = SPACING_MM) -> Study:
    """A phantom as a scanner would send it, with its true labels measured: the whole spine, a file a slice;
    or its lower end, all slices in one file.
    """
    part: FieldOfView = "lumbopelvic" if multiframe else "whole"
    phantom = generate(SEED, spacing_mm=spacing_mm, field_of_view=part, clean=True)
    images = folder / "dicom"
    if multiframe:
        write_multiframe(images, phantom.volume.grid, phantom.volume.values.round().astype(np.int16))
    else:
        write_phantom(phantom, folder)
    series = read_series(images)
    labels = phantom.label_map.labels
    if not phantom.label_map.grid.matches(series.grid, tolerance_mm=0.01):
        labels = labels[::-1]  # a phantom's slices go downwards, a series' along its normal
    label_map = LabelMap(series.grid, np.ascontiguousarray(labels))
    model = ModelIdentity("true-labels", "1.0", "ab" * 32)
    return _study(images, series, read_volume(series), Segmentation(label_map, model), folder / "objects")


def real_study(images: Path, out: Path) -> Study:
    """A CT of a person, segmented by the bundled nets: minutes. Its images stay where they are."""
    from spine_node.segmentation.plug import load_segmenter

    series = read_series(images)
    volume = read_volume(series)
    segmentation = load_segmenter("spinenet").segment(volume)
    return _study(images, series, volume, segmentation, out)


def save(objects: Iterable[Dataset], name: str, folder: Path) -> tuple[Path, ...]:
    """Write objects as `name-1.dcm`, `name-2.dcm` ..."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, dataset in enumerate(objects, start=1):
        paths.append(folder / f"{name}-{number}.dcm")
        dataset.save_as(paths[-1], enforce_file_format=True)
    return tuple(paths)


def _study(images: Path, series: ImageSeries, volume: Volume, segmentation: Segmentation, out: Path) -> Study:
    spine = locate(segmentation.label_map, vertical_of(series), volume)
    measurements = measure(spine, age_years_of(series))
    return Study(images, Findings(series, volume, segmentation, spine, measurements, VERSION), out)


def _uid_of(path: Path) -> str:
    return str(read_file_meta_info(path).MediaStorageSOPInstanceUID)
