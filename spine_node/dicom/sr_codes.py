"""The concepts a report uses beside those of the catalogues, and how its words become codes and text."""

from __future__ import annotations

import unicodedata

from pydicom.sr.coding import Code as SRCode

from spine_node.dicom.codes import LEFT, RIGHT
from spine_node.dicom.posture import POSTURE_CODES
from spine_node.parameters.catalogue import DEFINITIONS
from spine_node.parameters.class_catalogue import CLASS_DEFINITIONS
from spine_node.parameters.definitions import (
    DISC_FRAME,
    HIP_FRAME,
    LOCAL_FRAME,
    OWN_FRAME,
    P_FRAME,
    PRIVATE_SCHEME,
    SCANNER_FRAME,
    SPACE,
    ClassDefinition,
    Code,
    Definition,
)

UNITS: dict[str, Code] = {
    "deg": Code("deg", "UCUM", "Degree"),
    "mm": Code("mm", "UCUM", "mm"),
    "cm3": Code("cm3", "UCUM", "cubic centimeter"),
    "%": Code("%", "UCUM", "Percent"),
    "1": Code("1", "UCUM", "no units"),
    "[hnsf'U]": Code("[hnsf'U]", "UCUM", "Hounsfield unit"),
}
"""Units of the catalogue, in the words of CID 7181 and 7183."""

SITE_OF: dict[str, Code] = {
    "upper": Code("264217000", "SCT", "Superior"),
    "lower": Code("261089000", "SCT", "Inferior"),
    "apex": Code("APEX", PRIVATE_SCHEME, "Apex of curve"),
}
"""Topographical modifier of a finding site for each end of a curve."""

END_OF: dict[str, Code] = {
    "upper": Code("END_UPPER", PRIVATE_SCHEME, "Upper end vertebra"),
    "apex": Code("APEX_VERTEBRA", PRIVATE_SCHEME, "Apical vertebra"),
    "lower": Code("END_LOWER", PRIVATE_SCHEME, "Lower end vertebra"),
}
"""What a curve's group says of itself, beside its numbers."""

SIDES: dict[str, Code] = {"left": LEFT, "right": RIGHT}
LATERALITY = Code("272741003", "SCT", "Laterality")
TOPOGRAPHICAL_MODIFIER = Code("106233006", "SCT", "Topographical modifier")
FINDING_SITE = Code("363698007", "SCT", "Finding Site")

PELVIS = Code("118645006", "SCT", "Pelvis")
OF_THE_PELVIS = ("PELVOBL", "PELVOBL_CREST", "PELVOBL_S1", "FHHD")
"""Numbers of the whole spine's group that are told of the pelvis: which of its sides is higher."""

PURPOSE_OF_LINE: dict[str, Code] = {
    "arm": Code("121223", "DCM", "Arm of angle"),
    "centre": Code("128137", "DCM", "Geometric Centerpoint"),
    "axis": Code("121225", "DCM", "Vector"),
    "plumb": Code("LN_PLUMB", PRIVATE_SCHEME, "Plumb line"),
    "other": Code("LN_OTHER", PRIVATE_SCHEME, "Line"),
}
"""Concept of the coordinates of each kind of line."""

METHOD = Code("370129005", "SCT", "Measurement Method")
METHOD_OF_FRAME: dict[str, Code] = {
    P_FRAME: Code("M_PFRAME", PRIVATE_SCHEME, "Projected in the patient frame"),
    LOCAL_FRAME: Code("M_LOCAL", PRIVATE_SCHEME, "In the vertebra's own transverse plane"),
    OWN_FRAME: Code("M_OWN", PRIVATE_SCHEME, "In the vertebra's own axes"),
    DISC_FRAME: Code("M_DISC", PRIVATE_SCHEME, "In the disc's own axes"),
    HIP_FRAME: Code("M_HIPAXIS", PRIVATE_SCHEME, "In the plane across the hip axis"),
    SCANNER_FRAME: Code("M_SCANNER", PRIVATE_SCHEME, "Patient frame against the scanner's axes"),
    SPACE: Code("112189", "DCM", "Three-dimensional method"),
    "vertical plane of maximum curvature": Code(
        "M_PMC", PRIVATE_SCHEME, "In the vertical plane of maximum curvature"
    ),
    "sum of voxels": Code("126030", "DCM", "Sum of segmented voxel method for volume"),
    "the image's own grey scale": Code("M_GREY", PRIVATE_SCHEME, "Grey scale of the image, not calibrated"),
}
"""Measurement method by the catalogue's frames: definitions differ by more than 10 degrees."""

DERIVATION = Code("121401", "DCM", "Derivation")
ESTIMATED = Code("414135002", "SCT", "Estimated")
FRAMES_OF_THE_PATIENT = (P_FRAME, LOCAL_FRAME)
"""Numbers in these are estimates where the patient frame is not known."""

FRAME = Code("QC_FRAME", PRIVATE_SCHEME, "Frame of the measurements")
FRAMES: dict[str, Code] = {
    "PATIENT": Code("FRAME_PATIENT", PRIVATE_SCHEME, "Patient frame: vertical and femoral heads"),
    "SACRUM": Code("FRAME_SACRUM", PRIVATE_SCHEME, "Frame of the sacrum: estimated values"),
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
FAILED = Code("114006", "DCM", "Measurement failure")
INDETERMINATE = Code("114011", "DCM", "Value indeterminate")
NO_VALUE = (NOT_ATTEMPTED, FAILED, INDETERMINATE)
"""Numeric value qualifiers (CID 42) of what could not be measured."""

QUALITATIVE = Code("C0034375", "UMLS", "Qualitative Evaluations")
MEASUREMENT_GROUP = Code("125007", "DCM", "Measurement Group")
IMAGING_MEASUREMENTS = Code("126010", "DCM", "Imaging Measurements")
OF_POSTURE = POSTURE_CODES
"""What is said of the posture: what the source declares (CID 19, 20, 91)."""

UNCERTAINTIES = (
    Code("371886008", "SCT", "+, range of upper measurement uncertainty"),
    Code("371885007", "SCT", "-, range of lower measurement uncertainty"),
)
"""The same number twice, up and down: TID 310 has no concept for both."""

PRECISION = Code("QC_PRECISION", PRIVATE_SCHEME, "Precision of the measurement")
IMPRECISE = Code("PRECISION_LOW", PRIVATE_SCHEME, "95 % interval wider than the clinical tolerance")

CLASS_INPUTS = Code("CLASS_INPUTS", PRIVATE_SCHEME, "Derived from")
CERTAINTY = Code("CLASS_CERTAINTY", PRIVATE_SCHEME, "Certainty of the class")
BORDERLINE = Code("CLASS_BORDERLINE", PRIVATE_SCHEME, "Borderline: another class is within the 95 % interval")
PROVISIONAL = Code("CLASS_PROVISION", PRIVATE_SCHEME, "Provisional: needs more than this examination")

LINES = Code("QC_LINES", PRIVATE_SCHEME, "Lines of the measurements")

NORMAL_LIMITS = (
    Code("385524004", "SCT", "Normal Range Lower Limit"),
    Code("371933006", "SCT", "Normal Range Upper Limit"),
)
NORMAL_DESCRIPTION = Code("121407", "DCM", "Normal Range description")
NORMAL_AUTHORITY = Code("121408", "DCM", "Normal Range Authority")

MEANT: dict[Code, str] = {
    FRAME: "The frame that projected numbers of the report are told in",
    FRAMES["PATIENT"]: "z against gravity, x along the horizontal part from right to left femoral head",
    FRAMES["SACRUM"]: "z against gravity, x from the symmetry of the sacrum: no two femoral heads were seen",
    FRAMES["SCANNER"]: "The axes of the scanner: neither femoral heads nor a symmetry were seen",
    VERTICAL: "What the direction of gravity was taken from, in words",
    LEVEL_IDENTIFICATION: "How sure it is that every vertebra has its right name",
    LEVELS_CERTAIN: "The naming leads clearly over the next best one",
    LEVELS_UNCERTAIN: "Another naming of the whole spine is nearly as likely: a person should check",
    LEVELS_FIXED: "A person has said which vertebra is which",
    LEVEL_MARGIN: "Lead over the next best naming in nats, that naming, and what a person has fixed",
    PRECISION: "Whether the uncertainty of a number serves the clinic",
    IMPRECISE: "The half width of the 95 % interval exceeds the tolerance of the parameter",
    CLASS_INPUTS: "Keys and numbers that a class was derived from",
    CERTAINTY: "What stands against taking a class as settled",
    BORDERLINE: "An input lies so near to a cut that its 95 % interval reaches another class",
    PROVISIONAL: "More than a standing examination is needed to settle the class",
    LINES: "Why a report holds no coordinates of its measurements",
}
"""What our codes mean that stand in no catalogue."""

ALGORITHM_NAME = Code("111001", "DCM", "Algorithm Name")
ALGORITHM_VERSION = Code("111003", "DCM", "Algorithm Version")
ALGORITHM_PARAMETERS = Code("111002", "DCM", "Algorithm Parameters")

_ASCII = {"°": " deg", "±": "+/-", "–": "-", "—": "-", "≤": "<=", "≥": ">=", "×": "x", "µ": "u"}


def row_of(key: str) -> Definition | ClassDefinition | None:
    """The row of either catalogue."""
    return DEFINITIONS.get(key) or CLASS_DEFINITIONS.get(key)


def code_of(key: str) -> Code:
    """The concept of a parameter or class."""
    row = row_of(key)
    return row.code if row else Code(key[:16], PRIVATE_SCHEME, key[:64])


def key_of(value: str, scheme: str) -> str:
    """The parameter or class that `code_of` gives this code to."""
    return _KEY_OF_CODE.get((value, scheme), value)


def place_in_catalogues(key: str) -> int:
    """For sorting: parameters in reporting order, then classes, then what neither catalogue knows."""
    return _PLACE.get(key, len(_PLACE))


def sr(code: Code) -> SRCode:
    """A catalogue code in the words of the SR library."""
    return SRCode(code.value, code.scheme, code.meaning)


def ascii_text(text: str) -> str:
    """Text that every character set can hold, so that the patient's own stays as it was."""
    if text.isascii():
        return text
    for sign, plain in _ASCII.items():
        text = text.replace(sign, plain)
    bare = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return bare.encode("ascii", "replace").decode()


_ROWS: tuple[Definition | ClassDefinition, ...] = (*DEFINITIONS.values(), *CLASS_DEFINITIONS.values())
_PLACE = {row.key: i for i, row in enumerate(_ROWS)}
_KEY_OF_CODE = {(row.code.value, row.code.scheme): row.key for row in _ROWS}
