"""Measurements as a structured report (TID 1500) in one of three SOP classes, and back.

The report is PRELIMINARY and UNVERIFIED: a device never speaks for a physician.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import highdicom as hd
from pydicom.dataset import Dataset

from spine_node.dicom.blanks import source_references
from spine_node.dicom.code_overrides import NO_OVERRIDES, CodeOverrides
from spine_node.dicom.identity import (
    MANUFACTURER,
    MODEL_NAME,
    finish,
    series_description,
    series_number,
)
from spine_node.dicom.posture import posture_of
from spine_node.dicom.result_uids import digest_of, result_uids
from spine_node.dicom.seg import segment_references
from spine_node.dicom.series import ImageSeries
from spine_node.dicom.sr_classes import classes_of
from spine_node.dicom.sr_codes import (
    IMAGING_MEASUREMENTS,
    MEASUREMENT_GROUP,
    QUALITATIVE,
    place_in_catalogues,
)
from spine_node.dicom.sr_context import image_library, observer, procedure
from spine_node.dicom.sr_encoding import container_of, item_of, put_sequence
from spine_node.dicom.sr_encoding import item as encoded_item
from spine_node.dicom.sr_groups import groups
from spine_node.dicom.sr_items import Items
from spine_node.dicom.sr_missing import missing_of
from spine_node.dicom.sr_numbers import Context, parameters_of
from spine_node.dicom.sr_remarks import Remarks, remarks_item, remarks_of
from spine_node.dicom.sr_tree import pair, tree_of
from spine_node.dicom.standins import standin, standins
from spine_node.parameters.model import Classification, Measurements, NotMeasured, Parameter
from spine_node.segmentation.segmenter import Segmentation

ReportForm = Literal["sr-3d", "sr-comprehensive", "sr-enhanced"]

WITHOUT_LINES = (
    "None: this SOP class takes no coordinates in space. The Comprehensive 3D SR of the same results "
    "holds the endplates, points and lines that the numbers were read from."
)


@dataclass(frozen=True, slots=True)
class _Form:
    """What differs between the forms.

    Attributes
    ----------
    make : highdicom class
    words : str
        Begins the series description.
    number : int
        Offset of the series number.
    coordinates : bool
        Whether SCOORD3D is allowed (PS3.3 A.35.13.3; not in A.35.2.3 and A.35.3.3).
    """

    make: Any
    words: str
    number: int
    coordinates: bool


_FORMS: dict[ReportForm, _Form] = {
    "sr-3d": _Form(hd.sr.Comprehensive3DSR, "Spine SR", 2, True),
    "sr-comprehensive": _Form(hd.sr.ComprehensiveSR, "Spine SR without lines", 12, False),
    "sr-enhanced": _Form(hd.sr.EnhancedSR, "Spine SR without lines, Enhanced", 22, False),
}


def write_sr(
    series: ImageSeries,
    measurements: Measurements,
    segs: Sequence[Dataset],
    segmentation: Segmentation,
    *,
    software_version: str,
    form: ReportForm = "sr-3d",
    predecessors: Sequence[Dataset] = (),
    overrides: CodeOverrides = NO_OVERRIDES,
) -> Dataset:
    """The measurements of one series as a structured report that refers to its SEG.

    The same input gives the same bytes: UIDs derive from the source, times are those of the source. The
    forms say the same, each under its own UIDs; but only the first holds coordinates. The others could
    hold them on single images (SCOORD): an endplate lies across dozens of axial slices and a plumb line
    meets each in a point, so that a viewer would show dots without a meaning. They are left out, and the
    report says so.

    Parameters
    ----------
    series : ImageSeries
    measurements : Measurements
    segs : sequence of Dataset
        As written by `seg.write_segs`, one or more: vertebra groups refer to their segments by number and
        tracking UID; of a SEG of parts, to that of the vertebral body. Pixels are not needed.
    segmentation : Segmentation
        For the model that made it.
    software_version : str
    form : str
        "sr-3d" (Comprehensive 3D SR); for peers that refuse it "sr-comprehensive", and "sr-enhanced".
    predecessors : sequence of Dataset
        Earlier reports that this one supersedes (PS3.3 C.17.2.3); their headers are enough.
    overrides : CodeOverrides
        Codes to write in the place of ours.

    Raises
    ------
    ValueError
        If there is no SEG.
    """
    if not segs:
        raise ValueError("a report refers to its segmentation: at least one SEG is needed")
    uid, kind = result_uids(series, segmentation, software_version), _FORMS[form]

    older = sorted(predecessors, key=lambda document: str(document.SOPInstanceUID))
    items, posture = Items(overrides), posture_of(series.headers[0])
    context = Context(
        uid=uid,
        segments=segment_references(segs),
        source_series_uid=series.series_uid,
        frame_of_reference_uid=series.frame_of_reference_uid,
        software_version=software_version,
        model=segmentation.model,
        frame=measurements.frame,
        standing=series.standing,
        coordinates=kind.coordinates,
        items=items,
        plain=Items(),
    )
    # highdicom copies, searches and checks what it is shown: one group, in the place of all.
    shown = hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(uid("tracking", "spine"), "spine")
    )
    report = hd.sr.MeasurementReport(
        observation_context=observer(),
        procedure_reported=procedure(series),
        imaging_measurements=[shown],
    )
    report[0].ContentSequence.insert(-1, image_library(series, posture.codes))
    made = kind.make(
        evidence=[*standins(series, most=1), *map(standin, segs)],
        content=report[0],
        series_instance_uid=uid("sr series", form, *sorted({str(seg.SeriesInstanceUID) for seg in segs})),
        series_number=series_number(series.headers[0], kind.number),
        sop_instance_uid=uid(
            *("sr", form),
            *("measured", digest_of(measurements.to_json(), series.posture, str(posture))),
            *("segs", *sorted(str(seg.SOPInstanceUID) for seg in segs)),
            *("predecessors", *(str(document.SOPInstanceUID) for document in older)),
            *("codes", *overrides.words()),
        ),
        instance_number=1 + len(older),
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL_NAME,
        software_versions=software_version,
        device_serial_number="1",
        series_description=series_description(f"{kind.words} (computed)", segmentation.variant),
        is_complete=True,
        is_final=False,
        is_verified=False,
        previous_versions=older or None,
    )
    # Plain from here on: highdicom's object would keep a copy of the content as it is now.
    document = Dataset(made)
    document.file_meta = made.file_meta
    remarks = remarks_item(
        measurements,
        items,
        posture=posture.codes,
        without_lines="" if kind.coordinates else WITHOUT_LINES,
    )
    document.CodingSchemeIdentificationSequence = overrides.scheme_items(software_version)
    finish(document, series.headers[0])
    measured = list(groups(measurements, context))
    content = [
        container_of(item, measured) if _is_of_measurements(item) else item_of(item)
        for item in document.ContentSequence
    ]
    put_sequence(document, "ContentSequence", [*content, remarks])
    _put_all_images(document, series)
    return document


def _is_of_measurements(item: Dataset) -> bool:
    """Whether it is the container of the measurement groups."""
    name = item.ConceptNameCodeSequence[0].CodeValue
    return bool(item.ValueType == "CONTAINER" and name == IMAGING_MEASUREMENTS.value)


def _put_all_images(document: Dataset, series: ImageSeries) -> None:
    """All images of the source among the evidence, of which highdicom was shown the first."""
    procedures = []
    for study in document.CurrentRequestedProcedureEvidenceSequence:
        below = []
        for one in study.ReferencedSeriesSequence:
            if one.SeriesInstanceUID == series.series_uid:
                below.append(
                    encoded_item(
                        ReferencedSOPSequence=source_references(series), SeriesInstanceUID=series.series_uid
                    )
                )
            else:
                below.append(item_of(one))
        procedures.append(
            encoded_item(ReferencedSeriesSequence=below, StudyInstanceUID=str(study.StudyInstanceUID))
        )
    put_sequence(document, "CurrentRequestedProcedureEvidenceSequence", procedures)


def read_sr(document: Dataset, overrides: CodeOverrides = NO_OVERRIDES) -> Measurements:
    """The measurements in a report written by `write_sr`, in the catalogues' order.

    Numbers come back as written, rounded to 0.001; texts without signs outside ASCII; lines from a
    Comprehensive 3D SR, but those of vertebrae, whose groups refer to their segments instead.

    Parameters
    ----------
    document : Dataset
    overrides : CodeOverrides
        Those that it was written with.
    """
    parameters: list[Parameter] = []
    classes: list[Classification] = []
    missing: list[NotMeasured] = []
    remarks = Remarks()
    for container in tree_of(document, overrides).of_kind("CONTAINER"):
        if container.name == pair(QUALITATIVE):
            remarks = remarks_of(container)
        elif container.name == pair(IMAGING_MEASUREMENTS):
            for group in container.of_kind("CONTAINER"):
                if group.name == pair(MEASUREMENT_GROUP):
                    parameters += parameters_of(group)
                    classes += classes_of(group)
                    missing += missing_of(group)
    return Measurements(
        frame=remarks.frame,
        vertical=remarks.vertical,
        parameters=tuple(sorted(parameters, key=lambda p: place_in_catalogues(p.key))),
        not_measured=tuple(sorted(missing, key=lambda n: place_in_catalogues(n.key))),
        quality=remarks.quality,
        levels=remarks.levels,
        classes=tuple(sorted(classes, key=lambda c: place_in_catalogues(c.key))),
    )
