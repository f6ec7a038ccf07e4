"""A segmentation as a DICOM Segmentation (BINARY), on the grid of its source and never flipped.

`highdicom` encodes, from stand-ins of the source.
"""

from __future__ import annotations

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code as SRCode
from pydicom.uid import ExplicitVRLittleEndian

from spine_node.dicom.codes import (
    ANATOMICAL_STRUCTURE,
    ARTIFICIAL_INTELLIGENCE,
    MORPHOLOGICAL_OPERATIONS,
    PARTS,
    STRUCTURE_OF_VALUE,
    STRUCTURES,
    VERTEBRA,
    Structure,
    code_item,
    scheme_item,
)
from spine_node.dicom.identity import (
    MANUFACTURER,
    MODEL_NAME,
    finish,
    result_uid,
    series_description,
    series_number,
)
from spine_node.dicom.series import ImageSeries
from spine_node.dicom.standins import standins
from spine_node.errors import LabelMapRefused
from spine_node.imaging.volume import LabelMap
from spine_node.parameters.definitions import PRIVATE_SCHEME, Code
from spine_node.segmentation.segmenter import ModelIdentity, Segmentation


def present_structures(label_map: LabelMap, *, parts: bool = False) -> list[Structure]:
    """Structures with at least one voxel, in the order of segments; `parts` as in `write_seg`.

    Raises
    ------
    LabelMapRefused
        If the label map holds a value that names no structure.
    """
    values = np.flatnonzero(sum(np.bincount(s.ravel(), minlength=256) for s in label_map.labels))
    unknown = [int(v) for v in values if v and int(v) not in STRUCTURE_OF_VALUE]
    if unknown:
        raise LabelMapRefused(f"the label map holds the values {unknown}, which name no structure.")
    table = PARTS if parts else STRUCTURES
    return [structure for structure in table.values() if set(structure.values) & set(values.tolist())]


def write_seg(
    series: ImageSeries,
    segmentation: Segmentation,
    *,
    software_version: str,
    parts: bool = False,
    by_net: bool = True,
) -> Dataset:
    """One BINARY segment for each structure, body and posterior elements of a vertebra together.

    Segments without a voxel and frames without a segment are left out. The same input gives the same
    bytes: times are those of the source.

    Parameters
    ----------
    series : ImageSeries
    segmentation : Segmentation
        Its label map is on the grid of `series`.
    software_version : str
    parts : bool
        Body and posterior elements of a vertebra as two segments, so that a person can correct each.
    by_net : bool
        Whether artificial intelligence made it, alone; else a person helped.

    Raises
    ------
    LabelMapRefused
        If nothing is labelled, or a value names no structure.
    ValueError
        If the label map is not on the grid of the series.
    """
    label_map = segmentation.label_map
    if not label_map.grid.matches(series.grid, tolerance_mm=0.01):
        raise ValueError("the label map is not on the grid of its series")
    structures = present_structures(label_map, parts=parts)
    if not structures:
        raise LabelMapRefused("the label map is empty: there is nothing to store as a segmentation.")
    sources, model = series.sop_instance_uids, segmentation.model

    def uid(kind: str, *extra: str) -> str:
        variant = (*(("parts",) if parts else ()), *filter(None, [segmentation.variant]))
        return result_uid(kind, sources, model.sha256, software_version, *variant, *extra)

    seg = hd.seg.Segmentation(
        source_images=standins(series),
        pixel_array=_segment_numbers(label_map, structures, series),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[
            _description(number, structure, model, uid("tracking", structure.name), by_net)
            for number, structure in enumerate(structures, start=1)
        ],
        series_instance_uid=uid("seg series"),
        series_number=series_number(series.headers[0], 1),
        sop_instance_uid=uid("seg"),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL_NAME,
        software_versions=software_version,
        device_serial_number="1",
        content_label="SPINE",
        content_description="Vertebrae, sacrum, hip bones, femoral heads",
        content_creator_name="Node^Spine",
        series_description=series_description("Spine SEG (computed)", segmentation.variant),
        transfer_syntax_uid=ExplicitVRLittleEndian,
        omit_empty_frames=True,
    )
    _name_dimensions(seg, uid("dimensions"))
    _pad_with_zero(seg)
    if any(PRIVATE_SCHEME in (s.code.scheme, s.part and s.part.scheme) for s in structures):
        seg.CodingSchemeIdentificationSequence = [scheme_item(software_version)]
    finish(seg, series.headers[0])
    return seg


def tracking_uids(seg: Dataset) -> dict[str, tuple[int, str]]:
    """Segment number and tracking UID of each structure in a SEG written here."""
    return {
        str(item.TrackingID): (int(item.SegmentNumber), str(item.TrackingUID)) for item in seg.SegmentSequence
    }


def _description(
    number: int, structure: Structure, model: ModelIdentity, tracking_uid: str, by_net: bool
) -> hd.seg.SegmentDescription:
    algorithm = hd.AlgorithmIdentificationSequence(
        name=model.name[:64],
        version=model.version[:64],
        family=_sr(ARTIFICIAL_INTELLIGENCE if by_net else MORPHOLOGICAL_OPERATIONS),
        source=MANUFACTURER,
        parameters={"weights_sha256" if by_net else "markers_sha256": model.sha256},
    )
    kind_of = hd.seg.SegmentAlgorithmTypeValues
    description = hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=structure.label,
        segmented_property_category=_sr(ANATOMICAL_STRUCTURE),
        segmented_property_type=_sr(structure.code),
        algorithm_type=kind_of.AUTOMATIC if by_net else kind_of.SEMIAUTOMATIC,
        algorithm_identification=algorithm,
        tracking_uid=tracking_uid,
        tracking_id=structure.name,
        display_color=hd.color.CIELabColor(*structure.cielab),
    )
    kind = description.SegmentedPropertyTypeCodeSequence[0]
    modifier = structure.laterality or structure.part
    if modifier is not None:
        kind.SegmentedPropertyTypeModifierCodeSequence = [code_item(modifier)]
    if structure.code.scheme == PRIVATE_SCHEME:
        kind.EquivalentCodeSequence = [code_item(VERTEBRA)]
    return description


def _segment_numbers(
    label_map: LabelMap, structures: list[Structure], series: ImageSeries
) -> NDArray[np.uint8]:
    """Segment number of each voxel, slices in the order of the stand-ins."""
    table = np.zeros(256, dtype=np.uint8)
    for number, structure in enumerate(structures, start=1):
        table[list(structure.values)] = number
    numbers = np.empty(label_map.grid.shape, dtype=np.uint8)
    for index, frame in enumerate(series.frames):
        # One slice at a time: an index array of the whole volume would be eight times its size.
        numbers[frame.number if series.multiframe else index] = table[label_map.labels[index]]
    return numbers


def _name_dimensions(seg: Dataset, uid: str) -> None:
    for item in seg.DimensionOrganizationSequence:
        item.DimensionOrganizationUID = uid
    for item in seg.DimensionIndexSequence:
        item.DimensionOrganizationUID = uid


def _pad_with_zero(seg: Dataset) -> None:
    """PS3.5 8.1.1: pixel data of odd length end in a zero byte; the encoder puts the character 0 there."""
    used = -(-int(seg.NumberOfFrames) * int(seg.Rows) * int(seg.Columns) // 8)
    if used % 2:
        seg.PixelData = seg.PixelData[:used] + b"\0"


def _sr(code: Code) -> SRCode:
    return SRCode(code.value, code.scheme, code.meaning)
