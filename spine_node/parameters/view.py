"""A spine as a parameter sees it: landmarks in the patient frame, or the reason why not.

Formulas ask for what they need and never test for None: what is absent raises `Missing`, which
`measure` turns into a NotMeasured with the same words.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spine_node.anatomy.landmarks import Endplate, FemoralHead, Spine, Vertebra
from spine_node.geometry.directions import DegenerateGeometry, across
from spine_node.imaging.volume import FloatArray
from spine_node.parameters.model import Line

PATIENT, SCANNER = "PATIENT", "SCANNER"


class Missing(Exception):
    """A landmark that a parameter needs is not there; the message is the reason."""


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """A number and where it was read; the catalogue adds its unit, sign and definition.

    `sigma` is one standard deviation in the parameter's unit, None when nothing tells it.
    """

    value: float
    sigma: float | None = None
    lines: tuple[Line, ...] = ()
    level: str | None = None
    upper: str | None = None
    apex: str | None = None
    lower: str | None = None
    side: str | None = None


class View:
    """Landmarks of one spine and its patient frame.

    Attributes
    ----------
    spine : Spine
    axes : ndarray, shape (3, 3)
        Columns: left, posterior, superior of the patient, LPS.
    frame : str
        PATIENT, or SCANNER when a femoral head is missing.
    """

    def __init__(self, spine: Spine) -> None:
        self.spine = spine
        z = spine.vertical.direction
        self.frame = PATIENT
        try:
            x = across(spine.heads["left"].centre_mm - spine.heads["right"].centre_mm, z)
        except (KeyError, DegenerateGeometry):
            self.frame = SCANNER
            x = across([1.0, 0.0, 0.0], z)
        self.axes: FloatArray = np.column_stack([x, np.cross(z, x), z])

    def turned(self, vectors: FloatArray) -> FloatArray:
        """LPS points or directions, shape (..., 3), as (left, posterior, superior) of the patient."""
        return np.asarray(vectors @ self.axes)

    def lps(self, vector: FloatArray) -> FloatArray:
        """A point of the patient frame, shape (3,), back in LPS."""
        return np.asarray(self.axes @ vector)

    def head(self, side: str) -> FemoralHead:
        """The femoral head of "left" or "right"."""
        try:
            return self.spine.heads[side]
        except KeyError:
            raise Missing(self._reason(f"femoral_head_{side}", f"{side} femoral head")) from None

    def heads(self) -> tuple[FemoralHead, FemoralHead]:
        """Right and left femoral head; when both are missing, the reason names both."""
        reasons = []
        for side in ("right", "left"):
            try:
                self.head(side)
            except Missing as missing:
                reasons.append(str(missing))
        if reasons:
            raise Missing("; ".join(reasons))
        return self.head("right"), self.head("left")

    def hip_axis_middle(self) -> FloatArray:
        """Midpoint of the femoral head centres, LPS."""
        right, left = self.heads()
        return np.asarray((right.centre_mm + left.centre_mm) / 2)

    def s1(self) -> Endplate:
        """Superior endplate of S1."""
        if self.spine.s1 is None:
            raise Missing(self._reason("s1", "S1 endplate"))
        return self.spine.s1

    def vertebra(self, level: str) -> Vertebra:
        """The vertebra of this level."""
        found = self.spine.vertebra(level)
        if found is None:
            raise Missing(self._reason(level, level))
        return found

    def superior(self, level: str) -> Endplate:
        """Superior endplate of this level."""
        plate = self.vertebra(level).superior
        if plate is None:
            raise Missing(self._reason(f"{level}.superior", f"{level} superior endplate"))
        return plate

    def inferior(self, level: str) -> Endplate:
        """Inferior endplate of this level."""
        plate = self.vertebra(level).inferior
        if plate is None:
            raise Missing(self._reason(f"{level}.inferior", f"{level} inferior endplate"))
        return plate

    def body(self, level: str) -> Vertebra:
        """The vertebra of this level, whose whole body was seen."""
        vertebra = self.vertebra(level)
        if f"{level}.body" in self.spine.missing:
            raise Missing(self.spine.missing[f"{level}.body"])
        return vertebra

    def vertebra_axes(self, level: str) -> FloatArray:
        """Own left, posterior and cranial directions of this level, columns, LPS."""
        axes = self.vertebra(level).axes
        if axes is None:
            raise Missing(self._reason(f"{level}.axes", f"{level} axes"))
        return axes

    def _reason(self, key: str, name: str) -> str:
        return self.spine.missing.get(key, f"{name} is not in the label map")
