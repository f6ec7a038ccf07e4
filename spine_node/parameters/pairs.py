"""Angles between two directions: seen from the side, from the front, or in space.

One pair of directions serves the projected angle, which films and thresholds know, and the angle in
space that stands beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from spine_node.geometry.angles import angle_between_deg, coronal_tilt_deg, slope_deg, wrapped_deg
from spine_node.geometry.directions import unit
from spine_node.imaging.volume import FloatArray
from spine_node.parameters.model import Line
from spine_node.parameters.view import Plate, Reading, View

SIDELESS = 0.05
"""Smaller numbers, mm or degrees, are printed as 0.0 and lie on no side."""


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """Two directions in LPS, stacks of shape (n, 3): the angle is that of the first less the second."""

    first: FloatArray
    second: FloatArray
    lines: tuple[Line, ...] = ()
    level: str | None = None
    upper: str | None = None
    lower: str | None = None


PairOf = Callable[[View], Pair]


def from_the_side(pair_of: PairOf) -> Callable[[View], Reading]:
    """Forward slope of the first direction less that of the second, in the sagittal plane."""

    def read(view: View) -> Reading:
        pair = pair_of(view)
        angle = slope_deg(view.turned(pair.first)) - slope_deg(view.turned(pair.second))
        return _reading(pair, wrapped_deg(angle))

    return read


def from_the_front(pair_of: PairOf) -> Callable[[View], Reading]:
    """Leftward tilt of the first direction less that of the second, in the coronal plane."""

    def read(view: View) -> Reading:
        pair = pair_of(view)
        angle = coronal_tilt_deg(view.turned(pair.first)) - coronal_tilt_deg(view.turned(pair.second))
        values = wrapped_deg(angle)
        return _reading(pair, values, side_of(float(values[0])))

    return read


def in_space(pair_of: PairOf) -> Callable[[View], Reading]:
    """Angle between both directions, without a sign."""

    def read(view: View) -> Reading:
        pair = pair_of(view)
        return _reading(pair, angle_between_deg(pair.first, pair.second))

    return read


def side_of(value: float) -> str | None:
    """The side that a left-positive number names; none for what is reported as 0.0."""
    if abs(value) < SIDELESS:
        return None
    return "left" if value > 0 else "right"


def sagittal_arm(view: View, plate: Plate) -> Line:
    """Where the sagittal plane cuts an endplate, front to back: what an angle is read from.

    The plate's own chord lies askew in a turned vertebra, and its projection shows another angle.
    """
    return _trace(plate, np.cross(plate.given.normal, view.left[0]), plate.depth_mm)


def coronal_arm(view: View, plate: Plate) -> Line:
    """Where the coronal plane cuts an endplate, right to left."""
    return _trace(plate, np.cross(view.axes[0][:, 1], plate.given.normal), plate.width_mm)


def depth_chord(plate: Plate) -> Line:
    """An endplate's midsagittal chord in the vertebra's own axes."""
    return Line("arm", np.stack([plate.given.anterior_mm, plate.given.posterior_mm]))


def width_chord(plate: Plate) -> Line:
    """An endplate's midcoronal chord in the vertebra's own axes."""
    return Line("arm", np.stack([plate.given.right_mm, plate.given.left_mm]))


def line_between(role: str, *stacks: FloatArray) -> Line:
    """A line through points as they were located."""
    return Line(role, np.stack([stack[0] for stack in stacks]))


def upright(view: View, foot: FloatArray, like: FloatArray) -> Line:
    """A plumb line from a point, as long as another direction."""
    length = float(np.linalg.norm(like[0]))
    return Line("plumb", np.stack([foot[0], foot[0] + length * view.up[0]]))


def _trace(plate: Plate, direction: FloatArray, length_mm: FloatArray) -> Line:
    half = unit(direction) * float(length_mm[0]) / 2
    return Line("arm", np.stack([plate.given.centre_mm - half, plate.given.centre_mm + half]))


def _reading(pair: Pair, values: FloatArray, side: str | None = None) -> Reading:
    return Reading(values, pair.lines, level=pair.level, upper=pair.upper, lower=pair.lower, side=side)
