"""A class, or what could not be had, as an evaluation in the group it belongs to; and back.

An evaluation is a CODE item: its concept is the row of the catalogue, its value a code of ours, a
vertebra, or "measurement not attempted". What a class was derived from is text: its inputs are keys and
numbers, some with levels, and no concept exists for "offset" or "half canal".
"""

from __future__ import annotations

from collections.abc import Iterator

from pydicom.dataset import Dataset

from spine_node.dicom.codes import level_code, level_of_code
from spine_node.dicom.sr_codes import COMMENT, END_OF, NOT_ATTEMPTED, code_of, key_of
from spine_node.dicom.sr_items import Items, children_of, name_of, pair, text_of, value_of
from spine_node.dicom.sr_sites import places, sites
from spine_node.parameters.class_catalogue import CLASSES
from spine_node.parameters.definitions import PRIVATE_SCHEME, ClassDefinition, Code
from spine_node.parameters.model import Classification, NotMeasured

INPUTS = Code("CLASS_INPUTS", PRIVATE_SCHEME, "Derived from")
CERTAINTY = Code("CLASS_CERTAINTY", PRIVATE_SCHEME, "Certainty of the class")
BORDERLINE = Code("CLASS_BORDERLINE", PRIVATE_SCHEME, "Borderline: another class is within the 95 % interval")
PROVISIONAL = Code("CLASS_PROVISION", PRIVATE_SCHEME, "Provisional: needs more than this examination")

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


def class_item(found: Classification, items: Items) -> Dataset:
    """CODE of one class."""
    return items.coded(
        code_of(found.key),
        value_code(found.key, found.value),
        "CONTAINS",
        [
            *sites(found, items),
            *_certainty(found, items),
            *([items.text(INPUTS, inputs_in_words(found.inputs), "INFERRED FROM")] if found.inputs else ()),
            *([items.text(COMMENT, found.remark, "HAS PROPERTIES")] if found.remark else ()),
        ],
    )


def not_measured_item(entry: NotMeasured, items: Items) -> Dataset:
    """CODE of a parameter or class that could not be had, with the reason.

    A NUM without value says the same (PS3.3 C.18.1), but readers in use fail on the whole report at one.
    """
    reason = [items.text(COMMENT, entry.reason, "HAS PROPERTIES")] if entry.reason else []
    return items.coded(code_of(entry.key), NOT_ATTEMPTED, "CONTAINS", reason)


def evaluations(group: Dataset) -> tuple[list[Classification], list[NotMeasured]]:
    """The classes of a group, and what it says could not be had."""
    classes, missing = [], []
    level = places(group).get("level")
    for item in children_of(group, "CODE"):
        name, value = name_of(item), value_of(item)
        if value == pair(NOT_ATTEMPTED):
            missing.append(NotMeasured(key_of(*name), text_of(item, COMMENT), level))
        elif name[1] == PRIVATE_SCHEME and name not in _ENDS:
            classes.append(_class(item))
    return classes, missing


def inputs_in_words(inputs: tuple[tuple[str, float], ...]) -> str:
    """What a class was derived from; `inputs_of_words` reads it back.

    Examples
    --------
    >>> inputs_in_words((("COBB T5-T10", 40.5), ("SVA", -12.0)))
    'COBB T5-T10 = 40.5; SVA = -12.0'
    """
    return "; ".join(f"{key} = {number}" for key, number in inputs)


def inputs_of_words(text: str) -> tuple[tuple[str, float], ...]:
    """What `inputs_in_words` has written."""
    pairs = (part.rsplit(" = ", 1) for part in text.split("; ") if part)
    return tuple((key, float(number)) for key, number in pairs)


def _class(item: Dataset) -> Classification:
    key = key_of(*name_of(item))
    certainty = [value_of(i) for i in children_of(item, "CODE") if name_of(i) == pair(CERTAINTY)]
    value = value_of(item)
    return Classification(
        key=key,
        value=_VALUE_OF_CODE.get((key, value)) or level_of_code(*value) or value[0],
        inputs=inputs_of_words(text_of(item, INPUTS)),
        borderline=pair(BORDERLINE) in certainty,
        provisional=pair(PROVISIONAL) in certainty,
        remark=text_of(item, COMMENT),
        **places(item),
    )


def _certainty(found: Classification, items: Items) -> Iterator[Dataset]:
    for holds, code in ((found.borderline, BORDERLINE), (found.provisional, PROVISIONAL)):
        if holds:
            yield items.coded(CERTAINTY, code, "HAS PROPERTIES")


def _code(row: ClassDefinition, value: str, words: str) -> Code:
    meaning = f"{value}: {words}"
    if len(meaning) > _LONGEST_MEANING:
        meaning = f"{row.name}: {value}"
    end = _WORDS.get(value, value.upper())
    return Code(f"{_PREFIX.get(row.key, row.key)}_{end}", PRIVATE_SCHEME, meaning)


_ENDS = {pair(code) for code in END_OF.values()}
_CODES = {
    (row.key, value): _code(row, value, words)
    for row in CLASSES
    for value, words in row.values
    if value != "level"
}
_VALUE_OF_CODE = {(key, pair(code)): value for (key, value), code in _CODES.items()}
