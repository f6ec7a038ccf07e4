"""Whether a header says that the patient stood.

Patient Position (0018,5100) does not count: it has no upright value, and upright devices send HFS.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset

_UPRIGHT = {("C86043", "NCIt"): "erect", ("10904000", "SCT"): "standing"}
"""CID 19 and 20 codes of a standing patient."""

_NOT_UPRIGHT = {
    "102538003": "recumbent",
    "102539006": "semi-erect",
    "40199007": "supine",
    "1240000": "prone",
    "34026001": "semi-prone",
    "33586001": "sitting",
    "55864004": "kneeling",
    "32185000": "lateral decubitus",
    "102536004": "left lateral decubitus",
    "102535000": "right lateral decubitus",
    "14205002": "lithotomy",
    "34106002": "Trendelenburg",
    "26527006": "inverse Trendelenburg",
}
"""SNOMED CT codes of CID 19 and 20 of patients who lie, sit or kneel."""

_FUNCTIONAL_CONDITION = ("130324", "DCM")
_WEIGHT_BEARING = ("87731000", "SCT")


@dataclass(frozen=True, slots=True)
class Posture:
    """What the header declares.

    Attributes
    ----------
    standing : bool or None
        None when nothing is declared, or the declarations contradict each other.
    words : str
        For the report.
    """

    standing: bool | None
    words: str


def posture_of(header: Dataset) -> Posture:
    """The declared posture, from orientation codes first, then the acquisition context.

    References
    ----------
    PS3.3 C.7.6.30 Patient Orientation and Equipment Relationship, CID 19, 20 and 91.
    """
    said = [*_codes(header.get("PatientOrientationCodeSequence"))]
    for item in header.get("PatientOrientationCodeSequence") or ():
        said += _codes(item.get("PatientOrientationModifierCodeSequence"))
    said += _codes(header.get("PatientOrientationModifierCodeSequence"))
    up = [_UPRIGHT[code] for code in said if code in _UPRIGHT]
    down = [_NOT_UPRIGHT[value] for value, scheme in said if scheme == "SCT" and value in _NOT_UPRIGHT]
    if up and down and down != ["sitting"]:
        return Posture(None, f"posture declared both {' '.join(up)} and {' '.join(down)}")
    if down:
        return Posture(False, f"posture declared {' '.join(down)}")
    if up:
        return Posture(True, f"posture declared {' '.join(up)}")
    if _weight_bearing(header):
        return Posture(True, "posture declared weight bearing")
    return Posture(None, "posture not declared")


def _weight_bearing(header: Dataset) -> bool:
    for item in header.get("AcquisitionContextSequence") or ():
        names = _codes(item.get("ConceptNameCodeSequence"))
        values = _codes(item.get("ConceptCodeSequence"))
        if _FUNCTIONAL_CONDITION in names and _WEIGHT_BEARING in values:
            return True
    return False


def _codes(sequence: Sequence[Dataset] | None) -> list[tuple[str, str]]:
    return [(str(i.get("CodeValue", "")), str(i.get("CodingSchemeDesignator", ""))) for i in sequence or ()]
