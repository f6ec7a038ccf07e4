"""How human vertebral columns are numbered, what each numbering costs, and how far levels are apart.

A numbering is a whole column from C1 to the sacrum: the usual 24 vertebrae, or one with eleven or
thirteen thoracic, four or five or six lumbar ones. Prices are natural logarithms of odds (nats).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spine_node.anatomy.levels import LEVELS

SPACING_MM: dict[tuple[str, str], float] = {
    ("C1", "C2"): 17.1, ("C2", "C3"): 18.5, ("C3", "C4"): 15.9, ("C4", "C5"): 16.1,
    ("C5", "C6"): 16.1, ("C6", "C7"): 17.7, ("C7", "T1"): 18.8, ("T1", "T2"): 20.9,
    ("T2", "T3"): 22.2, ("T3", "T4"): 22.3, ("T4", "T5"): 22.8, ("T5", "T6"): 23.5,
    ("T6", "T7"): 24.0, ("T7", "T8"): 24.3, ("T8", "T9"): 24.9, ("T9", "T10"): 25.7,
    ("T10", "T11"): 27.6, ("T11", "T12"): 29.8, ("T12", "L1"): 32.0, ("L1", "L2"): 33.4,
    ("L2", "L3"): 34.1, ("L3", "L4"): 33.8, ("L4", "L5"): 31.7, ("L5", "L6"): 30.6,
    ("T11", "L1"): 30.9, ("T12", "T13"): 31.0, ("T13", "L1"): 32.5,
}  # fmt: skip
"""Mean distance of neighbouring body centres, mm: 113 public VerSe'20 training scans (Sekuboyina et
al., MedIA 2021); those of T13 and of a missing T12 lie between their neighbours'."""

USUAL: tuple[str, ...] = tuple(level for level in LEVELS if level not in ("T13", "L6"))
"""The usual 24 vertebrae."""


@dataclass(frozen=True, slots=True)
class Numbering:
    """One way a column is numbered.

    Attributes
    ----------
    key : str
        "usual", "T11" (no T12), "T13", "L4" (no L5) or "L6".
    levels : tuple of str
        C1 to the one on the sacrum.
    price : float
        -log of how common it is.
    words : str
    """

    key: str
    levels: tuple[str, ...]
    price: float
    words: str

    @property
    def along_mm(self) -> np.ndarray:
        """Distance of each level from C1 along the column, average adult."""
        gaps = [SPACING_MM[pair] for pair in zip(self.levels, self.levels[1:], strict=False)]
        return np.concatenate([[0.0], np.cumsum(gaps)])


def _numberings() -> tuple[Numbering, ...]:
    at = USUAL.index("L1")
    rare = {
        "T11": (tuple(x for x in USUAL if x != "T12"), 0.02, "eleven thoracic vertebrae, T12 is absent"),
        "T13": ((*USUAL[:at], "T13", *USUAL[at:]), 0.02, "thirteen thoracic vertebrae"),
        "L4": (USUAL[:-1], 0.03, "four lumbar vertebrae, L4 on the sacrum"),
        "L6": ((*USUAL, "L6"), 0.04, "six lumbar vertebrae"),
    }
    usual = Numbering(
        "usual", USUAL, -float(np.log(1 - sum(r[1] for r in rare.values()))), "the usual number"
    )
    return (
        usual,
        *(Numbering(k, levels, -float(np.log(p)), words) for k, (levels, p, words) in rare.items()),
    )


NUMBERINGS: tuple[Numbering, ...] = _numberings()
"""The usual column and each that has one vertebra more or less, with their share of people."""
