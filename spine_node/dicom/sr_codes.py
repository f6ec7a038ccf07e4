"""The concepts a report uses beside those of the catalogue, and how its words become codes and text."""

from __future__ import annotations

import unicodedata

from pydicom.sr.coding import Code as SRCode

from spine_node.dicom.codes import LEFT, RIGHT
from spine_node.parameters.catalogue import (
    DEFINITIONS,
    HIP_FRAME,
    LOCAL_FRAME,
    P_FRAME,
    PRIVATE_SCHEME,
    Code,
)

SITE_OF: dict[str, Code] = {
    "upper": Code("264217000", "SCT", "Superior"),
    "lower": Code("261089000", "SCT", "Inferior"),
    "apex": Code("APEX", PRIVATE_SCHEME, "Apex of curve"),
}
"""Topographical modifier of a finding site for each end of a curve."""

SIDES: dict[str, Code] = {"left": LEFT, "right": RIGHT}

PURPOSE_OF_LINE: dict[str, Code] = {
    "arm": Code("121223", "DCM", "Arm of angle"),
    "centre": Code("128137", "DCM", "Geometric Centerpoint"),
    "axis": Code("121225", "DCM", "Vector"),
    "plumb": Code("LN_PLUMB", PRIVATE_SCHEME, "Plumb line"),
}
"""Concept of the coordinates of each kind of line."""

METHOD_OF_FRAME: dict[str, Code] = {
    P_FRAME: Code("M_PFRAME", PRIVATE_SCHEME, "Projected in the patient frame"),
    LOCAL_FRAME: Code("M_LOCAL", PRIVATE_SCHEME, "In the vertebra's own transverse plane"),
    HIP_FRAME: Code("M_HIPAXIS", PRIVATE_SCHEME, "In the plane across the hip axis"),
}
"""Measurement method by the catalogue's frames: definitions differ by more than 10 degrees."""

FRAME = Code("QC_FRAME", PRIVATE_SCHEME, "Frame of the measurements")
FRAMES: dict[str, Code] = {
    "PATIENT": Code("FRAME_PATIENT", PRIVATE_SCHEME, "Patient frame: vertical and femoral heads"),
    "SCANNER": Code("FRAME_SCANNER", PRIVATE_SCHEME, "Scanner frame: estimated values"),
}
VERTICAL = Code("QC_VERTICAL", PRIVATE_SCHEME, "How the vertical is known")
LEVEL_IDENTIFICATION = Code("QC_LEVELS", PRIVATE_SCHEME, "Level identification")
LEVELS_CERTAIN = Code("LEVELS_CERTAIN", PRIVATE_SCHEME, "Levels certain")
LEVELS_UNCERTAIN = Code("LEVELS_UNCERTAIN", PRIVATE_SCHEME, "Levels uncertain: to be checked")
LEVELS_FIXED = Code("LEVELS_FIXED", PRIVATE_SCHEME, "Levels fixed by a person")
LEVEL_MARGIN = Code("QC_LEVEL_MARGIN", PRIVATE_SCHEME, "Margin of the level identification")
COMMENT = Code("121106", "DCM", "Comment")
NOT_ATTEMPTED = Code("114007", "DCM", "Measurement not attempted")
QUALITATIVE = Code("C0034375", "UMLS", "Qualitative Evaluations")
STANDING = (
    (Code("113743", "DCM", "Patient Orientation"), Code("C86043", "NCIt", "erect")),
    (Code("113744", "DCM", "Patient Orientation Modifier"), Code("10904000", "SCT", "standing")),
    (
        Code("130324", "DCM", "Functional condition present during acquisition"),
        Code("87731000", "SCT", "Weight bearing"),
    ),
)
"""What is said of a patient who is declared standing (CID 19, 20, 91); of any other, only words are."""

UNCERTAINTIES = (
    Code("371886008", "SCT", "+, range of upper measurement uncertainty"),
    Code("371885007", "SCT", "-, range of lower measurement uncertainty"),
)
"""The same number twice, up and down: TID 310 has no concept for both."""


_ASCII = {"°": " deg", "±": "+/-", "–": "-", "—": "-", "≤": "<=", "≥": ">=", "×": "x", "µ": "u"}


def per(key: str) -> str:
    """Whether a parameter is one of the spine, of each curve or of each vertebra."""
    return DEFINITIONS[key].per if key in DEFINITIONS else "spine"


def code_of(key: str) -> Code:
    """The concept of a parameter."""
    return DEFINITIONS[key].code if key in DEFINITIONS else Code(key[:16], PRIVATE_SCHEME, key[:64])


def sr(code: Code) -> SRCode:
    """A catalogue code in the words of the SR library."""
    return SRCode(code.value, code.scheme, code.meaning)


def ascii_text(text: str) -> str:
    """Text that every character set can hold, so that the patient's own stays as it was."""
    for sign, plain in _ASCII.items():
        text = text.replace(sign, plain)
    bare = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return bare.encode("ascii", "replace").decode()
