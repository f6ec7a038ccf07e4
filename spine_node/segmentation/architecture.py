"""What it takes to build the net: written into a bundle and checked against it. No torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

NAME = "SpineNet"
"""Of the only kind of net there is; a bundle that names another is refused."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """Sizes of a SpineNet.

    Attributes
    ----------
    widths : tuple of int
        Channels of the trunk, from its finest scale downwards.
    semantic : int
        Tissue classes at the input spacing.
    levels : int
        Vertebral levels told apart at twice the input spacing; 0 for a net that only tells tissues
        apart: it has neither a level nor an offset head.
    fine : int
        Channels of the last stage, at the input spacing, where the trunk is coarser than that.
    stem_stride : int
        2: the trunk works at twice the input spacing; 1: at the input spacing, which suits a coarse net.
    """

    widths: tuple[int, ...] = (32, 64, 96, 128)
    semantic: int = 6
    levels: int = 27
    fine: int = 16
    stem_stride: int = 2

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))
        if not self.widths or any(not isinstance(w, int) or w < 1 for w in self.widths):
            raise ValueError(f"widths are whole numbers of channels, one a scale, not {self.widths!r}")
        if self.stem_stride not in (1, 2):
            raise ValueError(f"stem_stride is 1 or 2, not {self.stem_stride!r}")
        if self.fine < 2 or self.semantic < 2 or self.levels < 0:
            raise ValueError(f"a net with fine = {self.fine} and {self.semantic} classes tells nothing apart")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Architecture:
        """From the metadata of a bundle; what was written before `stem_stride` existed has 2.

        Raises
        ------
        ValueError, TypeError
            If a value is missing or not usable.
        """
        known = {field.name for field in fields(cls)}
        return cls(**{key: value for key, value in values.items() if key in known})

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"name": NAME} | asdict(self) | {"widths": list(self.widths)}

    @property
    def divisor(self) -> int:
        """Every edge of an input must be a multiple of this."""
        return int(max(2, self.stem_stride * 2 ** (len(self.widths) - 1)))
