"""On a SEG of bodies and posterior elements, a vertebra's numbers stand on the segment of its body."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import highdicom as hd
import pytest
from pydicom.dataset import Dataset

from spine_node.dicom.seg import write_seg
from spine_node.dicom.series import ImageSeries, read_series
from spine_node.dicom.sr import ReportForm, read_sr, write_sr
from spine_node.dicom.sr_codes import code_of, key_of
from spine_node.dicom.sr_groups import OF_VERTEBRAL_BODY
from spine_node.parameters.catalogue import DEFINITIONS
from spine_node.parameters.class_catalogue import CLASS_DEFINITIONS
from spine_node.parameters.model import Measurements, NotMeasured
from tests.dicom.small_reports import below, concept, groups, measured, segmented, stored, value
from tests.dicom.small_series import grid_of, write_series
from tests.dicom.test_sr import MEASUREMENTS
from tests.dicom.test_sr_panel import every_row

FORMS: tuple[ReportForm, ...] = ("sr-3d", "sr-comprehensive", "sr-enhanced")
OF_THE_WHOLE = {
    *("AVR", "AVR_PROJAP", "AVR_PROJLR", "V_VOL", "CANAL_AP", "CANAL_W", "STENOSIS"),
}


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> ImageSeries:
    folder = tmp_path_factory.mktemp("ct")
    write_series(folder, grid_of())
    return read_series(folder)


@pytest.fixture(scope="module")
def seg(series: ImageSeries) -> Dataset:
    return write_seg(series, segmented(series)[0], software_version="9.9", parts=True)


def on_parts(series: ImageSeries, seg: Dataset, found: Measurements, form: ReportForm = "sr-3d") -> Dataset:
    return stored(write_sr(series, found, [seg], segmented(series)[0], software_version="9.9", form=form))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("found", [MEASUREMENTS, every_row()], ids=["some", "every row"])
def test_it_reads_back_exactly(
    series: ImageSeries, seg: Dataset, found: Measurements, form: ReportForm
) -> None:
    assert read_sr(on_parts(series, seg, found, form)).to_dict() == found.to_dict()


def test_every_row_of_a_vertebra_is_of_its_body_or_of_the_whole() -> None:
    rows = {row.key for row in (*DEFINITIONS.values(), *CLASS_DEFINITIONS.values()) if row.per == "vertebra"}
    assert rows - OF_VERTEBRAL_BODY == OF_THE_WHOLE
    assert rows >= OF_VERTEBRAL_BODY


def test_what_is_of_the_body_stands_on_its_segment_and_the_rest_beside_it(
    series: ImageSeries, seg: Dataset
) -> None:
    segments = {str(item.TrackingID): item for item in seg.SegmentSequence}
    assert segments.keys() >= {"L1_body", "L1_posterior"}
    found = groups(on_parts(series, seg, every_row()))
    body, whole = found["L1_body"], found["L1"]
    (image,) = below(body, "121191")
    assert image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == seg.SOPInstanceUID
    assert image.ReferencedSOPSequence[0].ReferencedSegmentNumber == segments["L1_body"].SegmentNumber
    assert segments["L1_body"].TrackingUID == below(body, "112040")[0].UID
    assert not below(whole, "121191")
    for group, finding, keys in (
        (body, "VERTEBRAL_BODY", OF_VERTEBRAL_BODY),
        (whole, "51282000", OF_THE_WHOLE),
    ):
        assert [value(i) for i in below(group, "121071")] == [finding]
        assert [value(i) for i in below(group, "363698007")] == ["66794005"], "L1"
        told = {
            key_of(concept(i), i.ConceptNameCodeSequence[0].CodingSchemeDesignator)
            for i in group.ContentSequence
        }
        assert told & (OF_VERTEBRAL_BODY | OF_THE_WHOLE) == keys


def test_a_vertebra_with_nothing_of_its_body_still_leads_to_its_segment(
    series: ImageSeries, seg: Dataset
) -> None:
    found = Measurements(
        "PATIENT",
        "given",
        (measured("V_VOL", 61.5, level="L1"),),
        (NotMeasured("VBH_ANT", "its plates disagree", "L2"),),
    )
    document = on_parts(series, seg, found)
    assert read_sr(document).to_dict() == found.to_dict()
    told = groups(document)
    assert list(told) == ["spine", "L1_body", "L1", "L2_body"]
    assert below(told["L1_body"], "121191")
    assert below(told["L2_body"], "121191")
    assert [concept(i) for i in told["L1"].ContentSequence if i.ValueType == "NUM"] == [
        code_of("V_VOL").value
    ]


@pytest.mark.parametrize("form", FORMS)
def test_validators_and_readers_of_templates_take_it(
    series: ImageSeries, seg: Dataset, form: ReportForm, tmp_path: Path
) -> None:
    on_parts(series, seg, MEASUREMENTS, form).save_as(tmp_path / "sr.dcm", enforce_file_format=True)
    content = hd.sr.srread(tmp_path / "sr.dcm").content
    volumes = content.get_volumetric_roi_measurement_groups()
    assert [group.tracking_identifier for group in volumes] == ["L1_body", "L2_body"]
    told = subprocess.run(
        [Path(sys.executable).with_name("dciodvfy"), "-new", tmp_path / "sr.dcm"],
        capture_output=True,
        text=True,
        check=False,
    ).stderr
    assert [line for line in told.splitlines() if line.startswith("Error")] == []
