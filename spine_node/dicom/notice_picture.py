"""Sentences as a picture: dark ground, light letters, as wide as a page and as high as the words need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

WIDTH, MARGIN, LEAST_HEIGHT = 960, 48, 540
"""Pixels."""

GROUND, PLAIN, WARM, DIM = (16, 18, 22), (236, 236, 230), (255, 190, 80), (150, 156, 164)

MOST_SIGNS = 4000
"""Of one paragraph; more is cut, for a picture that a viewer can show."""


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Some sentences in one size and colour."""

    text: str
    size: int = 22
    colour: tuple[int, int, int] = PLAIN


def picture_of(paragraphs: Sequence[Paragraph]) -> NDArray[np.uint8]:
    """The paragraphs below each other, wrapped, shape (rows, `WIDTH`, 3).

    Signs that the font lacks become "?" (`can_draw` tells). The same words give the same pixels.
    """
    from PIL import Image, ImageDraw

    lines: list[tuple[str, FreeTypeFont, tuple[int, int, int], int]] = []
    top = MARGIN
    for paragraph in paragraphs:
        font = _font(paragraph.size)
        for line in wrapped(paragraph.text, font):
            lines.append((line, font, paragraph.colour, top))
            top += round(1.4 * paragraph.size)
        top += paragraph.size
    image = Image.new("RGB", (WIDTH, max(LEAST_HEIGHT, top + MARGIN)), GROUND)
    draw = ImageDraw.Draw(image)
    for line, font, colour, y in lines:
        draw.text((MARGIN, y), line, fill=colour, font=font)
    return np.asarray(image).copy()


def wrapped(text: str, font: FreeTypeFont) -> list[str]:
    """Lines that fit between the margins; a word that is longer than a line is broken."""
    lines, line = [], ""
    for word in _drawable(text[:MOST_SIGNS]).split():
        if line and font.getlength(f"{line} {word}") > WIDTH - 2 * MARGIN:
            lines.append(line)
            line = ""
        line = f"{line} {word}".strip()
        while font.getlength(line) > WIDTH - 2 * MARGIN:
            fits = next(
                n for n in range(len(line) - 1, 0, -1) if font.getlength(line[:n]) <= WIDTH - 2 * MARGIN
            )
            lines.append(line[:fits])
            line = line[fits:]
    return [*lines, line] if line else lines


def can_draw(text: str) -> bool:
    """Whether the font has every sign of a text."""
    return _drawable(text) == text


def _drawable(text: str) -> str:
    known = _signs()
    return "".join(sign if ord(sign) in known or sign.isspace() else "?" for sign in text)


@cache
def _font(size: int) -> FreeTypeFont:
    from PIL import ImageFont

    # BASIC: Raqm, where it is installed, would set the letters otherwise.
    return ImageFont.truetype(_font_file(), size, layout_engine=ImageFont.Layout.BASIC)


@cache
def _signs() -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(str(_font_file())).get_charmap())


def _font_file() -> Path:
    """The font that comes with matplotlib: the same on every machine."""
    import matplotlib

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
