"""Whether a header says that the patient stood.

Patient Position (0018,5100) does not count: it has no upright value, and upright devices send HFS.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset

from spine_node.parameters.definitions import Code

ORIENTATION = Code("113743", "DCM", "Patient Orientation")
ORIENTATION_MODIFIER = Code("113744", "DCM", "Patient Orientation Modifier")
FUNCTIONAL_CONDITION = Code("130324", "DCM", "Functional condition present during acquisition")
WEIGHT_BEARING = Code("87731000", "SCT", "Weight bearing")

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

_SITTING = "33586001"
"""Erect and sitting: erect of the trunk."""

_ORIENTATIONS = ("recumbent", "semi-erect", "erect")
"""CID 19: what Patient Orientation may be; all others modify one (CID 20)."""

_WORDS = _UPRIGHT | {(value, "SCT"): words for value, words in _NOT_UPRIGHT.items()}

POSTURE_CODES = (
    *(ORIENTATION, ORIENTATION_MODIFIER, FUNCTIONAL_CONDITION, WEIGHT_BEARING),
    *(Code(value, scheme, words) for (value, scheme), words in _WORDS.items()),
)
"""All that `Posture.codes` may hold."""


@dataclass(frozen=True, slots=True)
class Posture:
    """What the header declares.

    Attributes
    ----------
    standing : bool or None
        None when nothing is declared, or the declarations contradict each other.
    words : str
        For the report.
    codes : tuple of (Code, Code)
        Concept and value of each thing declared that is known here, once.
    """

    standing: bool | None
    words: str
    codes: tuple[tuple[Code, Code], ...] = ()


def posture_of(header: Dataset) -> Posture:
    """The declared posture, from orientation codes first, then the acquisition context.

    References
    ----------
    PS3.3 C.7.6.30 Patient Orientation and Equipment Relationship, CID 19, 20 and 91.
    """
    codes = tuple(dict.fromkeys(_declared(header)))
    values = [value for _, value in codes]
    standing = standing_of((value.value, value.scheme) for value in values)
    up = [value.meaning for value in values if (value.value, value.scheme) in _UPRIGHT]
    down = [value.meaning for value in values if value.scheme == "SCT" and value.value in _NOT_UPRIGHT]
    if down and standing is None:
        return Posture(None, f"posture declared both {' '.join(up)} and {' '.join(down)}", codes)
    said = " ".join(down or up or (value.meaning.lower() for value in values))
    return Posture(standing, f"posture declared {said}" if said else "posture not declared", codes)


def standing_of(values: Iterable[tuple[str, str]]) -> bool | None:
    """What code values and their schemes say together; what is no posture says nothing.

    Examples
    --------
    >>> standing_of([("C86043", "NCIt")]), standing_of([("87731000", "SCT"), ("40199007", "SCT")])
    (True, False)
    """
    said = set(values)
    up = said & _UPRIGHT.keys()
    down = {value for value, scheme in said if scheme == "SCT"} & _NOT_UPRIGHT.keys()
    if up and down and down != {_SITTING}:
        return None
    if down:
        return False
    return True if up or (WEIGHT_BEARING.value, WEIGHT_BEARING.scheme) in said else None


def _declared(header: Dataset) -> Iterator[tuple[Code, Code]]:
    said = [*_codes(header.get("PatientOrientationCodeSequence"))]
    for item in header.get("PatientOrientationCodeSequence") or ():
        said += _codes(item.get("PatientOrientationModifierCodeSequence"))
    said += _codes(header.get("PatientOrientationModifierCodeSequence"))
    for value, scheme in said:
        words = _WORDS.get((value, scheme))
        if words:
            concept = ORIENTATION if words in _ORIENTATIONS else ORIENTATION_MODIFIER
            yield concept, Code(value, scheme, words)
    if _weight_bearing(header):
        yield FUNCTIONAL_CONDITION, WEIGHT_BEARING


def _weight_bearing(header: Dataset) -> bool:
    for item in header.get("AcquisitionContextSequence") or ():
        names = _codes(item.get("ConceptNameCodeSequence"))
        values = _codes(item.get("ConceptCodeSequence"))
        if (FUNCTIONAL_CONDITION.value, FUNCTIONAL_CONDITION.scheme) in names and (
            WEIGHT_BEARING.value,
            WEIGHT_BEARING.scheme,
        ) in values:
            return True
    return False


def _codes(sequence: Sequence[Dataset] | None) -> list[tuple[str, str]]:
    return [(str(i.get("CodeValue", "")), str(i.get("CodingSchemeDesignator", ""))) for i in sequence or ()]
