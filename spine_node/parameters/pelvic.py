"""Parameters of the pelvis: incidence, tilt, slope, and whether it stands level and faces the scanner."""

from __future__ import annotations

import numpy as np

from spine_node.geometry.angles import angle_in_plane_deg
from spine_node.geometry.directions import DegenerateGeometry
from spine_node.imaging.volume import FloatArray
from spine_node.parameters.model import Line
from spine_node.parameters.pairs import Pair, coronal_arm, line_between, sagittal_arm, side_of, upright
from spine_node.parameters.view import PATIENT, Missing, Plate, Reading, View


def incidence_pair(view: View) -> Pair:
    """The S1 normal and the line hip axis - S1."""
    s1, hips = view.s1(), view.hip_middle()
    return Pair(
        s1.normal,
        s1.centre - hips,
        (sagittal_arm(view, s1), line_between("arm", hips, s1.centre), hip_axis(view)),
    )


def pelvic_incidence(view: View) -> Reading:
    """From the line hip axis - S1 to the S1 normal, in the plane across the hip axis."""
    pair = incidence_pair(view)
    right, left = view.heads()
    return Reading(angle_in_plane_deg(pair.second, pair.first, left - right), pair.lines)


def tilt_pair(view: View) -> Pair:
    """The vertical and the line hip axis - S1: backwards is positive."""
    s1, hips = view.s1(), view.hip_middle()
    radius = s1.centre - hips
    lines = (line_between("arm", hips, s1.centre), upright(view, hips, radius), hip_axis(view))
    return Pair(view.up, radius, lines)


def slope_pair(view: View) -> Pair:
    """The S1 normal and the vertical: facing forward is positive."""
    s1 = view.s1()
    return Pair(s1.normal, view.up, (sagittal_arm(view, s1), _level_line(view, s1)))


def s1_tilt_pair(view: View) -> Pair:
    """The S1 normal and the vertical, for the view from the front."""
    s1 = view.s1()
    return Pair(s1.normal, view.up, (coronal_arm(view, s1),), level="S1")


def obliquity_by_heads(view: View) -> Reading:
    """Slant of the femoral head line in the frontal view; left higher is positive."""
    return _slant(view, *view.heads(), "axis")


def obliquity_by_crests(view: View) -> Reading:
    """Slant of the line between the highest points of the iliac crests; left higher is positive."""
    return _slant(view, *view.crests(), "centre")


def obliquity_by_s1(view: View) -> Reading:
    """Slant of the S1 endplate; left higher is positive, which is a normal that leans right."""
    s1 = view.s1()
    x, _, z = view.turned(s1.normal).T
    values = np.degrees(np.arctan2(-x, z))
    return Reading(values, (coronal_arm(view, s1),), side=side_of(float(values[0])))


def head_height_difference(view: View) -> Reading:
    """Height of the left femoral head centre above the right one."""
    right, left = view.heads()
    values = view.turned(left - right)[:, 2]
    return Reading(values, (hip_axis(view),), side=side_of(float(values[0])))


def pelvis_yaw(view: View) -> Reading:
    """Turn of the patient's left from the scanner's x axis, about the vertical."""
    if view.frame != PATIENT:
        raise Missing("the direction that the patient faces is not known without both femoral heads")
    scanner = np.broadcast_to([1.0, 0.0, 0.0], view.left.shape)
    try:
        values = angle_in_plane_deg(scanner, view.left, view.up)
    except DegenerateGeometry:
        raise Missing("the vertical lies along the scanner's x axis") from None
    return Reading(values, (hip_axis(view),), side=side_of(float(values[0])))


def hip_axis(view: View) -> Line:
    """The line through both femoral head centres."""
    return line_between("axis", *view.heads())


def _slant(view: View, right: FloatArray, left: FloatArray, role: str) -> Reading:
    x, _, z = view.turned(left - right).T
    values = np.degrees(np.arctan2(z, x))
    return Reading(values, (line_between(role, right, left),), side=side_of(float(values[0])))


def _level_line(view: View, plate: Plate) -> Line:
    """A horizontal line forwards from a plate's posterior edge, as long as the plate."""
    start = plate.given.posterior_mm
    length = float(np.linalg.norm(plate.given.anterior_mm - start))
    return Line("plumb", np.stack([start, start - length * view.axes[0][:, 1]]))
