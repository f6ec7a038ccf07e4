"""From a page to its pixels: the image first, lines over it, letters over all.

matplotlib draws the lines. Images and letters go by Pillow: laying out a letter at a time and resampling in
double precision took two thirds of the time of a page.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes as Plot
    from matplotlib.figure import Figure
    from matplotlib.text import Text
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

POINTS_PER_INCH = 72.0


def pixels_of(figure: Figure) -> NDArray[np.uint8]:
    """A figure as it looks, shape (rows, columns, 3). Its images and texts are hidden from then on."""
    from PIL import Image, ImageDraw

    for plot in figure.axes:
        for image in plot.images:
            _place(figure, plot, image)
    letters = [text for plot in figure.axes for text in plot.texts if text.get_visible()]
    for text in letters:
        text.set_visible(False)
    canvas: Any = figure.canvas
    canvas.draw()
    page = Image.fromarray(np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3]))
    draw = ImageDraw.Draw(page)
    for text in letters:
        _write(draw, text, page.height, figure.dpi)
    return np.asarray(page, dtype=np.uint8).copy()


def width_inches(text: str, size: float, dpi: float) -> float:
    """Of a line of text of so many points, in whole pixels as it will be set."""
    return _font("DejaVuSans", size * dpi / POINTS_PER_INCH).getlength(text) / dpi


def _place(figure: Figure, plot: Plot, image: Any) -> None:
    """Put an image of a plot onto the page's own pixels, below everything."""
    from PIL import Image

    source = np.ascontiguousarray(image.get_array(), dtype=np.uint8)
    left, right, bottom, top = image.get_extent()
    (x0, y0), (x1, y1) = plot.transData.transform([(left, bottom), (right, top)])
    room = plot.bbox
    first, low, high = (round(v) for v in (max(x0, room.x0), max(y0, room.y0), min(y1, room.y1)))
    last = int(min(x1, room.x1) + 1e-6)  # where a panel begins within a pixel, that is the panel's
    rows, columns = source.shape[:2]
    # what of the image falls onto these whole pixels
    across, down = columns / (x1 - x0), rows / (y1 - y0)
    box = (
        max((first - x0) * across, 0.0),
        max((y1 - high) * down, 0.0),
        min((last - x0) * across, float(columns)),
        min((y1 - low) * down, float(rows)),
    )
    size = (max(last - first, 1), max(high - low, 1))
    drawn = Image.fromarray(source).resize(size, Image.Resampling.BILINEAR, box=box)
    image.set_visible(False)
    figure.add_artist(_artist_of(np.asarray(drawn.convert("RGBA")), first, low))


def _artist_of(pixels: NDArray[np.uint8], first: int, low: int) -> Artist:
    """Pixels as they are, below everything: matplotlib's images are resampled once more, which takes long."""
    from matplotlib.artist import Artist

    class Pixels(Artist):
        def draw(self, renderer: Any) -> None:
            renderer.draw_image(renderer.new_gc(), first, low, pixels[::-1])

    placed = Pixels()
    placed.set_zorder(-1)
    return placed


def _write(draw: ImageDraw, text: Text, height: int, dpi: float) -> None:
    """One line of text where matplotlib would set it."""
    from matplotlib.colors import to_rgb

    words = text.get_text()
    font = _font(_face(text), text.get_fontsize() * dpi / POINTS_PER_INCH)
    x, y = text.get_transform().transform(text.get_position())
    _, upper, _, lower = font.getbbox(words, anchor="ls")
    _, ascent, _, descent = font.getbbox("lp", anchor="ls")
    above, below = -min(upper, ascent), max(lower, descent)
    # rows count downwards
    baseline = (height - y) + {
        "top": above,
        "bottom": -below,
        "center": (above - below) / 2,
        "center_baseline": above / 2,
    }.get(text.get_verticalalignment(), 0.0)
    anchor = {"left": "ls", "center": "ms", "right": "rs"}[text.get_horizontalalignment()]
    colour = _bytes(to_rgb(text.get_color()))
    edge = sum(effect._gc["linewidth"] for effect in text.get_path_effects()) / 2 * dpi / POINTS_PER_INCH
    draw.text((x, baseline), words, colour, font, anchor, stroke_width=edge, stroke_fill=(0, 0, 0))


def _face(text: Text) -> str:
    family = "DejaVuSansMono" if "monospace" in text.get_fontfamily() else "DejaVuSans"
    style = ("Bold" if text.get_fontweight() == "bold" else "") + (
        "Oblique" if text.get_fontstyle() == "italic" else ""
    )
    return f"{family}-{style}" if style else family


@cache
def _font(face: str, pixels: float) -> FreeTypeFont:
    import matplotlib
    from PIL import ImageFont

    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{face}.ttf"
    return ImageFont.truetype(path, pixels, layout_engine=ImageFont.Layout.BASIC)


def _bytes(colour: tuple[float, float, float]) -> tuple[int, int, int]:
    red, green, blue = (round(255 * part) for part in colour)
    return red, green, blue
