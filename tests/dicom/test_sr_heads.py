"""What begins each measurement group is written here; highdicom, of the same facts, makes the same of it."""

from __future__ import annotations

from pathlib import Path

import highdicom as hd

from spine_node.dicom.codes import ANATOMICAL_STRUCTURE, SPINE, VERTEBRA, level_code
from spine_node.dicom.identity import MODEL_NAME
from spine_node.dicom.seg import segment_references
from spine_node.dicom.series import read_series
from spine_node.dicom.sr_codes import sr
from spine_node.dicom.sr_encoding import item_of
from spine_node.parameters.definitions import Code
from spine_node.parameters.model import Measurements
from spine_node.parameters.view import PATIENT
from tests.dicom.small_reports import MODEL, groups, measured, report, segmented, stored
from tests.dicom.small_series import grid_of, write_series

FOUND = Measurements(
    frame=PATIENT,
    vertical="image z axis",
    parameters=(measured("PI", 50.0), measured("VB_MEAN", 180.0, level="L1")),
    not_measured=(),
)


def _common(finding: Code, site: Code) -> dict[str, object]:
    return {
        "finding_category": sr(ANATOMICAL_STRUCTURE),
        "finding_type": sr(finding),
        "finding_sites": [hd.sr.FindingSite(sr(site))],
        "algorithm_id": hd.sr.AlgorithmIdentification(
            MODEL_NAME,
            "9.9",
            parameters=[f"model {MODEL.name} {MODEL.version}", f"weights_sha256={MODEL.sha256}"],
        ),
    }


def test_the_head_of_a_group_is_as_its_template_wants_it(tmp_path: Path) -> None:
    write_series(tmp_path, grid_of())
    series = read_series(tmp_path)
    there = groups(stored(report(series, FOUND)))
    segment = segment_references([segmented(series)[1]])["L1"]
    uid = str(there["spine"].ContentSequence[1].UID)
    of_spine = hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(uid, "spine"), **_common(SPINE, SPINE)
    )
    on_segment = hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(segment.tracking_uid, "L1"),
        referenced_segment=hd.sr.ReferencedSegment(
            sop_class_uid=segment.sop_class_uid,
            sop_instance_uid=segment.sop_instance_uid,
            segment_number=segment.number,
            source_series=hd.sr.SourceSeriesForSegmentation(series.series_uid),
        ),
        **_common(VERTEBRA, level_code("L1")),
    )
    for name, template in (("spine", of_spine), ("L1", on_segment)):
        wanted, written = template[0], there[name]
        assert written.ContentTemplateSequence[0] == wanted.ContentTemplateSequence[0]
        assert written.ContinuityOfContent == wanted.ContinuityOfContent
        head = written.ContentSequence[: len(wanted.ContentSequence)]
        assert [item_of(item) for item in head] == [item_of(item) for item in wanted.ContentSequence]
