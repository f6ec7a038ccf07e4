"""Other names for the vertebrae of a label map, from levels that a person fixed. No net runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy import ndimage

from spine_node.anatomy.levels import LEVEL_OF_VALUE, LEVELS, POSTERIOR_OFFSET, VERTEBRA_VALUES
from spine_node.errors import LabelMapRefused, PinRefused
from spine_node.imaging.volume import FloatArray, LabelMap
from spine_node.segmentation.levels import name_levels
from spine_node.segmentation.numbering import NUMBERINGS
from spine_node.segmentation.pins import Pin, resolved
from spine_node.segmentation.segmenter import Segmentation


def renamed(segmentation: Segmentation, pins: Sequence[Pin]) -> Segmentation:
    """The same outlines under the names that follow from the pins.

    Where the evidence of the naming is there it is weighed again, so that an anomaly may follow; else
    all names shift along the column. Pins of an earlier renaming hold no more.

    Raises
    ------
    PinRefused
        If a pin means no vertebra, no spine can be named so, or a vertebra would lose its name.
    LabelMapRefused
        If the label map shows a vertebra that its naming does not know.
    """
    if not pins:
        return segmentation
    old = segmentation.naming
    if old is None:
        label_map, names, said = _shifted_map(segmentation.label_map, pins)
        return replace(
            segmentation,
            label_map=label_map,
            quality=(*(q for q in segmentation.quality if not q.startswith(_SHIFTED)), said),
            pinned=tuple(pin.level for pin in pins),
            variant=f"{','.join(names)}; {', '.join(map(str, pins))}",
        )
    outlined = _levels_in(segmentation.label_map)
    strange = [level for level in outlined if level not in old.levels]
    if strange:
        raise LabelMapRefused(
            f"the label map shows {', '.join(strange)}, but naming.json beside it names "
            f"{', '.join(filter(None, old.levels))}: one of them was changed without the other. "
            "`spine-node measure --pin` shifts the names of any label map. Nothing was renamed."
        )
    naming = name_levels(old.evidence, resolved(pins, old.levels, old.evidence.centres_mm))
    lost = [a for a, b in zip(old.levels, naming.levels, strict=True) if a in outlined and b is None]
    if lost:
        raise PinRefused(
            f"{', '.join(map(str, pins))} would take {', '.join(lost)} for no vertebra and erase "
            "the outline: no spine keeps all under such names. Is the level right? Nothing was renamed."
        )
    new = {a: b for a, b in zip(old.levels, naming.levels, strict=True) if a is not None}
    kept = [q for q in segmentation.quality if q not in old.quality and not q.endswith(_NO_OUTLINE)]
    blank = [b for a, b in zip(old.levels, naming.levels, strict=True) if b and a not in outlined]
    said = tuple(f"{level} {_NO_OUTLINE}" for level in blank)
    return replace(
        segmentation,
        label_map=relabelled(segmentation.label_map, new),
        quality=(*kept, *naming.quality, *said),
        naming=naming,
        pinned=naming.pinned,
        variant=f"{','.join(level or '-' for level in naming.levels)}; {', '.join(naming.pinned)}",
    )


def with_shifted_names(label_map: LabelMap, pins: Sequence[Pin]) -> tuple[LabelMap, str]:
    """A label map of any origin with all names shifted along the column, and a sentence about it.

    Raises
    ------
    PinRefused
        If a pin means no vertebra, or the column has no room for the shift.
    """
    moved, _, said = _shifted_map(label_map, pins)
    return moved, said


def relabelled(label_map: LabelMap, names: Mapping[str, str | None]) -> LabelMap:
    """The label map with bodies and posterior elements under other names; None: background."""
    table = np.arange(256, dtype=np.uint8)
    for old, new in names.items():
        value = VERTEBRA_VALUES[old]
        table[value] = 0 if new is None else VERTEBRA_VALUES[new]
        table[value + POSTERIOR_OFFSET] = 0 if new is None else VERTEBRA_VALUES[new] + POSTERIOR_OFFSET
    return LabelMap(label_map.grid, table[label_map.labels])


def shifted(levels: Sequence[str], pins: Mapping[int, str]) -> tuple[str, ...]:
    """Names along the column such that these are right, with the same gaps between them.

    Examples
    --------
    >>> shifted(("L3", "L4", "L5"), {1: "L5"})
    ('L4', 'L5', 'L6')

    Raises
    ------
    PinRefused
        If no column has such levels.
    """
    first = next((n.levels for n in NUMBERINGS if set(levels) <= set(n.levels)), LEVELS)
    ranks = [first.index(level) for level in levels]
    body = min(pins)
    for numbering in NUMBERINGS:
        if pins[body] not in numbering.levels:
            continue
        by = numbering.levels.index(pins[body]) - ranks[body]
        if ranks[0] + by < 0 or ranks[-1] + by >= len(numbering.levels):
            continue
        names = tuple(numbering.levels[rank + by] for rank in ranks)
        if all(names[i] == level for i, level in pins.items()):
            return names
    told = ", ".join(f"{levels[i]} is {level}" for i, level in sorted(pins.items()))
    raise PinRefused(
        f"names cannot be shifted so that {told}: of {levels[0]} to {levels[-1]}, one would lie above C1, "
        "below the last lumbar vertebra, or between levels that follow each other. Nothing was renamed."
    )


_SHIFTED = "levels were shifted"
_NO_OUTLINE = "was taken for no vertebra: it has a name now, but no outline"


def _shifted_map(label_map: LabelMap, pins: Sequence[Pin]) -> tuple[LabelMap, tuple[str, ...], str]:
    levels = _levels_in(label_map)
    if not levels:
        raise PinRefused("the label map shows no vertebra that a pin could name. Nothing was renamed.")
    names = shifted(levels, resolved(pins, levels, _centres_mm(label_map, levels)))
    told = ", ".join(str(pin) for pin in pins)
    moved = relabelled(label_map, dict(zip(levels, names, strict=True)))
    return moved, names, f"{_SHIFTED} along the column, as a person has fixed {told}"


def _levels_in(label_map: LabelMap) -> tuple[str, ...]:
    """Levels whose bodies are there, cranial to caudal."""
    count = sum(np.bincount(piece.ravel(), minlength=256) for piece in label_map.labels)
    present = {LEVEL_OF_VALUE[int(v)] for v in np.flatnonzero(count) if int(v) in LEVEL_OF_VALUE}
    return tuple(level for level in LEVELS if level in present)


def _centres_mm(label_map: LabelMap, levels: Sequence[str]) -> FloatArray:
    centres = []
    for box, level in zip(_boxes(label_map, levels), levels, strict=True):
        inside = np.argwhere(label_map.labels[box] == VERTEBRA_VALUES[level])
        centres.append(inside.mean(axis=0) + [s.start for s in box])
    return label_map.grid.to_mm(np.array(centres))


def _boxes(label_map: LabelMap, levels: Sequence[str]) -> list[tuple[slice, slice, slice]]:
    found = ndimage.find_objects(label_map.labels)
    return [found[VERTEBRA_VALUES[level] - 1] for level in levels]
