"""Parameters of the side view: lordosis, kyphosis, slopes and balance over the hips."""

from __future__ import annotations

import numpy as np

from spine_node.anatomy.landmarks import Endplate, Vertebra
from spine_node.geometry.angles import slope_deg
from spine_node.parameters.model import Line
from spine_node.parameters.pelvic import (
    backward_lean_deg,
    hip_axis,
    hip_sigma_mm,
    pelvic_incidence,
    pelvic_tilt,
    sagittal_arm,
)
from spine_node.parameters.uncertainty import (
    centroid_sigma_mm,
    combined,
    edge_sigma_mm,
    lean_sigma_deg,
    tilt_sigma_deg,
)
from spine_node.parameters.view import Reading, View


def lordosis_l1_s1(view: View) -> Reading:
    """Slope of S1 minus slope of L1 superior."""
    return _between(view, view.s1(), view.superior("L1"), upper="L1")


def lordosis_l4_s1(view: View) -> Reading:
    """Slope of S1 minus slope of L4 superior."""
    return _between(view, view.s1(), view.superior("L4"), upper="L4")


def kyphosis_t4_t12(view: View) -> Reading:
    """Slope of T4 superior minus slope of T12 inferior."""
    return _between(view, view.superior("T4"), view.inferior("T12"), upper="T4", lower="T12")


def incidence_minus_lordosis(view: View) -> Reading:
    """Incidence minus lordosis; the slope of S1, and its error, is in both and falls out."""
    incidence, lordosis = pelvic_incidence(view), lordosis_l1_s1(view)
    sigma = combined(pelvic_tilt(view).sigma or 0.0, tilt_sigma_deg(view.superior("L1"), "sagittal"))
    return Reading(incidence.value - lordosis.value, sigma, incidence.lines + lordosis.lines)


def t1_slope(view: View) -> Reading:
    """Slope of T1 superior against the horizontal."""
    plate = view.superior("T1")
    return Reading(
        slope_deg(view.turned(plate.normal)),
        tilt_sigma_deg(plate, "sagittal"),
        (sagittal_arm(plate),),
        level="T1",
    )


def sagittal_vertical_axis(view: View) -> Reading:
    """How far C7's centroid stands in front of the posterior superior corner of S1."""
    s1, c7 = view.s1(), view.body("C7")
    corner, top = view.turned(s1.posterior_mm), view.turned(c7.body_centre_mm)
    foot = np.array([top[0], top[1], corner[2]])
    level_with = np.array([top[0], corner[1], corner[2]])
    return Reading(
        float(corner[1] - top[1]),
        combined(edge_sigma_mm(s1), centroid_sigma_mm(c7)),
        (
            Line("plumb", np.stack([c7.body_centre_mm, view.lps(foot)])),
            Line("centre", np.stack([view.lps(foot), view.lps(level_with)])),
        ),
    )


def t1_spinopelvic_inclination(view: View) -> Reading:
    """From the vertical to the line hip axis - T1 centroid; forwards is positive."""
    t1, hips = view.body("T1"), view.hip_axis_middle()
    return Reading(
        -backward_lean_deg(view, t1.body_centre_mm - hips),
        _t1_sigma_deg(view, t1),
        (_from_hips(view, t1), hip_axis(view)),
    )


def t1_pelvic_angle(view: View) -> Reading:
    """At the hip axis, from the S1 centre forward to the T1 centroid."""
    tilt, inclination = pelvic_tilt(view), t1_spinopelvic_inclination(view)
    sigma = combined(tilt.sigma or 0.0, inclination.sigma or 0.0)
    return Reading(
        tilt.value + inclination.value,
        sigma,
        (tilt.lines[0], inclination.lines[0], hip_axis(view)),
    )


def _between(
    view: View, first: Endplate, second: Endplate, *, upper: str, lower: str | None = None
) -> Reading:
    value = slope_deg(view.turned(first.normal)) - slope_deg(view.turned(second.normal))
    sigma = combined(tilt_sigma_deg(first, "sagittal"), tilt_sigma_deg(second, "sagittal"))
    return Reading(value, sigma, (sagittal_arm(first), sagittal_arm(second)), upper=upper, lower=lower)


def _from_hips(view: View, t1: Vertebra) -> Line:
    return Line("arm", np.stack([view.hip_axis_middle(), t1.body_centre_mm]))


def _t1_sigma_deg(view: View, t1: Vertebra) -> float:
    length = float(np.linalg.norm(t1.body_centre_mm - view.hip_axis_middle()))
    return lean_sigma_deg(combined(centroid_sigma_mm(t1), hip_sigma_mm(view)), length)
