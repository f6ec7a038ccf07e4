"""Values of elements as text, to compare: read from the bytes as they came, which stay as they are.

pydicom would replace an element that is looked at by what it could decode, check it, and warn of a value it
dislikes by quoting it; a value may say who a patient is.
"""

from __future__ import annotations

from pydicom import Dataset
from pydicom.charset import decode_bytes
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.multival import MultiValue
from pydicom.tag import Tag

_ENCODED = ("LO", "LT", "PN", "SH", "ST", "UC", "UT")  # PS3.5 6.1.2.3: what Specific Character Set is about
_PLAIN = ("AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI", "UR")
_SINGLE = ("LT", "ST", "UR", "UT")  # a backslash is a letter there
_CARET, _CONTROL = (
    {0x5E},
    {0x09, 0x0A, 0x0C, 0x0D},
)  # after these, code extensions begin anew (PS3.5 6.1.2.5.3)


def texts(dataset: Dataset, keyword: str) -> list[str]:
    """The values of an element; [] when it is absent or empty.

    Bytes that are no text in the declared character set are read as Latin-1, so that two names in the same
    undeclared encoding are equal and others are not.
    """
    element = dataset.get_item(Tag(keyword))
    if element is None or element.value is None:
        return []
    if isinstance(element, RawDataElement) and isinstance(element.value, bytes):
        # a value too long for its VR in Explicit VR is sent as UN (PS3.5 6.2.2)
        vr = dictionary_VR(element.tag) if element.VR in (None, "UN") else element.VR
        if vr in _ENCODED or vr in _PLAIN:
            text = _decoded(element.value, vr, _encodings(dataset))
            return _present([text] if vr in _SINGLE else text.split("\\"))
    value = dataset[element.tag].value
    return _present([str(v) for v in value] if isinstance(value, MultiValue | list) else [str(value)])


def _present(values: list[str]) -> list[str]:
    stripped = [value.strip(" \0") for value in values]
    return stripped if any(stripped) else []


def _encodings(dataset: Dataset) -> list[str]:
    declared = dataset.original_character_set or "iso8859"
    return [declared] if isinstance(declared, str) else list(declared)


def _decoded(value: bytes, vr: str, encodings: list[str]) -> str:
    if vr in _PLAIN or (value.isascii() and b"\x1b" not in value):
        return value.decode("latin-1")
    if vr == "PN":
        text = "=".join(decode_bytes(group, encodings, _CARET) for group in value.split(b"="))
    else:
        text = decode_bytes(value, encodings, _CONTROL)
    return value.decode("latin-1") if "\ufffd" in text else text
