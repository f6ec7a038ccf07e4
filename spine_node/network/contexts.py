"""What the node accepts over an association: SOP classes and transfer syntaxes.

The SCP stores bytes and decodes no pixels, so every syntax that `dicom.voxels` can decode later is
accepted. Big endian is not: it was retired in 2006, and offered beside little endian by all who know it.
"""

from __future__ import annotations

from pynetdicom.presentation import PresentationContext, build_context

VERIFICATION = "1.2.840.10008.1.1"
PATIENT_ROOT, STUDY_ROOT = "1.2.840.10008.5.1.4.1.2.1", "1.2.840.10008.5.1.4.1.2.2"
"""Query/Retrieve information models: their SOP classes are these with .1 (FIND), .2 (MOVE) or .3 (GET)."""

PATIENT_ROOT_FIND, STUDY_ROOT_FIND = f"{PATIENT_ROOT}.1", f"{STUDY_ROOT}.1"
PATIENT_ROOT_MOVE, STUDY_ROOT_MOVE = f"{PATIENT_ROOT}.2", f"{STUDY_ROOT}.2"
PATIENT_ROOT_GET, STUDY_ROOT_GET = f"{PATIENT_ROOT}.3", f"{STUDY_ROOT}.3"
QUERY_RETRIEVE = (
    PATIENT_ROOT_FIND, STUDY_ROOT_FIND,
    PATIENT_ROOT_MOVE, STUDY_ROOT_MOVE,
    PATIENT_ROOT_GET, STUDY_ROOT_GET,
)  # fmt: skip

STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"
"""SOP class of the push model, and its well-known instance."""

IMAGE_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.2": "CT Image Storage",
    "1.2.840.10008.5.1.4.1.1.2.1": "Enhanced CT Image Storage",
    "1.2.840.10008.5.1.4.1.1.2.2": "Legacy Converted Enhanced CT Image Storage",
    "1.2.840.10008.5.1.4.1.1.13.1.1": "X-Ray 3D Angiographic Image Storage",
    "1.2.840.10008.5.1.4.1.1.13.1.2": "X-Ray 3D Craniofacial Image Storage",
}
"""SOP classes the node stores: every way a CBCT device writes a volume (PS3.6 A)."""

REPORT_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.88.34": "Comprehensive 3D SR Storage",
    "1.2.840.10008.5.1.4.1.1.88.33": "Comprehensive SR Storage",
    "1.2.840.10008.5.1.4.1.1.88.22": "Enhanced SR Storage",
}
"""SOP classes that our structured reports have (PS3.6 A), the fullest first."""

IMPLICIT_LITTLE, EXPLICIT_LITTLE = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
DEFLATED_LITTLE = "1.2.840.10008.1.2.1.99"

_RLE = "1.2.840.10008.1.2.5"
_AS_WRITTEN = (EXPLICIT_LITTLE, IMPLICIT_LITTLE)

RESULT_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.66.4": _AS_WRITTEN,  # Segmentation
    "1.2.840.10008.5.1.4.1.1.66.7": (_RLE,),  # Label Map Segmentation
    **dict.fromkeys(REPORT_CLASSES, _AS_WRITTEN),
    "1.2.840.10008.5.1.4.1.1.88.59": _AS_WRITTEN,  # Key Object Selection Document
    "1.2.840.10008.5.1.4.1.1.7": _AS_WRITTEN,  # Secondary Capture Image
    "1.2.840.10008.5.1.4.1.1.7.4": _AS_WRITTEN,  # Multi-frame True Color Secondary Capture Image
    "1.2.840.10008.5.1.4.1.1.11.1": _AS_WRITTEN,  # Grayscale Softcopy Presentation State
    "1.2.840.10008.5.1.4.1.1.104.1": _AS_WRITTEN,  # Encapsulated PDF
    "1.2.840.10008.5.1.4.1.1.104.3": _AS_WRITTEN,  # Encapsulated STL
}
"""SOP classes that our results have, and the syntaxes that C-GET can send them in, their own first."""

TRANSFER_SYNTAXES = {
    EXPLICIT_LITTLE: "Explicit VR Little Endian",
    IMPLICIT_LITTLE: "Implicit VR Little Endian",
    DEFLATED_LITTLE: "Deflated Explicit VR Little Endian",
    "1.2.840.10008.1.2.4.57": "JPEG Lossless (Process 14)",
    "1.2.840.10008.1.2.4.70": "JPEG Lossless (Process 14, Selection Value 1)",
    "1.2.840.10008.1.2.4.80": "JPEG-LS Lossless",
    "1.2.840.10008.1.2.4.81": "JPEG-LS Near-Lossless",
    "1.2.840.10008.1.2.4.90": "JPEG 2000 Lossless",
    "1.2.840.10008.1.2.4.91": "JPEG 2000",
    "1.2.840.10008.1.2.4.201": "High-Throughput JPEG 2000 Lossless",
    "1.2.840.10008.1.2.4.202": "High-Throughput JPEG 2000 Lossless RPCL",
    "1.2.840.10008.1.2.4.203": "High-Throughput JPEG 2000",
    "1.2.840.10008.1.2.5": "RLE Lossless",
}
"""Transfer syntaxes the node stores as received; of several offered in one context the first here wins."""


def storage_contexts() -> list[PresentationContext]:
    """The contexts a receiving node supports: every image class in every syntax, and verification."""
    contexts = [build_context(uid, list(TRANSFER_SYNTAXES)) for uid in IMAGE_CLASSES]
    return [*contexts, build_context(VERIFICATION, [EXPLICIT_LITTLE, IMPLICIT_LITTLE])]
