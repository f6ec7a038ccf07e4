"""The structure that somebody's words mean: "vertebrae_L1", "Th12 body", "Left hip bone".

Every word must be understood: "L1-L2 disc" or "hip joint" are no structure of ours, and no guess is made.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from spine_node.anatomy.levels import LEVELS, POSTERIOR_OFFSET, STRUCTURE_VALUES, VERTEBRA_VALUES

Part = Literal["whole", "body", "posterior"]


@dataclass(frozen=True, slots=True)
class Named:
    """A structure, and which part of it.

    Attributes
    ----------
    structure : str
        A level ("L1") or a key of `levels.STRUCTURE_VALUES`.
    part : str
        "body" or "posterior" of a vertebra; "whole" for both, and for everything that is no vertebra.
    """

    structure: str
    part: Part

    @property
    def value(self) -> int:
        """Its value in a label map; that of the body for a whole vertebra."""
        if self.structure in STRUCTURE_VALUES:
            return STRUCTURE_VALUES[self.structure]
        return VERTEBRA_VALUES[self.structure] + (POSTERIOR_OFFSET if self.part == "posterior" else 0)

    @property
    def whole_vertebra(self) -> bool:
        """Whether body and posterior elements are one here."""
        return self.part == "whole" and self.structure in VERTEBRA_VALUES

    def __str__(self) -> str:
        return self.structure if self.part == "whole" else f"{self.structure}_{self.part}"


_REGIONS = {
    "c": "C", "cervical": "C", "t": "T", "th": "T", "d": "T", "thoracic": "T", "dorsal": "T",
    "l": "L", "lumbar": "L", "s": "S", "sacral": "S",
}  # fmt: skip

_ORDINALS = {
    word: number
    for number, word in enumerate(
        (
            "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth",
            "eleventh", "twelfth", "thirteenth",
        ),
        start=1,
    )
}  # fmt: skip

_PARTS: dict[str, Part] = {
    "body": "body", "corpus": "body", "centrum": "body",
    "posterior": "posterior", "arch": "posterior", "arcus": "posterior", "lamina": "posterior",
    "laminae": "posterior", "pedicle": "posterior", "pedicles": "posterior", "process": "posterior",
    "processes": "posterior",
}  # fmt: skip

_BESIDE_A_PART = {
    "element", "elements", "spinous", "transverse", "articular", "superior", "inferior", "neural",
}  # fmt: skip
"""Words that say which part, and only beside one of `_PARTS`."""

_SIDES = {"left": "left", "lt": "left", "l": "left", "right": "right", "rt": "right", "r": "right"}

_OWN_NAMES = {"atlas": "C1", "axis": "C2"}

_SILENT = {"vertebra", "vertebrae", "vertebral", "vert", "level", "of", "the", "structure", "entire"}

_BONES: dict[frozenset[str], str] = {
    frozenset(words.split()): name
    for name, writings in {
        "sacrum": ("sacrum", "sacrum bone", "sacral bone", "os sacrum", "sacrum os"),
        "hip": (
            "hip", "hip bone", "os coxae", "coxae", "coxa", "innominate", "innominate bone", "hemipelvis",
            "pelvis", "pelvic bone",
        ),
        "femoral_head": ("femoral head", "head femur", "femur head", "caput femoris", "head femoral bone"),
    }.items()
    for words in writings
}  # fmt: skip


def structure_named(text: str) -> Named | None:
    """What these words name; None when a word is not understood, or a side or a level is missing.

    Examples
    --------
    >>> structure_named("vertebrae_Th12"), structure_named("Arch of L3 vertebra").value
    (Named(structure='T12', part='whole'), 122)
    >>> structure_named("Head of femur, left").structure
    'femoral_head_left'
    >>> structure_named("L1-L2 disc") is structure_named("hip") is None
    True
    """
    words = _words(text)
    level, rest = _level(words)
    if level is None:
        return _bone(words)
    if level[0] == "S":
        return Named("sacrum", "whole") if not rest and 1 <= int(level[1:]) <= 5 else None
    if level not in LEVELS:
        return None
    parts = {_PARTS[word] for word in rest if word in _PARTS}
    unread = [w for w in rest if w not in _PARTS and not (parts and w in _BESIDE_A_PART)]
    if unread or len(parts) > 1:
        return None
    return Named(level, parts.pop() if parts else "whole")


def _words(text: str) -> list[str]:
    """Words and numbers in lower case, without those that add nothing."""
    # SNOMED CT ends its names with what kind of concept they are.
    plain = re.sub(r"\(body structure\)", " ", text, flags=re.IGNORECASE)
    plain = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", plain)
    words = re.findall(r"[^\W\d_]+|\d+", plain.lower())
    kept = [
        w for i, w in enumerate(words) if not (w in ("st", "nd", "rd", "th") and i and words[i - 1].isdigit())
    ]
    return [w for w in kept if w not in _SILENT]


def _level(words: list[str]) -> tuple[str | None, list[str]]:
    """The one level among these words and the words beside it."""
    own = next((w for w in words if w in _OWN_NAMES), None)
    others = [w for w in words if w != own]
    numbers = [i for i, w in enumerate(others) if w.isdigit() or w in _ORDINALS]
    if own and not numbers:
        return _OWN_NAMES[own], others
    if len(numbers) != 1:
        return None, words
    at = numbers[0]
    number = _ORDINALS.get(others[at]) or int(others[at])
    # "L1" and "lumbar 1", else "1st lumbar"
    for beside in (at - 1, at + 1):
        if 0 <= beside < len(others) and others[beside] in _REGIONS:
            level = f"{_REGIONS[others[beside]]}{number}"
            if own and level != _OWN_NAMES[own]:
                break
            return level, [w for i, w in enumerate(others) if i not in (at, beside)]
    return None, words


def _bone(words: list[str]) -> Named | None:
    sides = {_SIDES[w] for w in words if w in _SIDES}
    bone = _BONES.get(frozenset(w for w in words if w not in _SIDES))
    if bone == "sacrum" and not sides:
        return Named("sacrum", "whole")
    if bone in (None, "sacrum") or len(sides) != 1:
        return None
    return Named(f"{bone}_{sides.pop()}", "whole")
