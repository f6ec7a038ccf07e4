"""Every private code that a SEG or a report of ours can hold, as a table: config/codes/99SPINE3D.csv.

`python -m spine_node.dicom.private_codes > config/codes/99SPINE3D.csv` writes it anew.
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields

from spine_node.anatomy.levels import LEVELS
from spine_node.dicom import sr_classes, sr_codes
from spine_node.dicom.codes import LEVEL_OF_CODE, STRUCTURES, VERTEBRAL_BODY, level_code
from spine_node.parameters.catalogue import CATALOGUE
from spine_node.parameters.class_catalogue import CLASSES
from spine_node.parameters.definitions import PRIVATE_SCHEME, Code
from spine_node.parameters.view import MAY_LACK, S1

STRUCTURE = "structure"
"""Kind of the codes that SEG and report share: these cannot be replaced in one of them."""


@dataclass(frozen=True, slots=True)
class PrivateCode:
    """One line of the table; the code value is unique in it.

    Attributes
    ----------
    value, meaning, definition : str
    unit : str
        UCUM; empty for what is no number.
    kind : str
        "parameter", "class", "class value", "method", "coordinates", "curve", "quality" or "structure".
    """

    value: str
    meaning: str
    definition: str
    unit: str
    kind: str


def private_codes() -> list[PrivateCode]:
    """All of them, in the catalogues' order."""
    return [row for row in _all() if row is not None]


def replaceable() -> dict[str, Code]:
    """The codes that a hospital may replace: by parameter or class key, or by their value."""
    found = {row.key: row.code for row in (*CATALOGUE, *CLASSES)}
    for row in private_codes():
        if row.kind != STRUCTURE:
            found.setdefault(row.value, Code(row.value, PRIVATE_SCHEME, row.meaning))
    return found


def standard_pairs() -> set[tuple[str, str]]:
    """Value and scheme of the standard codes that reports use: no code of ours may become one of them."""
    own = {code for value in vars(sr_codes).values() for code in _codes_in(value)}
    structures = {structure.code for structure in STRUCTURES.values()}
    pairs = {(code.value, code.scheme) for code in own | structures} | set(LEVEL_OF_CODE)
    return {(value, scheme) for value, scheme in pairs if scheme != PRIVATE_SCHEME}


def table() -> str:
    """The CSV (RFC 4180 but for its line ends) with a header line."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(field.name for field in fields(PrivateCode))
    writer.writerows(astuple(row) for row in private_codes())
    return file.getvalue()


def _all() -> Iterator[PrivateCode | None]:
    for row in CATALOGUE:
        definition = f"{row.definition}. Frame: {row.frame}. Positive: {row.sign}. Source: {row.source}."
        yield _line(row.code, definition, "parameter", row.unit)
    for kind_of in CLASSES:
        yield _line(kind_of.code, f"{kind_of.definition}. Source: {kind_of.source}.", "class")
        for value, words in kind_of.values:
            if value != "level":
                code = sr_classes.value_code(kind_of.key, value)
                yield _line(code, f"{kind_of.name} {value}: {words}", "class value")
    for frame, code in sr_codes.METHOD_OF_FRAME.items():
        yield _line(code, f"Measured in: {frame}", "method")
    for role, code in sr_codes.PURPOSE_OF_LINE.items():
        yield _line(code, f"Coordinates that a number was read from: {role}", "coordinates")
    for end, code in (*sr_codes.END_OF.items(), *sr_codes.SITE_OF.items()):
        yield _line(code, f"The {end} end of a curve" if end != "apex" else "The apex of a curve", "curve")
    for code, definition in sr_codes.MEANT.items():
        yield _line(code, definition, "quality")
    yield _line(VERTEBRAL_BODY, "The body of a vertebra without its posterior elements", STRUCTURE)
    for level in (*LEVELS, *_discs()):
        yield _line(level_code(level), _STRUCTURE_WORDS["/" in level].format(level), STRUCTURE)


_STRUCTURE_WORDS = {
    False: "{}: a vertebra that most people do not have",
    True: "The disc between {}, neighbours that most people do not have",
}


def _line(code: Code, definition: str, kind: str, unit: str = "") -> PrivateCode | None:
    if code.scheme != PRIVATE_SCHEME:
        return None
    return PrivateCode(code.value, code.meaning, sr_codes.ascii_text(definition), unit, kind)


def _codes_in(value: object) -> Iterator[Code]:
    if isinstance(value, Code):
        yield value
    elif isinstance(value, (tuple, dict)):
        for part in (*value, *(value.values() if isinstance(value, dict) else ())):
            yield from _codes_in(part)


def _discs() -> Iterator[str]:
    """Between all that can be neighbours."""
    levels = (*LEVELS, S1)
    for i, upper in enumerate(levels):
        for j in range(i + 1, len(levels)):
            if all(between in MAY_LACK for between in levels[i + 1 : j]) and upper != "C1":
                yield f"{upper}/{levels[j]}"


if __name__ == "__main__":
    sys.stdout.write(table())
