"""Two pictures of a result, from the front and from the side, with what was measured drawn in.

The patient's left is on the right of the frontal view; the side view looks from the left, anterior on
the left. Neither carries a name.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spine_node.anatomy.levels import FEMORAL_HEAD_LEFT, FEMORAL_HEAD_RIGHT, LEVEL_OF_VALUE
from spine_node.dicom.codes import STRUCTURE_OF_VALUE, STRUCTURES
from spine_node.dicom.drawing import (
    ANGLE_LINE,
    BACKGROUND,
    BALANCE_LINE,
    DIM,
    DPI,
    PELVIS_LINE,
    TEXT,
    image,
    marks,
    numbers_panel,
    page,
    ruled,
    stretched,
    write,
)
from spine_node.dicom.projection import Axes, Course, course, project
from spine_node.imaging.volume import LabelMap, Volume
from spine_node.parameters.catalogue import CATALOGUE, DEFINITIONS
from spine_node.parameters.model import Measurements

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Plot

MARGIN_MM = 35.0
"""Shown around the structures."""

HALF_THICKNESS_MM = (18.0, 12.0)
"""Half of the slab: coronal, sagittal."""

_VIEWPOINT = ("left of patient on the right", "seen from the left")
_CORONAL_KEYS = ("COBB", "C7_CSVL", "PELVOBL", "FHHD")


def write_pictures(volume: Volume, label_map: LabelMap, measurements: Measurements, out: Path) -> list[Path]:
    """Write coronal.png and sagittal.png into `out`.

    Parameters
    ----------
    volume, label_map : Volume, LabelMap
        On the same grid.
    measurements : Measurements
        With their lines; numbers without lines stand in the list beside the image only.

    Raises
    ------
    ValueError
        If nothing is labelled.
    """
    out.mkdir(parents=True, exist_ok=True)
    axes = axes_of(measurements)
    spine = course(label_map, axes)
    pixel_mm = max(0.5, float(volume.grid.spacing_mm.min()))
    paths = []
    for horizontal, name in enumerate(("coronal", "sagittal")):
        view = project(
            volume,
            label_map,
            axes,
            spine,
            horizontal=horizontal,
            margin_mm=MARGIN_MM,
            half_thickness_mm=HALF_THICKNESS_MM[horizontal],
            pixel_mm=pixel_mm,
        )
        figure, plot, panel = page(view)
        image(plot, view)
        _names(plot, spine, horizontal)
        draw = _coronal if horizontal == 0 else _sagittal
        draw(plot, axes, spine, measurements)
        marks(plot, view, horizontal)
        keys = [
            r.key for r in CATALOGUE if r.per != "vertebra" and (r.key in _CORONAL_KEYS) == (horizontal == 0)
        ]
        numbers_panel(panel, name.capitalize(), _VIEWPOINT[horizontal], keys, measurements)
        path = out / f"{name}.png"
        figure.savefig(path, dpi=DPI, facecolor=BACKGROUND, metadata={"Software": None})
        paths.append(path)
    return paths


def axes_of(measurements: Measurements) -> Axes:
    """The patient frame where the hip axis is among the lines, else the scanner's."""
    up = np.array([0.0, 0.0, 1.0])
    for parameter in measurements.parameters:
        for line in parameter.lines:
            if line.role == "axis" and DEFINITIONS[parameter.key].per == "spine":
                left = (line.points_mm[-1] - line.points_mm[0]) * (1, 1, 0)
                if np.linalg.norm(left) > 1 and measurements.frame == "PATIENT":
                    left = left / np.linalg.norm(left)
                    return Axes(left, np.cross(up, left), up)
    return Axes(np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0]), up)


def _keys(*, coronal: bool) -> list[str]:
    return [r.key for r in CATALOGUE if r.per != "vertebra" and (r.key in _CORONAL_KEYS) == coronal]


def _names(plot: Plot, spine: Course, horizontal: int) -> None:
    for value, level in LEVEL_OF_VALUE.items():
        if value in spine.centres:
            centre = spine.centres[value]
            write(plot, centre[horizontal], centre[2], level, size=8, weight="bold", ha="center", va="center")


def _coronal(plot: Plot, axes: Axes, spine: Course, measurements: Measurements) -> None:
    for curve in (p for p in measurements.parameters if p.key == "COBB"):
        arms = [axes.turned(line.points_mm)[:, [0, 2]] for line in curve.lines if line.role == "arm"]
        if not arms:
            continue
        # The lines of a curve meet on its concave side; the angle is written on the convex one.
        side = 1.0 if curve.side == "left" else -1.0
        for arm in arms:
            ruled(plot, *stretched(arm, before=25 if side > 0 else 55, after=55 if side > 0 else 25))
        height = float(np.mean([arm[:, 1].mean() for arm in arms]))
        middle = float(np.mean([arm[:, 0].mean() for arm in arms]))
        write(
            plot,
            middle + side * 42,
            height,
            f"{curve.value:.0f}°\n{curve.upper}-{curve.lower}",
            size=11,
            colour=ANGLE_LINE,
            ha="left" if side > 0 else "right",
            va="center",
            weight="bold",
        )
    balance = measurements.get("C7_CSVL")
    for line in balance.lines if balance else ():
        points = axes.turned(line.points_mm)[:, [0, 2]]
        if line.role == "plumb":
            plot.plot(*points.T, color=BALANCE_LINE, lw=1.2, ls=(0, (6, 4)))
        elif line.role == "centre":
            plot.plot(*points.T, "o", color=BALANCE_LINE, ms=5, mfc="none", mew=1.4)
    _hips(plot, axes, measurements, horizontal=0)
    _rotations(plot, spine, measurements)


def _sagittal(plot: Plot, axes: Axes, spine: Course, measurements: Measurements) -> None:
    for key, colour in (("LL_L1S1", ANGLE_LINE), ("TK_T4T12", ANGLE_LINE)):
        parameter = measurements.get(key)
        arms = [line for line in parameter.lines if line.role == "arm"] if parameter else []
        for arm in arms:
            ruled(plot, *stretched(axes.turned(arm.points_mm)[:, [1, 2]], before=18, after=55), colour=colour)
        if parameter and len(arms) == 2:
            ends = np.array(
                [stretched(axes.turned(a.points_mm)[:, [1, 2]], before=18, after=55)[:, 1] for a in arms]
            )
            name = key.split("_")[0]
            text = f"{name} {parameter.value:.0f}°"
            style = {"ha": "right", "va": "center", "weight": "bold"}
            write(
                plot, plot.get_xlim()[1] - 3, float(ends[:, 1].mean()), text, size=12, colour=colour, **style
            )
    for key in ("PI", "PT"):
        parameter = measurements.get(key)
        for line in parameter.lines if parameter else ():
            points = axes.turned(line.points_mm)[:, [1, 2]]
            if line.role == "arm":
                plot.plot(*points.T, color=PELVIS_LINE, lw=1.3)
            elif line.role == "plumb":
                plot.plot(*points.T, color=PELVIS_LINE, lw=1.0, ls=(0, (4, 3)))
    balance = measurements.get("SVA")
    for line in balance.lines if balance else ():
        points = axes.turned(line.points_mm)[:, [1, 2]]
        plumb = line.role == "plumb"
        plot.plot(*points.T, color=BALANCE_LINE, lw=1.2, ls=(0, (6, 4)) if plumb else "-")
        if not plumb:
            label = f"SVA {balance.value:.0f} mm" if balance else ""
            write(
                plot, plot.get_xlim()[0] + 14, points[0, 1], label, size=11, colour=BALANCE_LINE, va="center"
            )
    pelvic = [p for p in measurements.parameters if p.key in ("PI", "PT", "SS")]
    hips = next((line for p in pelvic for line in p.lines if line.role == "axis"), None)
    if hips is not None:
        text = "\n".join(f"{p.key} {p.value:.0f}°" for p in pelvic)
        height = float(axes.turned(hips.points_mm)[:, 2].mean())
        write(plot, plot.get_xlim()[0] + 14, height, text, size=11, colour=PELVIS_LINE, va="center")
    _head_outlines(plot, spine)
    _hips(plot, axes, measurements, horizontal=1)


def _head_outlines(plot: Plot, spine: Course) -> None:
    """The femoral heads beside the slab, as circles of their volume."""
    turn = np.linspace(0, 2 * np.pi, 90)
    for value in (FEMORAL_HEAD_LEFT, FEMORAL_HEAD_RIGHT):
        if value in spine.centres:
            _, y, z = spine.centres[value]
            radius = spine.radii_mm[value]
            colour = STRUCTURES[STRUCTURE_OF_VALUE[value]].rgb
            plot.plot(y + radius * np.cos(turn), z + radius * np.sin(turn), color=colour, lw=1.0)


def _hips(plot: Plot, axes: Axes, measurements: Measurements, *, horizontal: int) -> None:
    obliquity = measurements.get("PELVOBL") or measurements.get("PI")
    line = next((i for i in obliquity.lines if i.role == "axis"), None) if obliquity else None
    if line is None:
        return
    points = axes.turned(line.points_mm)[:, [horizontal, 2]]
    if horizontal == 0:
        plot.plot(*points.T, color=PELVIS_LINE, lw=1.2)
    else:
        plot.plot(*points.mean(axis=0), "o", color=PELVIS_LINE, ms=6, mfc="none", mew=1.5)
    plot.plot(*points.T, "o", color=PELVIS_LINE, ms=3)


def _rotations(plot: Plot, spine: Course, measurements: Measurements) -> None:
    """Rotation of each vertebra at the right margin, at its height."""
    _, right = plot.get_xlim()
    turned = [p for p in measurements.parameters if p.key == "AVR" and p.level]
    heights = {LEVEL_OF_VALUE[v]: c[2] for v, c in spine.centres.items() if v in LEVEL_OF_VALUE}
    for parameter in turned:
        if parameter.level in heights:
            side = "L" if parameter.value >= 0 else "R"
            text = f"{abs(parameter.value):.0f}° {side}"
            strong = abs(parameter.value) >= 5
            write(
                plot,
                right - 14,
                heights[parameter.level],
                text,
                size=8,
                colour=TEXT if strong else DIM,
                ha="right",
                va="center",
            )
    if turned:
        top = max(heights.values()) + 14
        write(plot, right - 14, top, "rotation", size=7, colour=DIM, ha="right", va="center")
