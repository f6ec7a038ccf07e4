"""A page of paper, in mm from its upper left corner: text that fits, rules and pictures. PDF/A by fpdf2.

Letters are those of DejaVu Sans, embedded. They cover Latin, Greek and Cyrillic; text in other scripts is
for the caller to leave out (`Paper.writes`), never drawn as boxes.
"""

from __future__ import annotations

import io
import unicodedata
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from fpdf import FPDF

WIDTH_MM, HEIGHT_MM = 210.0, 297.0
POINT_MM = 25.4 / 72
UNDATED = datetime(2000, 1, 1, tzinfo=UTC)
"""Of pages whose study has no date: a PDF/A must have one, and ours must not have the hour of the day."""

JPEG_QUALITY = 92
_FONT = "DejaVuSans"
_PRODUCER = "Spine Node"


class Paper:
    """One A4 page."""

    def __init__(self, title: str, dated: datetime | None = None) -> None:
        from fpdf import FPDF

        self._pdf: FPDF = FPDF(format="A4", enforce_compliance="PDF/A-2U")
        when = dated or UNDATED
        self._pdf.set_creation_date(when)
        self._pdf.set_producer(_PRODUCER)
        self._pdf.set_title(title)
        self._pdf.set_lang("en")
        self._pdf.set_xmp_metadata(_xmp(title, when))
        self._pdf.set_auto_page_break(False)
        self._pdf.set_margin(0)
        for style, name in (("", f"{_FONT}.ttf"), ("B", f"{_FONT}-Bold.ttf")):
            self._pdf.add_font(_FONT, style, _fonts() / name)
        self._pdf.add_page()

    def writes(self, text: str) -> bool:
        """Whether the letters of a text are there, and can be set one after the other from left to right."""
        composed = unicodedata.normalize("NFC", text)
        return all(ord(c) in _letters() for c in composed) and not any(
            unicodedata.category(c)[0] in "MC" or unicodedata.bidirectional(c) in ("R", "AL", "AN")
            for c in composed
        )

    def width(self, text: str, size: float, *, bold: bool = False) -> float:
        """Of a line, mm."""
        self._pdf.set_font(_FONT, "B" if bold else "", size)
        return float(self._pdf.get_string_width(text))

    def write(
        self,
        x: float,
        y: float,
        text: str,
        size: float,
        colour: str,
        *,
        bold: bool = False,
        align: str = "left",
        within: float | None = None,
    ) -> float:
        """A line of text with its baseline at y, cut short with an ellipsis if need be; returns its width.

        Parameters
        ----------
        x, y : float
        text : str
        size : float
            Points.
        colour : str
            "#rrggbb".
        align : str
            Which end of the line is at x: "left", "right" or "center".
        within : float, optional
            Width that it may not exceed.
        """
        text = unicodedata.normalize("NFC", text)
        if within is not None and self.width(text, size, bold=bold) > within:
            while text and self.width(text + "\u2026", size, bold=bold) > within:
                text = text[:-1]
            text = text.rstrip() + "\u2026"
        width = self.width(text, size, bold=bold)
        shift = {"left": 0.0, "right": -width, "center": -width / 2}[align]
        self._pdf.set_text_color(colour)
        self._pdf.text(x + shift, y, text)
        return width

    def wrapped(self, text: str, width: float, size: float, *, bold: bool = False) -> list[str]:
        """The text broken into lines of at most this width; a word alone may be wider."""
        lines = [""]
        for word in text.split():
            longer = f"{lines[-1]} {word}".strip()
            if lines[-1] and self.width(longer, size, bold=bold) > width:
                lines.append(word)
            else:
                lines[-1] = longer
        return lines

    def rule(self, x: float, y: float, width: float, colour: str, thickness: float = 0.15) -> None:
        """A horizontal line."""
        self._pdf.set_draw_color(colour)
        self._pdf.set_line_width(thickness)
        self._pdf.line(x, y, x + width, y)

    def box(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        """A filled rectangle."""
        self._pdf.set_fill_color(colour)
        self._pdf.rect(x, y, width, height, style="F")

    def picture(self, rgb: NDArray[np.uint8], x: float, y: float, width: float, height: float) -> None:
        """A picture, with all its pixels: on a screen it can be enlarged."""
        from PIL import Image

        packed = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(rgb)).save(
            packed, "JPEG", quality=JPEG_QUALITY, subsampling=0, optimize=True
        )
        self._pdf.image(packed, x, y, width, height)

    def to_bytes(self) -> bytes:
        """The document."""
        return bytes(self._pdf.output())


@cache
def _fonts() -> Path:
    import matplotlib

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf"


@cache
def _letters() -> frozenset[int]:
    """Characters that the font has, in both weights."""
    from fontTools.ttLib import TTFont

    plain, bold = (TTFont(_fonts() / f"{_FONT}{weight}.ttf").getBestCmap() for weight in ("", "-Bold"))
    return frozenset(plain) & frozenset(bold)


def _xmp(title: str, dated: datetime) -> str:
    """Metadata as PDF/A wants them (ISO 19005-2, 6.6): those of the document, and nothing of the hour."""
    when = dated.isoformat(timespec="seconds")
    return f"""<x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"
 xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:pdf="http://ns.adobe.com/pdf/1.3/"
 xmlns:pdfaid="http://www.aiim.org/pdfa/ns/id/" xmp:CreateDate="{when}" xmp:ModifyDate="{when}"
 pdf:Producer="{_PRODUCER}">
<pdfaid:part>2</pdfaid:part><pdfaid:conformance>U</pdfaid:conformance>
<dc:title><rdf:Alt><rdf:li xml:lang="x-default">{title}</rdf:li></rdf:Alt></dc:title>
</rdf:Description>
</rdf:RDF>
</x:xmpmeta>"""
