"""A hospital's own codes in the place of ours (PS3.3 8.2: private codes must be configurable).

An override applies where it is given, to writing and to reading back alike; nothing here is global.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydicom.dataset import Dataset

from spine_node.dicom.codes import PRIVATE_SCHEME_NAME, PRIVATE_SCHEME_UID
from spine_node.errors import ConfigRefused
from spine_node.parameters.definitions import PRIVATE_SCHEME, Code

WELL_KNOWN_SCHEMES = ("DCM", "SCT", "SRT", "LN", "UCUM", "RADLEX", "NCIt", "FMA", "UMLS", "IBSI")
"""Of PS3.16 Table 8-1: a document need not identify them."""


@dataclass(frozen=True, slots=True)
class Scheme:
    """What is known of a coding scheme (PS3.3 C.12.1, Coding Scheme Identification Sequence).

    Attributes
    ----------
    designator : str
    name, uid, organisation, version : str
        Empty where not known.
    url : str
        Of a list of its codes, for people and machines.
    """

    designator: str
    name: str = ""
    uid: str = ""
    organisation: str = ""
    version: str = ""
    url: str = ""

    def item(self) -> Dataset:
        """Item of Coding Scheme Identification Sequence (0008,0110), as far as known."""
        item = Dataset()
        item.CodingSchemeDesignator = self.designator
        for keyword, value in (
            ("CodingSchemeUID", self.uid),
            ("CodingSchemeName", self.name),
            ("CodingSchemeVersion", self.version),
            ("CodingSchemeResponsibleOrganization", self.organisation),
        ):
            if value:
                setattr(item, keyword, value)
        if self.url:
            resource = Dataset()
            resource.CodingSchemeURLType = "CSV" if self.url.endswith(".csv") else "DOC"
            resource.CodingSchemeURL = self.url
            item.CodingSchemeResourcesSequence = [resource]
        return item


@dataclass(frozen=True, slots=True)
class CodeOverrides:
    """Codes to write in the place of ours.

    Attributes
    ----------
    codes : mapping of (value, scheme) to Code
        From our code.
    schemes : mapping of designator to Scheme
        What is known of their schemes; of ours, where its table can be fetched.
    """

    codes: Mapping[tuple[str, str], Code] = field(default_factory=dict)
    schemes: Mapping[str, Scheme] = field(default_factory=dict)
    _ours: Mapping[tuple[str, str], tuple[str, str]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        back = {(theirs.value, theirs.scheme): ours for ours, theirs in self.codes.items()}
        if len(back) < len(self.codes):
            raise ValueError("two codes have the same override")
        for name, value in (("codes", self.codes), ("schemes", self.schemes), ("_ours", back)):
            object.__setattr__(self, name, MappingProxyType(dict(value)))

    def theirs(self, code: Code) -> Code:
        """The code to write for one of ours."""
        return self.codes.get((code.value, code.scheme), code)

    def ours(self, value: str, scheme: str) -> tuple[str, str]:
        """Value and scheme of our code for one that was read."""
        return self._ours.get((value, scheme), (value, scheme))

    def words(self) -> tuple[str, ...]:
        """Everything that changes a report, in a fixed order."""
        codes = (f"{ours} {new.value} {new.scheme} {new.meaning}" for ours, new in self.codes.items())
        return (*sorted(codes), *sorted(map(repr, self.schemes.values())))

    def scheme_items(self, software_version: str) -> list[Dataset]:
        """Coding Scheme Identification: our scheme, then each other one that is private or known."""
        url = self.schemes[PRIVATE_SCHEME].url if PRIVATE_SCHEME in self.schemes else ""
        own = Scheme(
            PRIVATE_SCHEME, PRIVATE_SCHEME_NAME, PRIVATE_SCHEME_UID, "Spine Node", software_version, url
        )
        used = {code.scheme for code in self.codes.values()} - set(WELL_KNOWN_SCHEMES)
        others = [self.schemes.get(designator, Scheme(designator)) for designator in sorted(used)]
        return [scheme.item() for scheme in (own, *others)]


NO_OVERRIDES = CodeOverrides()


def load_overrides(path: Path) -> CodeOverrides:
    """The overrides in a TOML file; see config/codes.example.toml.

    Raises
    ------
    ConfigRefused
        If the file cannot be read, names a code that cannot be replaced, or gives one that cannot be
        written or told apart from another.
    """
    # Here: the tables of codes are needed only when there is a file.
    from spine_node.dicom.private_codes import replaceable, standard_pairs

    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigRefused(f"{path} cannot be read: {error}") from error
    unknown = sorted(set(data) - {"codes", "schemes"})
    if unknown:
        raise ConfigRefused(f"{path} has the tables {unknown}; expected are [codes] and [schemes].")
    known = replaceable()
    codes: dict[tuple[str, str], Code] = {}
    for key, entry in data.get("codes", {}).items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=3)
            hint = f"Did you mean {', '.join(near)}? " if near else ""
            raise ConfigRefused(
                f"{path}: [codes] {key} is no code of ours that can be replaced. {hint}"
                "config/codes/99SPINE3D.csv lists them."
            )
        codes[known[key].value, known[key].scheme] = _code(f"{path}: [codes] {key}", entry)
    _require_distinct(path, codes, known, standard_pairs())
    return CodeOverrides(codes, {name: _scheme(path, name, entry) for name, entry in _schemes(data)})


def _code(where: str, entry: Any) -> Code:
    parts = ("value", "scheme", "meaning")
    if not isinstance(entry, dict) or sorted(entry) != sorted(parts):
        raise ConfigRefused(
            f"{where} is {entry!r}; expected is {{ value = ..., scheme = ..., meaning = ... }}."
        )
    for part, longest in zip(parts, (16, 16, 64), strict=True):
        text = entry[part]
        if not isinstance(text, str) or not 0 < len(text.strip()) == len(text) <= longest:
            raise ConfigRefused(f"{where}: {part} is {text!r}; expected are 1 to {longest} characters.")
        if not text.isascii() or "\\" in text:
            raise ConfigRefused(
                f"{where}: {part} is {text!r}; only signs of ASCII but the backslash are possible, as a "
                "report is in the character set of its patient."
            )
    if entry["scheme"] == PRIVATE_SCHEME:
        raise ConfigRefused(f"{where}: {PRIVATE_SCHEME} is ours; expected is the scheme of your code.")
    return Code(entry["value"], entry["scheme"], entry["meaning"])


def _require_distinct(
    path: Path,
    codes: Mapping[tuple[str, str], Code],
    known: Mapping[str, Code],
    standard: Collection[tuple[str, str]],
) -> None:
    taken = {pair: "what it stands for in the standard" for pair in standard}
    taken |= {(c.value, c.scheme): key for key, c in known.items()}
    for ours in codes:
        taken.pop(ours, None)
    for theirs in codes.values():
        pair = (theirs.value, theirs.scheme)
        if pair in taken:
            raise ConfigRefused(
                f"{path}: {theirs.scheme} {theirs.value} would mean {theirs.meaning!r} and also "
                f"{taken[pair]}: a report with it could not be read back."
            )
        taken[pair] = repr(theirs.meaning)


def _schemes(data: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return list(data.get("schemes", {}).items())


def _scheme(path: Path, name: str, entry: Any) -> Scheme:
    parts = ("name", "uid", "organisation", "version", "url")
    if not isinstance(entry, dict) or set(entry) - set(parts) or not _plain(entry.values()):
        raise ConfigRefused(
            f"{path}: [schemes.{name}] is {entry!r}; expected are texts in ASCII: {', '.join(parts)}."
        )
    if name == PRIVATE_SCHEME and set(entry) - {"url"}:
        raise ConfigRefused(f"{path}: [schemes.{name}] is ours; only its url can be given.")
    return Scheme(name, **entry)


def _plain(values: Any) -> bool:
    return all(isinstance(value, str) and value.isascii() for value in values)
