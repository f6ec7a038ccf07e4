"""One UID, one content: whatever changes what was found changes the names of its results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spine_node.dicom.result_uids import digest_of, result_uids
from spine_node.dicom.seg import segment_references, write_seg
from spine_node.dicom.series import ImageSeries, read_series
from spine_node.dicom.sr import write_sr
from spine_node.imaging.volume import LabelMap
from spine_node.parameters.model import Measurements
from spine_node.segmentation.segmenter import ModelIdentity, Segmentation
from tests.dicom.small_reports import measured
from tests.dicom.small_series import grid_of, labels_of, write_series

MODEL = ModelIdentity("toy-net", "1.2", "ab" * 32)
PI = Measurements("PATIENT", "image z axis", (measured("PI", 52.0),))


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> ImageSeries:
    folder = tmp_path_factory.mktemp("ct")
    write_series(folder, grid_of())
    return read_series(folder)


def other_labels(segmentation: Segmentation) -> Segmentation:
    """One voxel less, as another device may give it."""
    labels = segmentation.label_map.labels.copy()
    labels[tuple(np.argwhere(labels)[0])] = 0
    return replace(segmentation, label_map=LabelMap(segmentation.label_map.grid, labels))


@pytest.mark.parametrize(
    "change",
    [
        other_labels,
        lambda s: replace(s, model=replace(s.model, version="1.3")),
        lambda s: replace(s, model=replace(s.model, sha256="cd" * 32)),
        lambda s: replace(s, variant="L5=L4"),
    ],
    ids=["labels", "version of the model", "weights", "a fixed level"],
)
def test_another_segmentation_has_other_uids(
    series: ImageSeries, change: Callable[[Segmentation], Segmentation]
) -> None:
    one = Segmentation(labels_of(series.grid), MODEL)
    other = change(one)
    segs = [write_seg(series, s, software_version="9.9") for s in (one, other)]
    reports = [
        write_sr(series, PI, [seg], s, software_version="9.9")
        for seg, s in zip(segs, (one, other), strict=True)
    ]
    for first, second in (segs, reports):
        assert first.SOPInstanceUID != second.SOPInstanceUID
    tracked = [{r.tracking_uid for r in segment_references([seg]).values()} for seg in segs]
    assert not tracked[0] & tracked[1]


def test_other_numbers_or_another_posture_are_another_report_on_the_same_segmentation(
    series: ImageSeries,
) -> None:
    segmentation = Segmentation(labels_of(series.grid), MODEL)
    seg = write_seg(series, segmentation, software_version="9.9")
    uids = [
        write_sr(s, measurements, [seg], segmentation, software_version="9.9").SOPInstanceUID
        for s, measurements in (
            (series, PI),
            (series, replace(PI, parameters=(measured("PI", 52.01),))),
            (replace(series, posture="declared lying", standing=False), PI),
        )
    ]
    assert len(set(uids)) == 3


def test_the_same_inputs_have_the_same_uids(series: ImageSeries, tmp_path: Path) -> None:
    write_series(tmp_path, grid_of())
    again = read_series(tmp_path)
    makers = [result_uids(s, Segmentation(labels_of(s.grid), MODEL), "9.9") for s in (series, again)]
    assert makers[0]("seg", "x") == makers[1]("seg", "x") != makers[0]("seg", "y")


def test_a_digest_knows_where_one_content_ends() -> None:
    assert digest_of("ab", "c") != digest_of("a", "bc") != digest_of("abc")
    assert digest_of(b"ab") == digest_of("ab") == digest_of(np.frombuffer(b"ab", dtype=np.uint8))
