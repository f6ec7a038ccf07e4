"""Parameters of the pelvis: incidence, tilt, slope, and whether it stands level."""

from __future__ import annotations

import math

import numpy as np

from spine_node.anatomy.landmarks import Endplate
from spine_node.geometry.angles import angle_in_plane_deg, slope_deg
from spine_node.imaging.volume import FloatArray
from spine_node.parameters.model import Line
from spine_node.parameters.uncertainty import (
    combined,
    edge_sigma_mm,
    head_sigma_mm,
    lean_sigma_deg,
    tilt_sigma_deg,
)
from spine_node.parameters.view import Reading, View

SIDELESS = 0.05
"""Smaller numbers, mm or degrees, are printed as 0.0 and lie on no side."""


def sagittal_arm(plate: Endplate) -> Line:
    """An endplate as a line seen from the side."""
    return Line("arm", np.stack([plate.anterior_mm, plate.posterior_mm]))


def hip_axis(view: View) -> Line:
    """The line through both femoral head centres."""
    right, left = view.heads()
    return Line("axis", np.stack([right.centre_mm, left.centre_mm]))


def hip_sigma_mm(view: View) -> float:
    """Standard deviation of the hip axis midpoint."""
    right, left = view.heads()
    return combined(head_sigma_mm(right), head_sigma_mm(left)) / 2


def backward_lean_deg(view: View, vector: FloatArray) -> float:
    """Sagittal angle from the vertical to a direction, positive when it leads backwards."""
    v = view.turned(vector)
    return math.degrees(math.atan2(v[1], v[2]))


def pelvic_incidence(view: View) -> Reading:
    """From the line hip axis - S1 to the S1 normal, in the plane across the hip axis."""
    s1, hips = view.s1(), view.hip_axis_middle()
    right, left = view.heads()
    radius = s1.centre_mm - hips
    value = angle_in_plane_deg(radius, s1.normal, left.centre_mm - right.centre_mm)
    return Reading(
        value,
        combined(tilt_sigma_deg(s1, "sagittal"), _radius_sigma_deg(view)),
        (sagittal_arm(s1), _radius_line(view), hip_axis(view)),
    )


def pelvic_tilt(view: View) -> Reading:
    """From the vertical to the line hip axis - S1 centre; backwards is positive."""
    s1, hips = view.s1(), view.hip_axis_middle()
    up = hips + view.spine.vertical.direction * float(np.linalg.norm(s1.centre_mm - hips))
    return Reading(
        backward_lean_deg(view, s1.centre_mm - hips),
        _radius_sigma_deg(view),
        (_radius_line(view), Line("plumb", np.stack([hips, up])), hip_axis(view)),
    )


def sacral_slope(view: View) -> Reading:
    """Slope of S1 against the horizontal; facing forward is positive."""
    s1 = view.s1()
    return Reading(slope_deg(view.turned(s1.normal)), tilt_sigma_deg(s1, "sagittal"), (sagittal_arm(s1),))


def pelvic_obliquity(view: View) -> Reading:
    """Slant of the femoral head line in the frontal view; left higher is positive."""
    across_mm, _, up_mm = _head_difference(view)
    value = math.degrees(math.atan2(up_mm, across_mm))
    sigma = lean_sigma_deg(2 * hip_sigma_mm(view), across_mm)
    return Reading(value, sigma, (hip_axis(view),), side=side_of(value))


def head_height_difference(view: View) -> Reading:
    """Height of the left femoral head centre above the right one."""
    value = float(_head_difference(view)[2])
    return Reading(value, 2 * hip_sigma_mm(view), (hip_axis(view),), side=side_of(value))


def side_of(value: float) -> str | None:
    """The side that a left-positive number names; none for what is reported as 0.0."""
    if abs(value) < SIDELESS:
        return None
    return "left" if value > 0 else "right"


def _head_difference(view: View) -> FloatArray:
    right, left = view.heads()
    return view.turned(left.centre_mm - right.centre_mm)


def _radius_line(view: View) -> Line:
    return Line("arm", np.stack([view.hip_axis_middle(), view.s1().centre_mm]))


def _radius_sigma_deg(view: View) -> float:
    s1, hips = view.s1(), view.hip_axis_middle()
    length = float(np.linalg.norm(s1.centre_mm - hips))
    return lean_sigma_deg(combined(edge_sigma_mm(s1), hip_sigma_mm(view)), length)
