"""The whole science in one function: a series in, results out. No network, no files written.

Read this page first. Each line is a stage, each stage a folder.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from pydicom import Dataset

from spine_node.anatomy.landmarks import Spine
from spine_node.anatomy.locate import locate
from spine_node.dicom.checks import check_geometry, preflight
from spine_node.dicom.seg import write_seg
from spine_node.dicom.series import ImageSeries, vertical_of
from spine_node.dicom.sr import write_sr
from spine_node.dicom.voxels import read_volume
from spine_node.imaging.volume import Volume
from spine_node.parameters.measure import measure
from spine_node.parameters.model import Measurements
from spine_node.segmentation.segmenter import Progress, Segmentation, Segmenter


@dataclass(frozen=True, slots=True, eq=False)
class Results:
    """Everything made of one series; `results.write_results` puts it on disk."""

    volume: Volume
    segmentation: Segmentation
    spine: Spine
    measurements: Measurements
    seg: Dataset
    sr: Dataset


def analyse(
    series: ImageSeries, segmenter: Segmenter, software_version: str, progress: Progress | None = None
) -> Results:
    """Segment and measure one series, and encode what was found as SEG and SR.

    Raises
    ------
    SeriesRefused
        If the series cannot become a volume, lacks what SEG and SR need, or shows no spine.
    """
    preflight(series.headers)
    volume = read_volume(series)
    segmentation = segmenter.segment(volume, progress)
    spine = locate(segmentation.label_map, vertical_of(series))
    measured = measure(spine)
    measurements = replace(measured, quality=measured.quality + segmentation.quality)
    seg = write_seg(series, segmentation, software_version=software_version)
    check_geometry(seg, segmentation.label_map)
    sr = write_sr(series, measurements, seg, segmentation, software_version=software_version)
    return Results(volume, segmentation, spine, measurements, seg, sr)
