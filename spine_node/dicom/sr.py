"""Measurements as a Comprehensive 3D SR (TID 1500), and back.

The report is PRELIMINARY and UNVERIFIED: a device never speaks for a physician.
"""

from __future__ import annotations

from collections.abc import Iterator

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset

from spine_node.dicom.codes import CONE_BEAM_CT, LEVEL_OF_CODE, scheme_item
from spine_node.dicom.frames import XRAY_3D_ANGIOGRAPHIC, XRAY_3D_CRANIOFACIAL
from spine_node.dicom.identity import (
    MANUFACTURER,
    MODEL_NAME,
    finish,
    result_uid,
    series_description,
    series_number,
)
from spine_node.dicom.seg import tracking_uids
from spine_node.dicom.series import ImageSeries
from spine_node.dicom.sr_codes import (
    COMMENT,
    FRAME,
    FRAMES,
    LEVEL_IDENTIFICATION,
    LEVEL_MARGIN,
    LEVELS_UNCERTAIN,
    NOT_ATTEMPTED,
    PURPOSE_OF_LINE,
    QUALITATIVE,
    SIDES,
    SITE_OF,
    UNCERTAINTIES,
    VERTICAL,
    code_of,
    sr,
)
from spine_node.dicom.sr_groups import Context, groups, levels_in_words, reason_of, remarks
from spine_node.dicom.standins import standin, standins
from spine_node.parameters.catalogue import CATALOGUE, Code
from spine_node.parameters.model import LevelIdentification, Line, Measurements, NotMeasured, Parameter
from spine_node.segmentation.segmenter import Segmentation

DEVICE_UID = "2.25.253753020151839368704576003988281494460"
"""Names this software as the observer."""

CT_PROCEDURE = Code("25045-6", "LN", "CT unspecified body region")

_MODALITY = Code("121139", "DCM", "Modality")
_FRAME_OF_REFERENCE = Code("112227", "DCM", "Frame of Reference UID")
_SOURCE = Code("260753009", "SCT", "Source")


def write_sr(
    series: ImageSeries,
    measurements: Measurements,
    seg: Dataset,
    segmentation: Segmentation,
    *,
    software_version: str,
) -> Dataset:
    """The measurements of one series as a structured report that refers to its SEG.

    The same input gives the same bytes: UIDs derive from the source, times are those of the source.

    Parameters
    ----------
    series : ImageSeries
    measurements : Measurements
    seg : Dataset
        As written by `seg.write_seg`: vertebra groups refer to its segments by number and tracking UID.
    segmentation : Segmentation
        For the model that made it.
    software_version : str
    """
    sources, model = series.sop_instance_uids, segmentation.model
    variant = (segmentation.variant,) if segmentation.variant else ()

    def uid(kind: str, *extra: str) -> str:
        return result_uid(kind, sources, model.sha256, software_version, *variant, *extra)

    context = Context(
        uid=uid,
        segments=tracking_uids(seg),
        seg_class_uid=str(seg.SOPClassUID),
        seg_uid=str(seg.SOPInstanceUID),
        source_series_uid=series.series_uid,
        frame_of_reference_uid=series.frame_of_reference_uid,
        software_version=software_version,
    )
    report = hd.sr.MeasurementReport(
        observation_context=_observer(),
        procedure_reported=sr(_procedure(series)),
        imaging_measurements=groups(measurements, context),
    )
    report[0].ContentSequence.insert(-1, _image_library(series))
    report[0].ContentSequence.append(remarks(measurements, standing=series.standing))
    document = hd.sr.Comprehensive3DSR(
        evidence=[*standins(series), standin(seg)],
        content=report[0],
        series_instance_uid=uid("sr series"),
        series_number=series_number(series.headers[0], 2),
        sop_instance_uid=uid("sr"),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL_NAME,
        software_versions=software_version,
        device_serial_number="1",
        series_description=series_description("Spine SR (computed)", segmentation.variant),
        is_complete=True,
        is_final=False,
        is_verified=False,
    )
    document.CodingSchemeIdentificationSequence = [scheme_item(software_version)]
    finish(document, series.headers[0])
    return document


def read_sr(document: Dataset) -> Measurements:
    """The measurements in a report written by `write_sr`, in the catalogue's order.

    Numbers come back as written, rounded to 0.001; texts without signs outside ASCII.
    """
    parameters: list[Parameter] = []
    missing: list[tuple[str, str | None]] = []
    frame, texts, levels = "SCANNER", [], None
    for container in _walk(document, "CONTAINER"):
        codes = [(_name(i), _value(i)) for i in _children(container, "CODE")]
        if _name(container) == _pair(QUALITATIVE):
            frame = next((_FRAME_OF_CODE[value] for name, value in codes if name == _pair(FRAME)), frame)
            texts += [(_name(i), str(i.TextValue)) for i in _children(container, "TEXT")]
            levels = next((value for name, value in codes if name == _pair(LEVEL_IDENTIFICATION)), levels)
        elif _name(container) == _MEASUREMENT_GROUP:
            parameters += [_parameter(item) for item in _children(container, "NUM")]
            level = _levels(container).get("level")
            missing += [(_key(name), level) for name, value in codes if value == _pair(NOT_ATTEMPTED)]
    not_measured = [NotMeasured(key, _reason(key, level, texts), level) for key, level in missing]
    return Measurements(
        frame=frame,
        vertical=next((text for name, text in texts if name == _pair(VERTICAL)), ""),
        parameters=tuple(sorted(parameters, key=lambda p: _ORDER.get(p.key, len(_ORDER)))),
        not_measured=tuple(sorted(not_measured, key=lambda n: _ORDER.get(n.key, len(_ORDER)))),
        quality=tuple(text for name, text in texts if name == _pair(COMMENT)),
        levels=levels and _level_identification(levels, texts),
    )


def _level_identification(
    code: tuple[str, str], texts: list[tuple[tuple[str, str], str]]
) -> LevelIdentification:
    words = next((text for name, text in texts if name == _pair(LEVEL_MARGIN)), "")
    return levels_in_words(words, uncertain=code == _pair(LEVELS_UNCERTAIN))


def _observer() -> hd.sr.ObservationContext:
    device = hd.sr.DeviceObserverIdentifyingAttributes(
        uid=DEVICE_UID, name=MODEL_NAME, manufacturer_name=MANUFACTURER, model_name=MODEL_NAME
    )
    return hd.sr.ObservationContext(
        observer_device_context=hd.sr.ObserverContext(
            observer_type=sr(Code("121007", "DCM", "Device")), observer_identifying_attributes=device
        )
    )


def _procedure(series: ImageSeries) -> Code:
    """Cone beam CT where the SOP class says so; a CT image does not tell."""
    cone_beam = str(series.headers[0].SOPClassUID) in (XRAY_3D_ANGIOGRAPHIC, XRAY_3D_CRANIOFACIAL)
    return CONE_BEAM_CT if cone_beam else CT_PROCEDURE


def _image_library(series: ImageSeries) -> hd.sr.ContainerContentItem:
    """TID 1600 with the first image for the series: each more image costs readers, and tells nothing."""
    of_group = hd.sr.RelationshipTypeValues.HAS_ACQ_CONTEXT
    contains = hd.sr.RelationshipTypeValues.CONTAINS
    library = hd.sr.ContainerContentItem(
        sr(Code("111028", "DCM", "Image Library")), relationship_type=contains
    )
    group = hd.sr.ContainerContentItem(
        sr(Code("126200", "DCM", "Image Library Group")), relationship_type=contains
    )
    first = series.headers[0]
    modality = Code(str(first.Modality), "DCM", _MODALITIES.get(str(first.Modality), str(first.Modality)))
    group.ContentSequence = hd.sr.ContentSequence()
    group.ContentSequence.append(hd.sr.CodeContentItem(sr(_MODALITY), sr(modality), of_group))
    group.ContentSequence.append(
        hd.sr.UIDRefContentItem(sr(_FRAME_OF_REFERENCE), series.frame_of_reference_uid, of_group)
    )
    group.ContentSequence.append(
        hd.sr.ImageContentItem(
            name=sr(_SOURCE),
            referenced_sop_class_uid=str(first.SOPClassUID),
            referenced_sop_instance_uid=str(first.SOPInstanceUID),
            relationship_type=contains,
        )
    )
    library.ContentSequence = hd.sr.ContentSequence()
    library.ContentSequence.append(group)
    return library


_MODALITIES = {"CT": "Computed Tomography", "XA": "X-Ray Angiography", "DX": "Digital Radiography"}


def _pair(code: Code) -> tuple[str, str]:
    return code.value, code.scheme


_MEASUREMENT_GROUP = ("125007", "DCM")
_KEY_OF_CODE = {_pair(code_of(row.key)): row.key for row in CATALOGUE}
_FRAME_OF_CODE = {_pair(code): name for name, code in FRAMES.items()}
_SIDE_OF_CODE = {_pair(code): side for side, code in SIDES.items()}
_END_OF_CODE = {_pair(code): end for end, code in SITE_OF.items()}
_ROLE_OF_CODE = {_pair(code): role for role, code in PURPOSE_OF_LINE.items()}
_ORDER = {row.key: i for i, row in enumerate(CATALOGUE)}


def _parameter(item: Dataset) -> Parameter:
    measured = item.MeasuredValueSequence[0]
    definition, uncertainty, lines = "", None, []
    for child in item.get("ContentSequence") or ():
        if child.ValueType == "TEXT" and _name(child) == ("111002", "DCM"):
            definition = str(child.TextValue)
        elif child.ValueType == "NUM" and _name(child) == _pair(UNCERTAINTIES[0]):
            uncertainty = float(child.MeasuredValueSequence[0].NumericValue)
        elif child.ValueType == "SCOORD3D":
            points = np.array(child.GraphicData, dtype=np.float64).reshape(-1, 3)
            lines.append(Line(_ROLE_OF_CODE.get(_name(child), "other"), points))
    return Parameter(
        key=_key(_name(item)),
        value=float(measured.NumericValue),
        unit=str(measured.MeasurementUnitsCodeSequence[0].CodeValue),
        method=definition,
        uncertainty=uncertainty,
        lines=tuple(lines),
        **_levels(item),
    )


def _key(concept: tuple[str, str]) -> str:
    return _KEY_OF_CODE.get(concept, concept[0])


def _reason(key: str, level: str | None, texts: list[tuple[tuple[str, str], str]]) -> str:
    prefix = reason_of(NotMeasured(key, "", level))
    found = (text for name, text in texts if _key(name) == key and text.startswith(prefix))
    return next(found, prefix)[len(prefix) :]


def _levels(item: Dataset) -> dict[str, str]:
    """Level, ends of a curve and side, from the finding sites of a NUM."""
    found: dict[str, str] = {}
    for site in _children(item, "CODE"):
        if _name(site) != ("363698007", "SCT"):
            continue
        place = "level"
        for child in _children(site, "CODE"):
            if _name(child) == ("272741003", "SCT"):
                found["side"] = _SIDE_OF_CODE[_value(child)]
            elif _name(child) == ("106233006", "SCT"):
                place = _END_OF_CODE[_value(child)]
        if _value(site) in LEVEL_OF_CODE:
            found[place] = LEVEL_OF_CODE[_value(site)]
    return found


def _children(item: Dataset, value_type: str) -> list[Dataset]:
    return [child for child in item.get("ContentSequence") or () if child.ValueType == value_type]


def _walk(item: Dataset, value_type: str) -> Iterator[Dataset]:
    for child in _children(item, value_type):
        yield child
        yield from _walk(child, value_type)


def _name(item: Dataset) -> tuple[str, str]:
    concept = item.ConceptNameCodeSequence[0]
    return str(concept.CodeValue), str(concept.CodingSchemeDesignator)


def _value(item: Dataset) -> tuple[str, str]:
    concept = item.ConceptCodeSequence[0]
    return str(concept.CodeValue), str(concept.CodingSchemeDesignator)
