"""What the net tells apart, and how that follows from the values of a label map. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spine_node.anatomy import levels

TISSUES: tuple[str, ...] = (
    "background",
    "vertebral_body",
    "posterior_elements",
    "sacrum",
    "hip_bone",
    "femoral_head",
)
"""Classes of the semantic head. Sides and levels are not among them: a mirrored or shifted patch
must keep its classes, so both are told afterwards, from the whole volume."""

BACKGROUND, BODY, POSTERIOR, SACRUM, HIP, HEAD = range(len(TISSUES))

LEVEL_CLASSES: tuple[str, ...] = (*levels.LEVELS, "S1")
"""Classes of the level head; S1 stands for the sacrum, should a piece of it look like a body."""

IGNORED = levels.IGNORED
"""Label value of voxels that nobody annotated, and their class: they teach nothing."""


def _tissue_table() -> NDArray[np.uint8]:
    table = np.zeros(256, np.uint8)
    for value in levels.VERTEBRA_VALUES.values():
        table[value], table[value + levels.POSTERIOR_OFFSET] = BODY, POSTERIOR
    table[levels.SACRUM] = SACRUM
    table[[levels.HIP_LEFT, levels.HIP_RIGHT]] = HIP
    table[[levels.FEMORAL_HEAD_LEFT, levels.FEMORAL_HEAD_RIGHT]] = HEAD
    table[IGNORED] = IGNORED
    return table


def _level_table() -> NDArray[np.uint8]:
    table = np.full(256, IGNORED, np.uint8)
    for index, level in enumerate(levels.LEVELS):
        table[levels.VERTEBRA_VALUES[level]] = index
    table[levels.SACRUM] = LEVEL_CLASSES.index("S1")
    return table


TISSUE_OF_VALUE: NDArray[np.uint8] = _tissue_table()
"""Tissue class of every label value; `IGNORED` stays itself."""

LEVEL_OF_VALUE: NDArray[np.uint8] = _level_table()
"""Level class of every label value that has one, `IGNORED` elsewhere (also in posterior elements)."""


@dataclass(frozen=True, slots=True)
class Structure:
    """One entry of a label list: a structure with its value, or a left and a right one that look alike.

    A pair is one class of the net, so that a mirrored patch stays true; left and right are told
    afterwards, from where a bone lies.
    """

    name: str
    value: int | None = None
    left: int | None = None
    right: int | None = None

    def __post_init__(self) -> None:
        if not self.name or not self.name.replace("_", "").isalnum():
            raise ValueError(f"a structure's name is of letters, digits and _, not {self.name!r}")
        alone, paired = self.value is not None, self.left is not None and self.right is not None
        if alone == paired or (alone and (self.left is not None or self.right is not None)):
            raise ValueError(f"{self.name} has either a value, or left and right")
        for value in self.channels:
            if type(value) is not int or not 0 < value < IGNORED:
                raise ValueError(f"{self.name}: values go from 1 to {IGNORED - 1}, not {value!r}")

    @property
    def channels(self) -> dict[int, str]:
        """Value to name, as label maps and channel maps have them."""
        if self.value is not None:
            return {self.value: self.name}
        assert self.left is not None
        assert self.right is not None
        return {self.left: f"{self.name}_left", self.right: f"{self.name}_right"}

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, as they stand in a config."""
        if self.value is not None:
            return {"name": self.name, "value": self.value}
        return {"name": self.name, "left": self.left, "right": self.right}


@dataclass(frozen=True, slots=True, eq=False)
class Scheme:
    """What a net learns of a label map.

    Attributes
    ----------
    classes : tuple of str
        Of the semantic head, background first.
    class_of_value : ndarray of uint8, shape (256,)
        Class of every label value; `IGNORED` stays itself.
    channels : dict
        Every value that its label maps may hold, by name.
    structures : tuple of Structure
        The list it was made of; empty for the spine's own scheme.
    """

    classes: tuple[str, ...]
    class_of_value: NDArray[np.uint8]
    channels: dict[int, str]
    structures: tuple[Structure, ...] = ()

    @property
    def spine(self) -> bool:
        """Whether this is the spine's scheme, with vertebrae one by one and their levels."""
        return not self.structures

    @classmethod
    def of(cls, structures: Sequence[Structure]) -> Scheme:
        """The scheme of a label list.

        Raises
        ------
        ValueError
            If the list is empty, or a name or value stands twice.

        Examples
        --------
        >>> Scheme.of([Structure("femur", left=1, right=2), Structure("sacrum", value=3)]).classes
        ('background', 'femur', 'sacrum')
        """
        table = np.zeros(256, np.uint8)
        channels: dict[int, str] = {0: "background"}
        for index, structure in enumerate(structures, start=1):
            for value, name in structure.channels.items():
                if value in channels:
                    raise ValueError(f"value {value} stands for {channels[value]} and for {name}")
                if name in channels.values():
                    raise ValueError(f"{name} stands twice in the list")
                channels[value], table[value] = name, index
        if not structures:
            raise ValueError("a label list names at least one structure")
        table[IGNORED] = IGNORED
        names = ("background", *(s.name for s in structures))
        return cls(names, table, dict(sorted(channels.items())), tuple(structures))


SPINE = Scheme(TISSUES, TISSUE_OF_VALUE, dict(sorted(levels.CHANNELS.items())))
"""Vertebrae with levels, sacrum, hips and femoral heads: what the node measures."""
