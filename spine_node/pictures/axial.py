"""A vertebra in its own transverse plane: which way it is turned, and how wide its canal is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spine_node.anatomy.landmarks import Vertebra
from spine_node.imaging.volume import FloatArray
from spine_node.parameters.catalogue import AXIAL, CANAL, CATALOGUE, HEIGHTS, PLATES, SIZES
from spine_node.parameters.model import Parameter
from spine_node.pictures.callouts import Callout, Side, Words, write_callouts
from spine_node.pictures.drawing import (
    ANGLE_LINE,
    BALANCE_LINE,
    PELVIS_LINE,
    Sheet,
    arc,
    dot,
    image,
    marks,
    ruled,
    sheet,
)
from spine_node.pictures.panel import Panel
from spine_node.pictures.projection import STRUCTURE_NUMBERS, Extent, Projection, pixels, slab
from spine_node.pictures.scene import Scene, warn
from spine_node.pictures.shading import first_met, smoothed
from spine_node.pictures.words import headline, side_of

HALF_SIZE_MM = (60.0, 55.0)
"""Half of what is shown: across, and from front to back."""

HALF_THICKNESS_MM = 1.5
PIXEL_MM = 0.5
AXIS_MM, REFERENCE_MM = 34.0, 36.0
"""How far the vertebra's and the patient's anterior axis are drawn."""

AHEAD_MM = 13.0
"""How far the body's middle lies above that of the picture."""

PAGE_INCHES, GUTTERS = 8.8, (1.75, 1.75)
"""Height of the page, and room for labels: one vertebra needs less than a spine."""

OTHERS = 0.45
"""Brightness of other structures where labels are drawn without an image."""

CAP_MM = 2.5
"""Half of the strokes at both ends of a diameter."""


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """The transverse plane of a vertebra, seen from below: the patient's left is on the right.

    Attributes
    ----------
    origin : ndarray, shape (3,)
        LPS, at the height of the canal where that was measured, else of the body's centroid.
    left, front, up : ndarray, shape (3,)
        LPS unit vectors; `front` is the patient's anterior direction, projected on the plane.
    """

    origin: FloatArray
    left: FloatArray
    front: FloatArray
    up: FloatArray

    @classmethod
    def of(cls, vertebra: Vertebra, scene: Scene) -> Cut | None:
        """The plane of a vertebra; None where its axes are not known or it lies flat."""
        if vertebra.axes is None:
            return None
        up = vertebra.axes[:, 2]
        ahead = -scene.axes.posterior
        front = ahead - (ahead @ up) * up
        if np.linalg.norm(front) < 1e-3:
            return None
        front /= np.linalg.norm(front)
        body = vertebra.body_centre_mm
        middle = body if vertebra.canal is None else vertebra.canal.centre_mm
        origin = body + ((middle - body) @ up) * up - AHEAD_MM * front
        return cls(origin, np.cross(-front, up), front, up)

    def seen(self, points_mm: FloatArray) -> FloatArray:
        """LPS points, shape (..., 3), as (left, front) mm in the plane."""
        return np.asarray((points_mm - self.origin) @ np.column_stack([self.left, self.front]))


def axial_levels(scene: Scene) -> list[str]:
    """The apex of each curve; without a curve the most rotated vertebra."""
    apices = [c.apex for c in scene.curves if c.apex]
    turned = [p for p in scene.measurements.parameters if p.key == "AVR" and p.level]
    if not apices and turned:
        most = max(turned, key=lambda p: abs(p.value))
        apices = [most.level] if most.level else []
    vertebrae = [scene.spine.vertebra(level) for level in apices]
    return [v.level for v in vertebrae if v is not None and Cut.of(v, scene) is not None]


def axial(scene: Scene, level: str) -> Sheet:
    """Draw it; the patient's left is on the right, the front above.

    Raises
    ------
    ValueError
        If the axes of this level are not known.
    """
    vertebra = scene.spine.vertebra(level)
    cut = None if vertebra is None else Cut.of(vertebra, scene)
    if vertebra is None or cut is None:
        raise ValueError(f"{level} has no transverse plane: its axes were not located")
    view = _look(scene, cut, level)
    page = sheet(view.extent_mm, gutters_inches=GUTTERS, height_inches=PAGE_INCHES)
    image(page.plot, view)
    callouts = [*_rotation(page, scene, vertebra, cut), *_canal(page, scene, vertebra, cut)]
    dot(page.plot, cut.seen(vertebra.body_centre_mm), ANGLE_LINE)
    write_callouts(page, callouts)
    warn(page, scene)
    marks(page, ("R", "L", "A", "P"))
    _numbers(page, scene, level)
    return page


def _look(scene: Scene, cut: Cut, level: str) -> Projection:
    width, depth = HALF_SIZE_MM
    extent: Extent = (-width, width, -depth, depth)
    across, heights, extent = pixels(extent, PIXEL_MM)
    place = cut.origin + across[None, :, None] * cut.left + heights[:, None, None] * cut.front
    if scene.volume is not None:
        offsets = np.linspace(-HALF_THICKNESS_MM, HALF_THICKNESS_MM, 4)
        grey, structures = slab(scene.volume, scene.label_map, place, cut.up, offsets)
        return Projection(grey, structures, None, extent)
    structures, _ = first_met(scene.label_map, place, cut.up, np.zeros(1))
    structures = smoothed(structures, float(scene.label_map.grid.spacing_mm.max()) / PIXEL_MM)
    shade = np.where(structures == STRUCTURE_NUMBERS[level], 0.85, OTHERS).astype(np.float32)
    return Projection(None, structures, np.where(structures > 0, shade, 0), extent)


def _rotation(page: Sheet, scene: Scene, vertebra: Vertebra, cut: Cut) -> list[Callout]:
    turn = scene.measurements.get("AVR", vertebra.level)
    centre = cut.seen(vertebra.body_centre_mm)
    assert vertebra.axes is not None
    ahead = cut.seen(vertebra.body_centre_mm - vertebra.axes[:, 1]) - centre
    patient = np.array([0.0, 1.0])
    ruled(
        page.plot,
        np.stack([centre - 1.3 * AXIS_MM * patient, centre + REFERENCE_MM * patient]),
        BALANCE_LINE,
        width=1.1,
        dashed=True,
    )
    ruled(page.plot, np.stack([centre - 1.5 * AXIS_MM * ahead, centre + AXIS_MM * ahead]), ANGLE_LINE)
    if turn is None:
        return []
    middle = arc(page.plot, centre, patient, ahead, 0.92 * AXIS_MM, ANGLE_LINE)
    words = (
        headline("AVR", turn, ANGLE_LINE, size=12),
        Words(side_of(turn) or "not turned", 8.5),
        Words("solid: vertebra's front", 7.5, ANGLE_LINE),
        Words("dashed: patient's front", 7.5, BALANCE_LINE),
    )
    side: Side = "right" if turn.value >= 0 else "left"
    return [Callout(middle, side, words, ANGLE_LINE)]


def _canal(page: Sheet, scene: Scene, vertebra: Vertebra, cut: Cut) -> list[Callout]:
    callouts = []
    places: tuple[tuple[str, str, Side], ...] = (
        ("CANAL_AP", "Canal AP", "left"),
        ("CANAL_W", "Canal width", "right"),
    )
    for key, name, side in places:
        size = scene.measurements.get(key, vertebra.level)
        if size is None or not size.lines:
            continue
        points = cut.seen(size.lines[0].points_mm)
        ruled(page.plot, points, PELVIS_LINE, width=1.6)
        along = (points[1] - points[0]) / max(float(np.linalg.norm(points[1] - points[0])), 1e-6)
        stroke = CAP_MM * np.array([-along[1], along[0]])
        for point in points:
            ruled(page.plot, np.stack([point - stroke, point + stroke]), PELVIS_LINE, width=1.2)
        anchor = points[0] if key == "CANAL_AP" else points[int(np.argmax(points[:, 0]))]
        words = (Words(name, 8.5), headline("", size, PELVIS_LINE))
        callouts.append(Callout(anchor, side, words, PELVIS_LINE))
    return callouts


def _numbers(page: Sheet, scene: Scene, level: str) -> None:
    m = scene.measurements
    curve = next((c for c in scene.curves if c.apex == level), None)
    why = f"apex of {curve.upper}\u2013{curve.lower}" if curve else "the most rotated vertebra"
    panel = Panel(
        page, f"{level}, axial", "The vertebra's own transverse plane, seen from below: left on the right.", m
    )

    def of(group: str) -> list[Parameter]:
        keys = [r.key for r in CATALOGUE if r.group == group]
        return [p for p in m.parameters if p.key in keys and p.level == level]

    panel.group(f"Rotation of {level}, {why}", of(AXIAL))
    for title, group in (("Canal", CANAL), ("Endplates", PLATES), ("Heights", HEIGHTS), ("Sizes", SIZES)):
        panel.group(title, of(group))
    panel.classes("Grades", [c for c in m.classes if c.level == level])
    panel.missing([r.key for r in CATALOGUE if r.per == "vertebra"], level)
    panel.close()
