"""The forms in which results leave the node.

The same finding may leave as a BINARY or a LABELMAP segmentation, and the same report under three SOP
classes: which of them a destination gets is its profile's word and its PACS's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

SegForm = Literal["seg-binary", "seg-labelmap"]
SrForm = Literal["sr-3d", "sr-comprehensive", "sr-enhanced"]
Form = Literal[
    SegForm,
    SrForm,
    "key-images",
    "key-images-multiframe",
    "key-object",
    "report-pdf",
    "presentation",
    "stl",
    "stl-parts",
]

SEG_FORMS: tuple[SegForm, ...] = get_args(SegForm)
SR_FORMS: tuple[SrForm, ...] = get_args(SrForm)
FORMS: tuple[Form, ...] = get_args(Form)
"""In the order in which they are sent: what others refer to goes first."""

Kind = Literal["seg", "sr", "key-images", "key-object", "report-pdf", "presentation", "stl"]
"""What the forms are forms of."""

_EXPLICIT, _RLE = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.5"

CONTEXT_OF: dict[Form, tuple[str, str]] = {
    "seg-binary": ("1.2.840.10008.5.1.4.1.1.66.4", _EXPLICIT),
    "seg-labelmap": ("1.2.840.10008.5.1.4.1.1.66.7", _RLE),
    "sr-3d": ("1.2.840.10008.5.1.4.1.1.88.34", _EXPLICIT),
    "sr-comprehensive": ("1.2.840.10008.5.1.4.1.1.88.33", _EXPLICIT),
    "sr-enhanced": ("1.2.840.10008.5.1.4.1.1.88.22", _EXPLICIT),
    "key-images": ("1.2.840.10008.5.1.4.1.1.7", _EXPLICIT),
    "key-images-multiframe": ("1.2.840.10008.5.1.4.1.1.7.4", _EXPLICIT),
    "key-object": ("1.2.840.10008.5.1.4.1.1.88.59", _EXPLICIT),
    "report-pdf": ("1.2.840.10008.5.1.4.1.1.104.1", _EXPLICIT),
    "presentation": ("1.2.840.10008.5.1.4.1.1.11.1", _EXPLICIT),
    "stl": ("1.2.840.10008.5.1.4.1.1.104.3", _EXPLICIT),
    "stl-parts": ("1.2.840.10008.5.1.4.1.1.104.3", _EXPLICIT),
}
"""SOP class and transfer syntax that each form is written in."""

NOTICE = "notice"
"""Name of the picture that says why a series was not analysed: it stands alone."""


@dataclass(frozen=True, slots=True)
class Product:
    """One result in one form.

    Attributes
    ----------
    form : str
    parts : bool
        Of a SEG: bodies and posterior elements of vertebrae as segments of their own.
    most_frames : int or None
        Of a SEG: segments are spread over several instances of so many frames at most.
    seg : Product or None
        Of a report: the SEG that it refers to.
    """

    form: Form
    parts: bool = False
    most_frames: int | None = None
    seg: Product | None = None

    @property
    def name(self) -> str:
        """Of its files.

        Examples
        --------
        >>> Product("sr-3d", seg=Product("seg-binary")).name
        'sr-3d'
        >>> Product("sr-3d", seg=Product("seg-labelmap", parts=True)).name
        'sr-3d-on-seg-labelmap-parts'
        """
        words: list[str] = [self.form]
        if self.parts:
            words.append("parts")
        if self.most_frames:
            words.append(f"{self.most_frames}-frames")
        if self.seg not in (None, Product("seg-binary")):
            words += ["on", self.seg.name]
        return "-".join(words)


def kind_of(form: Form) -> Kind:
    """What a form is a form of.

    Examples
    --------
    >>> kind_of("seg-labelmap"), kind_of("key-images-multiframe"), kind_of("stl-parts"), kind_of("key-object")
    ('seg', 'key-images', 'stl', 'key-object')
    """
    kinds: tuple[Kind, ...] = get_args(Kind)
    return next(kind for kind in kinds if form == kind or form.startswith(f"{kind}-"))
