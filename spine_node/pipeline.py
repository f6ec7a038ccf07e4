"""The whole science in one function: a series in, results out. No network, no files written.

Read this page first. Each line is a stage, each stage a folder.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pydicom import Dataset

from spine_node.anatomy.locate import locate
from spine_node.dicom.checks import check_source, preflight
from spine_node.dicom.code_overrides import NO_OVERRIDES, CodeOverrides
from spine_node.dicom.forms import Product
from spine_node.dicom.series import ImageSeries, age_years_of, vertical_of
from spine_node.dicom.voxels import read_volume
from spine_node.errors import LabelMapRefused
from spine_node.imaging.volume import LabelMap, Volume
from spine_node.objects import Findings
from spine_node.parameters.measure import measure
from spine_node.pictures.aside import DRAUGHTSMAN
from spine_node.segmentation.pins import Pin
from spine_node.segmentation.renaming import renamed
from spine_node.segmentation.segmenter import Progress, Segmentation, Segmenter

PLAIN = (Product("seg-binary"), Product("sr-3d", seg=Product("seg-binary")))
"""What is made of a series unless more is asked for."""


@dataclass(frozen=True, slots=True)
class Making:
    """How results are made.

    Attributes
    ----------
    software_version : str
    products : sequence of Product
        Which DICOM objects.
    predecessors : sequence of Dataset
        Headers of the earlier reports of this series, which the new ones supersede.
    overrides : CodeOverrides
        A hospital's codes in the place of ours.
    draw_aside : bool
        Have a second process draw the pictures meanwhile, for whoever makes them of study after study.
    """

    software_version: str
    products: Sequence[Product] = PLAIN
    predecessors: Sequence[Dataset] = ()
    overrides: CodeOverrides = NO_OVERRIDES
    draw_aside: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Results:
    """Everything made of one series; `results.write_results` puts it on disk.

    Attributes
    ----------
    findings : Findings
    objects : mapping of str to tuple of Dataset
        The DICOM instances of each product, by its name; those with pictures are made when looked at.
    """

    findings: Findings
    objects: Mapping[str, tuple[Dataset, ...]]


def analyse(
    series: ImageSeries,
    segmenter: Segmenter,
    making: Making,
    progress: Progress | None = None,
    pins: Sequence[Pin] = (),
    volume: Volume | None = None,
) -> Results:
    """Segment and measure one series, and encode what was found as SEG, SR and whatever else is wanted.

    `volume` is the series' own, if it was read before.

    Raises
    ------
    SeriesRefused
        If the series cannot become a volume, lacks what SEG and SR need, or shows no spine.
    PinRefused
        If a pin means no vertebra, no spine can be named so, or a vertebra would lose its name.
    """
    preflight(series.headers)
    volume = volume or read_volume(series)
    segmentation = renamed(segmenter.segment(volume, progress), pins)
    return _results(series, volume, segmentation, making)


def rename(
    series: ImageSeries, segmentation: Segmentation, seg: Dataset, making: Making, pins: Sequence[Pin]
) -> Results:
    """The results of a series under the names that follow from the pins: no net runs.

    Parameters
    ----------
    series : ImageSeries
    segmentation : Segmentation
        As it was found, or renamed, before.
    seg : Dataset
        The SEG of it, which says of which images it was made: an equal grid is no proof that the
        patient is the same. Pixels are not needed.
    making : Making
    pins : sequence of Pin

    Raises
    ------
    SeriesRefused
        If the series cannot become a volume.
    LabelMapRefused
        If the segmentation is that of another series, or does not agree with its own naming.
    PinRefused
        If a pin means no vertebra, no spine can be named so, or a vertebra would lose its name.
    """
    preflight(series.headers)
    check_source(seg, series)
    label_map = segmentation.label_map
    if not label_map.grid.matches(series.grid, tolerance_mm=0.01):
        raise LabelMapRefused(
            f"the label map ({label_map.grid.shape} voxels) is not on the grid of series {series.series_uid} "
            f"({series.grid.shape}): these are results of another series. Nothing was renamed."
        )
    # NIfTI keeps positions in single precision: those of the series are exact.
    there = replace(segmentation, label_map=LabelMap(series.grid, label_map.labels))
    return _results(series, read_volume(series), renamed(there, pins), making)


def _results(series: ImageSeries, volume: Volume, segmentation: Segmentation, making: Making) -> Results:
    # of 100 MB, on the core that is idle while landmarks are looked for
    threading.Thread(target=lambda: segmentation.digest, daemon=True).start()
    drawing = DRAUGHTSMAN.begin(volume, segmentation.label_map) if making.draw_aside else None
    try:
        spine = locate(segmentation.label_map, vertical_of(series), volume)
        measured = measure(spine, age_years_of(series))
    except BaseException:
        if drawing is not None:
            drawing.abandon()
        raise
    measurements = replace(
        measured,
        quality=measured.quality + segmentation.quality,
        levels=segmentation.level_identification,
    )
    if drawing is not None:
        drawing.draw(spine, measurements)
    findings = Findings(
        series,
        volume,
        segmentation,
        spine,
        measurements,
        making.software_version,
        tuple(making.predecessors),
        making.overrides,
        drawing,
    )
    return Results(findings, findings.objects(making.products))
