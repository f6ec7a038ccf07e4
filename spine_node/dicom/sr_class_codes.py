"""The values of classes as codes: those of a vertebra where a class names one, else of our scheme."""

from __future__ import annotations

from spine_node.dicom.codes import level_code, level_of_code
from spine_node.parameters.class_catalogue import CLASSES
from spine_node.parameters.definitions import PRIVATE_SCHEME, ClassDefinition, Code

_PREFIX = {
    "SCHWAB_COR": "SRS_COR",
    "SCHWAB_PI_LL": "SRS_PILL",
    "SCHWAB_SVA": "SRS_SVA",
    "SCHWAB_PT": "SRS_PT",
    "ROUSSOULY": "ROUSS",
    "GAP": "GAP_CAT",
    "LENKE_MAJOR": "LENKE_MAJ",
    "LENKE_LUMBAR": "LENKE_LUM",
    "LENKE_SAGITTAL": "LENKE_SAG",
    "LENKE_KYPHOSIS": "LENKE_KYP",
    "MEYERDING": "MEYERD",
    "HLOSS_GRADE": "HLOSS",
    "STENOSIS": "STENOS",
}
"""Begins the code values of a class where its key is too long for 16 characters; never to be changed."""

_WORDS = {
    "+": "P",
    "++": "PP",
    "-": "M",
    "TL/L": "TLL",
    "PT and TL/L": "PT_TLL",
    "proportioned": "PROP",
    "moderately disproportioned": "MODER",
    "severely disproportioned": "SEVERE",
}
"""Ends the code values of classes that are no short word themselves; never to be changed."""

_LONGEST_MEANING = 64


def value_code(key: str, value: str) -> Code:
    """The concept of a class's value; of a class that names a level, the vertebra's.

    Examples
    --------
    >>> value_code("SCHWAB_PT", "++").value, value_code("SCHWAB_PT", "++").meaning
    ('SRS_PT_PP', '++: above 30 degrees')
    >>> value_code("NEUTRAL_LEVEL", "L3").meaning
    'L3 vertebra'
    """
    return _CODES.get((key, value)) or level_code(value)


def value_of(key: str, value: str, scheme: str) -> str:
    """The value of a class that `value_code` gives this code to."""
    return _VALUE_OF_CODE.get((key, (value, scheme))) or level_of_code(value, scheme) or value


def _code(row: ClassDefinition, value: str, words: str) -> Code:
    meaning = f"{value}: {words}"
    if len(meaning) > _LONGEST_MEANING:
        meaning = f"{row.name}: {value}"
    end = _WORDS.get(value, value.upper())
    return Code(f"{_PREFIX.get(row.key, row.key)}_{end}", PRIVATE_SCHEME, meaning)


_CODES = {
    (row.key, value): _code(row, value, words)
    for row in CLASSES
    for value, words in row.values
    if value != "level"
}
_VALUE_OF_CODE = {(key, (code.value, code.scheme)): value for (key, value), code in _CODES.items()}
