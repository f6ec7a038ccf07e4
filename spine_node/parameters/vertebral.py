"""Parameters of single vertebrae: heights, wedge angles, sizes, volume and canal."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

import numpy as np

from spine_node.anatomy.landmarks import Vertebra
from spine_node.geometry.angles import coronal_tilt_deg, slope_deg
from spine_node.imaging.volume import FloatArray
from spine_node.parameters import uncertainty
from spine_node.parameters.model import Line
from spine_node.parameters.pairs import (
    coronal_arm,
    depth_chord,
    line_between,
    sagittal_arm,
    side_of,
    width_chord,
)
from spine_node.parameters.surfaces import BAND, height_over
from spine_node.parameters.view import Missing, Plate, Reading, View, both, once

PLACES: dict[str, tuple[float, float]] = {
    "VBH_ANT": (0.5, 0.1),
    "VBH_MID": (0.5, 0.5),
    "VBH_POST": (0.5, 0.9),
    "VBH_LEFT": (0.9, 0.5),
    "VBH_RIGHT": (0.1, 0.5),
}
"""Where heights are read: parts of the width from the right and of the depth from the front."""

ALONG_MM, ALONG_PART = 3.0, 0.12
"""Half length of the window along the direction in which places differ: at least mm, else part of it."""

USUAL_AP: dict[str, float] = {
    **{f"T{n}": 0.95 for n in range(1, 8)},
    **{f"T{n}": 0.93 for n in range(8, 14)},
    "L1": 0.924,
    "L2": 0.953,
    "L3": 1.006,
    "L4": 1.043,
    "L5": 1.138,
    "L6": 1.138,
}
"""Anterior over posterior height of healthy vertebrae: L1-L5 Bonczar 2024 (meta-analysis of lateral images);
thoracic values are those of 3 degrees of physiological wedging on bodies of usual size."""

HOLLOW = 0.06
"""Part of the height by which healthy endplates are hollow in the middle (1.5 and 0.7 mm, Wang 2012)."""


@dataclass(frozen=True, slots=True, eq=False)
class _Box:
    """A body's own axes (n, 3, 3), a corner, and its extent: width and depth (n,)."""

    axes: FloatArray
    corner: FloatArray
    width: FloatArray
    depth: FloatArray

    def at(self, across: float, along: float) -> FloatArray:
        """The point at these parts of the width from the right and the depth from the front."""
        x, y = self.axes[:, :, 0], self.axes[:, :, 1]
        return np.asarray(
            self.corner + (across * self.width)[:, None] * x + (along * self.depth)[:, None] * y
        )


@cache
def body_height(key: str) -> Callable[[View, str], Reading]:
    """Distance between both surfaces along the vertebra's axis, at this place."""

    @once
    def read(view: View, level: str) -> Reading:
        top, bottom = both(lambda: view.superior(level), lambda: view.inferior(level))
        box = _box(view, level, top, bottom)
        foot, up = box.at(*PLACES[key]), box.axes[:, :, 2]
        x, y = box.axes[0, :, 0], box.axes[0, :, 1]
        width, depth = float(box.width[0]), float(box.depth[0])
        if key in ("VBH_LEFT", "VBH_RIGHT"):
            window = (max(ALONG_MM, ALONG_PART * width) * x, BAND * depth * y)
        else:
            window = (BAND * width * x, max(ALONG_MM, ALONG_PART * depth) * y)
        banded = 1 if key in ("VBH_LEFT", "VBH_RIGHT") else 0
        above, below = (
            height_over(view, f"{level} {which} {key}", plate, foot, up, window, banded)
            for which, plate in (("superior", top), ("inferior", bottom))
        )
        ends = np.stack([foot[0] + below[0] * up[0], foot[0] + above[0] * up[0]])
        return Reading(above - below, (Line("centre", ends),), level=level)

    return read


def height_ratio(first: str, second: str) -> Callable[[View, str], Reading]:
    """One height over another."""

    def read(view: View, level: str) -> Reading:
        a, b = (body_height(key)(view, level) for key in (first, second))
        return Reading(_over(a.values, b, level), a.lines + b.lines, level=level)

    return read


@once
def crush_ratio(view: View, level: str) -> Reading:
    """Posterior height over the mean of the neighbours'."""
    levels = [v.level for v in view.spine.vertebrae]
    at = levels.index(level)
    pairs = {pair for pair in view.segments}
    around = [
        levels[k]
        for k in (at - 1, at + 1)
        if 0 <= k < len(levels) and (levels[min(k, at)], levels[max(k, at)]) in pairs
    ]
    own = body_height("VBH_POST")(view, level)
    heights = []
    for neighbour in around:
        try:
            heights.append(body_height("VBH_POST")(view, neighbour).values)
        except Missing:
            continue
    if len(heights) < 2:
        raise Missing(f"{level} has no two neighbours whose height is seen")
    return Reading(2 * own.values / (heights[0] + heights[1]), own.lines, level=level)


@once
def height_loss(view: View, level: str) -> Reading:
    """Largest loss of a height ratio against what is usual at that level, per cent."""
    wedge = height_ratio("VBH_ANT", "VBH_POST")(view, level)
    middle = height_ratio("VBH_MID", "VBH_POST")(view, level)
    usual = USUAL_AP[level]
    losses = [1 - wedge.values / usual, 1 - middle.values / ((1 + usual) / 2 - HOLLOW)]
    with suppress(Missing):
        losses.append(1 - crush_ratio(view, level).values)
    return Reading(100 * np.maximum(np.max(losses, axis=0), 0.0), wedge.lines + middle.lines, level=level)


def wedge_sagittal(view: View, level: str) -> Reading:
    """Slope of the superior less that of the inferior plate, in the vertebra's own axes."""
    top, bottom = both(lambda: view.superior(level), lambda: view.inferior(level))
    own = [_in_axes(view, level, plate.normal) for plate in (top, bottom)]
    return Reading(
        slope_deg(own[0]) - slope_deg(own[1]), (depth_chord(top), depth_chord(bottom)), level=level
    )


def wedge_coronal(view: View, level: str) -> Reading:
    """Tilt of the superior less that of the inferior plate, in the vertebra's own axes."""
    top, bottom = both(lambda: view.superior(level), lambda: view.inferior(level))
    own = [_in_axes(view, level, plate.normal) for plate in (top, bottom)]
    values = coronal_tilt_deg(own[0]) - coronal_tilt_deg(own[1])
    return Reading(values, (width_chord(top), width_chord(bottom)), level=level)


def plate_angle(kind: str, which: str) -> Callable[[View, str], Reading]:
    """ "SLOPE" or "TILT" of a "superior" or "inferior" plate against the horizontal."""

    def read(view: View, level: str) -> Reading:
        plate = view.plate(level, which)
        turned = view.turned(plate.normal)
        if kind == "SLOPE":
            return Reading(slope_deg(turned), (sagittal_arm(view, plate),), level=level)
        values = coronal_tilt_deg(turned)
        return Reading(values, (coronal_arm(view, plate),), level=level, side=side_of(float(values[0])))

    return read


def plate_width(which: str) -> Callable[[View, str], Reading]:
    """Left-right chord of a plate."""

    def read(view: View, level: str) -> Reading:
        plate = view.plate(level, which)
        return Reading(plate.width_mm, (width_chord(plate),), level=level)

    return read


def plate_depth(which: str) -> Callable[[View, str], Reading]:
    """Midsagittal chord of a plate."""

    def read(view: View, level: str) -> Reading:
        plate = view.plate(level, which)
        return Reading(plate.depth_mm, (depth_chord(plate),), level=level)

    return read


def body_volume(view: View, level: str) -> Reading:
    """Volume of the body's label."""
    view.body(level)  # a cut body has no volume
    return _volume(view, view.vertebra(level), view.vertebra(level).body_mm3, 1.0)


def whole_volume(view: View, level: str) -> Reading:
    """Volume of body and posterior elements."""
    view.body(level)
    vertebra = view.vertebra(level)
    if vertebra.whole_mm3 is None:
        raise Missing(view.reason(f"{level}.whole", f"{level} posterior elements"))
    return _volume(view, vertebra, vertebra.whole_mm3, 4.0)


def grey_mean(view: View, level: str) -> Reading:
    """Mean grey value inside the body."""
    vertebra = view.vertebra(level)
    if vertebra.grey_mean is None:
        raise Missing("grey values were not read: there is no image, or the body is too thin")
    return Reading(np.full(view.rows, vertebra.grey_mean), level=level)


def canal_depth(view: View, level: str) -> Reading:
    """Midsagittal diameter of the canal at the height of the pedicles."""
    return _distance(level, *view.canal(level, "ap"))


def canal_width(view: View, level: str) -> Reading:
    """Distance between the inner walls of both pedicles."""
    return _distance(level, *view.canal(level, "w"))


def _distance(level: str, first: FloatArray, second: FloatArray) -> Reading:
    # along the chord as located: scatter across it lengthens nothing
    direction = (second[0] - first[0]) / np.linalg.norm(second[0] - first[0])
    return Reading((second - first) @ direction, (line_between("centre", first, second),), level=level)


def _volume(view: View, vertebra: Vertebra, volume_mm3: float | None, share: float) -> Reading:
    if volume_mm3 is None:
        raise Missing(f"{vertebra.level} is given as landmarks, without its voxels")
    sigma = share * uncertainty.volume_sigma_mm3(vertebra, view.noise_mm)
    values = volume_mm3 + view.scatter(f"{vertebra.level} volume", 1, sigma)[:, 0]
    return Reading(values / 1000, level=vertebra.level)


def _in_axes(view: View, level: str, vectors: FloatArray) -> FloatArray:
    return np.asarray(np.einsum("ni,nij->nj", vectors, view.local_axes(level)))


def _over(values: FloatArray, divisor: Reading, level: str) -> FloatArray:
    if divisor.value <= 0:
        raise Missing(f"{level} has no height there: its endplates meet")
    return np.asarray(values / np.where(np.abs(divisor.values) < 1e-9, np.nan, divisor.values))


@once
def _box(view: View, level: str, top: Plate, bottom: Plate) -> _Box:
    """Extents are the means of both plates' edges."""
    axes = view.local_axes(level)
    origin = (top.centre + bottom.centre) / 2

    def mean(axis: int, ends: tuple[FloatArray, FloatArray]) -> FloatArray:
        return np.asarray(np.mean([((end - origin) * axes[:, :, axis]).sum(axis=1) for end in ends], axis=0))

    right, left = mean(0, (top.right, bottom.right)), mean(0, (top.left, bottom.left))
    front, back = mean(1, (top.anterior, bottom.anterior)), mean(1, (top.posterior, bottom.posterior))
    corner = origin + right[:, None] * axes[:, :, 0] + front[:, None] * axes[:, :, 1]
    return _Box(axes, corner, left - right, back - front)


VERTEBRA_READINGS: dict[str, Callable[[View, str], Reading]] = {
    **{
        f"{kind}_{short}": plate_angle(kind, which)
        for kind in ("SLOPE", "TILT")
        for short, which in (("SUP", "superior"), ("INF", "inferior"))
    },
    **{key: body_height(key) for key in PLACES},
    "VBR_AP": height_ratio("VBH_ANT", "VBH_POST"),
    "VBR_MP": height_ratio("VBH_MID", "VBH_POST"),
    "VBR_PP": crush_ratio,
    "VB_HLOSS": height_loss,
    "VB_WEDGE_SAG": wedge_sagittal,
    "VB_WEDGE_COR": wedge_coronal,
    "EPW_SUP": plate_width("superior"),
    "EPW_INF": plate_width("inferior"),
    "EPD_SUP": plate_depth("superior"),
    "EPD_INF": plate_depth("inferior"),
    "VB_VOL": body_volume,
    "V_VOL": whole_volume,
    "VB_MEAN": grey_mean,
    "CANAL_AP": canal_depth,
    "CANAL_W": canal_width,
}
"""Formula of each row that is measured for each vertebra, beside those of `axial`."""
