"""What a Segmentation says of each segment: name, codes, side, colour, tracking, and who drew it."""

from __future__ import annotations

import highdicom as hd
from pydicom.sr.coding import Code as SRCode

from spine_node.dicom.codes import (
    ANATOMICAL_STRUCTURE,
    ARTIFICIAL_INTELLIGENCE,
    MORPHOLOGICAL_OPERATIONS,
    VERTEBRA,
    Structure,
    code_item,
)
from spine_node.dicom.identity import MANUFACTURER
from spine_node.parameters.definitions import PRIVATE_SCHEME, Code
from spine_node.segmentation.segmenter import ModelIdentity


def segment_description(
    number: int, structure: Structure, model: ModelIdentity, tracking_uid: str, by_net: bool
) -> hd.seg.SegmentDescription:
    """An item of Segment Sequence (PS3.3 C.8.20.4).

    Parameters
    ----------
    number : int
        From 1.
    structure : Structure
    model : ModelIdentity
        Name, version and SHA-256 go into the algorithm's identification.
    tracking_uid : str
    by_net : bool
        Whether artificial intelligence made it, alone; else a person helped.
    """
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


def _sr(code: Code) -> SRCode:
    return SRCode(code.value, code.scheme, code.meaning)
