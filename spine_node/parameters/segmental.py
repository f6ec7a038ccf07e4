"""Parameters between two neighbours: the disc, and how one vertebra has slipped on the next."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from spine_node.geometry.angles import angle_between_deg, coronal_tilt_deg, slope_deg
from spine_node.geometry.directions import across, axes_from
from spine_node.imaging.volume import FloatArray
from spine_node.parameters.axial import helical_rotation, intervertebral_rotation
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
from spine_node.parameters.vertebral import ALONG_MM, ALONG_PART, body_height
from spine_node.parameters.view import S1, Missing, Plate, Reading, View, both, once

PARTS: dict[str, float] = {"DH_ANT": 0.1, "DH_MID": 0.5, "DH_POST": 0.9}
"""Where disc heights are read: parts of the depth from the front."""


def segment_name(upper: str, lower: str) -> str:
    """How two neighbours are written.

    Examples
    --------
    >>> segment_name("L5", "S1")
    'L5/S1'
    """
    return f"{upper}/{lower}"


@cache
def disc_height(key: str) -> Callable[[View, str, str], Reading]:
    """Distance of the facing surfaces along the normal of the disc's middle plane, at this place."""

    @once
    def read(view: View, upper: str, lower: str) -> Reading:
        above, below = view.facing(upper, lower)
        axes = _disc_axes(view, upper, lower, above, below)
        x, y, up = (axes[:, :, k] for k in range(3))
        middle = (above.centre + below.centre) / 2
        front = np.maximum(*(_along(p.anterior, middle, y) for p in (above, below)))
        back = np.minimum(*(_along(p.posterior, middle, y) for p in (above, below)))
        if back[0] <= front[0]:
            raise Missing(f"the endplates of {upper} and {lower} do not lie over each other")
        foot = middle + (front + PARTS[key] * (back - front))[:, None] * y
        width = float(min(above.width_mm[0], below.width_mm[0]))
        window = (BAND * width * x[0], max(ALONG_MM, ALONG_PART * float(back[0] - front[0])) * y[0])
        high, low = (
            height_over(view, f"{upper}/{lower} {which} {key}", plate, foot, up, window)
            for which, plate in (("above", above), ("below", below))
        )
        ends = np.stack([foot[0] + low[0] * up[0], foot[0] + high[0] * up[0]])
        return Reading(high - low, (Line("centre", ends),), level=segment_name(upper, lower))

    return read


def disc_angle_sagittal(view: View, upper: str, lower: str) -> Reading:
    """Slope of the lower plate less that of the upper one."""
    above, below = view.facing(upper, lower)
    slopes = [slope_deg(view.turned(p.normal)) for p in (below, above)]
    lines = (sagittal_arm(view, above), sagittal_arm(view, below))
    return Reading(slopes[0] - slopes[1], lines, level=segment_name(upper, lower))


def disc_angle_coronal(view: View, upper: str, lower: str) -> Reading:
    """Tilt of the lower plate less that of the upper one."""
    above, below = view.facing(upper, lower)
    tilts = [coronal_tilt_deg(view.turned(p.normal)) for p in (below, above)]
    lines = (coronal_arm(view, above), coronal_arm(view, below))
    return Reading(tilts[0] - tilts[1], lines, level=segment_name(upper, lower))


def disc_angle_in_space(view: View, upper: str, lower: str) -> Reading:
    """Angle in space between the facing plates."""
    above, below = view.facing(upper, lower)
    lines = (sagittal_arm(view, above), sagittal_arm(view, below))
    return Reading(angle_between_deg(above.normal, below.normal), lines, level=segment_name(upper, lower))


def disc_height_index(view: View, upper: str, lower: str) -> Reading:
    """Mean disc height over the mean middle height of the vertebrae beside it."""
    discs = [disc_height(key)(view, upper, lower) for key in PARTS]
    bodies = [body_height("VBH_MID")(view, level).values for level in (upper, lower) if level != S1]
    index = np.mean([d.values for d in discs], axis=0) / np.mean(bodies, axis=0)
    return Reading(index, tuple(d.lines[0] for d in discs), level=segment_name(upper, lower))


def farfan_index(view: View, upper: str, lower: str) -> Reading:
    """Anterior plus posterior disc height over the depth of the endplates."""
    above, below = view.facing(upper, lower)
    front, back = (disc_height(key)(view, upper, lower) for key in ("DH_ANT", "DH_POST"))
    depth = (above.depth_mm + below.depth_mm) / 2
    return Reading(
        (front.values + back.values) / depth, front.lines + back.lines, level=segment_name(upper, lower)
    )


@once
def slip(view: View, upper: str, lower: str) -> Reading:
    """How far the upper vertebra's posterior edge stands before the lower one's, along its plate."""
    above, below = view.facing(upper, lower)
    ahead = -_plate_axes(view, lower, below)[:, :, 1]
    return Reading(
        _across_plate(below.posterior, above.posterior, ahead),
        _edges(above, below),
        level=segment_name(upper, lower),
    )


def slip_percent(view: View, upper: str, lower: str) -> Reading:
    """The same in per cent of the lower endplate's depth."""
    reading, below = slip(view, upper, lower), view.superior(lower)
    return Reading(100 * reading.values / below.depth_mm, reading.lines, level=reading.level)


def slip_lateral(view: View, upper: str, lower: str) -> Reading:
    """How far the upper plate's centre lies to the left of the lower one's, along its plate."""
    above, below = view.facing(upper, lower)
    left = across(view.local_axes(lower)[:, :, 0], below.normal)
    values = _across_plate(below.centre, above.centre, left)
    return Reading(
        values,
        (width_chord(above), width_chord(below)),
        level=segment_name(upper, lower),
        side=side_of(float(values[0])),
    )


def slip_vertical(view: View, upper: str, lower: str) -> Reading:
    """How far the two posterior edges are apart along the lower plate's normal."""
    above, below = view.facing(upper, lower)
    values = _across_plate(below.posterior, above.posterior, below.normal)
    return Reading(values, _edges(above, below), level=segment_name(upper, lower))


def _edges(above: Plate, below: Plate) -> tuple[Line, ...]:
    return (
        line_between("centre", below.posterior, above.posterior),
        depth_chord(above),
        depth_chord(below),
    )


def _across_plate(start: FloatArray, end: FloatArray, direction: FloatArray) -> FloatArray:
    return np.asarray(((end - start) * direction).sum(axis=1))


def _along(points: FloatArray, origin: FloatArray, direction: FloatArray) -> FloatArray:
    return np.asarray(((points - origin) * direction).sum(axis=1))


def _plate_axes(view: View, level: str, plate: Plate) -> FloatArray:
    """The level's own axes, laid into its plate."""
    return axes_from(plate.normal, view.local_axes(level)[:, :, 1])


@once
def _disc_axes(view: View, upper: str, lower: str, above: Plate, below: Plate) -> FloatArray:
    backs = both(lambda: view.local_axes(upper), lambda: view.local_axes(lower))
    normal = above.normal + below.normal
    return axes_from(normal, across(backs[0][:, :, 1] + backs[1][:, :, 1], normal))


SEGMENT_READINGS: dict[str, Callable[[View, str, str], Reading]] = {
    **{key: disc_height(key) for key in PARTS},
    "DISC_ANG_S": disc_angle_sagittal,
    "DISC_ANG_C": disc_angle_coronal,
    "DISC_ANG_3D": disc_angle_in_space,
    "DHI": disc_height_index,
    "DHI_FARFAN": farfan_index,
    "IVR": intervertebral_rotation,
    "IVR_HELICAL": helical_rotation,
    "SLIP_MM": slip,
    "SLIP_PCT": slip_percent,
    "SLIP_LAT": slip_lateral,
    "SLIP_VERT": slip_vertical,
}
"""Formula of each row that is measured between two neighbours."""
