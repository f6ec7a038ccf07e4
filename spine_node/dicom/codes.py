"""Structures of the label map as DICOM codes, segment names and colours. Knows no pixels.

Vertebrae are SNOMED CT concepts of CID 7603, discs those of CID 7604; T13, L6 and the discs beside them
have none there and get private codes, a vertebra with the generic one as its equivalent. In a result a
vertebra's body and posterior elements are one structure; in a draft for annotators they are two
(`PARTS`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from pydicom.dataset import Dataset

from spine_node.anatomy.levels import LEVELS, POSTERIOR_OFFSET, STRUCTURE_VALUES, VERTEBRA_VALUES
from spine_node.parameters.definitions import PRIVATE_SCHEME, Code

PRIVATE_SCHEME_UID = "2.25.47559053379685357152343765942546222276"
"""Coding Scheme UID of `PRIVATE_SCHEME`; from a random UUID (PS3.5 B.2)."""

PRIVATE_SCHEME_NAME = "Spine Node codes for the standing spine"

LEFT = Code("7771000", "SCT", "Left")
RIGHT = Code("24028007", "SCT", "Right")
SPINE = Code("421060004", "SCT", "Vertebral column")
VERTEBRA = Code("51282000", "SCT", "Vertebra")
INTERVERTEBRAL_DISC = Code("360499006", "SCT", "Intervertebral disc structure")
VERTEBRAL_BODY = Code("VERTEBRAL_BODY", PRIVATE_SCHEME, "Vertebral body")
VERTEBRAL_ARCH = Code("40265002", "SCT", "Arch of vertebra")
ANATOMICAL_STRUCTURE = Code("91723000", "SCT", "Anatomical Structure")
MORPHOLOGICAL_OPERATIONS = Code("123104", "DCM", "Morphological Operations")
ARTIFICIAL_INTELLIGENCE = Code("123110", "DCM", "Artificial Intelligence")
CONE_BEAM_CT = Code("717193008", "SCT", "Cone beam computed tomography")

_VERTEBRA_SCT = {
    "C1": "14806007", "C2": "39976000", "C3": "113205007", "C4": "5329002", "C5": "36978003",
    "C6": "36054005", "C7": "87391001",
    "T1": "64864005", "T2": "53733008", "T3": "1626008", "T4": "73071006", "T5": "56401006",
    "T6": "45296009", "T7": "62487009", "T8": "11068009", "T9": "82687006", "T10": "7610001",
    "T11": "12989004", "T12": "23215003",
    "L1": "66794005", "L2": "14293000", "L3": "36470004", "L4": "11994002", "L5": "49668003",
}  # fmt: skip
"""SNOMED CT concept of each vertebra (PS3.16 CID 7603)."""

_S1_SCT = "65985001"
"""Structure of first sacral vertebra: in no context group of DICOM."""

_DISC_SCT = {
    "C2/C3": "1078209008", "C3/C4": "58820006", "C4/C5": "49400002", "C5/C6": "73959003",
    "C6/C7": "75095006", "C7/T1": "37414007",
    "T1/T2": "40908007", "T2/T3": "6004007", "T3/T4": "2620004", "T4/T5": "82965004",
    "T5/T6": "72692000", "T6/T7": "74401007", "T7/T8": "28693002", "T8/T9": "9188009",
    "T9/T10": "113209001", "T10/T11": "34959001", "T11/T12": "1537001", "T12/L1": "76206002",
    "L1/L2": "80064006", "L2/L3": "67459009", "L3/L4": "62551000", "L4/L5": "84020006",
    "L5/S1": "715056000",
}  # fmt: skip
"""SNOMED CT concept of each disc (PS3.16 CID 7604)."""

CIELab = tuple[float, float, float]
"""L* 0..100, a*, b*."""


def _cielab(lightness: float, chroma: float, hue_deg: float) -> CIELab:
    angle = math.radians(hue_deg)
    return (lightness, round(chroma * math.cos(angle), 1), round(chroma * math.sin(angle), 1))


_HUES_DEG = {"C": (110, 150), "T": (262, 325), "L": (50, 90)}
"""Of the first and the last vertebra of a region: cervical green, thoracic blue to violet, lumbar amber."""

_TONES = ((76, 34), (48, 46))
"""Lightness and chroma of odd and even vertebrae: neighbours differ also where hue is not seen, all are in
the gamut of a screen."""


def _vertebra_cielab(level: str) -> CIELab:
    region, number = level[0], int(level[1:])
    first, last = _HUES_DEG[region]
    count = sum(other.startswith(region) for other in LEVELS)
    return _cielab(*_TONES[1 - number % 2], first + (last - first) * (number - 1) / (count - 1))


_WITHOUT_LEVEL: dict[str, tuple[str, Code, Code | None, CIELab]] = {
    "sacrum": ("Sacrum", Code("54735007", "SCT", "Sacrum"), None, _cielab(60, 55, 25)),
    # No hip bone concept is in a DICOM context group; the pelvis with its side is (CID 7151).
    "hip_left": ("Hip bone left", Code("118645006", "SCT", "Pelvis"), LEFT, _cielab(74, 40, 345)),
    "hip_right": ("Hip bone right", Code("118645006", "SCT", "Pelvis"), RIGHT, _cielab(50, 50, 345)),
    "femoral_head_left": (
        "Femoral head left",
        Code("2812003", "SCT", "Femoral head"),
        LEFT,
        _cielab(80, 38, 195),
    ),
    "femoral_head_right": (
        "Femoral head right",
        Code("2812003", "SCT", "Femoral head"),
        RIGHT,
        _cielab(54, 32, 195),
    ),
}
"""Label, code, side and colour; of a pair the left one is the lighter."""


@dataclass(frozen=True, slots=True)
class Structure:
    """One segment in waiting.

    Attributes
    ----------
    name : str
        A level ("L1") or a key of `levels.STRUCTURE_VALUES`.
    label : str
        For people, at most 64 characters.
    values : tuple of int
        Its values in a label map.
    code : Code
    laterality : Code or None
    cielab : tuple of float
    part : Code or None
        Body or arch, where the two are structures of their own.
    """

    name: str
    label: str
    values: tuple[int, ...]
    code: Code
    laterality: Code | None
    cielab: CIELab
    part: Code | None = None

    @property
    def rgb(self) -> tuple[float, float, float]:
        """The same colour in sRGB, 0..1."""
        return _srgb(self.cielab)


def level_code(level: str) -> Code:
    """The concept of a vertebra ("L4", "S1") or of the disc between two ("L4/L5").

    Examples
    --------
    >>> level_code("L5/S1").value, level_code("L5/L6").scheme
    ('715056000', '99SPINE3D')
    """
    if level in _STANDARD:
        return _STANDARD[level]
    if "/" in level:
        return Code(level, PRIVATE_SCHEME, f"{level} disc")
    return Code(level, PRIVATE_SCHEME, f"{level} vertebra (supernumerary)")


def level_of_code(value: str, scheme: str) -> str | None:
    """The level that `level_code` gives this code to; None for a code of another scheme or structure."""
    return value if scheme == PRIVATE_SCHEME else LEVEL_OF_CODE.get((value, scheme))


_STANDARD: dict[str, Code] = (
    {level: Code(value, "SCT", f"{level} vertebra") for level, value in _VERTEBRA_SCT.items()}
    | {"S1": Code(_S1_SCT, "SCT", "S1 vertebra")}
    | {level: Code(value, "SCT", f"{level} disc") for level, value in _DISC_SCT.items()}
)


def _structures() -> dict[str, Structure]:
    table = {
        level: Structure(
            name=level,
            label=level,
            values=(VERTEBRA_VALUES[level], VERTEBRA_VALUES[level] + POSTERIOR_OFFSET),
            code=level_code(level),
            laterality=None,
            cielab=_vertebra_cielab(level),
        )
        for level in LEVELS
    }
    for name, (label, code, laterality, cielab) in _WITHOUT_LEVEL.items():
        table[name] = Structure(name, label, (STRUCTURE_VALUES[name],), code, laterality, cielab)
    return table


def _parts() -> dict[str, Structure]:
    """Body and posterior elements apart, the latter a lighter shade."""
    table = {}
    for structure in _structures().values():
        if structure.name not in VERTEBRA_VALUES:
            table[structure.name] = structure
            continue
        name, (body, posterior) = structure.name, structure.values
        light, a, b = structure.cielab
        table[f"{name}_body"] = replace(
            structure, name=f"{name}_body", label=f"{name} body", values=(body,), part=VERTEBRAL_BODY
        )
        table[f"{name}_posterior"] = replace(
            structure,
            name=f"{name}_posterior",
            label=f"{name} posterior elements",
            values=(posterior,),
            cielab=(light + 12, 0.55 * a, 0.55 * b),
            part=VERTEBRAL_ARCH,
        )
    return table


def _srgb(cielab: CIELab) -> tuple[float, float, float]:
    """IEC 61966-2-1 from CIELab with the D50 white of the DICOM profile connection space."""
    lightness, a, b = cielab
    y = (lightness + 16) / 116
    x, y, z = (
        _cube(t) * w for t, w in zip((y + a / 500, y, y - b / 200), (0.9642, 1.0, 0.8249), strict=True)
    )
    linear = (
        3.1339 * x - 1.6169 * y - 0.4906 * z,
        -0.9788 * x + 1.9161 * y + 0.0335 * z,
        0.0719 * x - 0.2290 * y + 1.4052 * z,
    )
    r, g, b = (_gamma(min(max(v, 0.0), 1.0)) for v in linear)
    return r, g, b


def _cube(t: float) -> float:
    return float(t**3) if t > 6 / 29 else 3 * (6 / 29) ** 2 * (t - 4 / 29)


def _gamma(v: float) -> float:
    return 12.92 * v if v <= 0.0031308 else float(1.055 * v ** (1 / 2.4) - 0.055)


STRUCTURES: dict[str, Structure] = _structures()
"""Every structure, vertebrae first, in the order of segments."""

PARTS: dict[str, Structure] = _parts()
"""The same with the body and the posterior elements of each vertebra apart, for correction by hand."""

STRUCTURE_OF_VALUE: dict[int, str] = {v: s.name for s in STRUCTURES.values() for v in s.values}
"""The structure that a label value belongs to."""

LEVEL_OF_CODE: dict[tuple[str, str], str] = {
    (level_code(level).value, level_code(level).scheme): level for level in (*LEVELS, *_STANDARD)
}
"""The level of a vertebra's or disc's code value and scheme."""


def code_item(code: Code) -> Dataset:
    """An item of a Code Sequence (PS3.3 8.8)."""
    item = Dataset()
    item.CodeValue = code.value
    item.CodingSchemeDesignator = code.scheme
    item.CodeMeaning = code.meaning
    return item


def scheme_item(version: str) -> Dataset:
    """Item of Coding Scheme Identification Sequence (0008,0110) that says whose private codes these are."""
    item = Dataset()
    item.CodingSchemeDesignator = PRIVATE_SCHEME
    item.CodingSchemeUID = PRIVATE_SCHEME_UID
    item.CodingSchemeName = PRIVATE_SCHEME_NAME
    item.CodingSchemeVersion = version
    item.CodingSchemeResponsibleOrganization = "Spine Node"
    return item
