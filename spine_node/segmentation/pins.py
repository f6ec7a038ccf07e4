"""Levels that a person fixes: "L5=L4" (what is called L4 is L5), "L5=12.5,-30,880" (the body there is L5)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spine_node.anatomy.levels import LEVELS
from spine_node.anatomy.names import structure_named
from spine_node.errors import PinRefused
from spine_node.imaging.volume import FloatArray

NEAR_MM = 25.0
"""Furthest that a point may be from the centre of the body that it means: half a lumbar one and a disc."""

_NUMBER = r"\s*[-+]?\d+(?:\.\d+)?\s*"


@dataclass(frozen=True, slots=True)
class Pin:
    """One vertebra and its true level.

    Attributes
    ----------
    level : str
        What it is.
    called : str, optional
        What it was named.
    point_mm : tuple of float, optional
        Or a point in or near its body, LPS.
    """

    level: str
    called: str | None = None
    point_mm: tuple[float, float, float] | None = None

    def __str__(self) -> str:
        if self.point_mm is not None:
            return f"{self.level}={','.join(f'{x:g}' for x in self.point_mm)}"
        return f"{self.level}={self.called}"


def pin_of(text: str) -> Pin:
    """A pin as it is written.

    Raises
    ------
    ValueError
        If it is not LEVEL=LEVEL or LEVEL=x,y,z.

    Examples
    --------
    >>> pin_of("L5=L4"), str(pin_of("Th12=1.5,-30,880"))
    (Pin(level='L5', called='L4', point_mm=None), 'T12=1.5,-30,880')
    """
    level, _, place = text.partition("=")
    name = _level(level)
    if name and re.fullmatch(",".join([_NUMBER] * 3), place):
        x, y, z = (float(part) for part in place.split(","))
        return Pin(name, point_mm=(x, y, z))
    called = _level(place)
    if name is None or called is None:
        raise ValueError(
            f"{text!r} is no pin: write L5=L4 (what is called L4 is L5) or L5=x,y,z (the body at this place, "
            "LPS millimetres, is L5)"
        )
    return Pin(name, called)


def resolved(pins: Sequence[Pin], levels: Sequence[str | None], centres_mm: FloatArray) -> dict[int, str]:
    """Which bodies the pins mean, and their levels.

    Parameters
    ----------
    pins : sequence of Pin
    levels : sequence of str or None
        What each body is called; None: it was taken for no vertebra.
    centres_mm : ndarray, shape (n, 3)
        Body centres, LPS.

    Raises
    ------
    PinRefused
        If a pin means no body, or two contradict each other.
    """
    found: dict[int, tuple[str, Pin]] = {}
    for pin in pins:
        body = _body(pin, levels, centres_mm)
        for other, (level, first) in found.items():
            if (other == body) != (level == pin.level):
                raise PinRefused(
                    f"{first} and {pin} contradict each other: one vertebra has one level, and one level "
                    "one vertebra. Nothing was renamed."
                )
        found[body] = pin.level, pin
    return {body: level for body, (level, _) in found.items()}


def _body(pin: Pin, levels: Sequence[str | None], centres_mm: FloatArray) -> int:
    if pin.point_mm is None:
        if pin.called not in levels:
            there = ", ".join(level for level in levels if level) or "none"
            raise PinRefused(
                f"{pin}: no vertebra is called {pin.called}; there are {there}. Nothing was renamed."
            )
        return list(levels).index(pin.called)
    away = np.linalg.norm(centres_mm - np.array(pin.point_mm), axis=1)
    nearest = int(away.argmin())
    if away[nearest] > NEAR_MM:
        raise PinRefused(
            f"{pin}: the nearest body ({levels[nearest] or 'taken for no vertebra'}) is "
            f"{away[nearest]:.0f} mm away, at most {NEAR_MM:.0f} mm were expected. "
            "Are these LPS millimetres? Nothing was renamed."
        )
    return nearest


def _level(text: str) -> str | None:
    named = structure_named(text)
    return named.structure if named and named.structure in LEVELS and named.part == "whole" else None
