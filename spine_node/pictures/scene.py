"""What all pictures of a result have in common: its data, the direction of view, and what is shown."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from spine_node.anatomy.landmarks import Endplate, Spine
from spine_node.anatomy.levels import LEVEL_OF_VALUE
from spine_node.imaging.volume import FloatArray, LabelMap, Volume
from spine_node.parameters.model import Measurements, Parameter
from spine_node.parameters.view import PATIENT, S1
from spine_node.pictures.drawing import PELVIS_LINE, TEXT, WARNING, Sheet, dot, ruled, write
from spine_node.pictures.projection import Axes, Course, Extent, Projection, course, project
from spine_node.pictures.shading import from_the_front, from_the_left

CORONAL, SAGITTAL = 0, 1
"""Horizontal axis of a view: towards the left, towards the back."""

MARGIN_MM, HEADROOM_MM = (26.0, 14.0), 20.0
"""Shown beside the structures (coronal, sagittal), and above and below them."""

LEAST_MM = 210.0
"""Shown at least, in height: a single vertebra does not fill the page."""

HALF_THICKNESS_MM = (11.0, 6.0)
"""Half of the slab: coronal, sagittal."""

NAME_INCHES = 0.16
"""Between a body's edge and its name."""

FINEST_MM = 0.7
"""Size of a picture's pixel at least; they are drawn smoothly."""


@dataclass(frozen=True, eq=False)
class Scene:
    """One result to be drawn.

    Attributes
    ----------
    volume : Volume or None
        On the grid of the label map; without it the labels are drawn as solid bodies.
    label_map : LabelMap
    spine : Spine
        The landmarks that were measured.
    measurements : Measurements
        With their lines.
    """

    volume: Volume | None
    label_map: LabelMap
    spine: Spine
    measurements: Measurements

    @cached_property
    def axes(self) -> Axes:
        """The frame that the numbers were measured in."""
        return Axes.of(self.spine)

    @cached_property
    def course(self) -> Course:
        """Where the structures are.

        Raises
        ------
        ValueError
            If nothing is labelled.
        """
        return course(self.label_map, self.axes)

    @cached_property
    def curves(self) -> tuple[Parameter, ...]:
        """The Cobb angle of each curve, from the head down."""
        order = [v.level for v in self.spine.vertebrae]
        found = [p for p in self.measurements.parameters if p.key == "COBB" and p.apex in order]
        return tuple(sorted(found, key=lambda p: order.index(p.apex or "")))

    def of_curve(self, curve: Parameter, key: str) -> Parameter | None:
        """Another number of the same curve."""
        ends = (curve.upper, curve.apex, curve.lower)
        numbers = (p for p in self.measurements.parameters if p.key == key)
        return next((p for p in numbers if (p.upper, p.apex, p.lower) == ends), None)

    @cached_property
    def sagittal(self) -> Projection:
        """The view from the left, which two pictures show."""
        return self.project(SAGITTAL)

    def project(self, horizontal: int) -> Projection:
        """The image in a slab along the spine; without an image, the labels as solid bodies."""
        extent = self._extent(horizontal)
        pixel_mm = max(FINEST_MM, float(self.label_map.grid.spacing_mm.min()), (extent[3] - extent[2]) / 700)
        if self.volume is None:
            look = from_the_front if horizontal == CORONAL else from_the_left
            return look(self.label_map, self.axes, extent, self.course, pixel_mm)
        return project(
            self.volume,
            self.label_map,
            self.axes,
            self.course,
            horizontal=horizontal,
            extent_mm=extent,
            half_thickness_mm=HALF_THICKNESS_MM[horizontal],
            pixel_mm=pixel_mm,
        )

    def seen(self, points_mm: FloatArray, horizontal: int) -> FloatArray:
        """LPS points, shape (..., 3), in a view: (across, up) mm."""
        return self.axes.turned(points_mm)[..., [horizontal, 2]]

    def trace(self, level: str, which: str, horizontal: int) -> FloatArray | None:
        """An endplate as a line whose slope is the measured one; None where it was not located."""
        plate = self.plate(level, which)
        return None if plate is None else self.axes.trace(plate, horizontal)

    def plate(self, level: str, which: str) -> Endplate | None:
        """The "superior" or "inferior" endplate of a level, S1 included."""
        if level == S1:
            return self.spine.s1
        vertebra = self.spine.vertebra(level)
        return None if vertebra is None else getattr(vertebra, which)

    def places(self, horizontal: int) -> dict[str, FloatArray]:
        """Where each labelled body lies in a view, by level."""
        return {
            LEVEL_OF_VALUE[value]: centre[[horizontal, 2]]
            for value, centre in self.course.centres.items()
            if value in LEVEL_OF_VALUE
        }

    def edge(self, level: str, end: str, horizontal: int) -> FloatArray | None:
        """Middle of a body's "left", "right", "anterior" or "posterior" edge in a view, by its plates."""
        vertebra = self.spine.vertebra(level)
        plates = [p for which in ("superior", "inferior") if (p := self.plate(level, which)) is not None]
        if vertebra is None or not plates:
            return None
        away = np.mean([getattr(p, f"{end}_mm") - p.centre_mm for p in plates], axis=0)
        return self.seen(vertebra.body_centre_mm + away, horizontal)

    def _extent(self, horizontal: int) -> Extent:
        low, high = self.course.low, self.course.high
        half = max(float(high[2] - low[2]) / 2 + HEADROOM_MM, LEAST_MM / 2)
        middle = float(high[2] + low[2]) / 2
        side = max(
            float(high[horizontal] - low[horizontal]) / 2 + MARGIN_MM[horizontal], 0.35 * half, LEAST_MM / 4
        )
        centre = float(high[horizontal] + low[horizontal]) / 2
        return centre - side, centre + side, middle - half, middle + half


def name_levels(page: Sheet, scene: Scene, horizontal: int, apices: dict[str, tuple[str, str]]) -> None:
    """Write each level beside its body: to the patient's left, or in front.

    Parameters
    ----------
    page : Sheet
    scene : Scene
    horizontal : int
    apices : dict of level to (end, colour)
        Levels that stand out, each at an end and in a colour of its own.
    """
    usual = ("left" if horizontal == CORONAL else "anterior", TEXT)
    for level in scene.places(horizontal):
        end, colour = apices.get(level, usual)
        place = beside(page, scene, level, end, horizontal)
        size = 9.5 if level in apices else 7.5
        x, y = place
        write(page.plot, x, y, level, size=size, colour=colour, weight="bold", ha="center", va="center")


def beside(
    page: Sheet, scene: Scene, level: str, end: str, horizontal: int, inches: float = NAME_INCHES
) -> FloatArray:
    """A place beyond an end of a body; the body's middle where its plates are not known."""
    place, edge = scene.places(horizontal)[level], scene.edge(level, end, horizontal)
    if edge is None:
        return place
    away = (edge - place) / max(float(np.linalg.norm(edge - place)), 1e-6)
    return np.asarray(edge + inches * page.mm_per_inch * away)


def draw_heads(page: Sheet, scene: Scene, horizontal: int) -> None:
    """The femoral heads as the circles that were fitted."""
    turn = np.linspace(0, 2 * np.pi, 90)
    around = np.stack([np.cos(turn), np.sin(turn)], axis=-1)
    for head in scene.spine.heads.values():
        centre = scene.seen(head.centre_mm, horizontal)
        ruled(page.plot, centre + head.radius_mm * around, PELVIS_LINE, width=0.9)
        dot(page.plot, centre, PELVIS_LINE, size=2.5, filled=True)


def warn(page: Sheet, scene: Scene) -> None:
    """Say on the image itself what makes all its numbers doubtful."""
    m = scene.measurements
    doubts = []
    if m.frame != PATIENT:
        doubts.append(f"ESTIMATE: {WORDS_OF_FRAME.get(m.frame, m.frame)}")
    if m.levels is not None and m.levels.uncertain:
        doubts.append("LEVELS UNCERTAIN: to be checked")
    left, right, bottom, _ = page.extent_mm
    inch = page.mm_per_inch
    for k, doubt in enumerate(reversed(doubts)):
        y = bottom + (0.46 + 0.18 * k) * inch
        write(page.plot, (left + right) / 2, y, doubt, size=9, colour=WARNING, weight="bold", ha="center")


WORDS_OF_FRAME = {"SACRUM": "front taken from the sacrum", "SCANNER": "front taken from the scanner"}
