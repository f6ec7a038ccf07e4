"""What a report says of all its measurements: frame, posture, vertical, levels and quality; and back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from spine_node.dicom.sr_codes import (
    COMMENT,
    FRAME,
    FRAMES,
    LEVEL_IDENTIFICATION,
    LEVEL_MARGIN,
    LEVELS_CERTAIN,
    LEVELS_FIXED,
    LEVELS_UNCERTAIN,
    LINES,
    QUALITATIVE,
    VERTICAL,
)
from spine_node.dicom.sr_items import Items
from spine_node.dicom.sr_tree import Node, Pair, pair
from spine_node.parameters.definitions import Code
from spine_node.parameters.model import LevelIdentification, Measurements
from spine_node.parameters.view import SCANNER


@dataclass(frozen=True, slots=True)
class Remarks:
    """As of `Measurements`."""

    frame: str = SCANNER
    vertical: str = ""
    quality: tuple[str, ...] = ()
    levels: LevelIdentification | None = None


def remarks_item(
    measurements: Measurements,
    items: Items,
    *,
    posture: Iterable[tuple[Code, Code]] = (),
    without_lines: str = "",
) -> bytes:
    """The report's Qualitative Evaluations.

    Parameters
    ----------
    measurements : Measurements
    items : Items
    posture : iterable of (Code, Code)
        As of `Posture.codes`.
    without_lines : str
        Why there are no coordinates.
    """
    vertical, levels = measurements.vertical, measurements.levels
    return items.container(
        QUALITATIVE,
        [
            items.coded(FRAME, FRAMES[measurements.frame], "CONTAINS"),
            *(items.coded(name, value, "CONTAINS") for name, value in posture),
            *([items.text(VERTICAL, vertical, "CONTAINS")] if vertical else ()),
            *(_levels(levels, items) if levels else ()),
            *([items.text(LINES, without_lines, "CONTAINS")] if without_lines else ()),
            *(items.text(COMMENT, sentence, "CONTAINS") for sentence in measurements.quality),
        ],
    )


def remarks_of(container: Node) -> Remarks:
    """What `remarks_item` has written."""
    codes = {node.name: node.code for node in container.of_kind("CODE")}
    levels = codes.get(pair(LEVEL_IDENTIFICATION))
    return Remarks(
        frame=_FRAME_OF_CODE.get(codes.get(pair(FRAME)), SCANNER),
        vertical=container.text_below(VERTICAL),
        quality=tuple(node.text for node in container.of_kind("TEXT") if node.name == pair(COMMENT)),
        levels=levels_in_words(container.text_below(LEVEL_MARGIN), uncertain=levels == pair(LEVELS_UNCERTAIN))
        if levels
        else None,
    )


def words_of(levels: LevelIdentification) -> str:
    """Margin, next best naming and pins as they stand in a report; `levels_in_words` reads them back."""
    parts = [] if levels.margin_nats is None else [f"margin {levels.margin_nats:.10g} nats"]
    parts += [f"next: {levels.next_best}"] if levels.next_best else []
    parts += [f"fixed by a person: {', '.join(levels.pinned)}"] if levels.pinned else []
    return "; ".join(parts)


def levels_in_words(text: str, *, uncertain: bool) -> LevelIdentification:
    """What `words_of` has written."""
    parts = dict(part.split(": ", 1) for part in text.split("; ") if ": " in part)
    margin = re.match(r"margin (\S+) nats", text)
    pinned = parts.get("fixed by a person", "")
    return LevelIdentification(
        margin_nats=float(margin[1]) if margin else None,
        next_best=parts.get("next", ""),
        pinned=tuple(pinned.split(", ")) if pinned else (),
        uncertain=uncertain,
    )


def _levels(levels: LevelIdentification, items: Items) -> Iterator[bytes]:
    code = LEVELS_UNCERTAIN if levels.uncertain else LEVELS_FIXED if levels.pinned else LEVELS_CERTAIN
    yield items.coded(LEVEL_IDENTIFICATION, code, "CONTAINS")
    words = words_of(levels)
    if words:
        yield items.text(LEVEL_MARGIN, words, "CONTAINS")


_FRAME_OF_CODE: dict[Pair | None, str] = {pair(code): name for name, code in FRAMES.items()}
