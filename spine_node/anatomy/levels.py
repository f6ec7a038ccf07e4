"""Levels and structures, and the value each has in a label map.

The numbers are those of VerSe (Sekuboyina et al., MedIA 2021) for vertebrae: a vertebra's body has
its level's value, its posterior elements the value + 100.
"""

from __future__ import annotations

VERTEBRA_VALUES: dict[str, int] = {
    **{f"C{n}": n for n in range(1, 8)},
    **{f"T{n}": 7 + n for n in range(1, 13)},
    "T13": 28,
    **{f"L{n}": 19 + n for n in range(1, 7)},
}
"""Label value of each vertebra's body, in order from cranial to caudal."""

POSTERIOR_OFFSET = 100
"""Added to a vertebra's value for its posterior elements (pedicles, laminae, processes)."""

IGNORED = 255
"""Value of voxels that nobody annotated: they teach nothing and are not scored."""

SACRUM = 26
HIP_LEFT, HIP_RIGHT = 29, 30
FEMORAL_HEAD_LEFT, FEMORAL_HEAD_RIGHT = 31, 32

STRUCTURE_VALUES: dict[str, int] = {
    "sacrum": SACRUM,
    "hip_left": HIP_LEFT,
    "hip_right": HIP_RIGHT,
    "femoral_head_left": FEMORAL_HEAD_LEFT,
    "femoral_head_right": FEMORAL_HEAD_RIGHT,
}
"""Label value of everything that is not a vertebra."""

LEVELS: tuple[str, ...] = tuple(VERTEBRA_VALUES)
"""Every level a vertebra can have, cranial to caudal (T13 after T12, L6 after L5)."""

LEVEL_OF_VALUE: dict[int, str] = {value: level for level, value in VERTEBRA_VALUES.items()}
"""The level of a body value."""

CHANNELS: dict[int, str] = (
    {0: "background"}
    | {v: level for level, v in VERTEBRA_VALUES.items()}
    | {v: name for name, v in STRUCTURE_VALUES.items()}
    | {v + POSTERIOR_OFFSET: f"{level}_posterior" for level, v in VERTEBRA_VALUES.items()}
)
"""Name of every value a label map may hold: the bundle's channel_def is checked against it."""


def order(level: str) -> int:
    """Position of a level from the head down, for sorting."""
    return LEVELS.index(level)
